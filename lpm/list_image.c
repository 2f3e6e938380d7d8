/* Writes lists as bytes and reads them. This is a trust edge: the bytes may be anything. */
#include "lpm/list_image.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lpm/addr6.h"
#include "lpm/pages.h"

enum {
	VERSION = 1,
	ORDER_MARK = 0x01020304,
	MAGIC_BYTES = 8,
	NUMBERS = 10, /* count4, count6, counts */
	HEAD_BYTES = MAGIC_BYTES + 2 * 4 + NUMBERS * 8,
	ENTRY4_BYTES = 4 + 4 + 1,
	ENTRY6_BYTES = 2 * 8 + 4 + 1,
	PIECE_BYTES = ENTRY4_BYTES * ENTRY6_BYTES * 170, /* whole entries; stays in the cache */
	HUGE_FROM_BYTES = 2 * PAGES_ALIGN,
	RANGE_ENTRIES = 254, /* an item is at most that many prefixes: ::1 to the last but one */
};

static const char magic[MAGIC_BYTES] = "sluiceL";

_Static_assert(sizeof(struct list_counts) == (NUMBERS - 2) * sizeof(size_t),
	       "every count has its number");

static void counts_to_numbers(const struct list *list, uint64_t numbers[NUMBERS])
{
	const struct list_counts *c = &list->counts;
	const size_t counts[NUMBERS] = {list->count4, list->count6, c->lines,      c->items,
					c->masked,    c->ranges,    c->duplicates, c->covered,
					c->skipped,   c->aggregated};

	for (unsigned i = 0; i < NUMBERS; i++)
		numbers[i] = counts[i];
}

static void numbers_to_counts(const uint64_t numbers[NUMBERS], struct list_counts *out)
{
	*out = (struct list_counts){
		.lines = (size_t)numbers[2],
		.items = (size_t)numbers[3],
		.masked = (size_t)numbers[4],
		.ranges = (size_t)numbers[5],
		.duplicates = (size_t)numbers[6],
		.covered = (size_t)numbers[7],
		.skipped = (size_t)numbers[8],
		.aggregated = (size_t)numbers[9],
	};
}

uint64_t list_image_size(const struct list *list)
{
	return HEAD_BYTES + (uint64_t)list->count4 * ENTRY4_BYTES +
	       (uint64_t)list->count6 * ENTRY6_BYTES;
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

static const uint8_t *get_bytes(const uint8_t *at, void *bytes, size_t size)
{
	memcpy(bytes, at, size);
	return at + size;
}

static int write_head(const struct list *list, list_image_put *put, void *context)
{
	const uint32_t marks[2] = {VERSION, ORDER_MARK};
	uint64_t numbers[NUMBERS];
	uint8_t head[HEAD_BYTES], *at = head;

	counts_to_numbers(list, numbers);
	at = put_bytes(at, magic, sizeof(magic));
	at = put_bytes(at, marks, sizeof(marks));
	put_bytes(at, numbers, sizeof(numbers));
	return put(context, head, sizeof(head));
}

static int write4(const struct list *list, list_image_put *put, void *context)
{
	uint8_t piece[PIECE_BYTES], *at = piece;
	int rc = 0;

	for (size_t i = 0; i < list->count4 && rc == 0; i++) {
		const struct list4_entry *entry = &list->v4[i];

		at = put_bytes(at, &entry->addr, sizeof(entry->addr));
		at = put_bytes(at, &entry->line, sizeof(entry->line));
		*at++ = entry->len;
		if (at == piece + sizeof(piece) || i + 1 == list->count4) {
			rc = put(context, piece, (size_t)(at - piece));
			at = piece;
		}
	}
	return rc;
}

static int write6(const struct list *list, list_image_put *put, void *context)
{
	uint8_t piece[PIECE_BYTES], *at = piece;
	int rc = 0;

	for (size_t i = 0; i < list->count6 && rc == 0; i++) {
		const struct list6_entry *entry = &list->v6[i];

		at = put_bytes(at, &entry->addr.hi, sizeof(entry->addr.hi));
		at = put_bytes(at, &entry->addr.lo, sizeof(entry->addr.lo));
		at = put_bytes(at, &entry->line, sizeof(entry->line));
		*at++ = entry->len;
		if (at == piece + sizeof(piece) || i + 1 == list->count6) {
			rc = put(context, piece, (size_t)(at - piece));
			at = piece;
		}
	}
	return rc;
}

int list_image_write(const struct list *list, list_image_put *put, void *context)
{
	int rc = write_head(list, put, context);

	if (rc == 0)
		rc = write4(list, put, context);
	if (rc == 0)
		rc = write6(list, put, context);
	return rc;
}

/* Numbers that a text could have given. What the entries do not show is only bounded. */
static bool numbers_ok(const uint64_t numbers[NUMBERS])
{
	const uint64_t count4 = numbers[0], count6 = numbers[1], lines = numbers[2];
	const uint64_t items = numbers[3], duplicates = numbers[6], entries = count4 + count6;

	if (lines > UINT32_MAX || items > lines || numbers[8] > lines - items)
		return false; /* skipped: a line is one or the other */
	if (numbers[4] > items || numbers[5] > items || numbers[7] > entries)
		return false;
	if (numbers[9] > entries || (numbers[9] == 0) != (entries == 0))
		return false;
	if (duplicates > items * RANGE_ENTRIES || entries > items * RANGE_ENTRIES - duplicates)
		return false;
	return entries + duplicates >= items;
}

/* Returns 0 with the numbers if an image of size bytes starts so. */
static int check_head(const uint8_t head[HEAD_BYTES], uint64_t size, uint64_t numbers[NUMBERS])
{
	const uint8_t *at = head + MAGIC_BYTES;
	uint32_t marks[2];

	at = get_bytes(at, marks, sizeof(marks));
	if (memcmp(head, magic, sizeof(magic)) != 0 || marks[0] != VERSION ||
	    marks[1] != ORDER_MARK)
		return -EINVAL;
	get_bytes(at, numbers, NUMBERS * sizeof(*numbers));
	size -= HEAD_BYTES;
	if (numbers[0] > size / ENTRY4_BYTES)
		return -EINVAL;
	size -= numbers[0] * ENTRY4_BYTES;
	if (numbers[1] > size / ENTRY6_BYTES || numbers[1] * ENTRY6_BYTES != size)
		return -EINVAL;
	return numbers_ok(numbers) ? 0 : -EINVAL;
}

/*
 * Read n entries; false if one is wrong or not behind its neighbour. Nearly all are right, so what
 * is wrong is collected rather than branched on.
 *
 * least: (addr, len) of the first at least; made one more than that of the last
 */
static bool take4(const uint8_t *bytes, struct list4_entry *entries, size_t n, uint32_t lines,
		  uint64_t *least)
{
	bool bad = false;

	for (size_t i = 0; i < n; i++) {
		struct list4_entry entry;
		uint64_t key;

		bytes = get_bytes(bytes, &entry.addr, sizeof(entry.addr));
		bytes = get_bytes(bytes, &entry.line, sizeof(entry.line));
		entry.len = *bytes++;
		key = (uint64_t)entry.addr << 8 | entry.len;
		bad |= entry.len > 32;
		bad |= (entry.addr & UINT64_C(0xffffffff) >> (entry.len & 63)) != 0;
		bad |= key < *least;
		bad |= entry.line - 1 >= lines; /* from 1 to lines */
		entries[i] = entry;
		*least = key + 1;
	}
	return !bad;
}

struct least6 {
	struct addr6 addr;
	unsigned len; /* if the address is this one */
};

static bool take6(const uint8_t *bytes, struct list6_entry *entries, size_t n, uint32_t lines,
		  struct least6 *least)
{
	bool bad = false;

	for (size_t i = 0; i < n; i++) {
		struct list6_entry entry;
		struct addr6 host;

		bytes = get_bytes(bytes, &entry.addr.hi, sizeof(entry.addr.hi));
		bytes = get_bytes(bytes, &entry.addr.lo, sizeof(entry.addr.lo));
		bytes = get_bytes(bytes, &entry.line, sizeof(entry.line));
		entry.len = *bytes++;
		if (entry.len > 128)
			return false;
		host = addr6_host_mask(entry.len);
		bad |= ((entry.addr.hi & host.hi) | (entry.addr.lo & host.lo)) != 0;
		bad |= addr6_less(entry.addr, least->addr) ||
		       (addr6_equal(entry.addr, least->addr) && entry.len < least->len);
		bad |= entry.line - 1 >= lines;
		entries[i] = entry;
		*least = (struct least6){entry.addr, entry.len + 1U};
	}
	return !bad;
}

/* Room for entries, for free(): where it is large, of huge pages, since faults would take longest.
 */
static void *alloc_entries(size_t count, size_t entry_size)
{
	size_t size = count * entry_size; /* the file is about as long */
	void *entries;

	if (size < HUGE_FROM_BYTES)
		return malloc(size);
	size = pages_round(size);
	entries = aligned_alloc(PAGES_ALIGN, size);
#ifdef MADV_HUGEPAGE
	if (entries != NULL)
		madvise(entries, size, MADV_HUGEPAGE); /* only a wish */
#endif
	return entries;
}

static int read4(struct list *list, size_t count, list_image_get *get, void *context)
{
	const size_t most = PIECE_BYTES / ENTRY4_BYTES;
	uint64_t least = 0;
	const uint32_t lines = (uint32_t)list->counts.lines;
	uint8_t piece[PIECE_BYTES];

	if (count == 0)
		return 0;
	list->v4 = alloc_entries(count, sizeof(*list->v4));
	if (list->v4 == NULL)
		return -ENOMEM;
	while (list->count4 < count) {
		size_t n = count - list->count4 < most ? count - list->count4 : most;
		int rc = get(context, piece, n * ENTRY4_BYTES);

		if (rc != 0)
			return rc;
		if (!take4(piece, &list->v4[list->count4], n, lines, &least))
			return -EINVAL;
		list->count4 += n;
	}
	return 0;
}

static int read6(struct list *list, size_t count, list_image_get *get, void *context)
{
	const size_t most = PIECE_BYTES / ENTRY6_BYTES;
	struct least6 least = {0};
	const uint32_t lines = (uint32_t)list->counts.lines;
	uint8_t piece[PIECE_BYTES];

	if (count == 0)
		return 0;
	list->v6 = alloc_entries(count, sizeof(*list->v6));
	if (list->v6 == NULL)
		return -ENOMEM;
	while (list->count6 < count) {
		size_t n = count - list->count6 < most ? count - list->count6 : most;
		int rc = get(context, piece, n * ENTRY6_BYTES);

		if (rc != 0)
			return rc;
		if (!take6(piece, &list->v6[list->count6], n, lines, &least))
			return -EINVAL;
		list->count6 += n;
	}
	return 0;
}

int list_image_read(const char *name, const char *file, uint64_t size, list_image_get *get,
		    void *context, struct list **out)
{
	uint64_t numbers[NUMBERS];
	uint8_t head[HEAD_BYTES];
	struct list *list;
	int rc;

	if (size < HEAD_BYTES)
		return -EINVAL;
	rc = get(context, head, sizeof(head));
	if (rc != 0)
		return rc;
	rc = check_head(head, size, numbers);
	if (rc != 0)
		return rc;
	list = list_create(name, file);
	if (list == NULL)
		return -ENOMEM;
	numbers_to_counts(numbers, &list->counts);
	rc = read4(list, (size_t)numbers[0], get, context);
	if (rc == 0)
		rc = read6(list, (size_t)numbers[1], get, context);
	if (rc != 0) {
		list_unref(list);
		return rc;
	}
	*out = list;
	return 0;
}
