/*
 * How much each inner address has of what is short: so many flows and translated ports, and no
 * client can take what the others need (RFC 6888 REQ-4 and REQ-5).
 *
 * Bounded: a source is there as long as flows refer to it, so there are never more than flows.
 *
 * Threads: owned by one worker.
 */
#ifndef SLUICE_DATAPLANE_SOURCE_H
#define SLUICE_DATAPLANE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/packet.h"

struct sources;

struct source {
	uint8_t addr[16]; /* wire order; IPv4 in the first 4 bytes */
	uint32_t flows;
	uint32_t ports; /* translated, by whatever egress and of whatever protocol */
	uint32_t chain;
	uint8_t version;
};

/* capacity: sources at a time; seed: random. NULL when memory is short. */
struct sources *sources_create(size_t capacity, uint64_t seed);
void sources_destroy(struct sources *sources); /* NULL does nothing */

/*
 * One more flow of the key's source. There must be room.
 *
 * Returns: the source's index, never 0; good until as many flows have left
 */
uint32_t source_enter(struct sources *sources, const struct flow_key *key);

/* Fetch what source_enter will read towards the cache. */
void source_prefetch(const struct sources *sources, const struct flow_key *key);
void source_prefetch_at(const struct sources *sources, uint32_t index);

/* One flow less. */
void source_leave(struct sources *sources, uint32_t index);

struct source *source_at(struct sources *sources, uint32_t index);

#endif
