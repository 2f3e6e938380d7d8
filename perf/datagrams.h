/* UDP for benchmarks: datagrams sent at a rate whatever comes of them, and a sink that counts. */
#ifndef SLUICE_PERF_DATAGRAMS_H
#define SLUICE_PERF_DATAGRAMS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	DATAGRAMS_PORT = 7071,
	DATAGRAMS_FLOWS_MAX = 64,
	DATAGRAMS_SIZE_MIN = 64,
	DATAGRAMS_SIZE_MAX = 1472,
	DATAGRAMS_SPREAD = 1 << 17,
};

/* DATAGRAMS_SPREAD addresses for benchmarks (RFC 2544), which must all be the sink's. */
#define DATAGRAMS_SPREAD_PREFIX "198.18.0.0/15"
#define DATAGRAMS_SPREAD_FIRST UINT32_C(0xc6120000)

struct datagrams_question {
	const char *address;
	uint16_t port;
	unsigned size;  /* payload, bytes */
	unsigned flows; /* sockets, in turn */
	unsigned ms;
	double rate; /* a second, all flows together */
	bool down;   /* the sink sends, and the asker counts */
	bool spread; /* each datagram to the next of DATAGRAMS_SPREAD addresses, not with `down` */
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

/*
 * Count what comes to a port, answer questions about it there, and send to who asks for it. Returns
 * on errors only.
 */
int datagrams_serve(uint16_t port);

/*
 * Send, one datagram a system call, and ask the sink; or have it send.
 *
 * Errors: -errno; -ETIMEDOUT if the sink does not answer
 */
int datagrams_ask(const struct datagrams_question *question, struct datagrams_answer *answer);

#endif
