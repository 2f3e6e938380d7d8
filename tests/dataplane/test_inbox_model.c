/*
 * The sleep of a worker and what its inbox's senders do, in all orders of their steps, see
 * tests/model/interleave.h: no message is left in the inbox of one that sleeps. A pipe that is
 * written to wakes it; that orders nothing else here.
 */
#include "tests/model/interleave.h"
#include "tests/model/ring_start.h"

#include "dataplane/inbox.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum {
	RING_SLOTS = 4,
	START = UINT32_MAX - 1,
};

enum fault {
	NO_FAULT,
	NO_SECOND_LOOK,  /* the owner sleeps without looking again */
	ROUSE_FIRST,     /* the sender looks whether it sleeps, and puts in after that */
	STORE_ON_WAKING, /* instead of a read-modify-write */
	NO_WAKE,
};

struct scene {
	unsigned senders;
	unsigned each; /* messages of a sender */
	unsigned naps; /* of the owner, that something else ends */
};

struct stage {
	struct scene scene;
	enum fault fault;
	struct ring *ring;
	uint64_t asleep;
	uint64_t pipe;
	unsigned got, woken;
};

static void set_pipe(uint64_t *pipe, uint64_t value)
{
	uint64_t was = !value;

	while (!RING_CAS(pipe, &was, value, __ATOMIC_RELAXED))
		;
}

static void wake(struct stage *s)
{
	if (!inbox_rouse(&s->asleep) || s->fault == NO_WAKE)
		return;
	s->woken++;
	set_pipe(&s->pipe, 1);
}

static void send(struct stage *s, unsigned index)
{
	for (unsigned i = 0; i < s->scene.each; i++) {
		void *message = (void *)(uintptr_t)(index << 8 | (i + 1));

		if (s->fault == ROUSE_FIRST)
			wake(s);
		ring_enqueue_burst_as(s->ring, RING_MULTI, &message, 1);
		if (s->fault != ROUSE_FIRST)
			wake(s);
	}
}

static bool doze(struct stage *s)
{
	if (s->fault != NO_SECOND_LOOK)
		return inbox_doze(s->ring, &s->asleep);
	inbox_exchange(&s->asleep, true);
	return true;
}

static void own(struct stage *s)
{
	unsigned naps = s->scene.naps;
	void *got[RING_SLOTS];

	while (s->got < s->scene.senders * s->scene.each) {
		unsigned n = ring_dequeue_burst_as(s->ring, RING_SINGLE, got, RING_SLOTS);

		s->got += n;
		if (n || !doze(s))
			continue;
		if (naps) {
			naps--;
		} else {
			while (RING_LOAD(&s->pipe, __ATOMIC_RELAXED) == 0)
				RING_RELAX(1);
			set_pipe(&s->pipe, 0);
		}
		if (s->fault == STORE_ON_WAKING)
			RING_STORE(&s->asleep, 0, __ATOMIC_RELEASE);
		else
			inbox_rouse(&s->asleep);
	}
}

static void act(void *context, unsigned index)
{
	if (index == 0)
		own(context);
	else
		send(context, index);
}

static void set_up(void *context)
{
	struct stage *s = context;

	s->asleep = s->pipe = s->got = s->woken = 0;
	if (ring_init(s->ring, RING_SLOTS, RING_MULTI, RING_SINGLE) < 0)
		abort();
	ring_start_at(s->ring, START);
}

static const char *check(void *context)
{
	struct stage *s = context;

	if (s->got != s->scene.senders * s->scene.each)
		return "a message was lost";
	return s->woken > s->scene.senders * s->scene.each ? "woken too often" : NULL;
}

static void play(const struct scene *scene, enum fault fault, struct interleave_program *program,
		 struct interleave_result *result)
{
	struct stage s = {.scene = *scene, .fault = fault};

	s.ring = aligned_alloc(RING_LINE, ring_size_bytes(RING_SLOTS));
	cr_assert(s.ring);
	program->threads = 1 + scene->senders;
	program->context = &s;
	program->setup = set_up;
	program->thread = act;
	program->check = check;
	program->slots = s.ring->slots;
	program->slot_count = RING_SLOTS;
	interleave_run(program, result);
	free(s.ring);
}

static const struct scene scenes[] = {{1, 1, 0}, {1, 1, 1}, {1, 2, 0}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(dataplane_inbox_model, no_wake_is_lost)
{
	static struct interleave_result result;

	for (size_t i = 0; i < COUNT(scenes); i++) {
		struct interleave_program program = {.runs_max = 3000000};

		play(&scenes[i], NO_FAULT, &program, &result);
		cr_expect(result.complete && !result.faulty, "scene %zu: %s", i,
			  result.faulty ? result.fault : "too many orders");
	}
}

Test(dataplane_inbox_model, faults_are_found)
{
	static struct interleave_result result;

	for (enum fault fault = NO_SECOND_LOOK; fault <= NO_WAKE; fault++) {
		bool found = false;

		for (size_t i = 0; i < COUNT(scenes) && !found; i++) {
			struct interleave_program program = {0};

			play(&scenes[i], fault, &program, &result);
			found = result.faulty;
		}
		cr_expect(found, "fault %d: not found", fault);
	}
}

/* The exchange must both acquire and release; the rest is the ring's. */
Test(dataplane_inbox_model, each_order_is_needed)
{
	static const int orders[] = {__ATOMIC_ACQUIRE, __ATOMIC_RELEASE, __ATOMIC_RELAXED};
	static struct interleave_result result;
	struct interleave_program strong = {.strong = true};
	unsigned line = 0;

	play(&scenes[0], NO_FAULT, &strong, &result);
	for (unsigned i = 0; i < result.site_count; i++)
		if (result.sites[i].order == __ATOMIC_ACQ_REL)
			line = result.sites[i].line;
	cr_assert_neq(line, 0);
	for (size_t n = 0; n < COUNT(orders); n++) {
		bool found = false;

		for (size_t i = 0; i < COUNT(scenes) && !found; i++) {
			struct interleave_program program = {.weaken_site = line,
							     .weaken_to = orders[n]};

			play(&scenes[i], NO_FAULT, &program, &result);
			found = result.faulty;
		}
		cr_expect(found, "inbox.h:%u: order %d would do", line, orders[n]);
	}
}
