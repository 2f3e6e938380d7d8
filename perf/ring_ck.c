/* Concurrency Kit's ck_ring, inline too: one object a call. */
#include "perf/ring_loops.h"

#include <ck_ring.h>

static size_t ck_size(void)
{
	return sizeof(struct ck_ring) + RING_SLOTS * sizeof(struct ck_ring_buffer);
}

static void ck_init(void *memory, bool producers, bool consumers)
{
	(void)producers, (void)consumers;
	ck_ring_init(memory, RING_SLOTS);
}

static inline ck_ring_buffer_t *ck_slots(struct ck_ring *ring)
{
	return (ck_ring_buffer_t *)(ring + 1);
}

RING_LOOP unsigned ck_sp(void *ring, void *const *objects, unsigned n)
{
	(void)n;
	return ck_ring_enqueue_spsc(ring, ck_slots(ring), *objects);
}

RING_LOOP unsigned ck_mp(void *ring, void *const *objects, unsigned n)
{
	(void)n;
	return ck_ring_enqueue_mpmc(ring, ck_slots(ring), *objects);
}

RING_LOOP unsigned ck_sc(void *ring, void **objects, unsigned n)
{
	(void)n;
	return ck_ring_dequeue_spsc(ring, ck_slots(ring), objects);
}

RING_LOOP unsigned ck_mc(void *ring, void **objects, unsigned n)
{
	(void)n;
	return ck_ring_dequeue_mpmc(ring, ck_slots(ring), objects);
}

RING_LOOPS(ck_spsc, ck_sp, ck_sc)
RING_LOOPS(ck_mpsc, ck_mp, ck_sc)
RING_LOOPS(ck_mpmc, ck_mp, ck_mc)

const struct ring_subject ring_ck[RING_THREADS] = {
	{"ck_ring", 1, ck_size, ck_init, RING_LOOPS_NAMED(ck_spsc)},
	{"ck_ring", 1, ck_size, ck_init, RING_LOOPS_NAMED(ck_mpsc)},
	{"ck_ring", 1, ck_size, ck_init, RING_LOOPS_NAMED(ck_mpmc)},
};
