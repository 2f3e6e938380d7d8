/* UDP for benchmarks: datagrams sent at a rate whatever comes of them, and a sink that counts. */
#ifndef SLUICE_PERF_DATAGRAMS_H
#define SLUICE_PERF_DATAGRAMS_H

#include <stdint.h>

enum {
	DATAGRAMS_PORT = 7071,
	DATAGRAMS_FLOWS_MAX = 64,
	DATAGRAMS_SIZE_MIN = 64,
	DATAGRAMS_SIZE_MAX = 1472,
};

struct datagrams_question {
	const char *address;
	uint16_t port;
	unsigned size;  /* payload, bytes */
	unsigned flows; /* sockets, in turn */
	unsigned ms;
	double rate; /* a second, all flows together */
};

/* Of one run. Latencies count from when a datagram was due, not from when it was sent. */
struct datagrams_answer {
	uint64_t sent;
	uint64_t received;
	uint64_t reordered; /* came after a later one of its flow */
	double p50_us;
	double p99_us;
	double p999_us;
	double max_us;
};

/* Count what comes to a port, and answer questions about it there; returns on errors only. */
int datagrams_serve(uint16_t port);

/*
 * Send, one datagram a system call, and ask the sink.
 *
 * Errors: -errno; -ETIMEDOUT if the sink does not answer
 */
int datagrams_ask(const struct datagrams_question *question, struct datagrams_answer *answer);

#endif
