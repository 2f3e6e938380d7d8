/* Buckets are as wide as their values ask for: 32 to a power of two. */
#include "perf/latency.h"

static unsigned bucket_of(uint64_t ns)
{
	unsigned log2 = 0;

	if (ns >> LATENCY_STEPS_LOG2)
		log2 = 63 - (unsigned)__builtin_clzll(ns) - LATENCY_STEPS_LOG2;
	return (log2 << LATENCY_STEPS_LOG2) + (unsigned)(ns >> log2);
}

static uint64_t bucket_value(unsigned bucket)
{
	unsigned log2 = bucket >> LATENCY_STEPS_LOG2;

	if (log2 == 0)
		return bucket;
	log2--;
	return (uint64_t)(bucket - (log2 << LATENCY_STEPS_LOG2)) << log2;
}

void latency_add(struct latency *l, uint64_t ns)
{
	l->count++;
	l->bucket[bucket_of(ns)]++;
	if (ns > l->max_ns)
		l->max_ns = ns;
}

void latency_merge(struct latency *to, const struct latency *from)
{
	to->count += from->count;
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		to->bucket[i] += from->bucket[i];
	if (from->max_ns > to->max_ns)
		to->max_ns = from->max_ns;
}

double latency_quantile_us(const struct latency *l, double q)
{
	uint64_t wanted = (uint64_t)(q * (double)l->count), seen = 0;

	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		seen += l->bucket[i];
		if (seen > wanted)
			return (double)bucket_value(i) / 1000;
	}
	return (double)l->max_ns / 1000;
}
