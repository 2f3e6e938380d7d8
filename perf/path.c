/*
 * The whole path: one worker in memory, then TCP and UDP through the kernel's devices, beside the
 * kernel doing the same job and plain forwarding. Three gateways side by side in namespaces, one of
 * them busy at a time, runs interleaved: what drifts in the machine drifts for all.
 */
#include "perf/path.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "perf/netns.h"
#include "perf/perf.h"

enum {
	RUNS_DEFAULT = 5,
	MS_DEFAULT = 400,
	QUEUES_DEFAULT_MAX = 4,
};

/* What the daemon takes by itself. */
static unsigned queues_default(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return cores < 1 ? 1 : cores > QUEUES_DEFAULT_MAX ? QUEUES_DEFAULT_MAX : (unsigned)cores;
}

static int usage(FILE *out)
{
	fprintf(out,
		"usage: sluice-perf path [--json] [--runs N] [--ms N] [--queues N,N...]\n"
		"                        [--cases WORDS]\n\n"
		"  --runs N       of each case, 1 to %d (default %d)\n"
		"  --ms N         how long a run through the devices takes (default %d)\n"
		"  --queues N,..  all cases through the devices for each number of queues\n"
		"                 (default %u)\n"
		"  --cases WORDS  only cases with this in their names: \"udp 64\", \"tcp*both\",\n"
		"                 memory; `*` stands for anything\n\n"
		"Cases, each with \"queues N\" at its end:\n"
		"  memory setup|cached N|return|random|adversarial   Mpps of one worker, no "
		"system\n"
		"                                                    calls; needs no privileges\n"
		"  tcp 1|4|16 up|down|both                           Gb/s, and s/GB of the daemon\n"
		"  udp 64|512|1400 up|down, ... overload             kpps without loss; what is "
		"left\n"
		"                                                    of it at twice that rate\n"
		"  setup                                             kpps, each packet a new flow\n"
		"  latency half p50|p999                             us at half the rate without "
		"loss\n",
		REPORT_RUNS_MAX, RUNS_DEFAULT, MS_DEFAULT, queues_default());
	return out == stderr;
}

static bool take_number(const char *text, unsigned max, unsigned *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n < 1 || n > max)
		return false;
	*out = (unsigned)n;
	return true;
}

static bool take_queues(char *text, struct path_options *o)
{
	char *rest = NULL;

	o->queue_count = 0;
	for (char *n = strtok_r(text, ",", &rest); n; n = strtok_r(NULL, ",", &rest))
		if (o->queue_count == PATH_QUEUES_MAX ||
		    !take_number(n, TUN_QUEUES_MAX, &o->queues[o->queue_count++]))
			return false;
	return o->queue_count > 0;
}

/* 0, 1 if help is wanted, or -1. */
static int take_options(int argc, char **argv, struct path_options *o)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"runs", required_argument, NULL, 'r'},
		{"ms", required_argument, NULL, 'm'},
		{"queues", required_argument, NULL, 'q'},
		{"cases", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		bool good = true;

		switch (c) {
		case 'j':
			o->json = true;
			break;
		case 'r':
			good = take_number(optarg, REPORT_RUNS_MAX, &o->runs);
			break;
		case 'm':
			good = take_number(optarg, 3600000, &o->ms);
			break;
		case 'q':
			good = take_queues(optarg, o);
			break;
		case 'c':
			o->only = optarg;
			break;
		case 'h':
			return 1;
		default:
			good = false;
		}
		if (!good)
			return -1;
	}
	return optind == argc ? 0 : -1;
}

static int measure_devices(const struct path_options *o)
{
	struct path path = {0};
	int rc = netns_allow();

	if (rc == 0)
		rc = path_open(&path);
	for (unsigned i = 0; rc == 0 && i < o->queue_count; i++) {
		rc = path_start(&path, o->queues[i]);
		if (rc != 0)
			break;
		rc = path_tcp(&path, o);
		if (rc == 0)
			rc = path_udp(&path, o);
		path_stop(&path);
	}
	path_close(&path);
	if (rc != 0)
		fprintf(stderr, "sluice-perf path: through the devices: %s%s\n",
			rc < 0 ? strerror(-rc) : "a command failed",
			geteuid() != 0 || rc == -EPERM ? " (run it as root)" : "");
	return rc;
}

int perf_path(int argc, char **argv)
{
	struct path_options o = {.runs = RUNS_DEFAULT,
				 .ms = MS_DEFAULT,
				 .queues = {queues_default()},
				 .queue_count = 1};
	int rc = take_options(argc, argv, &o);

	if (rc != 0)
		return usage(rc > 0 ? stdout : stderr);
	report_head(o.json);
	rc = path_worker(&o);
	if (rc < 0)
		fprintf(stderr, "sluice-perf path: in memory: %s\n", strerror(-rc));
	/* Their names do not begin so. */
	if (rc == 0 && !(o.only && strncmp(o.only, "memory", 6) == 0))
		rc = measure_devices(&o);
	return rc != 0;
}
