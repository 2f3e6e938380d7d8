/* IPv4 tables that change, in every width, against the naive model after each change. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/lpm4_burst.h"
#include "tests/model/lpm_model.h"

enum {
	CHANGING = 40, /* routes that come and go */
	FILLERS = 260, /* at most: routes that stay, for the sake of their verdicts */
	ROUTES_MAX = CHANGING + FILLERS,
	EDGES_MAX = 2 * ROUTES_MAX + 2,
	PROBES_MAX = 8 * CHANGING + 128,
	CHANGES = 1200,
	WIDE_EVERY = 40, /* of these, one may be of any length: such ones take long to lay out */
};

struct world {
	struct lpm4_route routes[ROUTES_MAX]; /* in no order, each prefix once */
	size_t count;
	size_t fillers; /* the first of them */
	unsigned verdicts;
	unsigned width_log2;
	uint64_t random;
	struct lpm4 *table;
	struct lpm4 *spare;
};

static const char *const variant_names[LPM4_VARIANTS] = {"scalar", "AVX2", "AVX-512"};

/* Verdicts to choose from, of which the fillers have most: few, so that neighbours often agree. */
static const struct {
	unsigned fillers;
	unsigned verdicts;
	unsigned width_log2;
} widths[] = {{0, 2, 1}, {10, 12, 2}, {40, 60, 3}, {FILLERS, 300, 4}};

static int compare_addrs(const void *x, const void *y)
{
	const uint32_t *a = x, *b = y;

	return (*a > *b) - (*a < *b);
}

static uint32_t last_of(const struct lpm4_route *route)
{
	return route->addr | ~mask4(route->len);
}

/* What the addresses from first to last should get, as runs. */
static size_t make_runs(const struct world *w, uint32_t first, uint32_t last, struct lpm4_run *runs)
{
	uint32_t starts[EDGES_MAX];
	size_t n = 0, count = 0;

	starts[n++] = first;
	for (size_t i = 0; i < w->count; i++) {
		uint32_t begin = w->routes[i].addr, end = last_of(&w->routes[i]) + 1;

		if (begin > first && begin <= last)
			starts[n++] = begin;
		if (end > first && end <= last)
			starts[n++] = end;
	}
	qsort(starts, n, sizeof(*starts), compare_addrs);
	for (size_t i = 0; i < n; i++) {
		uint32_t end = i + 1 < n ? starts[i + 1] - 1 : last;

		if (i + 1 < n && starts[i + 1] == starts[i])
			continue;
		runs[count++] = (struct lpm4_run){
			starts[i], end, lpm_model_lookup4(w->routes, w->count, starts[i])};
	}
	return count;
}

static void build(struct world *w)
{
	struct lpm4_route sorted[ROUTES_MAX];
	struct lpm4 *table = NULL;

	memcpy(sorted, w->routes, w->count * sizeof(*sorted));
	cr_assert_eq(lpm_model_sort4(sorted, w->count), w->count);
	cr_assert_eq(lpm4_build(sorted, w->count, w->spare, &table), 0);
	w->spare = w->table;
	w->table = table;
}

static void copy(struct world *w)
{
	struct lpm4 *table = NULL;

	cr_assert_eq(lpm4_copy(w->table, w->spare, &table), 0);
	w->spare = w->table;
	w->table = table;
}

/* The route's stretch gets what the model says; a table that cannot say it is built anew. */
static void patch(struct world *w, const struct lpm4_route *changed)
{
	struct lpm4_run runs[EDGES_MAX];
	size_t n = make_runs(w, changed->addr, last_of(changed), runs);
	int rc = lpm4_patch(w->table, runs, n);

	if (rc == -ENOSPC) {
		lpm4_destroy(w->spare);
		w->spare = w->table;
		w->table = NULL;
		build(w);
		rc = 0;
	}
	cr_assert_eq(rc, 0, "%d", rc);
}

static struct lpm4_route draw_route(struct world *w, unsigned shortest)
{
	static const uint8_t lens[] = {0,  1,  2,  8,  12, 16, 19, 20, 22, 23, 24, 24,
				       24, 25, 25, 26, 28, 30, 31, 31, 32, 32, 32, 32};
	unsigned len = lens[lpm_model_random(&w->random) % sizeof(lens)];
	uint32_t addr = lpm_model_addr4(&w->random);
	uint16_t verdict = (uint16_t)(LPM_VERDICT_MAX - lpm_model_random(&w->random) % w->verdicts);

	if (len < shortest)
		len = shortest;
	return (struct lpm4_route){addr & mask4(len), (uint8_t)len, verdict};
}

/* Add a route, give it another verdict, or take one away; returns it. */
static struct lpm4_route change(struct world *w, unsigned shortest)
{
	struct lpm4_route route = draw_route(w, shortest);
	size_t changing = w->count - w->fillers;
	size_t at = w->fillers + (changing > 0 ? lpm_model_random(&w->random) % changing : 0);

	if (changing == CHANGING || (changing > 0 && (route.verdict & 1) != 0)) {
		if (w->routes[at].len < shortest)
			at = w->count - 1;
		route = w->routes[at];
		w->routes[at] = w->routes[--w->count];
		return route;
	}
	for (at = 0; at < w->count; at++) {
		if (w->routes[at].addr == route.addr && w->routes[at].len == route.len)
			break;
	}
	w->count += at == w->count;
	w->routes[at] = route;
	return route;
}

static size_t draw_probes(struct world *w, const struct lpm4_route *changed, uint32_t *out)
{
	size_t count = 0;

	for (size_t i = w->fillers; i < w->count; i++) {
		uint32_t first = w->routes[i].addr, last = last_of(&w->routes[i]);
		const uint32_t edges[] = {first - 1, first,         last,
					  last + 1,  first & ~255U, last | 255U};

		memcpy(out + count, edges, sizeof(edges));
		count += sizeof(edges) / sizeof(edges[0]);
	}
	for (unsigned i = 0; i < 64; i++) {
		out[count++] = lpm_model_addr4(&w->random);
		out[count++] = changed->addr |
			       ((uint32_t)lpm_model_random(&w->random) & ~mask4(changed->len));
	}
	return count;
}

static void expect_model(struct world *w, const struct lpm4_route *changed, const char *what,
			 unsigned step)
{
	uint32_t probes[PROBES_MAX];
	uint16_t expected[PROBES_MAX], out[LPM_BURST_MAX];
	size_t count = draw_probes(w, changed, probes);

	for (size_t i = 0; i < count; i++)
		expected[i] = lpm_model_lookup4(w->routes, w->count, probes[i]);
	for (unsigned variant = 0; variant < LPM4_VARIANTS; variant++) {
		if (!lpm4_choose(w->table, (enum lpm4_variant)variant))
			continue;
		for (size_t i = 0; i < count; i += LPM_BURST_MAX) {
			size_t n = count - i < LPM_BURST_MAX ? count - i : LPM_BURST_MAX;

			w->table->lookup_burst(w->table, (const uint8_t *)(probes + i), out,
					       (unsigned)n);
			for (size_t k = 0; k < n; k++)
				cr_assert_eq(
					out[k], expected[i + k],
					"width %u, %s %u of %08x/%u: %s says of %08x %u, not %u",
					1U << w->width_log2, what, step, changed->addr,
					changed->len, variant_names[variant], probes[i + k], out[k],
					expected[i + k]);
		}
	}
	lpm4_choose_best(w->table);
}

/* A table that was changed has the groups of one that is new: uniform ones are folded. */
static void expect_folded(const struct world *w, unsigned step)
{
	struct lpm4_route sorted[ROUTES_MAX];
	struct lpm4 *table = NULL;

	memcpy(sorted, w->routes, w->count * sizeof(*sorted));
	lpm_model_sort4(sorted, w->count);
	cr_assert_eq(lpm4_build(sorted, w->count, NULL, &table), 0);
	cr_assert_eq(w->table->group_count, table->group_count, "step %u: %zu groups, new %zu",
		     step, w->table->group_count, table->group_count);
	lpm4_destroy(table);
}

static void world_init(struct world *w, size_t i)
{
	*w = (struct world){.fillers = widths[i].fillers,
			    .verdicts = widths[i].verdicts,
			    .width_log2 = widths[i].width_log2,
			    .random = i + 1};
	for (; w->count < w->fillers; w->count++)
		w->routes[w->count] = (struct lpm4_route){0x64400000 + (uint32_t)w->count * 77, 32,
							  (uint16_t)(LPM_VERDICT_MAX - w->count)};
	build(w);
}

static void world_fini(struct world *w)
{
	lpm4_destroy(w->table);
	lpm4_destroy(w->spare);
}

Test(lpm_patch4, any_change_equals_the_model, .timeout = 300)
{
	static struct world w;

	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		world_init(&w, i);
		for (unsigned step = 1; step <= CHANGES; step++) {
			struct lpm4_route changed = change(&w, step % WIDE_EVERY == 0 ? 0 : 9);
			uint64_t random = lpm_model_random(&w.random) >> 32;
			const char *what = "patch";

			if (random % 32 == 0) {
				what = "build";
				build(&w);
			} else {
				patch(&w, &changed);
			}
			if (random % 16 == 1) {
				what = "copy";
				copy(&w);
			}
			cr_assert_eq(w.table->width_log2, w.width_log2);
			expect_model(&w, &changed, what, step);
			if (random % 16 == 2)
				expect_folded(&w, step);
		}
		world_fini(&w);
	}
}

/* One address of each /24 of a part of the space, in an order that spreads them over the ranks. */
static struct lpm4_run scattered(uint32_t i, uint32_t count, uint16_t verdict)
{
	uint32_t block = (uint32_t)((uint64_t)i * 40503 % count); /* count is a power of two */
	uint32_t addr = 0x0a000000 + (block << 8) + (block & 255);

	return (struct lpm4_run){addr, addr, verdict};
}

static void expect_scattered(const struct lpm4 *table, uint32_t count, uint32_t begin, uint32_t end)
{
	for (uint32_t i = 0; i < count; i++) {
		struct lpm4_run run = scattered(i, count, (uint16_t)(1 + i % 1000));
		uint16_t expected = i >= begin && i < end ? run.verdict : LPM_NONE;
		uint16_t got = lpm4_lookup(table, run.first);
		uint16_t beside = lpm4_lookup(table, run.first ^ 1);

		cr_assert_eq(got, expected, "%08x: expected %u, got %u", run.first, expected, got);
		cr_assert_eq(beside, LPM_NONE, "beside %08x: %u", run.first, beside);
	}
}

/* Each group that was ever used is in use or in a free run. */
static void expect_accounted(const struct lpm4 *table)
{
	size_t found = table->group_count;

	for (unsigned n = 1; n <= LPM4_RANK; n++) {
		for (uint32_t run = table->free_runs[n]; run != UINT32_MAX;
		     run = table->groups[lpm4_group_words(run, table->width_log2)])
			found += n;
	}
	cr_expect_eq(found, table->groups_end, "%zu groups of %zu", found, table->groups_end);
}

/* Every rank is moved again and again while the second level outgrows its memory, and shrinks. */
Test(lpm_patch4, groups_grow_and_go, .timeout = 120)
{
	enum { COUNT = 1 << 15 };
	struct lpm4_route wide[300];
	struct lpm4 *table = NULL, *copy = NULL;
	size_t fresh_bytes;

	for (unsigned i = 0; i < 300; i++) /* 16 bits an entry */
		wide[i] = (struct lpm4_route){i << 16 | 0x80000000, 24, (uint16_t)(i + 1)};
	cr_assert_eq(lpm4_build(wide, 300, NULL, &table), 0);
	cr_assert_eq(table->width_log2, 4);
	for (uint32_t i = 0; i < COUNT; i++) {
		struct lpm4_run run = scattered(i, COUNT, (uint16_t)(1 + i % 1000));

		cr_assert_eq(lpm4_patch(table, &run, 1), 0);
		if (i % (COUNT / 4) == 0)
			expect_scattered(table, COUNT, 0, i + 1);
	}
	cr_expect_eq(table->group_count, COUNT, "%zu groups", table->group_count);
	expect_scattered(table, COUNT, 0, COUNT);
	fresh_bytes = table->groups_bytes;
	for (unsigned round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < COUNT / 2; i++) {
			struct lpm4_run run = scattered(i, COUNT, LPM_NONE);

			cr_assert_eq(lpm4_patch(table, &run, 1), 0);
		}
		expect_scattered(table, COUNT, COUNT / 2, COUNT);
		cr_expect_eq(table->group_count, COUNT / 2, "%zu groups", table->group_count);
		expect_accounted(table);
		cr_assert_eq(lpm4_copy(table, copy, &copy), 0);
		expect_scattered(copy, COUNT, COUNT / 2, COUNT);
		for (uint32_t i = 0; i < COUNT / 2; i++) {
			struct lpm4_run run = scattered(i, COUNT, (uint16_t)(1 + i % 1000));

			cr_assert_eq(lpm4_patch(table, &run, 1), 0);
		}
		expect_scattered(table, COUNT, 0, COUNT);
	}
	cr_expect_leq(table->groups_bytes, 2 * fresh_bytes, "%zu, was %zu", table->groups_bytes,
		      fresh_bytes);
	expect_accounted(table);
	for (uint32_t i = 0; i < COUNT; i += 3) { /* whole blocks, and over all that is left */
		uint32_t block = scattered(i, COUNT, 0).first & ~255U;
		struct lpm4_run run = {block, block | 255, LPM_NONE};

		cr_assert_eq(lpm4_patch(table, &run, 1), 0);
	}
	cr_expect_eq(table->group_count, COUNT - (COUNT + 2) / 3, "%zu groups", table->group_count);
	cr_assert_eq(lpm4_patch(table, &(struct lpm4_run){0, UINT32_MAX, 7}, 1), 0);
	cr_expect_eq(table->group_count, 0, "%zu groups", table->group_count);
	cr_expect_eq(lpm4_lookup(table, 0), 7);
	cr_expect_eq(lpm4_lookup(table, 0x0a000000), 7);
	cr_expect_eq(lpm4_lookup(table, UINT32_MAX), 7);
	lpm4_destroy(table);
	lpm4_destroy(copy);
}

/* Verdicts by turns: all words of the group are alike, and it must stay. */
Test(lpm_patch4, alike_words_are_not_folded)
{
	struct lpm4_run even = {0, 0, 1};
	struct lpm4 *table = NULL;

	cr_assert_eq(lpm4_build(NULL, 0, NULL, &table), 0);
	for (uint32_t addr = 0; addr < LPM4_GROUP; addr += 2) {
		even.first = even.last = addr;
		cr_assert_eq(lpm4_patch(table, &even, 1), 0);
	}
	for (uint32_t addr = 0; addr < LPM4_GROUP; addr++)
		cr_assert_eq(lpm4_lookup(table, addr), 1 - addr % 2, "%u: %u", addr,
			     lpm4_lookup(table, addr));
	lpm4_destroy(table);
}

/* A group that comes and goes takes the same memory each time. */
Test(lpm_patch4, free_groups_are_used_again)
{
	struct lpm4 *table = NULL;

	cr_assert_eq(lpm4_build(NULL, 0, NULL, &table), 0);
	for (uint32_t i = 0; i < 10000; i++) {
		uint32_t addr = (i % 8) << 8;
		struct lpm4_run runs[] = {{addr, addr, (uint16_t)(i / 8 % 3)}};

		cr_assert_eq(lpm4_patch(table, runs, 1), 0);
	}
	expect_accounted(table);
	cr_expect_leq(table->groups_end, 4 * LPM4_RANK, "%zu groups", table->groups_end);
	lpm4_destroy(table);
}

/* Entries of two bits have codes for two verdicts, of four for 14, of eight for 254. */
Test(lpm_patch4, codes_run_out)
{
	static const struct {
		unsigned built;
		unsigned most;
	} cases[] = {{0, 2}, {1, 2}, {2, 2}, {3, 14}, {14, 14}, {15, 254}, {254, 254}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lpm4_route routes[254];
		struct lpm4 *table = NULL;

		for (unsigned k = 0; k < cases[i].built; k++)
			routes[k] = (struct lpm4_route){k << 8, 24, (uint16_t)(4000 - k)};
		cr_assert_eq(lpm4_build(routes, cases[i].built, NULL, &table), 0);
		for (unsigned k = 0; k <= cases[i].most; k++) {
			struct lpm4_run run = {k << 8 | 1, k << 8 | 3, (uint16_t)(4000 - k)};
			int rc = lpm4_patch(table, &run, 1);
			int expected = k < cases[i].most ? 0 : -ENOSPC;

			cr_expect_eq(rc, expected, "%u built, the %u.: expected %d, got %d",
				     cases[i].built, k + 1, expected, rc);
		}
		for (unsigned k = 0; k < cases[i].most; k++)
			cr_expect_eq(lpm4_lookup(table, k << 8 | 2), 4000 - k,
				     "%u built, the %u.: got %u", cases[i].built, k + 1,
				     lpm4_lookup(table, k << 8 | 2));
		lpm4_destroy(table);
	}
}
