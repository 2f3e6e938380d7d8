/*
 * Small programs on rings in all orders of their steps, see tests/model/interleave.h.
 *
 * Invariants: what went in comes out, once; what one producer put in comes out in its order; no
 * slot is touched by two threads at once; who need not wait is not turned away.
 */
#include "tests/model/interleave.h"

#include "dataplane/ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "tests/model/ring_start.h"

enum {
	SIZE_MAX_SLOTS = 8,
	LOG_MAX = 32,
	SCRIPTS = INTERLEAVE_THREADS_MAX,
	MAIN = SCRIPTS, /* as producer of what is in the ring before, and consumer of the rest */
	START = UINT32_MAX - 1,
};

/*
 * A thread's script: a letter and a number for each call. e, d: burst, E, D: bulk, p, q: in place,
 * of which the last object is given back if the number is above one. x and y put in wrongly: x does
 * not wait for its turn to move the tail, y uses a slot more than there are.
 */
struct scene {
	const char *scripts[SCRIPTS]; /* NULL ends */
	enum ring_sync in, out;
	uint8_t size;
	uint8_t filled; /* slots, before */
	bool fits;      /* whatever happens, all that is put in has room */
};

struct stage {
	const struct scene *scene;
	struct ring *ring;
	uintptr_t logs[SCRIPTS + 1][LOG_MAX]; /* what each consumer got */
	unsigned logged[SCRIPTS + 1];
	unsigned put[SCRIPTS + 1]; /* by each producer */
	bool refused;
	bool cut; /* bulk that was neither all nor nothing */
};

static void *object(unsigned producer, unsigned number)
{
	return (void *)(uintptr_t)(producer << 8 | (number + 1));
}

static void log_objects(struct stage *s, unsigned consumer, void *const *objects, unsigned n)
{
	for (unsigned i = 0; i < n && s->logged[consumer] < LOG_MAX; i++)
		s->logs[consumer][s->logged[consumer]++] = (uintptr_t)objects[i];
}

static unsigned put_wrongly(struct ring *ring, char call, void *const *objects, unsigned n)
{
	uint32_t head, ahead = ring->size + (call == 'y');

	n = ring_claim(ring, &ring->in, &ring->out, ring->in_sync, &ahead, n, false, &head);
	for (unsigned i = 0; i < n; i++)
		interleave_copy(&ring->slots[(head + i) % ring->size], objects + i, 1);
	if (n > 0)
		ring_hand_over(&ring->in, call == 'x' ? RING_SINGLE : ring->in_sync, head, n);
	return n;
}

static void put(struct stage *s, unsigned thread, char call, unsigned n)
{
	void *objects[SIZE_MAX_SLOTS];
	unsigned done;

	for (unsigned i = 0; i < n; i++)
		objects[i] = object(thread, s->put[thread] + i);
	if (call == 'p') {
		struct ring_span span;

		done = ring_enqueue_burst_start(s->ring, n, &span);
		if (done > 0) {
			unsigned keep = n > 1 && done == n ? n - 1 : done;
			unsigned first = keep < span.first_count ? keep : span.first_count;

			interleave_copy(span.first, objects, first);
			interleave_copy(span.second, objects + first, keep - first);
			ring_enqueue_finish(s->ring, keep);
			s->put[thread] += keep;
			return;
		}
	} else if (call == 'x' || call == 'y') {
		done = put_wrongly(s->ring, call, objects, n);
	} else if (call == 'e') {
		done = ring_enqueue_burst(s->ring, objects, n);
	} else {
		done = ring_enqueue_bulk(s->ring, objects, n);
		s->cut |= done != 0 && done != n;
	}
	s->refused |= done < n;
	s->put[thread] += done;
}

static void take(struct stage *s, unsigned thread, char call, unsigned n)
{
	void *objects[SIZE_MAX_SLOTS];
	unsigned done;

	if (call == 'q') {
		struct ring_span span;

		done = ring_dequeue_burst_start(s->ring, n, &span);
		if (done > 0) {
			unsigned keep = n > 1 && done == n ? n - 1 : done;

			interleave_copy(objects, span.first, span.first_count);
			interleave_copy(objects + span.first_count, span.second, span.second_count);
			ring_dequeue_finish(s->ring, keep);
			log_objects(s, thread, objects, keep);
		}
		return;
	}
	if (call == 'd') {
		done = ring_dequeue_burst(s->ring, objects, n);
	} else {
		done = ring_dequeue_bulk(s->ring, objects, n);
		s->cut |= done != 0 && done != n;
	}
	log_objects(s, thread, objects, done);
}

static void act(void *context, unsigned index)
{
	struct stage *s = context;

	for (const char *at = s->scene->scripts[index]; at[0] && at[1]; at += 2) {
		if (strchr("eEpxy", at[0]))
			put(s, index, at[0], (unsigned)(at[1] - '0'));
		else
			take(s, index, at[0], (unsigned)(at[1] - '0'));
	}
}

static void set_up(void *context)
{
	struct stage *s = context;
	const struct scene *scene = s->scene;

	memset(s->logged, 0, sizeof(s->logged));
	memset(s->put, 0, sizeof(s->put));
	s->refused = s->cut = false;
	if (ring_init(s->ring, scene->size, scene->in, scene->out) < 0)
		abort();
	s->ring->lag_max = scene->size; /* or RTS would do one claim at a time */
	ring_start_at(s->ring, START);
	if (scene->filled)
		put(s, MAIN, 'E', scene->filled);
}

/* The place of an object in the log of a consumer, or -1. */
static int find(const struct stage *s, unsigned consumer, uintptr_t wanted)
{
	int found = -1;

	for (unsigned i = 0; i < s->logged[consumer]; i++) {
		if (s->logs[consumer][i] != wanted)
			continue;
		if (found >= 0)
			return -2;
		found = (int)i;
	}
	return found;
}

static const char *check_producer(const struct stage *s, unsigned producer)
{
	int last[SCRIPTS + 1];
	bool drained = false;

	memset(last, -1, sizeof(last));
	for (unsigned number = 0; number < s->put[producer]; number++) {
		unsigned times = 0;

		for (unsigned consumer = 0; consumer <= MAIN; consumer++) {
			int at = find(s, consumer, (uintptr_t)object(producer, number));

			if (at == -1)
				continue;
			if (at == -2 || ++times > 1)
				return "an object came out twice";
			if (at < last[consumer] || (consumer != MAIN && drained))
				return "objects of one producer changed places";
			last[consumer] = at;
			drained |= consumer == MAIN;
		}
		if (times == 0)
			return "an object was lost";
	}
	return NULL;
}

static const char *check(void *context)
{
	struct stage *s = context;
	unsigned put_in = 0, taken_out = 0;

	if (s->cut)
		return "bulk was cut";
	if (s->refused && s->scene->fits)
		return "there was room, and yet not";
	for (unsigned n = s->logged[MAIN] + 1; n != s->logged[MAIN];) {
		n = s->logged[MAIN];
		take(s, MAIN, 'd', 1);
	}
	for (unsigned i = 0; i <= MAIN; i++) {
		const char *wrong = check_producer(s, i);

		if (wrong)
			return wrong;
		put_in += s->put[i];
		taken_out += s->logged[i];
	}
	if (put_in != taken_out)
		return "more came out than went in";
	put(s, MAIN, 'E', s->scene->size);
	if (s->cut || s->put[MAIN] != s->scene->filled + s->scene->size)
		return "room was lost";
	return NULL;
}

#define SINGLE RING_SINGLE
#define MULTI RING_MULTI
#define RTS RING_MULTI_RTS
#define HTS RING_MULTI_HTS

static const struct scene scenes[] = {
	{{"e1e1e1", "d1d1d1"}, SINGLE, SINGLE, 2, 0, false},
	{{"e2e3e1", "d2d3d2"}, SINGLE, SINGLE, 4, 0, false},
	{{"E2E2E2", "D2D2D1"}, SINGLE, SINGLE, 4, 1, false},
	{{"p1p2e1", "d1q2q1"}, SINGLE, SINGLE, 2, 0, false},
	{{"e1e1", "e1", "d1d1"}, MULTI, SINGLE, 2, 0, false},
	{{"e1", "e1", "d2"}, MULTI, SINGLE, 4, 0, true},
	{{"E2", "e2", "d1d2"}, MULTI, SINGLE, 4, 1, false},
	{{"e1e1", "d1", "d1d1"}, SINGLE, MULTI, 2, 0, false},
	{{"e1", "d1", "d1"}, SINGLE, MULTI, 2, 1, true},
	{{"e2", "d2", "D2"}, SINGLE, MULTI, 4, 2, true},
	{{"e1d1", "e1d1"}, MULTI, MULTI, 2, 0, true},
	{{"e1d1", "d1e1"}, MULTI, MULTI, 2, 2, false},
	{{"e1e1", "e1d1"}, MULTI, MULTI, 2, 0, false},
	{{"e1", "d1", "d1"}, SINGLE, RTS, 2, 0, true},
	{{"e1", "e1", "d1"}, RTS, RTS, 2, 1, false},
	{{"e1", "e1", "d2d1"}, RTS, SINGLE, 4, 0, true},
	{{"e1", "d1", "d1"}, SINGLE, RTS, 2, 2, false},
	{{"e1d1", "e1d1"}, RTS, RTS, 2, 0, true},
	{{"e1d1", "d1e1"}, RTS, RTS, 2, 2, false},
	{{"e1", "e1", "d2"}, HTS, SINGLE, 2, 0, true},
	{{"e1", "e1", "d1"}, HTS, SINGLE, 2, 1, false},
	{{"e1", "d1", "d1"}, SINGLE, HTS, 2, 2, false},
	{{"e1", "d1", "d1"}, SINGLE, HTS, 2, 0, true},
	{{"e1d1", "e1d1"}, HTS, HTS, 2, 0, true},
	{{"p2d1", "e1q1"}, HTS, HTS, 2, 1, false},
	{{"p2", "p1", "q2"}, HTS, SINGLE, 2, 0, false},
	{{"e1d1", "e1d1"}, MULTI, RTS, 2, 0, true},
	{{"e1d1", "e1d1"}, RTS, HTS, 2, 0, true},
	{{"e1d1", "e1d1"}, HTS, MULTI, 2, 0, true},
};

static char *describe(const struct scene *scene, char text[static 128])
{
	size_t used = (size_t)snprintf(text, 128,
				       "%s to %s, size %u, filled %u:", ring_sync_name(scene->in),
				       ring_sync_name(scene->out), scene->size, scene->filled);

	for (unsigned i = 0; i < SCRIPTS && scene->scripts[i]; i++)
		used += (size_t)snprintf(text + used, 128 - used, " %s", scene->scripts[i]);
	return text;
}

/* Plays a scene; program has the faults. */
static void play(const struct scene *scene, struct interleave_program *program,
		 struct interleave_result *result)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	cr_assert(stage);
	stage->scene = scene;
	stage->ring = aligned_alloc(RING_LINE, ring_size_bytes(SIZE_MAX_SLOTS));
	cr_assert(stage->ring);
	while (program->threads < SCRIPTS && scene->scripts[program->threads])
		program->threads++;
	program->context = stage;
	program->setup = set_up;
	program->thread = act;
	program->check = check;
	program->slots = stage->ring->slots;
	program->slot_count = scene->size;
	interleave_run(program, result);
	free(stage->ring);
	free(stage);
}

/* Each is faulty, and must be found to be. */
static const struct scene faulty_scenes[] = {
	{{"e1", "e1", "d2"}, SINGLE, SINGLE, 4, 0, false},
	{{"e2", "d1", "d1"}, SINGLE, SINGLE, 4, 0, false},
	{{"x1", "x1", "d1d1"}, MULTI, SINGLE, 4, 0, false},
	{{"x1", "x1", "d1d1"}, RTS, SINGLE, 4, 0, false},
	{{"y2y1", "d1d1"}, SINGLE, SINGLE, 2, 0, false},
	{{"y1", "y1", "d1d1"}, MULTI, SINGLE, 2, 1, false},
	{{"y1", "y1", "d1d1"}, RTS, SINGLE, 2, 1, false},
	{{"y1", "y1", "d1d1"}, HTS, SINGLE, 2, 1, false},
};

Test(dataplane_ring_model, faults_are_found)
{
	static struct interleave_result result;
	char text[128];

	for (size_t i = 0; i < sizeof(faulty_scenes) / sizeof(faulty_scenes[0]); i++) {
		struct interleave_program program = {0};

		play(&faulty_scenes[i], &program, &result);
		cr_expect(result.faulty, "%s: nothing found", describe(&faulty_scenes[i], text));
	}
}

/* Whether any scene goes wrong if an access gets a weaker order. */
static bool is_missed(unsigned line, int order)
{
	static struct interleave_result result;

	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		struct interleave_program program = {.weaken_site = line, .weaken_to = order};

		play(&scenes[i], &program, &result);
		if (result.faulty)
			return true;
	}
	return false;
}

/*
 * Each order in ring.h that is not relaxed is there for something. Apart from a cas that acquires:
 * gcc wants that of one that acquires when it fails.
 */
Test(dataplane_ring_model, each_order_is_needed)
{
	static const int acq_rel[] = {__ATOMIC_ACQUIRE, __ATOMIC_RELEASE};
	static struct interleave_result result;
	static struct interleave_site sites[INTERLEAVE_SITES_MAX];
	unsigned count = 0;

	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		struct interleave_program program = {.strong = true};

		play(&scenes[i], &program, &result);
		for (unsigned j = 0; j < result.site_count; j++) {
			const struct interleave_site *site = &result.sites[j];
			unsigned at = 0;

			while (at < count && sites[at].line != site->line)
				at++;
			if (site->kind == 'r' || site->order == __ATOMIC_RELAXED ||
			    (site->kind == 'c' && site->order == __ATOMIC_ACQUIRE))
				continue;
			if (at == count)
				sites[count++] = *site;
		}
	}
	cr_assert_gt(count, 0);
	for (unsigned i = 0; i < count; i++) {
		if (sites[i].order != __ATOMIC_ACQ_REL) {
			cr_expect(is_missed(sites[i].line, __ATOMIC_RELAXED),
				  "ring.h:%u: relaxed would do", sites[i].line);
			continue;
		}
		for (unsigned j = 0; j < 2; j++)
			cr_expect(is_missed(sites[i].line, acq_rel[j]), "ring.h:%u: %s would do",
				  sites[i].line,
				  acq_rel[j] == __ATOMIC_ACQUIRE ? "acquire" : "release");
	}
}

Test(dataplane_ring_model, all_orders)
{
	static struct interleave_result result;
	char text[128];

	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		struct interleave_program program = {0};

		play(&scenes[i], &program, &result);
		cr_expect(result.complete && !result.faulty, "%s: %s", describe(&scenes[i], text),
			  result.faulty ? result.fault : "too many orders");
	}
}
