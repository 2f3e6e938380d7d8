/*
 * Where later fragments go: they carry no ports, so they follow the first one of their datagram.
 *
 * A small table in sets: bounded, and a source that fills it takes the places of its own datagrams
 * first. Nothing is reassembled. A fragment whose first part was not seen is never guessed (it may
 * be held, see gather.h); one that overlaps another of its datagram is dropped, and so is all that
 * comes after it (RFC 5722): what gets through never makes a whole. Only what lies within bytes
 * that were seen, as a duplicate does, is dropped alone. A datagram all of which was seen is
 * forgotten.
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

/* Which datagram: compared and hashed as bytes. */
struct fragment_key {
	uint8_t src[16];
	uint8_t dst[16];
	uint32_t id;
	uint8_t proto;
	uint8_t version;
	uint8_t zero[2];
};

_Static_assert(sizeof(struct fragment_key) == 40, "no padding: keys are compared as bytes");

/* Where its fragments go. */
struct fragment_aim {
	uint16_t worker;
	uint16_t egress;
	uint32_t generation; /* of the table that said so */
	uint8_t inner[16];   /* from outside: to whom; wire order */
};

struct fragment {
	struct fragment_key key;
	struct fragment_aim aim;
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

struct fragment_key fragment_key_of(const struct packet *packet);

/*
 * Note the first fragment of a datagram, before its translation.
 *
 * Returns: false if it overlaps or repeats what was seen of that datagram, and must be dropped
 */
bool fragment_note(struct fragments *fragments, const struct packet *packet,
		   const struct fragment_aim *aim, uint64_t now_ms);

/*
 * Note a later fragment, and say where it goes; false if it must be dropped: its first one was not
 * seen, or it overlaps or repeats others.
 */
bool fragment_follow(struct fragments *fragments, const struct packet *packet, uint64_t now_ms,
		     struct fragment_aim *aim);

/* Where a datagram goes, without noting anything; false if its first fragment was not seen. */
bool fragment_find(struct fragments *fragments, const struct packet *packet, uint64_t now_ms,
		   struct fragment_aim *aim);

#endif
