/*
 * Memory for what holds keys: kept out of core dumps, and of swap where the system lets us; wiped
 * when it is given back. Objects of one size; the memory stays the pool's.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_SECRET_H
#define SLUICE_DATAPLANE_WIREGUARD_SECRET_H

#include <stddef.h>

struct secret_chunk;

struct secret_pool {
	size_t size; /* of an object, a multiple of 64 */
	struct secret_chunk *chunks;
	void *free; /* chain: each begins with a pointer to the next */
};

/* Makes an empty pool. Nothing is taken yet. */
void secret_pool_init(struct secret_pool *pool, size_t size);

/* Wipes and frees all, objects that are in use too. */
void secret_pool_fini(struct secret_pool *pool);

/* All zero, aligned to 64; NULL when memory is short. Thread: one at a time */
void *secret_alloc(struct secret_pool *pool);

/* NULL does nothing. Thread: one at a time */
void secret_free(struct secret_pool *pool, void *object);

/*
 * One piece of such memory, zero.
 *
 * Returns: NULL when memory is short
 */
void *secret_map(size_t size);
void secret_unmap(void *memory, size_t size); /* wipes it; NULL does nothing */

#endif
