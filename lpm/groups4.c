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
};

static uint32_t *group_words(const struct lpm4 *table, size_t group)
{
	return table->groups + lpm4_group_words(group, table->width_log2);
}

void groups4_start(struct lpm4 *table)
{
	table->groups_end = table->group_count;
	for (unsigned n = 0; n <= LPM4_RANK; n++)
		table->free_runs[n] = NO_RUN;
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
	size_t room = table->groups_bytes /
		      (lpm4_group_words(1, table->width_log2) * sizeof(*table->groups));

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

static size_t groups_bytes(const struct lpm4 *table, size_t n)
{
	return lpm4_group_words(n, table->width_log2) * sizeof(*table->groups);
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
	size = pages_round(groups_bytes(table, room));
	groups = pages_map(size, groups_bytes(table, table->group_count) >= PAGES_ALIGN);
	if (groups == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < LPM4_FIRST / LPM4_RANK; i++) {
		struct lpm4_rank *rank = &table->ranks[i];
		unsigned held = (unsigned)__builtin_popcount(rank->marks);

		if (held == 0)
			continue;
		memcpy(groups + lpm4_group_words(at, table->width_log2),
		       group_words(table, rank->base), groups_bytes(table, held));
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
			       groups_bytes(table, 1));
		from += (before->marks & mark) != 0;
		to += (marks & mark) != 0;
	}
}

int groups4_set(struct lpm4 *table, uint32_t rank, uint32_t marks)
{
	unsigned wanted = (unsigned)__builtin_popcount(marks), held;
	struct lpm4_rank before;
	uint32_t base = 0;

	if (table->ranks == NULL) {
		table->ranks_bytes = LPM4_FIRST / LPM4_RANK * sizeof(*table->ranks);
		table->ranks = pages_map(table->ranks_bytes, false);
		if (table->ranks == NULL)
			return -ENOMEM;
	}
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
