/*
 * Next hops in use, and whether anything is heard of those who are sent to.
 *
 * Packets go past the kernel's neighbour code, which would ask again for a neighbour that is in
 * use and silent (RFC 4861, section 7.3). So each worker watches its own next hops: an answer to
 * any flow by a hop is progress; a hop that is sent to and from which nothing comes is doubted.
 *
 * Threads: owned by one worker.
 */
#ifndef SLUICE_DATAPLANE_PROGRESS_H
#define SLUICE_DATAPLANE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "lpm/prefix.h"

enum {
	PROGRESS_MAX = 64,         /* power of two; slot 0 stays empty */
	PROGRESS_SILENT_MS = 150,  /* below the shortest time after which TCP sends again */
	PROGRESS_REPEAT_MS = 250,  /* between doubts */
	PROGRESS_FORGET_MS = 5000, /* another hop may have the place of one that is not used */
	PROGRESS_NONE = 0,
};

struct hop {
	struct addr via; /* version 0: empty */
	uint32_t egress;
	bool waiting;      /* something was sent since something was heard... */
	uint64_t since_ms; /* ...first then */
	uint64_t used_ms;
	uint64_t doubted_ms;
};

/* All zero is empty. */
struct progress {
	struct hop items[PROGRESS_MAX];
};

/*
 * Note that a packet is sent to a next hop.
 *
 * hop:     set to what progress_heard wants to know; PROGRESS_NONE where there is no room to watch
 * it Returns: whether the hop is doubted, so that it must be asked whether it is still there
 */
bool progress_sent(struct progress *progress, uint32_t egress, const struct addr *via,
		   uint64_t now_ms, uint8_t *hop);

/*
 * Note an answer to what was sent to a hop. One whose place another hop took meanwhile is taken
 * for that: at worst it is doubted a little later.
 */
static inline void progress_heard(struct progress *progress, uint8_t hop)
{
	progress->items[hop].waiting = false;
}

#endif
