/* See stages.h. */
#include "dataplane/stages.h"

#include <string.h>
#include <sys/resource.h>

static long switches(void)
{
#ifdef RUSAGE_THREAD
	struct rusage usage;

	if (getrusage(RUSAGE_THREAD, &usage) == 0)
		return usage.ru_nvcsw + usage.ru_nivcsw;
#endif
	return 0;
}

void stages_begin_turn(struct worker *w)
{
	struct stages_inside *s = &w->inside;

	if (s->asked) {
		memset(s->ns, 0, sizeof(s->ns));
		s->packets_in = w->counters.egress[0].packets_in;
		s->packets_out = w->counters.egress[0].packets_out;
		s->switches = switches();
	}
	w->stage_ns = chores_now_ns();
}

void stages_end_turn(struct worker *w)
{
	const struct stages_inside *s = &w->inside;
	struct worker_counters *c = &w->counters;

	if (!s->asked || switches() != s->switches)
		return;
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		worker_count(&c->stage_ns[i], s->ns[i]);
	worker_count(&c->timed_in, c->egress[0].packets_in - s->packets_in);
	worker_count(&c->timed_out, c->egress[0].packets_out - s->packets_out);
}
