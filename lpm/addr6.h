/*
 * Arithmetic on 128-bit addresses. An IPv4 address takes part as its 32 bits at the top: order,
 * masks and lengths then mean the same for both families. Used inside lpm/ only.
 */
#ifndef SLUICE_LPM_ADDR6_H
#define SLUICE_LPM_ADDR6_H

#include <stdbool.h>
#include <stdint.h>

#include "lpm/prefix.h"

static inline struct addr6 addr6_from4(uint32_t addr)
{
	return (struct addr6){.hi = (uint64_t)addr << 32};
}

static inline uint32_t addr6_to4(struct addr6 addr)
{
	return (uint32_t)(addr.hi >> 32);
}

static inline bool addr6_equal(struct addr6 a, struct addr6 b)
{
	return a.hi == b.hi && a.lo == b.lo;
}

static inline bool addr6_less(struct addr6 a, struct addr6 b)
{
	return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

/* a + 1; the last address gives 0. */
static inline struct addr6 addr6_next(struct addr6 a)
{
	return (struct addr6){.hi = a.hi + (a.lo == UINT64_MAX), .lo = a.lo + 1};
}

static inline struct addr6 addr6_subtract(struct addr6 a, struct addr6 b)
{
	return (struct addr6){.hi = a.hi - b.hi - (a.lo < b.lo), .lo = a.lo - b.lo};
}

/* The bits below the first len, 0..128. */
static inline struct addr6 addr6_host_mask(unsigned len)
{
	if (len >= 64)
		return (struct addr6){.lo = len == 128 ? 0 : UINT64_MAX >> (len - 64)};
	return (struct addr6){.hi = UINT64_MAX >> len, .lo = UINT64_MAX};
}

/* The last address of a prefix. */
static inline struct addr6 addr6_last(struct addr6 first, unsigned len)
{
	struct addr6 host = addr6_host_mask(len);

	return (struct addr6){.hi = first.hi | host.hi, .lo = first.lo | host.lo};
}

/* How many leading bits two addresses have in common, 0..128. */
static inline unsigned addr6_common(struct addr6 a, struct addr6 b)
{
	if (a.hi != b.hi)
		return (unsigned)__builtin_clzll(a.hi ^ b.hi);
	return a.lo == b.lo ? 128 : 64 + (unsigned)__builtin_clzll(a.lo ^ b.lo);
}

#endif
