/*
 * Whose a packet from the TUN is. The device sees to that where it has a steering program; left are
 * fragments, which have no ports, and errors about what the program could not read.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_OWNER_H
#define SLUICE_DATAPLANE_OWNER_H

#include "dataplane/worker.h"

static inline bool owner_is_doubtful(const struct worker *w, const struct packet *p)
{
	return p->kind == PACKET_FRAGMENT || p->first_fragment ||
	       (w->peer_count > 1 && (!w->steered || p->kind == PACKET_ICMP_ERROR));
}

/*
 * Send a doubtful packet to its worker.
 *
 * Returns: REASON_NONE if it is this one's, REASON_HANDED_OVER also if it is held until that is
 *          known, or why it was dropped
 */
enum reason owner_sort(struct worker *worker, const struct links *links,
		       const struct packet *packet);

#endif
