/*
 * Rings, beside DPDK's and Concurrency Kit's: one thread that puts objects in and takes them out
 * again, one core to another, and two cores that do both on the same ring.
 *
 * All calls are bulk. What arrives is checked, order and all.
 */
#include "dataplane/ring.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "perf/perf.h"
#include "perf/report.h"
#include "perf/ring_loops.h"

enum {
	RUNS_DEFAULT = 9,
	RUNS_MIN = 5,
	CORES = 2,
	CALLS = 200000, /* of each side in a run, and as many again for every CALLS_N objects */
	CALLS_N = 16,
	SUBJECTS = 3, /* our own, DPDK's, Concurrency Kit's */
};

static size_t own_size(void)
{
	return ring_size_bytes(RING_SLOTS);
}

static void own_init(void *memory, enum ring_sync in, enum ring_sync out)
{
	if (ring_init(memory, RING_SLOTS, in, out) < 0)
		abort();
}

static void own_init_spsc(void *memory)
{
	own_init(memory, RING_SINGLE, RING_SINGLE);
}

static void own_init_mpsc(void *memory)
{
	own_init(memory, RING_MULTI, RING_SINGLE);
}

static void own_init_mpmc(void *memory)
{
	own_init(memory, RING_MULTI, RING_MULTI);
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

static const struct ring_subject own[RING_THREADS] = {
	{"ring", RING_N_MAX, own_size, own_init_spsc, own_spsc_pairs, own_spsc_produce,
	 own_spsc_consume},
	{"ring", RING_N_MAX, own_size, own_init_mpsc, own_mpsc_pairs, own_mpsc_produce,
	 own_mpsc_consume},
	{"ring", RING_N_MAX, own_size, own_init_mpmc, own_mpmc_pairs, own_mpmc_produce,
	 own_mpmc_consume},
};

enum what { PAIR, ACROSS, BOTH };

struct run {
	const struct ring_subject *subject;
	enum what what;
	unsigned n;
	uint64_t rounds;
	void *ring;
	void *objects[RING_OBJECTS + RING_N_MAX];
	unsigned ready; /* threads */
	uint64_t sum;
	bool wrong;
};

struct worker {
	struct run *run;
	unsigned index;
	pthread_t thread;
	double end_ns;
};

static double now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void pin(unsigned core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set); /* else the scheduler's choice */
}

/* Nobody begins before all can. */
static void meet(struct run *r)
{
	__atomic_fetch_add(&r->ready, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&r->ready, __ATOMIC_SEQ_CST) < CORES)
		caa_cpu_relax();
}

static void *work(void *argument)
{
	struct worker *w = argument;
	struct run *r = w->run;
	const struct ring_subject *s = r->subject;

	pin(w->index);
	meet(r);
	if (r->what == BOTH) {
		uint64_t sum = s->pairs(r->ring, r->objects, r->n, r->rounds);

		__atomic_fetch_add(&r->sum, sum, __ATOMIC_RELAXED);
	} else if (w->index == 0) {
		s->produce(r->ring, r->objects, r->n, r->rounds);
	} else {
		r->wrong = !s->consume(r->ring, r->n, r->rounds);
	}
	w->end_ns = now_ns(CLOCK_MONOTONIC);
	return NULL;
}

/* Returns nanoseconds from the start to the last end. */
static double run_threads(struct run *r)
{
	struct worker workers[CORES];
	double start, end = 0;

	for (unsigned i = 0; i < CORES; i++) {
		workers[i] = (struct worker){.run = r, .index = i};
		if (i > 0 && pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			abort();
	}
	while (__atomic_load_n(&r->ready, __ATOMIC_SEQ_CST) < CORES - 1)
		caa_cpu_relax();
	start = now_ns(CLOCK_MONOTONIC);
	work(&workers[0]);
	for (unsigned i = 1; i < CORES; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < CORES; i++)
		end = workers[i].end_ns > end ? workers[i].end_ns : end;
	return end - start;
}

/* Of the numbers 0 to RING_OBJECTS - 1 over and over. */
static uint64_t sum_of(uint64_t count)
{
	uint64_t rest = count % RING_OBJECTS;

	return count / RING_OBJECTS * (RING_OBJECTS * (RING_OBJECTS - 1) / 2) +
	       rest * (rest - 1) / 2;
}

/* Returns nanoseconds an object. */
static double measure(const struct ring_subject *s, enum what what, unsigned n)
{
	static struct run r;
	size_t bytes = (s->size_bytes() + RING_MEMORY_ALIGN - 1) & -(size_t)RING_MEMORY_ALIGN;
	double ns;

	r = (struct run){.subject = s, .what = what, .n = n};
	r.ring = aligned_alloc(RING_MEMORY_ALIGN, bytes);
	if (!r.ring)
		abort();
	memset(r.ring, 0, bytes);
	s->init(r.ring);
	for (unsigned i = 0; i < RING_OBJECTS + RING_N_MAX; i++)
		r.objects[i] = (void *)(uintptr_t)(i % RING_OBJECTS);
	r.rounds = CALLS / (1 + n / CALLS_N) * (what == PAIR ? 4 : 1);
	if (what == PAIR) {
		ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
		r.sum = s->pairs(r.ring, r.objects, n, r.rounds);
		ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - ns;
	} else {
		ns = run_threads(&r);
	}
	if (what != ACROSS)
		r.wrong = r.sum != sum_of(r.rounds * n) * (what == BOTH ? CORES : 1);
	free(r.ring);
	if (r.wrong) {
		fprintf(stderr, "sluice-perf: %s lost or mixed up objects\n", s->name);
		exit(1);
	}
	return ns / ((double)r.rounds * n * (what == BOTH ? CORES : 1));
}

static const char *const thread_names[RING_THREADS] = {"spsc", "mpsc", "mpmc"};
static const char *const what_names[] = {"pair", "across", "both"};

struct options {
	bool json;
	unsigned runs;
};

/* One cell: our ring and the peers' by turns. */
static void compare(const struct options *o, enum ring_threads threads, enum what what, unsigned n)
{
	const struct ring_subject *subjects[] = {&own[threads], &ring_dpdk[threads],
						 &ring_ck[threads]};
	struct samples samples[SUBJECTS] = {0};
	struct report_second second = {"ck", NULL, &samples[2]};
	char text[64];

	for (unsigned run = 0; run <= o->runs; run++) {
		for (unsigned i = 0; i < SUBJECTS; i++) {
			double ns;

			if (!subjects[i]->name || n > subjects[i]->n_max)
				continue;
			ns = measure(subjects[i], what, n);
			if (run > 0) /* the first is to warm up */
				samples_add(&samples[i], ns);
		}
	}
	second.peer = subjects[2]->name;
	snprintf(text, sizeof(text), "%s n%u %s", thread_names[threads], n, what_names[what]);
	report_line_second(o->json,
			   &(struct report_case){.name = text,
						 .unit = "ns",
						 .own = &samples[0],
						 .peer = subjects[1]->name,
						 .peer_samples = &samples[1]},
			   samples[2].count > 0 ? &second : NULL);
}

static int usage(FILE *out)
{
	fprintf(out,
		"usage: sluice-perf ring [--json] [--runs N]\n\n"
		"  --runs N      of each case, 5 to 32 (default 9)\n\n"
		"Nanoseconds an object, calls of 1 to 128 objects: pair is one thread that puts\n"
		"in and takes out, across from one core to another, both two cores that do\n"
		"as pair does on one ring.\n");
	return out == stderr;
}

static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
					      {"runs", required_argument, NULL, 'n'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	char *end;
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			o->json = true;
			break;
		case 'n':
			o->runs = (unsigned)strtoul(optarg, &end, 10);
			if (*end != '\0' || o->runs < RUNS_MIN || o->runs > REPORT_RUNS_MAX)
				return -1;
			break;
		case 'h':
			return 1;
		default:
			return -1;
		}
	}
	return optind == argc ? 0 : -1;
}

int perf_ring(int argc, char **argv)
{
	static const unsigned ns[] = {1, 8, 32, RING_N_MAX};
	struct options o = {.runs = RUNS_DEFAULT};
	int rc = parse_options(&o, argc, argv);

	if (rc != 0)
		return usage(rc > 0 ? stdout : stderr);
	report_head(o.json);
	for (enum ring_threads t = RING_SPSC; t < RING_THREADS; t++)
		for (enum what what = PAIR; what <= (t == RING_MPMC ? BOTH : ACROSS); what++)
			for (unsigned i = 0; i < sizeof(ns) / sizeof(ns[0]); i++)
				compare(&o, t, what, ns[i]);
	return 0;
}
