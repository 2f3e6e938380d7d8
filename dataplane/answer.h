/*
 * What a worker itself says: RSTs and ICMP errors. They are rate-limited, and ride with the burst
 * into the TUN, or out.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_ANSWER_H
#define SLUICE_DATAPLANE_ANSWER_H

#include "dataplane/worker.h"

/* As reject_build, reject_prohibited, reject_unreachable, reject_reset_inner, reject_too_big;
 * nothing if enough answers were given. */
void answer_reject(struct worker *worker, const struct packet *packet);
void answer_prohibited(struct worker *worker, const struct packet *packet);
void answer_unreachable(struct worker *worker, const struct packet *packet);
void answer_reset(struct worker *worker, const struct packet *packet, bool outbound);
void answer_too_big(struct worker *worker, const struct packet *packet, unsigned mtu);

/* As reject_time_exceeded, to the inner side. */
void answer_time_exceeded(struct worker *worker, const struct packet *packet);

/* The same to a sender outside, about a packet as it came in by that egress. */
void answer_time_exceeded_out(struct worker *worker, const struct links *links, unsigned egress,
			      const struct packet *packet);

/* Send all that is queued for the TUN; the answers' buffers are free then: emit_flush() first. */
void answer_flush(struct worker *worker);

#endif
