#include "lpm/lpm6_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/lpm6_lines.h"

enum {
	LEAF_LOOSE = 8, /* cells of a leaf that leaves room */
	ROOM_MIN = 64,
};

void lpm6_maker_fini(struct lpm6_maker *maker)
{
	free(maker->cells);
	free(maker->leaves);
}

unsigned lpm6_stage_begin(unsigned stage)
{
	return 16 + 32 * stage;
}

unsigned lpm6_stage_end(unsigned stage)
{
	return stage == LPM6_STAGES - 1 ? 128 : lpm6_stage_begin(stage + 1);
}

uint32_t lpm6_stage_step(unsigned stage)
{
	return stage == LPM6_STAGES - 1 ? 1U << 16 : 1;
}

static uint32_t key_bits(int32_t key)
{
	return ((uint32_t)key ^ UINT32_C(1) << 31) + 1;
}

int lpm6_push_cell(struct lpm6_maker *maker, size_t bottom, uint32_t bits, uint32_t entry)
{
	size_t at = maker->cell_count;

	if (at == maker->cell_room) {
		size_t room = at < ROOM_MIN ? ROOM_MIN : at * 2;
		struct lpm6_cell *cells = realloc(maker->cells, room * sizeof(*cells));

		if (cells == NULL)
			return -ENOMEM;
		maker->cells = cells;
		maker->cell_room = room;
	}
	if (at > bottom && maker->cells[at - 1].bits == bits)
		at--;
	if (at == bottom || maker->cells[at - 1].entry != entry || lpm6_is_link(entry))
		maker->cells[at++] = (struct lpm6_cell){bits, entry};
	maker->cell_count = at;
	return 0;
}

/* The end of the first leaf of the n cells, of which it takes limit at most. */
static size_t leaf_end(const struct lpm6_cell *cells, size_t n, size_t limit)
{
	size_t deep = 0, end = 0;

	for (; end < n && end < limit; end++) {
		if (!lpm6_is_link(cells[end].entry))
			continue;
		if (end >= LPM6_DEEP_CELLS || deep == LPM6_LEAF_DEEP)
			break;
		deep++;
		limit = LPM6_DEEP_CELLS;
	}
	return end;
}

/* Cut the cells above bottom into leaves; returns how many, 0 if there is no memory. */
static size_t cut_leaves(struct lpm6_maker *maker, size_t bottom, size_t limit)
{
	size_t n = maker->cell_count - bottom, count = 0, at = 0;

	if (maker->leaf_room < n + 1) {
		size_t *leaves = realloc(maker->leaves, (n + ROOM_MIN) * sizeof(*leaves));

		if (leaves == NULL)
			return 0;
		maker->leaves = leaves;
		maker->leaf_room = n + ROOM_MIN;
	}
	while (at < n) {
		maker->leaves[count++] = at;
		at += leaf_end(maker->cells + bottom + at, n - at, limit);
	}
	maker->leaves[count] = n;
	return count;
}

static void fill_leaf(struct lpm6_leaf *leaf, const struct lpm6_cell *cells, size_t n)
{
	unsigned deep = 0;

	memset(leaf, 0, sizeof(*leaf));
	for (size_t i = 0; i < n; i++) {
		uint16_t *halves = leaf->values + LPM6_DEEP_CELLS + (size_t)2 * deep;

		leaf->values[i] = (uint16_t)cells[i].entry;
		if (!lpm6_is_link(cells[i].entry))
			continue;
		leaf->values[i] = (uint16_t)(LPM6_DEEP + deep++);
		halves[0] = (uint16_t)cells[i].entry;
		halves[1] = (uint16_t)(cells[i].entry >> 16);
	}
	for (size_t i = 1; i < LPM6_LEAF_CELLS; i++)
		leaf->keys[i - 1] = i < n ? lpm6_key(cells[i].bits) : LPM6_UNUSED;
}

/* How many leaves a tree has at most; size_t is enough for LPM6_HEIGHT_MAX. */
static size_t leaves_max(unsigned height)
{
	return (size_t)1 << 4 * height;
}

/* How many children take that many leaves: with room for some more, if there is. */
static size_t choose_fanout(size_t leaves, unsigned height)
{
	size_t below = leaves_max(height - 1), comfortable = below - below / 8, fanout;

	fanout = (leaves + comfortable - 1) / comfortable;
	return fanout < LPM6_FANOUT ? fanout : LPM6_FANOUT;
}

/* Of the leaves begin to end. Recursion is as deep as the tree. */
static int fill_node(struct lpm6_maker *maker, size_t bottom, uint32_t line, unsigned height,
		     size_t begin, size_t end)
{
	size_t count = end - begin, fanout;
	struct lpm6_index *index;
	uint32_t base;
	int rc;

	if (height == 0) {
		size_t first = maker->leaves[begin];

		fill_leaf(&maker->table->lines[line].leaf, maker->cells + bottom + first,
			  maker->leaves[begin + 1] - first);
		return 0;
	}
	fanout = choose_fanout(count, height);
	rc = lpm6_lines_alloc(maker->table, (unsigned)fanout, &base);
	if (rc != 0)
		return rc;
	index = &maker->table->lines[line].index;
	index->base = base;
	for (size_t i = 1; i < LPM6_FANOUT; i++) {
		size_t first = maker->leaves[begin + (i < fanout ? count * i / fanout : 0)];

		index->keys[i - 1] =
			i < fanout ? lpm6_key(maker->cells[bottom + first].bits) : LPM6_UNUSED;
	}
	for (size_t i = 0; i < fanout; i++) {
		rc = fill_node(maker, bottom, base + (uint32_t)i, height - 1,
			       begin + count * i / fanout, begin + count * (i + 1) / fanout);
		if (rc != 0)
			return rc;
	}
	return 0;
}

bool lpm6_tree_fits(struct lpm6_maker *maker, size_t bottom, unsigned height, bool loose)
{
	size_t leaves = cut_leaves(maker, bottom, loose ? LEAF_LOOSE : LPM6_LEAF_CELLS);

	maker->leaf_count = leaves;
	return leaves != 0 && leaves <= leaves_max(height);
}

int lpm6_fill_tree(struct lpm6_maker *maker, size_t bottom, uint32_t line, unsigned height)
{
	return fill_node(maker, bottom, line, height, 0, maker->leaf_count);
}

int lpm6_make_tree(struct lpm6_maker *maker, size_t bottom, uint32_t *entry)
{
	unsigned height = 0;
	uint32_t line;
	int rc;

	while (!lpm6_tree_fits(maker, bottom, height, false)) {
		if (maker->leaf_count == 0)
			return -ENOMEM;
		height++;
	}
	rc = lpm6_lines_alloc(maker->table, 1, &line);
	if (rc != 0)
		return rc;
	rc = lpm6_fill_tree(maker, bottom, line, height);
	if (rc != 0)
		return rc;
	*entry = lpm6_link(height, line);
	return 0;
}

int lpm6_raise_tree(struct lpm6 *table, unsigned height, uint32_t *entry)
{
	for (unsigned i = lpm6_link_height(*entry); i < height; i++) {
		uint32_t line;
		int rc = lpm6_lines_alloc(table, 1, &line);

		if (rc != 0)
			return rc;
		for (unsigned k = 0; k < LPM6_FANOUT - 1; k++)
			table->lines[line].index.keys[k] = LPM6_UNUSED;
		table->lines[line].index.base = lpm6_link_line(*entry);
		*entry = lpm6_link(i + 1, line);
	}
	return 0;
}

static int make_tail(struct lpm6 *table, const struct lpm6_edge *edges, size_t n, uint16_t before,
		     uint32_t *entry)
{
	struct lpm6_tail *tail;
	uint32_t line;
	int rc = lpm6_lines_alloc(table, 1, &line);

	if (rc != 0)
		return rc;
	tail = &table->lines[line].tail;
	tail->unused = 0;
	tail->values[0] = before;
	for (size_t i = 0; i < LPM6_TAIL_KEYS; i++) {
		const struct lpm6_edge *edge = &edges[i < n ? i : n - 1];

		tail->keys[i] = edge->first;
		tail->values[i + 1] = edge->verdict;
	}
	*entry = lpm6_link(LPM6_TAIL, line);
	return 0;
}

/* Edges of the cell of edges[0]. */
static size_t count_in_cell(const struct lpm6_edge *edges, size_t n, struct addr6 host)
{
	size_t count = 1;

	while (count < n && (edges[count].first.hi | host.hi) == (edges[0].first.hi | host.hi) &&
	       (edges[count].first.lo | host.lo) == (edges[0].first.lo | host.lo))
		count++;
	return count;
}

/* Cells of a stage; recursion is as deep as there are stages. */
static int push_edges(struct lpm6_maker *maker, size_t bottom, unsigned stage,
		      const struct lpm6_edge *edges, size_t n, uint16_t before)
{
	struct addr6 host = addr6_host_mask(lpm6_stage_end(stage));
	int rc = lpm6_push_cell(maker, bottom, 0, before);

	while (rc == 0 && n > 0) {
		uint32_t bits = lpm6_stage_bits(&edges->first, stage);
		size_t count = count_in_cell(edges, n, host);
		bool from_start =
			(edges->first.hi & host.hi) == 0 && (edges->first.lo & host.lo) == 0;
		uint16_t first = from_start ? edges->verdict : before;
		uint32_t entry;

		before = edges[count - 1].verdict;
		rc = lpm6_make_entry(maker, stage + 1, edges + from_start, count - from_start,
				     first, &entry);
		if (rc == 0)
			rc = lpm6_push_cell(maker, bottom, bits, entry);
		if (rc == 0 && lpm6_is_link(entry) && bits != UINT32_MAX)
			rc = lpm6_push_cell(maker, bottom, bits + 1, before);
		edges += count;
		n -= count;
	}
	return rc;
}

int lpm6_make_entry(struct lpm6_maker *maker, unsigned stage, const struct lpm6_edge *edges,
		    size_t n, uint16_t before, uint32_t *entry)
{
	size_t bottom = maker->cell_count;
	int rc;

	if (n == 0) {
		*entry = before;
		return 0;
	}
	if (stage > 0 && n <= LPM6_TAIL_KEYS)
		return make_tail(maker->table, edges, n, before, entry);
	rc = push_edges(maker, bottom, stage, edges, n, before);
	if (rc == 0)
		rc = lpm6_make_tree(maker, bottom, entry);
	maker->cell_count = bottom;
	return rc;
}

int lpm6_push_tree(struct lpm6_maker *maker, size_t bottom, uint32_t line, unsigned height,
		   uint32_t bits)
{
	const unsigned children = height > 0 ? LPM6_FANOUT : LPM6_LEAF_CELLS;
	int rc = 0;

	for (unsigned i = 0; i < children && rc == 0; i++) {
		const union lpm6_line *node = &maker->table->lines[line];

		if (i > 0) {
			/* Keys of both kinds of nodes lie in the same place. */
			if (node->index.keys[i - 1] == LPM6_UNUSED)
				break;
			bits = key_bits(node->index.keys[i - 1]);
		}
		if (height > 0)
			rc = lpm6_push_tree(maker, bottom, node->index.base + i, height - 1, bits);
		else
			rc = lpm6_push_cell(maker, bottom, bits, lpm6_leaf_entry(&node->leaf, i));
	}
	return rc;
}

static unsigned count_children(const struct lpm6_index *index)
{
	unsigned count = 1;

	while (count < LPM6_FANOUT && index->keys[count - 1] != LPM6_UNUSED)
		count++;
	return count;
}

void lpm6_free_nodes(struct lpm6 *table, uint32_t line, unsigned height)
{
	uint32_t base = table->lines[line].index.base;
	unsigned count;

	if (height == 0)
		return;
	count = count_children(&table->lines[line].index);
	for (unsigned i = 0; i < count; i++)
		lpm6_free_nodes(table, base + i, height - 1);
	lpm6_lines_free(table, base, count);
}

static void free_deep(struct lpm6 *table, uint32_t line, unsigned height)
{
	const union lpm6_line *node = &table->lines[line];

	if (height > 0) {
		unsigned count = count_children(&node->index);

		for (unsigned i = 0; i < count; i++)
			free_deep(table, node->index.base + i, height - 1);
		return;
	}
	for (unsigned i = 0; i < LPM6_LEAF_CELLS; i++) {
		if (i > 0 && node->leaf.keys[i - 1] == LPM6_UNUSED)
			return;
		lpm6_free_entry(table, lpm6_leaf_entry(&node->leaf, i));
	}
}

void lpm6_free_entry(struct lpm6 *table, uint32_t entry)
{
	if (!lpm6_is_link(entry))
		return;
	if (lpm6_link_height(entry) != LPM6_TAIL) {
		free_deep(table, lpm6_link_line(entry), lpm6_link_height(entry));
		lpm6_free_nodes(table, lpm6_link_line(entry), lpm6_link_height(entry));
	}
	lpm6_lines_free(table, lpm6_link_line(entry), 1);
}
