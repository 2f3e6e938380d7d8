/*
 * sluice-perf load: is every packet delivered, once, in order and by the right egress, while the
 * lists change under it? And what do the changes cost?
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "perf/load_report.h"
#include "perf/load_run.h"
#include "perf/netns.h"
#include "perf/pace.h"
#include "perf/perf.h"
#include "perf/report.h"

enum {
	FLOWS_DEFAULT = 96,
	SECONDS_DEFAULT = 10,
	PREFIXES_DEFAULT = 100000,
	RELOADS_DEFAULT = 10,
	QUEUES_DEFAULT_MAX = 4,
	RELOADS_MAX = 1 << 20,             /* in a run */
	GENERATIONS_MAX = 4 * RELOADS_MAX, /* in all */
	WARM_UP_TRIES = 20,
	WARM_UP_MS = 100,
	WARM_UP_RATE = 2000,
	SEARCH_FROM = 20000,
	SEARCH_TO = 2000000,
	SEARCH_MS = 300,
	SEARCH_STEPS = 6,
	CONFIRM_MS = 2000,
	CONFIRM_TIMES = 10,
	OVERLOAD_RUNS = 3,
	OVERLOAD_MS = 2000,
};

struct load_options {
	bool json;
	double rate; /* 0: find it */
	unsigned flows;
	double seconds;
	double reload_rate;
	unsigned prefixes;
	const char *table;
	unsigned size;
	unsigned flaps;
	unsigned queues[LOAD_QUEUES_MAX];
	unsigned queue_count;
	bool edits;
	enum load_fault fault;
};

static const char *const fault_names[] = {"none", "lose", "duplicate", "reorder", "misroute"};

static int usage(void)
{
	fprintf(stderr, "usage: sluice-perf load [--json] [--rate N] [--flows N] [--seconds N] "
			"[--size BYTES]\n"
			"                        [--prefixes N | --table FILE] [--reload-rate N] "
			"[--edits]\n"
			"                        [--flap N] [--queues N[,N...]]\n"
			"                        [--fault lose|duplicate|reorder|misroute]\n");
	return -EINVAL;
}

static int take_queues(const char *text, struct load_options *o)
{
	char *end = (char *)text;

	o->queue_count = 0;
	do {
		if (o->queue_count == LOAD_QUEUES_MAX)
			return usage();
		o->queues[o->queue_count++] = (unsigned)strtoul(end, &end, 10);
		if (o->queues[o->queue_count - 1] < 1)
			return usage();
	} while (*end++ == ',');
	return end[-1] == 0 ? 0 : usage();
}

static int take_fault(const char *text, struct load_options *o)
{
	for (unsigned i = 1; i < sizeof(fault_names) / sizeof(fault_names[0]); i++) {
		if (strcmp(text, fault_names[i]) == 0) {
			o->fault = (enum load_fault)i;
			return 0;
		}
	}
	return usage();
}

static int take_option(int c, struct load_options *o)
{
	switch (c) {
	case 'j':
		o->json = true;
		return 0;
	case 'r':
		o->rate = strtod(optarg, NULL);
		return o->rate >= 1 && o->rate <= SEARCH_TO ? 0 : usage();
	case 'f':
		o->flows = (unsigned)strtoul(optarg, NULL, 10);
		return o->flows >= LOAD_CLASSES && o->flows <= LOAD_FLOWS_MAX ? 0 : usage();
	case 's':
		o->seconds = strtod(optarg, NULL);
		return o->seconds >= 0.1 && o->seconds <= 86400 ? 0 : usage();
	case 'l':
		o->reload_rate = strtod(optarg, NULL);
		return o->reload_rate > 0 ? 0 : usage();
	case 'p':
		o->prefixes = (unsigned)strtoul(optarg, NULL, 10);
		return o->prefixes >= 100 && o->prefixes <= 10000000 ? 0 : usage();
	case 't':
		o->table = optarg;
		return 0;
	case 'b':
		o->size = (unsigned)strtoul(optarg, NULL, 10);
		return o->size >= LOAD_SIZE_MIN && o->size <= LOAD_SIZE_MAX ? 0 : usage();
	case 'd':
		o->flaps = (unsigned)strtoul(optarg, NULL, 10);
		return o->flaps <= LOAD_FLAPS_MAX ? 0 : usage();
	case 'q':
		return take_queues(optarg, o);
	case 'e':
		o->edits = true;
		return 0;
	case 'x':
		return take_fault(optarg, o);
	default:
		return usage();
	}
}

static int take_options(int argc, char **argv, struct load_options *o)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"rate", required_argument, NULL, 'r'},
		{"flows", required_argument, NULL, 'f'},
		{"seconds", required_argument, NULL, 's'},
		{"reload-rate", required_argument, NULL, 'l'},
		{"prefixes", required_argument, NULL, 'p'},
		{"table", required_argument, NULL, 't'},
		{"size", required_argument, NULL, 'b'},
		{"flap", required_argument, NULL, 'd'},
		{"queues", required_argument, NULL, 'q'},
		{"edits", no_argument, NULL, 'e'},
		{"fault", required_argument, NULL, 'x'},
		{NULL, 0, NULL, 0},
	};
	int c, rc = 0;

	optind = 1;
	while (rc == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1)
		rc = take_option(c, o);
	if (rc == 0 && (optind < argc || o->reload_rate * o->seconds > RELOADS_MAX))
		rc = usage();
	return rc;
}

/* A folder in memory that is gone with the process, whatever ends it; at worst an empty one stays.
 */
static int make_dir(char dir[LOAD_DIR_MAX])
{
	snprintf(dir, LOAD_DIR_MAX, "/tmp/sluice-load.XXXXXX");
	if (!mkdtemp(dir))
		return -errno;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, NULL) < 0) {
		int rc = -errno;

		rmdir(dir);
		dir[0] = 0;
		return rc;
	}
	return 0;
}

static int set_up(struct load_bench *b, const struct load_options *o, char dir[LOAD_DIR_MAX])
{
	int rc;

	b->flows = o->flows;
	b->addrs = calloc(o->flows, sizeof(*b->addrs));
	b->classes = calloc(o->flows, sizeof(*b->classes));
	if (!b->addrs || !b->classes)
		return -ENOMEM;
	rc = netns_allow();
	if (rc == 0)
		rc = make_dir(dir);
	if (rc == 0)
		rc = load_lists_init(&b->lists, o->table, o->prefixes, o->edits, dir);
	if (rc == 0)
		rc = load_lists_aim(&b->lists, o->flows, b->addrs, b->classes);
	if (rc == 0)
		rc = load_lists_write(&b->lists);
	if (rc == 0)
		rc = load_timeline_init(&b->timeline, GENERATIONS_MAX);
	if (rc == 0)
		rc = load_net_init(&b->net, dir);
	if (rc == 0)
		rc = load_sink_init(&b->sink, &b->net, b->addrs);
	if (rc == 0)
		rc = load_send_init(&b->send, &b->net, o->flows, b->addrs, o->size, &b->timeline);
	b->change =
		(struct load_change){.net = &b->net, .lists = &b->lists, .timeline = &b->timeline};
	return rc == 0 ? load_change_start(&b->change, o->queues[0]) : rc;
}

static void tear_down(struct load_bench *b, const char *dir)
{
	load_net_stop(&b->net);
	load_send_fini(&b->send);
	load_sink_fini(&b->sink);
	load_timeline_fini(&b->timeline);
	load_lists_fini(&b->lists);
	free(b->addrs);
	free(b->classes);
	if (dir[0]) {
		umount2(dir, MNT_DETACH);
		rmdir(dir);
	}
}

/* Until flows are set up and neighbours known. */
static int warm_up(struct load_bench *b)
{
	static const struct load_change_plan nothing;
	struct load_outcome *o = malloc(sizeof(*o));
	int rc = o ? -ETIMEDOUT : -ENOMEM;

	for (unsigned i = 0; rc == -ETIMEDOUT && i < WARM_UP_TRIES; i++) {
		rc = load_run(b, WARM_UP_RATE + b->flows * 10, WARM_UP_MS, &nothing, o);
		if (rc == 0 && o->losses.lost > 0)
			rc = -ETIMEDOUT;
	}
	free(o);
	return rc;
}

/* Whether a rate is carried without any loss in one of two runs; somebody else's work is forgiven.
 */
static int carries(struct load_bench *b, double rate, unsigned ms, bool *yes)
{
	static const struct load_change_plan nothing;
	struct load_outcome *o = malloc(sizeof(*o));
	int rc = o ? 0 : -ENOMEM;

	*yes = false;
	for (unsigned i = 0; rc == 0 && !*yes && i < 2; i++) {
		rc = load_run(b, rate, ms, &nothing, o);
		*yes = rc == 0 && o->sent == o->offered && load_outcome_clean(o);
	}
	free(o);
	return rc;
}

/* Doubles until something is lost, halves the interval, and then holds it for longer. */
static int find_rate(struct load_bench *b, double *rate)
{
	double low = 0, high = SEARCH_FROM;
	bool yes = true;
	int rc = 0;

	while (rc == 0 && yes && high <= SEARCH_TO) {
		rc = carries(b, high, SEARCH_MS, &yes);
		if (rc == 0 && yes) {
			low = high;
			high *= 2;
		}
	}
	for (unsigned i = 0; rc == 0 && i < SEARCH_STEPS; i++) {
		double middle = (low + high) / 2;

		rc = carries(b, middle, SEARCH_MS, &yes);
		if (yes)
			low = middle;
		else
			high = middle;
	}
	yes = false;
	for (unsigned i = 0; rc == 0 && !yes && i < CONFIRM_TIMES; i++) {
		rc = carries(b, low, CONFIRM_MS, &yes);
		if (!yes)
			low *= 0.9;
	}
	*rate = low;
	return rc;
}

static struct load_change_plan plan_of(const struct load_options *o)
{
	return (struct load_change_plan){.reload_rate = o->reload_rate,
					 .flaps = o->flaps,
					 .queues = o->queues,
					 .queue_count = o->queue_count};
}

/* The same load without changes and with them. */
static int measure(struct load_bench *b, const struct load_options *o, const char *load,
		   double rate, bool *clean)
{
	static const struct load_change_plan nothing;
	const struct load_change_plan plan = plan_of(o);
	const char *kind = o->edits ? "edits" : "reloads";
	struct load_outcome *quiet = malloc(sizeof(*quiet)), *busy = malloc(sizeof(*busy));
	uint64_t ms = (uint64_t)(o->seconds * 1000);
	int rc = quiet && busy ? 0 : -ENOMEM;

	if (rc == 0)
		rc = load_run(b, rate, ms, &nothing, quiet);
	if (rc == 0) {
		load_report_run(o->json, load, "quiet", quiet, NULL);
		rc = load_run(b, rate, ms, &plan, busy);
	}
	if (rc == 0) {
		load_report_run(o->json, load, kind, busy, quiet);
		*clean &= load_outcome_clean(quiet) && load_outcome_clean(busy);
	}
	/* As the next run expects it. */
	if (rc == 0 && o->queue_count > 1) {
		load_net_stop(&b->net);
		rc = load_change_start(&b->change, o->queues[0]);
		if (rc == 0)
			rc = warm_up(b);
	}
	free(quiet);
	free(busy);
	return rc;
}

/* What is delivered of twice the rate, without changes and with them, by turns. */
static int measure_overload(struct load_bench *b, const struct load_options *o, double rate)
{
	const struct load_change_plan plans[2] = {{0}, {.reload_rate = o->reload_rate}};
	struct samples delivered[2] = {0};
	struct load_outcome *out = malloc(sizeof(*out));
	int rc = out ? 0 : -ENOMEM;
	double quiet;

	for (unsigned i = 0; rc == 0 && i < 2 * OVERLOAD_RUNS; i++) {
		rc = load_run(b, 2 * rate, OVERLOAD_MS, &plans[i % 2], out);
		if (rc == 0)
			samples_add(&delivered[i % 2], (double)out->received * 1000 / OVERLOAD_MS);
	}
	free(out);
	quiet = samples_median(&delivered[0]);
	if (rc == 0)
		load_report_rate(o->json, o->edits ? "overload edits" : "overload reloads",
				 samples_median(&delivered[1]), &quiet);
	return rc;
}

static int run_all(struct load_bench *b, const struct load_options *o, bool *clean)
{
	double rate = o->rate;
	int rc;

	if (rate > 0) {
		load_report_head(o->json);
		return measure(b, o, "given", rate, clean);
	}
	rc = find_rate(b, &rate);
	if (rc == 0 && rate < 1)
		rc = -EIO;
	if (rc < 0)
		return rc;
	load_report_rate(o->json, "rate", rate, NULL);
	load_report_head(o->json);
	rc = measure(b, o, "90", 0.9 * rate, clean);
	if (rc == 0)
		rc = measure(b, o, "50", 0.5 * rate, clean);
	return rc == 0 ? measure_overload(b, o, rate) : rc;
}

static unsigned queues_default(long cores)
{
	return cores < 1 ? 1 : cores > QUEUES_DEFAULT_MAX ? QUEUES_DEFAULT_MAX : (unsigned)cores;
}

static void report_table(const struct load_options *o, const struct load_lists *l)
{
	char text[320];
	const struct report_field field = {"table", text};

	snprintf(text, sizeof(text), "%.200s, %zu IPv4 and %zu IPv6 prefixes, %u flows, queues %u",
		 o->table ? o->table : "made up", l->count4, l->count - l->count4, o->flows,
		 o->queues[0]);
	report_machine(o->json, &field, 1);
}

int perf_load(int argc, char **argv)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct load_options o = {.flows = FLOWS_DEFAULT,
				 .seconds = SECONDS_DEFAULT,
				 .reload_rate = RELOADS_DEFAULT,
				 .prefixes = PREFIXES_DEFAULT,
				 .size = LOAD_SIZE_MIN,
				 .queues = {queues_default(cores)},
				 .queue_count = 1};
	struct load_bench b = {.send.fd = -1, .sink.capture = {{.fd = -1}, {.fd = -1}}};
	char dir[LOAD_DIR_MAX] = "";
	bool clean = true;
	int rc = take_options(argc, argv, &o);

	if (rc < 0)
		return 1;
	rc = set_up(&b, &o, dir);
	if (rc == 0)
		rc = warm_up(&b);
	if (rc == 0) {
		report_table(&o, &b.lists);
		b.send.fault = o.fault;
		b.send.polls = cores > (long)o.queues[0] + 1; /* one more for lists and sink */
		rc = run_all(&b, &o, &clean);
	}
	if (rc != 0)
		fprintf(stderr, "sluice-perf load: %s%s\n",
			rc < 0 ? strerror(-rc) : "a command failed",
			geteuid() != 0 || rc == -EPERM ? " (run it as root)" : "");
	tear_down(&b, dir);
	return rc != 0 || !clean;
}
