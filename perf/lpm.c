/*
 * Look-ups, parse and build of prefix tables. A table is split over 14 rules, as if by country;
 * keys are drawn beforehand. The full table is read from a file, or made up with the lengths of the
 * Internet's own and, unlike that one, spread evenly.
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/load.h"
#include "lpm/list.h"
#include "lpm/table.h"
#include "perf/perf.h"
#include "perf/report.h"

enum {
	RULES = 14,
	KEYS = 1 << 20, /* touch every line of a 32 MiB table, and repeat after that only */
	ROUNDS = 3,     /* over the keys in one run */
	HOT = 1 << 16,  /* destinations that Zipf's law chooses from */
	RUNS_DEFAULT = 7,
	FULL4 = 900000,
	FULL6 = 160000,
	LINE_MAX_BYTES = PREFIX_TEXT_MAX,
};

struct options {
	bool json;
	unsigned runs;
	const char *full; /* NULL: made up */
};

/* One table of one family. */
struct fixture {
	const char *name;
	unsigned version;
	char *text; /* all prefixes, in order */
	size_t size;
	struct list *list; /* the text parsed */
	struct table_rule rules[RULES];
	struct table *table;
	uint32_t *keys4; /* of the family only */
	struct addr6 *keys6;
};

static void fail(const char *what)
{
	fprintf(stderr, "sluice-perf: %s\n", what);
	exit(1);
}

static void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (memory == NULL)
		fail("out of memory");
	return memory;
}

/* Of this thread: nothing here sleeps, so what others do to the machine disturbs less. */
static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* xorshift64*, the same in every run */
static uint64_t draw(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static struct list *parse(const char *text, size_t size)
{
	struct list_error err;
	struct list *list = NULL;

	if (list_parse("perf", "perf", text, size, 0, &list, &err) != 0) {
		fprintf(stderr, "sluice-perf: %zu:%zu: %s\n", err.line, err.column, err.text);
		exit(1);
	}
	return list;
}

/* Lengths and how many of a hundred prefixes have them. */
struct share {
	uint8_t len;
	uint8_t percent;
};

static unsigned draw_len(uint64_t *state, const struct share *shares)
{
	unsigned at = (unsigned)(draw(state) >> 32) % 100;

	while (at >= shares->percent)
		at -= (shares++)->percent;
	return shares->len;
}

/* A full table of both families. */
static struct list *make_up_full(void)
{
	static const struct share shares4[] = {{24, 60}, {23, 10}, {22, 11}, {21, 5}, {20, 5},
					       {19, 3},  {18, 2},  {17, 1},  {16, 2}, {14, 1}};
	static const struct share shares6[] = {{48, 47}, {32, 13}, {44, 10}, {40, 9}, {36, 6},
					       {47, 4},  {46, 4},  {29, 4},  {33, 2}, {64, 1}};
	static const uint16_t tops6[] = {0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00};
	size_t room = (size_t)(FULL4 + FULL6) * LINE_MAX_BYTES, size = 0;
	char *text = allocate(room, 1);
	uint64_t state = 1;
	struct list *list;

	for (unsigned i = 0; i < FULL4 + FULL6; i++) {
		struct prefix prefix = {.addr.version = i < FULL4 ? 4 : 6};
		uint64_t random = draw(&state);

		prefix.addr.v4 = (uint32_t)((random >> 32) % 223 + 1) << 24 | (random & 0xffffff);
		prefix.addr.v6.hi = (uint64_t)(tops6[random % 6] + (random >> 32) % 16) << 48 |
				    draw(&state) >> 16;
		prefix.len = (uint8_t)draw_len(&state, i < FULL4 ? shares4 : shares6);
		prefix_format(&prefix, text + size);
		size += strlen(text + size);
		text[size++] = '\n';
	}
	list = parse(text, size); /* clears the host bits */
	free(text);
	return list;
}

static size_t count_of(const struct fixture *f, const struct list *list)
{
	return f->version == 4 ? list->count4 : list->count6;
}

static struct prefix prefix_of(const struct fixture *f, const struct list *list, size_t i)
{
	struct prefix prefix = {.addr.version = (uint8_t)f->version};

	if (f->version == 4) {
		prefix.addr.v4 = list->v4[i].addr;
		prefix.len = list->v4[i].len;
	} else {
		prefix.addr.v6 = list->v6[i].addr;
		prefix.len = list->v6[i].len;
	}
	return prefix;
}

/* The prefixes of one rule, or of all of them, as text; the caller's. */
static char *print_rule(const struct fixture *f, const struct list *all, int rule, size_t *size)
{
	size_t count = count_of(f, all);
	char *text = allocate(count + 1, LINE_MAX_BYTES);
	uint64_t state = 2;

	*size = 0;
	for (size_t i = 0; i < count; i++) {
		struct prefix prefix = prefix_of(f, all, i);

		if ((draw(&state) >> 32) % RULES != (unsigned)rule && rule >= 0)
			continue;
		prefix_format(&prefix, text + *size);
		*size += strlen(text + *size);
		text[(*size)++] = '\n';
	}
	return text;
}

static struct table *build(const struct fixture *f)
{
	struct table *table = NULL;

	if (table_build(f->rules, RULES, 0, 1, &table) != 0)
		fail("out of memory");
	return table;
}

static void fixture_init(struct fixture *f, const struct list *all)
{
	f->text = print_rule(f, all, -1, &f->size);
	f->list = parse(f->text, f->size);
	for (int i = 0; i < RULES; i++) {
		size_t size;
		char *text = print_rule(f, all, i, &size);

		f->rules[i] = (struct table_rule){parse(text, size), (uint16_t)i};
		free(text);
	}
	f->table = build(f);
	f->keys4 = allocate(KEYS, sizeof(*f->keys4));
	f->keys6 = allocate(KEYS, sizeof(*f->keys6));
}

static void fixture_fini(struct fixture *f)
{
	free(f->keys6);
	free(f->keys4);
	table_destroy(f->table);
	for (unsigned i = 0; i < RULES; i++)
		list_unref(f->rules[i].list);
	list_unref(f->list);
	free(f->text);
}

static void set_key(struct fixture *f, size_t at, const struct prefix *inside, uint64_t *state)
{
	struct addr6 host = mask6(inside->len);
	uint64_t random = draw(state);

	f->keys4[at] = inside->addr.v4 | ((uint32_t)random & ~mask4(inside->len & 63));
	f->keys6[at].hi = inside->addr.v6.hi | (random & ~host.hi);
	f->keys6[at].lo = inside->addr.v6.lo | (draw(state) & ~host.lo);
}

static void draw_uniform(struct fixture *f)
{
	const struct prefix whole = {.addr.version = (uint8_t)f->version};
	uint64_t state = 3;

	for (size_t i = 0; i < KEYS; i++)
		set_key(f, i, &whole, &state);
}

/* Inside announced prefixes, each as likely as the other. */
static void draw_inside(struct fixture *f)
{
	uint64_t state = 4;

	for (size_t i = 0; i < KEYS; i++) {
		size_t chosen = draw(&state) % count_of(f, f->list);
		struct prefix prefix = prefix_of(f, f->list, chosen);

		set_key(f, i, &prefix, &state);
	}
}

/* HOT destinations inside prefixes; the n-th is asked for 1/n as often as the first. */
static void draw_zipf(struct fixture *f)
{
	uint32_t *hot4 = allocate(HOT, sizeof(*hot4));
	struct addr6 *hot6 = allocate(HOT, sizeof(*hot6));
	uint64_t state = 5;

	draw_inside(f);
	memcpy(hot4, f->keys4, HOT * sizeof(*hot4));
	memcpy(hot6, f->keys6, HOT * sizeof(*hot6));
	for (size_t i = 0; i < KEYS; i++) {
		/* The inverse of the distribution, with the harmonic sum as a logarithm. */
		double u = (double)(draw(&state) >> 11) / 9007199254740992.0;
		size_t rank = (size_t)exp(u * log(HOT + 1.0)) - 1;

		f->keys4[i] = hot4[rank];
		f->keys6[i] = hot6[rank];
	}
	free(hot6);
	free(hot4);
}

/* Returns nanoseconds a look-up; burst divides KEYS. */
static double lookup_bursts(const struct fixture *f, unsigned burst)
{
	uint16_t out[LPM_BURST_MAX];
	double start = now_ms();
	uint64_t sum = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < KEYS; i += burst) {
			if (f->version == 4)
				lpm4_lookup_burst(f->table->v4, f->keys4 + i, out, burst);
			else
				lpm6_lookup_burst(f->table->v6, f->keys6 + i, out, burst);
			sum += out[0];
		}
	}
	__asm__ volatile("" : : "r"(sum));
	return (now_ms() - start) * 1e6 / (ROUNDS * (double)KEYS);
}

/* Each key waits for the verdict before it, so latency is what counts. */
static double lookup_dependent(const struct fixture *f, unsigned burst)
{
	double start = now_ms();
	uint16_t verdict = 0;

	(void)burst; /* of one */
	for (size_t i = 0; i < KEYS; i++) {
		unsigned nothing = verdict > LPM_VERDICT_MAX; /* only known once it is there */

		if (f->version == 4) {
			verdict = lpm4_lookup(f->table->v4, f->keys4[i] ^ nothing);
		} else {
			struct addr6 key = {f->keys6[i].hi ^ nothing, f->keys6[i].lo};

			verdict = lpm6_lookup(f->table->v6, &key);
		}
	}
	__asm__ volatile("" : : "r"(verdict));
	return (now_ms() - start) * 1e6 / (double)KEYS;
}

/* Returns milliseconds. */
static double time_parse(const struct fixture *f, unsigned burst)
{
	double start = now_ms();
	struct list *list = parse(f->text, f->size);
	double took = now_ms() - start;

	(void)burst;
	list_unref(list);
	return took;
}

static double time_build(const struct fixture *f, unsigned burst)
{
	double start = now_ms();
	struct table *table = build(f);
	double took = now_ms() - start;

	(void)burst;
	table_destroy(table);
	return took;
}

static const struct {
	const char *format; /* of the table's name */
	const char *unit;
	double (*run)(const struct fixture *f, unsigned burst);
	void (*draw_keys)(struct fixture *f);
	unsigned burst;
} cases[] = {
	{"v%u uniform %s burst1", "ns", lookup_bursts, draw_uniform, 1},
	{"v%u uniform %s burst8", "ns", lookup_bursts, draw_uniform, 8},
	{"v%u uniform %s burst32", "ns", lookup_bursts, draw_uniform, 32},
	{"v%u uniform %s burst256", "ns", lookup_bursts, draw_uniform, 256},
	{"v%u inside %s burst1", "ns", lookup_bursts, draw_inside, 1},
	{"v%u inside %s burst8", "ns", lookup_bursts, draw_inside, 8},
	{"v%u inside %s burst32", "ns", lookup_bursts, draw_inside, 32},
	{"v%u inside %s burst256", "ns", lookup_bursts, draw_inside, 256},
	{"v%u zipf %s burst32", "ns", lookup_bursts, draw_zipf, 32},
	{"v%u zipf %s burst256", "ns", lookup_bursts, draw_zipf, 256},
	{"v%u dependent %s burst1", "ns", lookup_dependent, draw_inside, 1},
	{"v%u parse %s", "ms", time_parse, NULL, 0},
	{"v%u build %s", "ms", time_build, NULL, 0},
};

static void measure(const struct options *o, const char *name, const struct list *all)
{
	for (unsigned version = 4; version <= 6; version += 2) {
		struct fixture f = {.name = name, .version = version};

		fixture_init(&f, all);
		fprintf(stderr, "%s: %zu IPv%u prefixes, table %.1f MiB\n", name, count_of(&f, all),
			version, (double)table_size_bytes(f.table) / (1 << 20));
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct samples samples = {0};
			char text[64];

			snprintf(text, sizeof(text), cases[i].format, version, name);
			if (cases[i].draw_keys != NULL)
				cases[i].draw_keys(&f);
			cases[i].run(&f, cases[i].burst); /* to warm up */
			for (unsigned run = 0; run < o->runs; run++)
				samples_add(&samples, cases[i].run(&f, cases[i].burst));
			report_line(o->json, &(struct report_case){.name = text,
								   .unit = cases[i].unit,
								   .own = &samples});
		}
		fixture_fini(&f);
	}
}

static struct list *load(const char *path, const char *name)
{
	struct load_error err;
	char text[LOAD_ERROR_TEXT_MAX];
	struct list *list = NULL;

	if (load_list(path, name, true, &list, &err) != 0)
		fprintf(stderr, "sluice-perf: %s\n", load_error_format(&err, text));
	return list;
}

static int usage(FILE *out)
{
	fprintf(out, "usage: sluice-perf lpm [--json] [--runs N] [--table FILE]\n\n"
		     "  --table FILE  the full table, a list of prefixes (default: made up)\n"
		     "  --runs N      of each case, 5 to 32 (default 7)\n");
	return out == stderr;
}

static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
					      {"runs", required_argument, NULL, 'n'},
					      {"table", required_argument, NULL, 't'},
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
			if (*end != '\0' || o->runs < 5 || o->runs > REPORT_RUNS_MAX)
				return -1;
			break;
		case 't':
			o->full = optarg;
			break;
		case 'h':
			return 1;
		default:
			return -1;
		}
	}
	return optind == argc ? 0 : -1;
}

int perf_lpm(int argc, char **argv)
{
	struct options o = {.runs = RUNS_DEFAULT};
	static const struct {
		const char *name;
		const char *path;
	} small[] = {{"country", "examples/lists/country-de.txt"},
		     {"800", "examples/lists/country-mx.txt"}};
	struct list *list;
	int rc = parse_options(&o, argc, argv);

	if (rc != 0)
		return usage(rc > 0 ? stdout : stderr);
	report_head(o.json);
	list = o.full != NULL ? load(o.full, "full") : make_up_full();
	if (list == NULL)
		return 1;
	measure(&o, "full", list);
	list_unref(list);
	for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
		list = load(small[i].path, small[i].name);
		if (list == NULL)
			return 1;
		measure(&o, small[i].name, list);
		list_unref(list);
	}
	return 0;
}
