/*
 * The dataplane: one TUN, its egresses, a worker a queue, and what is published to them.
 *
 * Life-cycle: open a TUN -> create -> publish a table and links -> start (threads) ->
 * publish as often as wanted -> stop -> destroy.
 *
 * Threads: all functions here belong to one control thread.
 */
#ifndef SLUICE_DATAPLANE_DATAPLANE_H
#define SLUICE_DATAPLANE_DATAPLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/flow.h"
#include "dataplane/reason.h"
#include "dataplane/route.h"
#include "tun/tun.h"

struct wg_tunnel;

enum {
	EGRESSES_MAX = 32,
	FLOWS_DEFAULT = 65536, /* a worker */
	OWN_MAX = 8,
};

enum egress_type { EGRESS_INTERFACE, EGRESS_DROP, EGRESS_REJECT, EGRESS_WIREGUARD };

enum on_change {
	ON_CHANGE_RESET, /* a flow whose egress changes is reset (TCP) or forgotten */
	ON_CHANGE_KEEP,  /* it drains on its old egress */
};

/* What becomes of packets while the interface is down. */
enum {
	ON_DOWN_DROP = 0,
	ON_DOWN_REJECT = 1,
	ON_DOWN_EGRESS = 2, /* plus an egress: it takes them */
};

struct egress_options {
	enum egress_type type;
	const char *interface; /* of EGRESS_INTERFACE */
	bool nat;              /* translate sources; else the system gets the answers itself */
	uint16_t port_first;   /* translated ports, inclusive; cut into one slice a worker */
	uint16_t port_last;
	uint16_t on_down; /* ON_DOWN_*, of EGRESS_INTERFACE */

	/* Of EGRESS_WIREGUARD; dataplane/wireguard/tunnel.h. */
	struct wg_tunnel *tunnel; /* the caller's; outlives the dataplane, used by no other */
	bool gateway; /* no nat: what comes out of it takes verdicts as what comes from the TUN does
		       */
};

struct dataplane_options {
	struct tun *tun; /* open; each of its queues gets a worker */
	const struct egress_options *egresses;
	unsigned egress_count;
	enum on_change on_change;
	size_t flows; /* a worker; 0: FLOWS_DEFAULT */
	/* What one inner address may have, of all workers together; 0: half of all there is. */
	unsigned source_flows;
	unsigned source_ports;      /* of an egress */
	const uint16_t *busy_ports; /* ports that translation must never use */
	size_t busy_port_count;
	uint32_t mark; /* on every packet that leaves by an interface; 0: none */
	/*
	 * There is one egress, of type EGRESS_WIREGUARD, and all goes by it as it is: no verdicts,
	 * no flows, no hop. The TUN is then the tunnel's interface.
	 */
	bool straight;

	/*
	 * Time what the tunnel does with each datagram, too, in the turns that are timed: stage_ns
	 * is then of those turns alone that nothing came between, and timed_in and timed_out are
	 * their packets.
	 */
	bool stages_inside;
	/* Of the host itself on the TUN: for its own packets Sluice is no hop. At most OWN_MAX. */
	const struct addr *own;
	unsigned own_count;
	/* Called first in each worker's thread, to pin or name it; may be NULL. */
	void (*thread_begin)(void *context, unsigned worker);
	/* Called now and then in a worker's thread that is at work; may be NULL. */
	void (*thread_review)(void *context, unsigned worker);
	void *context;
};

struct dataplane;

/*
 * Open the egress interfaces and make the workers. options are copied; on success the TUN
 * belongs to the dataplane.
 *
 * failed: on error, set to the index of the egress that failed, or -1; may be NULL
 * Errors: -EINVAL, -ENOMEM, or as nic_open
 */
int dataplane_create(const struct dataplane_options *options, struct dataplane **out, int *failed);

/*
 * Open the interface of an egress anew: it was removed and made again, and the old sockets are
 * dead. The workers pause meanwhile; flows and translations stay.
 *
 * Errors: -EAGAIN, -ENOMEM, or as nic_open; the egress then is as it was
 */
int dataplane_reopen_egress(struct dataplane *dataplane, unsigned egress);

/*
 * Start the workers, and the devices of tunnels. A table and links must have been published, unless
 * all goes straight. Errors: -EAGAIN, -ENOMEM
 */
int dataplane_start(struct dataplane *dataplane);

/* Stop and join the workers; what they hold is dropped. May be called when not started. */
void dataplane_stop(struct dataplane *dataplane);

/* Stop, close and free all. NULL does nothing. A persistent TUN stays. */
void dataplane_destroy(struct dataplane *dataplane);

/*
 * One round of a worker by the caller's thread and clock, for tests and benchmarks on in-memory
 * devices. Not while started; the caller is no reader (see route.h).
 *
 * Returns: how much there was to do
 */
unsigned dataplane_turn(struct dataplane *dataplane, unsigned worker, uint64_t now_ms);

struct tun *dataplane_tun(struct dataplane *dataplane);
const struct routes *dataplane_routes(const struct dataplane *dataplane);

/* Publish, and wake workers that wait for it. As route_publish_table and route_publish_links. */
uint64_t dataplane_publish_table(struct dataplane *dataplane, struct table *table);
uint64_t dataplane_publish_links(struct dataplane *dataplane, struct links *links);

/* As route_patch_table and route_take_spare. */
int dataplane_patch_table(struct dataplane *dataplane, const struct table_patch *patch,
			  uint32_t generation, uint64_t *publish_ns);
struct table *dataplane_take_spare(struct dataplane *dataplane);

struct egress_counters {
	uint64_t packets_out; /* on the wire: a super-packet counts its segments */
	uint64_t bytes_out;   /* from the IP header on, headers of super-packets once */
	uint64_t packets_in;
	uint64_t bytes_in;
};

/* Where a worker's time goes. */
enum worker_stage {
	STAGE_RECEIVE, /* from the TUN */
	STAGE_PARSE,
	STAGE_DECIDE, /* route cache, table, new flows and their translations */
	STAGE_EMIT,   /* translated and sent, answers too */
	STAGE_RETURN, /* all of the way in that is not below */
	/* Of tunnels, out: */
	STAGE_SPLIT, /* into packets, and their checksums */
	STAGE_SEAL,
	STAGE_SEND,
	/* and in: */
	STAGE_TAKE, /* from the sockets */
	STAGE_OPEN,
	STAGE_MERGE, /* checked, and put together */
	STAGE_WRITE, /* into the TUN */
	STAGE_COUNT,
};

/* Of one worker. Written by it alone, read racily: each number is whole, the set is not. */
struct worker_counters {
	uint64_t packets_in; /* from the TUN, on the wire */
	uint64_t bytes_in;
	uint64_t packets_out; /* into the TUN */
	uint64_t bytes_out;
	uint64_t bursts; /* that brought at least one packet */
	uint64_t sleeps;
	uint64_t flow_hits;
	uint64_t flow_misses;           /* new to the route cache */
	uint64_t flow_renewed;          /* decided again after a reload, same egress */
	uint64_t flow_moved;            /* egress changed by a reload */
	uint64_t flows;                 /* now */
	uint64_t mappings;              /* now */
	uint64_t lost;                  /* by interfaces' receive buffers */
	uint64_t handed_over;           /* to other workers, on the wire */
	uint64_t taken_over;            /* from them */
	uint64_t helped;                /* others' datagrams that were opened or sealed for them */
	uint64_t stage_ns[STAGE_COUNT]; /* with packets in hand: an estimate from some turns */
	uint64_t timed_in;              /* packets by the first egress: see stages_inside */
	uint64_t timed_out;
	uint64_t drops[REASON_COUNT]; /* on the wire */
	struct egress_counters egress[EGRESSES_MAX];
};

/* A word for a stage: "receive", "parse"... */
const char *dataplane_stage_name(enum worker_stage stage);

unsigned dataplane_worker_count(const struct dataplane *dataplane);
void dataplane_read_counters(const struct dataplane *dataplane, unsigned worker,
			     struct worker_counters *out);

/* One flow, copied out. */
struct flow_info {
	struct flow flow;
	struct flow_counters counters;
	uint16_t outer_port; /* 0: not translated */
	uint16_t worker;
	uint64_t idle_ms;
	uint64_t age_ms;
};

/* Which flows are wanted. */
struct flow_filter {
	struct addr addr; /* from or to it; version 0: any */
	int egress;       /* by it; -1: any */
};

/*
 * Copy flows out, as each worker finds the time between bursts.
 *
 * max:     of out
 * total:   set to how many there were that matched
 * Returns: how many were copied
 */
size_t dataplane_flows(struct dataplane *dataplane, const struct flow_filter *filter,
		       struct flow_info *out, size_t max, size_t *total);

/* Where a flow goes, and by what. */
struct flow_aim {
	uint8_t dst[16]; /* as in struct flow_key */
	uint8_t version;
	bool draining;
	uint16_t egress;
};

/*
 * Copy the aims of one worker's flows out, as it finds the time between bursts.
 *
 * max:     of out; flows past it are left out
 * Returns: how many were copied; 0 if the worker does not run
 */
size_t dataplane_flow_aims(struct dataplane *dataplane, unsigned worker, struct flow_aim *out,
			   size_t max);

/*
 * Workers ask here for neighbours: dataplane_resolve_fd polls readable, dataplane_resolve_next
 * takes one wish.
 *
 * Returns: false when there is none left
 */
int dataplane_resolve_fd(const struct dataplane *dataplane);
bool dataplane_resolve_next(struct dataplane *dataplane, unsigned *egress, struct addr *via);

#endif
