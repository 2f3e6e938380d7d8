/* perf/path_stages.c: what a run spent in each stage, of counters that only grow. */
#include <criterion/criterion.h>

#include "perf/path.h"

Test(perf_path_stages, of_one_run)
{
	static const uint64_t before[STAGE_COUNT] = {100, 20, 0, 7, 50};
	static const uint64_t after[STAGE_COUNT] = {400, 20, 500, 107, 150};
	static const double want[STAGE_COUNT] = {30, 0, 50, 10, 10};
	struct path_stages s = {0};
	uint64_t sum = path_stages_sum(before, after);

	cr_expect_eq(sum, 1000, "actual %lu", (unsigned long)sum);
	path_stages_add(&s, before, after, 100.0 / (double)sum);
	for (unsigned i = 0; i < STAGE_COUNT; i++) {
		double got = samples_median(&s.stage[i]);

		cr_expect_float_eq(got, want[i], 1e-9, "%s: expected %g, actual %g",
				   dataplane_stage_name(i), want[i], got);
	}
}
