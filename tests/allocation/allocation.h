/*
 * Allocation that fails where it is told to, and a count of what is not given back. The build puts
 * it in the place of malloc and its kin in the sources under test, and in the tests themselves
 * (allocation_flags in build.zig): no source knows of it.
 */
#ifndef SLUICE_TESTS_ALLOCATION_ALLOCATION_H
#define SLUICE_TESTS_ALLOCATION_ALLOCATION_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct allocation_report {
	unsigned made; /* allocations since the start, with the one that failed */
	bool failed;   /* whether the chosen one was reached */
	size_t peak;   /* bytes held at most beyond those at the start */
};

/* Count from now on; the fail_at-th allocation fails, counted from 1; 0: none does. */
void allocation_start(unsigned fail_at);
struct allocation_report allocation_stop(void);

/* Blocks and mapped bytes that are not given back: the same before and after what does not leak. */
size_t allocation_live(void);

void *allocation_malloc(size_t size);
void *allocation_calloc(size_t count, size_t size);
void *allocation_realloc(void *block, size_t size);
void *allocation_reallocarray(void *block, size_t count, size_t size);
void *allocation_aligned_alloc(size_t alignment, size_t size);
char *allocation_strdup(const char *text);
char *allocation_strndup(const char *text, size_t size);
void allocation_free(void *block);
void *allocation_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int allocation_munmap(void *at, size_t size);
DIR *allocation_fdopendir(int fd);

#endif
