/*
 * See builder.h. SCHED_IDLE: a worker that wakes up, or any other thread, has the core at once. An
 * ordinary thread, however nice, would keep it to the end of its slice, some 4 to 8 ms.
 */
#include "ctl/builder.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
	NICE = 10,     /* of one that came forward: a tenth of an ordinary thread's share */
	LOOK_S = 1,    /* how often its progress is looked at */
	LEAST_MS = 50, /* what it must have had of a core since the last look */
	MS_PER_S = 1000,
	NS_PER_MS = 1000000,
};

/* Not the control thread itself: without CAP_SYS_NICE it could not come forward again. */
static void *work_behind(void *argument)
{
	const struct sched_param ordinary = {0};
	const struct builder *b = argument;
	const id_t self = (id_t)gettid();
	bool may_return;

	pthread_setname_np(pthread_self(), "sluice/build");
	setpriority(PRIO_PROCESS, self, NICE + 1);
	/* Who may not take a better nice value may not leave SCHED_IDLE either. */
	may_return = setpriority(PRIO_PROCESS, self, NICE) == 0;
	pthread_setschedparam(pthread_self(), may_return ? SCHED_IDLE : SCHED_BATCH, &ordinary);
	b->work(b->context);
	return NULL;
}

void builder_start(struct builder *b, void (*work)(void *context), void *context)
{
	b->work = work;
	b->context = context;
	b->beside = pthread_create(&b->thread, NULL, work_behind, b) == 0;
	if (!b->beside)
		work(context);
}

/* How much of a core a thread has had; 0 if it does not say, as when it has just ended. */
static int64_t had_ms(pthread_t thread)
{
	struct timespec had;
	clockid_t clock;

	if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &had) < 0)
		return 0;
	return (int64_t)had.tv_sec * MS_PER_S + had.tv_nsec / NS_PER_MS;
}

void builder_finish(struct builder *b)
{
	const struct sched_param ordinary = {0};
	struct timespec look;
	int64_t before = 0;

	if (!b->beside)
		return;
	clock_gettime(CLOCK_MONOTONIC, &look);
	look.tv_sec += LOOK_S;
	while (pthread_clockjoin_np(b->thread, NULL, CLOCK_MONOTONIC, &look) != 0) {
		int64_t now = had_ms(b->thread);

		if (now - before < LEAST_MS)
			pthread_setschedparam(b->thread, SCHED_BATCH, &ordinary);
		before = now;
		look.tv_sec += LOOK_S;
	}
}
