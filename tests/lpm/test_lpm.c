/* Tables against the naive model, for both families, and what the builder refuses. */
#include <criterion/criterion.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/lpm.h"
#include "tests/model/lpm_model.h"

enum {
	ROUTES_MAX = 48,
	PROBES_MAX = ROUTES_MAX * 4 + 64,
	TABLES = 2000,
	WIDE_EVERY = 50, /* of these tables, one may hold prefixes that take long to lay out */
};

static const char *text4(uint32_t addr, char out[ADDR_TEXT_MAX])
{
	return addr_format(&(struct addr){.version = 4, .v4 = addr}, out);
}

static const char *text6(const struct addr6 *addr, char out[ADDR_TEXT_MAX])
{
	return addr_format(&(struct addr){.version = 6, .v6 = *addr}, out);
}

/* What a failure needs to be repeated by hand. */
static void print4(const struct lpm4_route *routes, size_t n)
{
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < n; i++)
		cr_log_error("  %s/%u -> %u", text4(routes[i].addr, text), routes[i].len,
			     routes[i].verdict);
}

static void print6(const struct lpm6_route *routes, size_t n)
{
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < n; i++)
		cr_log_error("  %s/%u -> %u", text6(&routes[i].addr, text), routes[i].len,
			     routes[i].verdict);
}

/* One by one, and in bursts of every size up to the most, from addresses at odd places. */
static void compare4(const struct lpm4_route *routes, size_t n, const uint32_t *probes,
		     size_t count)
{
	uint8_t raw[LPM_BURST_MAX * sizeof(uint32_t) + 1];
	uint16_t got[LPM_BURST_MAX];
	struct lpm4 *table = NULL;
	char text[ADDR_TEXT_MAX];

	cr_assert_eq(lpm4_build(routes, n, NULL, &table), 0);
	for (size_t i = 0, burst = 1; i < count; i += burst, burst = burst % LPM_BURST_MAX + 1) {
		if (burst > count - i)
			burst = count - i;
		memcpy(raw + 1, probes + i, burst * sizeof(uint32_t));
		lpm4_lookup_burst(table, (const uint32_t *)(const void *)(raw + 1), got,
				  (unsigned)burst);
		for (size_t k = 0; k < burst; k++) {
			uint32_t addr = probes[i + k];
			uint16_t expected = lpm_model_lookup4(routes, n, addr);
			uint16_t single = lpm4_lookup(table, addr);

			if (got[k] == expected && single == expected)
				continue;
			print4(routes, n);
			cr_assert_fail("%s: expected %u, got %u, in a burst of %zu %u",
				       text4(addr, text), expected, single, burst, got[k]);
		}
	}
	lpm4_destroy(table);
}

static void compare6(const struct lpm6_route *routes, size_t n, const struct addr6 *probes,
		     size_t count)
{
	uint8_t raw[LPM_BURST_MAX * sizeof(struct addr6) + 1];
	uint16_t got[LPM_BURST_MAX];
	struct lpm6 *table = NULL;
	char text[ADDR_TEXT_MAX];

	cr_assert_eq(lpm6_build(routes, n, NULL, &table), 0);
	for (size_t i = 0, burst = 1; i < count; i += burst, burst = burst % LPM_BURST_MAX + 1) {
		if (burst > count - i)
			burst = count - i;
		memcpy(raw + 1, probes + i, burst * sizeof(struct addr6));
		lpm6_lookup_burst(table, (const struct addr6 *)(const void *)(raw + 1), got,
				  (unsigned)burst);
		for (size_t k = 0; k < burst; k++) {
			const struct addr6 *addr = &probes[i + k];
			uint16_t expected = lpm_model_lookup6(routes, n, addr);
			uint16_t single = lpm6_lookup(table, addr);

			if (got[k] == expected && single == expected)
				continue;
			print6(routes, n);
			cr_assert_fail("%s: expected %u, got %u, in a burst of %zu %u",
				       text6(addr, text), expected, single, burst, got[k]);
		}
	}
	lpm6_destroy(table);
}

/* Each prefix's edges and their neighbours, then others. */
static size_t probe4(uint64_t *state, const struct lpm4_route *routes, size_t n, uint32_t *out)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t last = routes[i].addr | ~mask4(routes[i].len);

		out[count++] = routes[i].addr - 1;
		out[count++] = routes[i].addr;
		out[count++] = last;
		out[count++] = last + 1;
	}
	for (unsigned i = 0; i < 64; i++)
		out[count++] = lpm_model_addr4(state);
	return count;
}

static size_t probe6(uint64_t *state, const struct lpm6_route *routes, size_t n, struct addr6 *out)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		struct addr6 last = addr6_last(routes[i].addr, routes[i].len);

		out[count++] = addr6_subtract(routes[i].addr, (struct addr6){.lo = 1});
		out[count++] = routes[i].addr;
		out[count++] = last;
		out[count++] = addr6_next(last);
	}
	for (unsigned i = 0; i < 64; i++)
		out[count++] = lpm_model_addr6(state);
	return count;
}

Test(lpm_lpm4, random_tables_equal_the_model, .timeout = 120)
{
	struct lpm4_route routes[ROUTES_MAX];
	uint32_t probes[PROBES_MAX];
	uint64_t state = 20240101;

	for (unsigned i = 0; i < TABLES; i++) {
		size_t n = lpm_model_random(&state) % (ROUTES_MAX + 1);

		n = lpm_model_routes4(&state, routes, n, i % WIDE_EVERY == 0 ? 0 : 9);
		compare4(routes, n, probes, probe4(&state, routes, n, probes));
	}
}

Test(lpm_lpm6, random_tables_equal_the_model, .timeout = 120)
{
	struct lpm6_route routes[ROUTES_MAX];
	struct addr6 probes[PROBES_MAX];
	uint64_t state = 20240101;

	for (unsigned i = 0; i < TABLES; i++) {
		size_t n = lpm_model_random(&state) % (ROUTES_MAX + 1);

		n = lpm_model_routes6(&state, routes, n);
		compare6(routes, n, probes, probe6(&state, routes, n, probes));
	}
}

/* Every length at both ends of the space, each inside the one before, with a verdict of its own. */
Test(lpm_lpm4, nested_lengths, .timeout = 60)
{
	for (unsigned top = 0; top <= 1; top++) {
		struct lpm4_route routes[33];
		uint32_t probes[33 * 4 + 64];
		uint64_t state = 7;

		for (unsigned len = 0; len <= 32; len++)
			routes[len] = (struct lpm4_route){top != 0 ? mask4(len) : 0, (uint8_t)len,
							  (uint16_t)(LPM_VERDICT_MAX - len)};
		compare4(routes, 33, probes, probe4(&state, routes, 33, probes));
	}
}

Test(lpm_lpm6, nested_lengths, .timeout = 60)
{
	for (unsigned top = 0; top <= 1; top++) {
		struct lpm6_route routes[129];
		struct addr6 probes[129 * 4 + 64];
		uint64_t state = 7;

		for (unsigned len = 0; len <= 128; len++)
			routes[len] = (struct lpm6_route){top != 0 ? mask6(len) : (struct addr6){0},
							  (uint8_t)len,
							  (uint16_t)(LPM_VERDICT_MAX - len)};
		compare6(routes, 129, probes, probe6(&state, routes, 129, probes));
	}
}

/* The neighbour of a /24 that needs a group must not take part in it. */
Test(lpm_lpm4, groups_fill_exactly, .timeout = 60)
{
	static const struct lpm4_route routes[] = {
		{0x0a000000, 24, 1}, {0x0a000000, 25, 2}, {0x0a000080, 32, 3}, {0x0a000100, 24, 4},
		{0x0a0001ff, 32, 5}, {0x0a000300, 31, 6}, {0x0a0003fe, 31, 7}, {0xffffffff, 32, 8},
	};
	uint32_t probes[8 * 256];

	for (uint32_t i = 0; i < 8 * 256; i++)
		probes[i] = 0x0a000000 - 256 + i;
	compare4(routes, 8, probes, 8 * 256);
}

/* More groups than 16 bits can name. */
Test(lpm_lpm4, many_groups, .timeout = 60)
{
	enum { COUNT = 70000 };
	struct lpm4_route *routes = malloc(COUNT * sizeof(*routes));
	struct lpm4 *table = NULL;

	cr_assert_not_null(routes);
	for (uint32_t i = 0; i < COUNT; i++)
		routes[i] = (struct lpm4_route){0x0a000000 + i * 256 + (i & 255), 32,
						(uint16_t)(1 + i % LPM_VERDICT_MAX)};
	cr_assert_eq(lpm4_build(routes, COUNT, NULL, &table), 0);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint16_t got = lpm4_lookup(table, routes[i].addr);
		uint16_t beside = lpm4_lookup(table, routes[i].addr ^ 1);

		cr_assert_eq(got, routes[i].verdict, "route %u: expected %u, got %u", i,
			     routes[i].verdict, got);
		cr_assert_eq(beside, LPM_NONE, "beside route %u: expected none, got %u", i, beside);
	}
	lpm4_destroy(table);
	free(routes);
}

/* Numbers of groups that an index could be too narrow for. */
Test(lpm_lpm4, groups_at_the_limit, .timeout = 60)
{
	for (uint32_t count = 65535; count <= 65537; count++) {
		struct lpm4_route *routes = malloc(count * sizeof(*routes));
		uint32_t probes[6];
		struct lpm4 *table = NULL;

		cr_assert_not_null(routes);
		for (uint32_t i = 0; i < count; i++)
			routes[i] = (struct lpm4_route){i << 8, 25, (uint16_t)(1 + i % 1021)};
		cr_assert_eq(lpm4_build(routes, count, NULL, &table), 0);
		probes[0] = 0;
		probes[1] = 128;
		probes[2] = (count - 2) << 8;
		probes[3] = (count - 1) << 8;
		probes[4] = ((count - 1) << 8) + 128;
		probes[5] = count << 8;
		for (unsigned i = 0; i < 6; i++) {
			uint16_t expected = lpm_model_lookup4(routes, count, probes[i]);
			uint16_t got = lpm4_lookup(table, probes[i]);

			cr_assert_eq(got, expected, "%u groups, %08x: expected %u, got %u", count,
				     probes[i], expected, got);
		}
		lpm4_destroy(table);
		free(routes);
	}
}

/* Many runs inside one /64, and /64s side by side that each hold runs. */
Test(lpm_lpm6, runs_inside_neighbouring_64s, .timeout = 60)
{
	enum { BLOCKS = 3, HOSTS = 200, COUNT = BLOCKS * HOSTS };
	static struct lpm6_route routes[COUNT];
	static struct addr6 probes[COUNT * 4 + 64];
	uint64_t state = 99;
	size_t n = 0;

	for (uint64_t block = 0; block < BLOCKS; block++) {
		for (uint64_t host = 0; host < HOSTS; host++)
			routes[n++] = (struct lpm6_route){
				{UINT64_MAX - BLOCKS + 1 + block, host * 3 + (block == 1)},
				128,
				(uint16_t)(1 + host % 7)};
	}
	compare6(routes, n, probes, probe6(&state, routes, n, probes));
}

Test(lpm_build, refuses_bad_routes4)
{
	static const struct {
		const char *what;
		struct lpm4_route routes[2];
		int expected;
	} cases[] = {
		{"good", {{0x0a000000, 8, 1}, {0x0a000000, 9, LPM_VERDICT_MAX}}, 0},
		{"addresses out of order", {{0x0b000000, 8, 1}, {0x0a000000, 8, 1}}, -EINVAL},
		{"lengths out of order", {{0x0a000000, 9, 1}, {0x0a000000, 8, 1}}, -EINVAL},
		{"twice", {{0x0a000000, 8, 1}, {0x0a000000, 8, 2}}, -EINVAL},
		{"host bits", {{0x0a000000, 8, 1}, {0x0a000001, 24, 1}}, -EINVAL},
		{"host bits of /0", {{1, 0, 1}, {0x0a000000, 24, 1}}, -EINVAL},
		{"length", {{0x0a000000, 8, 1}, {0x80000000, 33, 1}}, -EINVAL},
		{"no verdict", {{0x0a000000, 8, LPM_NONE}, {0x0b000000, 8, 1}}, -EINVAL},
		{"verdict", {{0x0a000000, 8, 1}, {0x0b000000, 8, LPM_VERDICT_MAX + 1}}, -EINVAL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lpm4 *table = NULL;
		int rc = lpm4_build(cases[i].routes, 2, NULL, &table);

		cr_expect_eq(rc, cases[i].expected, "%s: expected %d, got %d", cases[i].what,
			     cases[i].expected, rc);
		cr_expect_eq(table != NULL, rc == 0, "%s: out %p", cases[i].what, (void *)table);
		lpm4_destroy(table);
	}
}

Test(lpm_build, refuses_bad_routes6)
{
	static const struct {
		const char *what;
		struct lpm6_route routes[2];
		int expected;
	} cases[] = {
		{"good", {{{16, 0}, 60, 1}, {{16, 0}, 61, LPM_VERDICT_MAX}}, 0},
		{"good, lower halves", {{{16, 1}, 128, 1}, {{16, 2}, 127, 1}}, 0},
		{"upper halves out of order", {{{17, 0}, 64, 1}, {{16, 0}, 64, 1}}, -EINVAL},
		{"lower halves out of order", {{{16, 2}, 128, 1}, {{16, 1}, 128, 1}}, -EINVAL},
		{"lengths out of order", {{{16, 0}, 61, 1}, {{16, 0}, 60, 1}}, -EINVAL},
		{"twice", {{{16, 0}, 60, 1}, {{16, 0}, 60, 2}}, -EINVAL},
		{"host bits above 64", {{{16, 0}, 59, 1}, {{32, 0}, 58, 1}}, -EINVAL},
		{"host bits below 64", {{{16, 0}, 60, 1}, {{16, 1}, 127, 1}}, -EINVAL},
		{"length", {{{16, 0}, 60, 1}, {{16, 0}, 129, 1}}, -EINVAL},
		{"no verdict", {{{16, 0}, 60, LPM_NONE}, {{17, 0}, 64, 1}}, -EINVAL},
		{"verdict", {{{16, 0}, 60, 1}, {{17, 0}, 64, LPM_VERDICT_MAX + 1}}, -EINVAL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lpm6 *table = NULL;
		int rc = lpm6_build(cases[i].routes, 2, NULL, &table);

		cr_expect_eq(rc, cases[i].expected, "%s: expected %d, got %d", cases[i].what,
			     cases[i].expected, rc);
		cr_expect_eq(table != NULL, rc == 0, "%s: out %p", cases[i].what, (void *)table);
		lpm6_destroy(table);
	}
}

/* Neighbours of one verdict are one run: no group, and no more than a deep cell. */
Test(lpm_build, joins_neighbours)
{
	static const struct lpm4_route halves[] = {{0x0a000000, 25, 3}, {0x0a000080, 25, 3}};
	static struct lpm6_route blocks[1000];
	struct lpm4 *empty = NULL, *v4 = NULL;
	struct lpm6 *empty6 = NULL, *v6 = NULL;

	for (unsigned i = 0; i < 1000; i++)
		blocks[i] = (struct lpm6_route){{i, 0}, 64, 7};
	cr_assert_eq(lpm4_build(NULL, 0, NULL, &empty), 0);
	cr_assert_eq(lpm4_build(halves, 2, NULL, &v4), 0);
	cr_assert_eq(lpm6_build(NULL, 0, NULL, &empty6), 0);
	cr_assert_eq(lpm6_build(blocks, 1000, NULL, &v6), 0);
	cr_expect_eq(lpm4_size_bytes(v4), lpm4_size_bytes(empty), "%zu, empty %zu",
		     lpm4_size_bytes(v4), lpm4_size_bytes(empty));
	cr_expect_leq(lpm6_size_bytes(v6), lpm6_size_bytes(empty6) + 4 * 64, "%zu, empty %zu",
		      lpm6_size_bytes(v6), lpm6_size_bytes(empty6));
	lpm6_destroy(empty6);
	lpm4_destroy(empty);
	lpm4_destroy(v4);
	lpm6_destroy(v6);
}

Test(lpm_build, empty_tables_and_sizes)
{
	const struct addr6 ends[] = {{0, 0}, {UINT64_MAX, UINT64_MAX}};
	struct lpm4 *v4 = NULL;
	struct lpm6 *v6 = NULL;

	cr_assert_eq(lpm4_build(NULL, 0, NULL, &v4), 0);
	cr_assert_eq(lpm6_build(NULL, 0, NULL, &v6), 0);
	cr_expect_eq(lpm4_lookup(v4, 0), LPM_NONE);
	cr_expect_eq(lpm4_lookup(v4, UINT32_MAX), LPM_NONE);
	cr_expect_eq(lpm6_lookup(v6, &ends[0]), LPM_NONE);
	cr_expect_eq(lpm6_lookup(v6, &ends[1]), LPM_NONE);
	cr_expect_gt(lpm4_size_bytes(v4), 0);
	cr_expect_leq(lpm4_size_bytes(v4), (size_t)33 << 20, "%zu", lpm4_size_bytes(v4));
	cr_expect_leq(lpm6_size_bytes(v6), (size_t)257 << 10, "%zu", lpm6_size_bytes(v6));
	lpm4_destroy(v4);
	lpm6_destroy(v6);
	lpm4_destroy(NULL);
	lpm6_destroy(NULL);
}
