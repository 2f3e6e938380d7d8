/* How IPv4 tables lie in memory: shared by their maker, build4.c, and their readers. */
#ifndef SLUICE_LPM_LAYOUT4_H
#define SLUICE_LPM_LAYOUT4_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lpm/lpm.h"

enum {
	LPM4_FIRST = 1 << 24,    /* entries of the first level: one for every /24 */
	LPM4_GROUP = 256,        /* entries of a group: one for every address of a /24 */
	LPM4_RANK = 32,          /* entries of the first level that share a lpm4_rank */
	LPM4_WIDTH_LOG2_MIN = 1, /* entries have 2, 4, 8 or 16 bits */
	LPM4_WIDTH_LOG2_MAX = 4, /* where a code is the verdict itself */
	LPM4_CODES = 256,        /* of narrower entries, at most */
	LPM4_GROUPED = 0xffff,   /* in place of a verdict: the group knows it */
	LPM4_GROUPS_MAX = 1 << 24,
};

static_assert((int)LPM_VERDICT_MAX < (int)LPM4_GROUPED, "a verdict is no group");

/* Which of 32 neighbouring /24s have a group, and the index of the first of these groups. */
struct lpm4_rank {
	uint32_t marks;
	uint32_t base; /* only set if a mark is */
};

struct lpm4;

/* lpm4_lookup_burst, with the addresses as bytes, since they may lie anywhere. */
typedef void lpm4_burst_fn(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out,
			   unsigned n);

/*
 * Entries hold codes, as wide as the number of different verdicts asks for, packed from the low
 * bits of each word on. The code of all ones in the first level sends to the group of its /24,
 * which the ranks find. Code 0 is LPM_NONE. A /24 has a group only if its verdicts differ.
 *
 * The groups of a rank are neighbours, in the order of their addresses. Ranks lie in the same order
 * in a new table, and anywhere once groups4.c has moved them.
 */
struct lpm4 {
	uint32_t *first;
	struct lpm4_rank *ranks; /* NULL as groups is, if there never was one */
	uint32_t *groups;        /* LPM4_GROUP entries each */
	lpm4_burst_fn *lookup_burst;
	unsigned width_log2;               /* of an entry, in bits */
	bool huge;                         /* huge pages were asked for */
	size_t group_count;                /* that are in use */
	size_t groups_end;                 /* no group from here on was ever used */
	uint32_t free_runs[LPM4_RANK + 1]; /* see groups4.c */
	size_t first_bytes;                /* as mapped */
	size_t ranks_bytes;
	size_t groups_bytes;
	uint16_t verdicts[LPM4_CODES]; /* by code; LPM4_GROUPED for all ones */
};

/* The code of all ones. */
static inline uint32_t lpm4_code_mask(unsigned width_log2)
{
	return (UINT32_C(1) << (1U << width_log2)) - 1;
}

/* A word whose entries are all that code. */
static inline uint32_t lpm4_pattern(uint32_t code, unsigned width_log2)
{
	return UINT32_MAX / lpm4_code_mask(width_log2) * code;
}

/* The words of so many groups. */
static inline size_t lpm4_group_words(size_t groups, unsigned width_log2)
{
	return groups * LPM4_GROUP >> (5 - width_log2);
}

static inline size_t lpm4_group_bytes(size_t groups, unsigned width_log2)
{
	return lpm4_group_words(groups, width_log2) * sizeof(uint32_t);
}

static inline uint32_t lpm4_load(const uint32_t *words, size_t index, unsigned width_log2)
{
	unsigned per_word_log2 = 5 - width_log2;
	unsigned shift = (unsigned)(index & ((1U << per_word_log2) - 1)) << width_log2;

	return words[index >> per_word_log2] >> shift & lpm4_code_mask(width_log2);
}

/* Set entries begin..end-1 to a code; begin < end. */
static inline void lpm4_fill(uint32_t *words, size_t begin, size_t end, uint32_t code,
			     unsigned width_log2)
{
	unsigned per_word_log2 = 5 - width_log2, in_word = (1U << per_word_log2) - 1;
	uint32_t pattern = lpm4_pattern(code, width_log2);
	uint32_t head = UINT32_MAX << ((begin & in_word) << width_log2);
	uint32_t tail = UINT32_MAX >> ((-end & in_word) << width_log2);
	size_t at = begin >> per_word_log2, last = (end - 1) >> per_word_log2;

	if (at == last) {
		words[at] = (words[at] & ~(head & tail)) | (pattern & head & tail);
		return;
	}
	words[at] = (words[at] & ~head) | (pattern & head);
	for (at++; at < last; at++)
		words[at] = pattern;
	words[last] = (words[last] & ~tail) | (pattern & tail);
}

/* Of a block that has a group, the group's number. */
static inline size_t lpm4_group_of(const struct lpm4 *table, uint32_t block)
{
	const struct lpm4_rank *rank = &table->ranks[block / LPM4_RANK];
	uint32_t before = rank->marks & ((UINT32_C(1) << block % LPM4_RANK) - 1);

	return rank->base + (unsigned)__builtin_popcount(before);
}

#endif
