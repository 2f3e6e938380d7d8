/* The cursors are a heap. */
#include "lpm/merge.h"

#include <errno.h>
#include <stdlib.h>

#include "lpm/addr6.h"

int merge_init(struct merge *merge, const struct table_rule *rules, unsigned n)
{
	size_t room = n > 0 ? n : 1;

	*merge = (struct merge){.rules = rules, .rule_count = n};
	merge->walks = malloc(room * sizeof(*merge->walks));
	merge->heap = malloc(room * sizeof(*merge->heap));
	if (merge->walks != NULL && merge->heap != NULL)
		return 0;
	merge_fini(merge);
	return -ENOMEM;
}

void merge_fini(struct merge *merge)
{
	free(merge->walks);
	free(merge->heap);
	*merge = (struct merge){0};
}

static bool before(const struct merge_cursor *a, const struct merge_cursor *b)
{
	if (!addr6_equal(a->addr, b->addr))
		return addr6_less(a->addr, b->addr);
	if (a->len != b->len)
		return a->len < b->len;
	return a->rule < b->rule;
}

static bool same_prefix(const struct merge_cursor *a, const struct merge_cursor *b)
{
	return addr6_equal(a->addr, b->addr) && a->len == b->len;
}

/* Returns false at the end of its list. */
static bool load_next(struct merge *merge, struct merge_cursor *cursor)
{
	struct list_item item;

	if (!list_walk_next_until(&merge->walks[cursor->rule], merge->last, &item))
		return false;
	cursor->addr = item.addr;
	cursor->len = item.len;
	cursor->line = item.line;
	return true;
}

/* Put the root where it belongs. */
static void sift_down(struct merge *merge)
{
	struct merge_cursor *heap = merge->heap;
	unsigned at = 0;

	for (;;) {
		unsigned child = 2 * at + 1;
		struct merge_cursor moved;

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

static void start_rule(struct merge *merge, unsigned rule)
{
	struct merge_cursor *cursor = &merge->heap[merge->count];

	*cursor = (struct merge_cursor){.rule = (uint16_t)rule};
	merge->count += load_next(merge, cursor);
}

/* What is sorted is a heap. */
static void make_heap(struct merge *merge)
{
	if (merge->count > 1)
		qsort(merge->heap, merge->count, sizeof(*merge->heap), compare_cursors);
}

void merge_start(struct merge *merge, unsigned version)
{
	merge->last = (struct addr6){UINT64_MAX, UINT64_MAX};
	merge->inside = 0;
	merge->count = 0;
	for (unsigned i = 0; i < merge->rule_count; i++) {
		list_walk_start(&merge->walks[i], merge->rules[i].list, version);
		start_rule(merge, i);
	}
	make_heap(merge);
}

uint16_t merge_start_inside(struct merge *merge, unsigned version, struct addr6 addr, unsigned len)
{
	/* The walks have taken nothing behind the last prefix. */
	bool again = merge->inside == version && addr6_less(merge->last, addr);
	uint16_t verdict = LPM_NONE;
	unsigned min_len = 0; /* of what is longer than those seen */

	merge->last = addr6_last(addr, len);
	merge->inside = version;
	merge->count = 0;
	for (unsigned i = 0; i < merge->rule_count; i++) {
		struct list_walk *walk = &merge->walks[i];
		struct list_item outer;

		if (again)
			list_walk_skip(walk, addr, len);
		else
			list_walk_start_at(walk, merge->rules[i].list, version, addr, len);
		if (list_walk_cover(walk, addr, min_len, &outer)) {
			min_len = outer.len + 1U;
			verdict = (uint16_t)(i + 1);
		}
		start_rule(merge, i);
	}
	make_heap(merge);
	return verdict;
}

static void take(struct merge *merge, struct merge_cursor *out)
{
	*out = merge->heap[0];
	if (!load_next(merge, &merge->heap[0]))
		merge->heap[0] = merge->heap[--merge->count];
	sift_down(merge);
}

bool merge_next(struct merge *merge, struct merge_cursor *winner, struct merge_cursor *loser,
		bool *clash)
{
	*clash = false;
	if (merge->count == 0)
		return false;
	take(merge, winner);
	while (merge->count > 0 && same_prefix(&merge->heap[0], winner)) {
		struct merge_cursor other;

		take(merge, &other);
		if (!*clash &&
		    merge->rules[other.rule].egress != merge->rules[winner->rule].egress) {
			*loser = other;
			*clash = true;
		}
	}
	return true;
}
