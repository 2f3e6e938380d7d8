/* How IPv4 tables lie in memory: shared by their maker, build4.c, and their readers. */
#ifndef SLUICE_LPM_LAYOUT4_H
#define SLUICE_LPM_LAYOUT4_H

#include <assert.h>
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
 * which the ranks find: groups lie in the order of their addresses. Code 0 is LPM_NONE.
 */
struct lpm4 {
	uint32_t *first;
	struct lpm4_rank *ranks; /* NULL if there are no groups */
	uint32_t *groups;        /* LPM4_GROUP entries each */
	lpm4_burst_fn *lookup_burst;
	unsigned width_log2; /* of an entry, in bits */
	size_t group_count;
	size_t first_bytes; /* as mapped */
	size_t ranks_bytes;
	size_t groups_bytes;
	uint16_t verdicts[LPM4_CODES]; /* by code; LPM4_GROUPED for all ones */
};

/* The code of all ones. */
static inline uint32_t lpm4_code_mask(unsigned width_log2)
{
	return (UINT32_C(1) << (1U << width_log2)) - 1;
}

#endif
