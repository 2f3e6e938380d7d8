/*
 * Where later fragments go: they carry no ports, so they follow the first one of their datagram.
 *
 * A small table in sets: bounded, and a source that fills it takes the places of its own datagrams
 * first. Nothing is reassembled. A fragment whose first part was not seen is dropped, never
 * guessed; so is one that overlaps another of its datagram, and all that comes after it (RFC 5722):
 * what gets through never makes a whole. A datagram all of which was seen is forgotten.
 *
 * Threads: owned by one worker.
 */
#ifndef SLUICE_DATAPLANE_FRAGMENT_H
#define SLUICE_DATAPLANE_FRAGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/packet.h"

enum {
	FRAGMENT_SETS = 64, /* power of two */
	FRAGMENT_WAYS = 4,
	FRAGMENT_MS = 5000,      /* RFC 6146: at least 2 s */
	FRAGMENT_RANGES_MAX = 8, /* pieces of a datagram with holes between them */
};

/* Bytes of a datagram that were seen, and to where. */
struct fragment_range {
	uint32_t from;
	uint32_t to;
};

struct fragment {
	uint8_t src[16];
	uint8_t dst[16];
	uint32_t id;
	uint8_t proto;
	uint8_t version;
	uint16_t egress;
	uint32_t generation;
	bool spoilt; /* something overlapped, or there were too many holes */
	unsigned range_count;
	struct fragment_range range[FRAGMENT_RANGES_MAX];
	uint32_t end; /* bytes of the datagram; 0: its last fragment was not seen */
	uint64_t expires_ms;
};

struct fragments {
	uint64_t seed;
	struct fragment set[FRAGMENT_SETS][FRAGMENT_WAYS];
};

/*
 * Note the first fragment of a datagram, before its translation.
 *
 * Returns: false if it overlaps what was seen of that datagram, and must be dropped
 */
bool fragment_note(struct fragments *fragments, const struct packet *packet, uint16_t egress,
		   uint32_t generation, uint64_t now_ms);

/*
 * The egress that a later fragment follows; false if it must be dropped: its first one was not
 * seen, or it overlaps.
 */
bool fragment_follow(struct fragments *fragments, const struct packet *packet, uint32_t generation,
		     uint64_t now_ms, uint16_t *egress);

#endif
