/*
 * A prefix and its rule are one number, in the order of (addr, len, rule): the rule that wins
 * comes first. Lists are sorted already, so neighbours are merged until one is left. That is done
 * for one first byte of the addresses after the other: its keys fit into the cache.
 */
#include "lpm/merge4.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/list_walk.h"

enum {
	RULE_BITS = 16,
	LEN_BITS = 8,
	BUCKET_SHIFT = 24, /* of addresses */
	BUCKETS = 256,
};

static uint64_t make_key(const struct list4_entry *entry, unsigned rule)
{
	return ((uint64_t)entry->addr << LEN_BITS | entry->len) << RULE_BITS | rule;
}

static unsigned key_rule(uint64_t key)
{
	return (unsigned)(key & ((1U << RULE_BITS) - 1));
}

static struct lpm4_route key_route(uint64_t key)
{
	return (struct lpm4_route){
		.addr = (uint32_t)(key >> (LEN_BITS + RULE_BITS)),
		.len = (uint8_t)(key >> RULE_BITS),
		.verdict = (uint16_t)(key_rule(key) + 1),
	};
}

/*
 * Which comes next is as good as random: chosen without a branch. What may come after it is loaded
 * before that is known, so that no step waits for a load.
 */
static void merge_pair(const uint64_t *a, size_t a_count, const uint64_t *b, size_t b_count,
		       uint64_t *out)
{
	const uint64_t *a_end = a + a_count, *b_end = b + b_count;
	uint64_t x = *a, y = *b;

	while (a < a_end && b < b_end) {
		uint64_t x_next = a[1], y_next = b[1];
		bool first = x < y;

		*out++ = first ? x : y;
		x = first ? x_next : x;
		y = first ? y : y_next;
		a += first;
		b += !first;
	}
	memcpy(out, a, (size_t)(a_end - a) * sizeof(*out));
	memcpy(out + (a_end - a), b, (size_t)(b_end - b) * sizeof(*out));
}

/*
 * Merge n sorted parts, of which part i is keys[bounds[i]] up to bounds[i + 1], into one.
 *
 * Returns keys or spare, whichever holds it; bounds are lost
 */
static uint64_t *merge_parts(uint64_t *keys, uint64_t *spare, size_t *bounds, unsigned n)
{
	while (n > 1) {
		uint64_t *swap = keys;
		unsigned pairs = (n + 1) / 2;

		for (unsigned i = 0; i < pairs; i++) {
			size_t begin = bounds[2 * i], middle = bounds[2 * i + 1];
			size_t end = 2 * i + 2 <= n ? bounds[2 * i + 2] : middle;

			merge_pair(keys + begin, middle - begin, keys + middle, end - middle,
				   spare + begin);
			bounds[i] = begin;
		}
		bounds[pairs] = bounds[n];
		keys = spare;
		spare = swap;
		n = pairs;
	}
	return keys;
}

/* The first of equal prefixes, and whether a later one goes elsewhere. */
static void settle(const struct table_rule *rules, const uint64_t *keys, size_t count,
		   struct merge4 *out)
{
	for (size_t i = 0; i < count;) {
		uint64_t winner = keys[i];
		uint16_t egress = rules[key_rule(winner)].egress;
		bool clash = false;

		out->routes[out->count++] = key_route(winner);
		for (i++; i < count && keys[i] >> RULE_BITS == winner >> RULE_BITS; i++)
			clash |= rules[key_rule(keys[i])].egress != egress;
		out->clashes += clash;
	}
}

/* A list, and its entries from where it goes on that lie next to each other. */
struct source {
	struct list_walk walk;
	const struct list4_entry *entries; /* NULL at the end */
	size_t count;
};

struct buffers {
	struct source *sources; /* by rule */
	size_t *bounds;         /* one more than rules */
	uint64_t *keys;
};

/* The keys of addresses that begin with that byte; returns how many. */
static size_t take_keys(struct source *s, unsigned rule, uint32_t bucket, uint64_t *keys)
{
	size_t taken = 0;

	while (s->entries != NULL) {
		size_t i = 0;

		for (; i < s->count && s->entries[i].addr >> BUCKET_SHIFT == bucket; i++)
			keys[taken++] = make_key(&s->entries[i], rule);
		if (i < s->count) {
			s->entries += i;
			s->count -= i;
			break;
		}
		s->entries = list_walk_span4(&s->walk, &s->count);
	}
	return taken;
}

/* One byte's prefixes of all lists, into the routes. */
static void merge_bucket(const struct table_rule *rules, unsigned n, uint32_t bucket,
			 const struct buffers *b, struct merge4 *out)
{
	unsigned parts = 0;
	size_t count = 0;

	for (unsigned i = 0; i < n; i++) {
		size_t taken = take_keys(&b->sources[i], i, bucket, b->keys + count);

		b->bounds[parts] = count;
		parts += taken > 0;
		count += taken;
	}
	b->bounds[parts] = count;
	b->keys[count] = b->keys[2 * count] = 0; /* read too far, and not used */
	settle(rules, merge_parts(b->keys, b->keys + count, b->bounds, parts), count, out);
}

int merge4_rules(const struct table_rule *rules, unsigned n, struct merge4 *out)
{
	struct buffers b = {0};
	struct merge4 merge = {0};
	size_t count = 0;
	int rc = -ENOMEM;

	for (unsigned i = 0; i < n; i++)
		count += list_count(rules[i].list, 4);
	b.sources = calloc((size_t)n + 1, sizeof(*b.sources));
	b.bounds = malloc(((size_t)n + 1) * sizeof(*b.bounds));
	if (count < SIZE_MAX / (2 * sizeof(*b.keys)))
		b.keys = malloc((2 * count + 1) * sizeof(*b.keys)); /* of one bucket at most */
	merge.routes = malloc((count + 1) * sizeof(*merge.routes));
	if (b.sources == NULL || b.bounds == NULL || b.keys == NULL || merge.routes == NULL)
		goto out;
	for (unsigned i = 0; i < n; i++) {
		list_walk_start(&b.sources[i].walk, rules[i].list, 4);
		b.sources[i].entries = list_walk_span4(&b.sources[i].walk, &b.sources[i].count);
	}
	for (uint32_t bucket = 0; bucket < BUCKETS; bucket++)
		merge_bucket(rules, n, bucket, &b, &merge);
	*out = merge;
	merge.routes = NULL;
	rc = 0;
out:
	free(merge.routes);
	free(b.keys);
	free(b.bounds);
	free(b.sources);
	return rc;
}
