/* From entries in the order of a text to a sorted, unique and counted list. */
#include "lpm/list_sort.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/range.h"

enum {
	KEY4_BITS = 38, /* 32 of the address, 6 of the length */
	RADIX_BITS = 10,
	RADIX = 1 << RADIX_BITS,
	PASSES = (KEY4_BITS + RADIX_BITS - 1) / RADIX_BITS,
};

static uint64_t key4(const struct list4_entry *entry)
{
	return (uint64_t)entry->addr << 6 | entry->len;
}

static unsigned digit4(const struct list4_entry *entry, unsigned pass)
{
	return key4(entry) >> (pass * RADIX_BITS) & (RADIX - 1);
}

static bool sorted4(const struct list *list)
{
	for (size_t i = 1; i < list->count4; i++) {
		if (key4(&list->v4[i - 1]) > key4(&list->v4[i]))
			return false;
	}
	return true;
}

/* Stable, so that of equal prefixes the first line stays first. */
static int sort4(struct list *list)
{
	size_t *counts;
	struct list4_entry *from = list->v4, *to;

	if (sorted4(list))
		return 0;
	counts = calloc((size_t)PASSES * RADIX, sizeof(*counts));
	to = malloc(list->count4 * sizeof(*to));
	if (counts == NULL || to == NULL) {
		free(counts);
		free(to);
		return -ENOMEM;
	}
	for (size_t i = 0; i < list->count4; i++) {
		for (unsigned pass = 0; pass < PASSES; pass++)
			counts[pass * RADIX + digit4(&from[i], pass)]++;
	}
	for (unsigned pass = 0; pass < PASSES; pass++) {
		size_t *places = counts + (size_t)pass * RADIX, place = 0;
		struct list4_entry *done = from;

		for (size_t i = 0; i < RADIX; i++) {
			size_t count = places[i];

			places[i] = place;
			place += count;
		}
		for (size_t i = 0; i < list->count4; i++)
			to[places[digit4(&from[i], pass)]++] = from[i];
		from = to;
		to = done;
	}
	list->v4 = from;
	free(to);
	free(counts);
	return 0;
}

static int compare6(const void *x, const void *y)
{
	const struct list6_entry *a = x, *b = y;

	if (!addr6_equal(a->addr, b->addr))
		return addr6_less(a->addr, b->addr) ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return (a->line > b->line) - (a->line < b->line);
}

static void sort6(struct list *list)
{
	for (size_t i = 1; i < list->count6; i++) {
		if (compare6(&list->v6[i - 1], &list->v6[i]) > 0) {
			qsort(list->v6, list->count6, sizeof(*list->v6), compare6);
			return;
		}
	}
}

/* A walk over sorted prefixes that joins those that touch into runs. */
struct walk {
	struct list_counts *counts;
	struct range run;
	bool any;
};

static void count_run(struct walk *walk)
{
	struct addr6 addr;
	uint8_t len;

	if (!walk->any)
		return;
	do {
		walk->counts->aggregated++;
	} while (range_cut(&walk->run, &addr, &len));
}

static void count_prefix(struct walk *walk, struct addr6 addr, unsigned len)
{
	struct addr6 last = addr6_last(addr, len);

	/* Prefixes nest or are apart, so one that starts in the run lies in one of its prefixes. */
	if (walk->any && !addr6_less(walk->run.last, addr)) {
		walk->counts->covered++;
	} else if (walk->any && addr6_equal(addr6_next(walk->run.last), addr)) {
		walk->run.last = last;
	} else {
		count_run(walk);
		walk->run = (struct range){.first = addr, .last = last};
		walk->any = true;
	}
}

/* Drop all but the first of equal neighbours, and count. */
static void settle4(struct list *list)
{
	struct walk walk = {.counts = &list->counts};
	size_t kept = 0;

	for (size_t i = 0; i < list->count4; i++) {
		if (kept > 0 && key4(&list->v4[kept - 1]) == key4(&list->v4[i])) {
			list->counts.duplicates++;
			continue;
		}
		list->v4[kept++] = list->v4[i];
		count_prefix(&walk, addr6_from4(list->v4[i].addr), list->v4[i].len);
	}
	count_run(&walk);
	list->count4 = kept;
}

static void settle6(struct list *list)
{
	struct walk walk = {.counts = &list->counts};
	size_t kept = 0;

	for (size_t i = 0; i < list->count6; i++) {
		const struct list6_entry *entry = &list->v6[i];

		if (kept > 0 && addr6_equal(list->v6[kept - 1].addr, entry->addr) &&
		    list->v6[kept - 1].len == entry->len) {
			list->counts.duplicates++;
			continue;
		}
		list->v6[kept++] = *entry;
		count_prefix(&walk, list->v6[kept - 1].addr, list->v6[kept - 1].len);
	}
	count_run(&walk);
	list->count6 = kept;
}

int list_sort(struct list *list)
{
	int rc;

	rc = sort4(list);
	if (rc != 0)
		return rc;
	sort6(list);
	settle4(list);
	settle6(list);
	return 0;
}
