/* How long a new table takes to reach the last reader. */
#ifndef SLUICE_PERF_LPM_PUBLISH_H
#define SLUICE_PERF_LPM_PUBLISH_H

#include "perf/lpm_fixture.h"
#include "perf/report.h"

enum {
	PUBLISH_READERS = 2,
};

/*
 * Publish count tables one after another while threads look the keys up in bursts and do nothing
 * else, with a quiescent state after each burst.
 *
 * Both in microseconds of wall clock, from before the store on:
 *
 * readers:  threads, 1..PUBLISH_READERS
 * seen:     until the last reader had the new table
 * returned: until the publisher knew and went on; if it had to share a core with a reader, that is
 *           up to the scheduler
 */
void publish_measure(const struct fixture *f, unsigned burst, unsigned readers, unsigned count,
		     struct samples *seen, struct samples *returned);

#endif
