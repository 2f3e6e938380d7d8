/*
 * The way out by an interface: translate, find the next hop, queue.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_EMIT_H
#define SLUICE_DATAPLANE_EMIT_H

#include "dataplane/links.h"
#include "dataplane/worker.h"

/*
 * Translate a packet from the inner side and queue it for its egress, an interface.
 *
 * outer_port: what its flow is translated to; 0: it has none
 * Returns:    REASON_NONE, or why it goes no further; the sender has been told if it must know
 */
enum reason emit_packet(struct worker *worker, const struct links *links, unsigned egress,
			struct packet *packet, uint16_t outer_port);

/* The same for an egress of type wireguard. */
enum reason emit_tunnel(struct worker *worker, const struct links *links, unsigned egress,
			struct packet *packet, uint16_t outer_port);

/* The same where the only egress is a tunnel, which takes packets as they are. */
enum reason emit_straight(struct worker *worker, struct packet *packet);

/*
 * Put the egress's address and the flow's port into a packet from the inner side, if the egress
 * translates. Errors: REASON_NO_ADDRESS, and the sender has been told
 */
enum reason emit_translate(struct worker *worker, const struct link *link, unsigned egress,
			   struct packet *packet, uint16_t outer_port);

/*
 * Let a TCP SYN of either way announce no segments that are longer than an MTU (0: none) takes: the
 * ICMP errors that would tell its receiver may be filtered on the way.
 */
void emit_clamp_mss(unsigned mtu, struct packet *packet);

/*
 * Queue a packet of the worker's own for the egress. Dropped, and counted, if there is no way.
 *
 * buf: must stay until emit_flush
 */
void emit_answer(struct worker *worker, const struct links *links, unsigned egress,
		 const struct addr *dst, struct buf *buf);

/* Send all that is queued for the egresses. */
void emit_flush(struct worker *worker);

#endif
