/* Printing measurements. */
#include "perf/report.h"

#include <stdarg.h>
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

/* As a JSON string. */
static void print_quoted(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			printf("\\u%04x", (unsigned)*text);
		else
			putchar(*text);
	}
	putchar('"');
}

void report_machine(bool json, const struct report_field *fields, unsigned count)
{
	char cpu[128], revision[64];
	struct utsname u = {0};
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	uname(&u);
	cpu_model(cpu, sizeof(cpu));
	commit(revision, sizeof(revision));
	if (json)
		printf("{\"machine\": \"%s\", \"cores\": %ld, \"kernel\": \"%s\", \"commit\": "
		       "\"%s\"",
		       cpu, cores, u.release, revision);
	else
		printf("%s, %ld cores, Linux %s, commit %s\n", cpu, cores, u.release, revision);
	for (unsigned i = 0; i < count; i++) {
		if (json) {
			printf(", \"%s\": ", fields[i].name);
			print_quoted(fields[i].text);
		} else {
			printf("%s: %s\n", fields[i].name, fields[i].text);
		}
	}
	if (json)
		printf("}\n");
	fflush(stdout);
}

void report_head_fields(bool json, const struct report_field *fields, unsigned count)
{
	report_machine(json, fields, count);
	if (!json)
		printf("\n%-36s %10s %-5s %10s %10s %4s  %6s  %s\n", "case", "median", "unit",
		       "min", "max", "runs", "ratio", "peer");
	fflush(stdout);
}

void report_head(bool json)
{
	report_head_fields(json, NULL, 0);
}

void report_remark(bool json, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(json ? stderr : stdout, format, args);
	va_end(args);
	fputc('\n', json ? stderr : stdout);
	fflush(stdout);
}

enum {
	NUMBER_MAX = 32,
};

/* Four figures, but all of a large number. */
static const char *format_number(double value, char out[NUMBER_MAX])
{
	snprintf(out, NUMBER_MAX, value >= 1e4 ? "%.0f" : "%.4g", value);
	return out;
}

/* Above 1: we are better; 0: there is nothing to compare. */
static double ratio_to(const struct report_case *c, const struct samples *samples)
{
	double own = samples_median(c->own), peer = samples_median(samples);

	if (own <= 0 || peer <= 0)
		return 0;
	return c->higher_is_better ? own / peer : peer / own;
}

static void print_json(const struct report_case *c, const char *word, const char *peer,
		       const struct samples *samples)
{
	char own[NUMBER_MAX], min[NUMBER_MAX], max[NUMBER_MAX], other[NUMBER_MAX];

	printf("{\"case\": \"%s%s%s\", \"value\": %s, \"unit\": \"%s\", \"min\": %s, \"max\": %s, "
	       "\"runs\": %u, ",
	       c->name, word ? " " : "", word ? word : "",
	       format_number(samples_median(c->own), own), c->unit,
	       format_number(samples_min(c->own), min), format_number(samples_max(c->own), max),
	       c->own->count);
	if (peer && ratio_to(c, samples) > 0)
		printf("\"peer\": \"%s\", \"peer_value\": %s, \"ratio\": %.3g}\n", peer,
		       format_number(samples_median(samples), other), ratio_to(c, samples));
	else
		printf("\"peer\": null, \"peer_value\": null, \"ratio\": null}\n");
}

static void print_peer(const struct report_case *c, const char *peer, const struct samples *samples)
{
	char number[NUMBER_MAX];

	if (peer && ratio_to(c, samples) > 0)
		printf("  %6.2f  %s %s", ratio_to(c, samples), peer,
		       format_number(samples_median(samples), number));
}

void report_line_second(bool json, const struct report_case *c, const struct report_second *second)
{
	char own[NUMBER_MAX], min[NUMBER_MAX], max[NUMBER_MAX];

	if (json) {
		print_json(c, NULL, c->peer, c->peer_samples);
		if (second)
			print_json(c, second->word, second->peer, second->samples);
	} else {
		printf("%-36s %10s %-5s %10s %10s %4u", c->name,
		       format_number(samples_median(c->own), own), c->unit,
		       format_number(samples_min(c->own), min),
		       format_number(samples_max(c->own), max), c->own->count);
		print_peer(c, c->peer, c->peer_samples);
		if (second)
			print_peer(c, second->peer, second->samples);
		putchar('\n');
	}
	fflush(stdout);
}

void report_line(bool json, const struct report_case *c)
{
	report_line_second(json, c, NULL);
}
