/*
 * The way in by a tunnel: datagrams are opened where they lie, what is in them is checked, and put
 * together again to super-packets.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_INWARD_H
#define SLUICE_DATAPLANE_WIREGUARD_INWARD_H

#include "dataplane/wireguard/port.h"

/*
 * Receive what has come, without blocking. A full burst may be left to others for now (spread.h):
 * its rounds are those of the next call.
 *
 * Returns: how many messages are under way
 */
unsigned wg_inward_receive(struct worker *worker, struct wg_port *port);

/*
 * Open what is due of what has been received, until all is or port->merge is full; what came in an
 * earlier round is gone then.
 *
 * Returns: how many items port->merge has, finished; 0 when all has been opened
 */
unsigned wg_inward_round(struct worker *worker, struct wg_port *port);

/* Make what another worker has handed over what is due; nothing else may be. */
void wg_inward_take_over(struct wg_port *port, const struct udp_message *message);

/* Write what a round brought into the TUN. */
void wg_inward_deliver(struct worker *worker, struct wg_port *port);

/* Make an item of a round a packet in one piece, in port->flat[slot]. */
struct buf *wg_inward_flatten(struct wg_port *port, unsigned item, unsigned slot);

#endif
