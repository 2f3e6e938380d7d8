/* Sixteen IPv4 addresses at a time, by AVX-512's gathers. */
#include "lpm/lpm4_burst.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))

enum {
	LANES = 16,
};

/* Of the entries that index chooses, in the lanes of mask. */
AVX512 static inline __m512i load_entries(const uint32_t *words, __mmask16 mask, __m512i index,
					  unsigned width_log2)
{
	unsigned per_word_log2 = 5 - width_log2;
	__m512i in_word = _mm512_set1_epi32((1 << per_word_log2) - 1);
	__m512i word = _mm512_mask_i32gather_epi32(
		_mm512_setzero_si512(), mask, _mm512_srli_epi32(index, per_word_log2), words, 4);
	__m512i shift = _mm512_slli_epi32(_mm512_and_si512(index, in_word), width_log2);

	return _mm512_and_si512(_mm512_srlv_epi32(word, shift),
				_mm512_set1_epi32((int)lpm4_code_mask(width_log2)));
}

/* Ones of each 32-bit lane: a table look-up by half bytes, then sums. */
AVX512 static inline __m512i popcount(__m512i x)
{
	const __m512i ones = _mm512_broadcast_i32x4(
		_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
	const __m512i low = _mm512_set1_epi8(15);
	__m512i bytes = _mm512_add_epi8(
		_mm512_shuffle_epi8(ones, _mm512_and_si512(x, low)),
		_mm512_shuffle_epi8(ones, _mm512_and_si512(_mm512_srli_epi32(x, 4), low)));

	return _mm512_madd_epi16(_mm512_maddubs_epi16(bytes, _mm512_set1_epi8(1)),
				 _mm512_set1_epi16(1));
}

/* Codes from the groups of the lanes of mask. */
AVX512 static inline __m512i load_grouped(const struct lpm4 *table, __mmask16 mask, __m512i addrs,
					  unsigned width_log2)
{
	const __m512i zero = _mm512_setzero_si512(), one = _mm512_set1_epi32(1);
	const int *marks_of = (const int *)&table->ranks->marks;
	const int *base_of = (const int *)&table->ranks->base;
	__m512i at = _mm512_srli_epi32(addrs, 13);
	__m512i marks = _mm512_mask_i32gather_epi32(zero, mask, at, marks_of, 8);
	__m512i base = _mm512_mask_i32gather_epi32(zero, mask, at, base_of, 8);
	__m512i bit = _mm512_and_si512(_mm512_srli_epi32(addrs, 8), _mm512_set1_epi32(31));
	__m512i below = _mm512_sub_epi32(_mm512_sllv_epi32(one, bit), one);
	__m512i group = _mm512_add_epi32(base, popcount(_mm512_and_si512(marks, below)));
	__m512i index = _mm512_or_si512(_mm512_slli_epi32(group, 8),
					_mm512_and_si512(addrs, _mm512_set1_epi32(255)));

	return load_entries(table->groups, mask, index, width_log2);
}

AVX512 static inline __m512i to_verdicts(const struct lpm4 *table, __m512i codes, __m512i few,
					 unsigned width_log2)
{
	if (width_log2 == LPM4_WIDTH_LOG2_MAX)
		return codes;
	if (width_log2 < 3)
		return _mm512_permutexvar_epi32(codes, few);
	/* Reads the verdict behind as well, which is cut off later; no code is the last one. */
	return _mm512_i32gather_epi32(codes, table->verdicts, 2);
}

AVX512 static inline void lookup_lanes(const struct lpm4 *table, const uint8_t *addrs,
				       uint16_t *out, __m512i few, unsigned width_log2)
{
	__m512i wanted = _mm512_loadu_si512(addrs);
	__m512i codes =
		load_entries(table->first, UINT16_MAX, _mm512_srli_epi32(wanted, 8), width_log2);
	__m512i all_ones = _mm512_set1_epi32((int)lpm4_code_mask(width_log2));
	__mmask16 grouped = _mm512_cmpeq_epi32_mask(codes, all_ones);

	if (grouped != 0)
		codes = _mm512_mask_mov_epi32(codes, grouped,
					      load_grouped(table, grouped, wanted, width_log2));
	_mm256_storeu_si256((__m256i *)(void *)out,
			    _mm512_cvtepi32_epi16(to_verdicts(table, codes, few, width_log2)));
}

AVX512 static inline void lookup(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out,
				 unsigned n, unsigned width_log2)
{
	__m512i few;

	if (n < LANES) {
		lpm4_burst_avx2(width_log2)(table, addrs, out, n);
		return;
	}
	/* The verdicts of the first 16 codes, for a shuffle. */
	few = _mm512_cvtepu16_epi32(
		_mm256_loadu_si256((const __m256i *)(const void *)table->verdicts));
	for (unsigned i = 0; i < n / LANES; i++)
		lookup_lanes(table, addrs + sizeof(uint32_t) * LANES * i, out + (size_t)LANES * i,
			     few, width_log2);
	/*
	 * Lanes of the end are looked up once more rather than masked off: what a masked store
	 * wrote, a load has to wait for.
	 */
	if (n % LANES != 0)
		lookup_lanes(table, addrs + sizeof(uint32_t) * (n - LANES), out + n - LANES, few,
			     width_log2);
}

AVX512 static void lookup2(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out,
			   unsigned n)
{
	lookup(table, addrs, out, n, 1);
}

AVX512 static void lookup4(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out,
			   unsigned n)
{
	lookup(table, addrs, out, n, 2);
}

AVX512 static void lookup8(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out,
			   unsigned n)
{
	lookup(table, addrs, out, n, 3);
}

AVX512 static void lookup16(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out,
			    unsigned n)
{
	lookup(table, addrs, out, n, 4);
}

lpm4_burst_fn *lpm4_burst_avx512(unsigned width_log2)
{
	static lpm4_burst_fn *const by_width[] = {NULL, lookup2, lookup4, lookup8, lookup16};

	return by_width[width_log2];
}

#else

lpm4_burst_fn *lpm4_burst_avx512(unsigned width_log2)
{
	(void)width_log2;
	return NULL;
}

#endif
