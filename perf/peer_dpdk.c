/* DPDK's tables. */
#include "perf/peer.h"

#include <rte_config.h>
#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_lpm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "perf/eal_dpdk.h"

enum {
	FIRST_BITS = 24, /* of the address: the index of the first level of all of them */
	FIRST = 1 << FIRST_BITS,
	GROUP = 256,
};

_Static_assert(PEER_ADDR6_BYTES == RTE_FIB6_IPV6_ADDR_SIZE, "an address");
_Static_assert(LPM_VERDICT_MAX >> 12 == 0, "see nothing()");

struct peer_ops {
	bool (*select)(const struct peer *peer);
	/* n is 1, 8, 32 or 256 where speed matters */
	void (*burst)(const struct peer *peer, const struct peer_keys *keys, size_t at, unsigned n,
		      uint16_t *out);
	void (*pass)(const struct peer *peer, const struct peer_keys *keys, unsigned burst);
	void (*pass_dependent)(const struct peer *peer, const struct peer_keys *keys);
	void (*destroy)(void *table);
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

__attribute__((format(printf, 2, 3))) static void remark(struct peer_set *set, const char *format,
							 ...)
{
	va_list args;

	if (set->remark_count == PEER_REMARKS_MAX)
		return;
	va_start(args, format);
	vsnprintf(set->remarks[set->remark_count++], PEER_REMARK_MAX, format, args);
	va_end(args);
}

static struct peer *add_peer(struct peer_set *set, const struct peer *peer)
{
	if (set->count == PEERS_MAX)
		return NULL;
	set->peers[set->count] = *peer;
	return &set->peers[set->count++];
}

/* A peer for each way of looking up that the table and the processor have; from type 1 on. */
static void add_ways(struct peer_set *set, struct peer peer, const char *const *ways,
		     unsigned count)
{
	bool owned = false;

	for (unsigned i = 0; i < count; i++) {
		peer.type = (int)i + 1;
		peer.owner = !owned;
		snprintf(peer.name, sizeof(peer.name), "%s %s", peer.table_name, ways[i]);
		if (peer.ops->select(&peer))
			owned |= add_peer(set, &peer) != NULL;
	}
	if (!owned)
		peer.ops->destroy(peer.table);
}

/* A bit of each entry tells groups from next hops, and the rest is the number of either. */
static bool has_room(struct peer_set *set, const char *name, size_t groups, unsigned width_log2)
{
	size_t max = ((size_t)1 << ((8U << width_log2) - 1)) - 1;

	if (groups < max)
		return true;
	remark(set, "%s cannot hold the table: its second level has %zu groups, %zu are needed",
	       name, max, groups);
	return false;
}

static void remark_failure(struct peer_set *set, const char *name, int error)
{
	remark(set, "%s could not be filled: %s", name, rte_strerror(error));
}

static bool select_nothing(const struct peer *peer)
{
	(void)peer;
	return true;
}

/* 0 of a verdict, which is only known once it is there. No comparison: that could be foretold. */
static inline uint32_t nothing(uint64_t hop)
{
	return (uint32_t)(hop >> 12);
}

/* rte_fib */

static bool fib_select(const struct peer *peer)
{
	return rte_fib_select_lookup(peer->table, (enum rte_fib_lookup_type)peer->type) == 0;
}

static void fib_burst(const struct peer *peer, const struct peer_keys *keys, size_t at, unsigned n,
		      uint16_t *out)
{
	uint64_t hops[LPM_BURST_MAX];

	rte_fib_lookup_bulk(peer->table, (uint32_t *)keys->v4 + at, hops, (int)n);
	for (unsigned i = 0; i < n; i++)
		out[i] = (uint16_t)hops[i];
}

static void fib_pass(const struct peer *peer, const struct peer_keys *keys, unsigned burst)
{
	uint64_t hops[LPM_BURST_MAX], sum = 0;

	for (size_t i = 0; i < keys->count; i += burst) {
		rte_fib_lookup_bulk(peer->table, (uint32_t *)keys->v4 + i, hops, (int)burst);
		sum += hops[0];
	}
	__asm__ volatile("" : : "r"(sum));
}

static void fib_pass_dependent(const struct peer *peer, const struct peer_keys *keys)
{
	uint64_t hop = 0;

	for (size_t i = 0; i < keys->count; i++) {
		uint32_t key = keys->v4[i] ^ nothing(hop);

		rte_fib_lookup_bulk(peer->table, &key, &hop, 1);
	}
	__asm__ volatile("" : : "r"(hop));
}

static void fib_destroy(void *table)
{
	rte_fib_free(table);
}

static const struct peer_ops fib_ops = {
	.select = fib_select,
	.burst = fib_burst,
	.pass = fib_pass,
	.pass_dependent = fib_pass_dependent,
	.destroy = fib_destroy,
};

/* /24s that hold longer prefixes. */
static size_t count_groups4(const struct lpm4_route *routes, size_t n)
{
	uint32_t last = UINT32_MAX;
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		if (routes[i].len <= FIRST_BITS || routes[i].addr >> 8 == last)
			continue;
		last = routes[i].addr >> 8;
		count++;
	}
	return count;
}

static void add_fib(struct peer_set *set, unsigned width_log2, const struct lpm4_route *routes,
		    size_t n)
{
	static const char *const ways[] = {"scalar macro", "scalar inline", "scalar uni", "avx512"};
	size_t groups = count_groups4(routes, n);
	struct rte_fib_conf conf = {
		.type = RTE_FIB_DIR24_8,
		.default_nh = LPM_NONE,
		.max_routes = (int)n + 1,
		.dir24_8 = {(enum rte_fib_dir24_8_nh_sz)width_log2, (uint32_t)groups + 1},
	};
	struct peer peer = {
		.kind = PEER_FIB, .burst_min = 1, .burst_max = LPM_BURST_MAX, .ops = &fib_ops};
	double start = now_ms();
	struct rte_fib *fib;
	int rc = 0;

	snprintf(peer.table_name, sizeof(peer.table_name), "rte_fib %uB", 1U << width_log2);
	if (!has_room(set, peer.table_name, groups, width_log2))
		return;
	fib = rte_fib_create(peer.table_name, -1, &conf);
	if (fib == NULL) {
		remark_failure(set, peer.table_name, rte_errno);
		return;
	}
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = rte_fib_add(fib, routes[i].addr, routes[i].len, routes[i].verdict);
	if (rc != 0) {
		remark_failure(set, peer.table_name, -rc);
		rte_fib_free(fib);
		return;
	}
	peer.build_ms = now_ms() - start;
	peer.size_bytes = (FIRST + conf.dir24_8.num_tbl8 * GROUP) << width_log2;
	peer.table = fib;
	add_ways(set, peer, ways, sizeof(ways) / sizeof(ways[0]));
}

/* rte_lpm */

enum lpm_way {
	LPM_ONE = 1,
	LPM_BULK,
	LPM_X4,
};

static inline void lpm_bulk(const struct rte_lpm *lpm, const uint32_t *keys, uint32_t *hops,
			    unsigned n)
{
	rte_lpm_lookup_bulk(lpm, keys, hops, n);
}

static inline void lpm_x4(const struct rte_lpm *lpm, const uint32_t *keys, uint32_t *hops,
			  unsigned n)
{
	for (unsigned i = 0; i < n; i += 4) {
		xmm_t four;

		memcpy(&four, keys + i, sizeof(four));
		rte_lpm_lookupx4(lpm, four, hops + i, LPM_NONE);
	}
}

static uint16_t lpm_verdict(uint32_t hop, enum lpm_way way)
{
	if (way != LPM_X4 && (hop & RTE_LPM_LOOKUP_SUCCESS) == 0)
		return LPM_NONE;
	return (uint16_t)hop;
}

static void lpm_burst(const struct peer *peer, const struct peer_keys *keys, size_t at, unsigned n,
		      uint16_t *out)
{
	uint32_t hops[LPM_BURST_MAX];

	if (peer->type == LPM_X4)
		lpm_x4(peer->table, keys->v4 + at, hops, n);
	else
		lpm_bulk(peer->table, keys->v4 + at, hops, n);
	for (unsigned i = 0; i < n; i++)
		out[i] = lpm_verdict(hops[i], (enum lpm_way)peer->type);
}

/* Inlined with constants: rte_lpm is quickest when the compiler knows how many there are. */
__attribute__((always_inline)) static inline void
lpm_bursts(const struct peer *peer, const struct peer_keys *keys, unsigned burst, bool four)
{
	uint32_t hops[LPM_BURST_MAX] = {0}, sum = 0;

	for (size_t i = 0; i < keys->count; i += burst) {
		if (four)
			lpm_x4(peer->table, keys->v4 + i, hops, burst);
		else
			lpm_bulk(peer->table, keys->v4 + i, hops, burst);
		/* All of them are wanted: what is inlined must not leave any out. */
		__asm__ volatile("" : : "r"(hops) : "memory");
		sum += hops[0];
	}
	__asm__ volatile("" : : "r"(sum));
}

__attribute__((always_inline)) static inline void lpm_bursts_one(const struct peer *peer,
								 const struct peer_keys *keys)
{
	uint32_t hop = 0, sum = 0;

	for (size_t i = 0; i < keys->count; i++) {
		rte_lpm_lookup(peer->table, keys->v4[i], &hop);
		sum += hop;
	}
	__asm__ volatile("" : : "r"(sum));
}

static void lpm_pass(const struct peer *peer, const struct peer_keys *keys, unsigned burst)
{
	if (peer->type == LPM_ONE)
		lpm_bursts_one(peer, keys);
	else if (burst == 8 && peer->type == LPM_X4)
		lpm_bursts(peer, keys, 8, true);
	else if (burst == 8)
		lpm_bursts(peer, keys, 8, false);
	else if (burst == 32 && peer->type == LPM_X4)
		lpm_bursts(peer, keys, 32, true);
	else if (burst == 32)
		lpm_bursts(peer, keys, 32, false);
	else
		lpm_bursts(peer, keys, burst, peer->type == LPM_X4);
}

static void lpm_pass_dependent(const struct peer *peer, const struct peer_keys *keys)
{
	uint32_t hop = 0;

	for (size_t i = 0; i < keys->count; i++)
		rte_lpm_lookup(peer->table, keys->v4[i] ^ nothing(hop), &hop);
	__asm__ volatile("" : : "r"(hop));
}

static void lpm_destroy(void *table)
{
	rte_lpm_free(table);
}

static const struct peer_ops lpm_ops = {
	.select = select_nothing,
	.burst = lpm_burst,
	.pass = lpm_pass,
	.pass_dependent = lpm_pass_dependent,
	.destroy = lpm_destroy,
};

static void lpm_fill(struct rte_lpm *lpm, const struct lpm4_route *routes, size_t n)
{
	uint32_t groups = 0;

	for (size_t i = 0; i < n; i++) {
		const struct lpm4_route *route = &routes[i];
		struct rte_lpm_tbl_entry entry = {
			.next_hop = route->verdict, .valid = 1, .depth = route->len};
		struct rte_lpm_tbl_entry *first = &lpm->tbl24[route->addr >> 8], *group;

		if (route->len <= FIRST_BITS) {
			for (size_t j = 0; j < (size_t)1 << (FIRST_BITS - route->len); j++)
				first[j] = entry;
			continue;
		}
		entry.valid_group = 1; /* in the second level: the group is in use */
		if (!first->valid_group) {
			struct rte_lpm_tbl_entry cover = *first;

			cover.valid_group = 1;
			for (size_t j = 0; j < GROUP; j++)
				lpm->tbl8[groups * GROUP + j] = cover;
			first->next_hop = groups++;
			first->valid = 1;
			first->valid_group = 1;
		}
		group = &lpm->tbl8[first->next_hop * GROUP + (route->addr & (GROUP - 1))];
		for (size_t j = 0; j < (size_t)1 << (32 - route->len); j++)
			group[j] = entry;
	}
}

/*
 * Its look-ups are measured, not its rte_lpm_add: that walks all rules of the same length, which
 * takes 45 s for the /24s of a full table. Sorted routes can be painted one over the other instead.
 */
static void add_lpm(struct peer_set *set, const struct lpm4_route *routes, size_t n)
{
	static const char *const ways[] = {"lookup", "bulk", "x4"};
	size_t groups = count_groups4(routes, n);
	struct rte_lpm_config conf = {.max_rules = 1, .number_tbl8s = (uint32_t)groups + 1};
	struct peer peer = {.table_name = "rte_lpm", .kind = PEER_LPM, .ops = &lpm_ops};
	struct rte_lpm *lpm = rte_lpm_create("rte_lpm", -1, &conf);

	if (lpm == NULL) {
		remark_failure(set, "rte_lpm", rte_errno);
		return;
	}
	lpm_fill(lpm, routes, n);
	peer.size_bytes = sizeof(*lpm) + conf.number_tbl8s * GROUP * sizeof(*lpm->tbl8);
	peer.table = lpm;
	add_ways(set, peer, ways, sizeof(ways) / sizeof(ways[0]));
	for (unsigned i = 0; i < set->count; i++) {
		if (set->peers[i].kind != PEER_LPM)
			continue;
		set->peers[i].burst_min = set->peers[i].type == LPM_ONE ? 1 : 8;
		set->peers[i].burst_max = set->peers[i].type == LPM_ONE ? 1 : LPM_BURST_MAX;
	}
}

/* rte_fib6 */

static bool fib6_select(const struct peer *peer)
{
	return rte_fib6_select_lookup(peer->table, (enum rte_fib6_lookup_type)peer->type) == 0;
}

static void fib6_lookup(const struct peer *peer, const uint8_t (*keys)[PEER_ADDR6_BYTES],
			uint64_t *hops, unsigned n)
{
	rte_fib6_lookup_bulk(peer->table, (uint8_t(*)[PEER_ADDR6_BYTES])keys, hops, (int)n);
}

static void fib6_burst(const struct peer *peer, const struct peer_keys *keys, size_t at, unsigned n,
		       uint16_t *out)
{
	uint64_t hops[LPM_BURST_MAX];

	fib6_lookup(peer, keys->v6 + at, hops, n);
	for (unsigned i = 0; i < n; i++)
		out[i] = (uint16_t)hops[i];
}

static void fib6_pass(const struct peer *peer, const struct peer_keys *keys, unsigned burst)
{
	uint64_t hops[LPM_BURST_MAX], sum = 0;

	for (size_t i = 0; i < keys->count; i += burst) {
		fib6_lookup(peer, keys->v6 + i, hops, burst);
		sum += hops[0];
	}
	__asm__ volatile("" : : "r"(sum));
}

static void fib6_pass_dependent(const struct peer *peer, const struct peer_keys *keys)
{
	uint64_t hop = 0;

	for (size_t i = 0; i < keys->count; i++) {
		uint8_t key[1][PEER_ADDR6_BYTES];

		memcpy(key[0], keys->v6[i], sizeof(key[0]));
		key[0][0] ^= (uint8_t)nothing(hop);
		fib6_lookup(peer, (const uint8_t(*)[PEER_ADDR6_BYTES])key, &hop, 1);
	}
	__asm__ volatile("" : : "r"(hop));
}

static void fib6_destroy(void *table)
{
	rte_fib6_free(table);
}

static const struct peer_ops fib6_ops = {
	.select = fib6_select,
	.burst = fib6_burst,
	.pass = fib6_pass,
	.pass_dependent = fib6_pass_dependent,
	.destroy = fib6_destroy,
};

static void put_bytes(struct addr6 addr, uint8_t out[PEER_ADDR6_BYTES])
{
	uint64_t halves[2] = {__builtin_bswap64(addr.hi), __builtin_bswap64(addr.lo)};

	memcpy(out, halves, sizeof(halves));
}

static bool same_start(struct addr6 a, struct addr6 b, unsigned bits)
{
	if (bits <= 64)
		return bits == 0 || (a.hi ^ b.hi) >> (64 - bits) == 0;
	return a.hi == b.hi && (bits == 64 || (a.lo ^ b.lo) >> (128 - bits) == 0);
}

/*
 * What rte_fib6_add sets aside when routes come in order: groups from the end of the innermost
 * prefix around a route down to its own, unless a neighbour has had them set aside.
 */
static size_t count_groups6(const struct lpm6_route *routes, size_t n)
{
	const struct lpm6_route *open[129];
	size_t count = 0;
	unsigned depth = 0;

	for (size_t i = 0; i < n; i++) {
		const struct lpm6_route *route = &routes[i];
		unsigned floor = route->len & ~7U, around = FIRST_BITS;

		while (depth > 0 &&
		       !same_start(open[depth - 1]->addr, route->addr, open[depth - 1]->len))
			depth--;
		if (depth > 0 && open[depth - 1]->len > around)
			around = open[depth - 1]->len;
		if (route->len > FIRST_BITS &&
		    !(i > 0 && routes[i - 1].len > floor &&
		      same_start(routes[i - 1].addr, route->addr, floor)))
			count += (route->len + 7U) / 8 - (around + 7) / 8;
		open[depth++] = route;
	}
	return count;
}

static void add_fib6(struct peer_set *set, unsigned width_log2, const struct lpm6_route *routes,
		     size_t n)
{
	static const char *const ways[] = {"scalar", "avx512"};
	size_t groups = count_groups6(routes, n);
	struct rte_fib6_conf conf = {
		.type = RTE_FIB6_TRIE,
		.default_nh = LPM_NONE,
		.max_routes = (int)n + 1,
		.trie = {(enum rte_fib_trie_nh_sz)width_log2, (uint32_t)groups + 1},
	};
	struct peer peer = {
		.kind = PEER_FIB, .burst_min = 1, .burst_max = LPM_BURST_MAX, .ops = &fib6_ops};
	double start = now_ms();
	struct rte_fib6 *fib;
	int rc = 0;

	snprintf(peer.table_name, sizeof(peer.table_name), "rte_fib6 %uB", 1U << width_log2);
	if (!has_room(set, peer.table_name, groups, width_log2))
		return;
	fib = rte_fib6_create(peer.table_name, -1, &conf);
	if (fib == NULL) {
		remark_failure(set, peer.table_name, rte_errno);
		return;
	}
	for (size_t i = 0; i < n && rc == 0; i++) {
		uint8_t addr[PEER_ADDR6_BYTES];

		put_bytes(routes[i].addr, addr);
		rc = rte_fib6_add(fib, addr, routes[i].len, routes[i].verdict);
	}
	if (rc != 0) {
		remark_failure(set, peer.table_name, -rc);
		rte_fib6_free(fib);
		return;
	}
	peer.build_ms = now_ms() - start;
	peer.size_bytes = ((size_t)FIRST + groups * GROUP) << width_log2;
	peer.table = fib;
	add_ways(set, peer, ways, sizeof(ways) / sizeof(ways[0]));
}

/* All of them */

bool peers_open(char text[PEER_REMARK_MAX])
{
	return eal_open(text, PEER_REMARK_MAX);
}

void peers_close(void)
{
	eal_close();
}

void peer_set_init4(struct peer_set *set, const struct lpm4_route *routes, size_t n)
{
	*set = (struct peer_set){0};
	for (unsigned width_log2 = RTE_FIB_DIR24_8_1B; width_log2 <= RTE_FIB_DIR24_8_4B;
	     width_log2++)
		add_fib(set, width_log2, routes, n);
	add_lpm(set, routes, n);
}

void peer_set_init6(struct peer_set *set, const struct lpm6_route *routes, size_t n)
{
	*set = (struct peer_set){0};
	for (unsigned width_log2 = RTE_FIB6_TRIE_2B; width_log2 <= RTE_FIB6_TRIE_4B; width_log2++)
		add_fib6(set, width_log2, routes, n);
}

void peer_set_fini(struct peer_set *set)
{
	for (unsigned i = 0; i < set->count; i++)
		if (set->peers[i].owner)
			set->peers[i].ops->destroy(set->peers[i].table);
	*set = (struct peer_set){0};
}

void peer_pass(const struct peer *peer, const struct peer_keys *keys, unsigned burst)
{
	peer->ops->select(peer);
	peer->ops->pass(peer, keys, burst);
}

void peer_pass_dependent(const struct peer *peer, const struct peer_keys *keys)
{
	peer->ops->select(peer);
	peer->ops->pass_dependent(peer, keys);
}

void peer_verdicts(const struct peer *peer, const struct peer_keys *keys, uint16_t *out)
{
	peer->ops->select(peer);
	for (size_t i = 0; i < keys->count; i += LPM_BURST_MAX)
		peer->ops->burst(peer, keys, i, LPM_BURST_MAX, out + i);
}
