#include "perf/lpm_publish.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "dataplane/route.h"

struct shared {
	const struct fixture *fixture;
	struct routes *routes;
	unsigned burst;
	atomic_bool stop;
};

/* On a line of its own: written by one reader, at each new table. */
struct reader {
	_Alignas(64) const struct shared *shared;
	pthread_t thread;
	_Atomic uint64_t seen_ns; /* when it first had the newest table; 0: never */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void *read_on(void *argument)
{
	struct reader *r = argument;
	const struct shared *s = r->shared;
	const struct fixture *f = s->fixture;
	uintptr_t last = UINTPTR_MAX; /* of no table */
	uint16_t out[LPM_BURST_MAX];
	size_t at = 0;

	route_enter();
	while (!atomic_load_explicit(&s->stop, memory_order_relaxed)) {
		const struct table *table = route_table(s->routes);

		if ((uintptr_t)table != last) /* the last one lived while this one was built */
			atomic_store_explicit(&r->seen_ns, now_ns(), memory_order_relaxed);
		last = (uintptr_t)table;
		if (f->version == 4)
			lpm4_lookup_burst(table->v4, f->keys4 + at, out, s->burst);
		else
			lpm6_lookup_burst(table->v6, f->keys6 + at, out, s->burst);
		__asm__ volatile("" : : "r"(out) : "memory");
		route_quiescent();
		at = (at + s->burst) % f->key_count;
	}
	route_exit();
	return NULL;
}

/* When the last reader had what was published after start_ns; waits for it. */
static uint64_t last_seen_ns(const struct reader *readers, unsigned count, uint64_t start_ns)
{
	uint64_t last_ns = start_ns;

	for (unsigned i = 0; i < count; i++) {
		uint64_t ns = 0;

		while ((ns = atomic_load_explicit(&readers[i].seen_ns, memory_order_relaxed)) <
		       start_ns)
			sched_yield();
		if (ns > last_ns)
			last_ns = ns;
	}
	return last_ns;
}

void publish_measure(const struct fixture *f, unsigned burst, unsigned reader_count, unsigned count,
		     struct samples *seen, struct samples *returned)
{
	struct shared s = {.fixture = f, .routes = routes_create(), .burst = burst};
	struct reader readers[PUBLISH_READERS];

	if (s.routes == NULL)
		fixture_fail("out of memory");
	route_publish_table(s.routes, fixture_build(f));
	for (unsigned i = 0; i < reader_count; i++) {
		readers[i] = (struct reader){.shared = &s};
		if (pthread_create(&readers[i].thread, NULL, read_on, &readers[i]) != 0)
			fixture_fail("cannot start a thread");
	}
	last_seen_ns(readers, reader_count, 1); /* all run */
	for (unsigned i = 0; i < count; i++) {
		struct table *table = fixture_build(f);
		uint64_t start_ns = now_ns();

		samples_add(returned, (double)route_publish_table(s.routes, table) * 1e-3);
		samples_add(seen,
			    (double)(last_seen_ns(readers, reader_count, start_ns) - start_ns) *
				    1e-3);
	}
	atomic_store_explicit(&s.stop, true, memory_order_relaxed);
	for (unsigned i = 0; i < reader_count; i++)
		pthread_join(readers[i].thread, NULL);
	routes_destroy(s.routes);
}
