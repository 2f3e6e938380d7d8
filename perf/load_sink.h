/*
 * The sink of `sluice-perf load`: a capture on each side, read by one thread.
 *
 * The kernel stamps packets when they come in, so the thread may be late without any harm but that
 * a full capture loses packets: it tells how many, and a run in which it did proves nothing.
 */
#ifndef SLUICE_PERF_LOAD_SINK_H
#define SLUICE_PERF_LOAD_SINK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "perf/load_check.h"
#include "perf/load_net.h"

struct load_capture {
	int fd;
	uint8_t *ring;
	unsigned next;
	uint32_t addr; /* what translated packets come from there, network byte order */
};

struct load_sink {
	struct load_capture capture[LOAD_SIDES];
	const uint32_t *addrs; /* of flows' destinations, host byte order */
	struct load_check *check;
	int64_t clock_ns; /* monotonic clock less real time */
	uint64_t damaged; /* wrong checksum or length: also lost */
	pthread_t thread;
	bool stop;
};

/* addrs must outlive *sink. Errors: -errno */
int load_sink_init(struct load_sink *sink, const struct load_net *net, const uint32_t *addrs);
void load_sink_fini(struct load_sink *sink);

/* Hand what comes in from now on to a checker, in a thread. Errors: -errno */
int load_sink_start(struct load_sink *sink, struct load_check *check);

/* When all that was captured is checked; tells how many packets the captures had no room for. */
void load_sink_stop(struct load_sink *sink, uint64_t *overrun);

#endif
