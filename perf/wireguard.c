/*
 * Tunnels: sluice-wg at both ends beside wireguard-go at both ends. All pairs are there all the
 * time, one of them busy, runs interleaved: what drifts in the machine drifts for all.
 */
#include "perf/wireguard.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "perf/netns.h"
#include "perf/perf.h"
#include "perf/wireguard_memory.h"

enum {
	RUNS_DEFAULT = 3,
	MS_DEFAULT = 1000,
	DATAGRAMS_DEFAULT = 10000000,
	SECONDS_DEFAULT = 1200,
	RATE_DEFAULT = 2000,
};

static int usage(FILE *out)
{
	fprintf(out,
		"usage: sluice-perf wireguard [--json] [--runs N] [--ms N] [--peer PROGRAM]...\n"
		"                             [--cases WORDS]\n\n"
		"  --runs N        of each case, 1 to %d (default %d)\n"
		"  --ms N          how long a run takes (default %d)\n"
		"  --peer PROGRAM  one more to compare with, %d at most: starts as wireguard-go "
		"does.\n"
		"                  " WGBENCH_PEER " is one if it is there\n"
		"  --cases WORDS   only cases with this in their names, `*` for anything\n"
		"  --flood         instead: hostile traffic to a tunnel with a session; fails if "
		"any is answered\n"
		"                  but by a cookie, memory grows or the session dies\n"
		"  --datagrams N   of them, before the flood of initiations (default %d)\n"
		"  --rekey         instead: traffic while keys change; fails if any of it is lost "
		"between\n"
		"                  Sluice's ends, comes twice or late, or memory grows\n"
		"  --seconds N     for so long (default %d)\n"
		"  --rate N        with so many datagrams a second each way (default %d)\n\n"
		"Cases; those of another program have its name at their end:\n"
		"  aead seal|open BYTES LIBRARY  GB/s and cycles a packet; needs no privileges\n"
		"  in memory [out] workers 1|2|4  Gb/s from one peer or to it, no system calls\n"
		"  ping p50|p99                  us, echoes 1 ms apart; bare: what as many "
		"wake-ups "
		"cost by\n"
		"                                UDP alone\n"
		"  tcp 1|4                       Gb/s; cpu and machine: s/GB of both processes, "
		"and of all cores\n"
		"  udp 1372, ... overload        kpps of single datagrams with at most 1 %% lost; "
		"what is left\n"
		"                                of it at twice that rate\n"
		"  memory peak                   resident MB of the larger process\n"
		"  tcp 4 workers 1|2|4           Gb/s, with so many at each end\n"
		"  stages tcp|udp out|in STAGE   cycles a packet, of one worker\n"
		"  peers 1|100|1000 ...          all busy: kpps in and out; resident MB; ms for "
		"all of the\n"
		"                                configuration, 100,000 prefixes with 1000, and "
		"for one more\n",
		REPORT_RUNS_MAX, RUNS_DEFAULT, MS_DEFAULT, OPTIONS_LIST_MAX, DATAGRAMS_DEFAULT,
		SECONDS_DEFAULT, RATE_DEFAULT);
	return out == stderr;
}

void wgbench_report(const struct wgbench *b, const char *name, const char *unit, bool higher,
		    const struct samples *samples)
{
	char other[2 * WGBENCH_NAME_MAX];

	report_line(b->options->json,
		    &(struct report_case){name, unit, higher, &samples[0],
					  b->count > 1 ? b->pairs[1].name : NULL, &samples[1]});
	for (unsigned i = 2; i < b->count; i++) {
		snprintf(other, sizeof(other), "%s beside %s", name, b->pairs[i].name);
		report_line(b->options->json,
			    &(struct report_case){other, unit, higher, &samples[0],
						  b->pairs[i].name, &samples[i]});
	}
	for (unsigned i = 1; i < b->count; i++) {
		snprintf(other, sizeof(other), "%s %s", name, b->pairs[i].name);
		report_line(b->options->json,
			    &(struct report_case){.name = other, .unit = unit, .own = &samples[i]});
	}
}

static int add(struct wgbench *b, const char *program)
{
	struct wgbench_pair *p = &b->pairs[b->count];
	const char *slash = strrchr(program, '/');
	int rc;

	snprintf(p->name, sizeof(p->name), "%s", slash ? slash + 1 : program);
	b->count++;
	rc = wgbench_open(p, program, 0);
	if (rc != 0)
		fprintf(stderr, "sluice-perf wireguard: %s does not start: %s\n", program,
			rc < 0 ? strerror(-rc) : "a command failed");
	return rc;
}

static int measure_pairs(const struct wgbench_options *o)
{
	static struct wgbench b;
	char program[512];
	int rc;

	b.options = o;
	rc = add(&b, netns_program("sluice-wg", "SLUICE_WG", program, sizeof(program)));
	if (rc == 0 && access(WGBENCH_PEER, X_OK) == 0)
		rc = add(&b, WGBENCH_PEER);
	else if (rc == 0)
		fprintf(stderr, "sluice-perf wireguard: no " WGBENCH_PEER ": not compared with\n");
	for (unsigned i = 0; rc == 0 && i < o->peers.count; i++)
		rc = add(&b, o->peers.text[i]);
	if (rc == 0)
		rc = wgbench_traffic(&b);
	for (unsigned i = 0; i < b.count; i++)
		wgbench_close(&b.pairs[i]);
	return rc;
}

static bool begins(const char *only, const char *with)
{
	return only && strncmp(only, with, strlen(with)) == 0;
}

static int measure_network(const struct wgbench_options *o)
{
	int rc = netns_allow();

	if (rc == 0 && o->flood)
		return wgbench_flood(o);
	if (rc == 0 && o->rekey)
		return wgbench_rekey(o);
	/* What needs no others. */
	if (rc == 0 && !begins(o->only, "peers"))
		rc = measure_pairs(o);
	if (rc == 0)
		rc = wgbench_workers(o);
	if (rc == 0)
		rc = wgbench_stages(o);
	return rc == 0 ? wgbench_peers(o) : rc;
}

int perf_wireguard(int argc, char **argv)
{
	struct wgbench_options o = {.runs = RUNS_DEFAULT,
				    .ms = MS_DEFAULT,
				    .datagrams = DATAGRAMS_DEFAULT,
				    .seconds = SECONDS_DEFAULT,
				    .rate = RATE_DEFAULT};
	const struct options_entry entries[] = {
		{.name = "json", .flag = &o.json, .set = true},
		{.name = "runs", .number = &o.runs, .min = 1, .max = REPORT_RUNS_MAX},
		{.name = "ms", .number = &o.ms, .min = 1, .max = 3600000},
		{.name = "cases", .text = &o.only},
		{.name = "peer", .list = &o.peers},
		{.name = "flood", .flag = &o.flood, .set = true},
		{.name = "datagrams", .number = &o.datagrams, .min = 1, .max = 1000000000},
		{.name = "rekey", .flag = &o.rekey, .set = true},
		{.name = "seconds", .number = &o.seconds, .min = 2, .max = 1000000},
		{.name = "rate", .number = &o.rate, .min = 1, .max = 100000},
	};
	bool proof;
	int rc = options_parse(entries, sizeof(entries) / sizeof(entries[0]), argc, argv);

	if (rc != 0)
		return usage(rc > 0 ? stdout : stderr);
	proof = o.flood || o.rekey;
	report_head(o.json);
	if (!proof)
		rc = wgbench_aead(&o);
	if (rc == 0 && !proof)
		rc = wgmemory_run(o.json, o.runs, o.only);
	/* Their names do not begin so. */
	if (rc == 0 && !begins(o.only, "aead") && !begins(o.only, "in memory"))
		rc = measure_network(&o);
	if (rc != 0)
		fprintf(stderr, "sluice-perf wireguard: %s%s\n",
			rc < 0 ? strerror(-rc) : "a command failed",
			geteuid() != 0 || rc == -EPERM ? " (run it as root)" : "");
	return rc != 0;
}
