/* How tables lie in memory: shared by their maker, build.c, and their readers. */
#ifndef SLUICE_LPM_LAYOUT_H
#define SLUICE_LPM_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "lpm/lpm.h"

enum {
	LPM4_FIRST = 1 << 24,   /* entries of the first level: one for every /24 */
	LPM4_GROUP = 256,       /* verdicts of a group: one for every address of a /24 */
	LPM4_GROUP16 = 1 << 15, /* marks a 16-bit entry that names a group */
	LPM6_NODE = 8,          /* keys in a node: a cache line */
	LPM6_FANOUT = LPM6_NODE + 1,
};

#define LPM4_GROUP32 (UINT32_C(1) << 31) /* marks a 32-bit entry that names a group */
#define LPM6_INNER (UINT32_C(1) << 31)   /* marks a value that names an inner run */

static_assert((int)LPM_VERDICT_MAX < (int)LPM4_GROUP16, "a verdict is no group");

/*
 * An entry of the first level is the verdict of its /24, or the index of a group with its mark.
 * Entries have 16 bits, or 32 if that many groups need them; the other pointer is NULL.
 */
struct lpm4 {
	uint16_t *first16;
	uint32_t *first32;
	uint16_t *groups; /* LPM4_GROUP verdicts each */
	size_t group_count;
	size_t first_bytes; /* as mapped */
	size_t groups_bytes;
};

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
