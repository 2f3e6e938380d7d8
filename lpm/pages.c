#include "lpm/pages.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __linux__
#ifndef MADV_POPULATE_READ /* since Linux 5.14 */
#define MADV_POPULATE_READ 22
#endif
#endif

enum {
	PAGE = 4096,
};

size_t pages_round(size_t size)
{
	const size_t mask = PAGES_ALIGN - 1;

	return size > SIZE_MAX - mask ? SIZE_MAX & ~mask : (size + mask) & ~mask;
}

void *pages_map(size_t size, bool huge)
{
	size_t mapped_size, head;
	uint8_t *mapped;

	if (size > SIZE_MAX - PAGES_ALIGN)
		return NULL;
	mapped_size = size + PAGES_ALIGN;
	mapped = mmap(NULL, mapped_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
	if (mapped == MAP_FAILED)
		return NULL;
	/* Keep the aligned part. */
	head = -(uintptr_t)mapped & (PAGES_ALIGN - 1);
	if (head > 0)
		munmap(mapped, head);
	munmap(mapped + head + size, PAGES_ALIGN - head);
#ifdef MADV_HUGEPAGE
	if (huge)
		madvise(mapped + head, size, MADV_HUGEPAGE); /* only a wish */
#else
	(void)huge;
#endif
	return mapped + head;
}

void pages_unmap(void *memory, size_t size)
{
	if (memory != NULL)
		munmap(memory, size);
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

void pages_clear(void *memory, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE) {
		uint8_t *page = (uint8_t *)memory + at;

		if (!is_zero(page))
			memset(page, 0, PAGE);
	}
}

void pages_copy(void *to, const void *from, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE) {
		uint8_t *page = (uint8_t *)to + at;
		const uint8_t *source = (const uint8_t *)from + at;

		if (memcmp(page, source, PAGE) != 0)
			memcpy(page, source, PAGE);
	}
}

void pages_populate(const void *memory, size_t size)
{
	const volatile uint8_t *bytes = memory;

#ifdef __linux__
	if (madvise((void *)(uintptr_t)memory, size, MADV_POPULATE_READ) == 0)
		return;
#endif
	for (size_t at = 0; at < size; at += PAGE)
		(void)bytes[at];
}
