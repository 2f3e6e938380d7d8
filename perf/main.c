/* sluice-perf: the benchmarks. */
#include <stdio.h>
#include <string.h>

#include "perf/perf.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} benchmarks[] = {
	{"lpm", perf_lpm, "look-ups, parse and build of prefix tables"},
	{"ring", perf_ring, "rings, beside rte_ring and ck_ring"},
	{"flow", perf_flow, "the route cache"},
	{"path", perf_path, "TCP through the whole path, beside the kernel's forwarding"},
	{"load", perf_load,
	 "packets lost, doubled, reordered or misrouted while lists are reloaded"},
	{"wireguard", perf_wireguard,
	 "tunnels, beside wireguard-go; and what hostile traffic does"},
	{"traffic", perf_traffic, "generator and sink: traffic serve|ask|send (no benchmark)"},
};

enum {
	BENCHMARKS = sizeof(benchmarks) / sizeof(benchmarks[0]),
	MEASURED = BENCHMARKS - 1, /* what runs when nothing is named */
};

static int usage(FILE *out)
{
	fprintf(out, "usage: sluice-perf [BENCHMARK] [--json]\n\n"
		     "Without a name all benchmarks run.\n\n");
	for (unsigned i = 0; i < BENCHMARKS; i++)
		fprintf(out, "  %-9s %s\n", benchmarks[i].name, benchmarks[i].help);
	return out == stderr;
}

static int run_all(int argc, char **argv)
{
	int rc = 0;

	for (unsigned i = 0; i < MEASURED; i++) {
		char *name = argv[0];

		argv[0] = (char *)benchmarks[i].name;
		if (i)
			putchar('\n');
		rc |= benchmarks[i].run(argc, argv);
		argv[0] = name;
	}
	return rc;
}

int main(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "--json") == 0)
		return run_all(argc, argv);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return usage(stdout);
	for (unsigned i = 0; i < BENCHMARKS; i++)
		if (strcmp(argv[1], benchmarks[i].name) == 0)
			return benchmarks[i].run(argc - 1, argv + 1);
	fprintf(stderr, "sluice-perf: unknown benchmark '%s'\n", argv[1]);
	return usage(stderr);
}
