/* See source.h. Chained hashing over entries that are made once; free ones are a chain, too. */
#include "dataplane/source.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/check.h"

enum {
	NONE = 0, /* no index */
};

struct sources {
	uint64_t seed;
	struct source *entries; /* index i is entries[i - 1] */
	uint32_t *buckets;
	size_t bucket_mask;
	size_t capacity;
	size_t used;   /* entries that ever were; those past it cost no memory yet */
	uint32_t free; /* chain of entries that were given back */
};

struct sources *sources_create(size_t capacity, uint64_t seed)
{
	struct sources *s = calloc(1, sizeof(*s));
	size_t buckets = 1;

	if (!s)
		return NULL;
	while (buckets < capacity)
		buckets *= 2;
	s->seed = seed;
	s->capacity = capacity;
	s->bucket_mask = buckets - 1;
	s->entries = malloc(capacity * sizeof(*s->entries));
	s->buckets = calloc(buckets, sizeof(*s->buckets));
	if (s->entries && s->buckets)
		return s;
	sources_destroy(s);
	return NULL;
}

void sources_destroy(struct sources *s)
{
	if (!s)
		return;
	free(s->buckets);
	free(s->entries);
	free(s);
}

struct source *source_at(struct sources *s, uint32_t index)
{
	CHECK(index != NONE && index <= s->used);
	return &s->entries[index - 1];
}

static uint32_t *bucket_of(const struct sources *s, const uint8_t *addr)
{
	return &s->buckets[XXH3_64bits_withSeed(addr, 16, s->seed) & s->bucket_mask];
}

static uint32_t take_entry(struct sources *s)
{
	uint32_t index = s->free;

	if (index != NONE) {
		s->free = source_at(s, index)->chain;
		return index;
	}
	CHECK(s->used < s->capacity);
	return (uint32_t)++s->used;
}

void source_prefetch(const struct sources *s, const struct flow_key *key)
{
	__builtin_prefetch(bucket_of(s, key->src));
}

void source_prefetch_at(const struct sources *s, uint32_t index)
{
	__builtin_prefetch(&s->entries[index - 1], 1);
}

uint32_t source_enter(struct sources *s, const struct flow_key *key)
{
	uint32_t *bucket = bucket_of(s, key->src);
	uint32_t index = *bucket;
	struct source *e;

	for (; index != NONE; index = e->chain) {
		e = source_at(s, index);
		if (e->version == key->version && memcmp(e->addr, key->src, 16) == 0) {
			e->flows++;
			return index;
		}
	}
	index = take_entry(s);
	e = source_at(s, index);
	*e = (struct source){.flows = 1, .chain = *bucket, .version = key->version};
	memcpy(e->addr, key->src, 16);
	*bucket = index;
	return index;
}

void source_leave(struct sources *s, uint32_t index)
{
	struct source *e = source_at(s, index);
	uint32_t *link = bucket_of(s, e->addr);

	CHECK(e->flows > 0);
	if (--e->flows > 0)
		return;
	CHECK(e->ports == 0);
	while (*link != index) {
		CHECK(*link != NONE);
		link = &source_at(s, *link)->chain;
	}
	*link = e->chain;
	e->chain = s->free;
	s->free = index;
}
