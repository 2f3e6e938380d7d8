/* How much of the machine was not ours: what else ran, and what the hypervisor took. */
#ifndef SLUICE_PERF_MACHINE_H
#define SLUICE_PERF_MACHINE_H

#include <stdint.h>

/* In clock ticks of all cores together; differences of two readings mean something. */
struct machine_time {
	uint64_t all;
	uint64_t idle;
	uint64_t steal;
	uint64_t other; /* of processes other than ours and than the kernel's threads */
};

/* Ours are this process and its children. Errors: -errno */
int machine_read(struct machine_time *out);

/* Per cent of all cores between two readings; 0 if they are the same. */
double machine_steal_percent(const struct machine_time *spent);
double machine_other_percent(const struct machine_time *spent);

/* Seconds in which a core worked, for whomever; all cores together. */
double machine_busy_s(const struct machine_time *spent);

/* Add to *spent what went by from one reading to another. */
void machine_add(struct machine_time *spent, const struct machine_time *from,
		 const struct machine_time *to);

#endif
