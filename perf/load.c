/*
 * sluice-perf load: is every packet delivered, once, in order and by the right egress, while the
 * lists change under it? And what do the changes cost?
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "perf/load_measure.h"
#include "perf/load_report.h"
#include "perf/load_run.h"
#include "perf/load_scatter.h"
#include "perf/netns.h"
#include "perf/options.h"
#include "perf/pace.h"
#include "perf/perf.h"
#include "perf/report.h"

enum {
	FLOWS_DEFAULT = 96,
	SECONDS_DEFAULT = 10,
	PREFIXES_DEFAULT = 100000,
	RELOADS_DEFAULT = 10,
	QUEUES_DEFAULT_MAX = 4,
	FLAP_RATE_MAX = 4,                 /* a second; a link is down for a tenth */
	RELOADS_MAX = 1 << 20,             /* in a run */
	GENERATIONS_MAX = 4 * RELOADS_MAX, /* in all */
	LOAD_NAME_MAX = 16,
};

struct load_options {
	bool json;
	double rate;  /* 0: find it */
	double share; /* per cent of what was found; 0: 90, 50 and twice as much */
	unsigned flows;
	double seconds;
	double reload_rate;
	unsigned reloads; /* 0: as many as the seconds hold */
	unsigned prefixes;
	const char *table;
	unsigned size;
	double flap_rate;
	unsigned queues[LOAD_QUEUES_MAX];
	unsigned queue_count;
	bool edits;
	bool cache;
	bool tcp;
	enum load_fault fault;
};

static const char *const fault_names[] = {"none",    "lose",     "duplicate",
					  "reorder", "misroute", "scatter"};

static int usage(FILE *out)
{
	fprintf(out,
		"usage: sluice-perf load [--json] [--rate N|auto[:P%%] | --tcp] [--flows N]\n"
		"                        [--size BYTES] [--prefixes N | --table FILE] [--cache]\n"
		"                        [--edits] [--seconds N | --reloads N] [--reload-rate N]\n"
		"                        [--flap-rate N] [--queues N[,N...]] [--fault FAULT]\n\n"
		"  --rate N         packets a second, 1 to %d; auto[:P%%]: so much of what is\n"
		"                   carried without loss (default: 90%% and 50%%)\n"
		"  --tcp            what reloads cost four TCP connections, instead\n"
		"  --flows N        %d to %d (default %d)\n"
		"  --size BYTES     of a packet, %d to %d (default %d)\n"
		"  --prefixes N     in the list that is reloaded (default %d)\n"
		"  --table FILE     a list instead of one that is made up\n"
		"  --cache          the daemon may keep parsed lists\n"
		"  --edits          change lists by edits instead of reloads\n"
		"  --seconds N      with changes, and as many without (default %d)\n"
		"  --reloads N      until there were so many changes\n"
		"  --reload-rate N  changes a second (default %d)\n"
		"  --flap-rate N    take links down and up, %d times a second at most\n"
		"  --queues N,..    start anew with so many queues, one after another\n"
		"  --fault FAULT    do it to show that it is counted: lose, duplicate, reorder,\n"
		"                   misroute one packet of 10,000, or scatter flows over queues\n",
		LOAD_RATE_MAX, LOAD_CLASSES, LOAD_FLOWS_MAX, FLOWS_DEFAULT, LOAD_SIZE_MIN,
		LOAD_SIZE_MAX, LOAD_SIZE_MIN, PREFIXES_DEFAULT, SECONDS_DEFAULT, RELOADS_DEFAULT,
		FLAP_RATE_MAX);
	return out == stderr;
}

/* Each takes what was given, if it was; false if it is wrong. */

static bool take_real(const char *text, double min, double max, double *out)
{
	char *end;

	if (!text)
		return true;
	*out = strtod(text, &end);
	return end != text && *end == '\0' && *out >= min && *out <= max;
}

static bool take_queues(const char *text, struct load_options *o)
{
	char *end = (char *)text;

	if (!text)
		return true;
	o->queue_count = 0;
	do {
		if (o->queue_count == LOAD_QUEUES_MAX)
			return false;
		o->queues[o->queue_count++] = (unsigned)strtoul(end, &end, 10);
		if (o->queues[o->queue_count - 1] < 1)
			return false;
	} while (*end++ == ',');
	return end[-1] == 0;
}

static bool take_fault(const char *text, struct load_options *o)
{
	if (!text)
		return true;
	for (unsigned i = 1; i < sizeof(fault_names) / sizeof(fault_names[0]); i++) {
		if (strcmp(text, fault_names[i]) == 0) {
			o->fault = (enum load_fault)i;
			return true;
		}
	}
	return false;
}

/* N, or what is to be found: auto, auto:P% */
static bool take_rate(const char *text, struct load_options *o)
{
	static const char word[] = "auto";
	char *end;

	if (!text || strcmp(text, word) == 0)
		return true;
	if (strncmp(text, "auto:", sizeof(word)) != 0)
		return take_real(text, 1, LOAD_RATE_MAX, &o->rate);
	o->share = strtod(text + sizeof(word), &end);
	return o->share > 0 && o->share <= 1000 && strcmp(end, "%") == 0;
}

/* As options_parse. */
static int take_options(int argc, char **argv, struct load_options *o)
{
	const char *rate = NULL, *seconds = NULL, *reload_rate = NULL, *flap_rate = NULL;
	const char *queues = NULL, *fault = NULL;
	const struct options_entry entries[] = {
		{"json", .flag = &o->json, .set = true},
		{"rate", .text = &rate},
		{"flows", .number = &o->flows, .min = LOAD_CLASSES, .max = LOAD_FLOWS_MAX},
		{"seconds", .text = &seconds},
		{"reload-rate", .text = &reload_rate},
		{"prefixes", .number = &o->prefixes, .min = 100, .max = 10000000},
		{"table", .text = &o->table},
		{"size", .number = &o->size, .min = LOAD_SIZE_MIN, .max = LOAD_SIZE_MAX},
		{"reloads", .number = &o->reloads, .min = 1, .max = RELOADS_MAX},
		{"cache", .flag = &o->cache, .set = true},
		{"tcp", .flag = &o->tcp, .set = true},
		{"flap-rate", .text = &flap_rate},
		{"queues", .text = &queues},
		{"edits", .flag = &o->edits, .set = true},
		{"fault", .text = &fault},
	};
	int rc = options_parse(entries, sizeof(entries) / sizeof(entries[0]), argc, argv);

	if (rc != 0)
		return rc;
	if (!take_rate(rate, o) || !take_real(seconds, 0.1, 86400, &o->seconds) ||
	    !take_real(reload_rate, 1e-6, RELOADS_MAX, &o->reload_rate) ||
	    !take_real(flap_rate, 1e-6, FLAP_RATE_MAX, &o->flap_rate) || !take_queues(queues, o) ||
	    !take_fault(fault, o) || o->reload_rate * o->seconds > RELOADS_MAX)
		return -1;
	return 0;
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

/* One that polls a core of its own, where lists and sink have another; else one on each core. */
static void place_senders(struct load_send *s, unsigned queues)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	s->polls = cores > (long)queues + 1;
	s->urgent = !s->polls;
	s->senders = s->polls ? 1 : cores < LOAD_SENDERS_MAX ? (unsigned)cores : LOAD_SENDERS_MAX;
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
	b->net.cache = o->cache;
	if (rc == 0)
		rc = load_sink_init(&b->sink, &b->net, b->addrs);
	if (rc == 0)
		rc = load_send_init(&b->send, &b->net, o->flows, b->addrs, o->size, &b->timeline);
	place_senders(&b->send, o->queues[0]);
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

static int run_all(struct load_bench *b, const struct load_options *o, bool *clean)
{
	const struct load_measure how = {
		.json = o->json,
		.kind = o->edits ? "edits" : "reloads",
		.seconds = o->seconds,
		.reloads = o->reloads,
		.changes = {.reload_rate = o->reload_rate,
			    .flap_rate = o->flap_rate,
			    .queues = o->queues,
			    .queue_count = o->queue_count},
	};
	static const double shares[] = {90, 50};
	char load[LOAD_NAME_MAX] = "given";
	double rate = o->rate;
	int rc = 0;

	if (o->tcp)
		return load_measure_tcp(b, &how);
	if (rate > 0) {
		load_report_head(o->json);
		return load_measure_changes(b, &how, load, rate, clean);
	}
	rc = load_measure_rate(b, &how, &rate);
	if (rc < 0)
		return rc;
	load_report_rate(o->json, "rate", rate);
	load_report_head(o->json);
	for (unsigned i = 0; rc == 0 && i < (o->share > 0 ? 1 : 2); i++) {
		double share = o->share > 0 ? o->share : shares[i];

		snprintf(load, sizeof(load), "%.4g", share);
		rc = load_measure_changes(b, &how, load, rate * share / 100, clean);
	}
	return rc == 0 ? load_measure_overload(b, &how, rate) : rc;
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

	if (rc != 0)
		return usage(rc > 0 ? stdout : stderr);
	rc = set_up(&b, &o, dir);
	if (rc == 0)
		rc = load_measure_warm_up(&b);
	if (rc == 0) {
		report_table(&o, &b.lists);
		b.send.fault = o.fault;
		if (o.fault == LOAD_FAULT_SCATTER)
			rc = load_scatter(b.net.daemon);
	}
	if (rc == 0)
		rc = run_all(&b, &o, &clean);
	if (rc != 0)
		fprintf(stderr, "sluice-perf load: %s%s\n",
			rc < 0 ? strerror(-rc) : "a command failed",
			geteuid() != 0 || rc == -EPERM ? " (run it as root)" : "");
	tear_down(&b, dir);
	return rc != 0 || !clean;
}
