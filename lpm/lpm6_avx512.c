/* IPv6 addresses in step, a line of a tree compared at once by AVX-512. */
#include "lpm/lpm6_burst.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,popcnt")))

enum {
	GROUP = 8,  /* addresses that a register holds the upper halves of */
	LANES = 64, /* at most, in step */
	INDEX_KEYS = (1 << (LPM6_FANOUT - 1)) - 1,
	LEAF_KEYS = (1 << (LPM6_LEAF_CELLS - 1)) - 1,
};

/* How many keys of a line lie before the wanted one. */
AVX512 static inline unsigned count_keys(const union lpm6_line *line, __mmask16 keys,
					 int32_t wanted)
{
	__mmask16 before = _mm512_mask_cmplt_epi32_mask(keys, _mm512_load_si512(line),
							_mm512_set1_epi32(wanted));

	return (unsigned)__builtin_popcount(before);
}

AVX512 static inline __m512i load_upper(const uint8_t *addrs)
{
	const __m512i evens = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);

	return _mm512_permutex2var_epi64(_mm512_loadu_si512(addrs), evens,
					 _mm512_loadu_si512(addrs + 64));
}

/* The few that lie in deep cells. */
AVX512 static inline void lookup_deep(const struct lpm6 *table, const uint8_t *addrs, uint16_t *out,
				      unsigned deep)
{
	for (; deep != 0; deep &= deep - 1) {
		unsigned i = (unsigned)__builtin_ctz(deep);
		const uint8_t *addr = addrs + sizeof(struct addr6) * i;

		out[i] = lpm6_lookup(table, (const struct addr6 *)(const void *)addr);
	}
}

/* n is a multiple of GROUP, at most LANES. */
AVX512 static inline void lookup_lanes(const struct lpm6 *table, const uint8_t *addrs,
				       uint16_t *out, unsigned n, unsigned height)
{
	const __m256i line_mask = _mm256_set1_epi32((1 << LPM6_LINE_BITS) - 1);
	const union lpm6_line *all = table->lines;
	uint32_t lines[LANES];
	int32_t wanted[LANES];
	__m256i entries[LANES / GROUP];
	uint16_t values[LANES];
	unsigned links = 0;

	for (unsigned i = 0; i < n / GROUP; i++) {
		__m512i upper = load_upper(addrs + sizeof(struct addr6) * GROUP * i);
		__m256i bits = _mm512_cvtepi64_epi32(_mm512_srli_epi64(upper, 16));
		__m256i entry =
			_mm512_i64gather_epi32(_mm512_srli_epi64(upper, 48), table->root, 4);
		__mmask8 link = _mm256_cmplt_epi32_mask(entry, _mm256_setzero_si256());

		entries[i] = entry;
		links |= link;
		_mm256_storeu_si256((__m256i *)(void *)(wanted + (size_t)GROUP * i),
				    _mm256_xor_si256(bits, _mm256_set1_epi32(INT32_MIN)));
		_mm256_storeu_si256((__m256i *)(void *)(lines + (size_t)GROUP * i),
				    _mm256_maskz_and_epi32(link, entry, line_mask));
	}
	for (unsigned level = 0; level < height && links != 0; level++) {
		for (unsigned i = 0; i < n; i++) {
			const union lpm6_line *line = &all[lines[i]];

			lines[i] = line->index.base + count_keys(line, INDEX_KEYS, wanted[i]);
		}
	}
	for (unsigned i = 0; i < n && links != 0; i++) {
		const union lpm6_line *line = &all[lines[i]];

		values[i] = line->leaf.values[count_keys(line, LEAF_KEYS, wanted[i])];
	}
	for (unsigned i = 0; i < n / GROUP; i++) {
		__m128i *to = (__m128i *)(void *)(out + (size_t)GROUP * i);
		__m128i value = _mm256_cvtepi32_epi16(entries[i]);
		__mmask8 link = _mm256_cmplt_epi32_mask(entries[i], _mm256_setzero_si256());

		if (links != 0)
			value = _mm_mask_loadu_epi16(value, link, values + (size_t)GROUP * i);
		_mm_storeu_si128(to, value);
		lookup_deep(table, addrs + sizeof(struct addr6) * GROUP * i,
			    out + (size_t)GROUP * i, _mm_movepi16_mask(value));
	}
}

AVX512 static inline void lookup_height(const struct lpm6 *table, const uint8_t *addrs,
					uint16_t *out, unsigned n, unsigned height)
{
	while (n >= LANES) {
		lookup_lanes(table, addrs, out, LANES, height);
		addrs += sizeof(struct addr6) * LANES;
		out += LANES;
		n -= LANES;
	}
	if (n >= GROUP)
		lookup_lanes(table, addrs, out, n - n % GROUP, height);
	/* What is left is looked up with some before it, once more. */
	if (n % GROUP != 0)
		lookup_lanes(table,
			     addrs + sizeof(struct addr6) * (n - n % GROUP) -
				     sizeof(struct addr6) * (GROUP - n % GROUP),
			     out + (n - n % GROUP) - (GROUP - n % GROUP), GROUP, height);
}

AVX512 static void lookup(const struct lpm6 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	if (n < GROUP)
		lpm6_burst_avx2()(table, addrs, out, n);
	else if (table->height == 3) /* a full table; the levels unrolled */
		lookup_height(table, addrs, out, n, 3);
	else
		lookup_height(table, addrs, out, n, table->height);
}

lpm6_burst_fn *lpm6_burst_avx512(void)
{
	return lookup;
}

#else

lpm6_burst_fn *lpm6_burst_avx512(void)
{
	return NULL;
}

#endif
