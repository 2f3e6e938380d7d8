/* Reads IPv4 tables: one access, or two where prefixes are longer than 24. */
#include "lpm/layout.h"

#include <stdlib.h>
#include <string.h>

#include "lpm/pages.h"

static inline uint32_t load_addr(const uint8_t *addrs, unsigned i)
{
	uint32_t addr;

	memcpy(&addr, addrs + sizeof(addr) * i, sizeof(addr));
	return addr;
}

static inline uint16_t group_verdict(const struct lpm4 *table, uint32_t group, uint32_t addr)
{
	return table->groups[(size_t)group * LPM4_GROUP + (addr & (LPM4_GROUP - 1))];
}

/*
 * First all of the first level, then the few of the second: the accesses of a burst do not depend
 * on each other, so the processor overlaps them.
 */
static void lookup16(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	unsigned grouped = 0;

	for (unsigned i = 0; i < n; i++) {
		out[i] = table->first16[load_addr(addrs, i) >> 8];
		grouped |= out[i] & LPM4_GROUP16;
	}
	if (grouped == 0)
		return;
	for (unsigned i = 0; i < n; i++) {
		if ((out[i] & LPM4_GROUP16) != 0)
			out[i] = group_verdict(table, out[i] & ~LPM4_GROUP16, load_addr(addrs, i));
	}
}

static void lookup32(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	uint32_t entries[LPM_BURST_MAX];

	for (unsigned i = 0; i < n; i++)
		entries[i] = table->first32[load_addr(addrs, i) >> 8];
	for (unsigned i = 0; i < n; i++) {
		if ((entries[i] & LPM4_GROUP32) != 0)
			out[i] = group_verdict(table, entries[i] & ~LPM4_GROUP32,
					       load_addr(addrs, i));
		else
			out[i] = (uint16_t)entries[i];
	}
}

void lpm4_lookup_burst(const struct lpm4 *table, const uint32_t *addrs, uint16_t *out, unsigned n)
{
	/* As bytes, since the addresses may lie anywhere. */
	if (table->first16 != NULL)
		lookup16(table, (const uint8_t *)addrs, out, n);
	else
		lookup32(table, (const uint8_t *)addrs, out, n);
}

uint16_t lpm4_lookup(const struct lpm4 *table, uint32_t addr)
{
	uint16_t verdict;

	lpm4_lookup_burst(table, &addr, &verdict, 1);
	return verdict;
}

void lpm4_destroy(struct lpm4 *table)
{
	if (table == NULL)
		return;
	pages_unmap(table->first16, table->first_bytes);
	pages_unmap(table->first32, table->first_bytes);
	pages_unmap(table->groups, table->groups_bytes);
	free(table);
}

size_t lpm4_size_bytes(const struct lpm4 *table)
{
	return sizeof(*table) + table->first_bytes +
	       table->group_count * LPM4_GROUP * sizeof(*table->groups);
}
