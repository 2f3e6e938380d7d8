/* DPDK's environment for benchmarks: one lcore, no devices, no chatter. */
#ifndef SLUICE_PERF_EAL_DPDK_H
#define SLUICE_PERF_EAL_DPDK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Start it, once in a process. The thread that calls keeps its CPUs.
 *
 * text: version and pages, or why it could not start
 * Returns whether it runs.
 */
bool eal_open(char *text, size_t size);
void eal_close(void);

#endif
