/*
 * A storm of publishes over readers that never stop asking.
 *
 * Invariants:
 *   live   every answer is explained by one table, and that table was live when it was asked:
 *          published, and its publisher not yet told that nobody can see it
 *   still  what a reader holds does not change before its next quiescent state
 *   onward no reader's generation ever goes back
 *   grace  when a publish returns, no reader uses anything older
 *   freed  when a publish returns, all tables but the published one are freed
 *
 * Table g sends the addresses of its own half of 10.0.0.0/8 to egress g, all others to ~g (16
 * bits), so that an answer tells which table gave it.
 *
 * usage: stress_publish [--seconds N] [--readers N] [--plant FAULT]
 *
 * Without --plant it runs once as it should be, and then once with each FAULT in a child process,
 * which must fail:
 *   nowait   the publisher does not wait for readers
 *   hold     a reader keeps what it has over its quiescent state
 *   offline  a reader keeps what it has while it is offline
 *   stamp    a table has the wrong generation
 *   back     an older table is published after a newer one
 *   leak     a table is not freed
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <urcu/urcu-qsbr.h>

#include "dataplane/route.h"
#include "tests/model/stress.h"

enum {
	READERS_MAX = 16,
	BURST = 64,
	LINKS = 4,
	LINKS_A_TABLE = 20, /* publishes of links for each of a table */
	BUCKETS = 40,       /* of the histogram: powers of two of nanoseconds */
	OFFLINE_TURNS = 256,
	SLEEP_TURNS = 65536, /* a multiple of the former; readers are mostly awake */
	PLANT_EVERY = 4,     /* generations */
};

enum plant { NONE, NOWAIT, HOLD, OFFLINE, STAMP, BACK, LEAK, PLANTS };

static const char *const plant_names[PLANTS] = {"none",  "nowait", "hold", "offline",
						"stamp", "back",   "leak"};

static bool skip_waiting; /* for the function below, which the linker puts before liburcu's */

void urcu_qsbr_synchronize_rcu(void)
{
	void (*wait)(void);

	if (skip_waiting)
		return;
	*(void **)&wait = dlsym(RTLD_NEXT, "urcu_qsbr_synchronize_rcu");
	wait();
}

struct stress;

struct reader {
	/* What it may use at the moment, 0 for nothing: checked by the publisher. */
	_Alignas(64) uint32_t uses_table;
	uint32_t uses_links;
	pthread_t thread;
	struct stress *stress;
	uint64_t random;
	uint64_t answers;
	uint32_t table_seen;
	uint32_t links_seen;
	const struct table *table;
	const struct links *links;
};

struct stress {
	struct routes *routes;
	enum plant plant;
	struct list *lists[2]; /* the lower and the upper half */
	uint32_t started;      /* generation whose publish has begun */
	uint32_t retired;      /* newest generation that nobody can see any more */
	uint32_t links_started;
	uint32_t links_retired;
	int failed;
	bool stop;
	unsigned reader_count;
	struct reader readers[READERS_MAX];
	uint64_t histogram[BUCKETS];
	uint64_t publishes;
	uint64_t longest_ns;
};

static void fail(struct stress *s, const char *invariant, uint32_t is, uint32_t bound)
{
	if (__atomic_exchange_n(&s->failed, 1, __ATOMIC_RELAXED) == 0)
		fprintf(stderr, "stress_publish: broken: %s (%u, %u)\n", invariant, is, bound);
}

static bool ended(struct stress *s)
{
	return __atomic_load_n(&s->failed, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&s->stop, __ATOMIC_RELAXED);
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* ---- Readers ---- */

static void ask(struct reader *r, const struct table *table, uint32_t generation)
{
	uint32_t v4 = 10U << 24 | (uint32_t)(random_next(&r->random) & 0xffffff);
	struct addr addr = {.version = 4, .v4 = v4};
	uint16_t egress = table->verdicts[table_lookup(table, &addr)].egress;
	bool own = (v4 >> 23 & 1) == (generation & 1);

	if (egress != (uint16_t)(own ? generation : ~generation))
		fail(r->stress, "live: an answer of another table", egress, generation);
	r->answers++;
}

/* Take what is published, as a worker does once a burst. */
static void take(struct reader *r)
{
	struct stress *s = r->stress;
	/* [live-2] Loaded before the pointers; pairs with [live-1]. */
	uint32_t retired = __atomic_load_n(&s->retired, __ATOMIC_ACQUIRE);
	uint32_t links_retired = __atomic_load_n(&s->links_retired, __ATOMIC_ACQUIRE);
	uint32_t generation, stamp;

	r->table = route_table(s->routes);
	r->links = route_links(s->routes);
	generation = r->table->generation;
	stamp = r->links->link[0].mtu;
	__atomic_store_n(&r->uses_table, generation, __ATOMIC_RELAXED);
	__atomic_store_n(&r->uses_links, stamp, __ATOMIC_RELAXED);
	if (generation <= retired)
		fail(s, "live: a table that was gone", generation, retired);
	if (generation > __atomic_load_n(&s->started, __ATOMIC_RELAXED))
		fail(s, "live: a table of the future", generation, s->started);
	if (stamp <= links_retired)
		fail(s, "live: links that were gone", stamp, links_retired);
	if (stamp > __atomic_load_n(&s->links_started, __ATOMIC_RELAXED))
		fail(s, "live: links of the future", stamp, s->links_started);
	if (generation < r->table_seen)
		fail(s, "onward: tables", generation, r->table_seen);
	if (stamp < r->links_seen)
		fail(s, "onward: links", stamp, r->links_seen);
	r->table_seen = generation;
	r->links_seen = stamp;
}

static void use(struct reader *r)
{
	for (unsigned i = 0; i < BURST; i++)
		ask(r, r->table, r->table_seen);
	for (unsigned i = 0; i < LINKS; i++) {
		const struct link *link = &r->links->link[i];

		if (link->mtu != r->links_seen || link->ifindex != ~r->links_seen ||
		    link->neighbours[0].addr.v4 != r->links_seen)
			fail(r->stress, "still: links", link->mtu, r->links_seen);
	}
	if (r->table->generation != r->table_seen)
		fail(r->stress, "still: a table", r->table->generation, r->table_seen);
}

static void forget(struct reader *r)
{
	__atomic_store_n(&r->uses_table, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&r->uses_links, 0, __ATOMIC_RELAXED);
}

/* As a worker that has nothing to do. Mostly no longer than that, or none is left to disturb. */
static void idle(const struct reader *r, unsigned turn)
{
	route_offline();
	if (turn % SLEEP_TURNS == 0 || r->stress->plant == OFFLINE)
		usleep(100);
	route_online();
}

static void *read_until_stopped(void *argument)
{
	struct reader *r = argument;
	enum plant plant = r->stress->plant;

	route_enter();
	take(r);
	for (unsigned turn = 1; !ended(r->stress); turn++) {
		bool idles = turn % OFFLINE_TURNS == 0;
		bool keeps = plant == HOLD || (plant == OFFLINE && idles);

		use(r);
		if (!keeps)
			forget(r);
		route_quiescent(); /* nothing taken may be used below here */
		if (idles)
			idle(r, turn);
		if (!keeps)
			take(r);
	}
	forget(r);
	route_exit();
	return NULL;
}

/* ---- The publisher ---- */

static struct list *half(const char *text)
{
	struct list_error error;
	struct list *list;

	if (list_parse("half", "half.txt", text, strlen(text), 0, &list, &error) < 0)
		abort();
	return list;
}

static struct table *make_table(struct stress *s, uint32_t generation)
{
	struct table_rule rule = {.list = s->lists[generation & 1], .egress = (uint16_t)generation};
	struct table *table;

	if (table_build(&rule, 1, (uint16_t)~generation, generation, &table) < 0)
		abort();
	return table;
}

static struct links *make_links(uint32_t stamp)
{
	struct links *links = links_create(LINKS);

	if (!links)
		abort();
	for (unsigned i = 0; i < LINKS; i++) {
		struct link *link = &links->link[i];

		link->mtu = stamp;
		link->ifindex = ~stamp;
		link->neighbour_count = 1;
		link->neighbours = calloc(1, sizeof(*link->neighbours));
		if (!link->neighbours)
			abort();
		link->neighbours[0].addr.v4 = stamp;
	}
	return links;
}

static void note_latency(struct stress *s, uint64_t ns)
{
	unsigned bucket = ns ? 64 - (unsigned)__builtin_clzll(ns) : 0;

	s->histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
	s->publishes++;
	s->longest_ns = ns > s->longest_ns ? ns : s->longest_ns;
}

static void check_grace(struct stress *s, uint32_t generation, uint32_t stamp)
{
	for (unsigned i = 0; i < s->reader_count; i++) {
		/* Ordered by the grace period: what a reader did before it can be seen. */
		uint32_t table = __atomic_load_n(&s->readers[i].uses_table, __ATOMIC_RELAXED);
		uint32_t links = __atomic_load_n(&s->readers[i].uses_links, __ATOMIC_RELAXED);

		if (table && table < generation)
			fail(s, "grace: a reader uses an older table", table, generation);
		if (links && links < stamp)
			fail(s, "grace: a reader uses older links", links, stamp);
	}
}

static void publish_table(struct stress *s, uint32_t generation)
{
	uint32_t of = generation;
	struct table *table;
	unsigned used, unused;

	if (s->plant == BACK && generation % PLANT_EVERY == 0)
		of = generation - 2;
	table = make_table(s, of);
	if (s->plant == STAMP && generation % PLANT_EVERY == 0)
		table->generation++;
	if (s->plant == LEAK && generation == PLANT_EVERY)
		list_ref(s->lists[of & 1]);
	__atomic_store_n(&s->started, generation, __ATOMIC_RELAXED);
	note_latency(s, route_publish_table(s->routes, table));
	/* [live-1] Stored after the new pointer; pairs with [live-2]: who sees this sees that. */
	__atomic_store_n(&s->retired, generation - 1, __ATOMIC_RELEASE);
	check_grace(s, generation, 0);
	used = s->lists[of & 1]->refs; /* one is ours, one the published table's */
	unused = s->lists[~of & 1]->refs;
	if (used != 2 || unused != 1)
		fail(s, "freed: references to lists", used, unused);
}

static void publish_links(struct stress *s, uint32_t stamp)
{
	struct links *links = make_links(stamp);

	__atomic_store_n(&s->links_started, stamp, __ATOMIC_RELAXED);
	note_latency(s, route_publish_links(s->routes, links));
	__atomic_store_n(&s->links_retired, stamp - 1, __ATOMIC_RELEASE); /* [live-1] as above */
	check_grace(s, 0, stamp);
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void publish_for(struct stress *s, double seconds)
{
	double end = now_s() + seconds;
	uint32_t generation = 1, stamp = 1;

	while (now_s() < end && !ended(s)) {
		publish_table(s, ++generation);
		for (unsigned i = 0; i < LINKS_A_TABLE && !ended(s); i++)
			publish_links(s, ++stamp);
	}
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
}

/* ---- Runs ---- */

static void report(const struct stress *s)
{
	uint64_t answers = 0, below = 0;

	for (unsigned i = 0; i < s->reader_count; i++)
		answers += s->readers[i].answers;
	printf("stress_publish: %u readers, %u tables, %u links, %llu answers\n", s->reader_count,
	       s->started, s->links_started, (unsigned long long)answers);
	for (unsigned i = 0; i < BUCKETS; i++) {
		below += s->histogram[i];
		if (s->histogram[i])
			printf("  publish < %12.3f us  %8llu  %6.2f %%\n",
			       (double)(1ULL << i) / 1000, (unsigned long long)s->histogram[i],
			       100.0 * (double)below / (double)s->publishes);
	}
	printf("  longest  %12.3f us\n", (double)s->longest_ns / 1000);
}

/* Returns whether all invariants held. */
static bool run(unsigned plant, double seconds, unsigned readers)
{
	struct stress *s = aligned_alloc(64, sizeof(*s));
	bool held;

	if (!s)
		abort();
	*s = (struct stress){.plant = plant, .reader_count = readers, .started = 1};
	s->links_started = 1;
	s->lists[0] = half("10.0.0.0/9\n2001:db8::/32\n");
	s->lists[1] = half("10.128.0.0/9\n");
	s->routes = routes_create();
	if (!s->routes)
		abort();
	route_publish_table(s->routes, make_table(s, 1));
	route_publish_links(s->routes, make_links(1));
	skip_waiting = plant == NOWAIT;
	for (unsigned i = 0; i < readers; i++) {
		s->readers[i].stress = s;
		s->readers[i].random = 88172645463325252ULL + i;
		if (pthread_create(&s->readers[i].thread, NULL, read_until_stopped, &s->readers[i]))
			abort();
	}
	publish_for(s, seconds);
	for (unsigned i = 0; i < readers; i++)
		pthread_join(s->readers[i].thread, NULL);
	routes_destroy(s->routes);
	if (plant == NONE) {
		if (s->lists[0]->refs != 1 || s->lists[1]->refs != 1)
			fail(s, "freed: references left", s->lists[0]->refs, s->lists[1]->refs);
		report(s);
	}
	held = !s->failed;
	list_unref(s->lists[0]);
	list_unref(s->lists[1]);
	free(s);
	return held;
}

int main(int argc, char **argv)
{
	static const struct stress_program program = {"stress_publish", plant_names, PLANTS,
						      READERS_MAX, run};

	return stress_main(&program, argc, argv);
}
