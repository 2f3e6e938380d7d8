/*
 * The ways to look up a burst of IPv4 addresses, equal bit for bit. lpm4_build chooses the best
 * that the processor runs. Used inside lpm/ and by its tests only.
 */
#ifndef SLUICE_LPM_LPM4_BURST_H
#define SLUICE_LPM_LPM4_BURST_H

#include <stdbool.h>

#include "lpm/layout4.h"

enum lpm4_variant {
	LPM4_SCALAR,
	LPM4_AVX2,
	LPM4_AVX512,
	LPM4_VARIANTS,
};

/*
 * Have a table use a variant.
 *
 * table:  no other thread reads it yet
 * Returns whether this processor can run it; if not, nothing changes
 */
bool lpm4_choose(struct lpm4 *table, enum lpm4_variant variant);

/* The same with the best. */
void lpm4_choose_best(struct lpm4 *table);

/* For a table's width; NULL if compiled for another processor. */
lpm4_burst_fn *lpm4_burst_scalar(unsigned width_log2);
lpm4_burst_fn *lpm4_burst_avx2(unsigned width_log2);
lpm4_burst_fn *lpm4_burst_avx512(unsigned width_log2);

#endif
