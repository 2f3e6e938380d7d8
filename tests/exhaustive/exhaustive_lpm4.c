/*
 * Every IPv4 address, looked up in every way, against an oracle that knows nothing of lpm/.
 *
 * Two tables are swept: one built from a full table's routes, and the same after PATCHES random
 * changes, some of them in a copy. The oracle is a verdict for each of the 2^32 addresses where
 * they are needed one by one, and for each /24 elsewhere; routes are painted from the shortest to
 * the longest, whatever their order.
 *
 * usage: exhaustive_lpm4 [--table FILE] [--patches N] [--plant FAULT]
 *
 * The table is made up, with the lengths of the Internet's own, unless a list is given. Without
 * --plant the sweeps run as they should, and then with each FAULT in a child process, which must
 * find it:
 *   build   one /32 that the oracle does not know
 *   patch   one change that the oracle does not know
 *   lane    the last lane of a burst, of one way to look up, gets its neighbour's verdict
 */
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lpm/list.h"
#include "lpm/lpm4_burst.h"

enum {
	BLOCKS = 1 << 24,
	SLOTS = 256,
	SPLIT = 0xffff, /* in place of a verdict: slots know them */
	RULES = 13,     /* and one more that only patches use: what 4 bits can name */
	ROUTES_FULL = 900000,
	PATCHES = 5000,
	THREADS = 2,
	TEXT_MAX = 64 << 20,
};

enum plant { NONE, BUILD, PATCH, LANE, PLANTS };

static const char *const plant_names[PLANTS] = {"none", "build", "patch", "lane"};
static const char *const variant_names[LPM4_VARIANTS] = {"scalar", "AVX2", "AVX-512"};

/* A verdict a /24, and for those that have several a verdict an address. */
struct oracle {
	uint16_t *blocks;
	uint16_t **slots; /* by block, NULL where all are alike */
};

struct sweep {
	const struct lpm4 *table;
	const struct oracle *oracle;
	const char *how;
	uint32_t first_block;
	uint32_t blocks;
	unsigned burst;
	bool lane; /* the fault */
	uint64_t wrong;
};

static void fail(const char *what)
{
	fprintf(stderr, "exhaustive_lpm4: %s\n", what);
	exit(2);
}

static void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (memory == NULL)
		fail("out of memory");
	return memory;
}

/* xorshift64*, the same in every run */
static uint64_t draw(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static void oracle_init(struct oracle *o)
{
	o->blocks = allocate(BLOCKS, sizeof(*o->blocks));
	o->slots = allocate(BLOCKS, sizeof(*o->slots));
}

static void oracle_set(struct oracle *o, uint32_t first, uint32_t last, uint16_t verdict)
{
	for (uint64_t addr = first; addr <= last;) {
		uint64_t block = addr / SLOTS, end = (block + 1) * SLOTS;

		if (addr % SLOTS == 0 && end - 1 <= last && o->slots[block] == NULL) {
			o->blocks[block] = verdict;
			addr = end;
			continue;
		}
		if (o->slots[block] == NULL) {
			o->slots[block] = allocate(SLOTS, sizeof(**o->slots));
			for (unsigned i = 0; i < SLOTS; i++)
				o->slots[block][i] = o->blocks[block];
			o->blocks[block] = SPLIT;
		}
		for (; addr <= last && addr < end; addr++)
			o->slots[block][addr % SLOTS] = verdict;
	}
}

static uint32_t last_of(const struct lpm4_route *route)
{
	return route->len == 0 ? UINT32_MAX
			       : route->addr | (uint32_t)(UINT64_C(0xffffffff) >> route->len);
}

static void oracle_paint(struct oracle *o, const struct lpm4_route *routes, size_t n)
{
	for (unsigned len = 0; len <= 32; len++) {
		for (size_t i = 0; i < n; i++) {
			if (routes[i].len == len)
				oracle_set(o, routes[i].addr, last_of(&routes[i]),
					   routes[i].verdict);
		}
	}
}

static int compare_routes(const void *x, const void *y)
{
	const struct lpm4_route *a = x, *b = y;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return (int)a->len - (int)b->len;
}

/* Sorted, each prefix once. */
static size_t sort_routes(struct lpm4_route *routes, size_t n)
{
	size_t kept = 0;

	qsort(routes, n, sizeof(*routes), compare_routes);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || compare_routes(&routes[kept - 1], &routes[i]) != 0)
			routes[kept++] = routes[i];
	}
	return kept;
}

static size_t make_up(struct lpm4_route *routes)
{
	static const uint8_t lens[] = {8,  12, 16, 18, 19, 20, 20, 21, 21, 22, 22, 22, 23, 23, 23,
				       24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 25, 28, 30, 31, 32};
	uint64_t state = 1;

	for (size_t i = 0; i < ROUTES_FULL; i++) {
		uint64_t random = draw(&state);
		unsigned len = lens[(random >> 40) % sizeof(lens)];
		uint32_t addr = (uint32_t)random;

		if (len <= 12 && i % 256 != 0)
			len = 24; /* or all is covered again and again */
		routes[i] =
			(struct lpm4_route){addr & (uint32_t)(UINT64_C(0xffffffff) << (32 - len)),
					    (uint8_t)len, (uint16_t)(1 + (random >> 52) % RULES)};
	}
	return sort_routes(routes, ROUTES_FULL);
}

static size_t read_routes(const char *path, struct lpm4_route **out)
{
	char *text = allocate(TEXT_MAX, 1);
	FILE *file = fopen(path, "r");
	struct list *list = NULL;
	struct list_error err;
	uint64_t state = 1;
	size_t count, size;

	if (file == NULL)
		fail("cannot read the table");
	size = fread(text, 1, TEXT_MAX, file);
	fclose(file);
	if (list_parse(path, path, text, size, 0, &list, &err) != 0)
		fail(err.text);
	count = list->count4;
	*out = allocate(count + 1, sizeof(**out));
	for (size_t i = 0; i < count; i++)
		(*out)[i] = (struct lpm4_route){list->v4[i].addr, list->v4[i].len,
						(uint16_t)(1 + draw(&state) % RULES)};
	list_unref(list);
	free(text);
	return sort_routes(*out, count);
}

/* The expected verdicts of a burst of neighbours are compared in one go; a difference is told. */
static void check_burst(struct sweep *s, uint32_t addr, const uint16_t *got)
{
	uint16_t expected[LPM_BURST_MAX];

	for (unsigned i = 0; i < s->burst; i++) {
		uint32_t at = addr + i;
		const uint16_t *slots = s->oracle->slots[at / SLOTS];

		expected[i] = slots != NULL ? slots[at % SLOTS] : s->oracle->blocks[at / SLOTS];
	}
	if (memcmp(expected, got, s->burst * sizeof(*got)) == 0)
		return;
	for (unsigned i = 0; i < s->burst; i++) {
		if (expected[i] != got[i] && s->wrong++ == 0)
			fprintf(stderr, "%s, bursts of %u: %08x: expected %u, got %u\n", s->how,
				s->burst, addr + i, expected[i], got[i]);
	}
}

static void *run_sweep(void *arg)
{
	struct sweep *s = arg;
	uint32_t addrs[LPM_BURST_MAX];
	uint16_t got[LPM_BURST_MAX];
	uint64_t end = ((uint64_t)s->first_block + s->blocks) * SLOTS;

	for (uint64_t addr = (uint64_t)s->first_block * SLOTS; addr < end; addr += s->burst) {
		for (unsigned i = 0; i < s->burst; i++)
			addrs[i] = (uint32_t)addr + i;
		s->table->lookup_burst(s->table, (const uint8_t *)addrs, got, s->burst);
		if (s->lane)
			got[s->burst - 1] = got[s->burst - 2];
		check_burst(s, (uint32_t)addr, got);
	}
	return NULL;
}

/* All addresses by one way to look up; returns whether all verdicts were right. */
static bool sweep_all(struct lpm4 *table, const struct oracle *oracle, enum lpm4_variant variant,
		      unsigned burst, bool lane)
{
	struct sweep sweeps[THREADS];
	pthread_t threads[THREADS];
	uint64_t wrong = 0;

	if (!lpm4_choose(table, variant)) {
		printf("%s: this processor has none\n", variant_names[variant]);
		return true;
	}
	for (unsigned i = 0; i < THREADS; i++) {
		sweeps[i] = (struct sweep){table,
					   oracle,
					   variant_names[variant],
					   i * (BLOCKS / THREADS),
					   BLOCKS / THREADS,
					   burst,
					   lane,
					   0};
		if (pthread_create(&threads[i], NULL, run_sweep, &sweeps[i]) != 0)
			fail("no thread");
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		wrong += sweeps[i].wrong;
	}
	if (wrong > 0)
		fprintf(stderr, "%s, bursts of %u: %llu wrong\n", variant_names[variant], burst,
			(unsigned long long)wrong);
	return wrong == 0;
}

/* Each way with its own size of bursts; the first fault of the planted kind ends it. */
static bool check(struct lpm4 *table, const struct oracle *oracle, const char *what,
		  enum plant plant)
{
	static const unsigned bursts[LPM4_VARIANTS] = {256, 128, 32};
	struct timespec start, now;
	bool good = true;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned variant = 0; variant < LPM4_VARIANTS && good; variant++)
		good = sweep_all(table, oracle, (enum lpm4_variant)variant, bursts[variant],
				 plant == LANE && variant == LPM4_SCALAR);
	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("%s: %zu groups, %s, %lld s\n", what, table->group_count,
	       good ? "all addresses agree" : "WRONG", (long long)(now.tv_sec - start.tv_sec));
	fflush(stdout);
	return good;
}

/* One change of both; most are small, as they are in life. */
static void change(struct lpm4 *table, struct oracle *oracle, uint64_t *state, bool hide)
{
	static const uint8_t lens[] = {12, 14, 16, 20, 23, 24, 24, 24,
				       25, 28, 30, 31, 32, 32, 32, 32};
	uint64_t random = draw(state);
	unsigned len = lens[random >> 60];
	uint32_t addr = (uint32_t)random & (uint32_t)(UINT64_C(0xffffffff) << (32 - len));
	struct lpm4_run run = {addr, addr | (uint32_t)(UINT64_C(0xffffffff) >> len),
			       (uint16_t)((random >> 40) % (RULES + 2))};

	if (len > 24 && random >> 36 & 1) /* often where another was */
		run.first = run.last = addr & 0xf00fffff;
	if (lpm4_patch(table, &run, 1) != 0)
		fail("a change was refused");
	if (!hide)
		oracle_set(oracle, run.first, run.last, run.verdict);
}

static int run(const char *path, unsigned patches, enum plant plant)
{
	struct lpm4 *table = NULL, *changed = NULL;
	struct lpm4_route *routes;
	struct oracle oracle;
	uint64_t state = 3;
	size_t n;

	if (path == NULL) {
		routes = allocate(ROUTES_FULL, sizeof(*routes));
		n = make_up(routes);
	} else {
		n = read_routes(path, &routes);
	}
	oracle_init(&oracle);
	oracle_paint(&oracle, routes, n);
	if (plant == BUILD)
		oracle_set(&oracle, 0xc0a80101, 0xc0a80101, RULES + 1);
	if (lpm4_build(routes, n, NULL, &table) != 0)
		fail("the table was refused");
	printf("%s: %zu prefixes\n", path != NULL ? path : "made up", n);
	if (!check(table, &oracle, "built", plant))
		return 1;
	for (unsigned i = 0; i < patches; i++) {
		if (i == patches / 2) {
			if (lpm4_copy(table, NULL, &changed) != 0)
				fail("out of memory");
			lpm4_destroy(table);
			table = changed;
		}
		change(table, &oracle, &state, plant == PATCH && i == patches - 1);
	}
	if (!check(table, &oracle, "changed", plant))
		return 1;
	lpm4_destroy(table);
	free(routes);
	return 0; /* the oracle dies with the process */
}

static bool planted_is_found(const char *path, unsigned patches, enum plant plant)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (child < 0)
		fail("no process");
	if (child == 0)
		_exit(run(path, patches, plant));
	waitpid(child, &status, 0);
	printf("planted %s: %s\n", plant_names[plant],
	       WIFEXITED(status) && WEXITSTATUS(status) == 1 ? "found" : "NOT FOUND");
	return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static enum plant parse_plant(const char *name)
{
	for (unsigned i = 0; i < PLANTS; i++) {
		if (strcmp(plant_names[i], name) == 0)
			return (enum plant)i;
	}
	fail("no such fault");
	return NONE;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"table", required_argument, NULL, 't'},
					      {"patches", required_argument, NULL, 'p'},
					      {"plant", required_argument, NULL, 'f'},
					      {NULL, 0, NULL, 0}};
	unsigned patches = PATCHES;
	const char *path = NULL;
	bool good;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 't')
			path = optarg;
		else if (c == 'p')
			patches = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'f')
			return run(path, patches, parse_plant(optarg));
		else
			fail("usage: exhaustive_lpm4 [--table FILE] [--patches N] [--plant FAULT]");
	}
	good = run(path, patches, NONE) == 0;
	for (unsigned i = NONE + 1; i < PLANTS; i++)
		good &= planted_is_found(path, patches, (enum plant)i);
	return good ? 0 : 1;
}
