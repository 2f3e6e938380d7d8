/* Inclusive ranges of addresses and the fewest prefixes that cover them. Used inside lpm/ only. */
#ifndef SLUICE_LPM_RANGE_H
#define SLUICE_LPM_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "lpm/prefix.h"

/*
 * first <= last. A range of IPv4 addresses is that of its prefixes: first as addr6_from4 gives
 * it, last with every bit below the 32 set.
 */
struct range {
	struct addr6 first;
	struct addr6 last;
};

/*
 * Cut the largest prefix off the start of a range.
 *
 * addr, len: the prefix; called until it returns false, the fewest that cover the range
 * Returns whether anything is left; if not, the range must not be used any more.
 */
bool range_cut(struct range *range, struct addr6 *addr, uint8_t *len);

#endif
