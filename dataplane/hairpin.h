/*
 * From inside to our own outer address: what another inner host has mapped there comes back in,
 * with the external address and port as its source (RFC 4787 REQ-9, RFC 5382 REQ-8).
 *
 * A packet is turned round once and goes into the TUN, so nothing can loop.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_HAIRPIN_H
#define SLUICE_DATAPLANE_HAIRPIN_H

#include "dataplane/links.h"
#include "dataplane/worker.h"

/* The translating egress whose address a key's destination is, or -1. */
int hairpin_egress(const struct worker *worker, const struct links *links,
		   const struct flow_key *key);

/*
 * Translate a packet, or an ICMP error (RFC 5508 REQ-7), as if it left by an egress, and then as if
 * it came in; queue it for the TUN.
 *
 * outer_port: what its flow is translated to
 * Returns:    REASON_NONE, or why it goes no further
 */
enum reason hairpin_packet(struct worker *worker, const struct table *table,
			   const struct links *links, unsigned egress, struct packet *packet,
			   uint16_t outer_port);

#endif
