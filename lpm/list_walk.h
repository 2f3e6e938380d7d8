/*
 * Reading a list entry by entry: what its file says, with what was added since and without what was
 * removed. Used inside lpm/ only, where an IPv4 address is the top of a 128-bit one (addr6.h).
 */
#ifndef SLUICE_LPM_LIST_WALK_H
#define SLUICE_LPM_LIST_WALK_H

#include <stdbool.h>

#include "lpm/list.h"

enum {
	LIST_LINE_GONE = UINT32_MAX, /* of an edit that takes a prefix away */
};

struct list_item {
	struct addr6 addr;
	uint32_t line;
	uint8_t len;
};

/* Sorted and unique entries of one family: those of a list, or its edits. */
struct list_entries {
	const void *entries; /* struct list4_entry or list6_entry, by version */
	size_t count;
	unsigned version;
};

struct list_entries list_entries(const struct list *list, unsigned version);
struct list_entries list_edits(const struct list *list, unsigned version);
struct list_item list_entries_at(const struct list_entries *entries, size_t i);

/* The first of entries begin..end-1 that is not before (addr, len), or end. */
size_t list_entries_find(const struct list_entries *entries, size_t begin, size_t end,
			 struct addr6 addr, unsigned len);

/* Whether entry i is that prefix; false behind the end. */
bool list_entries_equal(const struct list_entries *entries, size_t i, struct addr6 addr,
			unsigned len);

/* A walk in the order of (addr, len). */
struct list_walk {
	struct list_entries base;
	struct list_entries edits;
	size_t at;   /* in base */
	size_t stop; /* base entries before it stand before the next edit */
	size_t edit; /* the next */
};

void list_walk_start(struct list_walk *walk, const struct list *list, unsigned version);

/* Start at the first prefix that is not before (addr, len). */
void list_walk_start_at(struct list_walk *walk, const struct list *list, unsigned version,
			struct addr6 addr, unsigned len);

/* Go on from the first prefix that is not before (addr, len), which lies ahead. */
void list_walk_skip(struct list_walk *walk, struct addr6 addr, unsigned len);

/* Returns false at the end. */
bool list_walk_next(struct list_walk *walk, struct list_item *out);

/* The same for prefixes that start at last or before. */
bool list_walk_next_until(struct list_walk *walk, struct addr6 last, struct list_item *out);

/*
 * The next IPv4 entries that lie next to each other in memory: all of them if the list was never
 * edited. May be mixed with list_walk_next.
 *
 * count:   set to how many; at least 1
 * Returns: NULL at the end
 */
const struct list4_entry *list_walk_span4(struct list_walk *walk, size_t *count);

/* Whether the list has that prefix; its line then. line may be NULL. */
bool list_has(const struct list *list, unsigned version, struct addr6 addr, unsigned len,
	      uint32_t *line);

/*
 * The longest prefix that holds the address, of those which the walk has left behind.
 *
 * walk:    only started (list_walk_start_at), or skipped
 * Returns: false if there is none of at least min_len bits; *out is then lost
 */
bool list_walk_cover(const struct list_walk *walk, struct addr6 addr, unsigned min_len,
		     struct list_item *out);

#endif
