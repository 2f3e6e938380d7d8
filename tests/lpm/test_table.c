/* Rules and lists compiled: against a scan of the rules, and what a table says of itself. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lpm/table.h"
#include "tests/model/lpm_model.h"

enum {
	RULES = 6,
	ITEMS = 12, /* of a list */
};

static struct list *parse(const char *name, const char *text)
{
	struct list_error error = {0};
	struct list *list = NULL;
	int rc = list_parse(name, name, text, strlen(text), 0, &list, &error);

	cr_assert_eq(rc, 0, "%s: rc %d, %zu:%zu: %s", name, rc, error.line, error.column,
		     error.text);
	return list;
}

static struct addr address(const char *text)
{
	struct addr addr;

	cr_assert_eq(addr_parse(text, strlen(text), &addr), 0, "%s", text);
	return addr;
}

/* What the rules say of an address, by a scan of all their prefixes. */
static struct table_match scan(const struct table_rule *rules, unsigned n, const struct addr *addr)
{
	struct table_match match = {0};

	for (unsigned i = 0; i < n; i++) {
		const struct list *list = rules[i].list;
		size_t count = addr->version == 4 ? list->count4 : list->count6;

		for (size_t k = 0; k < count; k++) {
			struct prefix prefix = {.addr.version = addr->version};
			uint32_t line;

			if (addr->version == 4) {
				prefix.addr.v4 = list->v4[k].addr;
				prefix.len = list->v4[k].len;
				line = list->v4[k].line;
			} else {
				prefix.addr.v6 = list->v6[k].addr;
				prefix.len = list->v6[k].len;
				line = list->v6[k].line;
			}
			if (prefix_contains(&prefix, addr) &&
			    (match.list == NULL || prefix.len > match.prefix.len))
				match = (struct table_match){(uint16_t)(i + 1), list, prefix, line};
		}
	}
	return match;
}

static void expect_match(const struct table *table, const struct table_rule *rules, unsigned n,
			 const struct addr *addr)
{
	struct table_match expected = scan(rules, n, addr), got;
	uint16_t verdict = table_lookup(table, addr);
	char text[ADDR_TEXT_MAX];

	table_explain(table, addr, &got);
	cr_assert(verdict == expected.verdict && got.verdict == expected.verdict,
		  "%s: expected %u, lookup %u, explain %u", addr_format(addr, text),
		  expected.verdict, verdict, got.verdict);
	cr_assert_eq(got.list, expected.list, "%s", addr_format(addr, text));
	if (expected.list != NULL)
		cr_assert(got.line == expected.line && got.prefix.len == expected.prefix.len &&
				  prefix_contains(&got.prefix, addr),
			  "%s: expected line %u /%u, got line %u /%u", addr_format(addr, text),
			  expected.line, expected.prefix.len, got.line, got.prefix.len);
}

/* The prefixes that rules with different egresses name, by comparing all with all. */
static size_t scan_clashes(const struct table_rule *rules, unsigned n)
{
	size_t clashes = 0;

	for (unsigned i = 0; i < n; i++) {
		for (size_t k = 0; k < rules[i].list->count4; k++) {
			const struct list4_entry *entry = &rules[i].list->v4[k];
			bool first = true, clash = false;

			for (unsigned j = 0; j < n; j++) {
				for (size_t m = 0; m < rules[j].list->count4; m++) {
					const struct list4_entry *other = &rules[j].list->v4[m];

					if (other->addr != entry->addr || other->len != entry->len)
						continue;
					first = first && j >= i;
					clash = clash || rules[j].egress != rules[i].egress;
				}
			}
			clashes += first && clash;
		}
	}
	return clashes;
}

/* A list of IPv4 and IPv6 prefixes from few places, so that rules clash. */
static struct list *random_list(uint64_t *state, unsigned index)
{
	static const uint8_t lens[] = {9, 24, 25, 31, 32};
	char text[ITEMS * PREFIX_TEXT_MAX], name[16];
	size_t size = 0;
	unsigned items = (unsigned)(lpm_model_random(state) % (ITEMS + 1));

	text[0] = '\0';
	for (unsigned i = 0; i < items; i++) {
		uint64_t random = lpm_model_random(state);
		struct addr addr = {.version = random & 1 ? 4 : 6};
		unsigned len = lens[random >> 8 & 3];
		char one[ADDR_TEXT_MAX];

		addr.v4 = lpm_model_addr4(state);
		addr.v6 = lpm_model_addr6(state);
		size += (size_t)snprintf(text + size, sizeof(text) - size, "%s/%u\n",
					 addr_format(&addr, one),
					 addr.version == 4 ? len : len * 4);
	}
	snprintf(name, sizeof(name), "list%u", index);
	return parse(name, text);
}

Test(lpm_table, random_rules_equal_a_scan, .timeout = 120)
{
	uint64_t state = 31;

	for (unsigned i = 0; i < 500; i++) {
		struct table_rule rules[RULES];
		unsigned n = (unsigned)(lpm_model_random(&state) % (RULES + 1));
		struct table_clash clashes[RULES * ITEMS];
		struct table *table = NULL;
		size_t count, count4 = 0;

		for (unsigned k = 0; k < n; k++) {
			rules[k].list = random_list(&state, k);
			rules[k].egress = lpm_model_random(&state) & 1;
		}
		cr_assert_eq(table_build(rules, n, 9, i, &table), 0);
		for (unsigned k = 0; k < 300; k++) {
			struct addr addr = {.version = k & 1 ? 4 : 6};

			addr.v4 = lpm_model_addr4(&state);
			addr.v6 = lpm_model_addr6(&state);
			expect_match(table, rules, n, &addr);
		}
		count = table_clashes(rules, n, clashes, RULES * ITEMS);
		cr_assert_eq(count, table->clashes, "%zu clashes, %zu counted", count,
			     table->clashes);
		for (size_t k = 0; k < count; k++)
			count4 += clashes[k].prefix.addr.version == 4;
		cr_assert_eq(count4, scan_clashes(rules, n), "expected %zu clashes, got %zu",
			     scan_clashes(rules, n), count4);
		for (unsigned k = 0; k < n; k++)
			list_unref(rules[k].list);
		table_destroy(table);
	}
}

/* The same prefix in several rules, in lists where it hides or is hidden. */
Test(lpm_table, explains_shadowed_prefixes)
{
	static const struct {
		const char *addr;
		uint16_t verdict;
		uint32_t line;
		const char *prefix;
	} cases[] = {
		{"10.1.2.3", 1, 2, "10.1.0.0/16"}, /* both rules name it: the first */
		{"10.2.2.3", 2, 1, "10.0.0.0/8"},
		{"10.1.5.1", 2, 3, "10.1.5.0/24"}, /* longer, though the rule comes later */
		{"192.0.2.1", 1, 1, "192.0.2.1/32"},
		{"192.0.2.2", 3, 1, "0.0.0.0/0"},
		{"2001:db8::1", 1, 3, "2001:db8::/32"},
		{"2001:db9::1", 0, 0, NULL},
	};
	struct list *a = parse("a", "192.0.2.1\n10.1.0.0/16\n2001:db8::/32\n");
	struct list *b = parse("b", "10.0.0.0/8\n10.1.0.0/16\n10.1.5.0/24\n2001:db8::/32\n");
	struct list *c = parse("c", "0.0.0.0/0\n10.1.0.0/16\n192.0.2.1\n");
	const struct table_rule rules[] = {{a, 5}, {b, 6}, {c, 5}, {a, 7}};
	struct list *lists[] = {NULL, a, b, c, a};
	struct table *table = NULL;

	cr_assert_eq(table_build(rules, 4, 4, 17, &table), 0);
	cr_expect_eq(table->generation, 17);
	cr_expect_eq(table->rule_count, 4);
	cr_expect_eq(table->count4, 5, "%zu", table->count4);
	cr_expect_eq(table->count6, 1, "%zu", table->count6);
	cr_expect_eq(table->clashes, 3, "%zu", table->clashes);
	cr_expect_eq(table->verdicts[0].egress, 4);
	cr_expect_eq(table->verdicts[0].rule, TABLE_RULE_DEFAULT);
	for (uint16_t i = 0; i < 4; i++)
		cr_expect(table->verdicts[i + 1].egress == rules[i].egress &&
				  table->verdicts[i + 1].rule == i,
			  "verdict %u", i + 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr addr = address(cases[i].addr);
		struct table_match match;
		char text[PREFIX_TEXT_MAX];

		table_explain(table, &addr, &match);
		cr_expect_eq(match.verdict, cases[i].verdict, "%s: expected %u, got %u",
			     cases[i].addr, cases[i].verdict, match.verdict);
		cr_expect_eq(table_lookup(table, &addr), cases[i].verdict, "%s", cases[i].addr);
		cr_expect_eq(match.list, lists[cases[i].verdict], "%s", cases[i].addr);
		if (match.list == NULL)
			continue;
		cr_expect_eq(match.line, cases[i].line, "%s: expected line %u, got %u",
			     cases[i].addr, cases[i].line, match.line);
		cr_expect_str_eq(prefix_format(&match.prefix, text), cases[i].prefix, "%s: %s",
				 cases[i].addr, text);
	}
	cr_expect_gt(table_size_bytes(table),
		     lpm4_size_bytes(table->v4) + lpm6_size_bytes(table->v6));
	table_destroy(table);
	list_unref(a);
	list_unref(b);
	list_unref(c);
}

Test(lpm_table, reports_clashes)
{
	struct list *a = parse("a", "10.0.0.0/8\n# x\n10.1.0.0/16\n1::/16\n");
	struct list *b = parse("b", "10.1.0.0/16\n10.0.0.0/8\n10.0.0.0/9\n");
	struct list *c = parse("c", "\n\n\n10.0.0.0/8\n1::/16\n");
	const struct table_rule rules[] = {{a, 1}, {b, 1}, {c, 2}, {c, 3}};
	static const struct {
		const char *prefix;
		unsigned winner, loser;
		uint32_t winner_line, loser_line;
	} expected[] = {
		{"10.0.0.0/8", 0, 2, 1, 4},
		{"1::/16", 0, 2, 4, 5},
	};
	struct table_clash clashes[4];
	size_t count = table_clashes(rules, 4, clashes, 4);
	char text[PREFIX_TEXT_MAX];

	cr_assert_eq(count, 2, "%zu", count);
	for (size_t i = 0; i < count; i++) {
		cr_expect_str_eq(prefix_format(&clashes[i].prefix, text), expected[i].prefix);
		cr_expect(clashes[i].winner == expected[i].winner &&
				  clashes[i].loser == expected[i].loser &&
				  clashes[i].winner_line == expected[i].winner_line &&
				  clashes[i].loser_line == expected[i].loser_line,
			  "%s: rule %u line %u over rule %u line %u", expected[i].prefix,
			  clashes[i].winner, clashes[i].winner_line, clashes[i].loser,
			  clashes[i].loser_line);
	}
	cr_expect_eq(table_clashes(rules, 4, clashes, 1), 1);
	cr_expect_eq(table_clashes(rules, 4, clashes, 0), 0);
	cr_expect_eq(table_clashes(rules, 2, clashes, 4), 0, "the same egress is no clash");
	cr_expect_eq(table_clashes(NULL, 0, clashes, 4), 0);
	list_unref(a);
	list_unref(b);
	list_unref(c);
}

Test(lpm_table, holds_its_lists)
{
	struct list *list = parse("a", "10.0.0.0/8\n");
	const struct table_rule rules[] = {{list, 1}, {list, 2}};
	struct addr addr = address("10.0.0.1");
	struct table_match match;
	struct table *table = NULL;

	cr_assert_eq(table_build(rules, 2, 0, 1, &table), 0);
	cr_expect_eq(list->refs, 3);
	list_unref(list);
	table_explain(table, &addr, &match);
	cr_expect_str_eq(match.list->name, "a");
	table_destroy(table);
	table_destroy(NULL);
}

Test(lpm_table, takes_as_many_rules_as_there_are_verdicts)
{
	struct table_rule *rules = calloc(TABLE_RULES_MAX + 1, sizeof(*rules));
	struct addr addr = address("10.0.0.1");
	struct table_match match;
	struct table *table = NULL;

	cr_assert_not_null(rules);
	for (unsigned i = 0; i <= TABLE_RULES_MAX; i++)
		rules[i] = (struct table_rule){parse("x", i % 2 ? "" : "10.0.0.0/9\n"), 1};
	list_unref(rules[TABLE_RULES_MAX - 1].list);
	rules[TABLE_RULES_MAX - 1].list = parse("last", "10.0.0.0/10\n");
	cr_expect_eq(table_build(rules, TABLE_RULES_MAX + 1, 0, 1, &table), -EINVAL);
	cr_expect_null(table);
	cr_assert_eq(table_build(rules, TABLE_RULES_MAX, 0, 1, &table), 0);
	table_explain(table, &addr, &match);
	cr_expect_eq(match.verdict, LPM_VERDICT_MAX);
	cr_expect_str_eq(match.list->name, "last");
	table_destroy(table);
	for (unsigned i = 0; i <= TABLE_RULES_MAX; i++)
		list_unref(rules[i].list);
	free(rules);
}

static char *read_file(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	const size_t room = 1 << 20;
	char *text = malloc(room);

	cr_assert(file != NULL && text != NULL, "%s: run from the root of the tree", path);
	*size = fread(text, 1, room, file);
	cr_assert_lt(*size, room);
	fclose(file);
	return text;
}

/* Both shipped lists, whole, against a scan. */
Test(lpm_table, shipped_lists, .timeout = 120)
{
	static const struct {
		const char *path;
		size_t count4, count6;
	} files[] = {
		{"examples/lists/country-mx.txt", 798, 207},
		{"examples/lists/country-de.txt", 8687, 3086},
	};
	struct table_rule rules[2];
	struct table *table = NULL;
	uint64_t state = 3;

	for (size_t i = 0; i < 2; i++) {
		struct list_error error = {0};
		size_t size;
		char *text = read_file(files[i].path, &size);
		int rc = list_parse("x", files[i].path, text, size, 0, &rules[i].list, &error);

		cr_assert_eq(rc, 0, "%s:%zu:%zu: %s", files[i].path, error.line, error.column,
			     error.text);
		rules[i].egress = (uint16_t)i;
		cr_expect_eq(rules[i].list->count4, files[i].count4, "%s: %zu", files[i].path,
			     rules[i].list->count4);
		cr_expect_eq(rules[i].list->count6, files[i].count6, "%s: %zu", files[i].path,
			     rules[i].list->count6);
		free(text);
	}
	cr_assert_eq(table_build(rules, 2, 0, 1, &table), 0);
	for (unsigned i = 0; i < 2; i++) {
		const struct list *list = rules[i].list;

		for (unsigned k = 0; k < 1000; k++) { /* inside prefixes and just behind */
			const struct list4_entry *entry4 =
				&list->v4[lpm_model_random(&state) % list->count4];
			const struct list6_entry *entry6 =
				&list->v6[lpm_model_random(&state) % list->count6];
			uint64_t random = lpm_model_random(&state);
			struct addr addr = {.version = 4};

			addr.v4 = entry4->addr + (uint32_t)(random >> 32 >> entry4->len % 32) + 1;
			expect_match(table, rules, 2, &addr);
			addr.version = 6;
			addr.v6 = entry6->addr;
			addr.v6.hi += random >> entry6->len % 64;
			expect_match(table, rules, 2, &addr);
		}
	}
	table_destroy(table);
	list_unref(rules[0].list);
	list_unref(rules[1].list);
}

/* A sanitizer's own memory does not fit under the limit. */
#if defined(__SANITIZE_ADDRESS__)
#define HAVE_MEMORY_LIMIT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_MEMORY_LIMIT 0
#endif
#endif
#ifndef HAVE_MEMORY_LIMIT
#define HAVE_MEMORY_LIMIT 1
#endif

#if HAVE_MEMORY_LIMIT
static size_t address_space(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	cr_assert_not_null(file);
	cr_assert_eq(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	return pages * 4096;
}

/*
 * Parse and build with ever more memory: each try but the last fails cleanly, wherever the memory
 * ended. The process is the test's own, so its limit can stay.
 */
Test(lpm_table, survives_want_of_memory, .timeout = 120)
{
	enum { LINES = 100000, LINE_MAX_BYTES = 32 };
	size_t step = 1 << 20, failed_parses = 0, failed_builds = 0, size = 0;
	char *text = malloc((size_t)LINES * LINE_MAX_BYTES);
	struct list_error error;
	struct list *list = NULL;
	struct table *table = NULL;

	cr_assert_not_null(text);
	for (unsigned i = LINES; i > 0; i--)
		size += (size_t)snprintf(text + size, LINE_MAX_BYTES, "%u.%u.%u.0/25\n%x::/16\n",
					 i >> 16, i >> 8 & 255, i & 255, i & 0xffff);
	for (size_t extra = 0; table == NULL; extra += step) {
		struct rlimit limit = {.rlim_cur = address_space() + extra,
				       .rlim_max = RLIM_INFINITY};
		struct table_rule rule;
		int rc;

		cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
		cr_assert_lt(extra, (size_t)1 << 30);
		if (list == NULL) {
			error.text[0] = '\0';
			rc = list_parse("x", "x", text, size, 0, &list, &error);
			if (rc != 0) {
				failed_parses++;
				cr_assert_eq(rc, -ENOMEM, "%d", rc);
				cr_assert_null(list);
				cr_assert_eq(error.line, 0);
				cr_assert_str_eq(error.text, "out of memory");
				continue;
			}
		}
		rule = (struct table_rule){list, 1};
		rc = table_build(&rule, 1, 0, 1, &table);
		if (rc != 0) {
			failed_builds++;
			cr_assert_eq(rc, -ENOMEM, "%d", rc);
			cr_assert_null(table);
			cr_assert_eq(list->refs, 1);
		}
	}
	cr_expect_gt(failed_parses, 0);
	cr_expect_gt(failed_builds, 0);
	table_destroy(table);
	list_unref(list);
	free(text);
}
#endif
