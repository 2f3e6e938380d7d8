/* Tables that are patched, against tables that are built from the same lists. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/list_walk.h"
#include "lpm/table_patch.h"
#include "tests/model/lpm_model.h"

enum {
	LISTS = 4,
	RULES = 6, /* some lists have two */
	ITEMS = 40,
	ASKED = 60, /* addresses after each edit, beside the edges of all prefixes */
	TEXT_MAX = ITEMS * (PREFIX_TEXT_MAX + 1) + 1,
};

static struct list *parse(const char *name, const char *text)
{
	struct list_error error = {0};
	struct list *list = NULL;
	int rc = list_parse(name, name, text, strlen(text), 0, &list, &error);

	cr_assert_eq(rc, 0, "rc %d, %zu:%zu: %s", rc, error.line, error.column, error.text);
	return list;
}

/* From few places, so that lists nest in and clash with each other. */
static struct prefix random_prefix(uint64_t *state)
{
	static const uint8_t lens[] = {0, 1, 8, 16, 22, 23, 24, 24, 25, 30, 31, 32, 32};
	uint64_t random = lpm_model_random(state);
	struct prefix prefix = {.addr.version = random & 1 ? 4 : 6};

	prefix.len = lens[(random >> 8) % (sizeof(lens) / sizeof(lens[0]))];
	if (prefix.len < 16 && (random >> 32 & 7) != 0)
		prefix.len += 16; /* those take long */
	prefix.addr.v4 = lpm_model_addr4(state) & mask4(prefix.len);
	if (prefix.addr.version == 4)
		return prefix;
	prefix.len = (uint8_t)(prefix.len * 4);
	prefix.addr.v6 = lpm_model_addr6(state);
	prefix.addr.v6.hi &= mask6(prefix.len).hi;
	prefix.addr.v6.lo &= mask6(prefix.len).lo;
	return prefix;
}

/* Any of the list's own prefixes, IPv4 or IPv6. */
static struct prefix any_of(const struct list *list, uint64_t *state)
{
	size_t all = list_count(list, 4) + list_count(list, 6);
	size_t wanted = lpm_model_random(state) % all;
	unsigned version = wanted < list_count(list, 4) ? 4 : 6;
	struct list_walk walk;
	struct list_item item = {0};
	struct prefix prefix;

	if (version == 6)
		wanted -= list_count(list, 4);
	list_walk_start(&walk, list, version);
	for (size_t i = 0; i <= wanted; i++)
		cr_assert(list_walk_next(&walk, &item));
	prefix = (struct prefix){.addr.version = (uint8_t)version, .len = item.len};
	prefix.addr.v4 = addr6_to4(item.addr);
	prefix.addr.v6 = item.addr;
	return prefix;
}

static struct list *random_list(const char *name, uint64_t *state, unsigned items,
				const struct list *of)
{
	char text[TEXT_MAX], one[PREFIX_TEXT_MAX];
	size_t size = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < items; i++) {
		struct prefix prefix = of != NULL ? any_of(of, state) : random_prefix(state);

		size += (size_t)snprintf(text + size, sizeof(text) - size, "%s\n",
					 prefix_format(&prefix, one));
	}
	return parse(name, text);
}

static void expect_same(const struct table *patched, const struct table *built,
			const struct addr *addr)
{
	struct table_match expected, got;
	char text[ADDR_TEXT_MAX];

	table_explain(built, addr, &expected);
	table_explain(patched, addr, &got);
	cr_assert(got.verdict == expected.verdict && got.list == expected.list,
		  "%s: expected verdict %u, got %u", addr_format(addr, text), expected.verdict,
		  got.verdict);
	if (expected.list != NULL)
		cr_assert(got.line == expected.line && got.prefix.len == expected.prefix.len,
			  "%s: expected /%u line %u, got /%u line %u", addr_format(addr, text),
			  expected.prefix.len, expected.line, got.prefix.len, got.line);
}

/* Both ends of a prefix, and their neighbours outside. */
static void expect_same_edges(const struct table *patched, const struct table *built,
			      unsigned version, const struct list_item *item)
{
	struct addr6 first = item->addr, last = addr6_last(first, item->len);
	struct addr6 one = version == 4 ? addr6_from4(1) : (struct addr6){.lo = 1};
	const struct addr6 edges[] = {first, last, addr6_subtract(first, one), addr6_next(last)};

	for (unsigned i = 0; i < 4; i++) {
		struct addr addr = {(uint8_t)version, addr6_to4(edges[i]), edges[i]};

		expect_same(patched, built, &addr);
	}
}

static void expect_equal(const struct table *patched, const struct table *built, uint64_t *state)
{
	cr_assert(patched->count4 == built->count4 && patched->count6 == built->count6 &&
			  patched->clashes == built->clashes,
		  "expected %zu + %zu prefixes, %zu clashes, got %zu + %zu, %zu", built->count4,
		  built->count6, built->clashes, patched->count4, patched->count6,
		  patched->clashes);
	cr_assert_eq(patched->generation, built->generation);
	cr_assert_eq(patched->rule_count, built->rule_count);
	cr_assert_eq(
		memcmp(patched->rules, built->rules, built->rule_count * sizeof(*built->rules)), 0);
	for (unsigned i = 0; i <= built->rule_count; i++)
		cr_assert(patched->verdicts[i].egress == built->verdicts[i].egress &&
			  patched->verdicts[i].rule == built->verdicts[i].rule);
	for (unsigned i = 0; i < built->rule_count; i++) {
		for (unsigned version = 4; version <= 6; version += 2) {
			struct list_walk walk;
			struct list_item item;

			list_walk_start(&walk, built->rules[i].list, version);
			while (list_walk_next(&walk, &item))
				expect_same_edges(patched, built, version, &item);
		}
	}
	for (unsigned i = 0; i < ASKED; i++) {
		struct addr addr = {.version = i & 1 ? 4 : 6};

		addr.v4 = lpm_model_addr4(state);
		addr.v6 = lpm_model_addr6(state);
		expect_same(patched, built, &addr);
	}
}

/* Two tables in turn, as they are used. */
struct turn {
	struct table *table;
	struct table *spare;
	bool current; /* the spare says what the table says */
	unsigned patched;
	unsigned built;
};

static struct list *edit_table(struct turn *turn, struct list *list, const struct list *change,
			       enum list_edit edit, uint32_t generation)
{
	struct list *edited, *changed;
	struct table_patch *patch;
	struct table *table;
	struct prefix missing;

	cr_assert_eq(list_edit(list, change, edit, &edited, &changed, &missing), 0);
	cr_assert_eq(table_patch_create(turn->table, list, edited, changed, &patch), 0);
	cr_assert_eq(table_patch_apply(patch, turn->table, generation, turn->spare, &turn->current,
				       &table),
		     0);
	turn->spare = turn->table;
	turn->table = table;
	table_strip(turn->spare);
	turn->patched += turn->current;
	turn->built += !turn->current;
	if (turn->current)
		turn->current = table_patch_replay(patch, turn->spare) == 0;
	table_patch_destroy(patch);
	list_unref(changed);
	return edited;
}

static void start_turn(struct turn *turn, const struct table_rule *rules, unsigned n)
{
	*turn = (struct turn){0};
	cr_assert_eq(table_build(rules, n, 9, 1, &turn->table), 0);
}

static void end_turn(struct turn *turn)
{
	table_destroy(turn->table);
	table_destroy(turn->spare);
}

/* Now and then the spare is lost, or is that of another table, as after a full publish. */
static void disturb(struct turn *turn, uint64_t *state)
{
	switch (lpm_model_random(state) % 16) {
	case 0:
		table_destroy(turn->spare);
		turn->spare = NULL;
		break;
	case 1:
		turn->current = false;
		break;
	default:
		break;
	}
}

static void run_sequence(uint64_t *state, unsigned edits, unsigned items, struct turn *turn)
{
	static const uint8_t list_of[RULES] = {0, 1, 2, 0, 3, 1};
	struct table_rule rules[RULES];
	struct list *lists[LISTS];
	unsigned n = 1 + (unsigned)(lpm_model_random(state) % RULES);

	for (unsigned i = 0; i < LISTS; i++)
		lists[i] =
			random_list("x", state, (unsigned)(lpm_model_random(state) % items), NULL);
	for (unsigned i = 0; i < n; i++)
		rules[i] = (struct table_rule){lists[list_of[i]], lpm_model_random(state) & 1};
	start_turn(turn, rules, n);
	for (unsigned i = 0; i < edits; i++) {
		struct list **list = &lists[lpm_model_random(state) % LISTS], *change, *edited;
		enum list_edit edit = lpm_model_random(state) & 1 ? LIST_ADD : LIST_REMOVE;
		unsigned size = (unsigned)(lpm_model_random(state) % 4);
		struct table *built = NULL;

		if (list_count(*list, 4) + list_count(*list, 6) == 0)
			edit = LIST_ADD;
		change = random_list("y", state, size, edit == LIST_ADD ? NULL : *list);
		disturb(turn, state);
		edited = edit_table(turn, *list, change, edit, i);
		list_unref(change);
		list_unref(*list);
		*list = edited;
		for (unsigned k = 0; k < n; k++)
			rules[k].list = lists[list_of[k]];
		cr_assert_eq(table_build(rules, n, 9, i, &built), 0);
		expect_equal(turn->table, built, state);
		table_destroy(built);
	}
	end_turn(turn);
	for (unsigned i = 0; i < LISTS; i++) {
		cr_assert_eq(lists[i]->refs, 1, "%u references", lists[i]->refs);
		list_unref(lists[i]);
	}
}

Test(lpm_table_patch, random_edits_equal_a_build, .timeout = 300)
{
	uint64_t state = 5;
	unsigned patched = 0, built = 0;

	for (unsigned i = 0; i < 60; i++) {
		struct turn turn;

		run_sequence(&state, 60, i % 2 ? ITEMS : 8, &turn);
		patched += turn.patched;
		built += turn.built;
	}
	cr_expect_gt(patched, 3000, "%u patched, %u built", patched, built);
}

/* One list named by rules of other egresses, before and behind. */
Test(lpm_table_patch, counts_clashes)
{
	static const struct {
		unsigned list; /* that is edited */
		enum list_edit edit;
		const char *change;
		size_t count4, count6, clashes;
	} steps[] = {
		{1, LIST_ADD, "10.0.0.0/8", 1, 1, 1},
		{2, LIST_ADD, "10.0.0.0/8\n10.0.0.0/9", 2, 1, 1}, /* egress as of list 1 */
		{0, LIST_REMOVE, "10.0.0.0/8", 2, 1, 0},
		{1, LIST_REMOVE, "10.0.0.0/8", 2, 1, 0},
		{0, LIST_ADD, "10.0.0.0/9\n10.0.0.0/10", 3, 1, 1},
		{2, LIST_ADD, "1::/16", 3, 1, 2},
		{0, LIST_REMOVE, "1::/16", 3, 1, 1},
		{2, LIST_REMOVE, "1::/16\n10.0.0.0/9", 3, 0, 0},
	};
	struct list *lists[] = {parse("a", "10.0.0.0/8\n1::/16\n"), parse("b", ""), parse("c", "")};
	const struct table_rule rules[] = {{lists[0], 1}, {lists[1], 2}, {lists[2], 2}};
	struct turn turn;

	start_turn(&turn, rules, 3);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct list **list = &lists[steps[i].list];
		struct list *change = parse("change", steps[i].change);
		struct list *edited = edit_table(&turn, *list, change, steps[i].edit, 1);

		cr_expect(turn.table->count4 == steps[i].count4 &&
				  turn.table->count6 == steps[i].count6 &&
				  turn.table->clashes == steps[i].clashes,
			  "step %zu: %zu + %zu prefixes, %zu clashes", i, turn.table->count4,
			  turn.table->count6, turn.table->clashes);
		list_unref(change);
		list_unref(*list);
		*list = edited;
	}
	end_turn(&turn);
	for (unsigned i = 0; i < 3; i++)
		list_unref(lists[i]);
}

/* More verdicts than entries have bits for, and a stretch that holds most of the table. */
Test(lpm_table_patch, builds_where_a_patch_does_not_do, .timeout = 120)
{
	enum { MANY = 20, LIST = 60000 }; /* so many that a copy pays */
	struct table_rule rules[MANY];
	char *text = malloc((size_t)LIST * 32);
	struct list *change, *edited;
	struct table *built;
	struct turn turn;
	uint64_t state = 9;
	size_t size = 0;

	cr_assert_not_null(text);
	for (unsigned i = 0; i < LIST; i++)
		size += (size_t)snprintf(text + size, 32, "%u.%u.%u.0/24\n", 1 + i / 16384,
					 i / 64 % 256, i % 64 * 4);
	rules[0] = (struct table_rule){parse("x", text), 0};
	for (unsigned i = 1; i < MANY; i++)
		rules[i] = (struct table_rule){parse("x", ""), (uint16_t)i};
	start_turn(&turn, rules, MANY);
	for (unsigned i = 1; i <= MANY; i++) {
		unsigned at = i % MANY;

		snprintf(text, 64, "172.16.%u.0/24\n%s", i, at == 0 ? "0.0.0.0/0" : "");
		change = parse("y", text);
		edited = edit_table(&turn, rules[at].list, change, LIST_ADD, i);
		list_unref(change);
		list_unref(rules[at].list);
		rules[at].list = edited;
	}
	cr_expect(turn.built >= 3 && turn.patched >= MANY - 6, "%u built, %u patched", turn.built,
		  turn.patched);
	cr_assert_eq(table_build(rules, MANY, 9, MANY, &built), 0);
	expect_equal(turn.table, built, &state);
	table_destroy(built);
	end_turn(&turn);
	for (unsigned i = 0; i < MANY; i++)
		list_unref(rules[i].list);
	free(text);
}

/* An edit of a list that no rule names. */
Test(lpm_table_patch, takes_lists_without_rules)
{
	struct list *ruled = parse("a", "10.0.0.0/8\n"), *other = parse("b", "");
	struct list *change = parse("y", "0.0.0.0/0\n::/0\n");
	const struct table_rule rule = {ruled, 1};
	struct addr addr = {.version = 4};
	struct list *edited;
	struct turn turn;

	start_turn(&turn, &rule, 1);
	edited = edit_table(&turn, other, change, LIST_ADD, 2);
	cr_expect_eq(turn.table->count4, 1);
	cr_expect_eq(turn.table->count6, 0);
	cr_expect_eq(turn.table->generation, 2);
	cr_expect_eq(table_lookup(turn.table, &addr), 0);
	end_turn(&turn);
	list_unref(edited);
	list_unref(change);
	list_unref(other);
	list_unref(ruled);
}
