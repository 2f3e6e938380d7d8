/*
 * What `sluice-perf wireguard` is made of: pairs of tunnels, each two ends in namespaces of its
 * own,
 *
 *     10.200.0.1 === 10.9.0.1 --- veth, 1500 --- 10.9.0.2 === 10.200.0.2
 *
 * driven by their control sockets; and what is measured through them.
 */
#ifndef SLUICE_PERF_WIREGUARD_H
#define SLUICE_PERF_WIREGUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dataplane/wireguard/message.h"
#include "perf/options.h"
#include "perf/report.h"

enum {
	WGBENCH_PAIRS_MAX = 2 + OPTIONS_LIST_MAX,
	WGBENCH_NAME_MAX = 64,
	WGBENCH_PORT = 5000, /* of both ends */
	WGBENCH_MTU = 1420,
};

#define WGBENCH_INNER_FIRST "10.200.0.1"
#define WGBENCH_INNER "10.200.0.2" /* of the second end */

#define WGBENCH_PEER "/usr/bin/wireguard-go" /* to compare with, if it is there */

struct wgbench_options {
	bool json;
	unsigned runs;
	unsigned ms;
	const char *only; /* cases with this in their names; NULL: all */
	struct options_list peers;
	bool flood;
	unsigned datagrams; /* hostile ones */
	bool rekey;
	unsigned seconds; /* of --rekey, as the next */
	unsigned rate;    /* datagrams a second each way */
};

struct wgbench_key {
	uint8_t private[WG_KEY];
	uint8_t public[WG_KEY];
};

/* A running program. */
struct wgbench_end {
	pid_t pid;
	char interface[16]; /* no other's on this machine has this name */
};

struct wgbench_pair {
	char name[WGBENCH_NAME_MAX];
	int ns[2];
	struct wgbench_end end[2];
	pid_t sink; /* in the second namespace */
	struct wgbench_key key[2];
};

/* The first is Sluice's. */
struct wgbench {
	const struct wgbench_options *options;
	struct wgbench_pair pairs[WGBENCH_PAIRS_MAX];
	unsigned count;
};

/* Random. Errors: -EIO */
int wgbench_key_make(struct wgbench_key *out);

/*
 * Two namespaces and the link between them, without tunnels.
 *
 * Errors: -errno, or a command's exit status
 */
int wgbench_link(int ns[2]);

/*
 * Start a tunnel's program as `PROGRAM -f INTERFACE` and wait until its control socket answers.
 *
 * queues: how many Sluice shall use; 0: as it likes
 * Errors: -errno; -ECHILD if it has ended
 */
int wgbench_start(int ns, const char *program, unsigned queues, struct wgbench_end *out);

/* Do what lines of the control socket's language say. Errors: -errno, its own */
int wgbench_set(const struct wgbench_end *end, const char *lines);

/* Ask for all. out: NUL-terminated, cut at size. Errors: -errno */
int wgbench_get(const struct wgbench_end *end, char *out, size_t size);

/* Write a key as hexadecimal digits. */
void wgbench_hex(const uint8_t key[WG_KEY], char out[2 * WG_KEY + 1]);

/*
 * Both ends, tied to each other, and a sink behind the second; returns when a packet got through.
 *
 * Errors: -errno, or a command's exit status
 */
int wgbench_open(struct wgbench_pair *pair, const char *program, unsigned queues);

/* The same of two programs; the first begins. */
int wgbench_open_two(struct wgbench_pair *pair, const char *first, const char *second,
		     unsigned queues);

void wgbench_close(struct wgbench_pair *pair);

/* What both ends have used up to now, in user mode and in the kernel. Errors: -ESRCH */
int wgbench_cpu_ns(const struct wgbench_pair *pair, uint64_t *out);

/* A figure of a process in /proc/PID/status ("VmRSS", "VmHWM"), in kB; 0 if it is gone. */
unsigned long wgbench_memory_kb(pid_t pid, const char *what);

struct wgbench_echo {
	double p50_us;
	double p99_us;
	unsigned lost;
};

/* Echoes a millisecond apart to the second end. Errors: -errno */
int wgbench_echo(int ns, const char *address, unsigned count, struct wgbench_echo *out);

/* The same without a tunnel: as many wake-ups, and bare UDP between them. Errors: -errno */
int wgbench_bare_echo(int ns, unsigned count, struct wgbench_echo *out);

/* Print a case: Sluice's, beside the first other; then those beside and of all others. */
void wgbench_report(const struct wgbench *bench, const char *name, const char *unit, bool higher,
		    const struct samples *samples);

/* The groups of cases. 0, or -errno, or a command's exit status. */
int wgbench_aead(const struct wgbench_options *options);
int wgbench_traffic(const struct wgbench *bench);
int wgbench_workers(const struct wgbench_options *options);
int wgbench_peers(const struct wgbench_options *options);
int wgbench_stages(const struct wgbench_options *options);

/* Hostile traffic. 0, or as above; -EPROTO if what must not be has been: stderr says what. */
int wgbench_flood(const struct wgbench_options *options);

/* Traffic while keys change. As wgbench_flood */
int wgbench_rekey(const struct wgbench_options *options);

#endif
