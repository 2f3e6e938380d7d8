/* How IPv6 tables lie in memory: shared by their maker, build6.c, and their readers. */
#ifndef SLUICE_LPM_LAYOUT6_H
#define SLUICE_LPM_LAYOUT6_H

#include <stddef.h>
#include <stdint.h>

#include "lpm/lpm.h"

enum {
	LPM6_NODE = 8, /* keys in a node: a cache line */
	LPM6_FANOUT = LPM6_NODE + 1,
};

#define LPM6_INNER (UINT32_C(1) << 31) /* marks a value that names an inner run */

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
