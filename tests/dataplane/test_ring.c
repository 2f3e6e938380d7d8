#include "dataplane/ring.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "tests/model/ring_start.h"

enum {
	SYNCS = RING_MULTI_HTS + 1,
	STEPS = 3000,
	CALL_MAX = 72, /* objects; above 2 * RING_PIECE, so that all of copying is used */
};

static struct ring *create(uint32_t size, enum ring_sync in, enum ring_sync out, uint32_t start)
{
	struct ring *ring = aligned_alloc(RING_LINE, ring_size_bytes(size));

	cr_assert(ring);
	cr_assert_eq(ring_init(ring, size, in, out), 0);
	ring_start_at(ring, start);
	return ring;
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

Test(dataplane_ring, sizes)
{
	static const struct {
		uint32_t size;
		bool valid;
	} cases[] = {
		{0, false},
		{1, false},
		{2, true},
		{3, false},
		{4, true},
		{1000, false},
		{1024, true},
		{RING_SIZE_MAX, true},
		{RING_SIZE_MAX + 1, false},
		{RING_SIZE_MAX * 2U, false},
		{UINT32_MAX, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t bytes = ring_size_bytes(cases[i].size);
		size_t least = sizeof(struct ring) + cases[i].size * sizeof(void *);

		cr_expect_eq(bytes != 0, cases[i].valid, "size %u: %zu bytes", cases[i].size,
			     bytes);
		if (cases[i].valid)
			cr_expect(bytes >= least && bytes < least + RING_LINE &&
					  bytes % RING_LINE == 0,
				  "size %u: %zu bytes", cases[i].size, bytes);
	}
}

Test(dataplane_ring, init_refuses)
{
	struct ring *ring = create(4, RING_SINGLE, RING_SINGLE, 0);
	struct ring *askew = (struct ring *)((uintptr_t)ring + RING_LINE / 2);

	cr_expect_eq(ring_init(ring, 3, RING_SINGLE, RING_SINGLE), -EINVAL);
	cr_expect_eq(ring_init(ring, 1, RING_SINGLE, RING_SINGLE), -EINVAL);
	cr_expect_eq(ring_init(askew, 2, RING_SINGLE, RING_SINGLE), -EINVAL);
	free(ring);
}

Test(dataplane_ring, words_lie_on_lines_of_their_own)
{
	size_t in = offsetof(struct ring, in) / RING_LINE;
	size_t out = offsetof(struct ring, out) / RING_LINE;

	cr_expect_neq(in, 0, "beside what is only read");
	cr_expect_neq(in, out);
	cr_expect_gt(offsetof(struct ring, slots) / RING_LINE, out);
	cr_expect_eq(sizeof(struct ring_side), RING_LINE);
}

/* What a ring promises to one thread: the objects are numbers from `oldest` up to `newest`. */
struct numbers {
	struct ring *ring;
	uintptr_t oldest;
	uintptr_t newest;
	uint64_t random;
	char text[64];
};

static unsigned expected_of(unsigned n, unsigned room, bool bulk)
{
	if (n <= room)
		return n;
	return bulk ? 0 : room;
}

static bool has_start(enum ring_sync sync)
{
	return sync == RING_SINGLE || sync == RING_MULTI_HTS;
}

/* Four ways to call: sync given or not, bulk or burst. */
static unsigned enqueue(struct ring *r, unsigned way, void *const *objects, unsigned n)
{
	switch (way) {
	case 0:
		return ring_enqueue_burst(r, objects, n);
	case 1:
		return ring_enqueue_bulk(r, objects, n);
	case 2:
		return ring_enqueue_burst_as(r, r->in_sync, objects, n);
	default:
		return ring_enqueue_bulk_as(r, r->in_sync, objects, n);
	}
}

static unsigned dequeue(struct ring *r, unsigned way, void **objects, unsigned n)
{
	switch (way) {
	case 0:
		return ring_dequeue_burst(r, objects, n);
	case 1:
		return ring_dequeue_bulk(r, objects, n);
	case 2:
		return ring_dequeue_burst_as(r, r->out_sync, objects, n);
	default:
		return ring_dequeue_bulk_as(r, r->out_sync, objects, n);
	}
}

static void put(struct numbers *m, unsigned way, unsigned n)
{
	unsigned room = m->ring->size - (unsigned)(m->newest - m->oldest), done;
	void *objects[CALL_MAX];

	for (unsigned i = 0; i < n; i++)
		objects[i] = (void *)(m->newest + i);
	done = enqueue(m->ring, way, objects, n);
	cr_assert_eq(done, expected_of(n, room, way & 1), "%s: %u of %u into room for %u", m->text,
		     done, n, room);
	m->newest += done;
}

static void take(struct numbers *m, unsigned way, unsigned n)
{
	unsigned count = (unsigned)(m->newest - m->oldest), done;
	void *objects[CALL_MAX] = {NULL};

	done = dequeue(m->ring, way, objects, n);
	cr_assert_eq(done, expected_of(n, count, way & 1), "%s: %u of %u out of %u", m->text, done,
		     n, count);
	for (unsigned i = 0; i < done; i++, m->oldest++)
		cr_assert_eq((uintptr_t)objects[i], m->oldest, "%s: object %u is %zu, not %zu",
			     m->text, i, (size_t)(uintptr_t)objects[i], (size_t)m->oldest);
	for (unsigned i = done; i < n; i++)
		cr_assert_null(objects[i], "%s: more written than taken", m->text);
}

static void **slot_of(const struct ring_span *span, unsigned i)
{
	return i < span->first_count ? &span->first[i] : &span->second[i - span->first_count];
}

static void put_in_place(struct numbers *m, bool bulk, unsigned n)
{
	unsigned room = m->ring->size - (unsigned)(m->newest - m->oldest), done, keep;
	struct ring_span span;

	done = bulk ? ring_enqueue_bulk_start(m->ring, n, &span)
		    : ring_enqueue_burst_start(m->ring, n, &span);
	cr_assert_eq(done, expected_of(n, room, bulk), "%s: start of %u in room for %u", m->text, n,
		     room);
	if (done == 0)
		return;
	cr_assert_eq(span.first_count + span.second_count, done, "%s", m->text);
	keep = (unsigned)(random_next(&m->random) % (done + 1));
	for (unsigned i = 0; i < keep; i++)
		*slot_of(&span, i) = (void *)(m->newest + i);
	cr_assert_eq(ring_count_racy(m->ring), m->newest - m->oldest, "%s: seen early", m->text);
	ring_enqueue_finish(m->ring, keep);
	m->newest += keep;
}

static void take_in_place(struct numbers *m, bool bulk, unsigned n)
{
	unsigned count = (unsigned)(m->newest - m->oldest), done, keep;
	struct ring_span span;

	done = bulk ? ring_dequeue_bulk_start(m->ring, n, &span)
		    : ring_dequeue_burst_start(m->ring, n, &span);
	cr_assert_eq(done, expected_of(n, count, bulk), "%s: start of %u of %u", m->text, n, count);
	if (done == 0)
		return;
	for (unsigned i = 0; i < done; i++)
		cr_assert_eq((uintptr_t)*slot_of(&span, i), m->oldest + i, "%s: in place", m->text);
	keep = (unsigned)(random_next(&m->random) % (done + 1));
	ring_dequeue_finish(m->ring, keep);
	m->oldest += keep;
}

static void step(struct numbers *m)
{
	uint64_t random = random_next(&m->random) >> 16;
	unsigned n = (unsigned)(random % (m->ring->size + 3)), way = random >> 32 & 3;

	if (n > CALL_MAX)
		n = CALL_MAX;
	switch (random >> 40 & 3) {
	case 0:
		put(m, way, n);
		break;
	case 1:
		take(m, way, n);
		break;
	case 2:
		if (has_start(m->ring->in_sync))
			put_in_place(m, way & 1, n);
		break;
	default:
		if (has_start(m->ring->out_sync))
			take_in_place(m, way & 1, n);
		break;
	}
	cr_assert_eq(ring_count_racy(m->ring), m->newest - m->oldest, "%s", m->text);
}

Test(dataplane_ring, fifo_of_all_modes)
{
	static const uint32_t sizes[] = {2, 4, 8, 64, 256};
	/* Of these the first three wrap within the steps: UINT32_MAX, and half of it. */
	static const uint32_t starts[] = {UINT32_MAX, UINT32_MAX - 77, INT32_MAX - 5U, 0};

	for (unsigned modes = 0; modes < SYNCS * SYNCS; modes++) {
		enum ring_sync in = modes / SYNCS, out = modes % SYNCS;

		for (unsigned i = 0; i < 5 * 4; i++) {
			uint32_t size = sizes[i % 5], start = starts[i / 5];
			struct numbers m = {.ring = create(size, in, out, start),
					    .oldest = 1,
					    .newest = 1,
					    .random = modes * 100 + i + 1};

			snprintf(m.text, sizeof(m.text), "%s to %s, size %u, from %u",
				 ring_sync_name(in), ring_sync_name(out), size, start);
			for (unsigned j = 0; j < STEPS; j++)
				step(&m);
			cr_expect_gt(m.oldest, STEPS / 16, "%s: only %zu came out", m.text,
				     (size_t)m.oldest);
			free(m.ring);
		}
	}
}

Test(dataplane_ring, of_none_and_too_many)
{
	void *objects[8] = {0};

	for (unsigned sync = 0; sync < SYNCS; sync++) {
		struct ring *ring = create(4, sync, sync, UINT32_MAX);

		cr_expect_eq(ring_enqueue_bulk(ring, objects, 5), 0);
		cr_expect_eq(ring_enqueue_burst(ring, objects, 0), 0);
		cr_expect_eq(ring_dequeue_burst(ring, objects, 0), 0);
		cr_expect_eq(ring_enqueue_burst(ring, objects, 8), 4, "all slots can be full");
		cr_expect_eq(ring_enqueue_burst(ring, objects, 1), 0);
		cr_expect_eq(ring_dequeue_bulk(ring, objects, 5), 0);
		cr_expect_eq(ring_dequeue_burst(ring, objects, 8), 4);
		cr_expect_eq(ring_dequeue_burst(ring, objects, 1), 0);
		free(ring);
	}
}

Test(dataplane_ring, start_wants_one_at_a_time, .signal = SIGABRT)
{
	struct ring *ring = create(4, RING_MULTI, RING_SINGLE, 0);
	struct ring_span span;

	ring_enqueue_burst_start(ring, 1, &span);
}

Test(dataplane_ring, start_wants_one_at_a_time_out, .signal = SIGABRT)
{
	struct ring *ring = create(4, RING_SINGLE, RING_MULTI_RTS, 0);
	struct ring_span span;

	ring_dequeue_burst_start(ring, 1, &span);
}

Test(dataplane_ring, finish_of_more_than_started_single, .signal = SIGABRT)
{
	struct ring *ring = create(4, RING_SINGLE, RING_SINGLE, UINT32_MAX);
	struct ring_span span;

	ring_enqueue_burst_start(ring, 2, &span);
	ring_enqueue_finish(ring, 3);
}

Test(dataplane_ring, finish_of_more_than_started_hts, .signal = SIGABRT)
{
	struct ring *ring = create(4, RING_MULTI_HTS, RING_SINGLE, UINT32_MAX);
	struct ring_span span;

	ring_enqueue_burst_start(ring, 2, &span);
	ring_enqueue_finish(ring, 3);
}
