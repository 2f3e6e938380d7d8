/* perf/latency.h: quantiles beside a sorted array of the same values. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "perf/latency.h"

enum {
	VALUES = 20000,
};

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Values of all sizes, the same in every run. */
static uint64_t draw(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (*state >> 20) >> (*state >> 58) % 40;
}

Test(perf_latency, quantiles_are_known_to_a_32nd)
{
	static const double quantiles[] = {0, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999};
	static struct latency even, odd;
	static uint64_t values[VALUES];
	uint64_t state = 1;

	for (unsigned i = 0; i < VALUES; i++) {
		values[i] = draw(&state);
		latency_add(i % 2 ? &odd : &even, values[i]);
	}
	latency_merge(&even, &odd);
	qsort(values, VALUES, sizeof(values[0]), compare);
	cr_expect_eq(even.count, VALUES);
	cr_expect_eq(even.max_ns, values[VALUES - 1]);
	for (unsigned i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		double want = (double)values[(unsigned)(quantiles[i] * VALUES)] / 1000;
		double got = latency_quantile_us(&even, quantiles[i]);

		cr_expect(got <= want && got >= want * 31 / 32,
			  "quantile %g: expected %g, actual %g", quantiles[i], want, got);
	}
}

Test(perf_latency, ends_of_the_scale)
{
	static const uint64_t cases[] = {0, 1, 31, 32, 63, 64, UINT32_MAX, UINT64_MAX};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct latency l;
		double want = (double)cases[i] / 1000, got;

		l = (struct latency){0};
		cr_expect_eq(latency_quantile_us(&l, 0.5), 0, "empty");
		latency_add(&l, cases[i]);
		got = latency_quantile_us(&l, 0.5);
		cr_expect(got <= want && got >= want * 31 / 32, "%g: actual %g", want, got);
		cr_expect_eq(latency_quantile_us(&l, 1), want, "max of %g", want);
	}
}
