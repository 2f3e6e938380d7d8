/*
 * Where later fragments go: they carry no ports, so they follow the first one of their datagram.
 *
 * A small direct-mapped table: bounded, overwritten in place; nothing is reassembled. A fragment
 * whose first part was not seen is dropped, never guessed.
 *
 * Threads: owned by one worker.
 */
#ifndef SLUICE_DATAPLANE_FRAGMENT_H
#define SLUICE_DATAPLANE_FRAGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/packet.h"

enum {
	FRAGMENTS_MAX = 256, /* power of two */
	FRAGMENT_MS = 5000,  /* RFC 6146: at least 2 s */
};

struct fragment {
	uint8_t src[16];
	uint8_t dst[16];
	uint32_t id;
	uint8_t proto;
	uint8_t version;
	uint16_t egress;
	uint32_t generation;
	uint64_t expires_ms;
};

struct fragments {
	uint64_t seed;
	struct fragment slot[FRAGMENTS_MAX];
};

/* Note the first fragment of a datagram, before its translation. */
void fragment_note(struct fragments *fragments, const struct packet *packet, uint16_t egress,
		   uint32_t generation, uint64_t now_ms);

/* The egress that a later fragment follows; false if its first one was not seen. */
bool fragment_follow(const struct fragments *fragments, const struct packet *packet,
		     uint32_t generation, uint64_t now_ms, uint16_t *egress);

#endif
