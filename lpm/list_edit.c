#include "lpm/list_edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/list_walk.h"

static size_t entry_size(unsigned version)
{
	return version == 4 ? sizeof(struct list4_entry) : sizeof(struct list6_entry);
}

/* Sorted entries of one family that are being made. */
struct writer {
	void *entries;
	size_t count;
	unsigned version;
};

/* Returns false if there is no memory. */
static bool writer_create(struct writer *writer, unsigned version, size_t room)
{
	*writer = (struct writer){.version = version};
	if (room > SIZE_MAX / entry_size(version) - 1)
		return false;
	writer->entries = malloc((room + 1) * entry_size(version));
	return writer->entries != NULL;
}

static void put(struct writer *writer, struct addr6 addr, unsigned len, uint32_t line)
{
	if (writer->version == 4)
		((struct list4_entry *)writer->entries)[writer->count++] =
			(struct list4_entry){addr6_to4(addr), line, (uint8_t)len};
	else
		((struct list6_entry *)writer->entries)[writer->count++] =
			(struct list6_entry){addr, line, (uint8_t)len};
}

/* Entries begin..end-1 as they are. */
static void put_span(struct writer *writer, const struct list_entries *from, size_t begin,
		     size_t end)
{
	size_t size = entry_size(writer->version);

	if (begin == end)
		return;
	memcpy((char *)writer->entries + writer->count * size,
	       (const char *)from->entries + begin * size, (end - begin) * size);
	writer->count += end - begin;
}

/* What becomes of one family. */
struct family {
	struct writer edits;
	struct writer changed;
	ptrdiff_t gain;
	ptrdiff_t added;
	size_t removed;
};

/* The prefix is not there: an edit that adds it, in the place of one that took it away. */
static void add(struct family *family, struct list_item item)
{
	put(&family->edits, item.addr, item.len, LIST_LINE_ADDED);
	put(&family->changed, item.addr, item.len, item.line);
	family->gain++;
	family->added++;
}

/* The prefix is there, by that line: an edit that takes it away if it is an entry. */
static void take_away(struct family *family, struct list_item item, bool is_entry, uint32_t line)
{
	if (is_entry)
		put(&family->edits, item.addr, item.len, LIST_LINE_GONE);
	put(&family->changed, item.addr, item.len, item.line);
	family->gain--;
	if (line == LIST_LINE_ADDED)
		family->added--;
	else
		family->removed++;
}

/* Merge the edits that the list has with the change. -ENOENT: *missing is not there. */
static int edit_family(const struct list *list, const struct list *change, unsigned version,
		       enum list_edit edit, struct family *out, struct list_item *missing)
{
	struct list_entries base = list_entries(list, version), edits = list_edits(list, version);
	size_t at = 0, edit_at = 0;
	struct list_walk walk;
	struct list_item item;

	if (!writer_create(&out->edits, version, edits.count + list_count(change, version)) ||
	    !writer_create(&out->changed, version, list_count(change, version)))
		return -ENOMEM;
	list_walk_start(&walk, change, version);
	while (list_walk_next(&walk, &item)) {
		size_t next = list_entries_find(&edits, edit_at, edits.count, item.addr, item.len);
		bool edited = list_entries_equal(&edits, next, item.addr, item.len);
		bool is_entry, there;
		uint32_t line = LIST_LINE_GONE;

		at = list_entries_find(&base, at, base.count, item.addr, item.len);
		is_entry = list_entries_equal(&base, at, item.addr, item.len);
		if (edited)
			line = list_entries_at(&edits, next).line;
		else if (is_entry)
			line = list_entries_at(&base, at).line;
		there = edited ? line != LIST_LINE_GONE : is_entry;
		if (there == (edit == LIST_ADD)) {
			if (there)
				continue;
			*missing = item;
			return -ENOENT;
		}
		put_span(&out->edits, &edits, edit_at, next);
		edit_at = next + edited;
		if (edit == LIST_ADD)
			add(out, item);
		else
			take_away(out, item, is_entry, line);
	}
	put_span(&out->edits, &edits, edit_at, edits.count);
	return 0;
}

/* Hand the entries on. */
static void *take_entries(struct writer *writer, size_t *count)
{
	void *entries = writer->entries;

	*count = writer->count;
	writer->entries = NULL;
	return entries;
}

static int write_whole(const struct list *list, unsigned version, struct writer *writer)
{
	struct list_walk walk;
	struct list_item item;

	if (!writer_create(writer, version, list_count(list, version)))
		return -ENOMEM;
	list_walk_start(&walk, list, version);
	while (list_walk_next(&walk, &item))
		put(writer, item.addr, item.len, item.line);
	return 0;
}

int list_settle(const struct list *list, struct list **out)
{
	struct list *merged = list_create(list->name, list->file);
	struct writer v4 = {0}, v6 = {0};
	int rc = -ENOMEM;

	if (merged == NULL)
		return rc;
	rc = write_whole(list, 4, &v4);
	if (rc == 0)
		rc = write_whole(list, 6, &v6);
	if (rc != 0)
		goto out;
	merged->v4 = take_entries(&v4, &merged->count4);
	merged->v6 = take_entries(&v6, &merged->count6);
	merged->counts = list->counts;
	merged->added = list->added;
	merged->removed = list->removed;
	*out = merged;
	merged = NULL;
out:
	list_unref(merged);
	free(v4.entries);
	free(v6.entries);
	return rc;
}

/* The list with the edits that both families have now. */
static struct list *share(struct list *list, struct family *v4, struct family *v6)
{
	struct list *origin = list->origin != NULL ? list->origin : list;
	struct list *edited = calloc(1, sizeof(*edited));

	if (edited == NULL)
		return NULL;
	*edited = (struct list){
		.name = origin->name,
		.file = origin->file,
		.v4 = origin->v4,
		.count4 = origin->count4,
		.v6 = origin->v6,
		.count6 = origin->count6,
		.counts = list->counts,
		.refs = 1,
		.gain4 = list->gain4 + v4->gain,
		.gain6 = list->gain6 + v6->gain,
		.added = list->added + (size_t)(v4->added + v6->added),
		.removed = list->removed + v4->removed + v6->removed,
		.origin = list_ref(origin),
	};
	edited->edits4 = take_entries(&v4->edits, &edited->edit_count4);
	edited->edits6 = take_entries(&v6->edits, &edited->edit_count6);
	return edited;
}

static bool too_many_edits(const struct list *list)
{
	size_t limit = (list->count4 + list->count6) / LIST_EDITS_SHARE;

	if (limit < LIST_EDITS_MIN)
		limit = LIST_EDITS_MIN;
	return list->edit_count4 + list->edit_count6 > limit;
}

static struct prefix item_prefix(struct list_item item, unsigned version)
{
	struct prefix prefix = {.addr.version = (uint8_t)version, .len = item.len};

	if (version == 4)
		prefix.addr.v4 = addr6_to4(item.addr);
	else
		prefix.addr.v6 = item.addr;
	return prefix;
}

static void family_fini(struct family *family)
{
	free(family->edits.entries);
	free(family->changed.entries);
}

int list_edit(struct list *list, const struct list *change, enum list_edit edit, struct list **out,
	      struct list **changed, struct prefix *missing)
{
	struct list *edited = NULL, *merged = NULL, *difference = NULL;
	struct family v4 = {0}, v6 = {0};
	struct list_item absent;
	int rc;

	rc = edit_family(list, change, 4, edit, &v4, &absent);
	if (rc == -ENOENT)
		*missing = item_prefix(absent, 4);
	if (rc != 0)
		goto out;
	rc = edit_family(list, change, 6, edit, &v6, &absent);
	if (rc == -ENOENT)
		*missing = item_prefix(absent, 6);
	if (rc != 0)
		goto out;
	rc = -ENOMEM;
	edited = share(list, &v4, &v6);
	difference = list_create(change->name, change->file);
	if (edited == NULL || difference == NULL)
		goto out;
	if (too_many_edits(edited)) {
		rc = list_settle(edited, &merged);
		if (rc != 0)
			goto out;
		list_unref(edited);
		edited = merged;
	}
	difference->v4 = take_entries(&v4.changed, &difference->count4);
	difference->v6 = take_entries(&v6.changed, &difference->count6);
	*out = edited;
	*changed = difference;
	edited = difference = NULL;
	rc = 0;
out:
	list_unref(difference);
	list_unref(edited);
	family_fini(&v6);
	family_fini(&v4);
	return rc;
}
