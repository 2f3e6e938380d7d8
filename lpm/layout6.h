/*
 * How IPv6 tables lie in memory: shared by their makers and their readers.
 *
 * An address is taken apart into 16 bits, an index into the root, and stages of 32, 32, 32 and 16
 * bits. A stage is a search tree of cache lines over cells: addresses that are equal up to its end.
 * Most cells have one verdict; a deep one has several and an entry that tells them apart.
 */
#ifndef SLUICE_LPM_LAYOUT6_H
#define SLUICE_LPM_LAYOUT6_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lpm/lpm.h"

enum {
	LPM6_ROOT = 1 << 16,
	LPM6_STAGES = 4,
	LPM6_FANOUT = 16,     /* children of an index, and one key fewer */
	LPM6_LEAF_CELLS = 11, /* of a leaf, */
	LPM6_DEEP_CELLS = 5,  /* and of one with deep cells, */
	LPM6_LEAF_DEEP = 3,   /* of which it holds so many */
	LPM6_TAIL_KEYS = 3,
	LPM6_HEIGHT_MAX = 8, /* 16^8 leaves hold 2^32 cells */
	LPM6_TAIL = 15,      /* in place of a height */
	LPM6_LINE_BITS = 27,
	LPM6_LINE_BYTES = 64,
	LPM6_DEEP = 0xfff0, /* and on, in place of a verdict: which of a leaf's deep cells */
};

/*
 * An entry is a verdict, or this mark, the height of a tree (or LPM6_TAIL) in 4 bits and the line
 * where it starts in LPM6_LINE_BITS.
 */
#define LPM6_LINK (UINT32_C(1) << 31)

/*
 * A key is where a cell or a child starts, less one, as a signed number of the same order: the ones
 * below a wanted key, and no others, are counted by one signed comparison. Unused keys are behind
 * all wanted ones.
 */
#define LPM6_UNUSED INT32_MAX

/* Child i holds what is behind i keys; children lie side by side. */
struct lpm6_index {
	int32_t keys[LPM6_FANOUT - 1];
	uint32_t base; /* line of child 0 */
};

/*
 * Cell i is behind i keys. Behind the values of the few cells of a leaf with deep ones lie the
 * entries of these, from the low half on.
 */
struct lpm6_leaf {
	int32_t keys[LPM6_LEAF_CELLS - 1];
	uint16_t values[LPM6_LEAF_CELLS]; /* a verdict, or LPM6_DEEP and on */
	uint16_t unused;
};

/* All that is in a deep cell, if that is not much. Value i is behind i whole addresses. */
struct lpm6_tail {
	struct addr6 keys[LPM6_TAIL_KEYS]; /* the unused repeat the last */
	uint16_t values[LPM6_TAIL_KEYS + 1];
	uint64_t unused;
};

/* The first word of a free run of lines links to the next. */
union lpm6_line {
	struct lpm6_index index;
	struct lpm6_leaf leaf;
	struct lpm6_tail tail;
	uint32_t next_free;
};

static_assert(sizeof(union lpm6_line) == LPM6_LINE_BYTES, "a cache line");
static_assert((int)LPM_VERDICT_MAX < (int)LPM6_DEEP, "a verdict is no deep cell");
static_assert((int)LPM6_DEEP_CELLS + 2 * (int)LPM6_LEAF_DEEP <= (int)LPM6_LEAF_CELLS,
	      "the entries of deep cells find room");

struct lpm6;

/* lpm6_lookup_burst, with the addresses as bytes, since they may lie anywhere. */
typedef void lpm6_burst_fn(const struct lpm6 *table, const uint8_t *addrs, uint16_t *out,
			   unsigned n);

/*
 * Trees of the first stage are all of one height, so that a burst goes down in step. Line 0 is for
 * those that need not go down: an index, and a leaf, that stays where it is.
 */
struct lpm6 {
	uint8_t *memory; /* root, then lines */
	size_t mapped;
	uint32_t *root;
	union lpm6_line *lines;
	uint32_t line_count; /* with the free ones */
	uint32_t line_room;
	uint32_t free_count;
	uint32_t free_runs[LPM6_FANOUT + 1]; /* by length; 0: none */
	unsigned height;
	lpm6_burst_fn *lookup_burst;
};

static inline bool lpm6_is_link(uint32_t entry)
{
	return (entry & LPM6_LINK) != 0;
}

static inline uint32_t lpm6_link(unsigned height, uint32_t line)
{
	return LPM6_LINK | (uint32_t)height << LPM6_LINE_BITS | line;
}

static inline unsigned lpm6_link_height(uint32_t entry)
{
	return entry >> LPM6_LINE_BITS & 15;
}

static inline uint32_t lpm6_link_line(uint32_t entry)
{
	return entry & ((UINT32_C(1) << LPM6_LINE_BITS) - 1);
}

/* The bits of an address that a stage looks at. */
static inline uint32_t lpm6_stage_bits(const struct addr6 *addr, unsigned stage)
{
	switch (stage) {
	case 0:
		return (uint32_t)(addr->hi >> 16);
	case 1:
		return (uint32_t)(addr->hi << 16) | (uint32_t)(addr->lo >> 48);
	case 2:
		return (uint32_t)(addr->lo >> 16);
	default:
		return (uint32_t)(addr->lo << 16);
	}
}

/* As the wanted key of a comparison. */
static inline int32_t lpm6_wanted(uint32_t bits)
{
	return (int32_t)(bits ^ UINT32_C(1) << 31);
}

/* As the key of what starts there; bits is not 0. */
static inline int32_t lpm6_key(uint32_t bits)
{
	return lpm6_wanted(bits - 1);
}

/* How many of n keys lie before the wanted one; without branches. */
static inline unsigned lpm6_count(const int32_t *keys, unsigned n, int32_t wanted)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++)
		count += keys[i] < wanted;
	return count;
}

/* The entry of a cell of a leaf. */
static inline uint32_t lpm6_leaf_entry(const struct lpm6_leaf *leaf, unsigned cell)
{
	uint32_t value = leaf->values[cell];
	const uint16_t *halves;

	if (value < LPM6_DEEP)
		return value;
	halves = leaf->values + LPM6_DEEP_CELLS + 2 * (value - LPM6_DEEP);
	return halves[0] | (uint32_t)halves[1] << 16;
}

/* Down a tree, to the entry of a cell. */
static inline uint32_t lpm6_tree_entry(const struct lpm6 *table, uint32_t line, unsigned height,
				       uint32_t bits)
{
	int32_t wanted = lpm6_wanted(bits);
	const struct lpm6_leaf *leaf;

	for (; height > 0; height--) {
		const struct lpm6_index *index = &table->lines[line].index;

		line = index->base + lpm6_count(index->keys, LPM6_FANOUT - 1, wanted);
	}
	leaf = &table->lines[line].leaf;
	return lpm6_leaf_entry(leaf, lpm6_count(leaf->keys, LPM6_LEAF_CELLS - 1, wanted));
}

#endif
