/* What `sluice-perf load` measures: the rate without loss, loads with and without changes, cost. */
#ifndef SLUICE_PERF_LOAD_MEASURE_H
#define SLUICE_PERF_LOAD_MEASURE_H

#include <stdbool.h>

#include "perf/load_run.h"

/* How loads are measured. */
struct load_measure {
	bool json;
	const char *kind; /* "reloads", "edits" */
	double seconds;   /* of traffic with changes, and as much without */
	unsigned reloads; /* in all, with which the seconds fit; 0: as the rate gives */
	struct load_change_plan changes;
};

/* Until flows are set up and neighbours known. Errors: -ETIMEDOUT, -errno */
int load_measure_warm_up(struct load_bench *bench);

/*
 * The highest rate that is carried without any loss, by a sender that is in time, for as long as
 * it is measured then, at most a minute.
 *
 * rate:   packets a second
 * Errors: -EIO (none is), -errno
 */
int load_measure_rate(struct load_bench *bench, const struct load_measure *how, double *rate);

/*
 * The same load without changes and with them, in slices by turns, and print both.
 *
 * load:   its name: "90", "given"
 * clean:  false if anything went wrong in either; else as it was
 * Errors: -errno
 */
int load_measure_changes(struct load_bench *bench, const struct load_measure *how, const char *load,
			 double rate, bool *clean);

/* What is delivered of twice a rate, without changes and with them, by turns. Errors: -errno */
int load_measure_overload(struct load_bench *bench, const struct load_measure *how, double rate);

/* What TCP carries, without changes and with them, by turns. Errors: -errno */
int load_measure_tcp(struct load_bench *bench, const struct load_measure *how);

#endif
