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

/* One more peer. */
struct report_second {
	const char *word; /* in JSON it is a case of its own, whose last word this is */
	const char *peer;
	const struct samples *samples;
};

/* What else the head tells. */
struct report_field {
	const char *name;
	const char *text;
};

/* The first line: machine, cores, kernel and commit. */
void report_head(bool json);

/* The same with more fields, each on a line of its own if it is for people. */
void report_head_fields(bool json, const struct report_field *fields, unsigned count);

/* A remark between cases: for people among them, else on standard error. */
__attribute__((format(printf, 2, 3))) void report_remark(bool json, const char *format, ...);

/* Without the titles of report_line's columns, for what has columns of its own. */
void report_machine(bool json, const struct report_field *fields, unsigned count);

/* One case. ratio above 1 always means that Sluice is better. */
void report_line(bool json, const struct report_case *c);

/* The same with a second peer; NULL if there is none. */
void report_line_second(bool json, const struct report_case *c, const struct report_second *second);

#endif
