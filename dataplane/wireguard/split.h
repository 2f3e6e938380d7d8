/*
 * Taking super-packets apart, segment by segment, straight to where each is sealed: every byte is
 * read and written once, and its checksum made on the way. What hardware would send
 * (dataplane/cut.h is the slow way, which says the same).
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_SPLIT_H
#define SLUICE_DATAPLANE_WIREGUARD_SPLIT_H

#include "dataplane/packet.h"

enum {
	WG_SPLIT_HEAD_MAX = 256, /* headers past it are rare: they go the slow way */
};

/* A packet that is being taken apart; the packet must stay as it is. */
struct wg_split {
	const struct packet *packet;
	uint32_t count; /* segments */
	uint32_t head;  /* bytes of a segment's headers */
	uint32_t size;  /* payload bytes of each segment but the last */
	uint64_t ip_sum;
	uint64_t l4_sum;
	uint32_t seq;                      /* TCP; host byte order */
	uint16_t id;                       /* IPv4; host byte order */
	uint8_t header[WG_SPLIT_HEAD_MAX]; /* with zeros where segments differ */
};

void wg_split_begin(struct wg_split *split, const struct packet *packet);

/* Bytes of segment `index`, which is below split->count. */
uint32_t wg_split_size(const struct wg_split *split, uint32_t index);

/*
 * Write a segment, with complete checksums.
 *
 * out:     wg_split_size() bytes
 * Returns: how many were written
 */
uint32_t wg_split_write(const struct wg_split *split, uint32_t index, uint8_t *out);

#endif
