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
 * its hops; or hand it over to the worker whose port it is for.
 *
 * way:     WAY_IN or WAY_IN_PART
 * Returns: REASON_NONE, or why it goes no further here
 */
enum reason inward_packet(struct worker *worker, const struct table *table,
			  const struct links *links, unsigned egress, struct packet *packet,
			  enum way way);

/* The translation alone, also of WAY_BACK. */
enum reason inward_translate(struct worker *worker, const struct table *table,
			     const struct links *links, unsigned egress, struct packet *packet,
			     enum way way);

/* Queue a translated packet for the TUN. */
void inward_deliver(struct worker *worker, const struct packet *packet);

/*
 * Fetch the flow of a packet (PACKET_TRANSPORT) that came in by a translating egress towards the
 * cache.
 */
void inward_prefetch(const struct worker *worker, unsigned egress, const struct packet *packet);

#endif
