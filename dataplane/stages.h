/*
 * How a worker's time is spent: of one turn in STAGE_TURNS, the time between looks at the clock.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_STAGES_H
#define SLUICE_DATAPLANE_STAGES_H

#include "dataplane/chores.h"
#include "dataplane/worker.h"

/* From here on, if this turn is timed. */
static inline void stage_begin(struct worker *w)
{
	if (w->stage_ns)
		w->stage_ns = chores_now_ns();
}

/* The stage in hand is over and the next begins. */
static inline void stage_end(struct worker *w, enum worker_stage stage)
{
	uint64_t now;

	if (!w->stage_ns)
		return;
	now = chores_now_ns();
	if (w->inside.asked)
		w->inside.ns[stage] += now - w->stage_ns;
	else
		worker_count(&w->counters.stage_ns[stage], (now - w->stage_ns) * STAGE_TURNS);
	w->stage_ns = now;
}

/*
 * The same of what a tunnel does with each datagram: too many looks to be had unasked. Without them
 * it belongs to the stage that ends next.
 */
static inline void stage_end_inside(struct worker *w, enum worker_stage stage)
{
	if (w->inside.asked)
		stage_end(w, stage);
}

/*
 * Before and after a turn that is timed. Inside one all counts or nothing: if the thread had to
 * leave its core meanwhile, the time was not its own.
 */
void stages_begin_turn(struct worker *worker);
void stages_end_turn(struct worker *worker);

#endif
