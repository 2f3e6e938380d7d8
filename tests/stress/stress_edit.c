/*
 * A storm of edits, and of full publishes among them, over readers that never stop asking.
 *
 * Invariants:
 *   live    every answer is that of the generation which the reader's table bears
 *   still   what a reader holds gives the same answers until its next quiescent state
 *   onward  no reader's generation ever goes back
 *   freed   when a publish returns, the list is held by the table that was published, and by no
 *           other; no memory is left behind
 *
 * A list has up to 64 prefixes of all kinds of lengths, its slots; generation g has those whose
 * bits are set in states[g]. Another rule has what lies round them.
 *
 * usage: stress_edit [--seconds N] [--readers N] [--plant FAULT]
 *
 * Without --plant it runs once as it should be, and then once with each FAULT in a child process,
 * which must fail:
 *   nowait  the publisher does not wait for readers before it writes the retired table
 *   lost    the patch is one that changes nothing
 *   back    a table has an older generation than the one before
 *   leak    a list is held by more than the table
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
	SLOTS = 64,
	SLOTS4 = 48,   /* the others are IPv6 */
	STATES = 1024, /* a power of two; no reader is so far behind */
	INSIDE = 1,    /* egresses */
	ROUND = 2,
	OFFLINE_TURNS = 256,
	BUILD_EVERY = 16, /* generations: built in the spare */
	FRESH_EVERY = 64, /* built in memory of its own */
	PLANT_EVERY = 5,
	GROWTH_MAX_KB = 4096, /* resident, in the second half: hundreds of tables take more */
};

enum plant { NONE, NOWAIT, LOST, BACK, LEAK, PLANTS };

static const char *const plant_names[PLANTS] = {"none", "nowait", "lost", "back", "leak"};

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
	_Alignas(64) struct stress *stress;
	pthread_t thread;
	uint64_t answers;
	uint32_t seen; /* generation */
};

struct stress {
	struct routes *routes;
	enum plant plant;
	struct list *edited;
	struct list *around;
	char texts[SLOTS][PREFIX_TEXT_MAX];
	struct addr addrs[SLOTS]; /* the first of each */
	uint64_t states[STATES];  /* by generation; written before it is published */
	uint64_t random;
	uint64_t patches;
	uint64_t builds;
	int failed;
	bool stop;
	unsigned reader_count;
	struct reader readers[READERS_MAX];
};

static void fail(struct stress *s, const char *invariant, uint64_t is, uint64_t bound)
{
	if (__atomic_exchange_n(&s->failed, 1, __ATOMIC_RELAXED) == 0)
		fprintf(stderr, "stress_edit: broken: %s (%llu, %llu)\n", invariant,
			(unsigned long long)is, (unsigned long long)bound);
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

static uint64_t *state_of(struct stress *s, uint32_t generation)
{
	return &s->states[generation % STATES];
}

/* ---- Readers ---- */

/* Which slots a table has. */
static uint64_t ask_all(struct reader *r, const struct table *table)
{
	struct stress *s = r->stress;
	uint64_t state = 0;

	for (unsigned i = 0; i < SLOTS; i++) {
		uint16_t egress = table->verdicts[table_lookup(table, &s->addrs[i])].egress;

		if (egress != INSIDE && egress != ROUND)
			fail(s, "live: an egress of no rule", egress, i);
		state |= (uint64_t)(egress == INSIDE) << i;
	}
	r->answers += SLOTS;
	return state;
}

/* The reasons too: they come from lists that a later edit replaces. */
static void explain_one(struct reader *r, const struct table *table, uint64_t state)
{
	struct table_match match;
	unsigned slot = (unsigned)(r->answers / SLOTS % SLOTS);
	bool has = state >> slot & 1;

	table_explain(table, &r->stress->addrs[slot], &match);
	if (!match.list || table->verdicts[match.verdict].egress != (has ? INSIDE : ROUND) ||
	    (has && !prefix_contains(&match.prefix, &r->stress->addrs[slot])))
		fail(r->stress, "live: a reason", match.verdict, slot);
}

static void read_once(struct reader *r)
{
	struct stress *s = r->stress;
	const struct table *table = route_table(s->routes);
	uint32_t generation = table->generation;
	uint64_t expected = __atomic_load_n(state_of(s, generation), __ATOMIC_RELAXED);
	uint64_t first = ask_all(r, table), second;

	if (generation < r->seen)
		fail(s, "onward", generation, r->seen);
	r->seen = generation;
	if (first != expected)
		fail(s, "live: slots of another generation", first, expected);
	explain_one(r, table, expected);
	second = ask_all(r, table);
	if (second != first || table->generation != generation)
		fail(s, "still", second, first);
}

static void *read_until_stopped(void *argument)
{
	struct reader *r = argument;

	route_enter();
	for (unsigned turn = 1; !ended(r->stress); turn++) {
		read_once(r);
		route_quiescent(); /* the table must not be used below here */
		if (turn % OFFLINE_TURNS == 0) {
			route_offline();
			route_online();
		}
	}
	route_exit();
	return NULL;
}

/* ---- The publisher ---- */

static struct list *parse(const char *text)
{
	struct list_error error;
	struct list *list;

	if (list_parse("slots", "slots.txt", text, strlen(text), 0, &list, &error) < 0)
		abort();
	return list;
}

/* Slots lie apart, so that none hides another. */
static void make_slot(struct stress *s, unsigned i)
{
	static const char *const formats4[] = {"10.%u.0.0/16",   "10.%u.1.0/24", "10.%u.1.128/25",
					       "10.%u.1.129/32", "10.%u.0.0/15", "10.%u.0.0/22"};
	static const char *const formats6[] = {"2001:db8:%x::/48", "2001:db8:%x:1::/64",
					       "2001:db8:%x:1::81/128", "2001:db8:%x:1::80/121"};
	struct list *list;

	snprintf(s->texts[i], sizeof(s->texts[i]), i < SLOTS4 ? formats4[i % 6] : formats6[i % 4],
		 2 * i);
	list = parse(s->texts[i]);
	s->addrs[i] = (struct addr){.version = i < SLOTS4 ? 4 : 6};
	if (i < SLOTS4)
		s->addrs[i].v4 = list->v4[0].addr;
	else
		s->addrs[i].v6 = list->v6[0].addr;
	list_unref(list);
}

static struct list *parse_slots(const struct stress *s, uint64_t slots)
{
	char text[SLOTS * (PREFIX_TEXT_MAX + 1) + 1];
	size_t size = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < SLOTS; i++) {
		if (slots >> i & 1)
			size += (size_t)snprintf(text + size, sizeof(text) - size, "%s\n",
						 s->texts[i]);
	}
	return parse(text);
}

static void check_freed(struct stress *s, const struct list *before, uint32_t generation)
{
	/* One is ours, one the published table's. */
	if (s->edited->refs != 2)
		fail(s, "freed: the list", s->edited->refs, generation);
	if (before && before->refs != 1)
		fail(s, "freed: the list before", before->refs, generation);
}

static void publish_patch(struct stress *s, uint32_t generation, struct list *edited,
			  const struct list *changed)
{
	struct list *none = parse(""), *before = s->edited;
	struct table_patch *patch;
	uint32_t of = generation;
	uint64_t ns;

	if (s->plant == BACK && generation % PLANT_EVERY == 0)
		of -= 2;
	if (s->plant == LEAK && generation == 2 * PLANT_EVERY)
		list_ref(edited);
	if (table_patch_create(route_table_control(s->routes), s->edited, edited,
			       s->plant == LOST ? none : changed, &patch) < 0 ||
	    route_patch_table(s->routes, patch, of, &ns) < 0)
		abort();
	table_patch_destroy(patch);
	list_unref(none);
	s->edited = edited;
	s->patches++;
	/* A list that was edited may share the entries of the one before. */
	check_freed(s, edited->origin ? NULL : before, generation);
	list_unref(before);
}

static void publish_build(struct stress *s, uint32_t generation, struct list *edited)
{
	const struct table_rule rules[] = {{edited, INSIDE}, {s->around, ROUND}};
	struct table *spare = generation % FRESH_EVERY == 0 ? NULL : route_take_spare(s->routes);
	struct table *table;

	if (table_rebuild(rules, 2, 0, generation, spare, &table) < 0)
		abort();
	route_publish_table(s->routes, table);
	list_unref(s->edited);
	s->edited = edited;
	s->builds++;
	check_freed(s, NULL, generation);
}

/* Some slots go, or some come. */
static void publish_next(struct stress *s, uint32_t generation)
{
	uint64_t state = *state_of(s, generation - 1), slots = random_next(&s->random);
	enum list_edit kind = generation & 1 ? LIST_ADD : LIST_REMOVE;
	struct list *change, *edited, *changed;
	struct prefix missing;

	slots &= kind == LIST_ADD ? ~state : state;
	if (generation % 4 < 2)
		slots &= -slots; /* a single one */
	*state_of(s, generation) = state ^ slots;
	change = parse_slots(s, slots);
	if (list_edit(s->edited, change, kind, &edited, &changed, &missing) < 0)
		abort();
	if (generation % BUILD_EVERY == 0)
		publish_build(s, generation, edited);
	else
		publish_patch(s, generation, edited, changed);
	list_unref(changed);
	list_unref(change);
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static long resident_kb(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long all = 0, resident = 0;

	if (!file || fscanf(file, "%ld %ld", &all, &resident) != 2)
		abort();
	fclose(file);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void publish_for(struct stress *s, double seconds)
{
	double start = now_s();
	uint32_t generation = 1;
	long warm_kb = 0;

	while (now_s() - start < seconds && !ended(s)) {
		publish_next(s, ++generation);
		if (warm_kb == 0 && now_s() - start > seconds / 2)
			warm_kb = resident_kb();
	}
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	if (warm_kb != 0 && resident_kb() - warm_kb > GROWTH_MAX_KB)
		fail(s, "freed: memory grows", (uint64_t)resident_kb(), (uint64_t)warm_kb);
}

/* ---- Runs ---- */

static void start(struct stress *s)
{
	struct table *table;

	for (unsigned i = 0; i < SLOTS; i++)
		make_slot(s, i);
	s->edited = parse("");
	s->around = parse("10.0.0.0/8\n2001:db8::/32\n");
	s->routes = routes_create();
	const struct table_rule rules[] = {{s->edited, INSIDE}, {s->around, ROUND}};

	if (!s->routes || table_build(rules, 2, 0, 1, &table) < 0)
		abort();
	route_publish_table(s->routes, table);
}

/* Returns whether all invariants held. */
static bool run(unsigned plant, double seconds, unsigned readers)
{
	struct stress *s = aligned_alloc(64, sizeof(*s));
	uint64_t answers = 0;
	bool held;

	if (!s)
		abort();
	*s = (struct stress){.plant = plant, .reader_count = readers};
	s->random = 88172645463325252ULL;
	start(s);
	skip_waiting = plant == NOWAIT;
	for (unsigned i = 0; i < readers; i++) {
		s->readers[i].stress = s;
		if (pthread_create(&s->readers[i].thread, NULL, read_until_stopped, &s->readers[i]))
			abort();
	}
	publish_for(s, seconds);
	for (unsigned i = 0; i < readers; i++) {
		pthread_join(s->readers[i].thread, NULL);
		answers += s->readers[i].answers;
	}
	routes_destroy(s->routes);
	if (plant == NONE && s->edited->refs != 1)
		fail(s, "freed: the last list", s->edited->refs, 1);
	if (plant == NONE)
		printf("stress_edit: %u readers, %llu patches, %llu builds, %llu answers\n",
		       readers, (unsigned long long)s->patches, (unsigned long long)s->builds,
		       (unsigned long long)answers);
	held = !s->failed;
	list_unref(s->edited);
	list_unref(s->around);
	free(s);
	return held;
}

int main(int argc, char **argv)
{
	static const struct stress_program program = {"stress_edit", plant_names, PLANTS,
						      READERS_MAX, run};

	return stress_main(&program, argc, argv);
}
