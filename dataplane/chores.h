/*
 * What a worker does between bursts: retry packets that wait for a next hop, expire flows, sleep.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_CHORES_H
#define SLUICE_DATAPLANE_CHORES_H

#include <stdint.h>

#include "dataplane/links.h"

struct worker;

/* The clock of all: monotonic, and goes on while the machine sleeps. */
uint64_t chores_now_ns(void);

/* Send what waited for a next hop that the links know now; drop what waited too long. */
void chores_retry_pending(struct worker *worker, const struct links *links);

/* Every now and then: expire a piece of the flow table, and note what only can be counted there. */
void chores_sweep(struct worker *worker);

/*
 * Wait until a device or the control thread has something. The thread is offline. Adapts how long
 * the worker looks again before it sleeps next time.
 */
void chores_wait(struct worker *worker);

/* Sleep so long, whatever comes. The thread is offline. */
void chores_nap(struct worker *worker, uint64_t length_ns);

#endif
