/* See threads.h. */
#include "ctl/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	WORKER_NICE = -10, /* where it is allowed */
};

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

void threads_go_first(void)
{
	setpriority(PRIO_PROCESS, (id_t)gettid(), WORKER_NICE);
}
