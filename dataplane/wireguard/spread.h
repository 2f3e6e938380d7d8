/*
 * One busy peer, several cores: messages that a worker received are opened by others that have
 * nothing to do.
 *
 * Overview: a burst that fills the worker is *offered*: its messages go as jobs into the tunnel's
 * ring, and the worker turns to the burst before. Whoever finds nothing of its own to do takes jobs
 * out, and opens the datagrams where they lie. The worker comes back for them in the order in which
 * they came, opens what nobody has taken, and waits for what somebody has; meanwhile it takes other
 * jobs. So nothing is reordered, nothing waits for a worker that does not come, and replay window
 * and sources stay the worker's own. Two bursts are under way at most.
 *
 * A job changes hands by its state alone: the ring may still hold one that its worker has taken
 * back.
 *
 *   worker: OWN -> OFFERED [wg-job-1]; OFFERED -> OWN; DONE -> OWN [wg-job-4]
 *   others: OFFERED -> TAKEN [wg-job-2], TAKEN -> DONE [wg-job-3]
 *
 * Nothing is offered while bursts are small, or all others are awake and do not help. When help
 * does not come in time, it is not asked for for a while.
 *
 * Threads: each function its own worker's; "others" are workers of the same dataplane.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_SPREAD_H
#define SLUICE_DATAPLANE_WIREGUARD_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/ring.h"
#include "tun/udp.h"

struct worker;
struct wg_arrival;
struct wg_port;

enum {
	WG_JOB_DATAGRAMS = 64, /* bits of its words; the worker sees to those beyond */
};

enum wg_job_state {
	WG_JOB_OWN,
	WG_JOB_OFFERED,
	WG_JOB_TAKEN,
	WG_JOB_DONE,
};

/* A message to be opened. */
struct wg_job {
	_Alignas(64) uint32_t state; /* enum wg_job_state */
	unsigned home;               /* the worker whose it is */
	const struct udp_message *message;
	/* What came of it, a bit a datagram: */
	uint64_t tried;
	uint64_t authentic; /* opened */
	uint64_t keypair;   /* the id of that by which all of them were tried */
};

/* Of one that is done: what another did with datagram i. */
static inline bool wg_job_tried(const struct wg_job *job, unsigned i)
{
	return i < WG_JOB_DATAGRAMS && job->tried >> i & 1;
}

static inline bool wg_job_opened(const struct wg_job *job, unsigned i)
{
	return job->authentic >> i & 1;
}

/* How offers have fared. */
struct wg_spread {
	unsigned full;   /* bursts in a row that filled the worker */
	unsigned helped; /* jobs of the last burst that others did */
	unsigned alone;  /* those that nobody took */
	unsigned failed; /* offers in a row that nobody took anything of */
	unsigned rest;   /* bursts until help is asked for again */
	unsigned rested; /* how many they were the last time */
};

/* The ring of jobs of a tunnel with so many workers. NULL: -ENOMEM */
struct ring *wg_spread_ring(unsigned workers);

/*
 * Offer what has just been received, if that fills the worker and there is who may help.
 *
 * Returns: whether it is offered: it is to be taken back later, message by message
 */
bool wg_spread_offer(struct worker *worker, struct wg_port *port, struct wg_arrival *arrival);

/* What was offered is going to be taken back. */
void wg_spread_begin(struct wg_port *port);

/*
 * Take a message back.
 *
 * Returns: whether another has opened it; if not, it is the caller's to open
 */
bool wg_spread_settle(struct worker *worker, struct wg_port *port, struct wg_job *job);

/* Do a job that somebody has offered. Returns: how many, 0 or 1 */
unsigned wg_spread_help(struct worker *worker, struct wg_port *port);

#endif
