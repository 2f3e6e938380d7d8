/* How much memory this process can still take. */
#ifndef SLUICE_CTL_MEMORY_H
#define SLUICE_CTL_MEMORY_H

#include <stdint.h>

enum {
	MEMORY_TEXT_MAX = 24,
};

/*
 * What can be taken before the system, a control group of this process or of one above it, or a
 * resource limit runs out: the least of them. Memory that holds copies of files counts as free.
 *
 * root: what stands before /proc and /sys; "" but in tests
 * Returns bytes; UINT64_MAX if nothing is known
 */
uint64_t memory_available(const char *root);

/* "300 MiB", "1.2 GiB"; returns out. */
char *memory_format(uint64_t bytes, char out[MEMORY_TEXT_MAX]);

#endif
