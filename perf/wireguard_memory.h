/*
 * One peer and several workers of one end, without system calls: what the other end has sealed, or
 * what is to be sealed, waits in memory; then workers start and take it in, or out.
 */
#ifndef SLUICE_PERF_WIREGUARD_MEMORY_H
#define SLUICE_PERF_WIREGUARD_MEMORY_H

#include <stdbool.h>

/*
 * Measure "in memory workers N" and "in memory out workers N" for 1, 2, 4, ... workers, as many as
 * there are cores, each worker on its own, and two on one core; out also of a single flow. Report
 * each in Gb/s of packets inside, beside one worker.
 *
 * runs:   of each, interleaved
 * only:   as options_wanted's
 * Errors: -errno
 */
int wgmemory_run(bool json, unsigned runs, const char *only);

#endif
