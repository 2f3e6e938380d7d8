/*
 * Where `sluice-perf load` works: a client, a gateway with the daemon, and a sink on each side.
 *
 *                                 wan0 +--------------+
 *     +--------+ eth0   lan0 +---------+  left  eth0  |  100.64.0.1
 *     | client +-------------+ gateway +--------------+
 *     +--------+ 10.0.0.0/24 |         | wan1 +--------------+
 *                            +---------+------+ right  eth0  |  100.64.1.1
 *                                             +--------------+
 *
 * The gateway has no default route: what the daemon does not send goes nowhere.
 */
#ifndef SLUICE_PERF_LOAD_NET_H
#define SLUICE_PERF_LOAD_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dataplane/reason.h"
#include "perf/load_check.h"
#include "perf/load_lists.h"

enum {
	LOAD_PORT = 7072,              /* that datagrams go to */
	LOAD_CLIENT_ADDR = 0x0a000002, /* whence; host byte order */
};

struct load_net {
	int client;
	int gateway;
	int sink[LOAD_SIDES];
	pid_t daemon;
	uint8_t client_mac[6];
	uint8_t gateway_mac[6]; /* as the client sees it */
	int client_ifindex;
	int sink_ifindex[LOAD_SIDES];
	const char *dir;               /* with the lists; conf, socket and cache are put there */
	bool cache;                    /* the daemon keeps parsed lists */
	char socket[LOAD_DIR_MAX + 8]; /* control socket of the daemon */
};

/* The gateway's address on a side, host byte order: what translated datagrams come from. */
uint32_t load_net_addr(unsigned side);

/* Namespaces and links. Errors: -errno; dir must outlive *net. */
int load_net_init(struct load_net *net, const char *dir);

/*
 * Start the daemon, which reads the lists, and wait until it answers.
 *
 * Errors: -errno; -ECHILD: it has ended
 */
int load_net_start(struct load_net *net, unsigned queues);
void load_net_stop(struct load_net *net);

/* Take the gateway's link on a side down, or up again. 0, or as netns_sh. */
int load_net_set_link(const struct load_net *net, unsigned side, bool up);

/* Where packets may be lost other than in the daemon, as counters that only grow. */
struct load_losses_by_place {
	uint64_t arrived;             /* packets that came to the gateway */
	uint64_t tun_full;            /* the daemon did not read its TUN in time */
	uint64_t link_full;           /* an egress link did not take them */
	uint64_t drops[REASON_COUNT]; /* the daemon dropped them for a reason */
};

/* Read what the kernel and the daemon count. Errors: -errno */
int load_net_read_losses(const struct load_net *net, struct load_losses_by_place *out);

#endif
