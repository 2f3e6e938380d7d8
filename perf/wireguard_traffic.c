/*
 * TCP, single datagrams and echoes through all tunnels, in turn.
 *
 * The cost of TCP is told twice: what the two processes took, and what all cores worked, which
 * has the kernel's part for the tunnel and the two programs that send and receive in it.
 */
#include <errno.h>
#include <stdio.h>

#include "perf/machine.h"
#include "perf/netns.h"
#include "perf/rate.h"
#include "perf/wireguard.h"

enum {
	SIZE = 1372, /* with its headers 1400: within the tunnel's MTU */
	RATE_MAX = 400000,
	STEPS_FIRST = 8,
	STEPS_AGAIN = 4,
	ECHOES = 2000,
};

#define LOSS 0.01

/* Of TCP. */
struct found {
	struct samples gbps[WGBENCH_PAIRS_MAX];
	struct samples cpu[WGBENCH_PAIRS_MAX];     /* seconds a gigabyte, both processes */
	struct samples machine[WGBENCH_PAIRS_MAX]; /* the same of all cores */
};

static int ask(const struct wgbench_pair *p, unsigned flows, unsigned ms, double *gbps)
{
	char flows_text[16], ms_text[16], line[64];
	const char *argv[] = {"ask", WGBENCH_INNER, "--flows", flows_text, "--ms", ms_text, NULL};
	int rc;

	snprintf(flows_text, sizeof(flows_text), "%u", flows);
	snprintf(ms_text, sizeof(ms_text), "%u", ms);
	rc = netns_traffic(p->ns[0], argv, line, sizeof(line));
	if (rc == 0 && sscanf(line, "{\"gbps\": %lf}", gbps) != 1)
		rc = -EIO;
	return rc;
}

static int run_tcp(const struct wgbench *b, unsigned pair, unsigned flows, struct found *found)
{
	const struct wgbench_pair *p = &b->pairs[pair];
	struct machine_time from = {0}, to = {0}, spent = {0};
	uint64_t before = 0, after = 0;
	double gbps = 0, gigabytes;
	int rc = wgbench_cpu_ns(p, &before);

	if (rc == 0)
		rc = machine_read(&from);
	if (rc == 0)
		rc = ask(p, flows, b->options->ms, &gbps);
	if (rc == 0)
		rc = machine_read(&to);
	if (rc == 0)
		rc = wgbench_cpu_ns(p, &after);
	if (rc < 0)
		return rc;
	machine_add(&spent, &from, &to);
	gigabytes = gbps / 8 * b->options->ms / 1000;
	samples_add(&found->gbps[pair], gbps);
	if (gigabytes > 0) {
		samples_add(&found->cpu[pair], (double)(after - before) / 1e9 / gigabytes);
		samples_add(&found->machine[pair], machine_busy_s(&spent) / gigabytes);
	}
	return 0;
}

static int measure_tcp(const struct wgbench *b, const char *what, unsigned flows)
{
	struct found found = {0};
	char name[WGBENCH_NAME_MAX];
	int rc = 0;

	if (!options_wanted(b->options->only, what))
		return 0;
	for (unsigned run = 0; rc == 0 && run < b->options->runs; run++)
		for (unsigned i = 0; rc == 0 && i < b->count; i++)
			rc = run_tcp(b, i, flows, &found);
	if (rc < 0)
		return rc;
	wgbench_report(b, what, "Gb/s", true, found.gbps);
	snprintf(name, sizeof(name), "%s cpu", what);
	wgbench_report(b, name, "s/GB", false, found.cpu);
	snprintf(name, sizeof(name), "%s machine", what);
	wgbench_report(b, name, "s/GB", false, found.machine);
	return 0;
}

/* The rate with at most one in a hundred lost; then what arrives of twice as much. */
static int measure_udp(const struct wgbench *b)
{
	struct samples rate[WGBENCH_PAIRS_MAX] = {0}, overload[WGBENCH_PAIRS_MAX] = {0};
	double found[WGBENCH_PAIRS_MAX] = {0};

	for (unsigned run = 0; run < b->options->runs; run++) {
		for (unsigned i = 0; i < b->count; i++) {
			const struct rate_course course = {
				.ns = b->pairs[i].ns[0],
				.address = WGBENCH_INNER,
				.size = SIZE,
				.flows = 1,
				.loss = LOSS,
				.max = RATE_MAX,
				.ms = b->options->ms,
				.steps_first = STEPS_FIRST,
				.steps_again = STEPS_AGAIN,
			};
			struct rate_outcome out = {0};
			int rc = rate_find(&course, &found[i]);

			if (rc == 0)
				rc = rate_offer(&course, 2 * found[i] + 1, b->options->ms, &out);
			if (rc < 0)
				return rc;
			samples_add(&rate[i], found[i] / 1000);
			samples_add(&overload[i], out.delivered / 1000);
		}
	}
	wgbench_report(b, "udp 1372", "kpps", true, rate);
	wgbench_report(b, "udp 1372 overload", "kpps", true, overload);
	return 0;
}

static int measure_echo(const struct wgbench *b)
{
	struct samples p50[WGBENCH_PAIRS_MAX] = {0}, p99[WGBENCH_PAIRS_MAX] = {0}, bare = {0};
	struct wgbench_echo e;

	for (unsigned run = 0; run < b->options->runs; run++) {
		int error = wgbench_bare_echo(b->pairs[0].ns[0], ECHOES, &e);

		if (error < 0)
			return error;
		samples_add(&bare, e.p50_us);
		for (unsigned i = 0; i < b->count; i++) {
			int rc = wgbench_echo(b->pairs[i].ns[0], WGBENCH_INNER, ECHOES, &e);

			if (rc < 0)
				return rc;
			samples_add(&p50[i], e.p50_us);
			samples_add(&p99[i], e.p99_us);
			if (e.lost)
				report_remark(true, "ping: %s: %u of %d lost", b->pairs[i].name,
					      e.lost, ECHOES);
		}
	}
	wgbench_report(b, "ping p50", "us", false, p50);
	wgbench_report(b, "ping p99", "us", false, p99);
	report_line(b->options->json,
		    &(struct report_case){.name = "ping p50 bare", .unit = "us", .own = &bare});
	return 0;
}

/* The larger of the two ends, at their largest, after all that was done with them. */
static void measure_memory(const struct wgbench *b)
{
	struct samples peak[WGBENCH_PAIRS_MAX] = {0};

	for (unsigned i = 0; i < b->count; i++) {
		unsigned long a = wgbench_memory_kb(b->pairs[i].end[0].pid, "VmHWM");
		unsigned long c = wgbench_memory_kb(b->pairs[i].end[1].pid, "VmHWM");

		samples_add(&peak[i], (double)(a > c ? a : c) / 1000);
	}
	wgbench_report(b, "memory peak", "MB", false, peak);
}

int wgbench_traffic(const struct wgbench *b)
{
	const char *only = b->options->only;
	int rc = 0;

	if (options_wanted(only, "ping p50") || options_wanted(only, "ping p99"))
		rc = measure_echo(b);
	if (rc == 0)
		rc = measure_tcp(b, "tcp 1", 1);
	if (rc == 0)
		rc = measure_tcp(b, "tcp 4", 4);
	if (rc == 0 && options_wanted(only, "udp 1372 overload"))
		rc = measure_udp(b);
	if (rc == 0 && options_wanted(only, "memory peak"))
		measure_memory(b);
	return rc;
}

/* How many workers at both ends; no other program can be told. */
int wgbench_workers(const struct wgbench_options *o)
{
	static const unsigned counts[] = {1, 2, 4};
	enum { COUNTS = sizeof(counts) / sizeof(counts[0]) };
	struct wgbench b = {.options = o, .count = 1};
	char name[WGBENCH_NAME_MAX], program[512];
	struct found found[COUNTS] = {0};
	int rc = 0;

	if (!options_wanted(o->only, "tcp 4 workers"))
		return 0;
	for (unsigned run = 0; rc == 0 && run < o->runs; run++) {
		for (unsigned i = 0; rc == 0 && i < COUNTS; i++) {
			rc = wgbench_open(
				&b.pairs[0],
				netns_program("sluice-wg", "SLUICE_WG", program, sizeof(program)),
				counts[i]);
			if (rc == 0)
				rc = run_tcp(&b, 0, 4, &found[i]);
			wgbench_close(&b.pairs[0]);
		}
	}
	for (unsigned i = 0; rc == 0 && i < COUNTS; i++) {
		snprintf(name, sizeof(name), "tcp 4 workers %u", counts[i]);
		wgbench_report(&b, name, "Gb/s", true, found[i].gbps);
		snprintf(name, sizeof(name), "tcp 4 workers %u cpu", counts[i]);
		wgbench_report(&b, name, "s/GB", false, found[i].cpu);
	}
	return rc;
}
