/* The memory of IPv6 tables: a root, and runs of cache lines. Used inside lpm/ only. */
#ifndef SLUICE_LPM_LPM6_LINES_H
#define SLUICE_LPM_LPM6_LINES_H

#include "lpm/layout6.h"

/*
 * Make a table without lines in use (but line 0), with a root that is not set.
 *
 * lines:  how many will be wanted, by guess
 * spare:  taken, whatever happens; its memory is used if it is enough. May be NULL
 * Errors: -ENOMEM
 */
int lpm6_lines_create(struct lpm6 *spare, size_t lines, struct lpm6 **out);

/*
 * Take n lines side by side, 1..LPM6_FANOUT, and their number. What is in them is not set. All
 * lines may move.
 *
 * Errors: -ENOMEM, -ENOSPC (half of the table lies free in runs too short)
 */
int lpm6_lines_alloc(struct lpm6 *table, unsigned n, uint32_t *line);

/* Give n lines back. */
void lpm6_lines_free(struct lpm6 *table, uint32_t line, unsigned n);

#endif
