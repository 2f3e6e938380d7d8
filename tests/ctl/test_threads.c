/* ctl/threads.h: who goes first does so only while it leaves some of its core. */
#include <criterion/criterion.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "ctl/threads.h"

enum {
	TRIES_MAX = 1000, /* others may want the core, too */
	TRY_MS = 20,
	PAUSE_MS = 50,
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Works, or sleeps, until it has the policy. */
static int policy_after(bool works, int wanted)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000};

	for (unsigned i = 0; i < TRIES_MAX && sched_getscheduler(0) != wanted; i++) {
		int64_t end = now_ms() + TRY_MS;

		while (works && now_ms() < end)
			;
		if (!works)
			nanosleep(&pause, NULL);
		threads_keep_place();
	}
	return sched_getscheduler(0);
}

Test(threads, real_time_while_it_leaves_some_of_its_core, .timeout = 60)
{
	threads_keep_place(); /* of one that did not go first: nothing */
	cr_assert_eq(sched_getscheduler(0), SCHED_OTHER);
	threads_go_first();
	if (sched_getscheduler(0) != SCHED_RR)
		cr_skip_test("real-time is not allowed here");
	threads_keep_place();
	cr_assert_eq(policy_after(true, SCHED_OTHER), SCHED_OTHER, "it kept the whole core");
	cr_assert_eq(policy_after(false, SCHED_RR), SCHED_RR, "it did not come back");
}
