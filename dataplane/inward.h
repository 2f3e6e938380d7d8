/*
 * The way in: whose a packet from an interface is, and its translation back.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_INWARD_H
#define SLUICE_DATAPLANE_INWARD_H

#include "dataplane/links.h"
#include "dataplane/worker.h"

/*
 * Translate a packet that came in by an egress into what the inner side expects, and take one of
 * its hops.
 *
 * Returns: REASON_NONE, or why it goes no further
 */
enum reason inward_packet(struct worker *worker, const struct table *table,
			  const struct links *links, unsigned egress, struct packet *packet);

/* The translation alone. */
enum reason inward_translate(struct worker *worker, const struct table *table,
			     const struct links *links, unsigned egress, struct packet *packet);

#endif
