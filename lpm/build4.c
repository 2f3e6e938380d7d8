/*
 * The only maker of IPv4 tables.
 *
 * Routes come sorted by (addr, len), so a prefix stands before those inside it: painted one over
 * the other in this order, the longest stays. A prefix is a power of two of entries and begins at a
 * multiple of it, so it is part of one word or so many whole ones.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/groups4.h"
#include "lpm/lpm4_burst.h"
#include "lpm/pages.h"

enum {
	REGION_LOG2 = 13, /* /24s of a region: where entries have 4 bits, a small page */
	REGIONS = LPM4_FIRST >> REGION_LOG2,
	HUGE_FROM = REGIONS / 4, /* if so many are written, small pages cost more */
};

/* What a table will need. */
struct need4 {
	unsigned width_log2;
	size_t groups;  /* at most */
	size_t regions; /* to be written, at most */
};

/*
 * Look at all routes once. used tells which verdicts occur; it has to be zero.
 *
 * Errors: -EINVAL
 */
static int survey4(const struct lpm4_route *routes, size_t n, uint16_t used[LPM_VERDICT_MAX + 1],
		   struct need4 *out)
{
	uint32_t group = UINT32_MAX, region = UINT32_MAX;
	struct need4 need = {0};
	uint64_t last = 0; /* one more than the key before */

	for (size_t i = 0; i < n; i++) {
		uint32_t addr = routes[i].addr, block = addr >> 8;
		unsigned len = routes[i].len, verdict = routes[i].verdict;
		uint64_t key = (uint64_t)addr << 8 | len;

		if (len > 32 || ((uint64_t)addr << len & UINT32_MAX) != 0 || key < last)
			return -EINVAL;
		if (verdict == LPM_NONE || verdict > LPM_VERDICT_MAX)
			return -EINVAL;
		last = key + 1;
		used[verdict] = 1;
		need.regions += block >> REGION_LOG2 != region;
		region = block >> REGION_LOG2;
		if (len < 24 - REGION_LOG2)
			need.regions += (LPM4_FIRST >> len) >> REGION_LOG2;
		if (len > 24 && block != group) {
			group = block;
			need.groups++;
		}
	}
	*out = need;
	return 0;
}

/*
 * Number the verdicts that are used, in their order.
 *
 * code_of: ones for these, zeros for others; then their codes
 * Returns how wide entries must be
 */
static unsigned number_codes(uint16_t code_of[LPM_VERDICT_MAX + 1])
{
	unsigned width_log2 = LPM4_WIDTH_LOG2_MIN;
	uint16_t codes = 1;

	for (unsigned verdict = 1; verdict <= LPM_VERDICT_MAX; verdict++) {
		if (code_of[verdict] != 0)
			code_of[verdict] = codes++;
	}
	while (codes > lpm4_code_mask(width_log2)) /* the last code is taken */
		width_log2++;
	for (unsigned v = 0; v <= LPM_VERDICT_MAX && width_log2 == LPM4_WIDTH_LOG2_MAX; v++)
		code_of[v] = (uint16_t)v;
	return width_log2;
}

/*
 * A table with room for so many groups, made of the spare one's memory if that suits: then both
 * levels hold anything, else zeros. The spare one is taken, whatever happens.
 */
static struct lpm4 *provide4(struct lpm4 *spare, unsigned width_log2, bool huge, size_t groups)
{
	struct lpm4 *table = spare;

	if (table != NULL && (table->width_log2 != width_log2 || table->huge != huge)) {
		lpm4_destroy(table);
		table = NULL;
	}
	if (table == NULL) {
		table = calloc(1, sizeof(*table));
		if (table == NULL)
			return NULL;
		table->width_log2 = width_log2;
		table->huge = huge;
		table->first_bytes = ((size_t)LPM4_FIRST << width_log2) / 8;
		table->first = pages_map(table->first_bytes, huge);
		if (table->first == NULL)
			goto destroy;
		pages_populate(table->first, table->first_bytes);
	}
	if (groups == 0)
		groups4_drop(table);
	else if (groups4_provide(table, groups) != 0)
		goto destroy;
	return table;
destroy:
	lpm4_destroy(table);
	return NULL;
}

static void clear4(struct lpm4 *table)
{
	pages_clear(table->first, table->first_bytes);
	if (table->ranks != NULL)
		pages_clear(table->ranks, table->ranks_bytes);
}

/*
 * Set the entries of a prefix: 1 << count_log2 of them, and index is a multiple of it. The pattern
 * is lpm4_pattern's: to make it anew costs a division.
 */
static inline void paint(uint32_t *words, size_t index, unsigned count_log2, uint32_t pattern,
			 unsigned width_log2)
{
	unsigned per_word_log2 = 5 - width_log2;
	uint32_t *word = &words[index >> per_word_log2];

	if (count_log2 >= per_word_log2) {
		for (size_t i = 0; i < (size_t)1 << (count_log2 - per_word_log2); i++)
			word[i] = pattern;
	} else {
		unsigned shift = (unsigned)(index & ((1U << per_word_log2) - 1)) << width_log2;
		uint32_t mask = ((UINT32_C(1) << (1U << count_log2 << width_log2)) - 1) << shift;

		*word = (*word & ~mask) | (pattern & mask);
	}
}

static void paint_block(struct lpm4 *table, uint32_t block, uint32_t code)
{
	paint(table->first, block, 0, lpm4_pattern(code, table->width_log2), table->width_log2);
}

/* The last group is finished: end it if it could as well be an entry. */
static void fold_last(struct lpm4 *table, uint32_t block)
{
	uint32_t code;

	if (table->group_count == 0)
		return;
	code = lpm4_load(table->groups, (table->group_count - 1) * LPM4_GROUP, table->width_log2);
	if (!groups4_uniform(table, table->group_count - 1, code))
		return;
	paint_block(table, block, code);
	table->ranks[block / LPM4_RANK].marks &= ~(UINT32_C(1) << block % LPM4_RANK);
	table->group_count--;
}

/* A prefix inside a block. Blocks come in order, so its group is the last one or the next. */
static void paint_long(struct lpm4 *table, const struct lpm4_route *route, uint32_t pattern,
		       uint32_t *last_block)
{
	uint32_t block = route->addr / LPM4_GROUP;
	uint32_t around = lpm4_load(table->first, block, table->width_log2);
	size_t group;

	if (around != lpm4_code_mask(table->width_log2)) {
		struct lpm4_rank *rank = &table->ranks[block / LPM4_RANK];

		fold_last(table, *last_block);
		*last_block = block;
		if (rank->marks == 0)
			rank->base = (uint32_t)table->group_count;
		rank->marks |= UINT32_C(1) << block % LPM4_RANK;
		paint(table->groups, table->group_count * LPM4_GROUP, 8,
		      lpm4_pattern(around, table->width_log2), table->width_log2);
		table->group_count++;
		paint_block(table, block, lpm4_code_mask(table->width_log2));
	}
	group = table->group_count - 1;
	paint(table->groups, group * LPM4_GROUP + route->addr % LPM4_GROUP, 32U - route->len,
	      pattern, table->width_log2);
}

static void paint_all(struct lpm4 *table, const struct lpm4_route *routes, size_t n,
		      const uint16_t *code_of)
{
	unsigned width_log2 = table->width_log2;
	uint32_t ones = lpm4_pattern(1, width_log2), last_block = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t pattern = ones * code_of[routes[i].verdict];

		if (routes[i].len <= 24)
			paint(table->first, routes[i].addr / LPM4_GROUP, 24U - routes[i].len,
			      pattern, width_log2);
		else
			paint_long(table, &routes[i], pattern, &last_block);
	}
	fold_last(table, last_block);
}

static void set_verdicts(struct lpm4 *table, const uint16_t *code_of)
{
	memset(table->verdicts, 0, sizeof(table->verdicts));
	if (table->width_log2 == LPM4_WIDTH_LOG2_MAX)
		return;
	for (unsigned verdict = 1; verdict <= LPM_VERDICT_MAX; verdict++) {
		if (code_of[verdict] != 0)
			table->verdicts[code_of[verdict]] = (uint16_t)verdict;
	}
	table->verdicts[lpm4_code_mask(table->width_log2)] = LPM4_GROUPED;
}

int lpm4_build(const struct lpm4_route *routes, size_t n, struct lpm4 *spare, struct lpm4 **out)
{
	uint16_t code_of[LPM_VERDICT_MAX + 1] = {0};
	struct need4 need;
	struct lpm4 *table;
	int rc;

	rc = survey4(routes, n, code_of, &need);
	if (rc != 0) {
		lpm4_destroy(spare);
		return rc;
	}
	need.width_log2 = number_codes(code_of);
	table = provide4(spare, need.width_log2, need.regions >= HUGE_FROM, need.groups);
	if (table == NULL)
		return -ENOMEM;
	if (table == spare)
		clear4(table);
	table->group_count = 0;
	set_verdicts(table, code_of);
	paint_all(table, routes, n, code_of);
	if (table->group_count == 0) /* all were folded */
		groups4_drop(table);
	groups4_start(table);
	lpm4_choose_best(table);
	*out = table;
	return 0;
}

int lpm4_copy(const struct lpm4 *from, struct lpm4 *spare, struct lpm4 **out)
{
	struct lpm4 *table = provide4(spare, from->width_log2, from->huge, from->groups_end);

	if (table == NULL)
		return -ENOMEM;
	pages_copy(table->first, from->first, from->first_bytes);
	if (table->ranks != NULL) {
		pages_copy(table->ranks, from->ranks, from->ranks_bytes);
		memcpy(table->groups, from->groups,
		       lpm4_group_bytes(from->groups_end, from->width_log2));
	}
	table->group_count = from->group_count;
	table->groups_end = from->groups_end;
	memcpy(table->free_runs, from->free_runs, sizeof(table->free_runs));
	memcpy(table->verdicts, from->verdicts, sizeof(table->verdicts));
	lpm4_choose_best(table);
	*out = table;
	return 0;
}
