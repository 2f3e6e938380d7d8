/* Looking into the workers' flow tables while packets flow. */
#ifndef SLUICE_DATAPLANE_INSPECT_H
#define SLUICE_DATAPLANE_INSPECT_H

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/dataplane.h"

struct worker;

/*
 * The worker's side: do a piece of what the control thread asked for, if it did.
 *
 * Thread:  the worker's
 * Returns: whether more is left to do
 */
bool inspect_serve(struct worker *worker);

/* The control thread's side: dataplane_flows() over running workers. */
size_t inspect_flows(struct worker *const *workers, unsigned count,
		     const struct flow_filter *filter, struct flow_info *out, size_t max,
		     size_t *total);

/* The same for dataplane_flow_aims() of a running worker. */
size_t inspect_aims(struct worker *worker, struct flow_aim *out, size_t max);

#endif
