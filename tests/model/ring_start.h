/* For tests of dataplane/ring.h. */
#ifndef SLUICE_TESTS_MODEL_RING_START_H
#define SLUICE_TESTS_MODEL_RING_START_H

#include "dataplane/ring.h"

static inline void ring_side_start_at(struct ring_side *side, enum ring_sync sync, uint32_t at)
{
	side->lead = ring_word(sync == RING_MULTI ? at : 0, at);
	side->tail = ring_word(sync == RING_MULTI_HTS ? at : 0, at);
	side->limit = at;
}

/* Make an empty ring as if many objects had passed: positions go on from `at`. */
static inline void ring_start_at(struct ring *ring, uint32_t at)
{
	ring_side_start_at(&ring->in, ring->in_sync, at);
	ring_side_start_at(&ring->out, ring->out_sync, at);
}

static inline const char *ring_sync_name(enum ring_sync sync)
{
	static const char *const names[] = {"single", "multi", "rts", "hts"};

	return names[sync];
}

#endif
