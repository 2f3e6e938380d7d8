/*
 * Free groups are runs of 1 to LPM4_RANK, listed by their length: the first word of a run is the
 * number of the next. Runs are cut, and never joined. When none is long enough and the end of the
 * memory is reached, all groups move to new memory, dense again and with half as much to spare.
 */
#include "lpm/groups4.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lpm/pages.h"

#define NO_RUN UINT32_MAX

enum {
	SPARE_MIN = 1024, /* groups */
	HUGE_FROM = 1024, /* groups: if so many ranks are written, small pages cost more */
};

static uint32_t *group_words(const struct lpm4 *table, size_t group)
{
	return table->groups + lpm4_group_words(group, table->width_log2);
}

int groups4_provide(struct lpm4 *table, size_t groups)
{
	size_t bytes = lpm4_group_bytes(groups, table->width_log2);

	if (table->ranks == NULL) {
		table->ranks_bytes = LPM4_FIRST / LPM4_RANK * sizeof(*table->ranks);
		table->ranks = pages_map(table->ranks_bytes, table->huge || groups >= HUGE_FROM);
		if (table->ranks == NULL)
			return -ENOMEM;
		pages_populate(table->ranks, table->ranks_bytes);
	}
	if (table->groups_bytes < bytes) {
		pages_unmap(table->groups, table->groups_bytes);
		table->groups_bytes = pages_round(bytes);
		table->groups = pages_map(table->groups_bytes, bytes >= PAGES_ALIGN);
		if (table->groups == NULL)
			return -ENOMEM;
	}
	return 0;
}

void groups4_drop(struct lpm4 *table)
{
	pages_unmap(table->ranks, table->ranks_bytes);
	pages_unmap(table->groups, table->groups_bytes);
	table->ranks = NULL;
	table->groups = NULL;
	table->ranks_bytes = 0;
	table->groups_bytes = 0;
}

void groups4_start(struct lpm4 *table)
{
	table->groups_end = table->group_count;
	for (unsigned n = 0; n <= LPM4_RANK; n++)
		table->free_runs[n] = NO_RUN;
}

bool groups4_uniform(const struct lpm4 *table, size_t group, uint32_t code)
{
	size_t count = lpm4_group_words(1, table->width_log2);
	const uint32_t *words = group_words(table, group);
	uint32_t pattern = lpm4_pattern(code, table->width_log2);

	return words[0] == pattern && memcmp(words, words + 1, (count - 1) * sizeof(*words)) == 0;
}

static void give_run(struct lpm4 *table, uint32_t base, unsigned n)
{
	if (n == 0)
		return;
	*group_words(table, base) = table->free_runs[n];
	table->free_runs[n] = base;
}

static size_t count_room(const struct lpm4 *table)
{
	size_t room = table->groups_bytes / lpm4_group_bytes(1, table->width_log2);

	return room < LPM4_GROUPS_MAX ? room : LPM4_GROUPS_MAX;
}

static bool take_run(struct lpm4 *table, unsigned n, uint32_t *base)
{
	for (unsigned len = n; len <= LPM4_RANK; len++) {
		uint32_t run = table->free_runs[len];

		if (run == NO_RUN)
			continue;
		table->free_runs[len] = *group_words(table, run);
		give_run(table, run + n, len - n);
		*base = run;
		return true;
	}
	if (count_room(table) - table->groups_end < n)
		return false;
	*base = (uint32_t)table->groups_end;
	table->groups_end += n;
	return true;
}

/* Move all groups to memory with room for n more. */
static int move_groups(struct lpm4 *table, unsigned n)
{
	size_t room = table->group_count + table->group_count / 2 + SPARE_MIN, at = 0, size;
	uint32_t *groups;

	if (room > LPM4_GROUPS_MAX)
		room = LPM4_GROUPS_MAX;
	if (room - table->group_count < n)
		return -ENOSPC;
	size = pages_round(lpm4_group_bytes(room, table->width_log2));
	groups = pages_map(size,
			   lpm4_group_bytes(table->group_count, table->width_log2) >= PAGES_ALIGN);
	if (groups == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < LPM4_FIRST / LPM4_RANK; i++) {
		struct lpm4_rank *rank = &table->ranks[i];
		unsigned held = (unsigned)__builtin_popcount(rank->marks);

		if (held == 0)
			continue;
		memcpy(groups + lpm4_group_words(at, table->width_log2),
		       group_words(table, rank->base), lpm4_group_bytes(held, table->width_log2));
		rank->base = (uint32_t)at;
		at += held;
	}
	pages_unmap(table->groups, table->groups_bytes);
	table->groups = groups;
	table->groups_bytes = size;
	groups4_start(table);
	return 0;
}

/* The groups of before that marks keeps, to their places from base on. */
static void copy_groups(struct lpm4 *table, uint32_t base, uint32_t marks,
			const struct lpm4_rank *before)
{
	size_t from = before->base, to = base;

	for (uint32_t left = marks | before->marks; left != 0; left &= left - 1) {
		uint32_t mark = left & -left;

		if ((marks & before->marks & mark) != 0)
			memcpy(group_words(table, to), group_words(table, from),
			       lpm4_group_bytes(1, table->width_log2));
		from += (before->marks & mark) != 0;
		to += (marks & mark) != 0;
	}
}

int groups4_set(struct lpm4 *table, uint32_t rank, uint32_t marks)
{
	unsigned wanted = (unsigned)__builtin_popcount(marks), held;
	struct lpm4_rank before;
	uint32_t base = 0;

	if (table->ranks == NULL && groups4_provide(table, SPARE_MIN) != 0)
		return -ENOMEM;
	if (wanted > 0 && !take_run(table, wanted, &base)) {
		int rc = move_groups(table, wanted);

		if (rc != 0)
			return rc;
		take_run(table, wanted, &base);
	}
	before = table->ranks[rank];
	held = (unsigned)__builtin_popcount(before.marks);
	copy_groups(table, base, marks, &before);
	give_run(table, before.base, held);
	table->ranks[rank] = (struct lpm4_rank){.marks = marks, .base = base};
	table->group_count += wanted;
	table->group_count -= held;
	return 0;
}
