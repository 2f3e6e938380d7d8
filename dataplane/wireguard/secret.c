/* See secret.h. */
#include "dataplane/wireguard/secret.h"

#include <sys/mman.h>

#include "dataplane/wireguard/crypto.h"

enum {
	LINE = 64,
	CHUNK_SIZE = 64 * 1024,
};

/* At the start of each chunk; objects follow from the next line on. */
struct secret_chunk {
	struct secret_chunk *next;
	size_t size;
};

void *secret_map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
#ifdef MADV_DONTDUMP
	(void)madvise(memory, size, MADV_DONTDUMP);
#endif
	(void)mlock(memory, size); /* the limit may be low; swap is then not kept from it */
	return memory;
}

void secret_unmap(void *memory, size_t size)
{
	if (!memory)
		return;
	wg_crypto_wipe(memory, size);
	munmap(memory, size);
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
	memcpy(object, &pool->free, sizeof(pool->free));
	pool->free = object;
}

static int grow(struct secret_pool *pool)
{
	size_t size = pool->size > CHUNK_SIZE - LINE ? pool->size + LINE : CHUNK_SIZE;
	struct secret_chunk *chunk = secret_map(size);

	if (!chunk)
		return -1;
	*chunk = (struct secret_chunk){.next = pool->chunks, .size = size};
	pool->chunks = chunk;
	/* The last first, so that they are given out in the order of their addresses. */
	for (size_t i = (size - LINE) / pool->size; i-- > 0;)
		chain(pool, (char *)chunk + LINE + i * pool->size);
	return 0;
}

void *secret_alloc(struct secret_pool *pool)
{
	void *object;

	if (!pool->free && grow(pool) < 0)
		return NULL;
	object = pool->free;
	memcpy(&pool->free, object, sizeof(pool->free));
	memset(object, 0, sizeof(pool->free));
	return object;
}

void secret_free(struct secret_pool *pool, void *object)
{
	if (!object)
		return;
	wg_crypto_wipe(object, pool->size);
	chain(pool, object);
}
