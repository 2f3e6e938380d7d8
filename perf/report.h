/* How measurements are printed: for people, or one JSON object a line. */
#ifndef SLUICE_PERF_REPORT_H
#define SLUICE_PERF_REPORT_H

#include <stdbool.h>

enum {
	REPORT_RUNS_MAX = 32,
};

/* The values of one case, a run each. */
struct samples {
	double value[REPORT_RUNS_MAX];
	unsigned count;
};

void samples_add(struct samples *samples, double value);
double samples_median(const struct samples *samples);
double samples_min(const struct samples *samples);
double samples_max(const struct samples *samples);

struct report_case {
	const char *name; /* fixed words in a fixed order */
	const char *unit;
	bool higher_is_better;
	const struct samples *own;
	const char *peer; /* NULL: none could run */
	const struct samples *peer_samples;
};

/* The first line: machine, cores, kernel and commit. */
void report_head(bool json);

/* One case. ratio above 1 always means that Sluice is better. */
void report_line(bool json, const struct report_case *c);

#endif
