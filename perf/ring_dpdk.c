/* DPDK's rte_ring: inline, so that no library is linked for it. */
#include "perf/ring_loops.h"

#include <rte_config.h>
#include <rte_ring_elem.h>
#include <string.h>

static size_t rte_size(void)
{
	return sizeof(struct rte_ring) + RING_SLOTS * sizeof(void *);
}

/* As rte_ring_init does. */
static void rte_init(void *memory, bool producers, bool consumers)
{
	struct rte_ring *ring = memory;

	memset(ring, 0, sizeof(*ring));
	ring->size = RING_SLOTS;
	ring->mask = RING_SLOTS - 1;
	ring->capacity = ring->mask;
	ring->prod.sync_type = producers ? RTE_RING_SYNC_MT : RTE_RING_SYNC_ST;
	ring->cons.sync_type = consumers ? RTE_RING_SYNC_MT : RTE_RING_SYNC_ST;
}

RING_LOOP unsigned rte_sp(void *ring, void *const *objects, unsigned n)
{
	return rte_ring_sp_enqueue_bulk_elem(ring, objects, sizeof(void *), n, NULL);
}

RING_LOOP unsigned rte_mp(void *ring, void *const *objects, unsigned n)
{
	return rte_ring_mp_enqueue_bulk_elem(ring, objects, sizeof(void *), n, NULL);
}

RING_LOOP unsigned rte_sc(void *ring, void **objects, unsigned n)
{
	return rte_ring_sc_dequeue_bulk_elem(ring, objects, sizeof(void *), n, NULL);
}

RING_LOOP unsigned rte_mc(void *ring, void **objects, unsigned n)
{
	return rte_ring_mc_dequeue_bulk_elem(ring, objects, sizeof(void *), n, NULL);
}

RING_LOOPS(rte_spsc, rte_sp, rte_sc)
RING_LOOPS(rte_mpsc, rte_mp, rte_sc)
RING_LOOPS(rte_mpmc, rte_mp, rte_mc)

const struct ring_subject ring_dpdk[RING_THREADS] = {
	{"rte_ring", RING_N_MAX, rte_size, rte_init, RING_LOOPS_NAMED(rte_spsc)},
	{"rte_ring", RING_N_MAX, rte_size, rte_init, RING_LOOPS_NAMED(rte_mpsc)},
	{"rte_ring", RING_N_MAX, rte_size, rte_init, RING_LOOPS_NAMED(rte_mpmc)},
};
