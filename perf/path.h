/* The three gateways that `sluice-perf path` compares, and how it asks through one of them. */
#ifndef SLUICE_PERF_PATH_H
#define SLUICE_PERF_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { LANE_SLUICE, LANE_MASQUERADE, LANE_FORWARD, LANES };

extern const char *const path_server[LANES]; /* the server's address behind each gateway */

struct path_options {
	bool json;
	unsigned runs;
	unsigned ms;
	unsigned queues;
};

struct path {
	int client[LANES];
	int gateway[LANES];
	int server;
	pid_t sink;
	pid_t daemon;
	char conf[32];
};

/*
 * Run this program with the arguments of `sluice-perf traffic` in a lane's client.
 *
 * argv: from "ask" or "send" on; its last is NULL
 * line: the line that it prints
 * Errors: -errno
 */
int path_traffic(const struct path *path, int lane, const char *const argv[], char *line,
		 size_t size);

/* Datagrams: rate without loss, behaviour under overload, latency. 0 or -errno. */
int path_udp(const struct path *path, const struct path_options *options);

#endif
