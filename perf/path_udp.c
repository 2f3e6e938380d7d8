/*
 * Datagrams through the gateways, one a system call, open loop.
 *
 * "No loss" allows one in a thousand: on a machine whose cores are shared somebody else's work is
 * enough for that. The rate is searched for by halving an interval; then twice as much is offered,
 * and of what arrives nothing may be missing: a gateway must not collapse.
 */
#include <errno.h>
#include <stdio.h>

#include "perf/path.h"
#include "perf/report.h"

enum {
	SEARCH_STEPS = 7,
	SEARCH_MS = 250,
	FLOWS = 8,
	RATE_MAX = 1000000,
};

struct outcome {
	double rate; /* offered, as far as the sender got */
	double delivered;
	unsigned long reordered;
	double p50_us;
	double p999_us;
};

static int offer(const struct path *path, int lane, unsigned size, double rate, unsigned ms,
		 struct outcome *out)
{
	char size_text[16], rate_text[32], ms_text[16], flows_text[16], line[256];
	const char *argv[] = {"send", path_server[lane], "--size",  size_text,  "--rate", rate_text,
			      "--ms", ms_text,           "--flows", flows_text, NULL};
	unsigned long sent, received;
	double p99, max;
	int rc;

	snprintf(size_text, sizeof(size_text), "%u", size);
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

static int find_rate(const struct path *path, int lane, unsigned size, double *rate)
{
	double low = 0, high = RATE_MAX;

	for (unsigned i = 0; i < SEARCH_STEPS; i++) {
		double middle = (low + high) / 2;
		struct outcome o;
		int rc = offer(path, lane, size, middle, SEARCH_MS, &o);

		if (rc < 0)
			return rc;
		if (without_loss(&o, middle))
			low = middle;
		else
			high = middle;
	}
	*rate = low;
	return 0;
}

static void report(const struct path_options *o, const char *what, const char *unit, bool higher,
		   const struct samples *samples)
{
	char name[64];

	snprintf(name, sizeof(name), "%s queues %u", what, o->queues);
	report_line(o->json, &(struct report_case){name, unit, higher, &samples[LANE_SLUICE],
						   "masquerade", &samples[LANE_MASQUERADE]});
}

static int measure_rate(const struct path *path, const struct path_options *o, unsigned size)
{
	struct samples found[LANES] = {0}, overload[LANES] = {0}, reordered = {0};
	char name[32];

	for (unsigned run = 0; run < o->runs; run++) {
		for (int lane = LANE_SLUICE; lane <= LANE_MASQUERADE; lane++) {
			struct outcome out = {0};
			double rate = 0;
			int rc = find_rate(path, lane, size, &rate);

			if (rc == 0)
				rc = offer(path, lane, size, 2 * rate, o->ms, &out);
			if (rc < 0)
				return rc;
			samples_add(&found[lane], rate / 1000);
			samples_add(&overload[lane], out.delivered / 1000);
			if (lane == LANE_SLUICE)
				samples_add(&reordered, (double)out.reordered);
		}
	}
	snprintf(name, sizeof(name), "udp %u up", size);
	report(o, name, "kpps", true, found);
	snprintf(name, sizeof(name), "udp %u overload", size);
	report(o, name, "kpps", true, overload);
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
	int rc = find_rate(path, LANE_SLUICE, 64, &rate);

	for (unsigned run = 0; rc == 0 && run < o->runs; run++) {
		for (int lane = LANE_SLUICE; rc == 0 && lane <= LANE_MASQUERADE; lane++) {
			struct outcome out = {0};

			rc = offer(path, lane, 64, rate / 2 + 1, o->ms, &out);
			if (rc < 0)
				break;
			samples_add(&p50[lane], out.p50_us);
			samples_add(&p999[lane], out.p999_us);
		}
	}
	if (rc < 0)
		return rc;
	report(o, "latency half p50", "us", false, p50);
	report(o, "latency half p999", "us", false, p999);
	return 0;
}

int path_udp(const struct path *path, const struct path_options *o)
{
	static const unsigned sizes[] = {64, 512, 1400};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int rc = measure_rate(path, o, sizes[i]);

		if (rc < 0)
			return rc;
	}
	return measure_latency(path, o);
}
