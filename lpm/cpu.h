/* What the processor can run. Used inside lpm/ only. */
#ifndef SLUICE_LPM_CPU_H
#define SLUICE_LPM_CPU_H

enum {
	CPU_AVX2 = 1 << 0,
	CPU_AVX512 = 1 << 1, /* F, BW and VL */
};

/*
 * What this processor and its operating system can run, as CPU_ bits.
 *
 * Not __builtin_cpu_supports nor target_clones: a runtime that Zig links answers "no" to both on
 * every processor.
 */
unsigned cpu_features(void);

#endif
