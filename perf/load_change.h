/* What `sluice-perf load` does to the daemon while traffic flows. */
#ifndef SLUICE_PERF_LOAD_CHANGE_H
#define SLUICE_PERF_LOAD_CHANGE_H

#include <stdint.h>

#include "perf/latency.h"
#include "perf/load_check.h"
#include "perf/load_lists.h"
#include "perf/load_net.h"

enum {
	LOAD_QUEUES_MAX = 16,
	LOAD_FLAPS_MAX = 100,
	LOAD_FLAP_MS = 100, /* how long a link is down */
	LOAD_OUTAGES_MAX = LOAD_QUEUES_MAX + LOAD_FLAPS_MAX,
};

/* How long each change took, in all and as the daemon tells. */
struct load_change_times {
	struct latency took; /* from request to answer */
	struct latency parsed;
	struct latency built;     /* or edited */
	struct latency published; /* from the store to the last reader */
	uint64_t overdue;         /* reloads that were asked for when the traffic had ended */
};

struct load_change {
	struct load_net *net;
	const struct load_lists *lists;
	struct load_timeline *timeline;
	uint32_t daemon_generation; /* as the daemon counts, which begins anew when it starts */

	/* What came of the last run. */
	struct load_change_times times;
	struct load_outage outages[LOAD_OUTAGES_MAX];
	unsigned outage_count;
};

/* How often, in a run; evenly spread. */
struct load_change_plan {
	double reload_rate; /* a second */
	double flap_rate;   /* a link goes down and up again, the sides in turn */
	const unsigned *queues;
	unsigned queue_count; /* the daemon is restarted with each number but the first */
};

/* Start the daemon on the lists of the timeline's generation. Errors: as load_net_start */
int load_change_start(struct load_change *change, unsigned queues);

/*
 * Do as planned from start to end.
 *
 * Thread: that which started the daemon
 * Errors: -errno, after a complaint: the daemon refused, or did something else
 */
int load_change_run(struct load_change *change, const struct load_change_plan *plan,
		    uint64_t start_ns, uint64_t end_ns);

#endif
