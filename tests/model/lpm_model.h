/* The naive model of longest prefix match: a scan over all routes, and tables to try it on. */
#ifndef SLUICE_TESTS_MODEL_LPM_MODEL_H
#define SLUICE_TESTS_MODEL_LPM_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "lpm/lpm.h"

/* The verdict of the longest route that contains the address; any order of routes. */
uint16_t lpm_model_lookup4(const struct lpm4_route *routes, size_t n, uint32_t addr);
uint16_t lpm_model_lookup6(const struct lpm6_route *routes, size_t n, const struct addr6 *addr);

/* Sort by (addr, len) and keep one of each prefix; returns how many are left. */
size_t lpm_model_sort4(struct lpm4_route *routes, size_t n);
size_t lpm_model_sort6(struct lpm6_route *routes, size_t n);

/* The next of a sequence that the seed, not 0, determines. */
uint64_t lpm_model_random(uint64_t *state);

/*
 * Make up to n routes that crowd at awkward places: both ends of the space, edges of /24 and /64,
 * nested prefixes of different verdicts.
 *
 * min_len: no route is shorter; short ones take long to lay out
 * Returns how many were made; sorted, each prefix once
 */
size_t lpm_model_routes4(uint64_t *state, struct lpm4_route *routes, size_t n, unsigned min_len);
size_t lpm_model_routes6(uint64_t *state, struct lpm6_route *routes, size_t n);

/* An address at or near such a place. */
uint32_t lpm_model_addr4(uint64_t *state);
struct addr6 lpm_model_addr6(uint64_t *state);

#endif
