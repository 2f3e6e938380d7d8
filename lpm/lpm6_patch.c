/*
 * Changes IPv6 tables in place. A run of one verdict frees what it covers whole and cuts what it
 * covers in part: of a tree, the lowest part that holds all that changes is taken apart and made
 * anew, or the part above if it has no room for it.
 */
#include <errno.h>
#include <stdbool.h>

#include "lpm/addr6.h"
#include "lpm/lpm6_lines.h"
#include "lpm/lpm6_tree.h"

enum {
	EDGES_MAX = LPM6_TAIL_KEYS + 2, /* of a tail that is cut */
	CELLS_MAX = 3,                  /* in part, whole, in part */
};

/* Part of a tree. */
struct part {
	uint32_t line;
	unsigned height;
	uint32_t first; /* bits */
	uint32_t last;
};

/* What replaces the cells of a stage from first to last. */
struct change {
	uint32_t first; /* bits */
	uint32_t last;
	struct lpm6_cell cells[CELLS_MAX];
	unsigned count;
	bool first_partial; /* their old entries went into the new ones */
	bool last_partial;
};

static void push_edge(struct lpm6_edge *edges, size_t *n, uint16_t before, struct addr6 first,
		      uint16_t verdict)
{
	if ((*n > 0 ? edges[*n - 1].verdict : before) != verdict)
		edges[(*n)++] = (struct lpm6_edge){first, verdict};
}

/* Of what a tail is, or the verdict of a whole range: the edges behind its first address. */
static size_t read_edges(const struct lpm6 *table, uint32_t entry, struct lpm6_edge *edges,
			 uint16_t *before)
{
	const struct lpm6_tail *tail;
	size_t n = 0;

	*before = (uint16_t)entry;
	if (!lpm6_is_link(entry))
		return 0;
	tail = &table->lines[lpm6_link_line(entry)].tail;
	*before = tail->values[0];
	for (unsigned i = 0; i < LPM6_TAIL_KEYS; i++)
		push_edge(edges, &n, *before, tail->keys[i], tail->values[i + 1]);
	return n;
}

/* Cut a verdict or a tail; range is what the entry is for. */
static int cut_edges(struct lpm6_maker *maker, unsigned stage, const struct lpm6_run *range,
		     const struct lpm6_run *run, uint32_t *entry)
{
	struct lpm6_edge old[LPM6_TAIL_KEYS], edges[EDGES_MAX];
	uint16_t before, at_end;
	size_t count = read_edges(maker->table, *entry, old, &before), n = 0, i = 0;

	at_end = before;
	if (addr6_equal(range->first, run->first))
		before = run->verdict;
	for (; i < count && addr6_less(old[i].first, run->first); i++) {
		push_edge(edges, &n, before, old[i].first, old[i].verdict);
		at_end = old[i].verdict;
	}
	push_edge(edges, &n, before, run->first, run->verdict);
	for (; i < count && !addr6_less(run->last, old[i].first); i++)
		at_end = old[i].verdict;
	if (!addr6_equal(range->last, run->last) &&
	    (i == count || !addr6_equal(old[i].first, addr6_next(run->last))))
		push_edge(edges, &n, before, addr6_next(run->last), at_end);
	for (; i < count; i++)
		push_edge(edges, &n, before, old[i].first, old[i].verdict);
	lpm6_free_entry(maker->table, *entry);
	return lpm6_make_entry(maker, stage, edges, n, before, entry);
}

/* The parts of a tree that hold a whole change, from the tree itself down; returns how many. */
static unsigned find_parts(const struct lpm6 *table, uint32_t entry, const struct change *change,
			   struct part *parts)
{
	struct part part = {lpm6_link_line(entry), lpm6_link_height(entry), 0, UINT32_MAX};
	unsigned count = 0;

	for (;;) {
		const struct lpm6_index *index = &table->lines[part.line].index;
		unsigned child;

		parts[count++] = part;
		if (part.height == 0)
			return count;
		child = lpm6_count(index->keys, LPM6_FANOUT - 1, lpm6_wanted(change->first));
		if (child != lpm6_count(index->keys, LPM6_FANOUT - 1, lpm6_wanted(change->last)))
			return count;
		if (child > 0) /* a key is one less than bits */
			part.first = ((uint32_t)index->keys[child - 1] ^ LPM6_LINK) + 1;
		if (child < LPM6_FANOUT - 1 && index->keys[child] != LPM6_UNUSED)
			part.last = (uint32_t)index->keys[child] ^ LPM6_LINK;
		part.line = index->base + child;
		part.height--;
	}
}

/* Push the cells of a part on the stack as they will be, above those as they are. */
static int push_changed(struct lpm6_maker *maker, const struct part *part, unsigned stage,
			const struct change *change, size_t *bottom)
{
	size_t old = maker->cell_count, i = old;
	uint32_t next = change->last + lpm6_stage_step(stage), resumed = 0;
	int rc = lpm6_push_tree(maker, old, part->line, part->height, part->first);
	size_t end = maker->cell_count;

	*bottom = end;
	for (; rc == 0 && i < end && maker->cells[i].bits < change->first; i++) {
		resumed = maker->cells[i].entry;
		rc = lpm6_push_cell(maker, end, maker->cells[i].bits, resumed);
	}
	for (unsigned k = 0; rc == 0 && k < change->count; k++)
		rc = lpm6_push_cell(maker, end, change->cells[k].bits, change->cells[k].entry);
	for (; i < end && maker->cells[i].bits <= change->last; i++)
		resumed = maker->cells[i].entry;
	/* What was there goes on behind the change; next is 0 behind the last cell. */
	if (rc == 0 && next != 0 && next <= part->last &&
	    (i == end || maker->cells[i].bits != next))
		rc = lpm6_push_cell(maker, end, next, resumed);
	for (; rc == 0 && i < end; i++)
		rc = lpm6_push_cell(maker, end, maker->cells[i].bits, maker->cells[i].entry);
	return rc;
}

/* Free what the cells that a change covers whole link to. */
static void free_covered(struct lpm6_maker *maker, size_t old, size_t end,
			 const struct change *change)
{
	for (size_t i = old; i < end; i++) {
		const struct lpm6_cell *cell = &maker->cells[i];

		if (cell->bits < change->first || cell->bits > change->last)
			continue;
		if (cell->bits == change->first && change->first_partial)
			continue;
		if (cell->bits == change->last && change->last_partial)
			continue;
		lpm6_free_entry(maker->table, cell->entry);
	}
}

/* Make a part anew of the cells above bottom; -EAGAIN if they find no room in it. */
static int refill_part(struct lpm6_maker *maker, size_t bottom, const struct part *part)
{
	/* A single leaf is filled; where leaves are made anew, they get some room. */
	if ((part->height == 0 || !lpm6_tree_fits(maker, bottom, part->height, true)) &&
	    !lpm6_tree_fits(maker, bottom, part->height, false))
		return maker->leaf_count == 0 ? -ENOMEM : -EAGAIN;
	lpm6_free_nodes(maker->table, part->line, part->height);
	return lpm6_fill_tree(maker, bottom, part->line, part->height);
}

/* The lowest part that has room; a tree of the stages behind the first may become higher. */
static int change_tree(struct lpm6_maker *maker, unsigned stage, const struct change *change,
		       uint32_t *entry)
{
	struct part parts[LPM6_HEIGHT_MAX + 1];
	unsigned at = find_parts(maker->table, *entry, change, parts);
	size_t old = maker->cell_count, bottom;
	bool freed = false;
	int rc = -EAGAIN;

	while (rc == -EAGAIN && at-- > 0) {
		maker->cell_count = old;
		rc = push_changed(maker, &parts[at], stage, change, &bottom);
		if (rc == 0 && !freed)
			free_covered(maker, old, bottom, change);
		freed = true;
		if (rc == 0)
			rc = refill_part(maker, bottom, &parts[at]);
	}
	if (rc == -EAGAIN && stage == 0) {
		rc = -ENOSPC;
	} else if (rc == -EAGAIN) {
		lpm6_free_nodes(maker->table, parts[0].line, parts[0].height);
		lpm6_lines_free(maker->table, parts[0].line, 1);
		rc = lpm6_make_tree(maker, bottom, entry);
	}
	maker->cell_count = old;
	return rc;
}

/* Have a tree of one cell with one verdict be that verdict. */
static void fold_tree(struct lpm6 *table, uint32_t *entry)
{
	uint32_t line = lpm6_link_line(*entry);

	for (unsigned height = lpm6_link_height(*entry);; height--) {
		const union lpm6_line *node = &table->lines[line];

		if (node->index.keys[0] != LPM6_UNUSED)
			return;
		if (height == 0)
			break;
		line = node->index.base;
	}
	if (table->lines[line].leaf.values[0] < LPM6_DEEP) {
		uint16_t verdict = table->lines[line].leaf.values[0];

		lpm6_free_entry(table, *entry);
		*entry = verdict;
	}
}

static int cut_entry(struct lpm6_maker *maker, unsigned stage, struct addr6 first,
		     const struct lpm6_run *run, uint32_t *entry);

/* Change the cell of addr, of which run covers a part, and have the change replace it. */
static int cut_cell(struct lpm6_maker *maker, unsigned stage, struct addr6 addr,
		    const struct lpm6_run *run, uint32_t tree, struct change *change)
{
	struct addr6 host = addr6_host_mask(lpm6_stage_end(stage));
	struct addr6 first = {addr.hi & ~host.hi, addr.lo & ~host.lo};
	struct addr6 last = {addr.hi | host.hi, addr.lo | host.lo};
	struct lpm6_run inside = *run;
	struct lpm6_cell cell = {.bits = lpm6_stage_bits(&addr, stage)};
	int rc;

	if (addr6_less(inside.first, first))
		inside.first = first;
	if (addr6_less(last, inside.last))
		inside.last = last;
	cell.entry = lpm6_tree_entry(maker->table, lpm6_link_line(tree), lpm6_link_height(tree),
				     cell.bits);
	rc = cut_entry(maker, stage + 1, first, &inside, &cell.entry);
	if (rc == 0)
		change->cells[change->count++] = cell;
	return rc;
}

static int cut_tree(struct lpm6_maker *maker, unsigned stage, const struct lpm6_run *run,
		    uint32_t *entry)
{
	struct addr6 host = addr6_host_mask(lpm6_stage_end(stage));
	uint32_t step = lpm6_stage_step(stage), whole_first, whole_last;
	bool starts_inside = (run->first.hi & host.hi) != 0 || (run->first.lo & host.lo) != 0;
	bool ends_inside =
		(run->last.hi & host.hi) != host.hi || (run->last.lo & host.lo) != host.lo;
	struct change change = {.first = lpm6_stage_bits(&run->first, stage),
				.last = lpm6_stage_bits(&run->last, stage)};
	int rc = 0;

	change.first_partial = starts_inside || (change.first == change.last && ends_inside);
	change.last_partial = ends_inside && change.first != change.last;
	whole_first = change.first + (change.first_partial ? step : 0);
	whole_last = change.last - (change.last_partial ? step : 0);
	if (change.first_partial)
		rc = cut_cell(maker, stage, run->first, run, *entry, &change);
	if (rc == 0 && whole_first <= whole_last && whole_first >= change.first)
		change.cells[change.count++] = (struct lpm6_cell){whole_first, run->verdict};
	if (rc == 0 && change.last_partial)
		rc = cut_cell(maker, stage, run->last, run, *entry, &change);
	if (rc == 0)
		rc = change_tree(maker, stage, &change, entry);
	if (rc == 0)
		fold_tree(maker->table, entry);
	return rc;
}

/* Have the addresses of run, all of them from first on inside one entry, take its verdict. */
static int cut_entry(struct lpm6_maker *maker, unsigned stage, struct addr6 first,
		     const struct lpm6_run *run, uint32_t *entry)
{
	struct lpm6_run range = {first, addr6_last(first, lpm6_stage_begin(stage)), 0};

	if (addr6_equal(run->first, range.first) && addr6_equal(run->last, range.last)) {
		lpm6_free_entry(maker->table, *entry);
		*entry = run->verdict;
		return 0;
	}
	if (lpm6_is_link(*entry) && lpm6_link_height(*entry) != LPM6_TAIL)
		return cut_tree(maker, stage, run, entry);
	if (*entry == run->verdict)
		return 0;
	return cut_edges(maker, stage, &range, run, entry);
}

static int patch_root(struct lpm6_maker *maker, uint64_t i, const struct lpm6_run *run)
{
	struct lpm6 *table = maker->table;
	struct addr6 first = {i << 48, 0}, last = addr6_last(first, lpm6_stage_begin(0));
	struct lpm6_run inside = *run;
	uint32_t entry = table->root[i];
	int rc;

	if (addr6_less(inside.first, first))
		inside.first = first;
	if (addr6_less(last, inside.last))
		inside.last = last;
	rc = cut_entry(maker, 0, first, &inside, &entry);
	if (rc == 0 && lpm6_is_link(entry)) {
		if (lpm6_link_height(entry) > table->height)
			return -ENOSPC;
		rc = lpm6_raise_tree(table, table->height, &entry);
	}
	if (rc == 0)
		table->root[i] = entry;
	return rc;
}

int lpm6_patch(struct lpm6 *table, const struct lpm6_run *runs, size_t n)
{
	struct lpm6_maker maker = {.table = table};
	int rc = 0;

	for (size_t k = 0; k < n && rc == 0; k++) {
		for (uint64_t i = runs[k].first.hi >> 48; i <= runs[k].last.hi >> 48 && rc == 0;
		     i++)
			rc = patch_root(&maker, i, &runs[k]);
	}
	lpm6_maker_fini(&maker);
	return rc;
}
