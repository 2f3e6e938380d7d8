/*
 * Rings of all modes between threads, for ThreadSanitizer: it watches that what a consumer reads
 * behind a pointer was handed over, and that a slot is not used by both sides at once.
 *
 * usage: race_ring [--plant ORDER]
 *
 * Without --plant it runs once as it should be, and then with each ORDER left out everywhere
 * (acquire, release) in a child process: that one must fail.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int planted; /* the order that is left out; 0, which is relaxed, for none */

static int order_of(int order)
{
	if (order == planted)
		return __ATOMIC_RELAXED;
	return order;
}

/* In place of those of dataplane/ring.h. */
#define RING_LOAD(word, order) __atomic_load_n(word, order_of(order))
#define RING_STORE(word, value, order) __atomic_store_n(word, value, order_of(order))
#define RING_CAS(word, expected, value, order)                                                     \
	__atomic_compare_exchange_n(word, expected, value, false, order_of(order),                 \
				    order_of(__ATOMIC_ACQUIRE))
#define RING_COPY(to, from, n) copy(to, from, n)
#define RING_COPY_PART(to, from, n) copy(to, from, n)
#define RING_RELAX(turn) ring_relax(turn)

static void copy(void **to, void *const *from, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		to[i] = from[i];
}

#include "dataplane/ring.h"
#include "tests/model/ring_start.h"

enum {
	SIDE = 2, /* threads */
	SYNCS = RING_MULTI_HTS + 1,
	SIZE = 8,
	OBJECTS = 600, /* of a producer */
	CALL_MAX = 3,
	PLANTED_S = 60,
};

struct race {
	struct ring *ring;
	unsigned producers, consumers;
	unsigned producing;
	unsigned next;
	uint64_t objects[SIDE][OBJECTS]; /* plain: written by producers, read by consumers */
	uint64_t sum;
};

static void *produce(void *argument)
{
	struct race *race = argument;
	uint64_t *own = race->objects[__atomic_fetch_add(&race->next, 1, __ATOMIC_RELAXED)];
	void *call[CALL_MAX];

	for (unsigned i = 0; i < OBJECTS; i += CALL_MAX) {
		unsigned done = 0;

		for (unsigned j = 0; j < CALL_MAX; j++) {
			own[i + j] = i + j + 1;
			call[j] = &own[i + j];
		}
		while (done < CALL_MAX) {
			unsigned put = ring_enqueue_burst(race->ring, call + done, CALL_MAX - done);

			done += put;
			if (put == 0)
				sched_yield();
		}
	}
	__atomic_fetch_sub(&race->producing, 1, __ATOMIC_RELEASE); /* [race-ring-1] see below */
	return NULL;
}

static void *consume(void *argument)
{
	struct race *race = argument;
	void *call[CALL_MAX];
	uint64_t sum = 0;

	for (bool last = false;;) {
		unsigned n = ring_dequeue_burst(race->ring, call, CALL_MAX);

		for (unsigned i = 0; i < n; i++)
			sum += *(uint64_t *)call[i];
		if (n == 0 && last)
			break;
		if (n == 0) {
			sched_yield();
			/* [race-ring-2] Orders the end of all producers before the last looks;
			 * pairs with [race-ring-1]: what they put in is seen then. */
			last = __atomic_load_n(&race->producing, __ATOMIC_ACQUIRE) == 0;
		}
	}
	__atomic_fetch_add(&race->sum, sum, __ATOMIC_RELAXED);
	return NULL;
}

/* Returns whether all came out; ThreadSanitizer has its own word in the exit code. */
static bool run(enum ring_sync in, enum ring_sync out)
{
	static struct race race;
	pthread_t threads[2 * SIDE];
	unsigned count = 0;
	uint64_t expected;

	race = (struct race){.producers = in == RING_SINGLE ? 1 : SIDE,
			     .consumers = out == RING_SINGLE ? 1 : SIDE};
	race.producing = race.producers;
	race.ring = aligned_alloc(RING_LINE, ring_size_bytes(SIZE));
	if (!race.ring || ring_init(race.ring, SIZE, in, out) < 0)
		abort();
	race.ring->lag_max = SIZE; /* claims of RTS overlap */
	ring_start_at(race.ring, UINT32_MAX - OBJECTS / 2);
	for (unsigned i = 0; i < race.producers + race.consumers; i++)
		if (pthread_create(&threads[count++], NULL, i < race.producers ? produce : consume,
				   &race))
			abort();
	while (count > 0)
		pthread_join(threads[--count], NULL);
	free(race.ring);
	expected = (uint64_t)OBJECTS * (OBJECTS + 1) / 2 * race.producers;
	if (race.sum != expected)
		fprintf(stderr, "race_ring: %s to %s: sum %llu, expected %llu\n",
			ring_sync_name(in), ring_sync_name(out), (unsigned long long)race.sum,
			(unsigned long long)expected);
	return race.sum == expected;
}

static bool run_all(void)
{
	bool ok = true;

	for (unsigned modes = 0; modes < SYNCS * SYNCS; modes++)
		ok &= run(modes / SYNCS, modes % SYNCS);
	return ok;
}

static const struct {
	const char *name;
	int order;
} plants[] = {{"acquire", __ATOMIC_ACQUIRE}, {"release", __ATOMIC_RELEASE}};

/* A process of its own, before there are threads; only its exit code is of interest. */
static bool plant_is_found(char **argv, const char *name)
{
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		abort();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr))
			abort();
		setenv("TSAN_OPTIONS", "halt_on_error=1:suppressions=tests/tsan.supp", 1);
		execl("/proc/self/exe", argv[0], "--plant", name, (char *)NULL);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	printf("race_ring: planted %s: %s\n", name, status ? "found" : "NOT FOUND");
	return status != 0;
}

int main(int argc, char **argv)
{
	bool ok = true;

	for (size_t i = 0; i < sizeof(plants) / sizeof(plants[0]); i++) {
		if (argc > 2 && strcmp(argv[2], plants[i].name) == 0)
			planted = plants[i].order;
		else if (argc < 2)
			ok &= plant_is_found(argv, plants[i].name);
	}
	if (planted)
		alarm(PLANTED_S);
	return run_all() && ok ? 0 : 1;
}
