/*
 * One busy peer, several cores: messages that a worker received are opened, and those that it is
 * going to send sealed, by others that have nothing to do.
 *
 * Overview: a burst that fills the worker is *offered*: its messages go as jobs into the tunnel's
 * ring, and the worker turns to the burst before. Whoever finds nothing of its own to do takes jobs
 * out, and opens or seals the datagrams where they lie. The worker comes back for them in the order
 * in which they came, does what nobody has taken, and waits for what somebody has; meanwhile it
 * takes other jobs. So nothing is reordered, nothing waits for a worker that does not come, and
 * replay window, sources and counters stay the worker's own. Two bursts of each direction are under
 * way at most.
 *
 * What is to be sealed has its header, and with it its counter, before it is offered. A job holds
 * no keypair: who does it finds it by index and id, in its own turn. If it is gone, nothing is
 * sealed, and what is not sealed is not sent. Done twice, the second would undo the first: that a
 * job is done by one alone is what its state is for.
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
struct wg_keypair;
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

/* A message to be opened or sealed. */
struct wg_job {
	_Alignas(64) uint32_t state; /* enum wg_job_state */
	unsigned home;               /* the worker whose it is */
	const struct udp_message *message;
	uint64_t keypair; /* id: that by which to seal, or by which all were tried */
	uint32_t index;   /* of that by which to seal: the local one */
	bool seals;       /* or opens */
	bool sealed;      /* what came of it */
	/* Of what was opened, a bit a datagram: */
	uint64_t tried;
	uint64_t authentic;
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

/*
 * Whether port->outgoing fills the worker, and there is who may help: its messages are then to be
 * offered, each when it is complete, and taken back later.
 */
bool wg_spread_offers_seal(struct worker *worker, struct wg_port *port);

/* Offer a message to be sealed. job: message, keypair and index are set */
void wg_spread_offer_seal(struct worker *worker, struct wg_port *port, struct wg_job *job);

/* What was offered is going to be taken back. spread: of its direction, and so below */
void wg_spread_begin(struct wg_spread *spread);

/*
 * Take a message back.
 *
 * Returns: whether another has done it; if not, it is the caller's to do
 */
bool wg_spread_settle(struct worker *worker, struct wg_port *port, struct wg_spread *spread,
		      struct wg_job *job);

/* What a message is to be sealed by, for this turn; NULL: its session is over. */
struct wg_keypair *wg_job_keypair(const struct worker *worker, const struct wg_port *port,
				  const struct wg_job *job);

/* Seal a message: once. */
void wg_job_seal(const struct wg_port *port, const struct wg_job *job,
		 const struct wg_keypair *keypair);

/* Do a job that somebody has offered. Returns: how many, 0 or 1 */
unsigned wg_spread_help(struct worker *worker, struct wg_port *port);

#endif
