#include "perf/load_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "perf/report.h"

enum {
	NAME_MAX_BYTES = 64,
	NS_PER_MS = 1000000,
};

static const struct {
	const char *name;
	double q;
} quantiles[] = {
	{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"p9999", 0.9999}, {"max", 1},
};

enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

void load_report_head(bool json)
{
	if (!json)
		printf("\n%-15s %8s %9s %5s %5s %5s %5s %8s  %8s %8s %8s %8s %8s %8s %5s %5s\n",
		       "load", "a second", "sent", "lost", "dupl", "reord", "misrt", "blocked",
		       "p50 us", "p90", "p99", "p99.9", "p99.99", "max", "other", "steal");
}

/* Time for which nothing got through, had all the losses been in one piece. */
static double blocked_ms(const struct load_outcome *o)
{
	return (double)o->losses.lost / o->rate * 1000;
}

static void report_value(const char *load, const char *kind, const char *what, const char *unit,
			 double value, const double *quiet)
{
	struct samples own = {.value = {value}, .count = 1};
	struct samples peer = {.value = {quiet ? *quiet : 0}, .count = 1};
	char name[NAME_MAX_BYTES];

	snprintf(name, sizeof(name), "load %s %s %s", load, kind, what);
	report_line(true, &(struct report_case){name, unit, false, &own, quiet ? "quiet" : NULL,
						quiet ? &peer : NULL});
}

static void print_json(const char *load, const char *kind, const struct load_outcome *o,
		       const struct load_outcome *quiet)
{
	report_value(load, kind, "lost", "packets", (double)o->losses.lost, NULL);
	report_value(load, kind, "duplicated", "packets", (double)o->duplicated, NULL);
	report_value(load, kind, "reordered", "packets", (double)o->reordered, NULL);
	report_value(load, kind, "misrouted", "packets", (double)o->misrouted, NULL);
	report_value(load, kind, "blocked", "ms", blocked_ms(o), NULL);
	if (o->outages) {
		report_value(load, kind, "outage", "packets", (double)o->losses.in_outage, NULL);
		report_value(load, kind, "recovery", "ms", (double)o->losses.recover_ns / NS_PER_MS,
			     NULL);
	}
	for (unsigned i = 0; i < QUANTILES; i++) {
		double value = latency_quantile_us(&o->latency, quantiles[i].q);
		double other = quiet ? latency_quantile_us(&quiet->latency, quantiles[i].q) : 0;

		report_value(load, kind, quantiles[i].name, "us", value, quiet ? &other : NULL);
	}
	report_value(load, kind, "other", "%", machine_other_percent(&o->machine), NULL);
	report_value(load, kind, "steal", "%", machine_steal_percent(&o->machine), NULL);
	if (o->times.took.count) {
		report_value(load, kind, "changes", "changes", (double)o->times.took.count, NULL);
		report_value(load, kind, "change p50", "us",
			     latency_quantile_us(&o->times.took, 0.5), NULL);
		report_value(load, kind, "publish p50", "us",
			     latency_quantile_us(&o->times.published, 0.5), NULL);
	}
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* Where packets went, if not all arrived. */
static void explain_losses(bool json, const struct load_outcome *o)
{
	const struct load_losses *l = &o->losses;
	const struct load_losses_by_place *p = &o->places;

	if (l->lost + l->in_outage == 0)
		return;
	report_remark(json,
		      "  lost: %" PRIu64 " of %" PRIu64 " while a change went on, at most %" PRIu64
		      " in a row (%.2f ms)",
		      l->in_change, l->lost, l->longest, (double)l->longest / o->rate * 1000);
	report_remark(json,
		      "  where: before the gateway %" PRIu64 ", at the TUN %" PRIu64
		      ", at the egress links %" PRIu64 ", damaged %" PRIu64,
		      less(o->sent, p->arrived), p->tun_full, p->link_full, o->damaged);
	for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++)
		if (p->drops[r])
			report_remark(json, "  dropped by the daemon: %" PRIu64 " %s", p->drops[r],
				      reason_name((enum reason)r));
}

static void explain_changes(bool json, const struct load_outcome *o)
{
	const struct load_change_times *t = &o->times;

	report_remark(json,
		      "  %" PRIu64
		      " changes, each %.1f ms (p99 %.1f): parsed in %.1f, built in %.1f, "
		      "published in %.3f (p99 %.3f)",
		      t->took.count, latency_quantile_us(&t->took, 0.5) / 1000,
		      latency_quantile_us(&t->took, 0.99) / 1000,
		      latency_quantile_us(&t->parsed, 0.5) / 1000,
		      latency_quantile_us(&t->built, 0.5) / 1000,
		      latency_quantile_us(&t->published, 0.5) / 1000,
		      latency_quantile_us(&t->published, 0.99) / 1000);
	if (t->overdue)
		report_remark(json, "  %" PRIu64 " of them came too late: the traffic had ended",
			      t->overdue);
	report_remark(json, "  %.2f %% of the packets had one right side only",
		      o->received ? 100 * (double)o->certain / (double)o->received : 0);
}

static void explain(bool json, const struct load_outcome *o)
{
	if (!o->kept_up)
		report_remark(json,
			      "  the sender could not keep up, and the load was less: %" PRIu64
			      " packets sent",
			      o->sent);
	if (o->overrun)
		report_remark(json,
			      "  the sink could not keep up with %" PRIu64
			      " packets, which count as lost: nothing is proved",
			      o->overrun);
	if (o->times.took.count)
		explain_changes(json, o);
	if (o->outages)
		report_remark(json,
			      "  %u outages cost %" PRIu64
			      " packets; all was well %.0f ms after the worst",
			      o->outages, o->losses.in_outage,
			      (double)o->losses.recover_ns / NS_PER_MS);
	explain_losses(json, o);
	report_remark(json, "  of the latency, the sender's own: p50 %.1f us, p99.9 %.1f us",
		      latency_quantile_us(&o->late, 0.5), latency_quantile_us(&o->late, 0.999));
}

void load_report_run(bool json, const char *load, const char *kind, const struct load_outcome *o,
		     const struct load_outcome *quiet)
{
	char name[NAME_MAX_BYTES];

	if (json) {
		print_json(load, kind, o, quiet);
		explain(json, o);
		return;
	}
	snprintf(name, sizeof(name), "%s %s", load, kind);
	printf("%-15s %8.0f %9" PRIu64 " %5" PRIu64 " %5" PRIu64 " %5" PRIu64 " %5" PRIu64
	       " %5.2f ms ",
	       name, o->rate, o->sent, o->losses.lost, o->duplicated, o->reordered, o->misrouted,
	       blocked_ms(o));
	for (unsigned i = 0; i < QUANTILES; i++)
		printf(" %8.1f", latency_quantile_us(&o->latency, quantiles[i].q));
	printf(" %5.1f %5.1f\n", machine_other_percent(&o->machine),
	       machine_steal_percent(&o->machine));
	explain(json, o);
	if (quiet)
		report_remark(json, "  p99.9 is %+.3f ms beside that without",
			      (latency_quantile_us(&o->latency, 0.999) -
			       latency_quantile_us(&quiet->latency, 0.999)) /
				      1000);
}

void load_report_rate(bool json, const char *name, double rate)
{
	struct samples own = {.value = {rate / 1000}, .count = 1};
	char text[NAME_MAX_BYTES];

	snprintf(text, sizeof(text), "load %s", name);
	if (json)
		report_line(true, &(struct report_case){text, "kpps", true, &own, NULL, NULL});
	else
		printf("%s: %.0f packets a second\n", name, rate);
	fflush(stdout);
}

void load_report_cost(bool json, const char *what, const char *kind, const char *unit,
		      const struct samples *busy, const struct samples *quiet,
		      const struct machine_time *machine)
{
	double with = samples_median(busy), without = samples_median(quiet);
	char text[NAME_MAX_BYTES];

	snprintf(text, sizeof(text), "load %s %s", what, kind);
	if (json)
		report_line(true, &(struct report_case){text, unit, true, busy, "quiet", quiet});
	else
		printf("%s %s: %.4g %s (%.4g to %.4g), %.1f %% of %.4g (%.4g to %.4g)\n", what,
		       kind, with, unit, samples_min(busy), samples_max(busy),
		       without > 0 ? 100 * with / without : 0, without, samples_min(quiet),
		       samples_max(quiet));
	report_remark(json, "  meanwhile other %.1f %%, steal %.1f %%",
		      machine_other_percent(machine), machine_steal_percent(machine));
}
