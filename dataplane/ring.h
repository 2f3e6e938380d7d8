/*
 * Bounded rings of pointers: first in, first out, between threads, without a lock.
 *
 * Overview: a power of two of slots and two sides, producers and consumers, as in DPDK's rte_ring.
 * Positions are 32 bits, count without end and wrap; the slot is the position modulo the size, and
 * all slots can be full. A side claims positions, copies, and hands the slots over by moving its
 * tail, which is all that the other side looks at. How a side claims is chosen at creation, each
 * side for itself:
 *
 *   RING_SINGLE     one thread, no read-modify-write
 *   RING_MULTI      any number; compare-and-swap of the head, tails move in the order of the heads,
 *                   so who is preempted between the two stops the others of its side
 *   RING_MULTI_RTS  relaxed tail sync: nobody waits for his turn, who finishes last moves the tail
 *                   for all; for more threads than cores
 *   RING_MULTI_HTS  head/tail sync: one thread at a time is between its two moves, so what it
 *                   claimed can be worked on in place
 *
 * SINGLE and MULTI keep the limit, up to which the other side's tail as last seen lets them go, and
 * look at the tail itself only when that is not enough: most calls touch no line that the other
 * side writes.
 *
 * The words of a side, each written whole, by upper and lower half:
 *
 *            lead                          tail
 *   MULTI    head, limit                   -, tail
 *   RTS      claims begun, head            claims ended, tail
 *   HTS      -                             head, tail
 *   SINGLE   -                             -, tail; limit has a word of its own
 *
 * Threads: any, as many as the sync of the side allows. Nothing here blocks, allocates or fails;
 * MULTI, RTS and HTS may wait for a thread that is between its two moves.
 *
 * What orders what, by tags; A and B are claims of one side, in this order:
 *
 *   A uses its slots, then moves the tail   [ring-tail-1] -> the other side sees the tail, then
 *                                           [ring-tail-2]    uses the slots
 *   A sees the other tail, then the head    [ring-lead-1] -> B sees that head, then the other tail
 *   moves                                   [ring-lead-2]    no older than A did
 *   A moves the tail                        [ring-turn-1] -> B sees that, then moves it on: who
 *                                           [ring-turn-2]    sees B's tail also sees A's slots
 *
 * The compiler's atomics and not liburcu's: its 0.13 has full barriers only (cmm_smp_mb, and
 * uatomic_cmpxchg in assembler), which cost a dmb on aarch64 where an stlr would do, and
 * ThreadSanitizer knows nothing of them.
 */
#ifndef SLUICE_DATAPLANE_RING_H
#define SLUICE_DATAPLANE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <urcu/arch.h>
#include <urcu/compiler.h>

#include "dataplane/check.h"

/*
 * Every access that another thread could see. The model checker (tests/model/interleave.h) and the
 * race test bring their own, to choose what happens when and to leave out orders.
 */
#ifndef RING_LOAD
#define RING_LOAD(word, order) __atomic_load_n(word, order)
#define RING_STORE(word, value, order) __atomic_store_n(word, value, order)
/* Acquires when it fails; what it succeeds on has been acquired by the load that saw it. */
#define RING_CAS(word, expected, value, order)                                                     \
	__atomic_compare_exchange_n(word, expected, value, false, order, __ATOMIC_ACQUIRE)
#define RING_COPY(to, from, n) ring_copy(to, from, n)
#define RING_COPY_PART(to, from, n) memcpy(to, from, (n) * sizeof(void *))
#define RING_RELAX(turn) ring_relax(turn)
#endif

enum {
	RING_LINE = 128, /* a cache line and its neighbour, which x86 fetches with it */
	RING_SIZE_MIN = 2,
	RING_SIZE_MAX = 1 << 30, /* differences of positions stay below half their range */
	RING_TURNS = 1024,       /* of waiting between offers of the CPU to another thread */
	RING_PIECE = 16,         /* objects that are copied at once */
};

enum ring_sync {
	RING_SINGLE,
	RING_MULTI,
	RING_MULTI_RTS,
	RING_MULTI_HTS,
};

struct ring_side {
	_Alignas(RING_LINE) uint64_t lead; /* for this side only, as are the two below */
	uint32_t limit;
	uint32_t end;
	uint64_t tail; /* read by both */
};

struct ring {
	uint32_t size;
	uint32_t mask;    /* size - 1 */
	uint32_t lag_max; /* of an RTS tail behind its head, before new claims wait */
	enum ring_sync in_sync;
	enum ring_sync out_sync;
	struct ring_side in;  /* producers */
	struct ring_side out; /* consumers */
	_Alignas(RING_LINE) void *slots[];
};

/* Slots for objects that lie in place in the ring: two runs, the second empty unless it wraps. */
struct ring_span {
	void **first;
	void **second;
	unsigned first_count;
	unsigned second_count;
};

/*
 * The memory that a ring of a size needs, from its start, which is aligned to RING_LINE.
 *
 * Returns: bytes, a multiple of RING_LINE; 0 unless size is a power of two from RING_SIZE_MIN to
 *          RING_SIZE_MAX
 */
size_t ring_size_bytes(uint32_t size);

/*
 * Make an empty ring in the caller's memory, of ring_size_bytes(size) bytes. Needs no undoing.
 *
 * Thread: one; the ring is handed to others by what orders memory
 * Errors: -EINVAL for a size that ring_size_bytes refuses, or memory that is not aligned
 */
int ring_init(struct ring *ring, uint32_t size, enum ring_sync in, enum ring_sync out);

/* How many objects are in the ring; a guess while others work on it. */
static inline uint32_t ring_count_racy(const struct ring *ring);

/*
 * Put objects in, in their order. A burst takes as many as there is room for, bulk all or none.
 * The _as variants want the ring's own in_sync as a constant, and leave out what it does not need.
 *
 * n:        any; bulk of more than the size never fits
 * Returns:  how many were put in; they belong to who takes them out
 * Thread:   one at a time with RING_SINGLE, else any
 * Orders:   all before the call before all after the call that takes them out
 */
static inline unsigned ring_enqueue_burst(struct ring *ring, void *const *objects, unsigned n);
static inline unsigned ring_enqueue_bulk(struct ring *ring, void *const *objects, unsigned n);
static inline unsigned ring_enqueue_burst_as(struct ring *ring, enum ring_sync sync,
					     void *const *objects, unsigned n);
static inline unsigned ring_enqueue_bulk_as(struct ring *ring, enum ring_sync sync,
					    void *const *objects, unsigned n);

/* Take objects out, the oldest first: the counterparts, with out_sync. */
static inline unsigned ring_dequeue_burst(struct ring *ring, void **objects, unsigned n);
static inline unsigned ring_dequeue_bulk(struct ring *ring, void **objects, unsigned n);
static inline unsigned ring_dequeue_burst_as(struct ring *ring, enum ring_sync sync, void **objects,
					     unsigned n);
static inline unsigned ring_dequeue_bulk_as(struct ring *ring, enum ring_sync sync, void **objects,
					    unsigned n);

/*
 * Work in place, in two steps: start claims slots, which the caller fills or reads, and finish
 * hands the first n of them over. Those beyond n stay free, or in the ring. RING_SINGLE and
 * RING_MULTI_HTS only; with HTS the others of the side wait in between, so be short.
 *
 * Returns: how many slots the span has. If 0, nothing was claimed and finish must not be called.
 * finish:  n at most what start returned, 0 gives all back
 */
static inline unsigned ring_enqueue_burst_start(struct ring *ring, unsigned n,
						struct ring_span *span);
static inline unsigned ring_enqueue_bulk_start(struct ring *ring, unsigned n,
					       struct ring_span *span);
static inline void ring_enqueue_finish(struct ring *ring, unsigned n);
static inline unsigned ring_dequeue_burst_start(struct ring *ring, unsigned n,
						struct ring_span *span);
static inline unsigned ring_dequeue_bulk_start(struct ring *ring, unsigned n,
					       struct ring_span *span);
static inline void ring_dequeue_finish(struct ring *ring, unsigned n);

/* ---- From here on how, inline so that sync, bulk and often n are constants ---- */

#define RING_INLINE static inline __attribute__((always_inline))

RING_INLINE uint32_t ring_low(uint64_t word)
{
	return (uint32_t)word;
}

RING_INLINE uint32_t ring_high(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

RING_INLINE uint64_t ring_word(uint32_t high, uint32_t low)
{
	return (uint64_t)high << 32 | low;
}

/*
 * In pieces of constant size, first to last. A loop over n would be made vectors or a call by
 * compilers, at a price for the few objects of most calls; and memcpy of a library begins at both
 * ends, which lines that come from another core pay for.
 */
RING_INLINE void ring_copy(void **to, void *const *from, unsigned n)
{
	for (; n >= 2 * RING_PIECE; n -= RING_PIECE) {
		memcpy(to, from, RING_PIECE * sizeof(*to));
		to += RING_PIECE;
		from += RING_PIECE;
	}
	if (n & RING_PIECE) {
		memcpy(to, from, RING_PIECE * sizeof(*to));
		to += RING_PIECE;
		from += RING_PIECE;
	}
	if (n & 8) {
		memcpy(to, from, 8 * sizeof(*to));
		to += 8;
		from += 8;
	}
	if (n & 4) {
		memcpy(to, from, 4 * sizeof(*to));
		to += 4;
		from += 4;
	}
	if (n & 2) {
		memcpy(to, from, 2 * sizeof(*to));
		to += 2;
		from += 2;
	}
	if (n & 1)
		*to = *from;
}

/* Where compilers can, so that a call that is hardly ever made takes no registers. */
#if __has_attribute(preserve_most)
#define RING_COLD __attribute__((cold, noinline, preserve_most))
#else
#define RING_COLD __attribute__((cold, noinline))
#endif

/* Let another thread have the CPU. */
RING_COLD void ring_yield(void);

/* Who is waited for may wait for this CPU. */
static inline void ring_relax(unsigned turn)
{
	caa_cpu_relax();
	if (caa_unlikely(turn % RING_TURNS == 0))
		ring_yield();
}

/*
 * [ring-tail-2] Orders the other side's tail before this side's use of the slots behind it; pairs
 * with [ring-tail-1]. Otherwise a consumer could read a slot that is not written yet, or a producer
 * overwrite one that is still being read.
 */
RING_INLINE uint32_t ring_limit(const struct ring_side *other, const uint32_t *ahead)
{
	return ring_low(RING_LOAD(&other->tail, __ATOMIC_ACQUIRE)) + *ahead;
}

/* How many of n: all, or with burst as many as there are. */
RING_INLINE unsigned ring_take(unsigned n, uint32_t room, bool bulk)
{
	if (caa_likely(room >= n))
		return n;
	return bulk ? 0 : room;
}

/* How far consumers may be ahead of producers. */
static const uint32_t ring_nothing = 0;

/*
 * Whether what is known of the room is not enough. Producers find room most times; consumers that
 * keep up find nothing that they knew of, so that for them neither way should be the longer one.
 */
RING_INLINE bool ring_is_short(uint32_t room, unsigned n, const uint32_t *ahead)
{
	return ahead != &ring_nothing ? caa_unlikely(room < n) : room < n;
}

/*
 * Claims: up to n positions from *head on. `ahead` tells how far this side may be ahead of the
 * other's tail: the size for producers, nothing for consumers. It is looked at with that tail only.
 */

RING_INLINE unsigned ring_claim_single(struct ring_side *own, const struct ring_side *other,
				       const uint32_t *ahead, unsigned n, bool bulk, uint32_t *head)
{
	uint32_t at = ring_low(RING_LOAD(&own->tail, __ATOMIC_RELAXED));

	if (ring_is_short(own->limit - at, n, ahead)) {
		own->limit = ring_limit(other, ahead);
		n = ring_take(n, own->limit - at, bulk);
	}
	*head = at;
	return n;
}

RING_INLINE unsigned ring_claim_multi(struct ring_side *own, const struct ring_side *other,
				      const uint32_t *ahead, unsigned n, bool bulk, uint32_t *head)
{
	/*
	 * [ring-lead-2] Orders the head before the other side's tail; pairs with [ring-lead-1].
	 * Otherwise that tail could be behind this head, and the room between them look huge.
	 */
	uint64_t lead = RING_LOAD(&own->lead, __ATOMIC_ACQUIRE);
	unsigned take;
	uint64_t next;

	do {
		take = n;
		*head = ring_high(lead);
		next = lead;
		if (ring_is_short(ring_low(lead) - *head, n, ahead)) {
			uint32_t limit = ring_limit(other, ahead);

			take = ring_take(n, limit - *head, bulk);
			if (take == 0)
				return 0;
			next = ring_word(*head, limit);
		}
		next += ring_word(take, 0);
		/*
		 * [ring-lead-1] Orders the other side's tail, as seen, before the head and the
		 * limit made of it; pairs with [ring-lead-2]. Otherwise the next claim could use
		 * slots by this limit that the other side is not seen to be done with.
		 */
	} while (!RING_CAS(&own->lead, &lead, next, __ATOMIC_RELEASE));
	return take;
}

RING_INLINE unsigned ring_claim_rts(struct ring_side *own, const struct ring_side *other,
				    const uint32_t *ahead, uint32_t lag_max, unsigned n, bool bulk,
				    uint32_t *head)
{
	uint64_t lead = RING_LOAD(&own->lead, __ATOMIC_ACQUIRE); /* [ring-lead-2] as above */
	unsigned take, turn = 0;
	uint64_t next;

	do {
		while (ring_low(lead) - ring_low(RING_LOAD(&own->tail, __ATOMIC_RELAXED)) >
		       lag_max) {
			RING_RELAX(++turn);
			lead = RING_LOAD(&own->lead, __ATOMIC_ACQUIRE); /* [ring-lead-2] */
		}
		*head = ring_low(lead);
		take = ring_take(n, ring_limit(other, ahead) - *head, bulk);
		if (take == 0)
			return 0;
		next = ring_word(ring_high(lead) + 1, *head + take);
	} while (!RING_CAS(&own->lead, &lead, next, __ATOMIC_RELEASE)); /* [ring-lead-1] */
	return take;
}

RING_INLINE unsigned ring_claim_hts(struct ring_side *own, const struct ring_side *other,
				    const uint32_t *ahead, unsigned n, bool bulk, uint32_t *head)
{
	/*
	 * [ring-turn-2] Orders the end of the claim before, and with it the other side's tail that
	 * it saw, before this one; pairs with [ring-turn-1].
	 */
	uint64_t word = RING_LOAD(&own->tail, __ATOMIC_ACQUIRE);
	unsigned take, turn = 0;
	uint64_t next;

	do {
		while (ring_high(word) != ring_low(word)) {
			RING_RELAX(++turn);
			word = RING_LOAD(&own->tail, __ATOMIC_ACQUIRE); /* [ring-turn-2] */
		}
		*head = ring_low(word);
		take = ring_take(n, ring_limit(other, ahead) - *head, bulk);
		if (take == 0)
			return 0;
		next = ring_word(*head + take, *head);
	} while (!RING_CAS(&own->tail, &word, next, __ATOMIC_ACQUIRE));
	return take;
}

/*
 * [ring-tail-1] In all of these: orders the use of the slots before the tail; pairs with
 * [ring-tail-2].
 */

RING_INLINE void ring_hand_over_multi(struct ring_side *own, uint32_t head, unsigned n)
{
	unsigned turn = 0;

	/*
	 * [ring-turn-2] Orders the slots of the claims before this one before the tail that covers
	 * them too; pairs with the store below [ring-turn-1].
	 */
	while (ring_low(RING_LOAD(&own->tail, __ATOMIC_ACQUIRE)) != head)
		RING_RELAX(++turn);
	RING_STORE(&own->tail, ring_word(0, head + n), __ATOMIC_RELEASE);
}

RING_INLINE void ring_hand_over_rts(struct ring_side *own)
{
	/*
	 * [ring-turn-2] Orders the ends that are counted before the lead: of each of them the
	 * beginning is then counted too. Otherwise the counts could agree with a claim still open.
	 */
	uint64_t tail = RING_LOAD(&own->tail, __ATOMIC_ACQUIRE);
	uint64_t next;

	do {
		uint64_t lead = RING_LOAD(&own->lead, __ATOMIC_RELAXED);
		uint32_t ended = ring_high(tail) + 1;
		bool last = ended == ring_high(lead);

		next = ring_word(ended, last ? ring_low(lead) : ring_low(tail));
		/* [ring-turn-1] Pairs with [ring-turn-2], and passes on what was before it. */
	} while (!RING_CAS(&own->tail, &tail, next, __ATOMIC_RELEASE));
}

RING_INLINE void ring_hand_over(struct ring_side *own, enum ring_sync sync, uint32_t head,
				unsigned n)
{
	switch (sync) {
	case RING_SINGLE:
		RING_STORE(&own->tail, ring_word(0, head + n), __ATOMIC_RELEASE);
		break;
	case RING_MULTI:
		ring_hand_over_multi(own, head, n);
		break;
	case RING_MULTI_RTS:
		ring_hand_over_rts(own);
		break;
	case RING_MULTI_HTS: /* [ring-turn-1] too */
		RING_STORE(&own->tail, ring_word(head + n, head + n), __ATOMIC_RELEASE);
		break;
	}
}

RING_INLINE unsigned ring_claim(const struct ring *ring, struct ring_side *own,
				const struct ring_side *other, enum ring_sync sync,
				const uint32_t *ahead, unsigned n, bool bulk, uint32_t *head)
{
	switch (sync) {
	case RING_SINGLE:
		return ring_claim_single(own, other, ahead, n, bulk, head);
	case RING_MULTI:
		return ring_claim_multi(own, other, ahead, n, bulk, head);
	case RING_MULTI_RTS:
		return ring_claim_rts(own, other, ahead, ring->lag_max, n, bulk, head);
	case RING_MULTI_HTS:
		return ring_claim_hts(own, other, ahead, n, bulk, head);
	}
	return 0;
}

/* Known when compiled: one object cannot go over the end. */
#define ring_is_one(n) (__builtin_constant_p(n) && (n) == 1)

RING_INLINE unsigned ring_enqueue(struct ring *ring, enum ring_sync sync, void *const *objects,
				  unsigned asked, bool bulk)
{
	uint32_t head, at, to_end;
	unsigned n;

	n = ring_claim(ring, &ring->in, &ring->out, sync, &ring->size, asked, bulk, &head);
	if (n == 0)
		return 0;
	at = head & ring->mask;
	to_end = ring->mask + 1 - at;
	if (caa_likely(ring_is_one(asked) || n <= to_end)) {
		RING_COPY(&ring->slots[at], objects, n);
	} else {
		RING_COPY_PART(&ring->slots[at], objects, to_end);
		RING_COPY_PART(ring->slots, objects + to_end, n - to_end);
	}
	ring_hand_over(&ring->in, sync, head, n);
	return n;
}

RING_INLINE unsigned ring_dequeue(struct ring *ring, enum ring_sync sync, void **objects,
				  unsigned asked, bool bulk)
{
	uint32_t head, at, to_end;
	unsigned n;

	n = ring_claim(ring, &ring->out, &ring->in, sync, &ring_nothing, asked, bulk, &head);
	if (n == 0)
		return 0;
	at = head & ring->mask;
	to_end = ring->mask + 1 - at;
	if (caa_likely(ring_is_one(asked) || n <= to_end)) {
		RING_COPY(objects, &ring->slots[at], n);
	} else {
		RING_COPY_PART(objects, &ring->slots[at], to_end);
		RING_COPY_PART(objects + to_end, ring->slots, n - to_end);
	}
	ring_hand_over(&ring->out, sync, head, n);
	return n;
}

static inline uint32_t ring_count_racy(const struct ring *ring)
{
	uint32_t tail = ring_low(RING_LOAD(&ring->out.tail, __ATOMIC_RELAXED));
	uint32_t count = ring_low(RING_LOAD(&ring->in.tail, __ATOMIC_RELAXED)) - tail;

	return count < ring->size ? count : ring->size;
}

RING_INLINE unsigned ring_enqueue_burst_as(struct ring *ring, enum ring_sync sync,
					   void *const *objects, unsigned n)
{
	return ring_enqueue(ring, sync, objects, n, false);
}

RING_INLINE unsigned ring_enqueue_bulk_as(struct ring *ring, enum ring_sync sync,
					  void *const *objects, unsigned n)
{
	return ring_enqueue(ring, sync, objects, n, true);
}

RING_INLINE unsigned ring_dequeue_burst_as(struct ring *ring, enum ring_sync sync, void **objects,
					   unsigned n)
{
	return ring_dequeue(ring, sync, objects, n, false);
}

RING_INLINE unsigned ring_dequeue_bulk_as(struct ring *ring, enum ring_sync sync, void **objects,
					  unsigned n)
{
	return ring_dequeue(ring, sync, objects, n, true);
}

static inline unsigned ring_enqueue_burst(struct ring *ring, void *const *objects, unsigned n)
{
	return ring_enqueue(ring, ring->in_sync, objects, n, false);
}

static inline unsigned ring_enqueue_bulk(struct ring *ring, void *const *objects, unsigned n)
{
	return ring_enqueue(ring, ring->in_sync, objects, n, true);
}

static inline unsigned ring_dequeue_burst(struct ring *ring, void **objects, unsigned n)
{
	return ring_dequeue(ring, ring->out_sync, objects, n, false);
}

static inline unsigned ring_dequeue_bulk(struct ring *ring, void **objects, unsigned n)
{
	return ring_dequeue(ring, ring->out_sync, objects, n, true);
}

RING_INLINE void ring_span_set(struct ring *ring, uint32_t head, unsigned n, struct ring_span *span)
{
	uint32_t at = head & (ring->size - 1);
	uint32_t to_end = ring->size - at;

	span->first = &ring->slots[at];
	span->first_count = n < to_end ? n : to_end;
	span->second = ring->slots;
	span->second_count = n - span->first_count;
}

/* Claims stay open: the end of one is kept, so that finish can be held to it. */
RING_INLINE unsigned ring_start(struct ring *ring, struct ring_side *own,
				const struct ring_side *other, enum ring_sync sync,
				const uint32_t *ahead, unsigned n, bool bulk,
				struct ring_span *span)
{
	uint32_t head;

	CHECK(sync == RING_SINGLE || sync == RING_MULTI_HTS);
	n = ring_claim(ring, own, other, sync, ahead, n, bulk, &head);
	if (n == 0)
		return 0;
	if (sync == RING_SINGLE)
		own->end = head + n;
	ring_span_set(ring, head, n, span);
	return n;
}

RING_INLINE void ring_finish(struct ring_side *own, enum ring_sync sync, unsigned n)
{
	uint64_t tail = RING_LOAD(&own->tail, __ATOMIC_RELAXED); /* only this thread moves it now */
	uint32_t end = sync == RING_SINGLE ? own->end : ring_high(tail);

	CHECK(n <= end - ring_low(tail));
	ring_hand_over(own, sync, ring_low(tail), n);
}

static inline unsigned ring_enqueue_burst_start(struct ring *ring, unsigned n,
						struct ring_span *span)
{
	return ring_start(ring, &ring->in, &ring->out, ring->in_sync, &ring->size, n, false, span);
}

static inline unsigned ring_enqueue_bulk_start(struct ring *ring, unsigned n,
					       struct ring_span *span)
{
	return ring_start(ring, &ring->in, &ring->out, ring->in_sync, &ring->size, n, true, span);
}

static inline void ring_enqueue_finish(struct ring *ring, unsigned n)
{
	ring_finish(&ring->in, ring->in_sync, n);
}

static inline unsigned ring_dequeue_burst_start(struct ring *ring, unsigned n,
						struct ring_span *span)
{
	return ring_start(ring, &ring->out, &ring->in, ring->out_sync, &ring_nothing, n, false,
			  span);
}

static inline unsigned ring_dequeue_bulk_start(struct ring *ring, unsigned n,
					       struct ring_span *span)
{
	return ring_start(ring, &ring->out, &ring->in, ring->out_sync, &ring_nothing, n, true,
			  span);
}

static inline void ring_dequeue_finish(struct ring *ring, unsigned n)
{
	ring_finish(&ring->out, ring->out_sync, n);
}

#endif
