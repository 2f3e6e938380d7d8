/* TCP traffic between two namespaces: a sink that also sends, and a client that measures. */
#ifndef SLUICE_PERF_TRAFFIC_H
#define SLUICE_PERF_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

enum {
	TRAFFIC_PORT = 5201,
	TRAFFIC_FLOWS_MAX = 64,
};

/* Listen on all addresses of both families and serve until killed. Returns an exit status. */
int traffic_serve(uint16_t port);

enum traffic_way {
	TRAFFIC_UP,   /* the client sends */
	TRAFFIC_DOWN, /* the server sends */
	TRAFFIC_BOTH, /* as many connections each way, at the same time */
};

struct traffic_question {
	const char *address; /* of the server, numeric */
	uint16_t port;
	unsigned flows; /* connections at once, each way; 1..TRAFFIC_FLOWS_MAX */
	unsigned ms;    /* how long to send */
	enum traffic_way way;
};

/*
 * Transfer for a while and measure at the receiving end.
 *
 * gbps:   payload of all flows together
 * Errors: -errno of the first flow that failed
 */
int traffic_ask(const struct traffic_question *question, double *gbps);

#endif
