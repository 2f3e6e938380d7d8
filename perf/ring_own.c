/* Our own ring, in a file as those of its peers are. */
#include "perf/ring_loops.h"

#include <stdlib.h>

#include "dataplane/ring.h"

static size_t own_size(void)
{
	return ring_size_bytes(RING_SLOTS);
}

static void own_init(void *memory, bool producers, bool consumers)
{
	if (ring_init(memory, RING_SLOTS, producers ? RING_MULTI : RING_SINGLE,
		      consumers ? RING_MULTI : RING_SINGLE) < 0)
		abort();
}

RING_LOOP unsigned own_sp(void *ring, void *const *objects, unsigned n)
{
	return ring_enqueue_bulk_as(ring, RING_SINGLE, objects, n);
}

RING_LOOP unsigned own_mp(void *ring, void *const *objects, unsigned n)
{
	return ring_enqueue_bulk_as(ring, RING_MULTI, objects, n);
}

RING_LOOP unsigned own_sc(void *ring, void **objects, unsigned n)
{
	return ring_dequeue_bulk_as(ring, RING_SINGLE, objects, n);
}

RING_LOOP unsigned own_mc(void *ring, void **objects, unsigned n)
{
	return ring_dequeue_bulk_as(ring, RING_MULTI, objects, n);
}

RING_LOOPS(own_spsc, own_sp, own_sc)
RING_LOOPS(own_mpsc, own_mp, own_sc)
RING_LOOPS(own_mpmc, own_mp, own_mc)

const struct ring_subject ring_own[RING_THREADS] = {
	{"ring", RING_N_MAX, own_size, own_init, RING_LOOPS_NAMED(own_spsc)},
	{"ring", RING_N_MAX, own_size, own_init, RING_LOOPS_NAMED(own_mpsc)},
	{"ring", RING_N_MAX, own_size, own_init, RING_LOOPS_NAMED(own_mpmc)},
};
