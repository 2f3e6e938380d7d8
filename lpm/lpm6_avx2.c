/* IPv6 addresses in step, a line of a tree compared by two of AVX2's comparisons. */
#include "lpm/lpm6_burst.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2,popcnt")))

enum {
	LANES = 32,
	INDEX_KEYS = (1 << (LPM6_FANOUT - 1)) - 1,
	LEAF_KEYS = (1 << (LPM6_LEAF_CELLS - 1)) - 1,
};

/* How many keys of a line lie before the wanted one. */
AVX2 static inline unsigned count_keys(const union lpm6_line *line, unsigned keys, int32_t wanted)
{
	const __m256i *halves = (const __m256i *)(const void *)line;
	__m256i broadcast = _mm256_set1_epi32(wanted);
	__m256i low = _mm256_cmpgt_epi32(broadcast, _mm256_load_si256(halves));
	__m256i high = _mm256_cmpgt_epi32(broadcast, _mm256_load_si256(halves + 1));
	unsigned before = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(low)) |
			  (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(high)) << 8;

	return (unsigned)__builtin_popcount(before & keys);
}

/* n is 1..LANES. */
AVX2 static inline void lookup_lanes(const struct lpm6 *table, const uint8_t *addrs, uint16_t *out,
				     unsigned n)
{
	uint32_t entries[LANES], lines[LANES], any = 0;
	int32_t wanted[LANES];

	for (unsigned i = 0; i < n; i++) {
		struct addr6 addr;

		memcpy(&addr, addrs + sizeof(addr) * i, sizeof(addr));
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
			const union lpm6_line *line = &table->lines[lines[i]];

			lines[i] = line->index.base + count_keys(line, INDEX_KEYS, wanted[i]);
		}
	}
	for (unsigned i = 0; i < n; i++) {
		const union lpm6_line *line = &table->lines[lines[i]];
		uint16_t value = line->leaf.values[count_keys(line, LEAF_KEYS, wanted[i])];
		const uint8_t *addr = addrs + sizeof(struct addr6) * i;

		out[i] = lpm6_is_link(entries[i]) ? value : out[i];
		if (out[i] >= LPM6_DEEP)
			out[i] = lpm6_lookup(table, (const struct addr6 *)(const void *)addr);
	}
}

AVX2 static void lookup(const struct lpm6 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	while (n > LANES) {
		lookup_lanes(table, addrs, out, LANES);
		addrs += LANES * sizeof(struct addr6);
		out += LANES;
		n -= LANES;
	}
	lookup_lanes(table, addrs, out, n);
}

lpm6_burst_fn *lpm6_burst_avx2(void)
{
	return lookup;
}

#else

lpm6_burst_fn *lpm6_burst_avx2(void)
{
	return NULL;
}

#endif
