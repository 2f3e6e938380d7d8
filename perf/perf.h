/* The benchmarks of sluice-perf: each takes its own arguments, argv[0] is its name. */
#ifndef SLUICE_PERF_PERF_H
#define SLUICE_PERF_PERF_H

int perf_lpm(int argc, char **argv);
int perf_ring(int argc, char **argv);
int perf_flow(int argc, char **argv);
int perf_path(int argc, char **argv);
int perf_load(int argc, char **argv);
int perf_wireguard(int argc, char **argv);

/* Not a benchmark: the generator and sink of TCP traffic that perf_path and the demo use. */
int perf_traffic(int argc, char **argv);

#endif
