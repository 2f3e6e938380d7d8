/*
 * Rings between more threads than cores, in all modes, from small to large. Objects are cache
 * lines that go round: a producer fills one and puts it in, a consumer checks it, spoils it, and
 * sends it back.
 *
 * Invariants:
 *   whole  an object that comes out has all that its producer wrote: not torn, not a second time
 *   order  objects of one producer come to one consumer in its order, and to the only one all
 *   all    in the end every object is back
 *
 * usage: stress_ring [--seconds N] [--plant FAULT]
 *
 * Without --plant it runs once as it should be, and then once with each FAULT in a child process,
 * which must fail:
 *   turn   producers do not wait for their turn to move the tail
 *   room   producers use a slot more than there are
 *   alone  producers claim as if each were the only one
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/ring.h"
#include "tests/model/ring_start.h"

enum {
	SIDE_MAX = 3, /* threads of a side; twice that on few cores */
	SYNCS = RING_MULTI_HTS + 1,
	OBJECTS = 256, /* of a producer; its way back has room for all */
	WORDS = 6,
	CALL_MAX = 48, /* objects */
	SECONDS = 8,
	PLANT_S = 20, /* at most; a planted fault is found in the first second */
};

enum plant { NONE, TURN, ROOM, ALONE, PLANTS };

static const char *const plant_names[PLANTS] = {"none", "turn", "room", "alone"};

struct object {
	_Alignas(64) uint64_t producer;
	uint64_t number;
	uint64_t body[WORDS];
};

struct round {
	struct ring *ring;
	struct ring *back[SIDE_MAX];
	struct object *objects;
	unsigned producers, consumers;
	enum plant plant;
	char text[80];
	bool stop;          /* producers */
	unsigned producing; /* producers that have not ended */
	int failed;
};

struct worker {
	_Alignas(64) struct round *round;
	pthread_t thread;
	unsigned index;
	uint64_t random;
	uint64_t count; /* of objects put in or taken out */
	uint64_t seen[SIDE_MAX];
};

static void fail(struct round *r, const char *invariant, uint64_t is, uint64_t expected)
{
	if (__atomic_exchange_n(&r->failed, 1, __ATOMIC_RELAXED) == 0)
		fprintf(stderr, "stress_ring: broken: %s: %s (%llu, expected %llu)\n", r->text,
			invariant, (unsigned long long)is, (unsigned long long)expected);
}

static bool has_failed(struct round *r)
{
	return __atomic_load_n(&r->failed, __ATOMIC_RELAXED);
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t mixed(uint64_t producer, uint64_t number, unsigned word)
{
	return (number * UINT64_C(0x9e3779b97f4a7c15)) ^ (producer << 8 | word);
}

static unsigned put_wrongly(struct round *r, void *const *objects, unsigned n)
{
	struct ring *ring = r->ring;
	enum ring_sync claim = r->plant == ALONE ? RING_SINGLE : ring->in_sync;
	uint32_t head, ahead = ring->size + (r->plant == ROOM);

	n = ring_claim(ring, &ring->in, &ring->out, claim, &ahead, n, false, &head);
	for (unsigned i = 0; i < n; i++)
		ring->slots[(head + i) % ring->size] = objects[i];
	if (n > 0)
		ring_hand_over(&ring->in, r->plant == ROOM ? claim : RING_SINGLE, head, n);
	return n;
}

static unsigned put_in_place(struct ring *ring, void *const *objects, unsigned n)
{
	struct ring_span span;

	n = ring_enqueue_burst_start(ring, n, &span);
	if (n == 0)
		return 0;
	n -= n > 1; /* something to give back */
	for (unsigned i = 0; i < n; i++)
		*(i < span.first_count ? &span.first[i] : &span.second[i - span.first_count]) =
			objects[i];
	ring_enqueue_finish(ring, n);
	return n;
}

static unsigned put(struct worker *w, void *const *objects, unsigned n)
{
	struct ring *ring = w->round->ring;
	bool in_place = ring->in_sync == RING_SINGLE || ring->in_sync == RING_MULTI_HTS;
	unsigned way = (unsigned)(random_next(&w->random) >> 32) % 3;

	if (w->round->plant != NONE)
		return put_wrongly(w->round, objects, n);
	if (way == 2 && in_place)
		return put_in_place(ring, objects, n);
	return way ? ring_enqueue_burst(ring, objects, n)
		   : ring_enqueue_bulk(ring, objects, n < ring->size ? n : ring->size);
}

static unsigned take_in_place(struct ring *ring, void **objects, unsigned n)
{
	struct ring_span span;

	n = ring_dequeue_burst_start(ring, n, &span);
	if (n == 0)
		return 0;
	n -= n > 1;
	for (unsigned i = 0; i < n; i++)
		objects[i] =
			i < span.first_count ? span.first[i] : span.second[i - span.first_count];
	ring_dequeue_finish(ring, n);
	return n;
}

static unsigned take(struct worker *w, void **objects, unsigned n)
{
	struct ring *ring = w->round->ring;
	bool in_place = ring->out_sync == RING_SINGLE || ring->out_sync == RING_MULTI_HTS;
	unsigned way = (unsigned)(random_next(&w->random) >> 32) % 4;

	if (way == 3 && in_place)
		return take_in_place(ring, objects, n);
	return way ? ring_dequeue_burst(ring, objects, n)
		   : ring_dequeue_bulk(ring, objects, n < ring->size ? n : ring->size);
}

static void *produce(void *argument)
{
	struct worker *w = argument;
	struct round *r = w->round;
	void *objects[CALL_MAX];

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED) && !has_failed(r)) {
		unsigned n = 1 + (unsigned)(random_next(&w->random) >> 32) % CALL_MAX, done = 0;

		n = ring_dequeue_burst(r->back[w->index], objects, n);
		for (unsigned i = 0; i < n; i++) {
			struct object *o = objects[i];

			o->producer = w->index;
			o->number = ++w->count;
			for (unsigned j = 0; j < WORDS; j++)
				o->body[j] = mixed(w->index, o->number, j);
		}
		while (done < n && !has_failed(r)) {
			unsigned put_in = put(w, objects + done, n - done);

			done += put_in;
			if (put_in == 0)
				sched_yield();
		}
		if (n == 0)
			sched_yield();
	}
	__atomic_fetch_sub(&r->producing, 1, __ATOMIC_RELEASE); /* [stress-ring-1] see below */
	return NULL;
}

static void check_object(struct worker *w, struct object *o)
{
	struct round *r = w->round;
	uint64_t producer = o->producer, number = o->number;

	if (producer >= r->producers) {
		fail(r, "whole: no such producer", producer, r->producers);
		return;
	}
	for (unsigned i = 0; i < WORDS; i++)
		if (o->body[i] != mixed(producer, number, i))
			fail(r, "whole: body", o->body[i], mixed(producer, number, i));
	if (r->consumers == 1 && number != w->seen[producer] + 1)
		fail(r, "order: the next one", number, w->seen[producer] + 1);
	if (number <= w->seen[producer])
		fail(r, "order: older than the one before", number, w->seen[producer]);
	w->seen[producer] = number;
	memset(o, 0xa5, sizeof(*o)); /* must not come out again before it is filled */
	if (ring_enqueue_burst(r->back[producer], (void *[]){o}, 1) != 1)
		fail(r, "all: more than there are", OBJECTS + 1, OBJECTS);
}

static void *consume(void *argument)
{
	struct worker *w = argument;
	struct round *r = w->round;
	void *objects[CALL_MAX];

	for (bool last = false; !has_failed(r);) {
		unsigned n = 1 + (unsigned)(random_next(&w->random) >> 32) % CALL_MAX;

		n = last ? ring_dequeue_burst(r->ring, objects, n) : take(w, objects, n);
		for (unsigned i = 0; i < n && !has_failed(r); i++)
			check_object(w, objects[i]);
		w->count += n;
		if (n == 0 && last)
			break;
		if (n == 0) {
			sched_yield();
			/* [stress-ring-2] Orders the end of all producers before the last looks;
			 * pairs with [stress-ring-1]: what they put in is seen then. */
			last = __atomic_load_n(&r->producing, __ATOMIC_ACQUIRE) == 0;
		}
	}
	return NULL;
}

static struct ring *make_ring(uint32_t size, enum ring_sync in, enum ring_sync out)
{
	struct ring *ring = aligned_alloc(RING_LINE, ring_size_bytes(size));

	if (!ring || ring_init(ring, size, in, out) < 0)
		abort();
	ring_start_at(ring, UINT32_MAX - 1000);
	return ring;
}

static void check_all(struct round *r)
{
	uint32_t count;

	for (unsigned i = 0; i < r->producers; i++) {
		count = ring_count_racy(r->back[i]);
		if (count != OBJECTS)
			fail(r, "all: came back", count, OBJECTS);
	}
	count = ring_count_racy(r->ring);
	if (count != 0)
		fail(r, "all: left in the ring", count, 0);
}

static void sleep_ms(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

static void start(struct worker *w, struct round *r, unsigned index, void *(*body)(void *))
{
	*w = (struct worker){.round = r, .index = index, .random = index * 77 + 1};
	if (pthread_create(&w->thread, NULL, body, w))
		abort();
}

/* Returns how many objects passed. */
static uint64_t run_threads(struct round *r, unsigned ms)
{
	static struct worker producers[SIDE_MAX], consumers[SIDE_MAX];
	uint64_t passed = 0;

	r->producing = r->producers;
	for (unsigned i = 0; i < r->producers; i++)
		start(&producers[i], r, i, produce);
	for (unsigned i = 0; i < r->consumers; i++)
		start(&consumers[i], r, i, consume);
	for (unsigned i = 0; i < ms / 10 && !has_failed(r); i++)
		sleep_ms(10);
	__atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < r->producers; i++)
		pthread_join(producers[i].thread, NULL);
	for (unsigned i = 0; i < r->consumers; i++) {
		pthread_join(consumers[i].thread, NULL);
		passed += consumers[i].count;
	}
	return passed;
}

static bool run_round(enum ring_sync in, enum ring_sync out, uint32_t size, enum plant plant,
		      unsigned ms)
{
	struct round r = {.plant = plant};
	uint64_t passed;

	r.producers = in == RING_SINGLE ? 1 : SIDE_MAX;
	r.consumers = out == RING_SINGLE ? 1 : SIDE_MAX;
	snprintf(r.text, sizeof(r.text), "%s to %s, size %u", ring_sync_name(in),
		 ring_sync_name(out), size);
	r.ring = make_ring(size, in, out);
	r.objects = aligned_alloc(64, SIDE_MAX * OBJECTS * sizeof(*r.objects));
	if (!r.objects)
		abort();
	for (unsigned i = 0; i < r.producers; i++) {
		r.back[i] = make_ring(OBJECTS, RING_MULTI_RTS, RING_SINGLE);
		for (unsigned j = 0; j < OBJECTS; j++)
			ring_enqueue_burst(r.back[i], (void *[]){&r.objects[i * OBJECTS + j]}, 1);
	}
	passed = run_threads(&r, ms);
	if (!r.failed)
		check_all(&r);
	if (passed == 0)
		fail(&r, "all: nothing passed", 0, 1);
	if (!r.failed)
		printf("stress_ring: %-28s %9llu objects\n", r.text, (unsigned long long)passed);
	for (unsigned i = 0; i < r.producers; i++)
		free(r.back[i]);
	free(r.objects);
	free(r.ring);
	return !r.failed;
}

static bool run_all(unsigned seconds)
{
	static const uint32_t sizes[] = {2, 16, 512};
	unsigned rounds = SYNCS * SYNCS * 3;
	bool ok = true;

	for (unsigned i = 0; i < rounds && ok; i++) {
		unsigned modes = i / 3;

		ok = run_round(modes / SYNCS, modes % SYNCS, sizes[i % 3], NONE,
			       seconds * 1000 / rounds);
	}
	return ok;
}

/* In a process of its own: threads may wait for each other for ever then. */
static bool plant_is_found(enum plant plant)
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr))
			abort();
		alarm(PLANT_S);
		/* Claims by one are read as those of one by the hand-over, too. */
		_exit(run_round(RING_MULTI, RING_SINGLE, 16, plant, PLANT_S * 1000 / 2) ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	printf("stress_ring: planted %s: %s\n", plant_names[plant], status ? "found" : "NOT FOUND");
	return status != 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"seconds", required_argument, NULL, 's'},
					      {"plant", required_argument, NULL, 'p'},
					      {NULL, 0, NULL, 0}};
	unsigned seconds = SECONDS;
	enum plant plant = NONE;
	bool ok;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's')
			seconds = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'p')
			for (plant = TURN;
			     plant < PLANTS && strcmp(optarg, plant_names[plant]) != 0;)
				plant++;
		else
			return 2;
	}
	if (plant == PLANTS) {
		fprintf(stderr, "stress_ring: unknown fault\n");
		return 2;
	}
	if (plant != NONE)
		return run_round(RING_MULTI, RING_SINGLE, 16, plant, PLANT_S * 1000) ? 0 : 1;
	ok = run_all(seconds);
	for (enum plant p = TURN; p < PLANTS; p++)
		ok &= plant_is_found(p);
	return ok ? 0 : 1;
}
