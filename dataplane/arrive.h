/*
 * Packets that come by another way than the TUN: from an interface, from a tunnel, from another
 * worker.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_ARRIVE_H
#define SLUICE_DATAPLANE_ARRIVE_H

#include "dataplane/worker.h"

/* Each takes one burst. Returns: how much there was */
unsigned arrive_by_interface(struct worker *worker, const struct table *table,
			     const struct links *links, unsigned egress);
unsigned arrive_by_tunnel(struct worker *worker, const struct table *table,
			  const struct links *links, unsigned egress);
unsigned arrive_by_inbox(struct worker *worker, const struct table *table,
			 const struct links *links);

#endif
