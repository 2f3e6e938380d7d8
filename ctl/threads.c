/* See threads.h. */
#include "ctl/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
	WORKER_NICE = -10,  /* where it is allowed */
	FIRST_PERCENT = 75, /* of a core that a thread may take and be real-time */
	NS_PER_S = 1000000000,
};

/* Of a thread that went first. */
struct place {
	bool first; /* it is real-time */
	bool may;   /* be it */
	int64_t looked_ns;
	int64_t had_ns; /* of a core, by then */
};

static _Thread_local struct place place;

/* The core that comes at `index`; -1: there are not so many. count: set to how many there are */
static int core_at(unsigned index, unsigned *count)
{
	cpu_set_t set;
	int found = -1;

	*count = 0;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return -1;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && (*count)++ == index)
			found = cpu;
	return found;
}

unsigned threads_cores(unsigned max)
{
	unsigned count;

	core_at(0, &count);
	return count > max ? max : count > 0 ? count : 1;
}

void threads_begin_worker(const char *prefix, unsigned index, unsigned workers)
{
	unsigned count;
	int core = core_at(index, &count);
	char name[16];
	cpu_set_t set;

	snprintf(name, sizeof(name), "%s/%u", prefix, index);
	pthread_setname_np(pthread_self(), name);
	if (workers < 2 || workers > count)
		return;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static int64_t read_ns(clockid_t clock)
{
	struct timespec t = {0};

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void set_first(bool first)
{
	const struct sched_param param = {.sched_priority =
						  first ? sched_get_priority_min(SCHED_RR) : 0};

	place.may =
		pthread_setschedparam(pthread_self(), first ? SCHED_RR : SCHED_OTHER, &param) == 0;
	place.first = first && place.may;
}

static void look(void)
{
	place.looked_ns = read_ns(CLOCK_MONOTONIC);
	place.had_ns = read_ns(CLOCK_THREAD_CPUTIME_ID);
}

void threads_go_first(void)
{
	setpriority(PRIO_PROCESS, (id_t)gettid(), WORKER_NICE);
	prctl(PR_SET_TIMERSLACK, 1UL); /* its sleeps are of microseconds */
	set_first(true);
	look();
}

void threads_keep_place(void)
{
	const struct place before = place;
	bool first;

	if (!place.may)
		return;
	look();
	first = (place.had_ns - before.had_ns) * 100 <
		(place.looked_ns - before.looked_ns) * FIRST_PERCENT;
	if (first != place.first)
		set_first(first);
}
