/* How runs of `sluice-perf load` are printed. */
#ifndef SLUICE_PERF_LOAD_REPORT_H
#define SLUICE_PERF_LOAD_REPORT_H

#include <stdbool.h>

#include "perf/load_run.h"
#include "perf/report.h"

/* The titles of the columns; nothing in JSON. */
void load_report_head(bool json);

/*
 * One run.
 *
 * load:  "90", "50": per cent of the loss-free rate; or "given"
 * kind:  "quiet", "reloads", "edits": what was changed meanwhile
 * quiet: the run without changes that its latencies are compared with; NULL: it is that
 */
void load_report_run(bool json, const char *load, const char *kind,
		     const struct load_outcome *outcome, const struct load_outcome *quiet);

/* A rate in packets a second. */
void load_report_rate(bool json, const char *name, double rate);

/* What is carried with changes, beside what is without. */
void load_report_cost(bool json, const char *what, const char *kind, const char *unit,
		      const struct samples *busy, const struct samples *quiet,
		      const struct machine_time *machine);

#endif
