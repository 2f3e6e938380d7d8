/*
 * Packets that wait for a session: each worker's own, in a fixed piece of memory. The oldest go
 * first, those of the same peer before others'.
 *
 * Threads: owned by one worker.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_STAGE_H
#define SLUICE_DATAPLANE_WIREGUARD_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tun/buf.h"

enum {
	WG_STAGE_PEER_MAX = 128,    /* packets of a peer */
	WG_STAGE_PEERS_MAX = 256,   /* peers at a time; a power of two */
	WG_STAGE_BLOCK = 2048,      /* bytes */
	WG_STAGE_BLOCKS = 1024,     /* 2 MiB of memory, touched as needed */
	WG_STAGE_PEER_BLOCKS = 256, /* that a peer may fill */
	WG_STAGE_PACKETS_MAX = WG_STAGE_BLOCKS,
};

struct wg_stage;

/* Whose packets wait. */
struct wg_stage_peer {
	uint64_t id;
	uint16_t number;
	uint32_t give_ups; /* of the peer when its first packet came */
};

struct wg_stage *wg_stage_create(void);        /* NULL when memory is short */
void wg_stage_destroy(struct wg_stage *stage); /* wipes nothing: plain text; NULL does nothing */

/*
 * Keep a copy of a packet.
 *
 * Returns: how many packets went: older ones of this peer, or this one
 */
unsigned wg_stage_add(struct wg_stage *stage, const struct wg_stage_peer *peer,
		      const struct buf *buf);

/* How many peers' packets wait; a peer of those, by 0 to count - 1. Numbers change with a removal.
 */
unsigned wg_stage_count(const struct wg_stage *stage);
const struct wg_stage_peer *wg_stage_at(const struct wg_stage *stage, unsigned at);

/*
 * Take a peer's oldest packet out.
 *
 * out:     data set by the caller, BUF_SIZE bytes
 * Returns: false if there is none left; the peer is gone then, and another one has its number
 */
bool wg_stage_take(struct wg_stage *stage, unsigned at, struct buf *out);

/* Forget all packets of a peer, and the peer. Returns: how many they were */
unsigned wg_stage_drop(struct wg_stage *stage, unsigned at);

#endif
