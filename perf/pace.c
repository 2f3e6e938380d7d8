/* Waiting without being late: sleeps most of the way and polls the rest. */
#include "perf/pace.h"

#include <errno.h>
#include <time.h>

enum {
	EARLY_NS = 20000, /* what a sleep may take longer */
};

uint64_t pace_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void pace_until_ns(uint64_t due_ns)
{
	for (;;) {
		uint64_t now = pace_now_ns(), wait;
		struct timespec pause;

		if (now >= due_ns)
			return;
		wait = due_ns - now;
		if (wait <= 2 * EARLY_NS)
			continue;
		wait -= EARLY_NS;
		pause = (struct timespec){.tv_sec = (time_t)(wait / 1000000000),
					  .tv_nsec = (long)(wait % 1000000000)};
		nanosleep(&pause, NULL);
	}
}

void pace_sleep_until_ns(uint64_t due_ns)
{
	const struct timespec due = {.tv_sec = (time_t)(due_ns / 1000000000),
				     .tv_nsec = (long)(due_ns % 1000000000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		;
}
