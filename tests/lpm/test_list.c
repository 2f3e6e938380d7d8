/* The parser of lists: what it takes, what it counts, and where it says that an error is. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/list.h"
#include "tests/model/lpm_model.h"

enum {
	TEXT_MAX = 4096,
};

/* A literal that may hold NUL bytes, and its size. */
#define TEXT(literal) literal, sizeof(literal) - 1

static struct list *parse(const char *text, size_t size, enum list_flags flags)
{
	struct list_error error = {0};
	struct list *list = NULL;
	int rc = list_parse("test", "test.txt", text, size, flags, &list, &error);

	cr_assert_eq(rc, 0, "rc %d, %zu:%zu: %s", rc, error.line, error.column, error.text);
	return list;
}

/* All prefixes of a list, one a line; the caller's. */
static char *print(const struct list *list)
{
	size_t room = (list->count4 + list->count6) * PREFIX_TEXT_MAX + 1, at = 0;
	char *text = malloc(room);
	char one[PREFIX_TEXT_MAX];

	cr_assert_not_null(text);
	text[0] = '\0';
	for (size_t i = 0; i < list->count4; i++) {
		struct prefix prefix = {{.version = 4, .v4 = list->v4[i].addr}, list->v4[i].len};

		at += (size_t)snprintf(text + at, room - at, "%s\n", prefix_format(&prefix, one));
	}
	for (size_t i = 0; i < list->count6; i++) {
		struct prefix prefix = {{.version = 6, .v6 = list->v6[i].addr}, list->v6[i].len};

		at += (size_t)snprintf(text + at, room - at, "%s\n", prefix_format(&prefix, one));
	}
	return text;
}

/* items, masked, ranges, duplicates, covered, skipped, aggregated */
struct counts_case {
	size_t lines, items, masked, ranges, duplicates, covered, skipped, aggregated;
};

static const struct {
	const char *text;
	size_t size;
	const char *prefixes;
	struct counts_case counts;
} good_cases[] = {
	{TEXT(""), "", {0, 0, 0, 0, 0, 0, 0, 0}},
	{TEXT("\n"), "", {1, 0, 0, 0, 0, 0, 0, 0}},
	{TEXT("\xef\xbb\xbf"), "", {0, 0, 0, 0, 0, 0, 0, 0}},
	{TEXT(" \t\r\n# a comment\n  # another"), "", {3, 0, 0, 0, 0, 0, 0, 0}},
	{TEXT("192.0.2.0/24"), "192.0.2.0/24\n", {1, 1, 0, 0, 0, 0, 0, 1}},
	{TEXT("192.0.2.0/24\n"), "192.0.2.0/24\n", {1, 1, 0, 0, 0, 0, 0, 1}},
	{TEXT("192.0.2.0/24\r\n10.0.0.0/8\r\n"),
	 "10.0.0.0/8\n192.0.2.0/24\n",
	 {2, 2, 0, 0, 0, 0, 0, 2}},
	{TEXT("192.0.2.0/24\r"), "192.0.2.0/24\n", {1, 1, 0, 0, 0, 0, 0, 1}},
	{TEXT("\xef\xbb\xbf"
	      "192.0.2.0/24"),
	 "192.0.2.0/24\n",
	 {1, 1, 0, 0, 0, 0, 0, 1}},
	{TEXT("  192.0.2.0/24\t# why\n"), "192.0.2.0/24\n", {1, 1, 0, 0, 0, 0, 0, 1}},
	{TEXT("192.0.2.0/24#why\0\xff"), "192.0.2.0/24\n", {1, 1, 0, 0, 0, 0, 0, 1}},
	{TEXT("192.0.2.1\n2001:db8::1\n"),
	 "192.0.2.1/32\n2001:db8::1/128\n",
	 {2, 2, 0, 0, 0, 0, 0, 2}},
	{TEXT("192.0.2.1/24\n2001:db8::1/32\n"),
	 "192.0.2.0/24\n2001:db8::/32\n",
	 {2, 2, 2, 0, 0, 0, 0, 2}},
	{TEXT("0.0.0.0/0\n::/0\n"), "0.0.0.0/0\n::/0\n", {2, 2, 0, 0, 0, 0, 0, 2}},
	{TEXT("::ffff:1.2.3.4\n"), "::ffff:1.2.3.4/128\n", {1, 1, 0, 0, 0, 0, 0, 1}},
	/* duplicates, covered, merged */
	{TEXT("10.0.0.0/9\n10.0.0.0/9\n10.0.0.1/9\n"), "10.0.0.0/9\n", {3, 3, 1, 0, 2, 0, 0, 1}},
	{TEXT("10.1.0.0/16\n10.0.0.0/8\n10.1.2.3\n"),
	 "10.0.0.0/8\n10.1.0.0/16\n10.1.2.3/32\n",
	 {3, 3, 0, 0, 0, 2, 0, 1}},
	{TEXT("10.0.0.0/31\n10.0.0.1\n1::/127\n1::1\n"), /* their last addresses */
	 "10.0.0.0/31\n10.0.0.1/32\n1::/127\n1::1/128\n",
	 {4, 4, 0, 0, 0, 2, 0, 2}},
	{TEXT("10.0.0.0/9\n10.128.0.0/9\n"),
	 "10.0.0.0/9\n10.128.0.0/9\n",
	 {2, 2, 0, 0, 0, 0, 0, 1}},
	{TEXT("10.0.1.0/24\n10.0.2.0/24\n"), /* they touch, but are no siblings */
	 "10.0.1.0/24\n10.0.2.0/24\n",
	 {2, 2, 0, 0, 0, 0, 0, 2}},
	{TEXT("0.0.0.0/1\n128.0.0.0/1\n10.0.0.0/8\n"),
	 "0.0.0.0/1\n10.0.0.0/8\n128.0.0.0/1\n",
	 {3, 3, 0, 0, 0, 1, 0, 1}},
	{TEXT("2001:db8::/33\n2001:db8:8000::/33\n2001:db8::1\n"),
	 "2001:db8::/33\n2001:db8::1/128\n2001:db8:8000::/33\n",
	 {3, 3, 0, 0, 0, 1, 0, 1}},
	{TEXT("8000::/1\n::/1\nffff::/16\n"),
	 "::/1\n8000::/1\nffff::/16\n",
	 {3, 3, 0, 0, 0, 1, 0, 1}},
	/* ranges */
	{TEXT("192.0.2.7-192.0.2.19\n"),
	 "192.0.2.7/32\n192.0.2.8/29\n192.0.2.16/30\n",
	 {1, 1, 0, 1, 0, 0, 0, 3}},
	{TEXT("192.0.2.7-192.0.2.7"), "192.0.2.7/32\n", {1, 1, 0, 1, 0, 0, 0, 1}},
	{TEXT("192.0.2.0-192.0.2.255 # all of it"), "192.0.2.0/24\n", {1, 1, 0, 1, 0, 0, 0, 1}},
	{TEXT("0.0.0.0-255.255.255.255"), "0.0.0.0/0\n", {1, 1, 0, 1, 0, 0, 0, 1}},
	{TEXT("255.255.255.254-255.255.255.255"), "255.255.255.254/31\n", {1, 1, 0, 1, 0, 0, 0, 1}},
	{TEXT("255.255.255.253-255.255.255.255"),
	 "255.255.255.253/32\n255.255.255.254/31\n",
	 {1, 1, 0, 1, 0, 0, 0, 2}},
	{TEXT("0.0.0.0-0.0.0.2"), "0.0.0.0/31\n0.0.0.2/32\n", {1, 1, 0, 1, 0, 0, 0, 2}},
	{TEXT("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "::/0\n", {1, 1, 0, 1, 0, 0, 0, 1}},
	{TEXT("2001:db8::-2001:db8::1:ffff"), "2001:db8::/111\n", {1, 1, 0, 1, 0, 0, 0, 1}},
	{TEXT("2001:db8:0:0:ffff:ffff:ffff:ffff-2001:db8:0:1::"),
	 "2001:db8::ffff:ffff:ffff:ffff/128\n2001:db8:0:1::/128\n",
	 {1, 1, 0, 1, 0, 0, 0, 2}},
	{TEXT("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
	 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127\n",
	 {1, 1, 0, 1, 0, 0, 0, 1}},
	{TEXT("192.0.2.0-192.0.2.3\n192.0.2.0-192.0.2.5\n"),
	 "192.0.2.0/30\n192.0.2.4/31\n",
	 {2, 2, 0, 2, 1, 0, 0, 2}},
	/* netmasks */
	{TEXT("192.0.2.0 255.255.255.0\n"), "192.0.2.0/24\n", {1, 1, 0, 1, 0, 0, 0, 1}},
	{TEXT("192.0.2.9\t255.255.255.0 # x\n"), "192.0.2.0/24\n", {1, 1, 1, 1, 0, 0, 0, 1}},
	{TEXT("192.0.2.9 0.0.0.0\n"), "0.0.0.0/0\n", {1, 1, 1, 1, 0, 0, 0, 1}},
	{TEXT("192.0.2.9 255.255.255.255\n"), "192.0.2.9/32\n", {1, 1, 0, 1, 0, 0, 0, 1}},
};

static void expect_counts(const char *text, const struct list_counts *got,
			  const struct counts_case *expected)
{
	const struct {
		const char *name;
		size_t got, expected;
	} all[] = {
		{"lines", got->lines, expected->lines},
		{"items", got->items, expected->items},
		{"masked", got->masked, expected->masked},
		{"ranges", got->ranges, expected->ranges},
		{"duplicates", got->duplicates, expected->duplicates},
		{"covered", got->covered, expected->covered},
		{"skipped", got->skipped, expected->skipped},
		{"aggregated", got->aggregated, expected->aggregated},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		cr_expect_eq(all[i].got, all[i].expected, "'%s': %s: expected %zu, got %zu", text,
			     all[i].name, all[i].expected, all[i].got);
}

Test(lpm_list, takes_good_texts)
{
	for (size_t i = 0; i < sizeof(good_cases) / sizeof(good_cases[0]); i++) {
		/* A copy of the exact size, so that a sanitizer sees a read past the end. */
		char *exact = malloc(good_cases[i].size + !good_cases[i].size);
		struct list *list;
		char *got;

		cr_assert_not_null(exact);
		memcpy(exact, good_cases[i].text, good_cases[i].size);
		list = parse(exact, good_cases[i].size, 0);
		got = print(list);
		cr_expect_str_eq(got, good_cases[i].prefixes, "'%s': expected '%s', got '%s'",
				 good_cases[i].text, good_cases[i].prefixes, got);
		expect_counts(good_cases[i].text, &list->counts, &good_cases[i].counts);
		free(got);
		free(exact);
		list_unref(list);
	}
}

static const struct {
	const char *text;
	size_t size;
	size_t line, column;
	const char *error;
} bad_cases[] = {
	{TEXT("foo"), 1, 1, "not a prefix: 'foo'"},
	{TEXT("10.0.0.0/8\n\n  foo bar\n"), 3, 3, "not a prefix: 'foo'"},
	{TEXT("10.0.0.0/8\r\n\tfoo\r\n"), 2, 2, "not a prefix: 'foo'"},
	{TEXT("\xef\xbb\xbf"
	      "foo"),
	 1, 1, "not a prefix: 'foo'"},
	{TEXT("10.0.0.0/8\n\xef\xbb\xbf"
	      "10.0.0.0/8"),
	 2, 1, "not a prefix: '\\xef\\xbb\\xbf10.0.0.0/8'"},
	{TEXT("192.0.2.0/33"), 1, 1, "length 33 is past 32"},
	{TEXT("192.0.2.0/33\n"), 1, 1, "length 33 is past 32"},
	{TEXT("0.0.0.0/33\n"), 1, 1, "length 33 is past 32"},
	{TEXT("128.0.0.0/33\n"), 1, 1, "length 33 is past 32"},
	{TEXT("192.0.2.0/240\n"), 1, 1, "length 240 is past 32"},
	{TEXT("2001:db8::/129"), 1, 1, "length 129 is past 128"},
	{TEXT("192.0.2.0/"), 1, 1, "not a prefix: '192.0.2.0/'"},
	{TEXT("192.0.2.0/08\n"), 1, 1, "not a prefix: '192.0.2.0/08'"},
	{TEXT("192.0.2.0/x\n"), 1, 1, "not a prefix: '192.0.2.0/x'"},
	{TEXT("192.0.2.0/24x\n"), 1, 1, "not a prefix: '192.0.2.0/24x'"},
	{TEXT("192.0.2.0/24,\n"), 1, 1, "not a prefix: '192.0.2.0/24,'"},
	{TEXT("192.0.2.0 /24\n"), 1, 11, "not a netmask: '/24'"},
	{TEXT("192.0.2\n"), 1, 1, "not a prefix: '192.0.2'"},
	{TEXT("010.0.0.1\n"), 1, 1, "leading zero, which some read as octal: '010.0.0.1'"},
	{TEXT("10.0.00.1/08\n"), 1, 1, "leading zero, which some read as octal: '10.0.00.1/08'"},
	{TEXT("01:02\n"), 1, 1, "not a prefix: '01:02'"},
	{TEXT(" 10.0.0.0/8 foo\n"), 1, 13, "nothing may follow the item: 'foo'"},
	{TEXT("10.0.0.0/8 255.0.0.0\n"), 1, 12, "nothing may follow the item: '255.0.0.0'"},
	{TEXT("10.0.0.0/8\r\r\n"), 1, 1, "not a prefix: '10.0.0.0/8\\x0d'"},
	{TEXT("10.0.0.0/8\r10.0.0.0/8\n"), 1, 1, "not a prefix: '10.0.0.0/8\\x0d10.0.0.0/8'"},
	{TEXT("10.0.0.0/8\0\n"), 1, 1, "not a prefix: '10.0.0.0/8\\x00'"},
	{TEXT("\0"), 1, 1, "not a prefix: '\\x00'"},
	{TEXT("\v10.0.0.0/8"), 1, 1, "not a prefix: '\\x0b10.0.0.0/8'"},
	{TEXT("-"), 1, 1, "not an address to start a range: ''"},
	{TEXT("10.0.0.1-\n"), 1, 10, "not an address to end a range: ''"},
	{TEXT("10.0.0.1-foo\n"), 1, 10, "not an address to end a range: 'foo'"},
	{TEXT("foo-10.0.0.1\n"), 1, 1, "not an address to start a range: 'foo'"},
	{TEXT("10.0.0.1-10.0.0.2-10.0.0.3\n"), 1, 10,
	 "not an address to end a range: '10.0.0.2-10.0.0.3'"},
	{TEXT("10.0.0.0/24-10.0.1.0\n"), 1, 1, "not an address to start a range: '10.0.0.0/24'"},
	{TEXT("10.0.0.1-10.0.0.02\n"), 1, 10,
	 "leading zero, which some read as octal: '10.0.0.02'"},
	{TEXT("10.0.0.2-10.0.0.1\n"), 1, 1, "range end is below its start: '10.0.0.2-10.0.0.1'"},
	{TEXT("1::2-1::1\n"), 1, 1, "range end is below its start: '1::2-1::1'"},
	{TEXT("2::-1::1\n"), 1, 1, "range end is below its start: '2::-1::1'"},
	{TEXT("10.0.0.1-1::1\n"), 1, 1, "range mixes IPv4 and IPv6: '10.0.0.1-1::1'"},
	{TEXT("10.0.0.1-10.0.0.2 x\n"), 1, 19, "nothing may follow the item: 'x'"},
	{TEXT("10.0.0.1 - 10.0.0.2\n"), 1, 10, "not a netmask: '-'"},
	{TEXT("10.0.0.0 255.0.255.0\n"), 1, 10, "netmask 255.0.255.0 is not contiguous"},
	{TEXT("10.0.0.0 0.0.0.255\n"), 1, 10, "netmask 0.0.0.255 is not contiguous"},
	{TEXT("10.0.0.0 foo\n"), 1, 10, "not a netmask: 'foo'"},
	{TEXT("10.0.0.0 ffff::\n"), 1, 10, "not a netmask: 'ffff::'"},
	{TEXT("10.0.0.0 255.0.0.0 x y\n"), 1, 20, "nothing may follow the item: 'x'"},
	{TEXT("1:: ffff::\n"), 1, 5, "nothing may follow the item: 'ffff::'"},
	{TEXT("<html><body>an error page of some server, far too long to show in full"), 1, 1,
	 "not a prefix: '<html><body>an'"},
	{TEXT("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
	 1, 1, "not a prefix: '0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab...'"},
};

Test(lpm_list, refuses_bad_texts_with_their_place)
{
	for (size_t i = 0; i < sizeof(bad_cases) / sizeof(bad_cases[0]); i++) {
		const char *text = bad_cases[i].text;
		char *exact = malloc(bad_cases[i].size);
		struct list_error error = {0};
		struct list *list = NULL;
		int rc;

		cr_assert_not_null(exact);
		memcpy(exact, text, bad_cases[i].size);
		rc = list_parse("test", "test.txt", exact, bad_cases[i].size, 0, &list, &error);
		cr_expect_eq(rc, -EINVAL, "'%s': rc %d", text, rc);
		cr_expect_null(list, "'%s': out was written", text);
		cr_expect(error.line == bad_cases[i].line && error.column == bad_cases[i].column,
			  "'%s': expected %zu:%zu, got %zu:%zu", text, bad_cases[i].line,
			  bad_cases[i].column, error.line, error.column);
		cr_expect_str_eq(error.text, bad_cases[i].error,
				 "'%s': expected \"%s\", got \"%s\"", text, bad_cases[i].error,
				 error.text);
		free(exact);
	}
}

Test(lpm_list, skips_bad_lines_if_asked)
{
	for (size_t i = 0; i < sizeof(bad_cases) / sizeof(bad_cases[0]); i++) {
		char text[TEXT_MAX];
		struct list *list;
		size_t size = (size_t)snprintf(text, sizeof(text), "10.0.0.0/24\n");
		char *got;

		memcpy(text + size, bad_cases[i].text, bad_cases[i].size);
		size += bad_cases[i].size;
		size += (size_t)snprintf(text + size, sizeof(text) - size, "\n10.0.2.0/24\n");
		list = parse(text, size, LIST_SKIP_BAD);
		got = print(list);
		/* Some texts have good lines beside their bad one. */
		cr_expect_geq(list->counts.skipped, 1, "'%s'", bad_cases[i].text);
		cr_expect_not_null(strstr(got, "10.0.0.0/24\n"), "'%s'", bad_cases[i].text);
		cr_expect_not_null(strstr(got, "10.0.2.0/24\n"), "'%s'", bad_cases[i].text);
		free(got);
		list_unref(list);
	}
}

Test(lpm_list, counts_skipped_lines)
{
	struct list *list =
		parse(TEXT("foo\n10.0.0.0/24\nbar # x\n# y\n1.2.3.4/99\n"), LIST_SKIP_BAD);

	cr_expect_eq(list->counts.skipped, 3, "%zu", list->counts.skipped);
	cr_expect_eq(list->counts.lines, 5, "%zu", list->counts.lines);
	cr_expect_eq(list->counts.items, 1, "%zu", list->counts.items);
	list_unref(list);
}

Test(lpm_list, keeps_the_first_line_of_a_prefix)
{
	struct list *list =
		parse(TEXT("# one\n10.2.0.0/16\n10.1.0.0/16\n10.2.3.4/16\n10.1.0.0/16\n"
			   "2::/16\n1::/16\n2::/16\n1::/16\n9.0.0.0-9.0.0.1\n9.0.0.0/31"),
		      0);
	static const uint32_t expected4[] = {10, 3, 2}, expected6[] = {7, 6};

	cr_assert_eq(list->count4, 3);
	cr_assert_eq(list->count6, 2);
	for (size_t i = 0; i < 3; i++)
		cr_expect_eq(list->v4[i].line, expected4[i], "IPv4 %zu: %u", i, list->v4[i].line);
	for (size_t i = 0; i < 2; i++)
		cr_expect_eq(list->v6[i].line, expected6[i], "IPv6 %zu: %u", i, list->v6[i].line);
	list_unref(list);
}

Test(lpm_list, holds_names_and_references)
{
	char name[] = "mx", file[] = "country.txt";
	struct list_error error;
	struct list *list = NULL;

	cr_assert_eq(list_parse(name, file, NULL, 0, 0, &list, &error), 0);
	name[0] = file[0] = '?';
	cr_expect_str_eq(list->name, "mx");
	cr_expect_str_eq(list->file, "country.txt");
	cr_expect_eq(list->refs, 1);
	cr_expect_eq(list_ref(list), list);
	cr_expect_eq(list->refs, 2);
	list_unref(list);
	cr_expect_str_eq(list->name, "mx");
	list_unref(list);
	list_unref(NULL);
}

/* Without the terminator. */
static void place(char *text, const char *what)
{
	while (*what != '\0')
		*text++ = *what++;
}

/* A line of 4 MiB, good behind its blanks, and one of a single word. */
Test(lpm_list, long_lines, .timeout = 30)
{
	const size_t size = 4 << 20;
	char *text = malloc(size);
	struct list_error error = {0};
	struct list *list = NULL;

	cr_assert_not_null(text);
	memset(text, ' ', size);
	place(text + size - 10, "10.0.0.0/8");
	list = parse(text, size, 0);
	cr_expect_eq(list->count4, 1);
	list_unref(list);
	memset(text, '1', size);
	list = NULL;
	cr_expect_eq(list_parse("x", "x", text, size, 0, &list, &error), -EINVAL);
	cr_expect_eq(error.column, 1);
	cr_expect_leq(strlen(error.text), 100);
	place(text, "1.2.3.4/");
	cr_expect_eq(list_parse("x", "x", text, size, 0, &list, &error), -EINVAL);
	cr_expect_str_eq(error.text, "length 111111111111111111111111111111111111111111111111111111"
				     "111111... is past 32");
	free(text);
}

static struct addr6 random_near(uint64_t *state, bool is4)
{
	if (is4)
		return addr6_from4(lpm_model_addr4(state));
	return lpm_model_addr6(state);
}

/*
 * A range's prefixes follow each other without holes from its start to its end, and no two could be
 * one: that is the fewest, since the cover of a range by aligned blocks is unique once no siblings
 * are left.
 */
Test(lpm_list, random_ranges_are_covered_by_the_fewest, .timeout = 60)
{
	uint64_t state = 1234;

	for (unsigned i = 0; i < 20000; i++) {
		bool is4 = i & 1;
		struct addr6 a = random_near(&state, is4), b = random_near(&state, is4), next;
		struct addr first = {.version = is4 ? 4 : 6}, last = first;
		char text[2 * ADDR_TEXT_MAX + 1], one[ADDR_TEXT_MAX], two[ADDR_TEXT_MAX];
		struct list *list;
		size_t count;

		first.v6 = addr6_less(b, a) ? b : a;
		last.v6 = addr6_less(b, a) ? a : b;
		first.v4 = addr6_to4(first.v6);
		last.v4 = addr6_to4(last.v6);
		snprintf(text, sizeof(text), "%s-%s", addr_format(&first, one),
			 addr_format(&last, two));
		list = parse(text, strlen(text), 0);
		count = is4 ? list->count4 : list->count6;
		cr_assert_eq(list->counts.aggregated, count, "%s: %zu of %zu", text,
			     list->counts.aggregated, count);
		next = first.v6;
		for (size_t k = 0; k < count; k++) {
			struct addr6 at = is4 ? addr6_from4(list->v4[k].addr) : list->v6[k].addr;
			unsigned len = is4 ? list->v4[k].len : list->v6[k].len;
			struct addr6 end = addr6_last(at, len);
			struct addr6 host = addr6_host_mask(len);

			cr_assert(addr6_equal(at, next), "%s: hole before %zu", text, k);
			cr_assert((at.hi & host.hi) == 0 && (at.lo & host.lo) == 0, "%s", text);
			if (k > 0) { /* it and the one before have different parents or lengths */
				unsigned before = is4 ? list->v4[k - 1].len : list->v6[k - 1].len;
				struct addr6 from = is4 ? addr6_from4(list->v4[k - 1].addr)
							: list->v6[k - 1].addr;

				cr_assert(before != len || addr6_common(from, at) < len - 1,
					  "%s: %zu and its sibling", text, k);
			}
			next = addr6_next(end);
		}
		cr_assert(addr6_equal(next, addr6_next(is4 ? addr6_last(last.v6, 32) : last.v6)),
			  "%s: wrong end", text);
		list_unref(list);
	}
}

/* Random lists, out of order and with repetitions: sorted, unique, and printed texts are stable. */
Test(lpm_list, print_of_parse_is_stable, .timeout = 60)
{
	uint64_t state = 5;

	for (unsigned i = 0; i < 500; i++) {
		enum { COUNT = 60 };
		char text[COUNT * PREFIX_TEXT_MAX];
		size_t size = 0;
		struct list *list, *again;
		char *first, *second;

		for (unsigned k = 0; k < COUNT; k++) {
			struct addr addr = {.version = k & 1 ? 4 : 6};
			char one[ADDR_TEXT_MAX];

			addr.v4 = lpm_model_addr4(&state);
			addr.v6 = lpm_model_addr6(&state);
			size += (size_t)snprintf(text + size, sizeof(text) - size, "%s/%u\n",
						 addr_format(&addr, one),
						 (unsigned)(lpm_model_random(&state) %
							    (addr.version == 4 ? 33 : 129)));
		}
		list = parse(text, size, 0);
		first = print(list);
		again = parse(first, strlen(first), 0);
		second = print(again);
		cr_assert_str_eq(first, second);
		cr_assert_eq(again->counts.masked, 0);
		cr_assert_eq(again->counts.duplicates, 0);
		cr_assert_eq(again->counts.items + list->counts.duplicates, COUNT);
		cr_assert_eq(again->counts.aggregated, list->counts.aggregated);
		cr_assert_eq(again->counts.covered, list->counts.covered);
		for (size_t k = 1; k < list->count4; k++)
			cr_assert(list->v4[k - 1].addr < list->v4[k].addr ||
				  (list->v4[k - 1].addr == list->v4[k].addr &&
				   list->v4[k - 1].len < list->v4[k].len));
		free(first);
		free(second);
		list_unref(list);
		list_unref(again);
	}
}

/* The longest prefix and its line, as a scan finds them. */
Test(lpm_list, match_equals_a_scan, .timeout = 60)
{
	enum { COUNT = 40 };
	uint64_t state = 77;

	for (unsigned i = 0; i < 500; i++) {
		char text[COUNT * PREFIX_TEXT_MAX];
		struct prefix prefixes[COUNT];
		size_t size = 0;
		struct list *list;

		for (unsigned k = 0; k < COUNT; k++) {
			struct addr addr = {.version = k & 1 ? 4 : 6};
			char one[ADDR_TEXT_MAX], line[PREFIX_TEXT_MAX];
			int written;

			addr.v4 = lpm_model_addr4(&state);
			addr.v6 = lpm_model_addr6(&state);
			written = snprintf(line, sizeof(line), "%s/%u", addr_format(&addr, one),
					   (unsigned)(lpm_model_random(&state) %
						      (addr.version == 4 ? 33 : 129)));
			cr_assert_eq(prefix_parse(line, (size_t)written, &prefixes[k], NULL), 0);
			size += (size_t)snprintf(text + size, sizeof(text) - size, "%s\n", line);
		}
		list = parse(text, size, 0);
		for (unsigned k = 0; k < 200; k++) {
			struct addr addr = {.version = k & 1 ? 4 : 6};
			struct prefix got;
			uint32_t line = 0;
			int expected = -1, rc;
			char one[ADDR_TEXT_MAX];

			addr.v4 = lpm_model_addr4(&state);
			addr.v6 = lpm_model_addr6(&state);
			for (int p = 0; p < COUNT; p++) {
				if (prefix_contains(&prefixes[p], &addr) &&
				    (expected < 0 || prefixes[p].len > prefixes[expected].len))
					expected = p;
			}
			rc = list_match(list, &addr, &got, &line);
			cr_assert_eq(rc, expected < 0 ? -ENOENT : 0, "%s in\n%.*s",
				     addr_format(&addr, one), (int)size, text);
			if (rc == 0)
				cr_assert(got.len == prefixes[expected].len &&
						  prefix_contains(&got, &addr) &&
						  line == (uint32_t)expected + 1,
					  "%s: /%u of line %u, expected line %d in\n%.*s",
					  addr_format(&addr, one), got.len, line, expected + 1,
					  (int)size, text);
		}
		list_unref(list);
	}
}
