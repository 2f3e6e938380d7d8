/* Reads IPv4 tables: one access, or three where prefixes are longer than 24. */
#include "lpm/lpm4_burst.h"

#include <stdlib.h>
#include <string.h>

#include "lpm/cpu.h"
#include "lpm/pages.h"

enum {
	BURST_MIN = 8, /* below, a call by pointer costs more than it gains */
};

static inline uint32_t load_addr(const uint8_t *addrs, unsigned i)
{
	uint32_t addr;

	memcpy(&addr, addrs + sizeof(addr) * i, sizeof(addr));
	return addr;
}

static inline uint16_t code_verdict(const struct lpm4 *table, uint32_t code, unsigned width_log2)
{
	return width_log2 == LPM4_WIDTH_LOG2_MAX ? (uint16_t)code : table->verdicts[code];
}

static inline uint16_t group_verdict(const struct lpm4 *table, uint32_t addr, unsigned width_log2)
{
	size_t index = lpm4_group_of(table, addr >> 8) * LPM4_GROUP + addr % LPM4_GROUP;

	return code_verdict(table, lpm4_load(table->groups, index, width_log2), width_log2);
}

/*
 * First all of the first level, then the few of the second: the accesses of a burst do not depend
 * on each other, so the processor overlaps them.
 */
static inline void lookup(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out, unsigned n,
			  unsigned width_log2)
{
	bool grouped = false;

	for (unsigned i = 0; i < n; i++) {
		size_t block = load_addr(addrs, i) >> 8;
		uint32_t code = lpm4_load(table->first, block, width_log2);

		out[i] = code_verdict(table, code, width_log2);
		grouped |= out[i] == LPM4_GROUPED;
	}
	if (!grouped)
		return;
	for (unsigned i = 0; i < n; i++) {
		if (out[i] == LPM4_GROUPED)
			out[i] = group_verdict(table, load_addr(addrs, i), width_log2);
	}
}

static void lookup2(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	lookup(table, addrs, out, n, 1);
}

static void lookup4(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	lookup(table, addrs, out, n, 2);
}

static void lookup8(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	lookup(table, addrs, out, n, 3);
}

static void lookup16(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	lookup(table, addrs, out, n, 4);
}

lpm4_burst_fn *lpm4_burst_scalar(unsigned width_log2)
{
	static lpm4_burst_fn *const by_width[] = {NULL, lookup2, lookup4, lookup8, lookup16};

	return by_width[width_log2];
}

bool lpm4_choose(struct lpm4 *table, enum lpm4_variant variant)
{
	unsigned features = cpu_features();
	lpm4_burst_fn *chosen = NULL;

	if (variant == LPM4_SCALAR)
		chosen = lpm4_burst_scalar(table->width_log2);
	else if (variant == LPM4_AVX2 && (features & CPU_AVX2) != 0)
		chosen = lpm4_burst_avx2(table->width_log2);
	else if (variant == LPM4_AVX512 && (features & CPU_AVX512) != 0)
		chosen = lpm4_burst_avx512(table->width_log2);
	if (chosen == NULL)
		return false;
	table->lookup_burst = chosen;
	return true;
}

void lpm4_choose_best(struct lpm4 *table)
{
	unsigned variant = LPM4_VARIANTS - 1;

	while (!lpm4_choose(table, (enum lpm4_variant)variant))
		variant--; /* at the end is the scalar one, which any processor runs */
}

uint16_t lpm4_lookup(const struct lpm4 *table, uint32_t addr)
{
	unsigned width_log2 = table->width_log2;
	uint32_t code = lpm4_load(table->first, addr >> 8, width_log2);

	if (code == lpm4_code_mask(width_log2))
		return group_verdict(table, addr, width_log2);
	return code_verdict(table, code, width_log2);
}

void lpm4_lookup_burst(const struct lpm4 *table, const uint32_t *addrs, uint16_t *out, unsigned n)
{
	const uint8_t *bytes = (const uint8_t *)addrs;

	if (n >= BURST_MIN) {
		table->lookup_burst(table, bytes, out, n);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		out[i] = lpm4_lookup(table, load_addr(bytes, i));
}

void lpm4_destroy(struct lpm4 *table)
{
	if (table == NULL)
		return;
	pages_unmap(table->first, table->first_bytes);
	pages_unmap(table->ranks, table->ranks_bytes);
	pages_unmap(table->groups, table->groups_bytes);
	free(table);
}

size_t lpm4_size_bytes(const struct lpm4 *table)
{
	size_t groups_bytes = lpm4_group_bytes(table->group_count, table->width_log2);

	return sizeof(*table) + table->first_bytes + table->ranks_bytes + groups_bytes;
}
