/*
 * IPv6 tables under random changes: built, patched, copied, and looked up in every way, against the
 * naive model and against runs that are kept beside.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lpm/addr6.h"
#include "lpm/cpu.h"
#include "lpm/lpm6_burst.h"
#include "tests/model/lpm_model.h"

enum {
	GUARD = 0xbeef, /* no verdict */
	ROUTES = 400,
	RUNS_MAX = 6000,
	PROBES_MAX = 2 * RUNS_MAX + 600,
};

static const char *const variant_names[LPM6_VARIANTS] = {"scalar", "AVX2", "AVX-512"};

/* The whole space as runs, each up to where the next starts; changed by brute force. */
struct painted {
	struct addr6 first[RUNS_MAX];
	uint16_t verdicts[RUNS_MAX];
	size_t count;
};

static const char *text6(const struct addr6 *addr, char out[ADDR_TEXT_MAX])
{
	return addr_format(&(struct addr){.version = 6, .v6 = *addr}, out);
}

static void paint_init(struct painted *p)
{
	p->count = 1;
	p->first[0] = (struct addr6){0, 0};
	p->verdicts[0] = LPM_NONE;
}

/* The run that holds an address. */
static size_t paint_find(const struct painted *p, struct addr6 addr)
{
	size_t at = p->count - 1;

	while (addr6_less(addr, p->first[at]))
		at--;
	return at;
}

static void paint_cut(struct painted *p, struct addr6 addr)
{
	size_t at = paint_find(p, addr);

	if (addr6_equal(p->first[at], addr))
		return;
	cr_assert_lt(p->count, RUNS_MAX);
	memmove(&p->first[at + 1], &p->first[at], (p->count - at) * sizeof(p->first[0]));
	memmove(&p->verdicts[at + 1], &p->verdicts[at], (p->count - at) * sizeof(p->verdicts[0]));
	p->first[at + 1] = addr;
	p->count++;
}

static void paint(struct painted *p, const struct lpm6_run *run)
{
	struct addr6 next = addr6_next(run->last);
	size_t begin, end;

	paint_cut(p, run->first);
	if (next.hi != 0 || next.lo != 0)
		paint_cut(p, next);
	begin = paint_find(p, run->first);
	end = paint_find(p, run->last);
	p->verdicts[begin] = run->verdict;
	memmove(&p->first[begin + 1], &p->first[end + 1],
		(p->count - end - 1) * sizeof(p->first[0]));
	memmove(&p->verdicts[begin + 1], &p->verdicts[end + 1],
		(p->count - end - 1) * sizeof(p->verdicts[0]));
	p->count -= end - begin;
}

/* Neighbours of both sides of each edge, and others. */
static size_t probe(const struct painted *p, uint64_t *state, struct addr6 *probes,
		    uint16_t *expected)
{
	size_t n = 0;

	for (size_t i = 0; i < p->count; i++) {
		probes[n] = p->first[i];
		expected[n++] = p->verdicts[i];
		if (i > 0) {
			probes[n] = addr6_subtract(p->first[i], (struct addr6){0, 1});
			expected[n++] = p->verdicts[i - 1];
		}
	}
	for (unsigned i = 0; i < 100; i++) {
		struct addr6 addr = lpm_model_addr6(state);

		probes[n] = addr;
		expected[n++] = p->verdicts[paint_find(p, addr)];
	}
	for (size_t i = n - 1; i > 0; i--) { /* out of order, so that neighbours mix */
		size_t k = lpm_model_random(state) % (i + 1);
		struct addr6 addr = probes[i];
		uint16_t verdict = expected[i];

		probes[i] = probes[k];
		expected[i] = expected[k];
		probes[k] = addr;
		expected[k] = verdict;
	}
	return n;
}

/* One by one, and in bursts of all sizes from odd places, with nothing written beside. */
static void expect_table(struct lpm6 *table, const struct addr6 *probes, const uint16_t *expected,
			 size_t n, const char *what)
{
	uint8_t raw[LPM_BURST_MAX * sizeof(struct addr6) + 1];
	uint16_t out[LPM_BURST_MAX + 2];
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < n; i++)
		cr_assert_eq(lpm6_lookup(table, &probes[i]), expected[i],
			     "%s: %s: expected %u, got %u", what, text6(&probes[i], text),
			     expected[i], lpm6_lookup(table, &probes[i]));
	for (unsigned variant = 0; variant < LPM6_VARIANTS; variant++) {
		size_t burst = variant + 1;

		if (!lpm6_choose(table, (enum lpm6_variant)variant))
			continue;
		for (size_t i = 0; i < n; i += burst, burst = burst * 7 % LPM_BURST_MAX + 1) {
			if (burst > n - i)
				burst = n - i;
			memcpy(raw + 1, probes + i, burst * sizeof(*probes));
			memset(out, GUARD & 255, sizeof(out));
			table->lookup_burst(table, raw + 1, out + 1, (unsigned)burst);
			for (size_t k = 0; k < burst; k++)
				cr_assert_eq(out[k + 1], expected[i + k],
					     "%s, %s: %s, %zu of %zu: expected %u, got %u", what,
					     variant_names[variant], text6(&probes[i + k], text), k,
					     burst, expected[i + k], out[k + 1]);
			cr_assert(out[0] == out[burst + 1] && (out[0] & 255) == (GUARD & 255),
				  "%s, %s: wrote beside %zu", what, variant_names[variant], burst);
		}
	}
	lpm6_choose_best(table);
}

/* Lines in use and free ones are all there are: nothing is lost, nothing free twice. */
static size_t count_lines(const struct lpm6 *table, uint32_t entry)
{
	size_t count = 1, level = 1;
	unsigned height = lpm6_link_height(entry);
	uint32_t *lines, *next;

	if (!lpm6_is_link(entry))
		return 0;
	if (height == LPM6_TAIL)
		return 1;
	lines = malloc(sizeof(*lines));
	cr_assert_not_null(lines);
	lines[0] = lpm6_link_line(entry);
	for (; height > 0; height--) {
		size_t n = 0;

		next = malloc(level * LPM6_FANOUT * sizeof(*next));
		cr_assert_not_null(next);
		for (size_t i = 0; i < level; i++) {
			const struct lpm6_index *index = &table->lines[lines[i]].index;

			for (unsigned k = 0; k < LPM6_FANOUT; k++) {
				if (k > 0 && index->keys[k - 1] == LPM6_UNUSED)
					break;
				next[n++] = index->base + k;
			}
		}
		free(lines);
		lines = next;
		level = n;
		count += n;
	}
	for (size_t i = 0; i < level; i++) {
		const struct lpm6_leaf *leaf = &table->lines[lines[i]].leaf;

		for (unsigned k = 0; k < LPM6_LEAF_CELLS; k++) {
			if (k > 0 && leaf->keys[k - 1] == LPM6_UNUSED)
				break;
			count += count_lines(table, lpm6_leaf_entry(leaf, k));
		}
	}
	free(lines);
	return count;
}

static void expect_no_line_lost(const struct lpm6 *table, const char *what)
{
	size_t used = 1, free_lines = 0; /* line 0 */

	for (size_t i = 0; i < LPM6_ROOT; i++) {
		uint32_t entry = table->root[i];

		cr_assert(!lpm6_is_link(entry) || lpm6_link_height(entry) == table->height,
			  "%s: tree of height %u at %zu, not %u", what, lpm6_link_height(entry), i,
			  table->height);
		used += count_lines(table, entry);
	}
	for (unsigned n = 1; n <= LPM6_FANOUT; n++) {
		for (uint32_t run = table->free_runs[n]; run != 0;
		     run = table->lines[run].next_free)
			free_lines += n;
	}
	cr_assert_eq(free_lines, table->free_count, "%s", what);
	cr_assert_eq(used + free_lines, table->line_count, "%s: %zu used, %zu free of %u", what,
		     used, free_lines, table->line_count);
}

/* Where runs begin and end: lengths at which a stage starts or ends, and their neighbours. */
static struct lpm6_run random_run(uint64_t *state, unsigned verdicts)
{
	static const uint8_t lens[] = {0,  1,  15, 16, 17, 31, 32,  36,  40,  44,  46,  47,
				       48, 49, 63, 64, 65, 79, 80,  81,  96,  111, 112, 113,
				       48, 48, 64, 64, 40, 44, 126, 127, 128, 128, 128, 128};
	uint64_t random = lpm_model_random(state);
	unsigned len = lens[random % sizeof(lens)];
	struct addr6 a = lpm_model_addr6(state), b, mask = mask6(len);
	struct lpm6_run run;

	if (len < 20 && (random >> 20) % 16 != 0) /* rarely all at once */
		len = 48;
	mask = mask6(len);
	/* Some in a few /16s, so that trees grow; some in one /48. */
	if ((random >> 32) % 3 != 0)
		a.hi = UINT64_C(0x2001) << 48 | (lpm_model_random(state) >> 24 & ~UINT64_C(0xff));
	else if ((random >> 40) % 2 == 0)
		a.hi = UINT64_C(0x20010db800010000) | (random >> 44 & 0xffff);
	run.first = (struct addr6){a.hi & mask.hi, a.lo & mask.lo};
	run.last = addr6_last(run.first, len);
	run.verdict = (uint16_t)(lpm_model_random(state) % (verdicts + 1));
	if ((random >> 60) % 4 == 0) { /* no prefix */
		b = lpm_model_addr6(state);
		b.hi = (random >> 59 & 1) != 0 ? a.hi + (b.hi & 3) : a.hi;
		run.first = addr6_less(a, b) ? a : b;
		run.last = addr6_less(a, b) ? b : a;
	}
	return run;
}

/* What routes make of the space, by the model. */
static void build_painted(const struct painted *p, struct lpm6 *spare, struct lpm6 **out)
{
	static struct lpm6_route routes[RUNS_MAX * 8];
	size_t n = 0;
	int rc;

	/* Each run as the fewest prefixes. */
	for (size_t i = 0; i < p->count; i++) {
		struct addr6 at = p->first[i], last = {UINT64_MAX, UINT64_MAX};

		if (i + 1 < p->count)
			last = addr6_subtract(p->first[i + 1], (struct addr6){0, 1});
		while (p->verdicts[i] != LPM_NONE) {
			unsigned len = 128;

			while (len > 0) {
				struct addr6 host = addr6_host_mask(len - 1);

				if ((at.hi & host.hi) != 0 || (at.lo & host.lo) != 0 ||
				    addr6_less(last, addr6_last(at, len - 1)))
					break;
				len--;
			}
			cr_assert_lt(n, sizeof(routes) / sizeof(routes[0]));
			routes[n++] = (struct lpm6_route){at, (uint8_t)len, p->verdicts[i]};
			if (addr6_equal(addr6_last(at, len), last))
				break;
			at = addr6_next(addr6_last(at, len));
		}
	}
	rc = lpm6_build(routes, n, spare, out);
	cr_assert_eq(rc, 0, "build of %zu: %d", n, rc);
}

/* Patched, copied or built anew, with each other's memory; all equal after every step. */
static void change_at_random(uint64_t seed, unsigned steps, unsigned verdicts)
{
	static struct painted p;
	static struct addr6 probes[PROBES_MAX];
	static uint16_t expected[PROBES_MAX];
	struct lpm6 *table = NULL, *spare = NULL, *old;
	unsigned refused = 0;
	uint64_t state = seed;
	char what[64];

	paint_init(&p);
	cr_assert_eq(lpm6_build(NULL, 0, NULL, &table), 0);
	for (unsigned step = 0; step < steps; step++) {
		unsigned kind = (unsigned)(lpm_model_random(&state) >> 32) % 32;
		struct lpm6_run run = random_run(&state, verdicts);
		int rc = 0;

		snprintf(what, sizeof(what), "seed %" PRIu64 ", step %u", seed, step);
		if (kind == 0) { /* copy, and go on with the copy */
			old = table;
			cr_assert_eq(lpm6_copy(table, spare, &table), 0);
			spare = old;
		}
		if (p.count > 1000) {
			run.first = (struct addr6){0, 0};
			run.last = (struct addr6){UINT64_C(0x2001000100000000), UINT64_MAX};
		}
		paint(&p, &run);
		if (kind != 1)
			rc = lpm6_patch(table, &run, 1);
		if (rc == -ENOSPC)
			refused++;
		else
			cr_assert_eq(rc, 0, "%s: %d", what, rc);
		if (kind == 1 || rc == -ENOSPC) {
			old = table;
			build_painted(&p, spare, &table);
			spare = old;
		}
		expect_table(table, probes, expected, probe(&p, &state, probes, expected), what);
		if (step % 8 == 0)
			expect_no_line_lost(table, what);
	}
	cr_assert_leq(refused, steps / 20 + 1, "seed %" PRIu64 ": %u refused", seed, refused);
	lpm6_destroy(table);
	lpm6_destroy(spare);
}

Test(lpm_lpm6_patch, random_changes_equal_the_model, .timeout = 300)
{
	for (uint64_t seed = 1; seed <= 12; seed++)
		change_at_random(seed, 250, seed % 3 == 0 ? 1 : seed % 3 == 1 ? 14 : 4095);
}

/* Single cells, all over one /48 and back, through every height. */
Test(lpm_lpm6_patch, a_tree_grows_and_shrinks, .timeout = 120)
{
	static const struct {
		const char *what;
		struct addr6 first;
		struct addr6 step;
	} cases[] = {
		{"/48s", {UINT64_C(0x2a00000000000000), 0}, {1 << 16, 0}},
		{"/64s", {UINT64_C(0x2a00000000010000), 0}, {1, 0}},
		{"/128s", {UINT64_C(0x2a00000000010000), 0}, {0, 1}},
		{"/128s of several /112s", {UINT64_MAX, UINT64_MAX - 3000 * 97 + 1}, {0, 97}},
	};
	enum { COUNT = 3000 };

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct lpm6 *table = NULL;

		/* One tree that is high enough, far away. */
		static struct lpm6_route routes[COUNT];
		for (uint64_t i = 0; i < COUNT; i++)
			routes[i] =
				(struct lpm6_route){{UINT64_C(0x3000) << 48 | i << 17, 0}, 48, 9};
		cr_assert_eq(lpm6_build(routes, COUNT, NULL, &table), 0);
		for (unsigned pass = 0; pass < 2; pass++) {
			for (uint64_t i = 0; i < COUNT; i++) {
				uint64_t at = i * 1999 % COUNT; /* out of order */
				struct addr6 less =
					addr6_subtract(cases[c].step, (struct addr6){0, 1});
				struct lpm6_run run;
				int rc;

				run.first =
					(struct addr6){cases[c].first.hi + at * cases[c].step.hi,
						       cases[c].first.lo + at * cases[c].step.lo};
				run.last = (struct addr6){run.first.hi + less.hi,
							  run.first.lo + less.lo};
				run.verdict = pass == 0 ? (uint16_t)(1 + at % 2) : LPM_NONE;
				rc = lpm6_patch(table, &run, 1);
				cr_assert_eq(rc, 0, "%s, %" PRIu64 ": %d", cases[c].what, i, rc);
			}
			for (uint64_t i = 0; i < COUNT; i++) {
				struct addr6 addr = {cases[c].first.hi + i * cases[c].step.hi,
						     cases[c].first.lo + i * cases[c].step.lo};
				uint16_t expected = pass == 0 ? (uint16_t)(1 + i % 2) : LPM_NONE;
				uint16_t got = lpm6_lookup(table, &addr);

				cr_assert_eq(got, expected, "%s, %" PRIu64 ": expected %u, got %u",
					     cases[c].what, i, expected, got);
			}
			expect_no_line_lost(table, cases[c].what);
		}
		lpm6_destroy(table);
	}
}

/* A run over everything leaves nothing but itself. */
Test(lpm_lpm6_patch, all_at_once)
{
	static struct lpm6_route routes[ROUTES];
	const struct lpm6_run all = {{0, 0}, {UINT64_MAX, UINT64_MAX}, 7};
	struct lpm6 *table = NULL;
	uint64_t state = 5;
	size_t n = lpm_model_routes6(&state, routes, ROUTES);

	cr_assert_eq(lpm6_build(routes, n, NULL, &table), 0);
	cr_assert_eq(lpm6_patch(table, &all, 1), 0);
	for (size_t i = 0; i < LPM6_ROOT; i++)
		cr_assert_eq(table->root[i], 7, "%zu: %x", i, table->root[i]);
	expect_no_line_lost(table, "all at once");
	lpm6_destroy(table);
}

/* Several runs in one call, that touch each other. */
Test(lpm_lpm6_patch, several_runs)
{
	const struct lpm6_run runs[] = {
		{{1, 0}, {1, 9}, 3},
		{{1, 10}, {2, UINT64_MAX}, 4},
		{{3, 0}, {3, 0}, 5},
		{{UINT64_MAX, 0}, {UINT64_MAX, UINT64_MAX}, 6},
	};
	const struct addr6 probes[] = {{0, UINT64_MAX}, {1, 0}, {1, 9}, {1, 10},
				       {2, UINT64_MAX}, {3, 0}, {3, 1}, {UINT64_MAX, 0}};
	const uint16_t expected[] = {0, 3, 3, 4, 4, 5, 0, 6};
	struct lpm6 *table = NULL;

	cr_assert_eq(lpm6_build(NULL, 0, NULL, &table), 0);
	cr_assert_eq(lpm6_patch(table, runs, 4), 0);
	expect_table(table, probes, expected, 8, "several runs");
	cr_assert_eq(lpm6_patch(table, NULL, 0), 0);
	expect_table(table, probes, expected, 8, "none");
	lpm6_destroy(table);
}

/* A copy and what it was made from do not share memory. */
Test(lpm_lpm6_patch, copies_are_apart)
{
	const struct lpm6_route route = {{UINT64_C(0x2001) << 48, 0}, 33, 1};
	const struct lpm6_run run = {{UINT64_C(0x2001) << 48, 0}, {UINT64_C(0x2001) << 48, 0}, 2};
	struct lpm6 *table = NULL, *copy = NULL;

	cr_assert_eq(lpm6_build(&route, 1, NULL, &table), 0);
	cr_assert_eq(lpm6_copy(table, NULL, &copy), 0);
	cr_assert_eq(lpm6_patch(copy, &run, 1), 0);
	cr_expect_eq(lpm6_lookup(table, &run.first), 1);
	cr_expect_eq(lpm6_lookup(copy, &run.first), 2);
	lpm6_destroy(table);
	cr_expect_eq(lpm6_lookup(copy, &run.first), 2);
	lpm6_destroy(copy);
}

/* Many of one kind: what they take stays in proportion. */
Test(lpm_lpm6, hostile_tables, .timeout = 120)
{
	enum { COUNT = 100000 };
	static const char *const kinds[] = {"random /128s", "/64s of one /48", "/48s of one /16",
					    "two /128s a /48"};
	struct lpm6_route *routes = malloc(COUNT * sizeof(*routes));

	cr_assert_not_null(routes);
	for (unsigned kind = 0; kind < 4; kind++) {
		struct lpm6 *table = NULL;
		uint64_t state = 11;
		size_t n, size;

		for (uint64_t i = 0; i < COUNT; i++) {
			uint64_t random = lpm_model_random(&state);
			struct lpm6_route *r = &routes[i];

			*r = (struct lpm6_route){{0}, 128, (uint16_t)(1 + random % 14)};
			if (kind == 0) {
				r->addr = (struct addr6){random, lpm_model_random(&state)};
			} else if (kind == 1) {
				r->addr.hi = UINT64_C(0x20010db800010000) | i % 65536;
				r->len = 64;
			} else if (kind == 2) {
				r->addr.hi = UINT64_C(0x2001) << 48 | (random >> 32) << 16;
				r->len = 48;
			} else {
				r->addr.hi = (i / 2 * 0x9e3779b9) << 16 | (i & 1);
			}
		}
		n = lpm_model_sort6(routes, COUNT);
		cr_assert_eq(lpm6_build(routes, n, NULL, &table), 0);
		size = lpm6_size_bytes(table);
		cr_expect_leq(size, (size_t)LPM6_ROOT * 4 + 65536 * 3 * 64 + n * 160,
			      "%s: %zu bytes", kinds[kind], size);
		for (size_t i = 0; i < n; i++) {
			uint16_t got = lpm6_lookup(table, &routes[i].addr);

			cr_assert_eq(got, routes[i].verdict, "%s, %zu: expected %u, got %u",
				     kinds[kind], i, routes[i].verdict, got);
		}
		lpm6_destroy(table);
	}
	free(routes);
}

/* What the processor has is used, without being asked for. */
Test(lpm_lpm6, the_best_is_chosen)
{
	unsigned features = cpu_features();
	struct lpm6 *table = NULL;
	lpm6_burst_fn *expected = lpm6_burst_scalar();

	if ((features & CPU_AVX512) != 0)
		expected = lpm6_burst_avx512();
	else if ((features & CPU_AVX2) != 0)
		expected = lpm6_burst_avx2();
	cr_assert_eq(lpm6_build(NULL, 0, NULL, &table), 0);
	cr_expect(table->lookup_burst == expected, "features %x", features);
	lpm6_destroy(table);
}

/* Where lines cannot be named any more, or most lie about free, a change is refused. */
Test(lpm_lpm6, limits_of_lines)
{
	const struct lpm6_run run = {{1, 1}, {1, 1}, 1};
	const uint32_t most = UINT32_C(1) << LPM6_LINE_BITS;
	struct lpm6 *table = NULL;
	uint32_t room, count;

	cr_assert_eq(lpm6_build(NULL, 0, NULL, &table), 0);
	room = table->line_room;
	count = table->line_count;
	table->line_room = most;
	table->line_count = most;
	cr_expect_eq(lpm6_patch(table, &run, 1), -ENOMEM);
	table->free_count = most / 2 + 1; /* in runs that are no use */
	cr_expect_eq(lpm6_patch(table, &run, 1), -ENOSPC);
	table->free_count = 0;
	table->line_room = room;
	table->line_count = count;
	cr_expect_eq(lpm6_patch(table, &run, 1), 0);
	cr_expect_eq(lpm6_lookup(table, &run.first), 1);
	lpm6_destroy(table);
}

/* Memory of a spare serves again; a reader touches no page for the first time. */
Test(lpm_lpm6, spares_and_faults)
{
	static struct lpm6_route routes[ROUTES];
	struct lpm6 *table = NULL, *spare = NULL;
	struct rusage before, after;
	const uint8_t *memory;
	uint64_t state = 3;
	size_t n = lpm_model_routes6(&state, routes, ROUTES);
	uint16_t out[LPM_BURST_MAX];
	struct addr6 probes[LPM_BURST_MAX];

	cr_assert_eq(lpm6_build(routes, n, NULL, &spare), 0);
	memory = spare->memory;
	cr_assert_eq(lpm6_build(routes, n, spare, &table), 0);
	cr_expect(table->memory == memory, "the spare's memory is not used");
	memset(probes, 0, sizeof(probes));
	lpm6_lookup_burst(table, probes, out, LPM_BURST_MAX); /* the code's pages */
	getrusage(RUSAGE_THREAD, &before);
	for (uint64_t i = 0; i < 65536; i += LPM_BURST_MAX) {
		for (uint64_t k = 0; k < LPM_BURST_MAX; k++)
			probes[k] = (struct addr6){(i + k) << 48, ~k};
		lpm6_lookup_burst(table, probes, out, LPM_BURST_MAX);
	}
	getrusage(RUSAGE_THREAD, &after);
	cr_expect_eq(after.ru_minflt, before.ru_minflt, "%ld faults",
		     after.ru_minflt - before.ru_minflt);
	lpm6_destroy(table);
}
