#include "tests/allocation/allocation.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct {
	bool counting;
	unsigned fail_at;
	struct allocation_report report;
	size_t blocks;
	size_t mapped;
	size_t bytes; /* with what is mapped */
	size_t bytes_at_start;
} state;

void allocation_start(unsigned fail_at)
{
	state.report = (struct allocation_report){0};
	state.fail_at = fail_at;
	state.bytes_at_start = state.bytes;
	state.counting = true;
}

struct allocation_report allocation_stop(void)
{
	state.counting = false;
	return state.report;
}

size_t allocation_live(void)
{
	return state.blocks + state.mapped;
}

/* Whether it is this one's turn to fail. */
static bool fails(void)
{
	if (!state.counting || ++state.report.made != state.fail_at)
		return false;
	state.report.failed = true;
	errno = ENOMEM;
	return true;
}

static void add_bytes(size_t bytes)
{
	state.bytes += bytes;
	if (state.counting && state.bytes > state.bytes_at_start + state.report.peak)
		state.report.peak = state.bytes - state.bytes_at_start;
}

static void *note(void *block)
{
	if (block != NULL) {
		state.blocks++;
		add_bytes(malloc_usable_size(block));
	}
	return block;
}

void *allocation_malloc(size_t size)
{
	return fails() ? NULL : note(malloc(size));
}

void *allocation_calloc(size_t count, size_t size)
{
	return fails() ? NULL : note(calloc(count, size));
}

void *allocation_aligned_alloc(size_t alignment, size_t size)
{
	return fails() ? NULL : note(aligned_alloc(alignment, size));
}

char *allocation_strdup(const char *text)
{
	return fails() ? NULL : note(strdup(text));
}

char *allocation_strndup(const char *text, size_t size)
{
	return fails() ? NULL : note(strndup(text, size));
}

void *allocation_realloc(void *block, size_t size)
{
	size_t before = block != NULL ? malloc_usable_size(block) : 0;
	void *moved;

	if (fails())
		return NULL;
	moved = realloc(block, size);
	if (moved == NULL)
		return NULL;
	state.blocks += block == NULL;
	add_bytes(malloc_usable_size(moved)); /* both are there while it is moved */
	state.bytes -= before;
	return moved;
}

void *allocation_reallocarray(void *block, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return allocation_realloc(block, bytes);
}

void allocation_free(void *block)
{
	if (block != NULL) {
		state.blocks--;
		state.bytes -= malloc_usable_size(block);
	}
	free(block);
}

void *allocation_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	void *mapped;

	if (fails())
		return MAP_FAILED;
	mapped = mmap(at, size, protection, flags, fd, offset);
	if (mapped != MAP_FAILED) {
		state.mapped += size;
		add_bytes(size);
	}
	return mapped;
}

int allocation_munmap(void *at, size_t size)
{
	int rc = munmap(at, size);

	if (rc == 0) {
		state.mapped -= size;
		state.bytes -= size;
	}
	return rc;
}

DIR *allocation_fdopendir(int fd)
{
	return fails() ? NULL : fdopendir(fd);
}
