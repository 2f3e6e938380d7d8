/* A histogram of latencies: each is known to 1/32, whatever its size, in constant memory. */
#ifndef SLUICE_PERF_LATENCY_H
#define SLUICE_PERF_LATENCY_H

#include <stdint.h>

enum {
	LATENCY_STEPS_LOG2 = 5,
	LATENCY_BUCKETS = (65 - LATENCY_STEPS_LOG2) << LATENCY_STEPS_LOG2,
};

/* Zeroed before use. */
struct latency {
	uint64_t count;
	uint64_t max_ns;
	uint64_t bucket[LATENCY_BUCKETS];
};

void latency_add(struct latency *latency, uint64_t ns);

/* Add all that another holds. */
void latency_merge(struct latency *to, const struct latency *from);

/* What a fraction q of them, 0 to 1, do not exceed; 0 if there are none. */
double latency_quantile_us(const struct latency *latency, double q);

#endif
