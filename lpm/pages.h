/* Memory for large tables, straight from the kernel. Used inside lpm/ only. */
#ifndef SLUICE_LPM_PAGES_H
#define SLUICE_LPM_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Map memory that reads as zeros and costs nothing until it is written.
 *
 * size: a multiple of PAGES_ALIGN; huge: ask for huge pages, where a first write then costs one
 * Returns NULL if there is none; the caller's, until pages_unmap
 */
void *pages_map(size_t size, bool huge);

/* NULL does nothing. */
void pages_unmap(void *memory, size_t size);

/* Make it zeros; a page that is zeros already is not written. */
void pages_clear(void *memory, size_t size);

/* Copy what pages_map gave; a page that is equal already, so of zeros above all, is not written. */
void pages_copy(void *to, const void *from, size_t size);

/*
 * Have every page there, so that no read faults. One that was never written still costs nothing: it
 * is the kernel's page of zeros.
 */
void pages_populate(const void *memory, size_t size);

enum {
	PAGES_ALIGN = 2 << 20, /* memory starts at a multiple of it */
};

/* What to map for size bytes; SIZE_MAX rounded down if there is no such size. */
size_t pages_round(size_t size);

#endif
