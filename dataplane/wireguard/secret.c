/* See secret.h. */
#include "dataplane/wireguard/secret.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "dataplane/wireguard/crypto.h"

enum {
	LINE = 64,
	CHUNK_SIZE = 64 * 1024,
	PAGE = 16384, /* or a part of it, on all systems */
};

/* At the start of each chunk; objects follow from the next line on. */
struct secret_chunk {
	struct secret_chunk *next;
	size_t size;
};

/* Whole pages, so that what is said of them concerns nobody else. */
static size_t whole_pages(size_t size)
{
	return (size + PAGE - 1) / PAGE * PAGE;
}

/* From the heap and not mapped apart, so that a checker of leaks sees what it points to. */
void *secret_map(size_t size)
{
	size_t pages = whole_pages(size);
	void *memory = aligned_alloc(PAGE, pages);

	if (!memory)
		return NULL;
	memset(memory, 0, pages);
#ifdef MADV_DONTDUMP
	(void)madvise(memory, pages, MADV_DONTDUMP);
#endif
	(void)mlock(memory, pages); /* the limit may be low; swap is then not kept from it */
	return memory;
}

void secret_unmap(void *memory, size_t size)
{
	size_t pages = whole_pages(size);

	if (!memory)
		return;
	wg_crypto_wipe(memory, pages);
	(void)munlock(memory, pages);
#ifdef MADV_DODUMP
	(void)madvise(memory, pages, MADV_DODUMP);
#endif
	free(memory);
}

void secret_pool_init(struct secret_pool *pool, size_t size)
{
	*pool = (struct secret_pool){.size = (size + LINE - 1) / LINE * LINE};
}

void secret_pool_fini(struct secret_pool *pool)
{
	struct secret_chunk *chunk = pool->chunks;

	while (chunk) {
		struct secret_chunk *next = chunk->next;

		secret_unmap(chunk, chunk->size);
		chunk = next;
	}
	*pool = (struct secret_pool){.size = pool->size};
}

static void chain(struct secret_pool *pool, void *object)
{
	*(void **)object = pool->free;
	pool->free = object;
}

static void grow(struct secret_pool *pool)
{
	size_t size = pool->size > CHUNK_SIZE - LINE ? pool->size + LINE : CHUNK_SIZE;
	struct secret_chunk *chunk = secret_map(size);

	if (!chunk)
		return;
	*chunk = (struct secret_chunk){.next = pool->chunks, .size = size};
	pool->chunks = chunk;
	/* The last first, so that they are given out in the order of their addresses. */
	for (size_t i = (size - LINE) / pool->size; i-- > 0;)
		chain(pool, (char *)chunk + LINE + i * pool->size);
}

void *secret_alloc(struct secret_pool *pool)
{
	void **object;

	if (!pool->free)
		grow(pool);
	object = pool->free;
	if (!object)
		return NULL;
	pool->free = *object;
	*object = NULL;
	return object;
}

void secret_free(struct secret_pool *pool, void *object)
{
	if (!object)
		return;
	wg_crypto_wipe(object, pool->size);
	chain(pool, object);
}
