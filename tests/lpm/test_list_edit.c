/* Lists that are edited, against an array that is searched from end to end. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/list_edit.h"
#include "lpm/list_walk.h"
#include "tests/model/lpm_model.h"

enum {
	MODEL_MAX = 8192,
	CHANGE_MAX = 400,
	EDITS = 120,
	ASKED = 40, /* addresses after each edit */
};

static struct list *parse(const char *text, size_t size)
{
	struct list_error error = {0};
	struct list *list = NULL;
	int rc = list_parse("mx", "mx.txt", text, size, 0, &list, &error);

	cr_assert_eq(rc, 0, "rc %d, %zu:%zu: %s", rc, error.line, error.column, error.text);
	return list;
}

static struct list *parse_string(const char *text)
{
	return parse(text, strlen(text));
}

struct entry {
	struct prefix prefix;
	uint32_t line;
};

struct model {
	struct entry entries[MODEL_MAX]; /* in the order of a walk, IPv4 first */
	size_t count;
	size_t count4;
	size_t added;
	size_t removed;
};

static struct addr6 wide(const struct addr *addr)
{
	return addr->version == 4 ? addr6_from4(addr->v4) : addr->v6;
}

static int compare(const struct prefix *a, const struct prefix *b)
{
	struct addr6 x = wide(&a->addr), y = wide(&b->addr);

	if (a->addr.version != b->addr.version)
		return a->addr.version - b->addr.version;
	if (!addr6_equal(x, y))
		return addr6_less(x, y) ? -1 : 1;
	return a->len - b->len;
}

static size_t model_find(const struct model *model, const struct prefix *prefix, bool *found)
{
	size_t i = 0;

	while (i < model->count && compare(&model->entries[i].prefix, prefix) < 0)
		i++;
	*found = i < model->count && compare(&model->entries[i].prefix, prefix) == 0;
	return i;
}

/* Returns whether it made a difference. */
static bool model_add(struct model *model, const struct prefix *prefix, uint32_t line)
{
	bool found;
	size_t i = model_find(model, prefix, &found);

	if (found)
		return false;
	cr_assert_lt(model->count, MODEL_MAX);
	memmove(model->entries + i + 1, model->entries + i,
		(model->count - i) * sizeof(model->entries[0]));
	model->entries[i] = (struct entry){*prefix, line};
	model->count++;
	model->count4 += prefix->addr.version == 4;
	model->added += line == LIST_LINE_ADDED;
	return true;
}

static bool model_remove(struct model *model, const struct prefix *prefix)
{
	bool found;
	size_t i = model_find(model, prefix, &found);

	if (!found)
		return false;
	if (model->entries[i].line == LIST_LINE_ADDED)
		model->added--;
	else
		model->removed++;
	model->count--;
	model->count4 -= prefix->addr.version == 4;
	memmove(model->entries + i, model->entries + i + 1,
		(model->count - i) * sizeof(model->entries[0]));
	return true;
}

static struct prefix random_prefix(uint64_t *state)
{
	static const uint8_t lens[] = {0, 1, 8, 23, 24, 24, 25, 31, 32, 32};
	uint64_t random = lpm_model_random(state);
	struct prefix prefix = {.addr.version = random & 1 ? 4 : 6};

	prefix.len = lens[(random >> 8) % (sizeof(lens) / sizeof(lens[0]))];
	prefix.addr.v4 = random & 2 ? lpm_model_addr4(state) : (uint32_t)(random >> 32);
	prefix.addr.v4 &= mask4(prefix.len);
	if (prefix.addr.version == 4)
		return prefix;
	prefix.len = (uint8_t)(prefix.len * 4);
	prefix.addr.v6 = random & 2 ? lpm_model_addr6(state) : (struct addr6){random, random};
	prefix.addr.v6.hi &= mask6(prefix.len).hi;
	prefix.addr.v6.lo &= mask6(prefix.len).lo;
	return prefix;
}

/* A text of up to n prefixes; those to be removed are all in the model. */
static struct list *random_change(uint64_t *state, const struct model *model, enum list_edit edit,
				  unsigned n)
{
	char *text = malloc((size_t)n * (PREFIX_TEXT_MAX + 1) + 1), one[PREFIX_TEXT_MAX];
	struct list *change;
	size_t size = 0;

	cr_assert_not_null(text);
	for (unsigned i = 0; i < n; i++) {
		struct prefix prefix = random_prefix(state);

		if (edit == LIST_REMOVE && model->count == 0)
			break;
		if (edit == LIST_REMOVE)
			prefix = model->entries[lpm_model_random(state) % model->count].prefix;
		size += (size_t)snprintf(text + size, PREFIX_TEXT_MAX + 1, "%s\n",
					 prefix_format(&prefix, one));
	}
	change = parse(text, size);
	free(text);
	return change;
}

static void expect_entry(const struct entry *expected, const struct list_item *got,
			 unsigned version)
{
	char text[PREFIX_TEXT_MAX];

	cr_assert(version == expected->prefix.addr.version &&
			  addr6_equal(got->addr, wide(&expected->prefix.addr)) &&
			  got->len == expected->prefix.len && got->line == expected->line,
		  "expected %s line %u, got %016llx%016llx/%u line %u",
		  prefix_format(&expected->prefix, text), expected->line,
		  (unsigned long long)got->addr.hi, (unsigned long long)got->addr.lo, got->len,
		  got->line);
}

static void expect_walk(const struct model *model, const struct list *list)
{
	size_t i = 0;

	for (unsigned version = 4; version <= 6; version += 2) {
		struct list_walk walk;
		struct list_item item;

		list_walk_start(&walk, list, version);
		while (list_walk_next(&walk, &item)) {
			cr_assert_lt(i, model->count);
			expect_entry(&model->entries[i++], &item, version);
		}
	}
	cr_assert_eq(i, model->count, "expected %zu prefixes, got %zu", model->count, i);
	cr_assert_eq(list_count(list, 4), model->count4);
	cr_assert_eq(list_count(list, 6), model->count - model->count4);
	cr_assert_eq(list->added, model->added, "%zu, %zu", model->added, list->added);
	cr_assert_eq(list->removed, model->removed, "%zu, %zu", model->removed, list->removed);
}

/* Spans hold the same, and a walk may start anywhere. */
static void expect_spans(const struct model *model, const struct list *list, size_t from)
{
	const struct list4_entry *span;
	struct list_walk walk;
	size_t i = from, count;
	struct prefix *start = &((struct model *)model)->entries[from].prefix;

	if (from >= model->count4)
		return;
	list_walk_start_at(&walk, list, 4, wide(&start->addr), start->len);
	while ((span = list_walk_span4(&walk, &count)) != NULL) {
		for (size_t k = 0; k < count; k++) {
			struct list_item item = {addr6_from4(span[k].addr), span[k].line,
						 span[k].len};

			cr_assert_lt(i, model->count4);
			expect_entry(&model->entries[i++], &item, 4);
		}
	}
	cr_assert_eq(i, model->count4);
}

static void expect_match(const struct model *model, const struct list *list,
			 const struct addr *addr, const struct prefix *exact)
{
	const struct entry *longest = NULL;
	char text[ADDR_TEXT_MAX];
	struct prefix prefix;
	uint32_t line = 0;
	bool found;
	size_t at;
	int rc;

	for (size_t i = 0; i < model->count; i++) {
		const struct entry *entry = &model->entries[i];

		if (prefix_contains(&entry->prefix, addr) &&
		    (longest == NULL || entry->prefix.len > longest->prefix.len))
			longest = entry;
	}
	rc = list_match(list, addr, &prefix, &line);
	cr_assert_eq(rc, longest != NULL ? 0 : -ENOENT, "%s: %d", addr_format(addr, text), rc);
	if (longest != NULL)
		cr_assert(compare(&prefix, &longest->prefix) == 0 && line == longest->line,
			  "%s: expected /%u line %u, got /%u line %u", addr_format(addr, text),
			  longest->prefix.len, longest->line, prefix.len, line);
	at = model_find(model, exact, &found);
	cr_assert_eq(list_has(list, exact->addr.version, wide(&exact->addr), exact->len, &line),
		     found);
	if (found)
		cr_assert_eq(line, model->entries[at].line);
}

static void expect_equal(const struct model *model, const struct list *list, uint64_t *state)
{
	expect_walk(model, list);
	for (unsigned i = 0; i < ASKED; i++) {
		struct addr addr = {.version = i & 1 ? 4 : 6};
		struct prefix exact = random_prefix(state);

		addr.v4 = lpm_model_addr4(state);
		addr.v6 = lpm_model_addr6(state);
		expect_match(model, list, &addr, &exact);
	}
	if (model->count4 > 0)
		expect_spans(model, list, lpm_model_random(state) % model->count4);
}

/* Apply a change to the model; difference becomes what changed. */
static void model_edit(struct model *model, const struct list *change, enum list_edit edit,
		       struct model *difference)
{
	*difference = (struct model){0};
	for (unsigned version = 4; version <= 6; version += 2) {
		struct list_walk walk;
		struct list_item item;

		list_walk_start(&walk, change, version);
		while (list_walk_next(&walk, &item)) {
			struct prefix prefix = {.addr.version = (uint8_t)version, .len = item.len};

			prefix.addr.v4 = addr6_to4(item.addr);
			prefix.addr.v6 = item.addr;
			if (edit == LIST_ADD ? model_add(model, &prefix, LIST_LINE_ADDED)
					     : model_remove(model, &prefix))
				model_add(difference, &prefix, item.line);
		}
	}
}

/* Some sequences grow past the size at which edits are merged, others stay small. */
Test(lpm_list_edit, random_edits_equal_a_scan, .timeout = 300)
{
	struct model *model = calloc(1, sizeof(*model)), *before = calloc(1, sizeof(*before));
	struct model *difference = calloc(1, sizeof(*difference));
	unsigned merges = 0;
	uint64_t state = 77;

	cr_assert(model != NULL && before != NULL && difference != NULL);
	for (unsigned round = 0; round < 4; round++) {
		struct list *list = random_change(&state, model, LIST_ADD, 300);

		*model = (struct model){0};
		for (unsigned version = 4; version <= 6; version += 2) {
			struct list_walk walk;
			struct list_item item;

			list_walk_start(&walk, list, version);
			while (list_walk_next(&walk, &item)) {
				struct prefix prefix = {.addr.version = (uint8_t)version,
							.len = item.len};

				prefix.addr.v4 = addr6_to4(item.addr);
				prefix.addr.v6 = item.addr;
				model_add(model, &prefix, item.line);
			}
		}
		for (unsigned i = 0; i < EDITS; i++) {
			enum list_edit edit =
				lpm_model_random(&state) % 5 < 3 ? LIST_ADD : LIST_REMOVE;
			unsigned n = 1 + (unsigned)(lpm_model_random(&state) %
						    (round & 1 ? CHANGE_MAX : 5));
			struct list *change = random_change(&state, model, edit, n);
			struct list *edited = NULL, *changed = NULL;
			struct prefix missing;

			*before = *model;
			cr_assert_eq(list_edit(list, change, edit, &edited, &changed, &missing), 0);
			model_edit(model, change, edit, difference);
			expect_equal(model, edited, &state);
			expect_walk(before, list);
			cr_assert_eq(changed->count4, difference->count4);
			cr_assert_eq(changed->count6, difference->count - difference->count4);
			cr_assert_str_eq(edited->name, "mx");
			cr_assert_str_eq(edited->file, "mx.txt");
			merges += edited->origin == NULL;
			list_unref(list);
			list_unref(change);
			list_unref(changed);
			list = edited;
		}
		list_unref(list);
	}
	cr_expect_gt(merges, 5, "%u merges", merges);
	free(model);
	free(before);
	free(difference);
}

/* What remains of a file's prefix, and of one that was added, whichever way it goes. */
Test(lpm_list_edit, remembers_the_file)
{
	static const struct {
		enum list_edit edit;
		const char *change;
		size_t count4, changed, added, removed;
		uint32_t line; /* of 10.0.0.0/8 afterwards; LIST_LINE_GONE: not there */
	} steps[] = {
		{LIST_ADD, "10.0.0.0/8", 2, 0, 0, 0, 2},
		{LIST_ADD, "192.0.2.0/24\n10.0.0.0/8\n", 3, 1, 1, 0, 2},
		{LIST_REMOVE, "10.0.0.0/8", 2, 1, 1, 1, LIST_LINE_GONE},
		{LIST_ADD, "10.0.0.0/8", 3, 1, 2, 1, LIST_LINE_ADDED},
		{LIST_REMOVE, "10.0.0.0/8\n192.0.2.0/24", 1, 2, 0, 1, LIST_LINE_GONE},
		{LIST_REMOVE, "10.1.0.0/16", 0, 1, 0, 2, LIST_LINE_GONE},
		{LIST_ADD, "10.0.0.0-10.255.255.255", 1, 1, 1, 2, LIST_LINE_ADDED},
	};
	struct list *list = parse_string("10.1.0.0/16\n10.0.0.0/8\n");

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct list *change = parse_string(steps[i].change), *edited, *changed;
		uint32_t line = LIST_LINE_GONE;
		struct prefix missing;

		cr_assert_eq(list_edit(list, change, steps[i].edit, &edited, &changed, &missing), 0,
			     "step %zu", i);
		list_has(edited, 4, addr6_from4(10U << 24), 8, &line);
		cr_expect(list_count(edited, 4) == steps[i].count4 &&
				  changed->count4 == steps[i].changed &&
				  edited->added == steps[i].added &&
				  edited->removed == steps[i].removed && line == steps[i].line,
			  "step %zu: %zu prefixes, %zu changed, %zu added, %zu removed, line %u", i,
			  list_count(edited, 4), changed->count4, edited->added, edited->removed,
			  line);
		list_unref(change);
		list_unref(changed);
		list_unref(list);
		list = edited;
	}
	list_unref(list);
}

/* One that is absent: nothing is changed, and it is named, the first in order. */
Test(lpm_list_edit, names_what_is_missing)
{
	static const struct {
		const char *change, *missing;
	} cases[] = {
		{"10.0.0.0/8\n10.0.0.0/9\n10.64.0.0/10\n", "10.0.0.0/9"},
		{"2001:db8::/32\n2001:db8::/33\n", "2001:db8::/33"},
		{"10.0.0.1", "10.0.0.1/32"},
		{"0.0.0.0/0", "0.0.0.0/0"},
	};
	struct list *list = parse_string("10.0.0.0/8\n2001:db8::/32\n");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct list *change = parse_string(cases[i].change);
		struct list *edited = NULL, *changed = NULL;
		struct prefix missing = {0};
		char text[PREFIX_TEXT_MAX];

		cr_expect_eq(list_edit(list, change, LIST_REMOVE, &edited, &changed, &missing),
			     -ENOENT);
		cr_expect(edited == NULL && changed == NULL && list->refs == 1);
		cr_expect_str_eq(prefix_format(&missing, text), cases[i].missing, "%s", text);
		list_unref(change);
	}
	list_unref(list);
}
