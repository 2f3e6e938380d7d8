/*
 * Look-ups, parse, build and publish of prefix tables, beside DPDK's where it is there. A table is
 * split over 14 rules, as if by country; keys are drawn beforehand. The full table is read from a
 * file, or made up with the lengths of the Internet's own and, unlike that one, spread evenly.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/load.h"
#include "lpm/layout4.h"
#include "perf/lpm_fixture.h"
#include "perf/lpm_publish.h"
#include "perf/options.h"
#include "perf/perf.h"
#include "perf/report.h"
#include "perf/smaps.h"

enum {
	KEYS = 1 << 20, /* touch every line of a 32 MiB table, and repeat after that only */
	KEYS_QUICK = 1 << 14,
	RUN_NS = 5000000,
	PASSES_MAX = 4, /* over the keys in one run */
	TRIALS = 2,     /* runs of each peer, to find the fastest */
	RUNS_MIN = 5,   /* and default */
	PUBLISHES = 31,
	MIB = 1 << 20,
	CASE_NAME_MAX = 64,
};

_Static_assert(PUBLISHES <= (int)REPORT_RUNS_MAX, "one sample each");

struct options {
	bool json;
	bool quick;
	bool cold;
	bool peers;
	unsigned runs;
	const char *full; /* NULL: made up */
	const char *only; /* part of the names of the cases to run; NULL: all */
};

/* What a case has at hand. */
struct bench {
	const struct options *options;
	struct fixture fixture;
	struct peer_set peers;
};

/* What a case found. */
struct result {
	struct samples own;
	const struct peer *best[PEER_KINDS]; /* NULL: none */
	struct samples peers[PEER_KINDS];
	bool tables; /* the peers' tables were compared, however they are looked up */
};

struct bench_case {
	const char *format; /* of the table's name */
	const char *unit;
	void (*run)(struct bench *b, const struct bench_case *c, struct result *r);
	enum fixture_keys keys;
	unsigned burst;
};

/* Of this thread: nothing here sleeps, so what others do to the machine disturbs less. */
static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Look-ups. A burst of 0 means one by one, where each key waits for the verdict before it. */

static void own_pass(const struct fixture *f, unsigned burst)
{
	uint16_t out[LPM_BURST_MAX];
	uint64_t sum = 0;

	for (size_t i = 0; i < f->key_count; i += burst) {
		if (f->version == 4)
			lpm4_lookup_burst(f->table->v4, f->keys4 + i, out, burst);
		else
			lpm6_lookup_burst(f->table->v6, f->keys6 + i, out, burst);
		sum += out[0];
	}
	__asm__ volatile("" : : "r"(sum));
}

static void own_pass_dependent(const struct fixture *f)
{
	uint16_t verdict = 0;

	for (size_t i = 0; i < f->key_count; i++) {
		/* Only known once it is there; no comparison, for that could be foretold. */
		unsigned nothing = verdict >> 12;

		if (f->version == 4) {
			verdict = lpm4_lookup(f->table->v4, f->keys4[i] ^ nothing);
		} else {
			struct addr6 key = {f->keys6[i].hi ^ nothing, f->keys6[i].lo};

			verdict = lpm6_lookup(f->table->v6, &key);
		}
	}
	__asm__ volatile("" : : "r"(verdict));
}

static void pass(const struct bench *b, const struct peer *peer, unsigned burst)
{
	struct peer_keys keys = fixture_peer_keys(&b->fixture);

	if (peer == NULL && burst > 0)
		own_pass(&b->fixture, burst);
	else if (peer == NULL)
		own_pass_dependent(&b->fixture);
	else if (burst > 0)
		peer_pass(peer, &keys, burst);
	else
		peer_pass_dependent(peer, &keys);
}

/*
 * Nanoseconds a look-up; by a peer, or by ourselves if that is NULL. The pass before those that are
 * timed brings as much of the table as fits into the caches, where whoever ran before has left his.
 */
static double time_passes(const struct bench *b, const struct peer *peer, unsigned burst,
			  unsigned passes)
{
	double start;

	if (!b->options->cold)
		pass(b, peer, burst);
	start = now_ms();
	for (unsigned i = 0; i < passes; i++)
		pass(b, peer, burst);
	return (now_ms() - start) * 1e6 / ((double)passes * (double)b->fixture.key_count);
}

/* The fastest of each kind, for these keys and this burst; in turn, so that all meet any noise. */
static void choose_peers(const struct bench *b, unsigned burst, struct result *r)
{
	double best_ns[PEER_KINDS] = {0};
	unsigned asked = burst > 0 ? burst : 1;

	for (unsigned i = 0; i < TRIALS * b->peers.count; i++) {
		const struct peer *peer = &b->peers.peers[i % b->peers.count];
		double ns;

		if (asked < peer->burst_min || asked > peer->burst_max)
			continue;
		ns = time_passes(b, peer, burst, 1);
		if (r->best[peer->kind] != NULL && ns >= best_ns[peer->kind])
			continue;
		r->best[peer->kind] = peer;
		best_ns[peer->kind] = ns;
	}
}

/* Passes that make a run of ours long enough to measure, and not longer. */
static unsigned choose_passes(const struct bench *b, unsigned burst)
{
	double pass_ns = time_passes(b, NULL, burst, 1) * (double)b->fixture.key_count;

	if (b->options->quick || pass_ns * 2 > RUN_NS)
		return 1;
	return pass_ns * PASSES_MAX < RUN_NS ? PASSES_MAX : (unsigned)(RUN_NS / pass_ns);
}

static void run_lookup(struct bench *b, const struct bench_case *c, struct result *r)
{
	unsigned passes = choose_passes(b, c->burst);

	choose_peers(b, c->burst, r);
	for (unsigned run = 0; run < b->options->runs; run++) {
		samples_add(&r->own, time_passes(b, NULL, c->burst, passes));
		for (unsigned kind = 0; kind < PEER_KINDS; kind++)
			if (r->best[kind] != NULL)
				samples_add(&r->peers[kind],
					    time_passes(b, r->best[kind], c->burst, passes));
	}
}

/* The first key that a peer has another verdict for ends the process. */
static void compare(const struct bench *b, const struct peer *peer, const uint16_t *own,
		    uint16_t *theirs)
{
	const struct fixture *f = &b->fixture;
	struct peer_keys keys = fixture_peer_keys(f);

	peer_verdicts(peer, &keys, theirs);
	for (size_t i = 0; i < f->key_count; i++) {
		struct addr addr = {.version = (uint8_t)f->version};
		char text[PREFIX_TEXT_MAX];
		struct prefix prefix;

		if (own[i] == theirs[i])
			continue;
		addr.v4 = f->keys4[i];
		if (f->version == 6)
			addr.v6 = f->keys6[i];
		prefix = (struct prefix){addr, f->version == 4 ? 32 : 128};
		prefix_format(&prefix, text);
		fprintf(stderr, "sluice-perf: %s: verdict %u, but %s says %u\n", text, own[i],
			peer->name, theirs[i]);
		exit(1);
	}
}

/* What is timed must answer alike. */
static void compare_all(const struct bench *b)
{
	const struct fixture *f = &b->fixture;
	uint16_t *own = fixture_allocate(f->key_count, sizeof(*own));
	uint16_t *theirs = fixture_allocate(f->key_count, sizeof(*theirs));

	for (size_t i = 0; i < f->key_count; i += LPM_BURST_MAX) {
		if (f->version == 4)
			lpm4_lookup_burst(f->table->v4, f->keys4 + i, own + i, LPM_BURST_MAX);
		else
			lpm6_lookup_burst(f->table->v6, f->keys6 + i, own + i, LPM_BURST_MAX);
	}
	for (unsigned i = 0; i < b->peers.count; i++)
		compare(b, &b->peers.peers[i], own, theirs);
	free(theirs);
	free(own);
}

/* The steps of a reload, in milliseconds; publish in microseconds. */

static void run_parse(struct bench *b, const struct bench_case *c, struct result *r)
{
	(void)c;
	for (unsigned run = 0; run < b->options->runs; run++) {
		double start = now_ms();
		struct list *list = fixture_parse(b->fixture.text, b->fixture.size);

		samples_add(&r->own, now_ms() - start);
		list_unref(list);
	}
}

/* Peers were built once, when they were set up. */
static void run_build(struct bench *b, const struct bench_case *c, struct result *r)
{
	(void)c;
	r->tables = true;
	for (unsigned i = 0; i < b->peers.count; i++) {
		const struct peer *peer = &b->peers.peers[i];
		const struct peer *best = r->best[peer->kind];

		if (peer->build_ms > 0 && (best == NULL || peer->build_ms < best->build_ms))
			r->best[peer->kind] = peer;
	}
	for (unsigned kind = 0; kind < PEER_KINDS; kind++)
		if (r->best[kind] != NULL)
			samples_add(&r->peers[kind], r->best[kind]->build_ms);
	for (unsigned run = 0; run < b->options->runs; run++) {
		double start = now_ms();
		struct table *table = fixture_build(&b->fixture);

		samples_add(&r->own, now_ms() - start);
		table_destroy(table);
	}
}

static void publish(struct bench *b, unsigned burst, unsigned readers, struct samples *seen,
		    struct samples *returned)
{
	unsigned count = b->options->quick ? b->options->runs : PUBLISHES;

	publish_measure(&b->fixture, burst, readers, count, seen, returned);
}

static void run_publish(struct bench *b, const struct bench_case *c, struct result *r)
{
	struct samples returned = {0};

	publish(b, c->burst, PUBLISH_READERS, &r->own, &returned);
}

/* A core for the reader and one for the publisher, where there are two. */
static void run_publish_alone(struct bench *b, const struct bench_case *c, struct result *r)
{
	struct samples returned = {0};

	publish(b, c->burst, 1, &r->own, &returned);
}

static void run_publish_returned(struct bench *b, const struct bench_case *c, struct result *r)
{
	struct samples seen = {0};

	publish(b, c->burst, PUBLISH_READERS, &seen, &r->own);
}

/* Memory, in bytes. */

static size_t table_bytes(const struct fixture *f)
{
	return f->version == 4 ? lpm4_size_bytes(f->table->v4) : lpm6_size_bytes(f->table->v6);
}

/* Of an IPv6 table only what asked for huge pages is known. */
static struct smaps_sum table_pages(const struct fixture *f)
{
	const struct lpm4 *v4 = f->table->v4;
	const struct smaps_range ranges[] = {{v4->first, v4->first_bytes},
					     {v4->ranks, v4->ranks_bytes},
					     {v4->groups, v4->groups_bytes}};
	struct smaps_sum sum = {0};

	if (!smaps_add_up(ranges, f->version == 4 ? 3 : 0, &sum))
		fixture_fail("cannot read /proc/self/smaps");
	return sum;
}

static void run_memory(struct bench *b, const struct bench_case *c, struct result *r)
{
	(void)c;
	r->tables = true;
	samples_add(&r->own, (double)table_bytes(&b->fixture));
	for (unsigned i = 0; i < b->peers.count; i++) {
		const struct peer *peer = &b->peers.peers[i];
		const struct peer *best = r->best[peer->kind];

		if (best == NULL || peer->size_bytes < best->size_bytes)
			r->best[peer->kind] = peer;
	}
	for (unsigned kind = 0; kind < PEER_KINDS; kind++)
		if (r->best[kind] != NULL)
			samples_add(&r->peers[kind], (double)r->best[kind]->size_bytes);
}

static void run_memory_first(struct bench *b, const struct bench_case *c, struct result *r)
{
	(void)c;
	samples_add(&r->own, (double)b->fixture.table->v4->first_bytes);
}

static void run_memory_second(struct bench *b, const struct bench_case *c, struct result *r)
{
	const struct lpm4 *v4 = b->fixture.table->v4;

	(void)c;
	samples_add(&r->own, (double)(lpm4_size_bytes(v4) - v4->first_bytes - sizeof(*v4)));
}

static void run_memory_resident(struct bench *b, const struct bench_case *c, struct result *r)
{
	(void)c;
	if (b->fixture.version == 4)
		samples_add(&r->own, (double)table_pages(&b->fixture).resident);
	else /* written all over when it was built */
		samples_add(&r->own, (double)table_bytes(&b->fixture));
}

static const struct bench_case cases[] = {
	{"v%u uniform %s burst1", "ns", run_lookup, KEYS_UNIFORM, 1},
	{"v%u uniform %s burst8", "ns", run_lookup, KEYS_UNIFORM, 8},
	{"v%u uniform %s burst32", "ns", run_lookup, KEYS_UNIFORM, 32},
	{"v%u uniform %s burst256", "ns", run_lookup, KEYS_UNIFORM, 256},
	{"v%u inside %s burst1", "ns", run_lookup, KEYS_INSIDE, 1},
	{"v%u inside %s burst8", "ns", run_lookup, KEYS_INSIDE, 8},
	{"v%u inside %s burst32", "ns", run_lookup, KEYS_INSIDE, 32},
	{"v%u inside %s burst256", "ns", run_lookup, KEYS_INSIDE, 256},
	{"v%u dependent %s burst1", "ns", run_lookup, KEYS_INSIDE, 0},
	{"v%u zipf %s burst1", "ns", run_lookup, KEYS_ZIPF, 1},
	{"v%u zipf %s burst8", "ns", run_lookup, KEYS_ZIPF, 8},
	{"v%u zipf %s burst32", "ns", run_lookup, KEYS_ZIPF, 32},
	{"v%u zipf %s burst256", "ns", run_lookup, KEYS_ZIPF, 256},
	{"v%u parse %s", "ms", run_parse, KEYS_NONE, 0},
	{"v%u build %s", "ms", run_build, KEYS_NONE, 0},
	{"v%u publish %s burst32", "us", run_publish, KEYS_INSIDE, 32},
	{"v%u publish %s burst256", "us", run_publish, KEYS_INSIDE, 256},
	{"v%u publish %s burst256 alone", "us", run_publish_alone, KEYS_INSIDE, 256},
	{"v%u publish %s burst256 returned", "us", run_publish_returned, KEYS_INSIDE, 256},
	{"v%u memory %s", "bytes", run_memory, KEYS_NONE, 0},
	{"v%u memory %s resident", "bytes", run_memory_resident, KEYS_NONE, 0},
	{"v%u memory %s first", "bytes", run_memory_first, KEYS_NONE, 0},
	{"v%u memory %s second", "bytes", run_memory_second, KEYS_NONE, 0},
};

/* Whether the options ask for it; its name. */
static bool wanted(const struct bench *b, const struct bench_case *c, char name[CASE_NAME_MAX])
{
	const struct fixture *f = &b->fixture;

	snprintf(name, CASE_NAME_MAX, c->format, f->version, f->name);
	if (f->version == 6 && (c->run == run_memory_first || c->run == run_memory_second))
		return false;
	return b->options->only == NULL || strstr(name, b->options->only) != NULL;
}

static void run_case(struct bench *b, const struct bench_case *c, const char *name)
{
	struct result r = {0};
	struct report_case line = {.name = name, .unit = c->unit, .own = &r.own};
	struct report_second second = {"rte_lpm", NULL, &r.peers[PEER_LPM]};
	const struct peer *fib, *lpm;

	if (c->keys != KEYS_NONE && c->keys != b->fixture.drawn) {
		fixture_draw(&b->fixture, c->keys);
		compare_all(b);
	}
	c->run(b, c, &r);
	fib = r.best[PEER_FIB];
	lpm = r.best[PEER_LPM];
	if (fib != NULL) {
		line.peer = r.tables ? fib->table_name : fib->name;
		line.peer_samples = &r.peers[PEER_FIB];
	}
	if (lpm != NULL)
		second.peer = r.tables ? lpm->table_name : lpm->name;
	report_line_second(b->options->json, &line, lpm != NULL ? &second : NULL);
}

static void describe(const struct bench *b)
{
	const struct fixture *f = &b->fixture;
	struct smaps_sum pages = table_pages(f);
	bool json = b->options->json;
	char huge[64] = "huge pages: none asked for";

	if (pages.asked > 0)
		snprintf(huge, sizeof(huge), "huge pages: %zu of %zu MiB", pages.huge / MIB,
			 (pages.asked + MIB - 1) / MIB);
	report_remark(json, "\n%s, IPv%u: %zu prefixes, %d verdicts, %.1f MiB, %s", f->name,
		      f->version, f->count, FIXTURE_RULES, (double)table_bytes(f) / MIB, huge);
	if (pages.huge < pages.asked)
		fprintf(stderr,
			"sluice-perf: WARNING: the table is not in huge pages, so all of its "
			"look-ups are slow: see /sys/kernel/mm/transparent_hugepage/enabled\n");
	for (unsigned i = 0; i < b->peers.remark_count; i++)
		report_remark(json, "%s", b->peers.remarks[i]);
}

static void measure_family(struct bench *b, const struct list *all)
{
	const struct options *o = b->options;
	struct fixture *f = &b->fixture;
	bool started = false;
	char name[CASE_NAME_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!wanted(b, &cases[i], name))
			continue;
		if (!started) {
			fixture_init(f, all, o->quick ? KEYS_QUICK : KEYS);
			if (o->peers && f->version == 4)
				peer_set_init4(&b->peers, f->routes4, f->count);
			else if (o->peers)
				peer_set_init6(&b->peers, f->routes6, f->count);
			describe(b);
			started = true;
		}
		run_case(b, &cases[i], name);
	}
	if (!started)
		return;
	peer_set_fini(&b->peers);
	fixture_fini(f);
}

static void measure(const struct options *o, const char *name, const struct list *all)
{
	for (unsigned version = 4; version <= 6; version += 2) {
		struct bench b = {.options = o, .fixture = {.name = name, .version = version}};

		if ((version == 4 ? all->count4 : all->count6) > 0)
			measure_family(&b, all);
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
	fprintf(out,
		"usage: sluice-perf lpm [--json] [--quick] [--cold] [--no-peers] [--runs N]\n"
		"                       [--case WORDS] [--table FILE]\n\n"
		"  --table FILE  the full table, a list of prefixes; without it one is made up\n"
		"                and its cases say \"madeup\" instead of \"full\"\n"
		"  --case WORDS  only cases with this in their names: \"v4 inside\"\n"
		"  --runs N      of each case, %d to %d (default %d)\n"
		"  --quick       few keys: to see whether all works, not how fast\n"
		"  --cold        without the pass before each run that brings the table into the "
		"caches\n"
		"  --no-peers    without DPDK's tables\n",
		RUNS_MIN, REPORT_RUNS_MAX, RUNS_MIN);
	return out == stderr;
}

static int parse_options(struct options *o, int argc, char **argv)
{
	const struct options_entry entries[] = {
		{"json", .flag = &o->json, .set = true},
		{"quick", .flag = &o->quick, .set = true},
		{"cold", .flag = &o->cold, .set = true},
		{"no-peers", .flag = &o->peers, .set = false},
		{"runs", .number = &o->runs, .min = RUNS_MIN, .max = REPORT_RUNS_MAX},
		{"case", .text = &o->only},
		{"table", .text = &o->full},
	};

	return options_parse(entries, sizeof(entries) / sizeof(entries[0]), argc, argv);
}

static void print_head(const struct options *o, const struct list *full, const char *peers)
{
	char table[512];
	struct report_field fields[] = {{"table", table}, {"peers", peers}};

	snprintf(table, sizeof(table), "%s, %zu IPv4 and %zu IPv6 prefixes",
		 o->full != NULL ? o->full : "MADE UP, not the Internet's (--table FILE)",
		 full->count4, full->count6);
	report_head_fields(o->json, fields, sizeof(fields) / sizeof(fields[0]));
}

int perf_lpm(int argc, char **argv)
{
	struct options o = {.peers = true, .runs = RUNS_MIN};
	static const struct {
		const char *name;
		const char *path;
	} small[] = {{"country", "examples/lists/country-de.txt"},
		     {"800", "examples/lists/country-mx.txt"}};
	char peers[PEER_REMARK_MAX] = "none: not wanted";
	struct list *list;
	int rc = parse_options(&o, argc, argv);

	if (rc != 0)
		return usage(rc > 0 ? stdout : stderr);
	list = o.full != NULL ? load(o.full, "full") : fixture_make_up_full();
	if (list == NULL)
		return 1;
	o.peers = o.peers && peers_open(peers);
	print_head(&o, list, peers);
	measure(&o, o.full != NULL ? "full" : "madeup", list);
	list_unref(list);
	for (size_t i = 0; i < sizeof(small) / sizeof(small[0]) && rc == 0; i++) {
		list = load(small[i].path, small[i].name);
		if (list == NULL) {
			rc = 1;
			break;
		}
		measure(&o, small[i].name, list);
		list_unref(list);
	}
	if (o.peers)
		peers_close();
	return rc;
}
