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
	worker_count(&w->counters.stage_ns[stage], (now - w->stage_ns) * STAGE_TURNS);
	w->stage_ns = now;
}

#endif
