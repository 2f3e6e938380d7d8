/*
 * Source translation: which outer port stands for which inner endpoint, for one worker and one
 * egress.
 *
 * Overview: endpoint-independent mapping (RFC 4787 REQ-1, RFC 5382 REQ-1): one outer port for one
 * inner address and port of a protocol, whatever the destinations. Each of {v4, v6} x {TCP, UDP,
 * ICMP echo} has the whole port slice for itself. Filtering is by flow (address and port
 * dependent): the worker lets in what a live flow asked for. A mapping lives as long as flows
 * refer to it, and its port then rests for NAT_HOLD_MS (RFC 6888 REQ-8) unless ports are short.
 * Ports are chosen at random in the slice (RFC 6056), for UDP an even one for an even one while
 * there are such (RFC 4787 REQ-4).
 *
 * Threads: owned by one worker; nobody else touches it.
 */
#ifndef SLUICE_DATAPLANE_NAT_H
#define SLUICE_DATAPLANE_NAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/packet.h"

struct nat;

enum {
	NAT_HOLD_MS = 120000,
};

/* One translation. index is what flows keep (never 0). */
struct nat_map {
	uint8_t inner[16]; /* wire order; IPv4 in the first 4 bytes */
	uint16_t inner_port;
	uint16_t outer_port;
	uint8_t version;
	uint8_t proto;
	uint32_t flows; /* that refer to it */
};

/*
 * port_first, count: the slice, host byte order
 * busy, busy_count:  ports in it that must never be used; copied
 * seed:              random
 * Errors:            NULL when memory is short
 */
struct nat *nat_create(uint16_t port_first, unsigned count, const uint16_t *busy, size_t busy_count,
		       uint64_t seed);
void nat_destroy(struct nat *nat); /* NULL does nothing */

/*
 * The mapping of the key's source, made if there is none, with one more flow that refers to it.
 *
 * Returns: its index, or 0 when no port is free or the protocol has none
 */
uint32_t nat_acquire(struct nat *nat, const struct flow_key *key, uint64_t now_ms);

/*
 * For a burst: fetch what nat_acquire will read towards the cache, first for all of them nat_hash,
 * then nat_prefetch with what it gave.
 */
uint32_t nat_hash(const struct nat *nat, const struct flow_key *key);
void nat_prefetch(const struct nat *nat, uint32_t hash);

/* Whether a new mapping for the key's source must wait for the end of another. */
bool nat_is_full(const struct nat *nat, const struct flow_key *key);

/* The same for mappings that will end: first nat_prefetch_map, then nat_prefetch_end. */
void nat_prefetch_map(const struct nat *nat, uint32_t index);
void nat_prefetch_end(const struct nat *nat, uint32_t index);

/* The same for nat_find_outer. */
void nat_prefetch_outer(const struct nat *nat, uint8_t version, uint8_t proto, uint16_t outer_port);

/* Whether the key's source has a mapping that lives. */
bool nat_is_mapped(const struct nat *nat, const struct flow_key *key);

/* One flow less. */
void nat_release(struct nat *nat, uint32_t index, uint64_t now_ms);

const struct nat_map *nat_at(const struct nat *nat, uint32_t index);

/* The live mapping behind an outer port, or NULL. */
const struct nat_map *nat_find_outer(const struct nat *nat, uint8_t version, uint8_t proto,
				     uint16_t outer_port);

/* Whether a port is of the slice. */
bool nat_owns(const struct nat *nat, uint16_t outer_port);

/* Mappings in use, for status. */
size_t nat_count(const struct nat *nat);

#endif
