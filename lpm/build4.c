/*
 * The only maker of IPv4 tables.
 *
 * Routes come sorted by (addr, len), so a prefix stands before those inside it and one sweep with a
 * stack of open prefixes turns them into runs: neighbouring stretches of one verdict, in order and
 * without holes. A table is then laid out run by run; nothing is ever inserted.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/groups4.h"
#include "lpm/lpm4_burst.h"
#include "lpm/pages.h"

enum {
	NESTING_MAX = 33, /* lengths 0..32 */
	SMALL_PAGE_LOG2 = 12,
	HUGE_FROM = 4, /* if so much of a table is written, small pages cost more: a quarter */
};

#define ADDRS4 (UINT64_C(1) << 32)

static bool verdict_ok(unsigned verdict)
{
	return verdict != LPM_NONE && verdict <= LPM_VERDICT_MAX;
}

static int check4(const struct lpm4_route *routes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct lpm4_route *route = &routes[i];
		const struct lpm4_route *before = i > 0 ? route - 1 : NULL;

		if (route->len > 32 || (route->addr & ~mask4(route->len)) != 0)
			return -EINVAL;
		if (!verdict_ok(route->verdict))
			return -EINVAL;
		if (before != NULL && (before->addr > route->addr ||
				       (before->addr == route->addr && before->len >= route->len)))
			return -EINVAL;
	}
	return 0;
}

/* What an IPv4 table will need. */
struct need4 {
	unsigned width_log2;
	size_t groups;      /* at most */
	size_t first_bytes; /* of the first level to be written, in whole pages, at most */
};

/* Number the verdicts that occur, in their order; code_of is zero, as the code of LPM_NONE. */
static unsigned number_codes(const struct lpm4_route *routes, size_t n,
			     uint16_t code_of[LPM_VERDICT_MAX + 1])
{
	unsigned width_log2 = LPM4_WIDTH_LOG2_MIN;
	uint16_t codes = 1;

	for (size_t i = 0; i < n; i++)
		code_of[routes[i].verdict] = 1;
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

static struct need4 survey4(const struct lpm4_route *routes, size_t n, unsigned width_log2)
{
	struct need4 need = {.width_log2 = width_log2};
	unsigned page_log2 = SMALL_PAGE_LOG2 + 3 - width_log2; /* entries of a page */
	uint32_t group = UINT32_MAX, page = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		uint32_t block = routes[i].addr >> 8;
		size_t blocks = routes[i].len < 24 ? (size_t)1 << (24 - routes[i].len) : 1;

		if (routes[i].len > 24 && block != group) {
			group = block;
			need.groups++;
		}
		if (blocks >> page_log2 != 0) {
			need.first_bytes += blocks >> page_log2 << SMALL_PAGE_LOG2;
		} else if (block >> page_log2 != page) {
			page = block >> page_log2;
			need.first_bytes += (size_t)1 << SMALL_PAGE_LOG2;
		}
	}
	return need;
}

/* Huge pages are asked for where small ones would be written all over. */
static struct lpm4 *create4(struct need4 need)
{
	struct lpm4 *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return NULL;
	table->width_log2 = need.width_log2;
	table->first_bytes = ((size_t)LPM4_FIRST << need.width_log2) / 8;
	table->first =
		pages_map(table->first_bytes, need.first_bytes >= table->first_bytes / HUGE_FROM);
	if (table->first == NULL)
		goto destroy;
	if (need.groups > 0) {
		size_t bytes = need.groups * ((LPM4_GROUP << need.width_log2) / 8);

		table->ranks_bytes = LPM4_FIRST / LPM4_RANK * sizeof(*table->ranks);
		table->ranks = pages_map(table->ranks_bytes,
					 need.groups << SMALL_PAGE_LOG2 >= table->ranks_bytes);
		table->groups_bytes = pages_round(bytes);
		table->groups = pages_map(table->groups_bytes, bytes >= PAGES_ALIGN);
		if (table->ranks == NULL || table->groups == NULL)
			goto destroy;
	}
	return table;
destroy:
	lpm4_destroy(table);
	return NULL;
}

/* Make the group of a block unless it is there. Runs come in order, so it is the last one. */
static void open_group(struct lpm4 *table, uint32_t block)
{
	struct lpm4_rank *rank = &table->ranks[block / LPM4_RANK];
	uint32_t mark = UINT32_C(1) << block % LPM4_RANK;

	if ((rank->marks & mark) != 0)
		return;
	if (rank->marks == 0)
		rank->base = (uint32_t)table->group_count;
	rank->marks |= mark;
	table->group_count++;
	lpm4_fill(table->first, block, (size_t)block + 1, lpm4_code_mask(table->width_log2),
		  table->width_log2);
}

/* A stretch of addresses that share a code; end is the first behind it. */
struct run4 {
	uint64_t begin;
	uint64_t end;
	uint32_t code;
};

/* The part of a run that lies in one block, of which it is not the whole. */
static void lay_part(struct lpm4 *table, uint64_t begin, uint64_t end, uint32_t code)
{
	size_t group;

	open_group(table, (uint32_t)(begin / LPM4_GROUP));
	group = (table->group_count - 1) * LPM4_GROUP;
	begin %= LPM4_GROUP;
	end = (end - 1) % LPM4_GROUP + 1;
	lpm4_fill(table->groups, group + begin, group + end, code, table->width_log2);
}

static inline void lay4(struct lpm4 *table, const struct run4 *run)
{
	uint64_t begin = run->begin, end = run->end, whole;

	if (run->code == 0)
		return; /* it is there already; an untouched page costs nothing */
	if (begin % LPM4_GROUP != 0) {
		uint64_t stop = (begin | (LPM4_GROUP - 1)) + 1;

		if (stop > end)
			stop = end;
		lay_part(table, begin, stop, run->code);
		begin = stop;
	}
	whole = end & ~(uint64_t)(LPM4_GROUP - 1);
	if (begin < whole) {
		lpm4_fill(table->first, begin / LPM4_GROUP, whole / LPM4_GROUP, run->code,
			  table->width_log2);
		begin = whole;
	}
	if (begin < end)
		lay_part(table, begin, end, run->code);
}

/* Append the stretch up to end to the run, or lay the run and start another. */
static inline void extend4(struct lpm4 *table, struct run4 *run, uint64_t end, uint32_t code)
{
	if (end <= run->end)
		return;
	if (run->code != code) {
		lay4(table, run);
		run->begin = run->end;
		run->code = code;
	}
	run->end = end;
}

static void sweep4(struct lpm4 *table, const struct lpm4_route *routes, size_t n,
		   const uint16_t *code_of)
{
	/* What no prefix covers is the outermost, and never closed. */
	struct run4 open[NESTING_MAX + 1] = {{.end = ADDRS4}};
	struct run4 run = {0};
	unsigned depth = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t addr = routes[i].addr;

		for (; open[depth].end <= addr; depth--)
			extend4(table, &run, open[depth].end, open[depth].code);
		extend4(table, &run, addr, open[depth].code);
		open[++depth] = (struct run4){
			.end = addr + (UINT64_C(1) << (32 - routes[i].len)),
			.code = code_of[routes[i].verdict],
		};
	}
	for (; depth > 0; depth--)
		extend4(table, &run, open[depth].end, open[depth].code);
	extend4(table, &run, ADDRS4, 0);
	lay4(table, &run);
}

static void set_verdicts(struct lpm4 *table, const uint16_t *code_of)
{
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
	struct lpm4 *table;
	unsigned width_log2;
	int rc;

	lpm4_destroy(spare);
	rc = check4(routes, n);
	if (rc != 0)
		return rc;
	width_log2 = number_codes(routes, n, code_of);
	table = create4(survey4(routes, n, width_log2));
	if (table == NULL)
		return -ENOMEM;
	set_verdicts(table, code_of);
	sweep4(table, routes, n, code_of);
	if (table->group_count == 0) { /* long prefixes joined to whole blocks */
		pages_unmap(table->ranks, table->ranks_bytes);
		pages_unmap(table->groups, table->groups_bytes);
		table->ranks = NULL;
		table->groups = NULL;
		table->ranks_bytes = 0;
		table->groups_bytes = 0;
	}
	groups4_start(table);
	lpm4_choose_best(table);
	*out = table;
	return 0;
}

int lpm4_copy(const struct lpm4 *from, struct lpm4 *spare, struct lpm4 **out)
{
	struct lpm4 *table = calloc(1, sizeof(*table));
	size_t groups_bytes =
		lpm4_group_words(from->groups_end, from->width_log2) * sizeof(*from->groups);

	lpm4_destroy(spare);
	if (table == NULL)
		return -ENOMEM;
	*table = *from;
	table->first = pages_map(table->first_bytes, false);
	table->ranks = NULL;
	table->groups = NULL;
	if (table->first == NULL)
		goto destroy;
	pages_copy(table->first, from->first, from->first_bytes);
	if (from->ranks != NULL) {
		table->ranks = pages_map(table->ranks_bytes, false);
		table->groups = pages_map(table->groups_bytes, false);
		if (table->ranks == NULL || table->groups == NULL)
			goto destroy;
		pages_copy(table->ranks, from->ranks, from->ranks_bytes);
		memcpy(table->groups, from->groups, groups_bytes);
	}
	*out = table;
	return 0;
destroy:
	lpm4_destroy(table);
	return -ENOMEM;
}
