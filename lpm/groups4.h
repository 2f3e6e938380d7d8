/* Where the groups of an IPv4 table lie, once it changes. Used inside lpm/ only. */
#ifndef SLUICE_LPM_GROUPS4_H
#define SLUICE_LPM_GROUPS4_H

#include "lpm/layout4.h"

/*
 * Memory for so many groups, and for ranks, which are zeros unless the table had some. Groups that
 * it had are lost.
 *
 * Errors: -ENOMEM; the table can then only be destroyed
 */
int groups4_provide(struct lpm4 *table, size_t groups);

/* Give that memory back. */
void groups4_drop(struct lpm4 *table);

/* Of a table whose groups 0..group_count-1 are in use: all behind them are free. */
void groups4_start(struct lpm4 *table);

/*
 * Make and end groups of a rank, so that it has those of marks. Groups that it has and keeps hold
 * what they held, new ones anything; the first level is the caller's to set.
 *
 * Errors: -ENOMEM, -ENOSPC (more groups than a rank can name)
 */
int groups4_set(struct lpm4 *table, uint32_t rank, uint32_t marks);

/* Whether all entries of a group are that code. */
bool groups4_uniform(const struct lpm4 *table, size_t group, uint32_t code);

#endif
