/*
 * Packets that wait for their next hop's link-layer address: few, short, and not for long.
 *
 * Threads: owned by one worker.
 */
#ifndef SLUICE_DATAPLANE_PENDING_H
#define SLUICE_DATAPLANE_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lpm/prefix.h"
#include "tun/buf.h"

enum {
	PENDING_MAX = 64,
	PENDING_PER_HOP_MAX = 8, /* so that one silent neighbour does not starve the others */
	PENDING_SIZE_MAX = 2048, /* longer packets are dropped: their sender tries again */
	PENDING_MS = 3000,
};

struct pending;

struct pending *pending_create(void); /* NULL when memory is short */
void pending_destroy(struct pending *pending);

/*
 * Keep a copy of a translated packet until its next hop is known.
 *
 * first:   set to whether no other packet waits for that hop, so that it must be asked for
 * Returns: false if there is no room or the packet is too long
 */
bool pending_add(struct pending *pending, const struct buf *buf, unsigned egress,
		 const struct addr *via, uint64_t now_ms, bool *first);

/*
 * Go through what waits, oldest first. *cursor starts at 0. The buf stays valid until
 * pending_remove or pending_add.
 *
 * Returns: false at the end
 */
bool pending_next(struct pending *pending, unsigned *cursor, struct buf **buf, unsigned *egress,
		  struct addr *via, bool *expired, uint64_t now_ms);

/* Forget the packet that pending_next just gave. */
void pending_remove(struct pending *pending, unsigned cursor);

size_t pending_count(const struct pending *pending);

#endif
