/*
 * The ways to look up a burst of IPv6 addresses, equal bit for bit. lpm6_build chooses the best
 * that the processor runs. Used inside lpm/ and by its tests only.
 */
#ifndef SLUICE_LPM_LPM6_BURST_H
#define SLUICE_LPM_LPM6_BURST_H

#include <stdbool.h>

#include "lpm/layout6.h"

enum lpm6_variant {
	LPM6_SCALAR,
	LPM6_AVX2,
	LPM6_AVX512,
	LPM6_VARIANTS,
};

/*
 * Have a table use a variant.
 *
 * table:  no other thread reads it yet
 * Returns whether this processor can run it; if not, nothing changes
 */
bool lpm6_choose(struct lpm6 *table, enum lpm6_variant variant);

/* The same with the best. */
void lpm6_choose_best(struct lpm6 *table);

/* NULL if compiled for another processor. */
lpm6_burst_fn *lpm6_burst_scalar(void);
lpm6_burst_fn *lpm6_burst_avx2(void);
lpm6_burst_fn *lpm6_burst_avx512(void);

#endif
