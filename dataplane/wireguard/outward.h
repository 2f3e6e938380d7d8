/*
 * The way out by a tunnel: whose a packet is, its session, its segments sealed one by one into the
 * messages of one call.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_OUTWARD_H
#define SLUICE_DATAPLANE_WIREGUARD_OUTWARD_H

#include "dataplane/wireguard/port.h"

/*
 * Read a packet that goes through as it is: what packet_parse() refuses is taken all the same, if
 * version and length are right and nothing is left to offload.
 */
enum reason wg_outward_parse(struct buf *buf, struct packet *packet);

/*
 * Queue a packet.
 *
 * packet:  stays as it is until wg_outward_flush
 * Returns: REASON_NONE, or why it goes no further; the sender has been told if it must know
 */
enum reason wg_outward_packet(struct worker *worker, struct wg_port *port, struct packet *packet);

/* The MTU for a packet: the tunnel's, or less if the way to its peer is known to take less. */
unsigned wg_outward_mtu(const struct worker *worker, const struct wg_port *port,
			const struct packet *packet);

/*
 * Seal and send all that is queued. Without a session it is kept for a while; a full burst may be
 * left to others to be sealed (spread.h), and is sent by the next call, or wg_outward_settle.
 */
void wg_outward_flush(struct worker *worker, struct wg_port *port);

/* Send what was left to others in an earlier turn. */
void wg_outward_settle(struct worker *worker, struct wg_port *port);

/* Look whether packets that were kept can be sent, or must be dropped. */
void wg_outward_retry(struct worker *worker, struct wg_port *port);

/* The gateway's tunnel by which a packet for the inner side goes to its peer; NULL: to none. */
struct wg_port *wg_outward_port_of(const struct worker *worker, const struct packet *packet);

#endif
