/* libdpdk-dev was not there when this was built. */
#include "perf/ring_loops.h"

const struct ring_subject ring_dpdk[RING_THREADS] = {{0}};
