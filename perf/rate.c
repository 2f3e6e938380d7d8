/* See rate.h. */
#include "perf/rate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "perf/netns.h"

int rate_offer(const struct rate_course *c, double rate, unsigned ms, struct rate_outcome *out)
{
	char size_text[16], rate_text[32], ms_text[16], flows_text[16], line[256];
	const char *argv[] = {"send", c->address, "--size",  size_text,  "--rate",  rate_text,
			      "--ms", ms_text,    "--flows", flows_text, c->option, NULL};
	unsigned long sent, received;
	struct rate_outcome o;
	double p99, max;
	int rc;

	snprintf(size_text, sizeof(size_text), "%u", c->size);
	snprintf(rate_text, sizeof(rate_text), "%.0f", rate);
	snprintf(ms_text, sizeof(ms_text), "%u", ms);
	snprintf(flows_text, sizeof(flows_text), "%u", c->flows);
	rc = netns_traffic(c->ns, argv, line, sizeof(line));
	if (rc < 0)
		return rc;
	if (sscanf(line,
		   "{\"sent\": %lu, \"received\": %lu, \"reordered\": %lu, \"p50_us\": %lf, "
		   "\"p99_us\": %lf, \"p999_us\": %lf, \"max_us\": %lf}",
		   &sent, &received, &o.reordered, &o.p50_us, &p99, &o.p999_us, &max) != 7)
		return -EIO;
	o.rate = (double)sent * 1000 / ms;
	o.delivered = (double)received * 1000 / ms;
	*out = o;
	return 0;
}

/* What the sender cannot offer is no rate that was reached. */
static bool is_carried(const struct rate_course *c, const struct rate_outcome *o, double wanted)
{
	return o->delivered >= (1 - c->loss) * o->rate && o->rate >= 0.99 * wanted;
}

/*
 * Search between two rates.
 *
 * low: becomes what was found; left alone if even the lowest that was tried was too much
 */
static int search(const struct rate_course *c, unsigned steps, double *low, double high)
{
	for (unsigned i = 0; i < steps; i++) {
		double middle = (*low + high) / 2;
		struct rate_outcome o;
		int rc = rate_offer(c, middle, c->ms, &o);

		if (rc < 0)
			return rc;
		if (is_carried(c, &o, middle))
			*low = middle;
		else
			high = middle;
	}
	return 0;
}

int rate_find(const struct rate_course *c, double *rate)
{
	double bottom = *rate * 3 / 4, low = bottom;

	if (*rate > 0) {
		int rc = search(c, c->steps_again, &low, *rate * 5 / 4);

		if (rc < 0)
			return rc;
		if (low > bottom) {
			*rate = low;
			return 0;
		}
	}
	*rate = 0;
	return search(c, c->steps_first, rate, c->max);
}
