/* Eight IPv4 addresses at a time, by AVX2's gathers. */
#include "lpm/lpm4_burst.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

enum {
	LANES = 8,
};

/* Of the entries that index chooses. */
AVX2 static inline __m256i load_entries(const uint32_t *words, __m256i mask, __m256i index,
					unsigned width_log2)
{
	int per_word_log2 = 5 - (int)width_log2;
	__m256i in_word = _mm256_set1_epi32((1 << per_word_log2) - 1);
	__m256i word =
		_mm256_mask_i32gather_epi32(_mm256_setzero_si256(), (const int *)words,
					    _mm256_srli_epi32(index, per_word_log2), mask, 4);
	__m256i shift = _mm256_slli_epi32(_mm256_and_si256(index, in_word), (int)width_log2);

	return _mm256_and_si256(_mm256_srlv_epi32(word, shift),
				_mm256_set1_epi32((int)lpm4_code_mask(width_log2)));
}

/* Ones of each 32-bit lane: a table look-up by half bytes, then sums. */
AVX2 static inline __m256i popcount(__m256i x)
{
	const __m256i ones = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
	const __m256i low = _mm256_set1_epi8(15);
	__m256i bytes = _mm256_add_epi8(
		_mm256_shuffle_epi8(ones, _mm256_and_si256(x, low)),
		_mm256_shuffle_epi8(ones, _mm256_and_si256(_mm256_srli_epi32(x, 4), low)));

	return _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1)),
				 _mm256_set1_epi16(1));
}

/* Codes from the groups of the lanes of mask. */
AVX2 static inline __m256i load_grouped(const struct lpm4 *table, __m256i mask, __m256i addrs,
					unsigned width_log2)
{
	const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi32(1);
	const int *marks_of = (const int *)&table->ranks->marks;
	const int *base_of = (const int *)&table->ranks->base;
	__m256i at = _mm256_srli_epi32(addrs, 13);
	__m256i marks = _mm256_mask_i32gather_epi32(zero, marks_of, at, mask, 8);
	__m256i base = _mm256_mask_i32gather_epi32(zero, base_of, at, mask, 8);
	__m256i bit = _mm256_and_si256(_mm256_srli_epi32(addrs, 8), _mm256_set1_epi32(31));
	__m256i below = _mm256_sub_epi32(_mm256_sllv_epi32(one, bit), one);
	__m256i group = _mm256_add_epi32(base, popcount(_mm256_and_si256(marks, below)));
	__m256i index = _mm256_or_si256(_mm256_slli_epi32(group, 8),
					_mm256_and_si256(addrs, _mm256_set1_epi32(255)));

	return load_entries(table->groups, mask, index, width_log2);
}

/* The verdicts of the first 16 codes, for a shuffle of bytes. */
struct few {
	__m256i low;
	__m256i high;
};

AVX2 static inline struct few load_few(const struct lpm4 *table)
{
	__m128i first = _mm_loadu_si128((const __m128i *)(const void *)table->verdicts);
	__m128i second = _mm_loadu_si128((const __m128i *)(const void *)(table->verdicts + 8));
	const __m128i low_bytes = _mm_set1_epi16(255);

	return (struct few){
		.low = _mm256_broadcastsi128_si256(_mm_packus_epi16(
			_mm_and_si128(first, low_bytes), _mm_and_si128(second, low_bytes))),
		.high = _mm256_broadcastsi128_si256(
			_mm_packus_epi16(_mm_srli_epi16(first, 8), _mm_srli_epi16(second, 8))),
	};
}

AVX2 static inline __m256i to_verdicts(const struct lpm4 *table, __m256i codes,
				       const struct few *few, unsigned width_log2)
{
	if (width_log2 == LPM4_WIDTH_LOG2_MAX)
		return codes;
	if (width_log2 < 3) /* the upper bytes are code 0, whose verdict is 0 */
		return _mm256_or_si256(_mm256_shuffle_epi8(few->low, codes),
				       _mm256_slli_epi32(_mm256_shuffle_epi8(few->high, codes), 8));
	/* Reads the verdict behind as well, but no code is the last one. */
	return _mm256_and_si256(
		_mm256_i32gather_epi32((const int *)(const void *)table->verdicts, codes, 2),
		_mm256_set1_epi32(UINT16_MAX));
}

AVX2 static inline void lookup_lanes(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out,
				     const struct few *few, unsigned width_log2)
{
	__m256i wanted = _mm256_loadu_si256((const __m256i *)(const void *)addrs);
	__m256i codes = load_entries(table->first, _mm256_set1_epi32(-1),
				     _mm256_srli_epi32(wanted, 8), width_log2);
	__m256i grouped =
		_mm256_cmpeq_epi32(codes, _mm256_set1_epi32((int)lpm4_code_mask(width_log2)));
	__m256i verdicts;

	if (_mm256_testz_si256(grouped, grouped) == 0)
		codes = _mm256_blendv_epi8(codes, load_grouped(table, grouped, wanted, width_log2),
					   grouped);
	verdicts = to_verdicts(table, codes, few, width_log2);
	_mm_storeu_si128((__m128i *)(void *)out,
			 _mm_packus_epi32(_mm256_castsi256_si128(verdicts),
					  _mm256_extracti128_si256(verdicts, 1)));
}

AVX2 static inline void lookup(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out,
			       unsigned n, unsigned width_log2)
{
	struct few few;

	if (n < LANES) {
		lpm4_burst_scalar(width_log2)(table, addrs, out, n);
		return;
	}
	few = load_few(table);
	for (unsigned i = 0; i < n / LANES; i++)
		lookup_lanes(table, addrs + sizeof(uint32_t) * LANES * i, out + (size_t)LANES * i,
			     &few, width_log2);
	if (n % LANES != 0) /* some of these once more */
		lookup_lanes(table, addrs + sizeof(uint32_t) * (n - LANES), out + n - LANES, &few,
			     width_log2);
}

AVX2 static void lookup2(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	lookup(table, addrs, out, n, 1);
}

AVX2 static void lookup4(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	lookup(table, addrs, out, n, 2);
}

AVX2 static void lookup8(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	lookup(table, addrs, out, n, 3);
}

AVX2 static void lookup16(const struct lpm4 *table, const uint8_t *addrs, uint16_t *out, unsigned n)
{
	lookup(table, addrs, out, n, 4);
}

lpm4_burst_fn *lpm4_burst_avx2(unsigned width_log2)
{
	static lpm4_burst_fn *const by_width[] = {NULL, lookup2, lookup4, lookup8, lookup16};

	return by_width[width_log2];
}

#else

lpm4_burst_fn *lpm4_burst_avx2(unsigned width_log2)
{
	(void)width_log2;
	return NULL;
}

#endif
