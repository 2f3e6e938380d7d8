/*
 * A model checker for small lock-free programs: runs their real code in every order that the
 * accesses of its threads to shared words can have, and with every value that weakly ordered memory
 * may show.
 *
 * Threads are coroutines that stop at each access. Depth-first search over who goes next, by
 * replaying from the start; orders that differ only in accesses that do not touch each other are
 * run once (sleep sets). Memory is C11's release/acquire with views: each word keeps all its
 * values, a load may see any that is not older than what its thread has seen or been told of, a
 * release tells of all that its thread has seen. Two things that C11 allows are left out: values
 * from stores that come later in program order, and stores that slip in before older ones.
 * Contents (interleave_copy) must be ordered by what was told: a race is a fault.
 *
 * A thread that waits sees the newest values of what it looked at afterwards; if all wait for each
 * other, that is a fault.
 */
#ifndef SLUICE_TESTS_MODEL_INTERLEAVE_H
#define SLUICE_TESTS_MODEL_INTERLEAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	INTERLEAVE_THREADS_MAX = 4,
	INTERLEAVE_SITES_MAX = 64,
	INTERLEAVE_FAULT_MAX = 4096, /* bytes of text */
};

struct interleave_program {
	unsigned threads;
	void *context;
	void (*setup)(void *context); /* before each run */
	void (*thread)(void *context, unsigned index);
	/* After each run: NULL, or what is wrong. Contents of memory are the newest. */
	const char *(*check)(void *context);
	/* Contents, which threads touch by interleave_copy alone. */
	void **slots;
	size_t slot_count;
	uint64_t runs_max; /* 0: no limit */
	bool strong;       /* loads see the newest value only */

	/* A fault to plant. */
	unsigned weaken_site; /* 0, or the line of an access ... */
	int weaken_to;        /* ... and the order it gets */
};

/* An order that the code asked for, at a line. */
struct interleave_site {
	unsigned line;
	char kind; /* 'l'oad, 's'tore, 'c'as, 'r'elax */
	int order;
};

struct interleave_result {
	uint64_t runs;
	uint64_t steps;
	bool complete; /* all orders were run, or a fault was found */
	bool faulty;
	char fault[INTERLEAVE_FAULT_MAX]; /* and the accesses that led to it */
	unsigned site_count;
	struct interleave_site sites[INTERLEAVE_SITES_MAX];
};

/* Stops at the first fault. One at a time in a process. */
void interleave_run(const struct interleave_program *program, struct interleave_result *result);

/* The accesses. Outside of a run, and in setup and check, they are plain. */
uint64_t interleave_load(const uint64_t *word, int order, unsigned line);
void interleave_store(uint64_t *word, uint64_t value, int order, unsigned line);
bool interleave_cas(uint64_t *word, uint64_t *expected, uint64_t value, int order, unsigned line);
void interleave_relax(unsigned line);
void interleave_copy(void **to, void *const *from, size_t n);

/* For a file that includes dataplane/ring.h after this. */
#define RING_LOAD(word, order) interleave_load(word, order, __LINE__)
#define RING_STORE(word, value, order) interleave_store(word, value, order, __LINE__)
#define RING_CAS(word, expected, value, order)                                                     \
	interleave_cas(word, expected, value, order, __LINE__)
#define RING_COPY(to, from, n) interleave_copy(to, from, n)
#define RING_COPY_PART(to, from, n) interleave_copy(to, from, n)
#define RING_RELAX(turn) ((void)(turn), interleave_relax(__LINE__))

#endif
