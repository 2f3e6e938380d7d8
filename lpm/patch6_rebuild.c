/*
 * Changes IPv6 tables by building them anew from the runs that they hold, at a cost in proportion
 * to the table. To be removed with build6.c's present layout, whose tree cannot be changed in
 * place.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lpm/addr6.h"
#include "lpm/layout6.h"
#include "lpm/range.h"

/* Routes that are being made of ascending stretches. */
struct routes {
	struct lpm6_route *at;
	size_t count;
	size_t room;
	const struct lpm6_run *runs; /* those of the patch that are left */
	size_t run_count;
	struct addr6 first; /* of the stretch that is open */
	uint16_t verdict;
	bool started;
	int rc;
};

static void cut(struct routes *routes, struct addr6 first, struct addr6 last, uint16_t verdict)
{
	struct range range = {first, last};
	bool more = verdict != LPM_NONE;

	while (more && routes->rc == 0) {
		struct lpm6_route route = {.verdict = verdict};

		if (routes->count == routes->room) {
			size_t room = routes->room > 0 ? 2 * routes->room : 1024;
			void *grown = realloc(routes->at, room * sizeof(*routes->at));

			if (grown == NULL) {
				routes->rc = -ENOMEM;
				return;
			}
			routes->at = grown;
			routes->room = room;
		}
		more = range_cut(&range, &route.addr, &route.len);
		routes->at[routes->count++] = route;
	}
}

/* A stretch of the old table, with what the patch says instead. */
static void lay(struct routes *routes, struct addr6 first, struct addr6 last, uint16_t verdict)
{
	while (routes->run_count > 0 && !addr6_less(last, routes->runs->first)) {
		const struct lpm6_run *run = routes->runs;

		if (addr6_less(first, run->first))
			cut(routes, first, addr6_subtract(run->first, (struct addr6){.lo = 1}),
			    verdict);
		if (!addr6_less(run->first, first)) /* it starts in this stretch */
			cut(routes, run->first, run->last, run->verdict);
		if (!addr6_less(run->last, last)) {
			if (addr6_equal(run->last, last)) {
				routes->runs++;
				routes->run_count--;
			}
			return;
		}
		first = addr6_next(run->last);
		routes->runs++;
		routes->run_count--;
	}
	cut(routes, first, last, verdict);
}

/* A run of the old table starts here. */
static void start(struct routes *routes, struct addr6 first, uint16_t verdict)
{
	if (routes->started && routes->verdict == verdict)
		return;
	if (routes->started && !addr6_equal(routes->first, first))
		lay(routes, routes->first, addr6_subtract(first, (struct addr6){.lo = 1}),
		    routes->verdict);
	routes->first = first;
	routes->verdict = verdict;
	routes->started = true;
}

static void walk(const struct lpm6 *table, size_t node, struct routes *routes)
{
	if (node >= table->nodes)
		return;
	for (unsigned i = 0; i < LPM6_FANOUT; i++) {
		size_t at = node * LPM6_NODE + i;

		walk(table, node * LPM6_FANOUT + 1 + i, routes);
		if (i == LPM6_NODE)
			return;
		if ((table->values[at] & LPM6_INNER) == 0) {
			/* The last node is filled up with copies of the last run. */
			start(routes, (struct addr6){.hi = table->keys[at]},
			      (uint16_t)table->values[at]);
			continue;
		}
		const struct lpm6_inner *inner = &table->inners[table->values[at] & ~LPM6_INNER];

		for (uint32_t k = inner->begin; k < inner->begin + inner->count; k++) {
			struct addr6 first = {table->keys[at], table->inner_keys[k]};

			if (routes->started && !addr6_less(routes->first, first))
				continue; /* a copy */
			start(routes, first, table->inner_verdicts[k]);
		}
	}
}

static int change(const struct lpm6 *table, const struct lpm6_run *runs, size_t n,
		  struct lpm6 *spare, struct lpm6 **out)
{
	struct routes routes = {.runs = runs, .run_count = n};
	const struct addr6 end = {UINT64_MAX, UINT64_MAX};

	walk(table, 0, &routes);
	lay(&routes, routes.first, end, routes.verdict);
	if (routes.rc == 0)
		routes.rc = lpm6_build(routes.at, routes.count, spare, out);
	else
		lpm6_destroy(spare);
	free(routes.at);
	return routes.rc;
}

int lpm6_copy(const struct lpm6 *from, struct lpm6 *spare, struct lpm6 **out)
{
	return change(from, NULL, 0, spare, out);
}

int lpm6_patch(struct lpm6 *table, const struct lpm6_run *runs, size_t n)
{
	struct lpm6 *changed, old = *table;
	int rc;

	if (n == 0)
		return 0;
	rc = change(table, runs, n, NULL, &changed);
	if (rc != 0)
		return rc;
	*table = *changed;
	*changed = old;
	lpm6_destroy(changed);
	return 0;
}
