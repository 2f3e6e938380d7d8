#include "lpm/list_walk.h"

#include <errno.h>

#include "lpm/addr6.h"

size_t list_count(const struct list *list, unsigned version)
{
	if (version == 4)
		return list->count4 + (size_t)list->gain4;
	return list->count6 + (size_t)list->gain6;
}

struct list_entries list_entries(const struct list *list, unsigned version)
{
	if (version == 4)
		return (struct list_entries){list->v4, list->count4, 4};
	return (struct list_entries){list->v6, list->count6, 6};
}

struct list_entries list_edits(const struct list *list, unsigned version)
{
	if (version == 4)
		return (struct list_entries){list->edits4, list->edit_count4, 4};
	return (struct list_entries){list->edits6, list->edit_count6, 6};
}

struct list_item list_entries_at(const struct list_entries *entries, size_t i)
{
	if (entries->version == 4) {
		const struct list4_entry *entry = (const struct list4_entry *)entries->entries + i;

		return (struct list_item){addr6_from4(entry->addr), entry->line, entry->len};
	}
	const struct list6_entry *entry = (const struct list6_entry *)entries->entries + i;

	return (struct list_item){entry->addr, entry->line, entry->len};
}

/* Both without a branch on what is compared, which is as good as random. */
static size_t find4(const struct list4_entry *entries, size_t low, size_t high, uint32_t addr,
		    unsigned len)
{
	uint64_t key = (uint64_t)addr << 8 | len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		bool before = ((uint64_t)entries[middle].addr << 8 | entries[middle].len) < key;

		low = before ? middle + 1 : low;
		high = before ? high : middle;
	}
	return low;
}

static size_t find6(const struct list6_entry *entries, size_t low, size_t high, struct addr6 addr,
		    unsigned len)
{
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct list6_entry *entry = &entries[middle];
		bool before = addr6_less(entry->addr, addr) ||
			      (addr6_equal(entry->addr, addr) && entry->len < len);

		low = before ? middle + 1 : low;
		high = before ? high : middle;
	}
	return low;
}

size_t list_entries_find(const struct list_entries *entries, size_t begin, size_t end,
			 struct addr6 addr, unsigned len)
{
	if (entries->version == 4)
		return find4(entries->entries, begin, end, addr6_to4(addr), len);
	return find6(entries->entries, begin, end, addr, len);
}

/* Whether entry i stands before (addr, len). */
static bool stands_before(const struct list_entries *entries, size_t i, struct addr6 addr,
			  unsigned len)
{
	struct list_item item = list_entries_at(entries, i);

	return addr6_less(item.addr, addr) || (addr6_equal(item.addr, addr) && item.len < len);
}

/* As list_entries_find, where the place is likely to be near the beginning. */
static size_t find_forward(const struct list_entries *entries, size_t begin, struct addr6 addr,
			   unsigned len)
{
	size_t step = 1;

	while (step < entries->count - begin &&
	       stands_before(entries, begin + step - 1, addr, len)) {
		begin += step;
		step *= 2;
	}
	if (step > entries->count - begin)
		step = entries->count - begin;
	return list_entries_find(entries, begin, begin + step, addr, len);
}

/* The same, near the end. */
static size_t find_backward(const struct list_entries *entries, size_t end, struct addr6 addr,
			    unsigned len)
{
	size_t step = 1;

	while (step < end && !stands_before(entries, end - step, addr, len)) {
		end -= step;
		step *= 2;
	}
	return list_entries_find(entries, end > step ? end - step : 0, end, addr, len);
}

bool list_entries_equal(const struct list_entries *entries, size_t i, struct addr6 addr,
			unsigned len)
{
	struct list_item item;

	if (i >= entries->count)
		return false;
	item = list_entries_at(entries, i);
	return addr6_equal(item.addr, addr) && item.len == len;
}

/* How far the entries go that stand before the next edit. */
static void find_stop(struct list_walk *walk)
{
	struct list_item edit;

	walk->stop = walk->base.count;
	if (walk->edit == walk->edits.count)
		return;
	edit = list_entries_at(&walk->edits, walk->edit);
	walk->stop = list_entries_find(&walk->base, walk->at, walk->stop, edit.addr, edit.len);
}

void list_walk_start(struct list_walk *walk, const struct list *list, unsigned version)
{
	*walk = (struct list_walk){
		.base = list_entries(list, version),
		.edits = list_edits(list, version),
	};
	find_stop(walk);
}

void list_walk_start_at(struct list_walk *walk, const struct list *list, unsigned version,
			struct addr6 addr, unsigned len)
{
	*walk = (struct list_walk){
		.base = list_entries(list, version),
		.edits = list_edits(list, version),
	};
	walk->at = list_entries_find(&walk->base, 0, walk->base.count, addr, len);
	walk->edit = list_entries_find(&walk->edits, 0, walk->edits.count, addr, len);
	find_stop(walk);
}

void list_walk_skip(struct list_walk *walk, struct addr6 addr, unsigned len)
{
	walk->at = find_forward(&walk->base, walk->at, addr, len);
	walk->edit = find_forward(&walk->edits, walk->edit, addr, len);
	find_stop(walk);
}

/* Take the next edit, and the entry that it stands for. Returns false behind the last. */
static bool take_edit(struct list_walk *walk, struct list_item *out)
{
	if (walk->edit == walk->edits.count)
		return false;
	*out = list_entries_at(&walk->edits, walk->edit++);
	walk->at += list_entries_equal(&walk->base, walk->at, out->addr, out->len);
	find_stop(walk);
	return true;
}

bool list_walk_next_until(struct list_walk *walk, struct addr6 last, struct list_item *out)
{
	struct list_item item;

	while (walk->at == walk->stop) {
		if (walk->edit == walk->edits.count)
			return false;
		item = list_entries_at(&walk->edits, walk->edit);
		if (addr6_less(last, item.addr))
			return false;
		take_edit(walk, &item);
		if (item.line == LIST_LINE_GONE)
			continue;
		*out = item;
		return true;
	}
	item = list_entries_at(&walk->base, walk->at);
	if (addr6_less(last, item.addr))
		return false;
	walk->at++;
	*out = item;
	return true;
}

bool list_walk_next(struct list_walk *walk, struct list_item *out)
{
	return list_walk_next_until(walk, (struct addr6){UINT64_MAX, UINT64_MAX}, out);
}

const struct list4_entry *list_walk_span4(struct list_walk *walk, size_t *count)
{
	const struct list4_entry *span;

	while (walk->at == walk->stop) {
		struct list_item edit;

		if (!take_edit(walk, &edit))
			return NULL;
		if (edit.line == LIST_LINE_GONE)
			continue;
		*count = 1;
		return (const struct list4_entry *)walk->edits.entries + walk->edit - 1;
	}
	span = (const struct list4_entry *)walk->base.entries + walk->at;
	*count = walk->stop - walk->at;
	walk->at = walk->stop;
	return span;
}

bool list_has(const struct list *list, unsigned version, struct addr6 addr, unsigned len,
	      uint32_t *line)
{
	struct list_entries entries = list_edits(list, version);
	size_t i = list_entries_find(&entries, 0, entries.count, addr, len);
	bool edited = list_entries_equal(&entries, i, addr, len);
	struct list_item item;

	if (!edited) {
		entries = list_entries(list, version);
		i = list_entries_find(&entries, 0, entries.count, addr, len);
		if (!list_entries_equal(&entries, i, addr, len))
			return false;
	}
	item = list_entries_at(&entries, i);
	if (edited && item.line == LIST_LINE_GONE)
		return false;
	if (line != NULL)
		*line = item.line;
	return true;
}

/*
 * The last entry before *end that contains the address; those that contain it too and are shorter
 * stand before it, where *end is set.
 *
 * Returns false if there is none of at least min_len bits
 */
static bool match_before(const struct list_entries *entries, size_t *end, struct addr6 addr,
			 unsigned min_len, struct list_item *out)
{
	while (*end > 0) {
		struct addr6 mask;
		unsigned common;

		*out = list_entries_at(entries, --*end);
		common = addr6_common(out->addr, addr);
		if (common >= out->len)
			return out->len >= min_len;
		/*
		 * What holds the address and stands before this entry holds the entry's address
		 * too, so it is no longer than what the two have in common.
		 */
		if (common < min_len)
			return false;
		mask = mask6(common);
		*end = find_backward(entries, *end,
				     (struct addr6){addr.hi & mask.hi, addr.lo & mask.lo},
				     common + 1);
	}
	return false;
}

/* The same for a list, whose entries count before at and whose edits before edit. */
static bool match_list(const struct list_walk *walk, size_t at, size_t edit, struct addr6 addr,
		       unsigned min_len, struct list_item *out)
{
	bool found = false;
	struct list_item item;

	while (!found && match_before(&walk->edits, &edit, addr, min_len, out))
		found = out->line != LIST_LINE_GONE;
	if (found)
		min_len = out->len + 1U;
	while (match_before(&walk->base, &at, addr, min_len, &item)) {
		size_t i =
			list_entries_find(&walk->edits, 0, walk->edits.count, item.addr, item.len);

		if (list_entries_equal(&walk->edits, i, item.addr, item.len))
			continue; /* the edit stands for it */
		*out = item;
		return true;
	}
	return found;
}

bool list_walk_cover(const struct list_walk *walk, struct addr6 addr, unsigned min_len,
		     struct list_item *out)
{
	return match_list(walk, walk->at, walk->edit, addr, min_len, out);
}

int list_match(const struct list *list, const struct addr *addr, struct prefix *prefix,
	       uint32_t *line)
{
	bool is4 = addr->version == 4;
	struct addr6 wanted = is4 ? addr6_from4(addr->v4) : addr->v6;
	struct list_walk walk;
	struct list_item item;

	/* Behind all that the address may lie in. */
	list_walk_start_at(&walk, list, addr->version, wanted, is4 ? 32 + 1 : 128 + 1);
	if (!list_walk_cover(&walk, wanted, 0, &item))
		return -ENOENT;
	*prefix = (struct prefix){.addr = *addr, .len = item.len};
	if (is4)
		prefix->addr.v4 = addr6_to4(item.addr);
	else
		prefix->addr.v6 = item.addr;
	*line = item.line;
	return 0;
}
