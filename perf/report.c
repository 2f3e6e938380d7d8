/* Printing measurements. */
#include "perf/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

void samples_add(struct samples *s, double value)
{
	if (s->count < REPORT_RUNS_MAX)
		s->value[s->count++] = value;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* The value at a fraction of the way through them in order. */
static double quantile(const struct samples *s, double q)
{
	double sorted[REPORT_RUNS_MAX];
	unsigned low;

	if (s->count == 0)
		return 0;
	memcpy(sorted, s->value, s->count * sizeof(sorted[0]));
	qsort(sorted, s->count, sizeof(sorted[0]), compare);
	low = (unsigned)(q * (s->count - 1));
	if (q == 0.5 && s->count % 2 == 0)
		return (sorted[low] + sorted[low + 1]) / 2;
	return sorted[low];
}

double samples_median(const struct samples *s)
{
	return quantile(s, 0.5);
}

double samples_min(const struct samples *s)
{
	return quantile(s, 0);
}

double samples_max(const struct samples *s)
{
	return quantile(s, 1);
}

static void cpu_model(char *out, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(out, size, "unknown");
	while (f && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		line[strcspn(line, "\n")] = 0;
		snprintf(out, size, "%s", colon + 2);
		break;
	}
	if (f)
		fclose(f);
}

/* The commit that the build was made from, if the sources are a git checkout. */
static void commit(char *out, size_t size)
{
	FILE *f = popen("git rev-parse --short HEAD 2>/dev/null", "re");

	out[0] = 0;
	if (f && fgets(out, (int)size, f))
		out[strcspn(out, "\n")] = 0;
	if (f)
		pclose(f);
	if (!out[0])
		snprintf(out, size, "unknown");
}

void report_head(bool json)
{
	char cpu[128], revision[64];
	struct utsname u = {0};
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	uname(&u);
	cpu_model(cpu, sizeof(cpu));
	commit(revision, sizeof(revision));
	if (json)
		printf("{\"machine\": \"%s\", \"cores\": %ld, \"kernel\": \"%s\", \"commit\": "
		       "\"%s\"}\n",
		       cpu, cores, u.release, revision);
	else
		printf("%s, %ld cores, Linux %s, commit %s\n", cpu, cores, u.release, revision);
	fflush(stdout);
}

void report_line(bool json, const struct report_case *c)
{
	double own = samples_median(c->own), peer = 0, ratio = 0;
	bool compared = c->peer && c->peer_samples->count && own > 0;

	if (compared) {
		peer = samples_median(c->peer_samples);
		ratio = c->higher_is_better ? own / peer : peer / own;
	}
	if (json && compared)
		printf("{\"case\": \"%s\", \"value\": %.4g, \"unit\": \"%s\", \"min\": %.4g, "
		       "\"max\": %.4g, \"runs\": %u, \"peer\": \"%s\", \"peer_value\": %.4g, "
		       "\"ratio\": %.3g}\n",
		       c->name, own, c->unit, samples_min(c->own), samples_max(c->own),
		       c->own->count, c->peer, peer, ratio);
	else if (json)
		printf("{\"case\": \"%s\", \"value\": %.4g, \"unit\": \"%s\", \"min\": %.4g, "
		       "\"max\": %.4g, \"runs\": %u, \"peer\": null, \"peer_value\": null, "
		       "\"ratio\": null}\n",
		       c->name, own, c->unit, samples_min(c->own), samples_max(c->own),
		       c->own->count);
	else if (compared)
		printf("%-28s %9.4g %-6s (%.4g to %.4g, %u runs)   %s %.4g, ratio %.2f\n", c->name,
		       own, c->unit, samples_min(c->own), samples_max(c->own), c->own->count,
		       c->peer, peer, ratio);
	else
		printf("%-28s %9.4g %-6s (%.4g to %.4g, %u runs)\n", c->name, own, c->unit,
		       samples_min(c->own), samples_max(c->own), c->own->count);
	fflush(stdout);
}
