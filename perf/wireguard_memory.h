/*
 * One peer and several workers, without system calls: what a tunnel's far end has sealed waits in
 * memory, then workers start and take it in; or what is to be sealed waits, and they send it.
 */
#ifndef SLUICE_PERF_WIREGUARD_MEMORY_H
#define SLUICE_PERF_WIREGUARD_MEMORY_H

#include <stdbool.h>

/*
 * Measure "in memory workers N", and the same with "out", for 1, 2, 4, ... workers, as many as
 * there are cores, and report each in Gb/s of packets inside, beside one worker.
 *
 * runs:   of each, interleaved
 * only:   as options_wanted's
 * Errors: -errno
 */
int wgmemory_run(bool json, unsigned runs, const char *only);

#endif
