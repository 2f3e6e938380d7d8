#include "dataplane/nat.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/check.h"

enum {
	PORTS_ALL = 65536,
	PICK_TRIES = 8,
	RECLAIM_MAX = 4, /* a new mapping takes one port, so this always gains */
	WORD_BITS = 64,
	NONE = 0, /* no index */
};

/* Kinds of mappings that have the whole slice each. */
enum group { TCP4, UDP4, ECHO4, TCP6, UDP6, ECHO6, GROUP_COUNT };

/* What is mapped: hashed and compared as bytes. */
struct endpoint {
	uint8_t addr[16];
	uint16_t port;
	uint8_t version;
	uint8_t proto;
};

_Static_assert(sizeof(struct endpoint) == 20, "no padding: endpoints are hashed as bytes");

/*
 * The place of one group's port. It is free (its bit in the bitmap is set), live (map.flows is
 * not 0), held (in the list of its group; still found by its endpoint), or busy (none of these).
 */
struct entry {
	_Alignas(64) struct nat_map map;
	uint32_t hash;      /* of the endpoint; valid while live or held */
	uint32_t chain;     /* next of the same bucket, live or held */
	uint32_t held_prev; /* valid while held */
	uint32_t held_next;
	uint64_t held_ms; /* since when */
};

_Static_assert(sizeof(struct entry) == 64, "a mapping is one cache line");

struct ports {
	uint64_t *free; /* bitmap of words */
	unsigned free_count;
	uint32_t held_first; /* held longest */
	uint32_t held_last;
};

struct nat {
	uint64_t seed;
	uint64_t random;
	uint16_t port_first;
	unsigned count;
	unsigned words;
	struct ports ports[GROUP_COUNT];
	void *memory;          /* what the entries are in */
	struct entry *entries; /* group by group; index i is entries[i - 1] */
	uint32_t *buckets;
	uint32_t bucket_mask;
	size_t live;
};

/* splitmix64 */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static unsigned random_below(struct nat *nat, unsigned limit)
{
	return (unsigned)(((random_next(&nat->random) >> 32) * limit) >> 32);
}

static bool is_free(const uint64_t *words, unsigned at)
{
	return words[at / WORD_BITS] >> (at % WORD_BITS) & 1;
}

static void set_free(struct ports *ports, unsigned at)
{
	ports->free[at / WORD_BITS] |= 1ULL << (at % WORD_BITS);
	ports->free_count++;
}

static void clear_free(struct ports *ports, unsigned at)
{
	ports->free[at / WORD_BITS] &= ~(1ULL << (at % WORD_BITS));
	ports->free_count--;
}

/* All ports but the busy ones are free. Port 0 means nothing on the wire. */
static void ports_init(struct nat *nat, struct ports *ports, const uint16_t *busy,
		       size_t busy_count)
{
	for (unsigned at = 0; at < nat->count; at++)
		set_free(ports, at);
	if (nat->port_first == 0 && nat->count > 0)
		clear_free(ports, 0);
	for (size_t i = 0; i < busy_count; i++) {
		unsigned at = (unsigned)busy[i] - nat->port_first;

		if (at < nat->count && is_free(ports->free, at))
			clear_free(ports, at);
	}
}

struct nat *nat_create(uint16_t port_first, unsigned count, const uint16_t *busy, size_t busy_count,
		       uint64_t seed)
{
	struct nat *nat = calloc(1, sizeof(*nat));
	uint64_t *words;
	uint32_t buckets = 1;

	if (!nat)
		return NULL;
	if (count > PORTS_ALL - (unsigned)port_first)
		count = PORTS_ALL - (unsigned)port_first;
	while (buckets < 2 * count)
		buckets *= 2;
	nat->seed = random_next(&seed);
	nat->random = random_next(&seed);
	nat->port_first = port_first;
	nat->count = count;
	nat->words = count / WORD_BITS + 1;
	nat->bucket_mask = buckets - 1;
	/* Cleared memory from the system costs nothing until a port is used. */
	nat->memory = calloc((size_t)GROUP_COUNT * count + 1, sizeof(*nat->entries));
	nat->buckets = calloc(buckets, sizeof(*nat->buckets));
	words = calloc((size_t)GROUP_COUNT * nat->words, sizeof(*words));
	if (!nat->memory || !nat->buckets || !words) {
		free(words);
		free(nat->buckets);
		free(nat->memory);
		free(nat);
		return NULL;
	}
	nat->entries = (struct entry *)(((uintptr_t)nat->memory + 63) & ~(uintptr_t)63);
	for (unsigned group = 0; group < GROUP_COUNT; group++) {
		nat->ports[group].free = words + (size_t)group * nat->words;
		ports_init(nat, &nat->ports[group], busy, busy_count);
	}
	return nat;
}

void nat_destroy(struct nat *nat)
{
	if (!nat)
		return;
	free(nat->ports[0].free);
	free(nat->buckets);
	free(nat->memory);
	free(nat);
}

/* GROUP_COUNT: a protocol that has nothing to translate. */
static enum group group_of(uint8_t version, uint8_t proto)
{
	if (version == 4) {
		switch (proto) {
		case PROTO_TCP:
			return TCP4;
		case PROTO_UDP:
			return UDP4;
		case PROTO_ICMP:
			return ECHO4;
		}
	} else if (version == 6) {
		switch (proto) {
		case PROTO_TCP:
			return TCP6;
		case PROTO_UDP:
			return UDP6;
		case PROTO_ICMP6:
			return ECHO6;
		}
	}
	return GROUP_COUNT;
}

static uint32_t index_of(const struct nat *nat, enum group group, unsigned at)
{
	return (uint32_t)group * nat->count + at + 1;
}

static struct entry *entry_of(const struct nat *nat, uint32_t index)
{
	return &nat->entries[index - 1];
}

static unsigned at_of(const struct nat *nat, const struct entry *entry)
{
	return (unsigned)entry->map.outer_port - nat->port_first;
}

static uint32_t hash_of(const struct nat *nat, const struct endpoint *endpoint)
{
	return (uint32_t)XXH3_64bits_withSeed(endpoint, sizeof(*endpoint), nat->seed);
}

static uint32_t *bucket_of(const struct nat *nat, uint32_t hash)
{
	return &nat->buckets[hash & nat->bucket_mask];
}

static bool is_of(const struct nat_map *map, const struct endpoint *e)
{
	return map->inner_port == e->port && map->version == e->version && map->proto == e->proto &&
	       memcmp(map->inner, e->addr, sizeof(e->addr)) == 0;
}

/* The mapping of an endpoint, live or held; or NONE. */
static uint32_t find(const struct nat *nat, const struct endpoint *endpoint, uint32_t hash)
{
	uint32_t index = *bucket_of(nat, hash);

	while (index != NONE) {
		const struct entry *entry = entry_of(nat, index);

		if (entry->hash == hash && is_of(&entry->map, endpoint))
			break;
		index = entry->chain;
	}
	return index;
}

static void chain_remove(struct nat *nat, uint32_t index)
{
	struct entry *entry = entry_of(nat, index);
	uint32_t *link = bucket_of(nat, entry->hash);

	while (*link != index) {
		CHECK(*link != NONE);
		link = &entry_of(nat, *link)->chain;
	}
	*link = entry->chain;
}

static void held_append(struct nat *nat, struct ports *ports, uint32_t index)
{
	struct entry *entry = entry_of(nat, index);

	entry->held_prev = ports->held_last;
	entry->held_next = NONE;
	if (ports->held_last != NONE)
		entry_of(nat, ports->held_last)->held_next = index;
	else
		ports->held_first = index;
	ports->held_last = index;
}

static void held_remove(struct nat *nat, struct ports *ports, uint32_t index)
{
	struct entry *entry = entry_of(nat, index);

	if (entry->held_prev != NONE)
		entry_of(nat, entry->held_prev)->held_next = entry->held_next;
	else
		ports->held_first = entry->held_next;
	if (entry->held_next != NONE)
		entry_of(nat, entry->held_next)->held_prev = entry->held_prev;
	else
		ports->held_last = entry->held_prev;
}

/* Forget the mapping held longest; its port is then neither held nor free. */
static unsigned held_take(struct nat *nat, struct ports *ports)
{
	uint32_t index = ports->held_first;

	held_remove(nat, ports, index);
	chain_remove(nat, index);
	return at_of(nat, entry_of(nat, index));
}

/* Free a few ports whose hold is over, so that no call pays for all. */
static void held_reclaim(struct nat *nat, struct ports *ports, uint64_t now_ms)
{
	for (unsigned i = 0; i < RECLAIM_MAX && ports->held_first != NONE; i++) {
		if (now_ms - entry_of(nat, ports->held_first)->held_ms < NAT_HOLD_MS)
			break;
		set_free(ports, held_take(nat, ports));
	}
}

/*
 * A random free port; there must be one. Probing first keeps the choice uniform (RFC 6056, 3.3.2)
 * as long as the slice is not nearly full; then the next free port after a random one.
 *
 * odd: the last bit of its place in the slice, if that costs nothing; -1: either
 */
static unsigned free_pick(struct nat *nat, const uint64_t *words, int odd)
{
	uint64_t mask = odd < 0 ? ~0ULL : 0x5555555555555555ULL << odd;
	unsigned at = 0;

	for (unsigned i = 0; i < PICK_TRIES; i++) {
		at = random_below(nat, nat->count);
		if (odd >= 0 && (at & 1) != (unsigned)odd)
			at ^= 1;
		if (at < nat->count && is_free(words, at))
			return at;
	}
	for (;; mask = ~0ULL) {
		unsigned word = at / WORD_BITS;
		uint64_t bits = words[word] & mask & (~0ULL << (at % WORD_BITS));

		/* Once round: the first word comes again, with the bits below. */
		for (unsigned i = 0; !bits && i < nat->words; i++) {
			word = word + 1 < nat->words ? word + 1 : 0;
			bits = words[word] & mask;
		}
		if (bits)
			return word * WORD_BITS + (unsigned)__builtin_ctzll(bits);
	}
}

/* RFC 6888 REQ-8: a port rests before it stands for another endpoint, unless ports are short. */
static bool port_take(struct nat *nat, struct ports *ports, int odd, uint64_t now_ms, unsigned *at)
{
	held_reclaim(nat, ports, now_ms);
	if (ports->free_count > 0) {
		*at = free_pick(nat, ports->free, odd);
		clear_free(ports, *at);
	} else if (ports->held_first != NONE) {
		*at = held_take(nat, ports);
	} else {
		return false;
	}
	return true;
}

static struct endpoint source_of(const struct flow_key *key)
{
	struct endpoint e = {.port = key->src_port, .version = key->version, .proto = key->proto};

	memcpy(e.addr, key->src, sizeof(e.addr));
	return e;
}

/* Media streams expect RTP at an even port and RTCP at the next (RFC 4787, section 4.2.2). */
static int wanted_parity(const struct nat *nat, const struct flow_key *key)
{
	return key->proto == PROTO_UDP ? (key->src_port ^ nat->port_first) & 1 : -1;
}

bool nat_is_mapped(const struct nat *nat, const struct flow_key *key)
{
	struct endpoint endpoint = source_of(key);
	uint32_t index = find(nat, &endpoint, hash_of(nat, &endpoint));

	return index != NONE && entry_of(nat, index)->map.flows > 0;
}

uint32_t nat_hash(const struct nat *nat, const struct flow_key *key)
{
	struct endpoint endpoint = source_of(key);
	uint32_t hash = hash_of(nat, &endpoint);

	__builtin_prefetch(bucket_of(nat, hash));
	return hash;
}

void nat_prefetch(const struct nat *nat, uint32_t hash)
{
	uint32_t index = *bucket_of(nat, hash);

	if (index != NONE)
		__builtin_prefetch(entry_of(nat, index), 1);
}

bool nat_is_full(const struct nat *nat, const struct flow_key *key)
{
	enum group group = group_of(key->version, key->proto);

	return group == GROUP_COUNT ||
	       (nat->ports[group].free_count == 0 && nat->ports[group].held_first == NONE);
}

void nat_prefetch_map(const struct nat *nat, uint32_t index)
{
	__builtin_prefetch(entry_of(nat, index), 1);
}

void nat_prefetch_end(const struct nat *nat, uint32_t index)
{
	__builtin_prefetch(bucket_of(nat, entry_of(nat, index)->hash), 1);
}

void nat_prefetch_outer(const struct nat *nat, uint8_t version, uint8_t proto, uint16_t outer_port)
{
	enum group group = group_of(version, proto);
	unsigned at = (unsigned)outer_port - nat->port_first;

	if (group != GROUP_COUNT && at < nat->count)
		__builtin_prefetch(entry_of(nat, index_of(nat, group, at)));
}

uint32_t nat_acquire(struct nat *nat, const struct flow_key *key, uint64_t now_ms)
{
	enum group group = group_of(key->version, key->proto);
	struct endpoint endpoint = source_of(key);
	struct ports *ports;
	struct entry *entry;
	uint32_t *bucket;
	uint32_t hash, index;
	unsigned at;

	if (group == GROUP_COUNT)
		return NONE;
	ports = &nat->ports[group];
	hash = hash_of(nat, &endpoint);
	bucket = bucket_of(nat, hash);
	index = find(nat, &endpoint, hash);
	if (index == NONE) {
		if (!port_take(nat, ports, wanted_parity(nat, key), now_ms, &at))
			return NONE;
		index = index_of(nat, group, at);
		entry = entry_of(nat, index);
		entry->map = (struct nat_map){
			.inner_port = key->src_port,
			.outer_port = (uint16_t)(nat->port_first + at),
			.version = key->version,
			.proto = key->proto,
		};
		memcpy(entry->map.inner, key->src, sizeof(entry->map.inner));
		entry->hash = hash;
		entry->chain = *bucket;
		*bucket = index;
	} else {
		entry = entry_of(nat, index);
		if (entry->map.flows == 0)
			held_remove(nat, ports, index);
	}
	if (entry->map.flows++ == 0)
		nat->live++;
	return index;
}

static bool is_index(const struct nat *nat, uint32_t index)
{
	return index != NONE && index <= (uint32_t)GROUP_COUNT * nat->count;
}

void nat_release(struct nat *nat, uint32_t index, uint64_t now_ms)
{
	struct entry *entry;

	CHECK(is_index(nat, index));
	entry = entry_of(nat, index);
	CHECK(entry->map.flows > 0);
	if (--entry->map.flows > 0)
		return;
	nat->live--;
	entry->held_ms = now_ms;
	held_append(nat, &nat->ports[group_of(entry->map.version, entry->map.proto)], index);
}

const struct nat_map *nat_at(const struct nat *nat, uint32_t index)
{
	return is_index(nat, index) ? &entry_of(nat, index)->map : NULL;
}

const struct nat_map *nat_find_outer(const struct nat *nat, uint8_t version, uint8_t proto,
				     uint16_t outer_port)
{
	enum group group = group_of(version, proto);
	unsigned at = (unsigned)outer_port - nat->port_first;
	const struct nat_map *map;

	if (group == GROUP_COUNT || at >= nat->count)
		return NULL;
	map = &entry_of(nat, index_of(nat, group, at))->map;
	return map->flows > 0 ? map : NULL;
}

bool nat_owns(const struct nat *nat, uint16_t outer_port)
{
	return (unsigned)outer_port - nat->port_first < nat->count;
}

size_t nat_count(const struct nat *nat)
{
	return nat->live;
}
