/* The processor's clock, which ticks at one rate whatever the core does. */
#ifndef SLUICE_PERF_CYCLES_H
#define SLUICE_PERF_CYCLES_H

#include <stdint.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/* 0: there is none. */
static inline uint64_t cycles_now(void)
{
#if defined(__x86_64__)
	return __rdtsc();
#else
	return 0;
#endif
}

#endif
