/* Makes and takes apart what the entries of an IPv6 table link to. Used inside lpm/ only. */
#ifndef SLUICE_LPM_LPM6_TREE_H
#define SLUICE_LPM_LPM6_TREE_H

#include "lpm/layout6.h"

/* From first on, up to the next edge, addresses have this verdict. */
struct lpm6_edge {
	struct addr6 first;
	uint16_t verdict;
};

/* A run of cells of one stage that have one entry; it ends where the next starts. */
struct lpm6_cell {
	uint32_t bits; /* of its first cell */
	uint32_t entry;
};

/* A table in the making. */
struct lpm6_maker {
	struct lpm6 *table;
	struct lpm6_cell *cells; /* a stack: a stage's cells lie on those of the one before */
	size_t cell_count;
	size_t cell_room;
	size_t *leaves; /* first cell of each leaf of the tree being made, and the end */
	size_t leaf_count;
	size_t leaf_room;
};

/* Give back what the maker took, but not the table. */
void lpm6_maker_fini(struct lpm6_maker *maker);

/* How many bits of an address are used up behind a stage, and before it. */
unsigned lpm6_stage_end(unsigned stage);
unsigned lpm6_stage_begin(unsigned stage);

/* From one cell's bits to the next's. */
uint32_t lpm6_stage_step(unsigned stage);

/*
 * Make an entry for all addresses that are equal up to a stage.
 *
 * edges:  n of them behind the first such address, ascending, each with another verdict than before
 * before: the verdict of the first such address
 * Errors: -ENOMEM, -ENOSPC
 */
int lpm6_make_entry(struct lpm6_maker *maker, unsigned stage, const struct lpm6_edge *edges,
		    size_t n, uint16_t before, uint32_t *entry);

/* Free what an entry links to, if it does. */
void lpm6_free_entry(struct lpm6 *table, uint32_t entry);

/*
 * Have a tree be higher, with one child above the other.
 *
 * Errors: -ENOMEM, -ENOSPC
 */
int lpm6_raise_tree(struct lpm6 *table, unsigned height, uint32_t *entry);

/*
 * Push a cell on the stack, behind those above bottom. Neighbours of one verdict become one.
 *
 * Errors: -ENOMEM
 */
int lpm6_push_cell(struct lpm6_maker *maker, size_t bottom, uint32_t bits, uint32_t entry);

/*
 * Push the cells of a tree or of a part of it that starts at bits.
 *
 * Errors: -ENOMEM
 */
int lpm6_push_tree(struct lpm6_maker *maker, size_t bottom, uint32_t line, unsigned height,
		   uint32_t bits);

/* Free the lines below the first of a tree, or of a part of it; deep cells live on. */
void lpm6_free_nodes(struct lpm6 *table, uint32_t line, unsigned height);

/*
 * Whether the cells on the stack above bottom find room in a tree of that height. Not if there is
 * no memory to find out: leaf_count is 0 then.
 *
 * loose: leave room in leaves
 */
bool lpm6_tree_fits(struct lpm6_maker *maker, size_t bottom, unsigned height, bool loose);

/*
 * Have line be the first of the tree that lpm6_tree_fits found room for.
 *
 * Errors: -ENOMEM, -ENOSPC
 */
int lpm6_fill_tree(struct lpm6_maker *maker, size_t bottom, uint32_t line, unsigned height);

/*
 * Make a tree of the cells on the stack above bottom, as low as can be.
 *
 * Errors: -ENOMEM, -ENOSPC
 */
int lpm6_make_tree(struct lpm6_maker *maker, size_t bottom, uint32_t *entry);

#endif
