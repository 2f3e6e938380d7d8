/* Where the groups of an IPv4 table lie, once it changes. Used inside lpm/ only. */
#ifndef SLUICE_LPM_GROUPS4_H
#define SLUICE_LPM_GROUPS4_H

#include "lpm/layout4.h"

/* Of a table whose groups 0..group_count-1 are in use: all behind them are free. */
void groups4_start(struct lpm4 *table);

/*
 * Make and end groups of a rank, so that it has those of marks. Groups that it has and keeps hold
 * what they held, new ones anything; the first level is the caller's to set.
 *
 * Errors: -ENOMEM, -ENOSPC (more groups than a rank can name)
 */
int groups4_set(struct lpm4 *table, uint32_t rank, uint32_t marks);

#endif
