/* Compiles rules: several lists in the order of the file become one table. */
#include "lpm/table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/merge4.h"

/* A rule's next prefix; IPv4 as addr6_from4 has it. */
struct cursor {
	struct addr6 addr;
	uint32_t line;
	uint16_t rule;
	uint8_t len;
	size_t next; /* entry of its list behind this one */
};

/*
 * A walk over the prefixes of all rules in the order of (addr, len, rule), so that of equal
 * prefixes the one that wins comes first. The cursors are a heap.
 */
struct merge {
	const struct table_rule *rules;
	unsigned version;
	struct cursor *heap;
	unsigned count;
};

static bool before(const struct cursor *a, const struct cursor *b)
{
	if (!addr6_equal(a->addr, b->addr))
		return addr6_less(a->addr, b->addr);
	if (a->len != b->len)
		return a->len < b->len;
	return a->rule < b->rule;
}

static bool same_prefix(const struct cursor *a, const struct cursor *b)
{
	return addr6_equal(a->addr, b->addr) && a->len == b->len;
}

/* Returns false at the end of its list. */
static bool load_next(const struct merge *merge, struct cursor *cursor)
{
	const struct list *list = merge->rules[cursor->rule].list;
	size_t i = cursor->next;

	if (i == (merge->version == 4 ? list->count4 : list->count6))
		return false;
	if (merge->version == 4) {
		cursor->addr = addr6_from4(list->v4[i].addr);
		cursor->len = list->v4[i].len;
		cursor->line = list->v4[i].line;
	} else {
		cursor->addr = list->v6[i].addr;
		cursor->len = list->v6[i].len;
		cursor->line = list->v6[i].line;
	}
	cursor->next++;
	return true;
}

/* Put the root where it belongs. */
static void sift_down(struct merge *merge)
{
	struct cursor *heap = merge->heap;
	unsigned at = 0;

	for (;;) {
		unsigned child = 2 * at + 1;
		struct cursor moved;

		if (child >= merge->count)
			return;
		if (child + 1 < merge->count && before(&heap[child + 1], &heap[child]))
			child++;
		if (!before(&heap[child], &heap[at]))
			return;
		moved = heap[at];
		heap[at] = heap[child];
		heap[child] = moved;
		at = child;
	}
}

static int compare_cursors(const void *x, const void *y)
{
	return before(x, y) ? -1 : 1; /* no two are equal: their rules differ */
}

/* Starts the walk of one family; heap has room for n. */
static void merge_start(struct merge *merge, unsigned version, const struct table_rule *rules,
			unsigned n, struct cursor *heap)
{
	*merge = (struct merge){.rules = rules, .version = version, .heap = heap};
	for (unsigned i = 0; i < n; i++) {
		heap[merge->count] = (struct cursor){.rule = (uint16_t)i};
		merge->count += load_next(merge, &heap[merge->count]);
	}
	qsort(heap, merge->count, sizeof(*heap), compare_cursors); /* what is sorted is a heap */
}

static bool merge_next(struct merge *merge, struct cursor *out)
{
	if (merge->count == 0)
		return false;
	*out = merge->heap[0];
	if (!load_next(merge, &merge->heap[0]))
		merge->heap[0] = merge->heap[--merge->count];
	sift_down(merge);
	return true;
}

/*
 * The winner of the next prefix, and the first rule with another egress that names it too.
 *
 * Returns false at the end; *clash tells whether there is a loser
 */
static bool merge_next_prefix(struct merge *merge, struct cursor *winner, struct cursor *loser,
			      bool *clash)
{
	*clash = false;
	if (!merge_next(merge, winner))
		return false;
	while (merge->count > 0 && same_prefix(&merge->heap[0], winner)) {
		struct cursor other;

		merge_next(merge, &other);
		if (!*clash &&
		    merge->rules[other.rule].egress != merge->rules[winner->rule].egress) {
			*loser = other;
			*clash = true;
		}
	}
	return true;
}

static struct cursor *create_heap(unsigned n)
{
	return malloc((n > 0 ? n : 1) * sizeof(struct cursor));
}

static size_t count_entries6(const struct table *table)
{
	size_t count = 0;

	for (unsigned i = 0; i < table->rule_count; i++)
		count += table->rules[i].list->count6;
	return count;
}

static int build4(struct table *table)
{
	struct merge4 merge;
	int rc;

	rc = merge4_rules(table->rules, table->rule_count, &merge);
	if (rc != 0)
		return rc;
	table->count4 = merge.count;
	table->clashes += merge.clashes;
	rc = lpm4_build(merge.routes, merge.count, NULL, &table->v4);
	free(merge.routes);
	return rc;
}

static int build6(struct table *table, struct cursor *heap)
{
	size_t room = count_entries6(table);
	struct lpm6_route *routes = malloc((room > 0 ? room : 1) * sizeof(*routes));
	struct cursor winner, loser;
	struct merge merge;
	bool clash;
	int rc;

	if (routes == NULL)
		return -ENOMEM;
	merge_start(&merge, 6, table->rules, table->rule_count, heap);
	while (merge_next_prefix(&merge, &winner, &loser, &clash)) {
		routes[table->count6++] =
			(struct lpm6_route){winner.addr, winner.len, (uint16_t)(winner.rule + 1)};
		table->clashes += clash;
	}
	rc = lpm6_build(routes, table->count6, NULL, &table->v6);
	free(routes);
	return rc;
}

static int copy_rules(struct table *table, const struct table_rule *rules, unsigned n,
		      uint16_t default_egress)
{
	table->rules = malloc((n > 0 ? n : 1) * sizeof(*table->rules));
	table->verdicts = malloc((n + 1) * sizeof(*table->verdicts));
	if (table->rules == NULL || table->verdicts == NULL)
		return -ENOMEM;
	table->verdicts[0] = (struct verdict){default_egress, TABLE_RULE_DEFAULT};
	for (unsigned i = 0; i < n; i++) {
		table->rules[i] = (struct table_rule){list_ref(rules[i].list), rules[i].egress};
		table->verdicts[i + 1] = (struct verdict){rules[i].egress, (uint16_t)i};
	}
	table->rule_count = n;
	return 0;
}

int table_build(const struct table_rule *rules, unsigned n, uint16_t default_egress,
		uint32_t generation, struct table **out)
{
	struct table *table;
	struct cursor *heap;
	int rc = -ENOMEM;

	if (n > TABLE_RULES_MAX)
		return -EINVAL;
	table = calloc(1, sizeof(*table));
	heap = create_heap(n);
	if (table == NULL || heap == NULL)
		goto out;
	table->generation = generation;
	rc = copy_rules(table, rules, n, default_egress);
	if (rc != 0)
		goto out;
	rc = build4(table);
	if (rc != 0)
		goto out;
	rc = build6(table, heap);
	if (rc != 0)
		goto out;
	*out = table;
	table = NULL;
out:
	free(heap);
	table_destroy(table);
	return rc;
}

void table_destroy(struct table *table)
{
	if (table == NULL)
		return;
	lpm4_destroy(table->v4);
	lpm6_destroy(table->v6);
	for (unsigned i = 0; i < table->rule_count; i++)
		list_unref(table->rules[i].list);
	free(table->rules);
	free(table->verdicts);
	free(table);
}

static struct prefix cursor_prefix(const struct cursor *cursor, unsigned version)
{
	struct prefix prefix = {.addr.version = (uint8_t)version, .len = cursor->len};

	if (version == 4)
		prefix.addr.v4 = addr6_to4(cursor->addr);
	else
		prefix.addr.v6 = cursor->addr;
	return prefix;
}

size_t table_clashes(const struct table_rule *rules, unsigned n, struct table_clash *out,
		     size_t max)
{
	struct cursor *heap = create_heap(n);
	struct cursor winner, loser;
	size_t count = 0;
	bool clash;

	if (heap == NULL)
		return 0;
	for (unsigned version = 4; version <= 6; version += 2) {
		struct merge merge;

		merge_start(&merge, version, rules, n, heap);
		while (count < max && merge_next_prefix(&merge, &winner, &loser, &clash)) {
			if (!clash)
				continue;
			out[count++] = (struct table_clash){
				.prefix = cursor_prefix(&winner, version),
				.winner = winner.rule,
				.loser = loser.rule,
				.winner_line = winner.line,
				.loser_line = loser.line,
			};
		}
	}
	free(heap);
	return count;
}

uint16_t table_lookup(const struct table *table, const struct addr *addr)
{
	if (addr->version == 4)
		return lpm4_lookup(table->v4, addr->v4);
	return lpm6_lookup(table->v6, &addr->v6);
}

void table_explain(const struct table *table, const struct addr *addr, struct table_match *out)
{
	struct table_match match = {.verdict = table_lookup(table, addr)};

	/*
	 * The prefix that decided is the longest of all lists, so also of the list of its rule. A
	 * list that names the same prefix for a later rule is never asked.
	 */
	if (match.verdict != LPM_NONE) {
		const struct list *list = table->rules[match.verdict - 1].list;

		if (list_match(list, addr, &match.prefix, &match.line) == 0)
			match.list = list;
	}
	*out = match;
}

size_t table_size_bytes(const struct table *table)
{
	return sizeof(*table) + lpm4_size_bytes(table->v4) + lpm6_size_bytes(table->v6) +
	       table->rule_count * sizeof(*table->rules) +
	       (table->rule_count + 1) * sizeof(*table->verdicts);
}
