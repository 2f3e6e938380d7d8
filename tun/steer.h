/*
 * Which queue, and so which worker, serves an inner endpoint: the protocol, address and port (or
 * ICMP identifier) of the inner side, whoever it talks to. All flows of an endpoint meet in one
 * worker, so that a mapping independent of the destination needs nothing shared.
 *
 * The same for the BPF program, which chooses as packets leave the kernel (bpf/steer.c), and for
 * workers, which hand over what reached the wrong one. Only <stdint.h>, since BPF has no libc.
 */
#ifndef SLUICE_TUN_STEER_H
#define SLUICE_TUN_STEER_H

#include <stdint.h>

/*
 * Addresses in wire order, IPv4 in the first word and the others 0. Fragments have no ports: they
 * go by both addresses and the identification, in `id`, and port is 0.
 */
struct steer_key {
	uint32_t inner[4];
	uint32_t outer[4]; /* 0, but for fragments */
	uint32_t id;
	uint16_t port; /* wire order */
	uint8_t proto;
	uint8_t version; /* 4 or 6 */
};

/* Odd constants and the finish of MurmurHash3 (Appleby, public domain), seeded. */
static inline uint32_t steer_mix(uint32_t hash, uint32_t word)
{
	hash = (hash ^ word) * UINT32_C(0xcc9e2d51);
	return hash << 15 | hash >> 17;
}

static inline uint32_t steer_hash(const struct steer_key *key, uint32_t seed)
{
	uint32_t hash = seed;

	hash = steer_mix(hash,
			 (uint32_t)key->port << 16 | (uint32_t)key->proto << 8 | key->version);
	hash = steer_mix(hash, key->inner[0]);
	hash = steer_mix(hash, key->inner[1]);
	hash = steer_mix(hash, key->inner[2]);
	hash = steer_mix(hash, key->inner[3]);
	hash = steer_mix(hash, key->outer[0]);
	hash = steer_mix(hash, key->outer[1]);
	hash = steer_mix(hash, key->outer[2]);
	hash = steer_mix(hash, key->outer[3]);
	hash = steer_mix(hash, key->id);
	hash ^= hash >> 16;
	hash *= UINT32_C(0x85ebca6b);
	hash ^= hash >> 13;
	hash *= UINT32_C(0xc2b2ae35);
	return hash ^ hash >> 16;
}

/* The queue of `count`: the kernel takes 16 bits of what the program returns, and the remainder. */
static inline unsigned steer_queue(const struct steer_key *key, uint32_t seed, unsigned count)
{
	return (steer_hash(key, seed) & 0xffff) % count;
}

#endif
