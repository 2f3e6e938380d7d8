/*
 * New flows: within the limits of their source, with a translation if their egress has one.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_ADMIT_H
#define SLUICE_DATAPLANE_ADMIT_H

#include "dataplane/worker.h"

/*
 * Make the flow of a packet that the route cache does not know. The port comes first: without one
 * no other flow is evicted.
 *
 * item:    decided; its reason is set if there is no flow, and the sender has been told
 * Returns: the flow, or NULL
 */
struct flow *admit_flow(struct worker *worker, const struct table *table, const struct links *links,
			struct item *item);

/*
 * New flows touch much that is in no cache: have what the flows to be made for the first n items
 * need on its way before the first is made.
 */
void admit_prepare(struct worker *worker, const struct table *table, const struct links *links,
		   unsigned n);

/* Give back what a flow has that goes: flow_release_fn of the worker's route cache. */
void admit_release(void *worker, const struct flow *flow);

#endif
