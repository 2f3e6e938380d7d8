#include "tests/model/lpm_model.h"

#include <stdbool.h>
#include <stdlib.h>

/* Written apart from lpm/, so that a fault there is not repeated here. */
static bool bit4(uint32_t addr, unsigned i)
{
	return addr >> (31 - i) & 1;
}

static bool bit6(const struct addr6 *addr, unsigned i)
{
	return (i < 64 ? addr->hi >> (63 - i) : addr->lo >> (127 - i)) & 1;
}

static bool contains4(const struct lpm4_route *route, uint32_t addr)
{
	for (unsigned i = 0; i < route->len; i++) {
		if (bit4(route->addr, i) != bit4(addr, i))
			return false;
	}
	return true;
}

static bool contains6(const struct lpm6_route *route, const struct addr6 *addr)
{
	for (unsigned i = 0; i < route->len; i++) {
		if (bit6(&route->addr, i) != bit6(addr, i))
			return false;
	}
	return true;
}

uint16_t lpm_model_lookup4(const struct lpm4_route *routes, size_t n, uint32_t addr)
{
	uint16_t verdict = LPM_NONE;
	int longest = -1;

	for (size_t i = 0; i < n; i++) {
		if (routes[i].len > longest && contains4(&routes[i], addr)) {
			longest = routes[i].len;
			verdict = routes[i].verdict;
		}
	}
	return verdict;
}

uint16_t lpm_model_lookup6(const struct lpm6_route *routes, size_t n, const struct addr6 *addr)
{
	uint16_t verdict = LPM_NONE;
	int longest = -1;

	for (size_t i = 0; i < n; i++) {
		if (routes[i].len > longest && contains6(&routes[i], addr)) {
			longest = routes[i].len;
			verdict = routes[i].verdict;
		}
	}
	return verdict;
}

static int compare4(const void *x, const void *y)
{
	const struct lpm4_route *a = x, *b = y;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return (int)a->len - (int)b->len;
}

static int compare6(const void *x, const void *y)
{
	const struct lpm6_route *a = x, *b = y;

	if (a->addr.hi != b->addr.hi)
		return a->addr.hi < b->addr.hi ? -1 : 1;
	if (a->addr.lo != b->addr.lo)
		return a->addr.lo < b->addr.lo ? -1 : 1;
	return (int)a->len - (int)b->len;
}

size_t lpm_model_sort4(struct lpm4_route *routes, size_t n)
{
	size_t kept = 0;

	qsort(routes, n, sizeof(*routes), compare4);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || compare4(&routes[kept - 1], &routes[i]) != 0)
			routes[kept++] = routes[i];
	}
	return kept;
}

size_t lpm_model_sort6(struct lpm6_route *routes, size_t n)
{
	size_t kept = 0;

	qsort(routes, n, sizeof(*routes), compare6);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || compare6(&routes[kept - 1], &routes[i]) != 0)
			routes[kept++] = routes[i];
	}
	return kept;
}

uint64_t lpm_model_random(uint64_t *state)
{
	/* xorshift64* */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

uint32_t lpm_model_addr4(uint64_t *state)
{
	static const uint32_t places[] = {
		0x00000000, 0x0a000000, 0x0a000080, 0x0a0000ff, 0x0a000100, 0x0a00ff00, 0x7fffffff,
		0x80000000, 0xc0000200, 0xc000027f, 0xc00002fe, 0xffffff00, 0xffffffff,
	};
	uint64_t random = lpm_model_random(state);
	uint32_t place = places[random % (sizeof(places) / sizeof(places[0]))];

	switch (random >> 32 & 7) {
	case 0:
		return (uint32_t)lpm_model_random(state); /* anywhere */
	case 1:
	case 2:
		return place + (uint32_t)(random >> 40 & 1023) - 512;
	case 3:
		return place ^ UINT32_C(1) << (random >> 40 & 31);
	default:
		return place + (uint32_t)(random >> 40 & 7) - 4;
	}
}

struct addr6 lpm_model_addr6(uint64_t *state)
{
	static const struct addr6 places[] = {
		{0, 0},
		{0, UINT64_MAX},
		{1, 0},
		{UINT64_C(0x20010db800000000), 0},
		{UINT64_C(0x20010db800000000), UINT64_C(1) << 63},
		{UINT64_C(0x20010db800000000), UINT64_MAX},
		{UINT64_C(0x20010db800000001), 0},
		{UINT64_C(0x20010db8ffffffff), UINT64_MAX},
		{UINT64_MAX, 0},
		{UINT64_MAX, UINT64_MAX},
	};
	uint64_t random = lpm_model_random(state);
	struct addr6 addr = places[random % (sizeof(places) / sizeof(places[0]))];
	unsigned bit = random >> 40 & 127;

	switch (random >> 32 & 7) {
	case 0: /* anywhere */
		addr.hi = lpm_model_random(state);
		addr.lo = lpm_model_random(state);
		break;
	case 1:
	case 2: /* neighbouring /64s */
		addr.hi += (random >> 40 & 7) - 4;
		break;
	case 3:
		if (bit < 64)
			addr.hi ^= UINT64_C(1) << bit;
		else
			addr.lo ^= UINT64_C(1) << (bit - 64);
		break;
	default:
		addr.lo += (random >> 40 & 7) - 4;
	}
	return addr;
}

/* Half the tables have few verdicts, so that neighbours often share one. */
static uint16_t random_verdict(uint64_t *state, bool few)
{
	return (uint16_t)(1 + lpm_model_random(state) % (few ? 3 : LPM_VERDICT_MAX));
}

size_t lpm_model_routes4(uint64_t *state, struct lpm4_route *routes, size_t n, unsigned min_len)
{
	static const uint8_t lens[] = {0,  1,  2,  7,  8,  9,  16, 20, 22, 23, 24, 24,
				       25, 25, 26, 27, 28, 29, 30, 31, 31, 32, 32, 32};
	bool few = lpm_model_random(state) & 1;

	for (size_t i = 0; i < n; i++) {
		unsigned len = lens[lpm_model_random(state) % sizeof(lens)];
		uint32_t addr = lpm_model_addr4(state);

		if (len < min_len)
			len = min_len;
		routes[i].addr = len == 0 ? 0 : addr >> (32 - len) << (32 - len);
		routes[i].len = (uint8_t)len;
		routes[i].verdict = random_verdict(state, few);
	}
	return lpm_model_sort4(routes, n);
}

size_t lpm_model_routes6(uint64_t *state, struct lpm6_route *routes, size_t n)
{
	static const uint8_t lens[] = {0,  1,  3,  16, 32, 47, 48,  56,  60,  62,  63,  64,
				       64, 65, 66, 68, 80, 96, 112, 120, 126, 127, 128, 128};
	bool few = lpm_model_random(state) & 1;

	for (size_t i = 0; i < n; i++) {
		unsigned len = lens[lpm_model_random(state) % sizeof(lens)];
		struct addr6 addr = lpm_model_addr6(state);

		for (unsigned bit = len; bit < 128; bit++) {
			if (bit < 64)
				addr.hi &= ~(UINT64_C(1) << (63 - bit));
			else
				addr.lo &= ~(UINT64_C(1) << (127 - bit));
		}
		routes[i].addr = addr;
		routes[i].len = (uint8_t)len;
		routes[i].verdict = random_verdict(state, few);
	}
	return lpm_model_sort6(routes, n);
}
