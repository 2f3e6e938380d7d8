/* Memory of IPv4 tables: what is used again, what readers find there, and what it costs them. */
#include <criterion/criterion.h>

#include <string.h>
#include <sys/resource.h>

#include "lpm/lpm4_burst.h"
#include "lpm/pages.h"
#include "tests/model/lpm_model.h"

enum {
	ROUTES = 1000,
	EDGES_STEP = 13, /* of the edges one in so many is asked for: the model is slow */
	STACK = 1 << 16,
	FAULTS_MAX = 64,    /* of the stack and the like: a table has a thousand pages */
	PAGE_BLOCKS = 1024, /* /24s in less than a page, whatever the width */
};

/* What a table is made of: prefixes of one length, so far apart, with so many verdicts. */
static const struct shape {
	const char *name;
	size_t count;
	uint32_t step;
	uint8_t len;
	unsigned verdicts;
} shapes[] = {
	{"empty", 0, 0, 0, 1},
	{"few", 20, 0x0a000000, 20, 2},
	{"few groups", 20, 0x0a000100, 32, 2},
	{"all over", ROUTES, 0x00400000, 12, 3},
	{"all over, groups", ROUTES, 0x00410100, 30, 3},
	{"4 bits", ROUTES, 0x00400100, 24, 14},
	{"4 bits, few groups", 30, 0x00400100, 25, 14},
	{"8 bits", ROUTES, 0x00400100, 25, 100},
	{"16 bits", ROUTES, 0x00400100, 25, 999},
};

enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static size_t make_routes(const struct shape *shape, struct lpm4_route *routes)
{
	for (size_t i = 0; i < shape->count; i++)
		routes[i] = (struct lpm4_route){((uint32_t)i * shape->step) & mask4(shape->len),
						shape->len, (uint16_t)(1 + i % shape->verdicts)};
	return lpm_model_sort4(routes, shape->count);
}

static struct lpm4 *build(const struct shape *shape, struct lpm4 *spare)
{
	struct lpm4_route routes[ROUTES];
	size_t n = make_routes(shape, routes);
	struct lpm4 *table = NULL;

	cr_assert_eq(lpm4_build(routes, n, spare, &table), 0, "%s", shape->name);
	return table;
}

/* The edges of routes, and every page. */
static void expect_shape(const struct lpm4 *table, const struct shape *shape, const char *how)
{
	struct lpm4_route routes[ROUTES];
	size_t n = make_routes(shape, routes);
	uint32_t at = 0;

	for (size_t i = 0; i < 4 * n; i += EDGES_STEP) {
		const struct lpm4_route *route = &routes[i / 4];
		uint32_t last = route->addr | ~mask4(route->len);
		const uint32_t edges[] = {route->addr - 1, route->addr, last, last + 1};
		uint16_t expected = lpm_model_lookup4(routes, n, edges[i % 4]);
		uint16_t got = lpm4_lookup(table, edges[i % 4]);

		cr_assert_eq(got, expected, "%s, %s: %08x: expected %u, got %u", how, shape->name,
			     edges[i % 4], expected, got);
	}
	do { /* what no route covers */
		uint16_t got = lpm4_lookup(table, at);

		if (got != LPM_NONE)
			cr_assert_eq(got, lpm_model_lookup4(routes, n, at), "%s, %s: %08x: got %u",
				     how, shape->name, at, got);
		at += PAGE_BLOCKS * LPM4_GROUP;
	} while (at != 0);
}

static long count_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_minflt;
}

/* Look up an address in every page of both levels; returns how many page faults that took. */
static long sweep(const struct lpm4 *table, const struct shape *shape)
{
	struct lpm4_route routes[ROUTES];
	uint32_t addrs[LPM_BURST_MAX] = {0};
	uint16_t out[LPM_BURST_MAX];
	size_t n = make_routes(shape, routes);
	long before = count_faults();

	for (uint32_t block = 0; block < LPM4_FIRST; block += PAGE_BLOCKS) {
		addrs[block / PAGE_BLOCKS % 32] = block * LPM4_GROUP;
		lpm4_lookup_burst(table, addrs, out, 32);
	}
	for (size_t i = 0; i < n; i++) {
		addrs[i % 32] = routes[i].addr;
		lpm4_lookup_burst(table, addrs, out, 32);
	}
	return count_faults() - before;
}

static void expect_no_faults(const struct lpm4 *table, const struct shape *shape, const char *how)
{
	long faults = sweep(table, shape);

	cr_expect_eq(faults, 0, "%s, %s: %ld page faults", how, shape->name, faults);
}

/* Stack pages that no call has reached yet would be counted as faults of the table. */
static void touch_stack(void)
{
	volatile uint8_t room[STACK];

	for (size_t i = 0; i < STACK; i += 1024)
		room[i] = 0;
}

/* After it is published a reader waits for no page, be it one that was never written. */
Test(lpm_spare4, readers_take_no_page_fault, .timeout = 60)
{
	struct lpm4 *warm = build(&shapes[2], NULL);

	touch_stack();
	sweep(warm, &shapes[2]); /* and code */
	lpm4_destroy(warm);
	for (size_t i = 0; i < SHAPES; i++) {
		struct lpm4 *table = build(&shapes[i], NULL), *copy = NULL;
		struct lpm4_run run = {0x7f000001, 0x7f000001, 1};

		expect_no_faults(table, &shapes[i], "new");
		cr_assert_eq(lpm4_copy(table, NULL, &copy), 0);
		expect_no_faults(copy, &shapes[i], "copy");
		cr_assert_eq(lpm4_patch(copy, &run, 1), 0);
		expect_no_faults(copy, &shapes[i], "patched");
		table = build(&shapes[i], table);
		expect_no_faults(table, &shapes[i], "used again");
		table = build(&shapes[(i + 1) % SHAPES], table);
		expect_no_faults(table, &shapes[(i + 1) % SHAPES], "of another's memory");
		lpm4_destroy(table);
		lpm4_destroy(copy);
	}
}

/* Each shape built in the memory of each, as it is and changed, and copied there. */
Test(lpm_spare4, nothing_is_left_of_the_spare, .timeout = 120)
{
	const struct lpm4_run changed[] = {{0x0a0000f0, 0x0b000010, 1},
					   {0xffff0001, 0xffffffff, 1}};

	for (size_t i = 0; i < SHAPES * SHAPES * 2; i++) {
		const struct shape *old = &shapes[i / 2 % SHAPES], *new = &shapes[i / 2 / SHAPES];
		struct lpm4 *table = build(new, NULL), *spare = build(old, NULL), *copy = NULL;

		cr_assert_eq(lpm4_patch(spare, changed, 2 * (i % 2)), 0);
		spare = build(new, spare);
		expect_shape(spare, new, old->name);
		cr_expect_eq(spare->group_count, table->group_count);
		lpm4_destroy(spare);
		spare = build(old, NULL);
		cr_assert_eq(lpm4_patch(spare, changed, 2 * (i % 2)), 0);
		cr_assert_eq(lpm4_copy(table, spare, &copy), 0);
		expect_shape(copy, new, "copy");
		cr_expect_eq(lpm4_size_bytes(copy), lpm4_size_bytes(table),
			     "%zu of %zu, %s over %s", lpm4_size_bytes(copy),
			     lpm4_size_bytes(table), new->name, old->name);
		lpm4_destroy(copy);
		lpm4_destroy(table);
	}
}

/* A table of the same shape is made without asking the kernel for memory. */
Test(lpm_spare4, memory_is_used_again)
{
	for (size_t i = 0; i < SHAPES; i++) {
		struct lpm4 *table = build(&shapes[i], NULL), *copy = NULL;
		const uint32_t *first = table->first, *groups = table->groups;
		const struct lpm4_rank *ranks = table->ranks;
		long before;

		table = build(&shapes[i], build(&shapes[i], table));
		before = count_faults();
		table = build(&shapes[i], table);
		cr_expect_leq(count_faults() - before, FAULTS_MAX, "%s: %ld page faults",
			      shapes[i].name, count_faults() - before);
		cr_expect(table->first == first && table->ranks == ranks && table->groups == groups,
			  "%s", shapes[i].name);
		cr_assert_eq(lpm4_copy(table, build(&shapes[i], NULL), &copy), 0);
		before = count_faults();
		cr_assert_eq(lpm4_copy(table, copy, &copy), 0);
		cr_expect_leq(count_faults() - before, FAULTS_MAX, "%s: %ld page faults",
			      shapes[i].name, count_faults() - before);
		lpm4_destroy(copy);
		lpm4_destroy(table);
	}
}

/* What is refused takes the spare one all the same: the leak checker would see it. */
Test(lpm_spare4, refused_routes_take_the_spare)
{
	const struct lpm4_route bad = {1, 8, 1};
	struct lpm4 *table = NULL;

	cr_expect_lt(lpm4_build(&bad, 1, build(&shapes[1], NULL), &table), 0);
	cr_expect_null(table);
}

Test(lpm_spare4, pages_are_cleared_and_copied)
{
	const size_t size = PAGES_ALIGN;
	uint8_t *a = pages_map(size, false), *b = pages_map(size, false);

	cr_assert(a != NULL && b != NULL);
	pages_populate(a, size);
	for (size_t i = 0; i < size; i += 4096 * 3)
		a[i + i / 4096 % 4096] = 1; /* anywhere in a page */
	a[size - 1] = 1;
	b[0] = b[5000] = 2;
	pages_copy(b, a, size);
	cr_expect_eq(memcmp(a, b, size), 0);
	pages_clear(a, size);
	for (size_t i = 0; i < size; i++)
		cr_assert_eq(a[i], 0, "at %zu: %u", i, a[i]);
	pages_unmap(a, size);
	pages_unmap(b, size);
}
