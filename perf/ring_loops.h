/*
 * The loops that sluice-perf ring times: the same for all rings, with their calls inlined.
 *
 * The objects are the numbers 0 to RING_OBJECTS - 1 over and over, as pointers.
 */
#ifndef SLUICE_PERF_RING_LOOPS_H
#define SLUICE_PERF_RING_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <urcu/arch.h>

enum {
	RING_SLOTS = 1024,
	RING_OBJECTS = 1024, /* a multiple of every n */
	RING_N_MAX = 128,
	RING_MEMORY_ALIGN = 128,
};

enum ring_threads { RING_SPSC, RING_MPSC, RING_MPMC, RING_THREADS };

/* All or none. */
typedef unsigned ring_enqueue_fn(void *ring, void *const *objects, unsigned n);
typedef unsigned ring_dequeue_fn(void *ring, void **objects, unsigned n);

struct ring_loops {
	/* Put n in and take n out to `out`, again and again; returns the sum of what came. */
	uint64_t (*pairs)(void *ring, void *const *objects, void **out, unsigned n,
			  uint64_t rounds);
	void (*produce)(void *ring, void *const *objects, unsigned n, uint64_t rounds);
	/* Returns whether all came, in order. */
	bool (*consume)(void *ring, void **out, unsigned n, uint64_t rounds);
};

/* A ring of one maker for one kind of threads; without a name it was not there to be built. */
struct ring_subject {
	const char *name;
	unsigned n_max;
	size_t (*size_bytes)(void);
	void (*init)(void *memory, bool producers, bool consumers); /* many of them */

	struct ring_loops loops[2]; /* of one object, of n */
};

extern const struct ring_subject ring_own[RING_THREADS];
extern const struct ring_subject ring_dpdk[RING_THREADS];
extern const struct ring_subject ring_ck[RING_THREADS];

/* rte_ring writes pointers as if they were integers, by which compilers infer that it does not. */
#define RING_WRITTEN(out) __asm__ volatile("" : : "r"(out) : "memory")

#define RING_LOOP static inline __attribute__((always_inline))

RING_LOOP uint64_t ring_loop_pairs(ring_enqueue_fn *enqueue, ring_dequeue_fn *dequeue, void *ring,
				   void *const *objects, void **out, unsigned n, uint64_t rounds)
{
	uint64_t sum = 0;

	for (uint64_t at = 0; rounds-- > 0; at += n) {
		while (enqueue(ring, objects + at % RING_OBJECTS, n) == 0)
			caa_cpu_relax();
		while (dequeue(ring, out, n) == 0)
			caa_cpu_relax();
		RING_WRITTEN(out);
		for (unsigned i = 0; i < n; i++)
			sum += (uintptr_t)out[i];
	}
	return sum;
}

RING_LOOP void ring_loop_produce(ring_enqueue_fn *enqueue, void *ring, void *const *objects,
				 unsigned n, uint64_t rounds)
{
	for (uint64_t at = 0; rounds-- > 0; at += n) {
		while (enqueue(ring, objects + at % RING_OBJECTS, n) == 0)
			caa_cpu_relax();
	}
}

RING_LOOP bool ring_loop_consume(ring_dequeue_fn *dequeue, void *ring, void **out, unsigned n,
				 uint64_t rounds)
{
	uintptr_t wrong = 0;

	for (uint64_t at = 0; rounds-- > 0; at += n) {
		while (dequeue(ring, out, n) == 0)
			caa_cpu_relax();
		RING_WRITTEN(out);
		wrong |= (uintptr_t)out[0] ^ at % RING_OBJECTS;
		wrong |= (uintptr_t)out[n - 1] ^ (at + n - 1) % RING_OBJECTS;
	}
	return wrong == 0;
}

/* The loops of a subject for n, each a function of its own so that none is in another's way. */
#define RING_LOOPS_OF(id, enqueue, dequeue, count)                                                 \
	static RING_APART uint64_t id##_pairs(void *ring, void *const *objects, void **out,        \
					      unsigned n, uint64_t rounds)                         \
	{                                                                                          \
		(void)n;                                                                           \
		return ring_loop_pairs(enqueue, dequeue, ring, objects, out, count, rounds);       \
	}                                                                                          \
	static RING_APART void id##_produce(void *ring, void *const *objects, unsigned n,          \
					    uint64_t rounds)                                       \
	{                                                                                          \
		(void)n;                                                                           \
		ring_loop_produce(enqueue, ring, objects, count, rounds);                          \
	}                                                                                          \
	static RING_APART bool id##_consume(void *ring, void **out, unsigned n, uint64_t rounds)   \
	{                                                                                          \
		(void)n;                                                                           \
		return ring_loop_consume(dequeue, ring, out, count, rounds);                       \
	}

#define RING_APART __attribute__((noinline))

/* Both kinds, named after id. One object is a constant, as it is for callers. */
#define RING_LOOPS(id, enqueue, dequeue)                                                           \
	RING_LOOPS_OF(id##_one, enqueue, dequeue, 1)                                               \
	RING_LOOPS_OF(id##_many, enqueue, dequeue, n)

#define RING_LOOPS_NAMED(id)                                                                       \
	{                                                                                          \
		{id##_one_pairs, id##_one_produce, id##_one_consume},                              \
		{                                                                                  \
			id##_many_pairs, id##_many_produce, id##_many_consume                      \
		}                                                                                  \
	}

#endif
