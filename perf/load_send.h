/* The sender of `sluice-perf load`: open loop, raw frames from the client to the gateway. */
#ifndef SLUICE_PERF_LOAD_SEND_H
#define SLUICE_PERF_LOAD_SEND_H

#include "perf/load_check.h"
#include "perf/load_net.h"

enum {
	LOAD_SIZE_MIN = 64,
	LOAD_SIZE_MAX = 1472,
	LOAD_FLOWS_MAX = 49152,
	LOAD_FAULT_EVERY = 10000,
	LOAD_SENDERS_MAX = 16,
};

/* What the sender does to one packet in LOAD_FAULT_EVERY, so that a counter must notice. */
enum load_fault {
	LOAD_FAULT_NONE,
	LOAD_FAULT_LOSE,      /* is not sent */
	LOAD_FAULT_DUPLICATE, /* is sent twice */
	LOAD_FAULT_REORDER,   /* is sent after the next one of its flow */
	LOAD_FAULT_MISROUTE,  /* goes to a destination of the other side */
	LOAD_FAULT_SCATTER,   /* all packets, and not by the sender: load_scatter */
};

struct load_send {
	int fd;
	unsigned size; /* payload, bytes */
	enum load_fault fault;
	bool polls; /* between packets; else it sleeps, is less exact and leaves its core to others
		     */
	/* Of each sender: goes before all ordinary threads on a core of its own, as what a wire
	 * brings does; else it is one of them, wherever. */
	bool urgent;
	unsigned senders;
	const uint32_t *addrs; /* by flow, host byte order */
	const struct load_timeline *timeline;
	struct load_frame *frames; /* by flow */
};

/*
 * addrs:  of plan->flows destinations, which must outlive *send, as all else
 * Errors: -errno
 */
int load_send_init(struct load_send *send, const struct load_net *net, unsigned flows,
		   const uint32_t *addrs, unsigned size, const struct load_timeline *timeline);
void load_send_fini(struct load_send *send);

/*
 * Send one sender's part of a run: the flows whose number, modulo the senders', is its own.
 *
 * sender: below send->senders; each has a thread of its own
 * sent:    bits of the plan's count, zero: what was given to the system is set
 * offered: how many came due before it gave up, because it was 100 ms late at the end
 * Errors:  -errno of the system
 */
int load_send_run(const struct load_send *send, const struct load_plan *plan, unsigned sender,
		  struct load_bits *sent, uint64_t *offered);

#endif
