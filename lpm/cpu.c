#include "lpm/cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>

enum {
	STATE_AVX = 0x06,    /* the system saves SSE's and AVX's registers, */
	STATE_AVX512 = 0xe6, /* and AVX-512's */
};

__attribute__((target("xsave"))) static uint64_t saved_state(void)
{
	return _xgetbv(0);
}

unsigned cpu_features(void)
{
	const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512VL;
	unsigned a, b, c, d, features = 0;
	uint64_t state;

	if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0)
		return 0;
	state = saved_state();
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0)
		return 0;
	if ((state & STATE_AVX) == STATE_AVX && (b & bit_AVX2) != 0)
		features |= CPU_AVX2;
	if ((state & STATE_AVX512) == STATE_AVX512 && (b & avx512) == avx512)
		features |= CPU_AVX512;
	return features;
}

#else

unsigned cpu_features(void)
{
	return 0;
}

#endif
