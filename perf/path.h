/*
 * What `sluice-perf path` is made of: its options, the three gateways that it compares, and how it
 * asks through one of them.
 */
#ifndef SLUICE_PERF_PATH_H
#define SLUICE_PERF_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dataplane/dataplane.h"
#include "perf/report.h"

enum { LANE_SLUICE, LANE_MASQUERADE, LANE_FORWARD, LANES };

enum {
	PATH_NAME_MAX = 64,
	PATH_QUEUES_MAX = 8, /* numbers of queues in a run of the program */
};

extern const char *const path_server[LANES]; /* the server's address behind each gateway */

struct path_options {
	bool json;
	unsigned runs;
	unsigned ms;
	unsigned queues[PATH_QUEUES_MAX];
	unsigned queue_count;
	const char *only; /* cases with this in their names; NULL: all */
};

struct path {
	int client[LANES];
	int gateway[LANES];
	int server;
	pid_t sink;
	pid_t daemon;
	unsigned queues; /* of the daemon */
	char dir[32];    /* with the daemon's configuration and socket */
};

/* Namespaces, links and the server. 0, -errno, or a command's exit status. */
int path_open(struct path *path);
void path_close(struct path *path);

/* Start the daemon and wait until it forwards. 0 or -errno. */
int path_start(struct path *path, unsigned queues);
void path_stop(struct path *path);

/*
 * Run this program with the arguments of `sluice-perf traffic` in a lane's client.
 *
 * argv: from "ask" or "send" on; its last is NULL
 * line: the line that it prints
 * Errors: -errno
 */
int path_traffic(const struct path *path, int lane, const char *const argv[], char *line,
		 size_t size);

/* What the daemon has used up to now. Errors: -errno */
struct path_usage {
	uint64_t cpu_ns;                /* in user mode and in the kernel, all threads */
	uint64_t stage_ns[STAGE_COUNT]; /* all workers */
};

int path_usage(const struct path *path, struct path_usage *out);

/* Where the worker's time went in each run of a case. */
struct path_stages {
	struct samples stage[STAGE_COUNT];
};

/* scale: what a nanosecond is shown as */
void path_stages_add(struct path_stages *stages, const uint64_t before[STAGE_COUNT],
		     const uint64_t after[STAGE_COUNT], double scale);

/* What there is to scale: all stages together. */
uint64_t path_stages_sum(const uint64_t before[STAGE_COUNT], const uint64_t after[STAGE_COUNT]);

/* For people a remark below the case; in JSON a case for each stage, its name before "queues". */
void path_stages_report(const struct path_options *options, const char *what, unsigned queues,
			const char *unit, const struct path_stages *stages);

/* One worker without system calls. 0 or -errno. */
int path_worker(const struct path_options *options);

/* TCP, and what it costs. 0 or -errno. */
int path_tcp(const struct path *path, const struct path_options *options);

/* Datagrams: rate without loss, behaviour under overload, set-up, latency. 0 or -errno. */
int path_udp(const struct path *path, const struct path_options *options);

#endif
