/*
 * Rings, beside DPDK's and Concurrency Kit's: one thread that puts objects in and takes them out
 * again, one core to another, and two cores that do both on the same ring.
 *
 * The rings run by turns in short slices, in every order, in the same memory and on the same two
 * threads, which stay on their cores: what disturbs the machine for longer than a slice disturbs
 * all of them. A run of a case is the median of its slices, and has memory of its own. All calls
 * are bulk. What arrives is checked, order and all.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "perf/options.h"
#include "perf/perf.h"
#include "perf/report.h"
#include "perf/ring_loops.h"

enum {
	RUNS_DEFAULT = 9,
	RUNS_MIN = 5,
	CORES = 2,
	SUBJECTS = 3, /* our own, DPDK's, Concurrency Kit's */
	ORDERS = 6,   /* in which they can run */
	SLICES = 5 * ORDERS,
	SLICE_NS = 150000,
	ROUNDS_LEAST = 64,
	PAGE = 4096,
	RING_PAGES = 3,
};

_Static_assert(SLICES <= (int)REPORT_RUNS_MAX, "a sample each");

enum what { PAIR, ACROSS, BOTH };

struct slice {
	const struct ring_subject *subject;
	const struct ring_loops *loops;
	enum what what;
	unsigned n;
	uint64_t rounds;
};

/*
 * Where all of it lies: what is not of the ring, half a page off. A store and a load whose
 * addresses differ by pages alone hold each other up, and whom that meets would be chance.
 */
struct place {
	_Alignas(PAGE) uint8_t ring[RING_PAGES * PAGE];
	uint8_t gap[PAGE / 2];
	void *objects[RING_OBJECTS + RING_N_MAX];
	struct {
		_Alignas(PAGE) uint8_t gap[PAGE / 2];
		void *out[RING_N_MAX];
	} cores[CORES];
};

struct bench {
	struct place *place;
	enum ring_threads threads;
	struct slice slice;
	cpu_set_t cores; /* as it was */
	/* The thread on the other core, and its count of slices. */
	pthread_t other;
	uint64_t other_sum;
	bool other_wrong;
	bool stop;
	_Alignas(RING_MEMORY_ALIGN) uint32_t begun;
	_Alignas(RING_MEMORY_ALIGN) uint32_t ended;
};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void pin(unsigned core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set); /* else the scheduler's choice */
}

/*
 * [slice-1] Orders what is written for the other core before the count that tells of it; pairs with
 * [slice-2]. Otherwise a slice could run in a ring that is not made yet, or its sum be read early.
 */
static void tell(uint32_t *count, uint32_t turn)
{
	__atomic_store_n(count, turn, __ATOMIC_RELEASE);
}

/* [slice-2] Orders the count before what it tells of; pairs with [slice-1]. */
static void await(const uint32_t *count, uint32_t turn)
{
	while (__atomic_load_n(count, __ATOMIC_ACQUIRE) != turn)
		caa_cpu_relax();
}

static void *work(void *argument)
{
	struct bench *b = argument;

	pin(1);
	for (uint32_t turn = 1;; turn++) {
		const struct slice *s = &b->slice;
		struct place *p;

		await(&b->begun, turn);
		if (b->stop)
			return NULL;
		p = b->place;
		if (s->what == BOTH)
			b->other_sum = s->loops->pairs(p->ring, p->objects, p->cores[1].out, s->n,
						       s->rounds);
		else
			b->other_wrong =
				!s->loops->consume(p->ring, p->cores[1].out, s->n, s->rounds);
		tell(&b->ended, turn);
	}
}

/* Of the numbers 0 to RING_OBJECTS - 1 over and over. */
static uint64_t sum_of(uint64_t count)
{
	uint64_t rest = count % RING_OBJECTS;

	return count / RING_OBJECTS * (RING_OBJECTS * (RING_OBJECTS - 1) / 2) +
	       rest * (rest - 1) / 2;
}

static void fail(const char *subject, const char *what)
{
	fprintf(stderr, "sluice-perf: %s %s\n", subject, what);
	exit(1);
}

/* It waits awake, so it is there for the cases of two cores only: the cores may share something. */
static void other_start(struct bench *b)
{
	b->stop = false;
	b->begun = 0;
	if (pthread_create(&b->other, NULL, work, b) != 0)
		fail("cannot", "start a thread");
}

static void other_stop(struct bench *b)
{
	b->stop = true;
	tell(&b->begun, b->begun + 1);
	pthread_join(b->other, NULL);
	b->begun = b->ended = 0;
}

/* Returns nanoseconds from the start of the slice to its end on both cores. */
static double run_slice(struct bench *b)
{
	struct slice *s = &b->slice;
	struct place *p = b->place;
	uint64_t sum = 0;
	double start;

	s->loops = &s->subject->loops[s->n > 1];
	s->subject->init(p->ring, b->threads != RING_SPSC, b->threads == RING_MPMC);
	b->other_sum = 0;
	b->other_wrong = false;
	start = now_ns();
	if (s->what != PAIR)
		tell(&b->begun, b->begun + 1);
	if (s->what == ACROSS)
		s->loops->produce(p->ring, p->objects, s->n, s->rounds);
	else
		sum = s->loops->pairs(p->ring, p->objects, p->cores[0].out, s->n, s->rounds);
	await(&b->ended, b->begun);
	start = now_ns() - start;
	if (s->what != ACROSS)
		sum -= sum_of(s->rounds * s->n) * (s->what == BOTH ? CORES : 1);
	if (sum + b->other_sum != 0 || b->other_wrong)
		fail(s->subject->name, "lost or mixed up objects");
	return start;
}

/* Rounds that take the first subject as long as a slice should. */
static void choose_rounds(struct bench *b)
{
	double ns;

	b->slice.rounds = ROUNDS_LEAST;
	run_slice(b); /* the other thread is there after it */
	while ((ns = run_slice(b)) < SLICE_NS / 2.0)
		b->slice.rounds *= 2;
	b->slice.rounds = (uint64_t)((double)b->slice.rounds * (SLICE_NS / ns)) + 1;
}

/* A sample for each subject that is there and takes n: nanoseconds an object. */
static void run_slices(struct bench *b, const struct ring_subject *const subjects[SUBJECTS],
		       struct samples samples[SUBJECTS])
{
	static const uint8_t orders[ORDERS][SUBJECTS] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0},
							 {0, 2, 1}, {2, 0, 1}, {1, 0, 2}};
	struct samples slices[SUBJECTS] = {0};
	struct slice *s = &b->slice;
	unsigned cores = s->what == BOTH ? CORES : 1;

	for (unsigned slice = 0; slice < SLICES; slice++) {
		for (unsigned i = 0; i < SUBJECTS; i++) {
			unsigned which = orders[slice % ORDERS][i];

			s->subject = subjects[which];
			if (!s->subject->name || s->n > s->subject->n_max)
				continue;
			if (s->subject->size_bytes() > sizeof(b->place->ring))
				fail(s->subject->name, "needs more memory");
			samples_add(&slices[which],
				    run_slice(b) / ((double)(s->rounds * s->n * cores)));
		}
	}
	for (unsigned i = 0; i < SUBJECTS; i++)
		if (slices[i].count > 0)
			samples_add(&samples[i], samples_median(&slices[i]));
}

static const char *const thread_names[RING_THREADS] = {"spsc", "mpsc", "mpmc"};
static const char *const what_names[] = {"pair", "across", "both"};

struct options {
	bool json;
	unsigned runs;
	const char *only; /* part of the names of the cases to run; NULL: all */
};

static struct place *place_create(void)
{
	struct place *place = mmap(NULL, sizeof(*place), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (place == MAP_FAILED)
		fail("out", "of memory");
	for (unsigned i = 0; i < RING_OBJECTS + RING_N_MAX; i++)
		place->objects[i] = (void *)(uintptr_t)(i % RING_OBJECTS);
	return place;
}

/* Each run in other memory than those before: the caches' parts that serve it are chosen by it. */
static void run_all(struct bench *b, unsigned runs, const struct ring_subject *const subjects[],
		    struct samples samples[SUBJECTS])
{
	struct place *places[REPORT_RUNS_MAX];

	for (unsigned run = 0; run < runs; run++) {
		b->place = places[run] = place_create();
		if (run == 0)
			choose_rounds(b);
		run_slices(b, subjects, samples);
	}
	while (runs > 0)
		munmap(places[--runs], sizeof(*places[0]));
}

static void compare(struct bench *b, const struct options *o, enum ring_threads threads,
		    enum what what, unsigned n)
{
	const struct ring_subject *subjects[] = {&ring_own[threads], &ring_dpdk[threads],
						 &ring_ck[threads]};
	struct samples samples[SUBJECTS] = {0};
	struct report_second second = {"ck", subjects[2]->name, &samples[2]};
	char text[64];

	snprintf(text, sizeof(text), "%s n%u %s", thread_names[threads], n, what_names[what]);
	if (o->only && !strstr(text, o->only))
		return;
	b->threads = threads;
	b->slice = (struct slice){.subject = subjects[0], .what = what, .n = n};
	if (what != PAIR)
		other_start(b);
	run_all(b, o->runs, subjects, samples);
	if (what != PAIR)
		other_stop(b);
	report_line_second(o->json,
			   &(struct report_case){.name = text,
						 .unit = "ns",
						 .own = &samples[0],
						 .peer = subjects[1]->name,
						 .peer_samples = &samples[1]},
			   samples[2].count > 0 ? &second : NULL);
}

static void bench_init(struct bench *b)
{
	pthread_getaffinity_np(pthread_self(), sizeof(b->cores), &b->cores);
	pin(0);
}

static void bench_fini(struct bench *b)
{
	pthread_setaffinity_np(pthread_self(), sizeof(b->cores), &b->cores);
}

static int usage(FILE *out)
{
	fprintf(out,
		"usage: sluice-perf ring [--json] [--runs N] [--case WORDS]\n\n"
		"  --runs N      of each case, %d to %d (default %d), each the median of %d "
		"slices\n"
		"  --case WORDS  only cases with this in their names: \"spsc n1\"\n\n"
		"Nanoseconds an object, calls of 1 to 128 objects: pair is one thread that puts\n"
		"in and takes out, across from one core to another, both two cores that do\n"
		"as pair does on one ring.\n",
		RUNS_MIN, REPORT_RUNS_MAX, RUNS_DEFAULT, SLICES);
	return out == stderr;
}

int perf_ring(int argc, char **argv)
{
	static const unsigned ns[] = {1, 8, 32, RING_N_MAX};
	static struct bench b;
	struct options o = {.runs = RUNS_DEFAULT};
	const struct options_entry entries[] = {
		{"json", .flag = &o.json, .set = true},
		{"runs", .number = &o.runs, .min = RUNS_MIN, .max = REPORT_RUNS_MAX},
		{"case", .text = &o.only},
	};
	int rc = options_parse(entries, sizeof(entries) / sizeof(entries[0]), argc, argv);

	if (rc != 0)
		return usage(rc > 0 ? stdout : stderr);
	b = (struct bench){0};
	bench_init(&b);
	report_head(o.json);
	for (enum ring_threads t = RING_SPSC; t < RING_THREADS; t++)
		for (enum what what = PAIR; what <= (t == RING_MPMC ? BOTH : ACROSS); what++)
			for (unsigned i = 0; i < sizeof(ns) / sizeof(ns[0]); i++)
				compare(&b, &o, t, what, ns[i]);
	bench_fini(&b);
	return 0;
}
