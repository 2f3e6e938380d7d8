/*
 * The only maker of IPv6 tables: one sweep over sorted routes, as in build4.c, gives runs; the runs
 * become a search tree.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/layout6.h"

enum {
	NESTING_MAX = 129, /* lengths 0..128 */
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

/* The runs of IPv6, one after the other: each ends where the next starts. */
struct runs6 {
	struct addr6 *first;
	uint16_t *verdicts;
	size_t count;
};

static void lay6(void *arg, const struct run *run)
{
	struct runs6 *runs = arg;

	runs->first[runs->count] = run->first;
	runs->verdicts[runs->count] = run->verdict;
	runs->count++;
}

/* The outer runs, by upper half, in order; then they go into the tree. */
struct outer6 {
	uint64_t *keys;
	uint32_t *values;
	size_t count;
};

static void add_outer(struct outer6 *outer, uint64_t key, uint32_t value)
{
	outer->keys[outer->count] = key;
	outer->values[outer->count] = value;
	outer->count++;
}

static void add_inner_run(struct lpm6 *table, uint64_t key, uint16_t verdict)
{
	table->inner_keys[table->inner_key_count] = key;
	table->inner_verdicts[table->inner_key_count] = verdict;
	table->inner_key_count++;
	table->inners[table->inner_count].count++;
}

/* Sort the runs of one /64 into the table; returns how many there were. */
static size_t split_block(struct lpm6 *table, struct outer6 *outer, const struct runs6 *runs,
			  size_t at)
{
	uint64_t block = runs->first[at].hi;
	bool from_start = runs->first[at].lo == 0;
	size_t end = at;

	while (end < runs->count && runs->first[end].hi == block)
		end++;
	if (from_start && end - at == 1) {
		add_outer(outer, block, runs->verdicts[at]);
		return 1;
	}
	add_outer(outer, block, LPM6_INNER | (uint32_t)table->inner_count);
	table->inners[table->inner_count] =
		(struct lpm6_inner){.begin = (uint32_t)table->inner_key_count};
	if (!from_start) /* at > 0, since the first run starts at 0 */
		add_inner_run(table, 0, runs->verdicts[at - 1]);
	for (size_t i = at; i < end; i++)
		add_inner_run(table, runs->first[i].lo, runs->verdicts[i]);
	table->inner_count++;
	/* The last run may go on behind this /64. */
	if (block != UINT64_MAX && (end == runs->count || runs->first[end].hi != block + 1))
		add_outer(outer, block + 1, runs->verdicts[end - 1]);
	return end - at;
}

/*
 * Fill the tree in order of its keys; recursion is as deep as the tree. What is left of the last
 * nodes repeats the last run, behind every address or equal to it.
 *
 * Returns the next outer run
 */
static size_t fill_node(struct lpm6 *table, const struct outer6 *outer, size_t node, size_t at)
{
	if (node >= table->nodes)
		return at;
	for (unsigned i = 0; i < LPM6_NODE; i++) {
		bool left;

		at = fill_node(table, outer, node * LPM6_FANOUT + 1 + i, at);
		left = at < outer->count;
		table->keys[node * LPM6_NODE + i] = left ? outer->keys[at] : UINT64_MAX;
		table->values[node * LPM6_NODE + i] = outer->values[left ? at : outer->count - 1];
		at += left;
	}
	return fill_node(table, outer, node * LPM6_FANOUT + LPM6_FANOUT, at);
}

static int create_tree(struct lpm6 *table, const struct outer6 *outer)
{
	size_t nodes = (outer->count + LPM6_NODE - 1) / LPM6_NODE;

	table->keys =
		aligned_alloc(LPM6_NODE * sizeof(uint64_t), nodes * LPM6_NODE * sizeof(uint64_t));
	table->values = malloc(nodes * LPM6_NODE * sizeof(*table->values));
	if (table->keys == NULL || table->values == NULL)
		return -ENOMEM;
	table->nodes = nodes;
	for (size_t first = 0; first < nodes; first = first * LPM6_FANOUT + 1)
		table->levels++; /* first: the leftmost node of the level */
	fill_node(table, outer, 0, 0);
	return 0;
}

/* Runs inside /64s are rare, so they are counted rather than reserved for. */
static int create_inners(struct lpm6 *table, const struct runs6 *runs)
{
	size_t inner_runs = 1; /* for malloc to have something to give */

	for (size_t i = 0; i < runs->count; i++)
		inner_runs += runs->first[i].lo != 0;
	/* Each such /64 has one of these at least, and one more run at its start. */
	table->inners = malloc(inner_runs * sizeof(*table->inners));
	table->inner_keys = malloc(2 * inner_runs * sizeof(*table->inner_keys));
	table->inner_verdicts = malloc(2 * inner_runs * sizeof(*table->inner_verdicts));
	if (table->inners == NULL || table->inner_keys == NULL || table->inner_verdicts == NULL)
		return -ENOMEM;
	return 0;
}

static int build_tree(const struct runs6 *runs, struct lpm6 **out)
{
	struct outer6 outer = {0};
	struct lpm6 *table;
	int rc = -ENOMEM;

	table = calloc(1, sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	/* A run adds its start, and the block behind it if it ends an inner. */
	outer.keys = malloc(2 * runs->count * sizeof(*outer.keys));
	outer.values = malloc(2 * runs->count * sizeof(*outer.values));
	if (outer.keys == NULL || outer.values == NULL)
		goto out;
	rc = create_inners(table, runs);
	if (rc != 0)
		goto out;
	for (size_t at = 0; at < runs->count;)
		at += split_block(table, &outer, runs, at);
	rc = create_tree(table, &outer);
	if (rc != 0)
		goto out;
	*out = table;
	table = NULL;
out:
	free(outer.values);
	free(outer.keys);
	lpm6_destroy(table);
	return rc;
}

int lpm6_build(const struct lpm6_route *routes, size_t n, struct lpm6 *spare, struct lpm6 **out)
{
	struct runs6 runs = {0};
	struct sweep sweep = {.lay = lay6, .table = &runs};
	int rc;

	lpm6_destroy(spare);
	rc = check6(routes, n);
	if (rc != 0)
		return rc;
	if (n > UINT32_MAX / 16) /* indices have 31 bits */
		return -ENOMEM;
	/* A prefix starts a run and may start another behind its end; one more at 0. */
	runs.first = malloc((2 * n + 1) * sizeof(*runs.first));
	runs.verdicts = malloc((2 * n + 1) * sizeof(*runs.verdicts));
	if (runs.first == NULL || runs.verdicts == NULL) {
		rc = -ENOMEM;
		goto out;
	}
	for (size_t i = 0; i < n; i++)
		add(&sweep, routes[i].addr, routes[i].len, routes[i].verdict);
	finish(&sweep);
	rc = build_tree(&runs, out);
out:
	free(runs.verdicts);
	free(runs.first);
	return rc;
}
