/* ctl/builder.h: it gives way, and comes forward when nothing is left for it. */
#include <criterion/criterion.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "ctl/builder.h"

enum {
	LOOKS_MAX = 1000,
	LOOK_NS = 10000000,
};

struct seen {
	pid_t thread;
	int began; /* policies */
	int ended;
};

/* Sleeps, as one does that is given no core, until it is an ordinary thread. */
static void wait_for_nothing(void *context)
{
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	struct seen *s = context;

	s->thread = gettid();
	s->began = sched_getscheduler(0);
	s->ended = s->began;
	for (unsigned i = 0; s->ended == SCHED_IDLE && i < LOOKS_MAX; i++) {
		nanosleep(&pause, NULL);
		s->ended = sched_getscheduler(0);
	}
}

Test(builder, comes_forward, .timeout = 60)
{
	const bool privileged = setpriority(PRIO_PROCESS, 0, -1) == 0;
	struct seen seen = {0};
	struct builder builder;

	builder_start(&builder, wait_for_nothing, &seen);
	builder_finish(&builder);
	cr_assert_neq(seen.thread, 0);
	cr_assert_neq(seen.thread, gettid(), "it was done by the caller");
	if (privileged)
		cr_assert_eq(seen.began, SCHED_IDLE, "it began as %d", seen.began);
	cr_assert_eq(seen.ended, SCHED_BATCH, "it ended as %d", seen.ended);
	cr_assert_eq(sched_getscheduler(0), SCHED_OTHER, "the caller went back as well");
}
