/* A fault for `sluice-perf load`: packets of one flow go to any of the daemon's workers. */
#ifndef SLUICE_PERF_LOAD_SCATTER_H
#define SLUICE_PERF_LOAD_SCATTER_H

#include <sys/types.h>

/*
 * Put a program that draws lots in the place of the one that steers the daemon's TUN.
 *
 * Errors: -ENOENT (no TUN is open there), -errno
 */
int load_scatter(pid_t daemon);

#endif
