/*
 * A prefix and its rule are one number, in the order of (addr, len, rule): the rule that wins
 * comes first. Lists are sorted already, so neighbours are merged until one is left.
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

static void write_keys(const struct list *list, unsigned rule, uint64_t *keys)
{
	const struct list4_entry *entries;
	struct list_walk walk;
	size_t count;

	list_walk_start(&walk, list, 4);
	while ((entries = list_walk_span4(&walk, &count)) != NULL) {
		for (size_t i = 0; i < count; i++)
			*keys++ = make_key(&entries[i], rule);
	}
}

int merge4_rules(const struct table_rule *rules, unsigned n, struct merge4 *out)
{
	struct merge4 merge = {0};
	uint64_t *keys = NULL;
	size_t *bounds, count = 0;
	int rc = -ENOMEM;

	bounds = malloc(((size_t)n + 1) * sizeof(*bounds));
	if (bounds == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		bounds[i] = count;
		count += list_count(rules[i].list, 4);
	}
	bounds[n] = count;
	if (count < SIZE_MAX / (2 * sizeof(*keys)))
		keys = malloc((2 * count + 1) * sizeof(*keys)); /* twice, and one more */
	merge.routes = malloc((count + 1) * sizeof(*merge.routes));
	if (keys == NULL || merge.routes == NULL)
		goto out;
	keys[count] = keys[2 * count] = 0; /* read too far, and not used */
	for (unsigned i = 0; i < n; i++)
		write_keys(rules[i].list, i, keys + bounds[i]);
	settle(rules, merge_parts(keys, keys + count, bounds, n), count, &merge);
	*out = merge;
	merge.routes = NULL;
	rc = 0;
out:
	free(merge.routes);
	free(keys);
	free(bounds);
	return rc;
}
