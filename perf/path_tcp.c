/* TCP through the gateways, in turn; `both` has as many flows each way. */
#include <errno.h>
#include <stdio.h>

#include "perf/options.h"
#include "perf/path.h"

struct ways {
	const char *name;
	const char *option;
};

static const struct ways ways[] = {{"up", NULL}, {"down", "--down"}, {"both", "--both"}};

/* Of one case. */
struct found {
	struct samples gbps[LANES];
	struct samples cpu; /* of the daemon, seconds a gigabyte */
	struct path_stages stages;
};

static int ask(const struct path *path, int lane, unsigned flows, unsigned ms, const char *option,
	       double *gbps)
{
	char flows_text[16], ms_text[16], line[64];
	const char *argv[] = {"ask",  path_server[lane], "--flows", flows_text,
			      "--ms", ms_text,           option,    NULL};
	int rc;

	snprintf(flows_text, sizeof(flows_text), "%u", flows);
	snprintf(ms_text, sizeof(ms_text), "%u", ms);
	rc = path_traffic(path, lane, argv, line, sizeof(line));
	if (rc == 0 && sscanf(line, "{\"gbps\": %lf}", gbps) != 1)
		rc = -EIO;
	return rc;
}

static int ask_sluice(const struct path *path, unsigned flows, unsigned ms, const char *option,
		      struct found *found)
{
	struct path_usage before = {0}, after = {0};
	double gbps = 0, gigabytes;
	uint64_t sum;
	int rc = path_usage(path, &before);

	if (rc == 0)
		rc = ask(path, LANE_SLUICE, flows, ms, option, &gbps);
	if (rc == 0)
		rc = path_usage(path, &after);
	if (rc < 0)
		return rc;
	gigabytes = gbps / 8 * ms / 1000;
	sum = path_stages_sum(before.stage_ns, after.stage_ns);
	samples_add(&found->gbps[LANE_SLUICE], gbps);
	if (gigabytes > 0)
		samples_add(&found->cpu, (double)(after.cpu_ns - before.cpu_ns) / 1e9 / gigabytes);
	path_stages_add(&found->stages, before.stage_ns, after.stage_ns,
			sum ? 100.0 / (double)sum : 0);
	return 0;
}

static int measure(const struct path *path, const struct path_options *o, unsigned flows,
		   const struct ways *way)
{
	struct found found = {0};
	char what[PATH_NAME_MAX], name[PATH_NAME_MAX];
	double gbps = 0;
	int rc = 0;

	snprintf(what, sizeof(what), "tcp %u %s", flows, way->name);
	snprintf(name, sizeof(name), "%s queues %u", what, path->queues);
	if (!options_wanted(o->only, name))
		return 0;
	for (unsigned run = 0; rc == 0 && run < o->runs; run++) {
		rc = ask_sluice(path, flows, o->ms, way->option, &found);
		for (int lane = LANE_MASQUERADE; rc == 0 && lane < LANES; lane++) {
			rc = ask(path, lane, flows, o->ms, way->option, &gbps);
			samples_add(&found.gbps[lane], gbps);
		}
	}
	if (rc < 0)
		return rc;
	report_line(o->json, &(struct report_case){name, "Gb/s", true, &found.gbps[LANE_SLUICE],
						   "masquerade", &found.gbps[LANE_MASQUERADE]});
	snprintf(name, sizeof(name), "%s cpu queues %u", what, path->queues);
	report_line(o->json,
		    &(struct report_case){.name = name, .unit = "s/GB", .own = &found.cpu});
	path_stages_report(o, what, path->queues, "%", &found.stages);
	if (!o->json)
		report_remark(false, "  plain forwarding %.4g Gb/s",
			      samples_median(&found.gbps[LANE_FORWARD]));
	return 0;
}

int path_tcp(const struct path *path, const struct path_options *o)
{
	static const unsigned flows[] = {1, 4, 16};

	for (unsigned i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
		for (unsigned w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
			int rc = measure(path, o, flows[i], &ways[w]);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}
