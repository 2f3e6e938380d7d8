/* Time for senders that keep to a rate. */
#ifndef SLUICE_PERF_PACE_H
#define SLUICE_PERF_PACE_H

#include <stdint.h>

/* Nanoseconds of the monotonic clock, which all namespaces share. */
uint64_t pace_now_ns(void);

/* Wait until a time; leaves the core to others while it can, but is awake in time. */
void pace_until_ns(uint64_t due_ns);

/* The same without polling: late by what a wake-up takes. */
void pace_sleep_until_ns(uint64_t due_ns);

#endif
