/*
 * Longest prefix match: tables from addresses to verdicts.
 *
 * IPv4 is DIR-24-8 (Gupta, Lin, McKeown, INFOCOM 1998); IPv6 is a root and search trees of cache
 * lines (layout6.h). Built from sorted prefixes by build4.c and build6.c, and only read once they
 * have readers; nothing here knows of threads or of grace periods.
 */
#ifndef SLUICE_LPM_LPM_H
#define SLUICE_LPM_LPM_H

#include <stddef.h>
#include <stdint.h>

#include "lpm/prefix.h"

enum {
	LPM_NONE = 0,           /* the verdict of an address that nothing covers */
	LPM_VERDICT_MAX = 4095, /* verdicts are 1..LPM_VERDICT_MAX */
	LPM_BURST_MAX = 256,
};

struct lpm4;
struct lpm6;

struct lpm4_route {
	uint32_t addr; /* host byte order, host bits zero */
	uint8_t len;   /* 0..32 */
	uint16_t verdict;
};

struct lpm6_route {
	struct addr6 addr;
	uint8_t len; /* 0..128 */
	uint16_t verdict;
};

/* A stretch of addresses, both ends in it, and what they all get; LPM_NONE too. */
struct lpm4_run {
	uint32_t first;
	uint32_t last;
	uint16_t verdict;
};

struct lpm6_run {
	struct addr6 first;
	struct addr6 last;
	uint16_t verdict;
};

/*
 * Build a table.
 *
 * routes: n of them, sorted by (addr, len), each prefix once; n may be 0. Not kept.
 * spare:  a table that nobody reads, whose memory may be used again; NULL if there is none. It is
 *         taken, whatever happens.
 * out:    the caller's, until lpm4_destroy
 * Errors: -EINVAL (order, host bits, length, verdict), -ENOMEM; *out is then untouched
 */
int lpm4_build(const struct lpm4_route *routes, size_t n, struct lpm4 *spare, struct lpm4 **out);
int lpm6_build(const struct lpm6_route *routes, size_t n, struct lpm6 *spare, struct lpm6 **out);

/*
 * Change a table that nobody reads, in place: the cost follows the stretches that change, not the
 * table. Other addresses keep their verdicts.
 *
 * runs:   n of them, ascending, none over another; verdicts up to LPM_VERDICT_MAX. Not kept.
 * Errors: -ENOMEM, -ENOSPC (entries of this width cannot name one verdict more, or the table has
 *         become too loose or too full in one place: build it anew); the table may then only be
 *         given away as a spare or destroyed
 */
int lpm4_patch(struct lpm4 *table, const struct lpm4_run *runs, size_t n);
int lpm6_patch(struct lpm6 *table, const struct lpm6_run *runs, size_t n);

/*
 * Make a table's equal.
 *
 * from:   may have readers
 * spare:  as of lpm4_build: taken, whatever happens
 * out:    the caller's, until lpm4_destroy
 * Errors: -ENOMEM; *out is then untouched
 */
int lpm4_copy(const struct lpm4 *from, struct lpm4 *spare, struct lpm4 **out);
int lpm6_copy(const struct lpm6 *from, struct lpm6 *spare, struct lpm6 **out);

void lpm4_destroy(struct lpm4 *table); /* NULL does nothing; no reader may be left */
void lpm6_destroy(struct lpm6 *table);

/*
 * Look up n destinations, one verdict each, longest prefix first.
 *
 * addrs:    host byte order, n of them, any alignment
 * out:      n entries; LPM_NONE where nothing covers the address
 * n:        1..LPM_BURST_MAX
 * Thread:   any; the table must stay published for the call (dataplane/route.h)
 * Errors:   none
 */
void lpm4_lookup_burst(const struct lpm4 *table, const uint32_t *addrs, uint16_t *out, unsigned n);
void lpm6_lookup_burst(const struct lpm6 *table, const struct addr6 *addrs, uint16_t *out,
		       unsigned n);

/* The same for one destination. */
uint16_t lpm4_lookup(const struct lpm4 *table, uint32_t addr);
uint16_t lpm6_lookup(const struct lpm6 *table, const struct addr6 *addr);

/* Memory that the table holds. */
size_t lpm4_size_bytes(const struct lpm4 *table);
size_t lpm6_size_bytes(const struct lpm6 *table);

#endif
