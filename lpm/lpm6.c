/* Reads IPv6 tables: a step by the root, then down a tree of cache lines. */
#include "lpm/lpm6_burst.h"

#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/cpu.h"
#include "lpm/pages.h"

enum {
	BURST_MIN = 4, /* below, going down side by side gains nothing */
	LANES = 16,    /* addresses that go down side by side */
};

static inline struct addr6 load_addr(const uint8_t *addrs, unsigned i)
{
	struct addr6 addr;

	memcpy(&addr, addrs + sizeof(addr) * i, sizeof(addr));
	return addr;
}

static uint16_t tail_verdict(const struct lpm6_tail *tail, struct addr6 addr)
{
	unsigned count = 0;

	for (unsigned i = 0; i < LPM6_TAIL_KEYS; i++)
		count += !addr6_less(addr, tail->keys[i]);
	return tail->values[count];
}

static inline uint16_t lookup_one(const struct lpm6 *table, struct addr6 addr)
{
	uint32_t entry = table->root[addr.hi >> 48];

	for (unsigned stage = 0; lpm6_is_link(entry); stage++) {
		uint32_t line = lpm6_link_line(entry);
		unsigned height = lpm6_link_height(entry);

		if (height == LPM6_TAIL)
			return tail_verdict(&table->lines[line].tail, addr);
		entry = lpm6_tree_entry(table, line, height, lpm6_stage_bits(&addr, stage));
	}
	return (uint16_t)entry;
}

/* n is 1..LANES. */
static inline void lookup_lanes(const struct lpm6 *table, const uint8_t *addrs, uint16_t *out,
				unsigned n)
{
	uint32_t entries[LANES], lines[LANES], any = 0;
	int32_t wanted[LANES];

	for (unsigned i = 0; i < n; i++) {
		struct addr6 addr = load_addr(addrs, i);

		entries[i] = table->root[addr.hi >> 48];
		any |= entries[i];
		lines[i] = lpm6_is_link(entries[i]) ? lpm6_link_line(entries[i]) : 0;
		wanted[i] = lpm6_wanted(lpm6_stage_bits(&addr, 0));
		out[i] = (uint16_t)entries[i];
	}
	if (!lpm6_is_link(any))
		return;
	for (unsigned level = 0; level < table->height; level++) {
		for (unsigned i = 0; i < n; i++) {
			const struct lpm6_index *index = &table->lines[lines[i]].index;

			lines[i] =
				index->base + lpm6_count(index->keys, LPM6_FANOUT - 1, wanted[i]);
		}
	}
	for (unsigned i = 0; i < n; i++) {
		const struct lpm6_leaf *leaf = &table->lines[lines[i]].leaf;
		unsigned cell = lpm6_count(leaf->keys, LPM6_LEAF_CELLS - 1, wanted[i]);

		if (!lpm6_is_link(entries[i]))
			continue;
		out[i] = leaf->values[cell];
		if (out[i] >= LPM6_DEEP)
			out[i] = lookup_one(table, load_addr(addrs, i));
	}
}

static void lookup_scalar(const struct lpm6 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	while (n > LANES) {
		lookup_lanes(table, addrs, out, LANES);
		addrs += LANES * sizeof(struct addr6);
		out += LANES;
		n -= LANES;
	}
	lookup_lanes(table, addrs, out, n);
}

lpm6_burst_fn *lpm6_burst_scalar(void)
{
	return lookup_scalar;
}

bool lpm6_choose(struct lpm6 *table, enum lpm6_variant variant)
{
	unsigned features = cpu_features();
	lpm6_burst_fn *chosen = NULL;

	if (variant == LPM6_SCALAR)
		chosen = lpm6_burst_scalar();
	else if (variant == LPM6_AVX2 && (features & CPU_AVX2) != 0)
		chosen = lpm6_burst_avx2();
	else if (variant == LPM6_AVX512 && (features & CPU_AVX512) != 0)
		chosen = lpm6_burst_avx512();
	if (chosen == NULL)
		return false;
	table->lookup_burst = chosen;
	return true;
}

void lpm6_choose_best(struct lpm6 *table)
{
	unsigned variant = LPM6_VARIANTS - 1;

	while (!lpm6_choose(table, (enum lpm6_variant)variant))
		variant--; /* at the end is the scalar one, which any processor runs */
}

uint16_t lpm6_lookup(const struct lpm6 *table, const struct addr6 *addr)
{
	return lookup_one(table, load_addr((const uint8_t *)addr, 0));
}

void lpm6_lookup_burst(const struct lpm6 *table, const struct addr6 *addrs, uint16_t *out,
		       unsigned n)
{
	const uint8_t *bytes = (const uint8_t *)addrs;

	if (n >= BURST_MIN) {
		table->lookup_burst(table, bytes, out, n);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		out[i] = lookup_one(table, load_addr(bytes, i));
}

void lpm6_destroy(struct lpm6 *table)
{
	if (table == NULL)
		return;
	pages_unmap(table->memory, table->mapped);
	free(table);
}

size_t lpm6_size_bytes(const struct lpm6 *table)
{
	return sizeof(*table) + LPM6_ROOT * sizeof(*table->root) +
	       table->line_count * sizeof(*table->lines);
}
