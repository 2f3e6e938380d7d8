/*
 * What a worker itself says to the inner side: RSTs and ICMP errors. They are rate-limited, and
 * ride with the burst into the TUN.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_ANSWER_H
#define SLUICE_DATAPLANE_ANSWER_H

#include "dataplane/worker.h"

/* As reject_build, reject_reset_inner, reject_too_big; nothing if enough answers were given. */
void answer_reject(struct worker *worker, const struct packet *packet);
void answer_reset(struct worker *worker, const struct packet *packet, bool outbound);
void answer_too_big(struct worker *worker, const struct packet *packet, unsigned mtu);

/* Send all that is queued for the TUN. */
void answer_flush(struct worker *worker);

#endif
