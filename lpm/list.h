/*
 * A list: a named set of prefixes, parsed from text, sorted and without duplicates.
 *
 * Text: one item a line, blanks round it ignored, "#" starts a comment:
 *     192.0.2.0/24    2001:db8::/32     a prefix; host bits set are cleared and counted
 *     192.0.2.1       2001:db8::1       a bare address: /32 or /128
 *     192.0.2.7-192.0.2.19              an inclusive range of one family: the fewest prefixes
 *     192.0.2.0 255.255.255.0           an IPv4 network and its netmask
 * CR LF line ends and a byte order mark at the start are accepted.
 */
#ifndef SLUICE_LPM_LIST_H
#define SLUICE_LPM_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "lpm/prefix.h"

enum {
	LIST_LINE_ADDED = 0, /* it came by list_edit */
};

struct list4_entry {
	uint32_t addr; /* host byte order, host bits zero */
	uint32_t line; /* first line that named it, from 1; LIST_LINE_ADDED: none did */
	uint8_t len;
};

struct list6_entry {
	struct addr6 addr;
	uint32_t line;
	uint8_t len;
};

static inline struct prefix list4_prefix(const struct list4_entry *entry)
{
	return (struct prefix){{.version = 4, .v4 = entry->addr}, entry->len};
}

static inline struct prefix list6_prefix(const struct list6_entry *entry)
{
	return (struct prefix){{.version = 6, .v6 = entry->addr}, entry->len};
}

/* What the parser saw; shown by `check` and `list show`. */
struct list_counts {
	size_t lines;
	size_t items;      /* lines that named something */
	size_t masked;     /* items whose host bits were set */
	size_t ranges;     /* items that were ranges or netmasks */
	size_t duplicates; /* prefixes named before in this list */
	size_t covered;    /* prefixes inside a shorter one of this list */
	size_t skipped;    /* lines passed over because LIST_SKIP_BAD was given */
	size_t aggregated; /* prefixes left if siblings were merged and covered ones dropped */
};

/*
 * Immutable once made: parsed, or edited from another (list_edit.h). Shared by the tables that were
 * built from it and by whoever holds the configuration, by count: list_ref, list_unref. Control
 * thread only.
 *
 * Where a list was edited, v4 and v6 are not the whole of it: list_walk.h reads any list.
 */
struct list {
	char *name;
	char *file; /* as the user wrote it; for messages */
	struct list4_entry *v4;
	size_t count4; /* sorted by (addr, len), unique */
	struct list6_entry *v6;
	size_t count6;
	struct list_counts counts; /* of the file */
	unsigned refs;

	/* What an edit adds to v4 and v6, replaces or takes away; sorted and unique as they are. */
	struct list4_entry *edits4;
	size_t edit_count4;
	struct list6_entry *edits6;
	size_t edit_count6;
	ptrdiff_t gain4; /* prefixes that the edits add, less those that they take away */
	ptrdiff_t gain6;
	size_t added;        /* prefixes of both families that no line of the file named */
	size_t removed;      /* lines' prefixes that are gone */
	struct list *origin; /* to which name, file, v4 and v6 belong; NULL: to this one */
};

struct list_error {
	size_t line;    /* from 1; 0: no place in the text */
	size_t column;  /* from 1, in bytes */
	char text[160]; /* what is wrong, with the offending word */
};

enum list_flags {
	LIST_SKIP_BAD = 1, /* pass over bad lines and count them (Strict = no) */
};

/*
 * Parse a whole text.
 *
 * name, file: copied
 * text:       not terminated; may hold anything
 * out:        a list with one reference, the caller's
 * Errors:     -EINVAL with *err filled, -ENOMEM with *err filled
 */
int list_parse(const char *name, const char *file, const char *text, size_t size,
	       enum list_flags flags, struct list **out, struct list_error *err);

/*
 * The same with no more than max_bytes for the entries, at any moment.
 *
 * Errors: in addition -ENOMEM with err->line the line at which it was not enough
 */
int list_parse_within(const char *name, const char *file, const char *text, size_t size,
		      enum list_flags flags, size_t max_bytes, struct list **out,
		      struct list_error *err);

/* An empty list with one reference, the caller's. name and file are copied. NULL: no memory. */
struct list *list_create(const char *name, const char *file);

struct list *list_ref(struct list *list);
void list_unref(struct list *list); /* NULL does nothing; the last one frees */

/* How many prefixes of a family (4 or 6) it has. */
size_t list_count(const struct list *list, unsigned version);

/*
 * The longest prefix of the list that contains the address, and the line that named it.
 *
 * Errors: -ENOENT
 */
int list_match(const struct list *list, const struct addr *addr, struct prefix *prefix,
	       uint32_t *line);

#endif
