/*
 * Putting packets that were opened together again to super-packets, for one write into the TUN
 * each: TCP and, where the TUN can take it, UDP. Nothing is copied: what comes out is a list of
 * pieces. Their checksums are not looked at, for the tunnel has authenticated them.
 *
 * Packets of one flow come out in the order in which they were added, and what a segmenter makes of
 * a super-packet is, byte for byte, what was put into it; but for the identification of IPv4
 * packets that may not be fragmented, which means nothing.
 *
 * Threads: owned by one worker.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_MERGE_H
#define SLUICE_DATAPLANE_WIREGUARD_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tun/buf.h"

enum {
	WG_MERGE_ITEMS_MAX = 128,   /* what comes out of one round */
	WG_MERGE_PACKETS_MAX = 64,  /* that go into one super-packet */
	WG_MERGE_LEN_MAX = 65535,   /* bytes of it */
	WG_MERGE_BUCKETS = 256,     /* power of two */
	WG_MERGE_NONE = UINT16_MAX, /* index of no item */
};

/* A packet, or several in one. */
struct wg_merged {
	struct offload offload;
	uint32_t len;
	uint16_t count;   /* of packets in it */
	uint16_t chained; /* the item before it in its bucket */
	uint16_t l4;      /* bytes to the transport header */
	uint16_t head;    /* bytes to the payload */
	uint16_t id;      /* IPv4: identification of the last */
	uint32_t next;    /* TCP: the sequence number that comes next */
	uint8_t version;
	uint8_t proto;
	bool open;   /* more may be put in */
	bool pushed; /* TCP: a PSH ends it */
	/* The packet: [0] is the reader's own, [1] the first packet with its headers, then
	 * payloads. */
	struct iovec pieces[1 + WG_MERGE_PACKETS_MAX];
};

struct wg_merge {
	bool udp;                           /* the TUN takes super-packets of UDP */
	uint16_t count;                     /* of items */
	uint16_t buckets[WG_MERGE_BUCKETS]; /* the newest item of a hash */
	struct wg_merged items[WG_MERGE_ITEMS_MAX];
};

void wg_merge_init(struct wg_merge *merge, bool udp);

/* Whether the next packet might find no room: it is time for a new round. */
static inline bool wg_merge_is_full(const struct wg_merge *merge)
{
	return merge->count == WG_MERGE_ITEMS_MAX;
}

/*
 * Take an IP packet, which has a right version and length; the merge must not be full.
 *
 * data: stays the caller's, and as it is until the end of the round
 */
void wg_merge_add(struct wg_merge *merge, uint8_t *data, uint32_t len);

/* Make the items ready to be sent: headers and offload words. They are items[0] to [count - 1]. */
void wg_merge_finish(struct wg_merge *merge);

/* Begin a new round. */
void wg_merge_reset(struct wg_merge *merge);

#endif
