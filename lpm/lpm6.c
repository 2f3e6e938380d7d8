/* Reads IPv6 tables: a search for the run that an address lies in. */
#include "lpm/layout6.h"

#include <stdlib.h>
#include <string.h>

enum {
	LANES = 16, /* addresses that go down the tree side by side */
};

static inline struct addr6 load_addr(const uint8_t *addrs, unsigned i)
{
	struct addr6 addr;

	memcpy(&addr, addrs + sizeof(addr) * i, sizeof(addr));
	return addr;
}

/* How many keys of a node are not behind the wanted one; without branches. */
static inline unsigned count_keys(const uint64_t *keys, uint64_t wanted)
{
	unsigned count = 0;

	for (unsigned i = 0; i < LPM6_NODE; i++)
		count += keys[i] <= wanted;
	return count;
}

/* The verdict inside a /64 with several runs. */
static uint16_t inner_verdict(const struct lpm6 *table, uint32_t index, uint64_t wanted)
{
	const struct lpm6_inner *inner = &table->inners[index];
	const uint64_t *keys = table->inner_keys + inner->begin;
	size_t low = 0, high = inner->count; /* keys[low] <= wanted, keys[high] is behind it */

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (keys[middle] <= wanted)
			low = middle;
		else
			high = middle;
	}
	return table->inner_verdicts[inner->begin + low];
}

/* n is 1..LANES. */
static inline void lookup_lanes(const struct lpm6 *table, const uint8_t *addrs, uint16_t *out,
				unsigned n)
{
	struct addr6 wanted[LANES];
	size_t node[LANES], best[LANES]; /* best: the last key seen that is not behind */

	for (unsigned i = 0; i < n; i++) {
		wanted[i] = load_addr(addrs, i);
		node[i] = 0;
		best[i] = 0;
	}
	for (unsigned level = 0; level < table->levels; level++) {
		for (unsigned i = 0; i < n; i++) {
			unsigned count;

			if (node[i] >= table->nodes)
				continue; /* the last level is not full */
			count = count_keys(table->keys + node[i] * LPM6_NODE, wanted[i].hi);
			if (count > 0)
				best[i] = node[i] * LPM6_NODE + count - 1;
			node[i] = node[i] * LPM6_FANOUT + 1 + count;
		}
	}
	for (unsigned i = 0; i < n; i++) {
		uint32_t value = table->values[best[i]];

		if ((value & LPM6_INNER) != 0)
			out[i] = inner_verdict(table, value & ~LPM6_INNER, wanted[i].lo);
		else
			out[i] = (uint16_t)value;
	}
}

void lpm6_lookup_burst(const struct lpm6 *table, const struct addr6 *addrs, uint16_t *out,
		       unsigned n)
{
	const uint8_t *bytes = (const uint8_t *)addrs; /* since they may lie anywhere */

	while (n > LANES) {
		lookup_lanes(table, bytes, out, LANES);
		bytes += LANES * sizeof(struct addr6);
		out += LANES;
		n -= LANES;
	}
	lookup_lanes(table, bytes, out, n);
}

uint16_t lpm6_lookup(const struct lpm6 *table, const struct addr6 *addr)
{
	uint16_t verdict;

	lpm6_lookup_burst(table, addr, &verdict, 1);
	return verdict;
}

void lpm6_destroy(struct lpm6 *table)
{
	if (table == NULL)
		return;
	free(table->keys);
	free(table->values);
	free(table->inners);
	free(table->inner_keys);
	free(table->inner_verdicts);
	free(table);
}

size_t lpm6_size_bytes(const struct lpm6 *table)
{
	return sizeof(*table) +
	       table->nodes * LPM6_NODE * (sizeof(*table->keys) + sizeof(*table->values)) +
	       table->inner_count * sizeof(*table->inners) +
	       table->inner_key_count *
		       (sizeof(*table->inner_keys) + sizeof(*table->inner_verdicts));
}
