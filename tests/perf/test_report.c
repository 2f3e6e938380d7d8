/* perf/report.h: medians, and how they are compared. */
#include <criterion/criterion.h>

#include "perf/report.h"

Test(perf_report, median_min_max)
{
	static const struct {
		double value[5];
		unsigned count;
		double median, min, max;
	} cases[] = {
		{{0}, 0, 0, 0, 0},
		{{7}, 1, 7, 7, 7},
		{{9, 1}, 2, 5, 1, 9},
		{{3, 1, 2}, 3, 2, 1, 3},
		{{4, 1, 3, 2}, 4, 2.5, 1, 4},
		{{5, 9, 1, 7, 3}, 5, 5, 1, 9},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct samples s = {0};

		for (unsigned k = 0; k < cases[i].count; k++)
			samples_add(&s, cases[i].value[k]);
		cr_expect_eq(samples_median(&s), cases[i].median, "case %zu: expected %g, got %g",
			     i, cases[i].median, samples_median(&s));
		cr_expect_eq(samples_min(&s), cases[i].min, "case %zu", i);
		cr_expect_eq(samples_max(&s), cases[i].max, "case %zu", i);
	}
}
