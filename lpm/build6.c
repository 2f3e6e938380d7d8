/*
 * The only maker of IPv6 tables: one sweep over sorted routes, as in build4.c, gives runs; those
 * that start inside a /16 become a tree.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/lpm6_burst.h"
#include "lpm/lpm6_lines.h"
#include "lpm/lpm6_tree.h"

enum {
	NESTING_MAX = 129,  /* lengths 0..128 */
	EDGES_PER_LINE = 8, /* fewer than most tables have */
};

/* Inclusive. */
struct run {
	struct addr6 first;
	struct addr6 last;
	uint16_t verdict;
};

struct open_prefix {
	struct addr6 last;
	uint16_t verdict;
};

struct sweep {
	struct open_prefix open[NESTING_MAX]; /* each inside the one before */
	unsigned depth;
	struct run run; /* not passed on yet, since it may grow */
	bool started;   /* run holds something */
	void (*lay)(void *table, const struct run *run);
	void *table;
};

/* Append the stretch up to last to the runs, if there is any. */
static inline void extend(struct sweep *sweep, struct addr6 last, uint16_t verdict)
{
	struct run *run = &sweep->run;

	if (!sweep->started) {
		*run = (struct run){.last = last, .verdict = verdict};
		sweep->started = true;
		return;
	}
	if (!addr6_less(run->last, last))
		return;
	if (run->verdict != verdict) {
		sweep->lay(sweep->table, run);
		run->first = addr6_next(run->last);
		run->verdict = verdict;
	}
	run->last = last;
}

/* Close the prefixes that end before addr and fill up to it. */
static inline void advance(struct sweep *sweep, struct addr6 addr)
{
	struct addr6 before = addr6_subtract(addr, (struct addr6){.lo = 1});

	while (sweep->depth > 0 && addr6_less(sweep->open[sweep->depth - 1].last, addr)) {
		sweep->depth--;
		extend(sweep, sweep->open[sweep->depth].last, sweep->open[sweep->depth].verdict);
	}
	if (addr.hi == 0 && addr.lo == 0)
		return;
	extend(sweep, before, sweep->depth > 0 ? sweep->open[sweep->depth - 1].verdict : LPM_NONE);
}

static inline void add(struct sweep *sweep, struct addr6 addr, unsigned len, uint16_t verdict)
{
	advance(sweep, addr);
	sweep->open[sweep->depth++] = (struct open_prefix){addr6_last(addr, len), verdict};
}

static void finish(struct sweep *sweep)
{
	const struct addr6 end = {UINT64_MAX, UINT64_MAX};

	while (sweep->depth > 0) {
		sweep->depth--;
		extend(sweep, sweep->open[sweep->depth].last, sweep->open[sweep->depth].verdict);
	}
	extend(sweep, end, LPM_NONE);
	sweep->lay(sweep->table, &sweep->run);
}

static bool verdict_ok(unsigned verdict)
{
	return verdict != LPM_NONE && verdict <= LPM_VERDICT_MAX;
}

static int check6(const struct lpm6_route *routes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct lpm6_route *route = &routes[i];
		const struct lpm6_route *before = i > 0 ? route - 1 : NULL;
		struct addr6 mask;

		if (route->len > 128)
			return -EINVAL;
		mask = addr6_host_mask(route->len);
		if ((route->addr.hi & mask.hi) != 0 || (route->addr.lo & mask.lo) != 0)
			return -EINVAL;
		if (!verdict_ok(route->verdict))
			return -EINVAL;
		if (before != NULL &&
		    (addr6_less(route->addr, before->addr) ||
		     (addr6_equal(before->addr, route->addr) && before->len >= route->len)))
			return -EINVAL;
	}
	return 0;
}

/* Where runs start, one after the other. */
struct edges {
	struct lpm6_edge *all;
	size_t count;
};

static void lay6(void *arg, const struct run *run)
{
	struct edges *edges = arg;

	edges->all[edges->count++] = (struct lpm6_edge){run->first, run->verdict};
}

/* All trees become as high as the highest. */
static int level_trees(struct lpm6 *table)
{
	/* One above a leaf at least leaves room for changes. */
	table->height = 1;
	for (size_t i = 0; i < LPM6_ROOT; i++) {
		if (lpm6_is_link(table->root[i]) &&
		    lpm6_link_height(table->root[i]) > table->height)
			table->height = lpm6_link_height(table->root[i]);
	}
	for (size_t i = 0; i < LPM6_ROOT; i++) {
		uint32_t entry = table->root[i];
		int rc;

		if (!lpm6_is_link(entry))
			continue;
		rc = lpm6_raise_tree(table, table->height, &entry); /* may move the root */
		if (rc != 0)
			return rc;
		table->root[i] = entry;
	}
	return 0;
}

/* The first run starts at the first address. */
static int fill_table(struct lpm6_maker *maker, const struct edges *edges)
{
	uint16_t before = edges->all[0].verdict;
	size_t at = 1;

	for (uint64_t i = 0; i < LPM6_ROOT; i++) {
		size_t end = at;
		uint32_t entry;
		int rc;

		if (at < edges->count && edges->all[at].first.hi == i << 48 &&
		    edges->all[at].first.lo == 0) {
			before = edges->all[at].verdict;
			end = ++at;
		}
		while (end < edges->count && edges->all[end].first.hi >> 48 == i)
			end++;
		rc = lpm6_make_entry(maker, 0, edges->all + at, end - at, before, &entry);
		if (rc != 0)
			return rc;
		maker->table->root[i] = entry;
		before = edges->all[end - 1].verdict;
		at = end;
	}
	return level_trees(maker->table);
}

static int build_table(const struct edges *edges, struct lpm6 *spare, struct lpm6 **out)
{
	struct lpm6_maker maker = {0};
	int rc = lpm6_lines_create(spare, edges->count / EDGES_PER_LINE + 1, &maker.table);

	if (rc != 0)
		return rc;
	rc = fill_table(&maker, edges);
	lpm6_maker_fini(&maker);
	if (rc != 0) {
		lpm6_destroy(maker.table);
		return rc;
	}
	lpm6_choose_best(maker.table);
	*out = maker.table;
	return 0;
}

int lpm6_build(const struct lpm6_route *routes, size_t n, struct lpm6 *spare, struct lpm6 **out)
{
	struct edges edges = {0};
	struct sweep sweep = {.lay = lay6, .table = &edges};
	int rc = check6(routes, n);

	if (rc == 0 && n > UINT32_MAX / 16) /* lines have LPM6_LINE_BITS */
		rc = -ENOMEM;
	/* A prefix starts a run and may start another behind its end; one more at 0. */
	if (rc == 0) {
		edges.all = malloc((2 * n + 1) * sizeof(*edges.all));
		rc = edges.all == NULL ? -ENOMEM : 0;
	}
	if (rc != 0) {
		lpm6_destroy(spare);
		return rc;
	}
	for (size_t i = 0; i < n; i++)
		add(&sweep, routes[i].addr, routes[i].len, routes[i].verdict);
	finish(&sweep);
	rc = build_table(&edges, spare, out);
	free(edges.all);
	return rc;
}
