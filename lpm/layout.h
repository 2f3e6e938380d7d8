/* How tables lie in memory: shared by their maker, build.c, and their readers. */
#ifndef SLUICE_LPM_LAYOUT_H
#define SLUICE_LPM_LAYOUT_H

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
	LPM6_NODE = 8,           /* keys in a node: a cache line */
	LPM6_FANOUT = LPM6_NODE + 1,
};

#define LPM6_INNER (UINT32_C(1) << 31) /* marks a value that names an inner run */

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

/* Runs of verdicts inside one /64: key i is where the lower half of run i starts. */
struct lpm6_inner {
	uint32_t begin;
	uint32_t count; /* at least 1, and the first key is 0 */
};

/*
 * The address space cut into runs of one verdict. Keys are the upper halves of the addresses where
 * runs start, in a search tree without pointers: node n has its children at n * LPM6_FANOUT + 1
 * and on. Value i belongs to key i: a verdict, or the index of an inner with its mark where a /64
 * holds more than one run.
 */
struct lpm6 {
	uint64_t *keys; /* LPM6_NODE a node, on cache lines */
	uint32_t *values;
	size_t nodes;
	unsigned levels;
	struct lpm6_inner *inners;
	size_t inner_count;
	uint64_t *inner_keys;
	uint16_t *inner_verdicts;
	size_t inner_key_count;
};

#endif
