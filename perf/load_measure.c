#include "perf/load_measure.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "perf/load_report.h"
#include "perf/load_tcp.h"
#include "perf/report.h"

enum {
	WARM_UP_TRIES = 20,
	WARM_UP_MS = 100,
	WARM_UP_RATE = 2000,
	SEARCH_FROM = 20000,
	SEARCH_MS = 300,
	SEARCH_STEPS = 6,
	CONFIRM_MS = 2000, /* before it is held for long, so that that seldom is in vain */
	CONFIRM_TIMES = 10,
	CONFIRM_S_MAX = 60,
	LATE_MAX_US = 2000, /* of all but one packet in a hundred: a rate was offered, not bursts */
	SLICES_MAX = 20,
	COST_RUNS = 7,
	COST_MS = 1000,
};

static const struct load_change_plan nothing;

int load_measure_warm_up(struct load_bench *b)
{
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
	struct load_outcome *o = malloc(sizeof(*o));
	int rc = o ? 0 : -ENOMEM;

	*yes = false;
	for (unsigned i = 0; rc == 0 && !*yes && i < 2; i++) {
		rc = load_run(b, rate, ms, &nothing, o);
		*yes = rc == 0 && o->sent == o->offered && load_outcome_clean(o) &&
		       latency_quantile_us(&o->late, 0.99) <= LATE_MAX_US;
	}
	free(o);
	return rc;
}

static double measured_seconds(const struct load_measure *how)
{
	return how->reloads ? how->reloads / how->changes.reload_rate : how->seconds;
}

/* Doubles until something is lost, halves the interval, and then holds it for long. */
int load_measure_rate(struct load_bench *b, const struct load_measure *how, double *rate)
{
	double confirm_s = fmin(measured_seconds(how), CONFIRM_S_MAX);
	double low = 0, high = SEARCH_FROM;
	bool yes = true;
	int rc = 0;

	while (rc == 0 && yes && high <= LOAD_RATE_MAX) {
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
		if (rc == 0 && yes)
			rc = carries(b, low, (unsigned)(confirm_s * 1000), &yes);
		if (!yes)
			low *= 0.9;
	}
	if (rc == 0 && low < 1)
		rc = -EIO;
	if (rc == 0)
		*rate = low;
	return rc;
}

/* Slices of a second or more; a daemon that starts anew has one, so that it starts no oftener. */
static unsigned slices_of(const struct load_measure *how)
{
	double seconds = measured_seconds(how);

	if (seconds < 2 || how->changes.queue_count > 1)
		return 1;
	return seconds < SLICES_MAX ? (unsigned)seconds : SLICES_MAX;
}

/* As it was before a run that started the daemon anew. */
static int restore(struct load_bench *b, const struct load_change_plan *changes)
{
	int rc;

	if (changes->queue_count <= 1)
		return 0;
	load_net_stop(&b->net);
	rc = load_change_start(&b->change, changes->queues[0]);
	return rc == 0 ? load_measure_warm_up(b) : rc;
}

int load_measure_changes(struct load_bench *b, const struct load_measure *how, const char *load,
			 double rate, bool *clean)
{
	const struct load_change_plan *plans[2] = {&nothing, &how->changes};
	struct load_outcome *sums = calloc(2, sizeof(*sums)), *slice = malloc(sizeof(*slice));
	unsigned slices = slices_of(how);
	double seconds = measured_seconds(how) / slices;
	int rc = sums && slice ? 0 : -ENOMEM;

	for (unsigned i = 0; rc == 0 && i < 2 * slices; i++) {
		rc = load_run(b, rate, (uint64_t)(seconds * 1000), plans[i % 2], slice);
		if (rc == 0)
			load_outcome_add(&sums[i % 2], slice);
	}
	if (rc == 0) {
		load_report_run(how->json, load, "quiet", &sums[0], NULL);
		load_report_run(how->json, load, how->kind, &sums[1], &sums[0]);
		*clean &= load_outcome_clean(&sums[0]) && load_outcome_clean(&sums[1]);
		rc = restore(b, &how->changes);
	}
	free(sums);
	free(slice);
	return rc;
}

/* A sender that goes before all others would keep the workers from a core: here it is one of many.
 */
int load_measure_overload(struct load_bench *b, const struct load_measure *how, double rate)
{
	const struct load_change_plan plans[2] = {{0}, {.reload_rate = how->changes.reload_rate}};
	struct samples delivered[2] = {0};
	struct load_outcome *out = malloc(sizeof(*out));
	struct machine_time machine = {0};
	bool urgent = b->send.urgent;
	int rc = out ? 0 : -ENOMEM;

	b->send.urgent = false;
	for (unsigned i = 0; rc == 0 && i < 2 * COST_RUNS; i++) {
		rc = load_run(b, 2 * rate, COST_MS, &plans[i % 2], out);
		if (rc == 0) {
			samples_add(&delivered[i % 2], (double)out->received / COST_MS);
			machine.all += out->machine.all;
			machine.steal += out->machine.steal;
			machine.other += out->machine.other;
		}
	}
	b->send.urgent = urgent;
	free(out);
	if (rc == 0)
		load_report_cost(how->json, "overload", how->kind, "kpps", &delivered[1],
				 &delivered[0], &machine);
	return rc;
}

int load_measure_tcp(struct load_bench *b, const struct load_measure *how)
{
	const struct load_change_plan plans[2] = {{0}, {.reload_rate = how->changes.reload_rate}};
	struct machine_time machine = {0}, began, ended;
	struct samples carried[2] = {0};
	pid_t server;
	int rc = load_tcp_start(&b->net, b->addrs[LOAD_STAYS_LEFT], &server);

	for (unsigned i = 0; rc == 0 && i < 2 * COST_RUNS; i++) {
		double gbps = 0;

		rc = machine_read(&began);
		if (rc == 0)
			rc = load_tcp_run(&b->net, &b->change, b->addrs[LOAD_STAYS_LEFT], COST_MS,
					  &plans[i % 2], &gbps);
		if (rc == 0)
			rc = machine_read(&ended);
		if (rc < 0)
			break;
		samples_add(&carried[i % 2], gbps);
		machine_add(&machine, &began, &ended);
	}
	load_tcp_stop(server);
	if (rc == 0)
		load_report_cost(how->json, "tcp", how->kind, "Gb/s", &carried[1], &carried[0],
				 &machine);
	return rc;
}
