/* What memory of this process really is, as /proc/self/smaps says. */
#ifndef SLUICE_PERF_SMAPS_H
#define SLUICE_PERF_SMAPS_H

#include <stdbool.h>
#include <stddef.h>

struct smaps_range {
	const void *start;
	size_t size; /* 0: none */
};

/* In bytes. */
struct smaps_sum {
	size_t resident;
	size_t huge;  /* in huge pages */
	size_t asked; /* resident where huge pages were asked for */
};

/*
 * Sum up the mappings that n ranges lie in; where n is 0, those that asked for huge pages.
 *
 * Returns whether smaps can be read.
 */
bool smaps_add_up(const struct smaps_range *ranges, unsigned n, struct smaps_sum *out);

#endif
