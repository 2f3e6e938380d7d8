/* One run of `sluice-perf load`: send, change, check, and what came of it. */
#ifndef SLUICE_PERF_LOAD_RUN_H
#define SLUICE_PERF_LOAD_RUN_H

#include "perf/load_change.h"
#include "perf/load_check.h"
#include "perf/load_lists.h"
#include "perf/load_net.h"
#include "perf/load_send.h"
#include "perf/load_sink.h"
#include "perf/machine.h"

enum {
	LOAD_RATE_MAX = 2000000, /* packets a second */
};

/* All that runs have in common. */
struct load_bench {
	struct load_net net;
	struct load_lists lists;
	struct load_timeline timeline;
	struct load_change change;
	struct load_send send;
	struct load_sink sink;
	unsigned flows;
	uint32_t *addrs; /* by flow */
	uint8_t *classes;
};

struct load_outcome {
	double rate; /* a second, as offered */
	uint64_t offered;
	uint64_t sent; /* of these, what the system took */
	bool kept_up;  /* the sender offered all that was planned */
	uint64_t received;
	uint64_t duplicated;
	uint64_t reordered;
	uint64_t misrouted;
	uint64_t certain;
	uint64_t damaged;
	uint64_t overrun; /* the sink was too slow: nothing is proved */
	struct load_losses losses;
	struct load_losses_by_place places;
	struct latency latency;
	struct latency late;
	struct load_change_times times;
	unsigned outages;
	uint64_t ns; /* from the first packet to the last */
	struct machine_time machine;
};

/*
 * Errors: -errno. *out is large: not for a stack that is small.
 */
int load_run(struct load_bench *bench, double rate, uint64_t ms,
	     const struct load_change_plan *change, struct load_outcome *out);

/* Take another run into account as if both had been one. */
void load_outcome_add(struct load_outcome *sum, const struct load_outcome *run);

/* Whether all that was planned was sent, and no counter says that something went wrong. */
bool load_outcome_clean(const struct load_outcome *outcome);

#endif
