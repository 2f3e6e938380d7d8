/*
 * Changes an IPv4 table in place. Nobody reads it, so the order of writes does not matter.
 *
 * What makes a table stays true after each run: a /24 has a group only if its verdicts differ.
 */
#include <errno.h>
#include <stdbool.h>

#include "lpm/groups4.h"

/* The code of a verdict, a free one if it has none yet. */
static int find_code(struct lpm4 *table, uint16_t verdict, uint32_t *code)
{
	uint32_t count = lpm4_code_mask(table->width_log2), unused = 0;

	if (table->width_log2 == LPM4_WIDTH_LOG2_MAX || verdict == LPM_NONE) {
		*code = verdict;
		return 0;
	}
	for (uint32_t i = count - 1; i > 0; i--) {
		if (table->verdicts[i] == verdict) {
			*code = i;
			return 0;
		}
		if (table->verdicts[i] == LPM_NONE)
			unused = i;
	}
	if (unused == 0)
		return -ENOSPC;
	table->verdicts[unused] = verdict;
	*code = unused;
	return 0;
}

static uint32_t rank_marks(const struct lpm4 *table, uint32_t block)
{
	return table->ranks == NULL ? 0 : table->ranks[block / LPM4_RANK].marks;
}

/* Set the whole blocks begin..end-1; begin < end. */
static int patch_blocks(struct lpm4 *table, uint32_t begin, uint32_t end, uint32_t code)
{
	uint32_t last = (end - 1) / LPM4_RANK;

	for (uint32_t rank = begin / LPM4_RANK; rank <= last && table->ranks != NULL; rank++) {
		uint32_t covered = UINT32_MAX, marks = table->ranks[rank].marks;
		int rc;

		if (rank == begin / LPM4_RANK)
			covered &= UINT32_MAX << begin % LPM4_RANK;
		if (rank == last)
			covered &= UINT32_MAX >> (-end % LPM4_RANK);
		if ((marks & covered) == 0)
			continue;
		rc = groups4_set(table, rank, marks & ~covered);
		if (rc != 0)
			return rc;
	}
	lpm4_fill(table->first, begin, end, code, table->width_log2);
	return 0;
}

/* Set slots begin..end-1 of a block, of which they are not all. */
static int patch_slots(struct lpm4 *table, uint32_t block, uint32_t begin, uint32_t end,
		       uint32_t code)
{
	unsigned width_log2 = table->width_log2;
	uint32_t now = lpm4_load(table->first, block, width_log2);
	bool grouped = now == lpm4_code_mask(width_log2);
	size_t group;
	int rc;

	if (now == code)
		return 0;
	if (!grouped) {
		rc = groups4_set(table, block / LPM4_RANK,
				 rank_marks(table, block) | UINT32_C(1) << block % LPM4_RANK);
		if (rc != 0)
			return rc;
	}
	group = lpm4_group_of(table, block) * LPM4_GROUP;
	if (!grouped) {
		lpm4_fill(table->groups, group, group + LPM4_GROUP, now, width_log2);
		lpm4_fill(table->first, block, (size_t)block + 1, lpm4_code_mask(width_log2),
			  width_log2);
	}
	lpm4_fill(table->groups, group + begin, group + end, code, width_log2);
	if (grouped && groups4_uniform(table, group / LPM4_GROUP, code))
		return patch_blocks(table, block, block + 1, code);
	return 0;
}

static int patch_run(struct lpm4 *table, const struct lpm4_run *run)
{
	uint32_t begin = run->first / LPM4_GROUP, end = run->last / LPM4_GROUP;
	uint32_t slot = run->first % LPM4_GROUP, stop = run->last % LPM4_GROUP + 1;
	uint32_t code;
	int rc;

	rc = find_code(table, run->verdict, &code);
	if (rc != 0)
		return rc;
	if (begin == end && stop - slot < LPM4_GROUP)
		return patch_slots(table, begin, slot, stop, code);
	if (slot > 0) {
		rc = patch_slots(table, begin++, slot, LPM4_GROUP, code);
		if (rc != 0)
			return rc;
	}
	if (stop < LPM4_GROUP) {
		rc = patch_slots(table, end, 0, stop, code);
		if (rc != 0)
			return rc;
	} else {
		end++;
	}
	return begin < end ? patch_blocks(table, begin, end, code) : 0;
}

int lpm4_patch(struct lpm4 *table, const struct lpm4_run *runs, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = patch_run(table, &runs[i]);
	return rc;
}
