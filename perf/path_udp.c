/*
 * Datagrams through the gateways, one a system call, open loop.
 *
 * "No loss" allows one in a thousand: on a machine whose cores are shared somebody else's work is
 * enough for that. The rate is searched for by halving an interval, in later runs round what was
 * found before; then twice as much is offered, and of what arrives nothing may be missing: a
 * gateway must not collapse.
 */
#include <errno.h>
#include <stdio.h>

#include "perf/path.h"

enum {
	STEPS_FIRST = 7,
	STEPS_AGAIN = 4,
	SEARCH_MS = 200,
	FLOWS = 8,
	RATE_MAX = 1000000,
};

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

struct outcome {
	double rate; /* offered, as far as the sender got */
	double delivered;
	unsigned long reordered;
	double p50_us;
	double p999_us;
};

static int offer(const struct path *path, int lane, const struct kind *kind, double rate,
		 unsigned ms, struct outcome *out)
{
	char size_text[16], rate_text[32], ms_text[16], flows_text[16], line[256];
	const char *argv[] = {"send",    path_server[lane], "--size",     size_text,
			      "--rate",  rate_text,         "--ms",       ms_text,
			      "--flows", flows_text,        kind->option, NULL};
	unsigned long sent, received;
	double p99, max;
	int rc;

	snprintf(size_text, sizeof(size_text), "%u", kind->size);
	snprintf(rate_text, sizeof(rate_text), "%.0f", rate);
	snprintf(ms_text, sizeof(ms_text), "%u", ms);
	snprintf(flows_text, sizeof(flows_text), "%d", FLOWS);
	rc = path_traffic(path, lane, argv, line, sizeof(line));
	if (rc < 0)
		return rc;
	if (sscanf(line,
		   "{\"sent\": %lu, \"received\": %lu, \"reordered\": %lu, \"p50_us\": %lf, "
		   "\"p99_us\": %lf, \"p999_us\": %lf, \"max_us\": %lf}",
		   &sent, &received, &out->reordered, &out->p50_us, &p99, &out->p999_us, &max) != 7)
		return -EIO;
	out->rate = (double)sent * 1000 / ms;
	out->delivered = (double)received * 1000 / ms;
	return 0;
}

/* What the sender cannot offer is no rate that was reached. */
static bool without_loss(const struct outcome *o, double wanted)
{
	return o->delivered >= 0.999 * o->rate && o->rate >= 0.99 * wanted;
}

/*
 * Search between two rates.
 *
 * low: becomes what was found; left alone if even the lowest that was tried was too much
 */
static int search(const struct path *path, int lane, const struct kind *kind, unsigned steps,
		  double *low, double high)
{
	for (unsigned i = 0; i < steps; i++) {
		double middle = (*low + high) / 2;
		struct outcome o;
		int rc = offer(path, lane, kind, middle, SEARCH_MS, &o);

		if (rc < 0)
			return rc;
		if (without_loss(&o, middle))
			*low = middle;
		else
			high = middle;
	}
	return 0;
}

/* rate: on entry what an earlier run found, or 0 */
static int find_rate(const struct path *path, int lane, const struct kind *kind, double *rate)
{
	double bottom = *rate * 3 / 4, low = bottom;

	if (*rate > 0) {
		int rc = search(path, lane, kind, STEPS_AGAIN, &low, *rate * 5 / 4);

		if (rc < 0)
			return rc;
		if (low > bottom) {
			*rate = low;
			return 0;
		}
	}
	*rate = 0;
	return search(path, lane, kind, STEPS_FIRST, rate, RATE_MAX);
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
			struct outcome out = {0};
			int rc = find_rate(path, lane, kind, &rate[lane]);

			if (rc == 0 && kind->overload)
				rc = offer(path, lane, kind, 2 * rate[lane] + 1, o->ms, &out);
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
	double rate = 0;
	int rc = find_rate(path, LANE_SLUICE, &kinds[0], &rate);

	for (unsigned run = 0; rc == 0 && run < o->runs; run++) {
		for (int lane = LANE_SLUICE; rc == 0 && lane <= LANE_MASQUERADE; lane++) {
			struct outcome out = {0};

			rc = offer(path, lane, &kinds[0], rate / 2 + 1, o->ms, &out);
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
	if (path_wanted(o, name))
		return true;
	snprintf(name, sizeof(name), "%s%s queues %u", what, other, path->queues);
	return path_wanted(o, name);
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
