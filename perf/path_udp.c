/*
 * Datagrams through the gateways, one a system call, open loop.
 *
 * "No loss" allows one in a thousand: on a machine whose cores are shared somebody else's work is
 * enough for that. The rate is searched for; then twice as much is offered, and of what arrives
 * nothing may be missing: a gateway must not collapse.
 */
#include <stdio.h>

#include "perf/options.h"
#include "perf/path.h"
#include "perf/rate.h"

enum {
	STEPS_FIRST = 7,
	STEPS_AGAIN = 4,
	SEARCH_MS = 200,
	FLOWS = 8,
	RATE_MAX = 1000000,
};

#define LOSS 0.001

/* A kind of traffic. */
struct kind {
	const char *name;
	unsigned size;
	const char *option; /* of `traffic send`, or NULL */
	bool overload;      /* see what is left at twice the rate */
};

static const struct kind kinds[] = {
	{"udp 64 up", 64, NULL, true},     {"udp 64 down", 64, "--down", true},
	{"udp 512 up", 512, NULL, true},   {"udp 512 down", 512, "--down", true},
	{"udp 1400 up", 1400, NULL, true}, {"udp 1400 down", 1400, "--down", true},
	{"setup", 64, "--spread", false}, /* each datagram is a flow of its own */
};

static struct rate_course course_of(const struct path *path, int lane, const struct kind *kind)
{
	return (struct rate_course){
		.ns = path->client[lane],
		.address = path_server[lane],
		.size = kind->size,
		.flows = FLOWS,
		.option = kind->option,
		.loss = LOSS,
		.max = RATE_MAX,
		.ms = SEARCH_MS,
		.steps_first = STEPS_FIRST,
		.steps_again = STEPS_AGAIN,
	};
}

static void report(const struct path *path, const struct path_options *o, const char *what,
		   const char *unit, bool higher, const struct samples *samples)
{
	char name[PATH_NAME_MAX];

	snprintf(name, sizeof(name), "%s queues %u", what, path->queues);
	report_line(o->json, &(struct report_case){name, unit, higher, &samples[LANE_SLUICE],
						   "masquerade", &samples[LANE_MASQUERADE]});
}

static int measure_rate(const struct path *path, const struct path_options *o,
			const struct kind *kind)
{
	struct samples found[LANES] = {0}, overload[LANES] = {0}, reordered = {0};
	double rate[LANES] = {0};
	char name[PATH_NAME_MAX];

	for (unsigned run = 0; run < o->runs; run++) {
		for (int lane = LANE_SLUICE; lane <= LANE_MASQUERADE; lane++) {
			const struct rate_course course = course_of(path, lane, kind);
			struct rate_outcome out = {0};
			int rc = rate_find(&course, &rate[lane]);

			if (rc == 0 && kind->overload)
				rc = rate_offer(&course, 2 * rate[lane] + 1, o->ms, &out);
			if (rc < 0)
				return rc;
			samples_add(&found[lane], rate[lane] / 1000);
			samples_add(&overload[lane], out.delivered / 1000);
			if (lane == LANE_SLUICE)
				samples_add(&reordered, (double)out.reordered);
		}
	}
	report(path, o, kind->name, "kpps", true, found);
	if (!kind->overload)
		return 0;
	snprintf(name, sizeof(name), "%s overload", kind->name);
	report(path, o, name, "kpps", true, overload);
	if (samples_max(&reordered) > 0)
		fprintf(stderr, "sluice-perf path: %s: up to %.0f datagrams reordered\n", name,
			samples_max(&reordered));
	return 0;
}

/* At half of what Sluice carries without loss; both lanes at the same rate. */
static int measure_latency(const struct path *path, const struct path_options *o)
{
	struct samples p50[LANES] = {0}, p999[LANES] = {0};
	struct rate_course course = course_of(path, LANE_SLUICE, &kinds[0]);
	double rate = 0;
	int rc = rate_find(&course, &rate);

	for (unsigned run = 0; rc == 0 && run < o->runs; run++) {
		for (int lane = LANE_SLUICE; rc == 0 && lane <= LANE_MASQUERADE; lane++) {
			struct rate_outcome out = {0};

			course = course_of(path, lane, &kinds[0]);
			rc = rate_offer(&course, rate / 2 + 1, o->ms, &out);
			if (rc < 0)
				break;
			samples_add(&p50[lane], out.p50_us);
			samples_add(&p999[lane], out.p999_us);
		}
	}
	if (rc < 0)
		return rc;
	report(path, o, "latency half p50", "us", false, p50);
	report(path, o, "latency half p999", "us", false, p999);
	return 0;
}

/* Whether a case, or the other that is found with it, is to be run. */
static bool wanted(const struct path *path, const struct path_options *o, const char *what,
		   const char *other)
{
	char name[PATH_NAME_MAX];

	snprintf(name, sizeof(name), "%s queues %u", what, path->queues);
	if (options_wanted(o->only, name))
		return true;
	snprintf(name, sizeof(name), "%s%s queues %u", what, other, path->queues);
	return options_wanted(o->only, name);
}

int path_udp(const struct path *path, const struct path_options *o)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const char *other = kinds[i].overload ? " overload" : "";
		int rc = wanted(path, o, kinds[i].name, other) ? measure_rate(path, o, &kinds[i])
							       : 0;

		if (rc < 0)
			return rc;
	}
	return wanted(path, o, "latency half p50", "") || wanted(path, o, "latency half p999", "")
		       ? measure_latency(path, o)
		       : 0;
}
