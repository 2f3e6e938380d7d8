/* What moves between two sets of rules: against a scan of the rules, address by address. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/diff.h"
#include "tests/model/lpm_model.h"

enum {
	RULES = 4,
	ITEMS = 10, /* of a list */
	EGRESSES = 3,
	TEXT_MAX = ITEMS * PREFIX_TEXT_MAX,
	CHANGES_MAX = 2 * RULES * ITEMS,
	EDGES_MAX = 4 * RULES * ITEMS + 2,
	SMALL = 256, /* addresses of 10.0.0.0/24 */
};

enum { BEFORE, AFTER, SIDES };

static struct list *parse(const char *name, const char *text)
{
	struct list_error error = {0};
	struct list *list = NULL;
	int rc = list_parse(name, name, text, strlen(text), 0, &list, &error);

	cr_assert_eq(rc, 0, "%s: rc %d, %zu:%zu: %s", name, rc, error.line, error.column,
		     error.text);
	return list;
}

/* Both sides, and what the lists were made of, for messages. */
struct sides {
	struct table_rule rules[SIDES][RULES];
	struct diff_side side[SIDES];
	char text[SIDES][RULES][TEXT_MAX];
};

static void sides_finish(struct sides *s, unsigned side, unsigned count, uint16_t egress)
{
	for (unsigned i = 0; i < count; i++)
		s->rules[side][i].list = parse("list", s->text[side][i]);
	s->side[side] = (struct diff_side){s->rules[side], count, egress};
}

static void sides_free(struct sides *s)
{
	for (unsigned side = 0; side < SIDES; side++) {
		for (unsigned i = 0; i < s->side[side].rule_count; i++)
			list_unref(s->rules[side][i].list);
	}
}

/* Prefix i of a list, its line too. */
static struct prefix entry_at(const struct list *list, unsigned version, size_t i, uint32_t *line)
{
	*line = version == 4 ? list->v4[i].line : list->v6[i].line;
	return version == 4 ? list4_prefix(&list->v4[i]) : list6_prefix(&list->v6[i]);
}

static size_t entry_count(const struct list *list, unsigned version)
{
	return version == 4 ? list->count4 : list->count6;
}

/*
 * What a side says of an address, of its prefixes up to max_len alone.
 *
 * Returns the length that decided, -1 for the default
 */
static int scan(const struct diff_side *side, const struct addr *addr, int max_len,
		uint16_t *egress, struct diff_place *place)
{
	int longest = -1;

	*egress = side->default_egress;
	*place = (struct diff_place){NULL, 0};
	for (unsigned r = 0; r < side->rule_count; r++) {
		const struct list *list = side->rules[r].list;

		for (size_t i = 0; i < entry_count(list, addr->version); i++) {
			uint32_t line;
			struct prefix p = entry_at(list, addr->version, i, &line);

			if (p.len > max_len || p.len <= longest || !prefix_contains(&p, addr))
				continue;
			longest = p.len;
			*egress = side->rules[r].egress;
			*place = (struct diff_place){list, line};
		}
	}
	return longest;
}

/* Addresses as numbers. */
static unsigned __int128 number(const struct addr *a)
{
	if (a->version == 4)
		return a->v4;
	return (unsigned __int128)a->v6.hi << 64 | a->v6.lo;
}

static struct addr address(unsigned version, unsigned __int128 n)
{
	return (struct addr){.version = (uint8_t)version,
			     .v4 = (uint32_t)n,
			     .v6 = {(uint64_t)(n >> 64), (uint64_t)n}};
}

static int compare_numbers(const void *x, const void *y)
{
	unsigned __int128 a, b;

	memcpy(&a, x, sizeof(a));
	memcpy(&b, y, sizeof(b));
	return a < b ? -1 : a > b;
}

/* Where anything may change: 0, and both ends of all prefixes; sorted. */
static size_t find_edges(const struct sides *s, unsigned version, unsigned __int128 *edges)
{
	size_t n = 0;

	edges[n++] = 0;
	for (unsigned side = 0; side < SIDES; side++) {
		for (unsigned r = 0; r < s->side[side].rule_count; r++) {
			const struct list *list = s->rules[side][r].list;

			for (size_t i = 0; i < entry_count(list, version); i++) {
				uint32_t line;
				struct prefix p = entry_at(list, version, i, &line);
				unsigned host = (version == 4 ? 32 : 128) - p.len;
				unsigned __int128 first = number(&p.addr);

				edges[n++] = first;
				if (host < 128)
					edges[n++] = first + ((unsigned __int128)1 << host);
			}
		}
	}
	qsort(edges, n, sizeof(*edges), compare_numbers);
	return n;
}

/* Expected numbers of one family. Sums of 2^128 wrap to zero; whole tells. */
struct expected {
	size_t added, removed, moved, kept;
	size_t prefixes[EGRESSES][EGRESSES];
	unsigned __int128 addresses[EGRESSES][EGRESSES];
	bool whole[EGRESSES][EGRESSES];
	struct diff_change changes[CHANGES_MAX];
	size_t change_count;
};

static void expect_addresses(const struct sides *s, unsigned version, struct expected *e)
{
	unsigned __int128 edges[EDGES_MAX];
	size_t n = find_edges(s, version, edges);
	unsigned __int128 end = version == 4 ? (unsigned __int128)1 << 32 : 0; /* 2^128 */

	for (size_t i = 0; i < n; i++) {
		unsigned __int128 next = i + 1 < n ? edges[i + 1] : end;
		struct addr at = address(version, edges[i]);
		struct diff_place ignored;
		uint16_t from, to;

		if (next == edges[i] && !(next == 0 && i + 1 == n))
			continue;
		if (version == 4 && edges[i] == end) /* behind the last address */
			continue;
		scan(&s->side[BEFORE], &at, 128, &from, &ignored);
		scan(&s->side[AFTER], &at, 128, &to, &ignored);
		e->addresses[from][to] += next - edges[i];
		e->whole[from][to] |= e->addresses[from][to] == 0;
	}
}

static int compare_changes(const void *x, const void *y)
{
	const struct diff_change *a = x, *b = y;
	unsigned __int128 i = number(&a->prefix.addr), j = number(&b->prefix.addr);

	if (i != j)
		return i < j ? -1 : 1;
	return (int)a->prefix.len - (int)b->prefix.len;
}

static bool same_prefix(const struct prefix *a, const struct prefix *b)
{
	return a->len == b->len && number(&a->addr) == number(&b->addr);
}

static bool seen_before(const struct expected *e, const struct prefix *p, const struct prefix *kept,
			size_t kept_count)
{
	for (size_t i = 0; i < e->change_count; i++) {
		if (same_prefix(&e->changes[i].prefix, p))
			return true;
	}
	for (size_t i = 0; i < kept_count; i++) {
		if (same_prefix(&kept[i], p))
			return true;
	}
	return false;
}

static void expect_prefix(const struct sides *s, const struct prefix *p, struct expected *e,
			  struct prefix *kept)
{
	struct diff_change c = {.prefix = *p};
	bool before = scan(&s->side[BEFORE], &p->addr, p->len, &c.from, &c.before) == p->len;
	bool after = scan(&s->side[AFTER], &p->addr, p->len, &c.to, &c.after) == p->len;

	if (before && after && c.from == c.to) {
		kept[e->kept++] = *p;
		return;
	}
	c.kind = !after ? DIFF_REMOVED : !before ? DIFF_ADDED : DIFF_MOVED;
	e->added += c.kind == DIFF_ADDED;
	e->removed += c.kind == DIFF_REMOVED;
	e->moved += c.kind == DIFF_MOVED;
	e->prefixes[c.from][c.to] += c.from != c.to;
	if (!before)
		c.before = (struct diff_place){NULL, 0};
	if (!after)
		c.after = (struct diff_place){NULL, 0};
	e->changes[e->change_count++] = c;
}

static void expect(const struct sides *s, unsigned version, struct expected *e)
{
	struct prefix kept[CHANGES_MAX];

	memset(e, 0, sizeof(*e));
	expect_addresses(s, version, e);
	for (unsigned side = 0; side < SIDES; side++) {
		for (unsigned r = 0; r < s->side[side].rule_count; r++) {
			const struct list *list = s->rules[side][r].list;

			for (size_t i = 0; i < entry_count(list, version); i++) {
				uint32_t line;
				struct prefix p = entry_at(list, version, i, &line);

				if (!seen_before(e, &p, kept, e->kept))
					expect_prefix(s, &p, e, kept);
			}
		}
	}
	qsort(e->changes, e->change_count, sizeof(e->changes[0]), compare_changes);
}

struct seen {
	struct diff_change changes[2 * CHANGES_MAX];
	size_t count;
};

static void note_change(void *context, const struct diff_change *change)
{
	struct seen *seen = context;

	seen->changes[seen->count++] = *change;
}

static bool same_place(const struct diff_place *a, const struct diff_place *b)
{
	return a->list == b->list && a->line == b->line;
}

static void check_changes(const struct expected *e, const struct diff_change *got, size_t count,
			  unsigned round)
{
	cr_assert_eq(count, e->change_count, "round %u: expected %zu changes, actual %zu", round,
		     e->change_count, count);
	for (size_t i = 0; i < count; i++) {
		const struct diff_change *x = &e->changes[i], *y = &got[i];
		char a[PREFIX_TEXT_MAX], b[PREFIX_TEXT_MAX];

		cr_assert(compare_changes(x, y) == 0 && x->kind == y->kind && x->from == y->from &&
				  x->to == y->to && same_place(&x->before, &y->before) &&
				  same_place(&x->after, &y->after),
			  "round %u, change %zu: expected %d %s %u -> %u lines %u %u, actual %d %s "
			  "%u -> %u lines %u %u",
			  round, i, x->kind, prefix_format(&x->prefix, a), x->from, x->to,
			  x->before.line, x->after.line, y->kind, prefix_format(&y->prefix, b),
			  y->from, y->to, y->before.line, y->after.line);
	}
}

static void check_family(const struct diff *diff, const struct diff_family *got,
			 const struct expected *e, unsigned version, unsigned round)
{
	cr_assert(got->added == e->added && got->removed == e->removed && got->moved == e->moved &&
			  got->kept == e->kept,
		  "round %u, IPv%u: expected +%zu -%zu ~%zu =%zu, actual +%zu -%zu ~%zu =%zu",
		  round, version, e->added, e->removed, e->moved, e->kept, got->added, got->removed,
		  got->moved, got->kept);
	for (unsigned from = 0; from < EGRESSES; from++) {
		for (unsigned to = 0; to < EGRESSES; to++) {
			const struct diff_move *m = diff_move_at(diff, got, from, to);
			unsigned __int128 n = from == to ? 0 : e->addresses[from][to];
			struct diff_count want = {(uint64_t)(n >> 64), (uint64_t)n,
						  from != to && e->whole[from][to]};
			char a[DIFF_COUNT_TEXT_MAX], b[DIFF_COUNT_TEXT_MAX];

			cr_assert(m->prefixes == e->prefixes[from][to] &&
					  m->addresses.hi == want.hi &&
					  m->addresses.lo == want.lo &&
					  m->addresses.all == want.all,
				  "round %u, IPv%u, %u -> %u: expected %zu prefixes, %s addresses, "
				  "actual %zu, %s",
				  round, version, from, to, e->prefixes[from][to],
				  diff_count_format(&want, a), m->prefixes,
				  diff_count_format(&m->addresses, b));
		}
	}
}

static void compare(const struct sides *s, unsigned round)
{
	struct expected *e = malloc(sizeof(*e));
	struct seen *seen = calloc(1, sizeof(*seen));
	const struct diff_watcher watcher = {note_change, seen};
	size_t count4;
	struct diff diff;
	int rc = diff_rules(&s->side[BEFORE], &s->side[AFTER], EGRESSES, 0, &watcher, &diff);

	cr_assert_eq(rc, 0, "round %u: rc %d", round, rc);
	expect(s, 4, e);
	check_family(&diff, &diff.v4, e, 4, round);
	count4 = e->change_count;
	cr_assert_leq(count4, seen->count, "round %u: %zu changes", round, seen->count);
	check_changes(e, seen->changes, count4, round);
	expect(s, 6, e);
	check_family(&diff, &diff.v6, e, 6, round);
	check_changes(e, seen->changes + count4, seen->count - count4, round);
	diff_fini(&diff);
	free(seen);
	free(e);
}

static void random_text(uint64_t *state, char text[TEXT_MAX])
{
	static const uint8_t lens[] = {0, 1, 8, 9, 23, 24, 25, 30, 31, 32, 32, 24};
	unsigned items = (unsigned)(lpm_model_random(state) % (ITEMS + 1));
	size_t size = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < items; i++) {
		uint64_t random = lpm_model_random(state);
		struct addr addr = {.version = random & 1 ? 4 : 6};
		unsigned len = lens[(random >> 8) % sizeof(lens)];
		char one[ADDR_TEXT_MAX];

		addr.v4 = lpm_model_addr4(state);
		addr.v6 = lpm_model_addr6(state);
		size += (size_t)snprintf(text + size, TEXT_MAX - size, "%s/%u\n",
					 addr_format(&addr, one),
					 addr.version == 4 ? len : len * 4);
	}
}

static void random_side(uint64_t *state, struct sides *s, unsigned side)
{
	unsigned count = (unsigned)(lpm_model_random(state) % (RULES + 1));

	for (unsigned i = 0; i < count; i++) {
		uint64_t random = lpm_model_random(state);

		/* What both have makes most of a real comparison. */
		if (side == AFTER && random % 3 != 0 && i < s->side[BEFORE].rule_count)
			memcpy(s->text[side][i], s->text[BEFORE][i], TEXT_MAX);
		else
			random_text(state, s->text[side][i]);
		s->rules[side][i].egress = (uint16_t)(random >> 32) % EGRESSES;
	}
	sides_finish(s, side, count, (uint16_t)(lpm_model_random(state) % EGRESSES));
}

Test(lpm_diff, random_sides_equal_a_scan, .timeout = 120)
{
	uint64_t state = 73;

	for (unsigned round = 0; round < 4000; round++) {
		struct sides *s = calloc(1, sizeof(*s));

		random_side(&state, s, BEFORE);
		random_side(&state, s, AFTER);
		compare(s, round);
		sides_free(s);
		free(s);
	}
}

/* Every address asked one by one, with tables as the judge. */
Test(lpm_diff, small_spaces_address_by_address, .timeout = 120)
{
	uint64_t state = 99;

	for (unsigned round = 0; round < 500; round++) {
		struct sides *s = calloc(1, sizeof(*s));
		size_t moved[EGRESSES][EGRESSES] = {{0}};
		struct table *table[SIDES];
		struct diff diff;

		for (unsigned side = 0; side < SIDES; side++) {
			for (unsigned r = 0; r < RULES; r++) {
				size_t size = 0;

				for (unsigned i = 0; i < ITEMS; i++) {
					uint64_t n = lpm_model_random(&state);

					size += (size_t)snprintf(s->text[side][r] + size,
								 TEXT_MAX - size, "10.0.0.%u/%u\n",
								 (unsigned)(n >> 8 & 255),
								 24 + (unsigned)(n >> 16) % 9);
				}
				s->rules[side][r].egress =
					(uint16_t)(lpm_model_random(&state) % EGRESSES);
			}
			/* What lies outside of the small space does not move. */
			sides_finish(s, side, RULES, 0);
			cr_assert_eq(table_build(s->rules[side], RULES, 0, 1, &table[side]), 0);
		}
		cr_assert_eq(
			diff_rules(&s->side[BEFORE], &s->side[AFTER], EGRESSES, 4, NULL, &diff), 0);
		for (unsigned i = 0; i < SMALL; i++) {
			struct addr a = {.version = 4, .v4 = 0x0a000000 + i};
			uint16_t egress[SIDES];

			for (unsigned side = 0; side < SIDES; side++)
				egress[side] =
					table[side]->verdicts[table_lookup(table[side], &a)].egress;
			moved[egress[BEFORE]][egress[AFTER]]++;
		}
		for (unsigned i = 0; i < EGRESSES * EGRESSES; i++) {
			unsigned from = i / EGRESSES, to = i % EGRESSES;
			const struct diff_move *m = diff_move_at(&diff, &diff.v4, from, to);
			size_t want = from == to ? 0 : moved[from][to];

			cr_assert_eq(m->addresses.lo, want,
				     "round %u, %u -> %u: expected %zu, actual %llu", round, from,
				     to, want, (unsigned long long)m->addresses.lo);
		}
		for (unsigned side = 0; side < SIDES; side++)
			table_destroy(table[side]);
		diff_fini(&diff);
		sides_free(s);
		free(s);
	}
}

Test(lpm_diff, lists_as_sets)
{
	static const struct {
		const char *before;
		const char *after;
		size_t added, removed, kept;
		const char *in, *out; /* of both families: the other one has none */
	} cases[] = {
		{"", "", 0, 0, 0, "0", "0"},
		{"10.0.0.0/8\n", "10.0.0.0/8\n", 0, 0, 1, "0", "0"},
		{"", "0.0.0.0/0\n", 1, 0, 0, "4294967296", "0"},
		{"0.0.0.0/0\n", "", 0, 1, 0, "0", "4294967296"},
		{"0.0.0.0/0\n", "255.255.255.255\n", 1, 1, 0, "0", "4294967295"},
		{"0.0.0.0/0\n", "0.0.0.0\n", 1, 1, 0, "0", "4294967295"},
		/* The same addresses, said otherwise. */
		{"10.0.0.0/8\n", "10.0.0.0/9\n10.128.0.0/9\n", 2, 1, 0, "0", "0"},
		/* Covered: nothing enters. */
		{"10.0.0.0/8\n", "10.0.0.0/8\n10.1.2.0/24\n", 1, 0, 1, "0", "0"},
		{"10.0.0.0/8\n10.1.2.0/24\n", "10.1.2.0/24\n", 0, 1, 1, "0", "16776960"},
		/* Ends that meet: the inner and the outer one end at once. */
		{"10.0.0.0/24\n10.0.0.128/25\n10.0.0.255\n", "10.0.0.0/24\n10.0.1.0\n", 1, 2, 1,
		 "1", "0"},
		{"", "::/0\n", 1, 0, 0, "340282366920938463463374607431768211456", "0"},
		{"::/0\n", "::/128\n", 1, 1, 0, "0", "340282366920938463463374607431768211455"},
		{"::/0\n", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n", 1, 1, 0, "0",
		 "340282366920938463463374607431768211455"},
		{"", "::/1\n8000::/1\n", 2, 0, 0, "340282366920938463463374607431768211456", "0"},
		{"2001:db8::/32\n", "2001:db8::/33\n", 1, 1, 0, "0",
		 "39614081257132168796771975168"},
		{"", "2001:db8::/64\n2001:db8::1\n2001:db8:0:1::\n", 3, 0, 0,
		 "18446744073709551617", "0"},
		{"::ffff:ffff:ffff:ffff/128\n", "0:0:0:1::/128\n", 1, 1, 0, "1", "1"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct table_rule rules[SIDES] = {{parse("a", cases[i].before), 1},
						  {parse("b", cases[i].after), 1}};
		const struct diff_side before = {&rules[0], 1, 0}, after = {&rules[1], 1, 0};
		struct diff_count in, out;
		char in_text[DIFF_COUNT_TEXT_MAX], out_text[DIFF_COUNT_TEXT_MAX];
		struct diff d;

		cr_assert_eq(diff_rules(&before, &after, 2, 0, NULL, &d), 0);
		in = diff_move_at(&d, &d.v4, 0, 1)->addresses;
		diff_count_add(&in, &diff_move_at(&d, &d.v6, 0, 1)->addresses);
		out = diff_move_at(&d, &d.v4, 1, 0)->addresses;
		diff_count_add(&out, &diff_move_at(&d, &d.v6, 1, 0)->addresses);
		diff_count_format(&in, in_text);
		diff_count_format(&out, out_text);
		cr_expect(d.v4.added + d.v6.added == cases[i].added &&
				  d.v4.removed + d.v6.removed == cases[i].removed &&
				  d.v4.kept + d.v6.kept == cases[i].kept &&
				  strcmp(in_text, cases[i].in) == 0 &&
				  strcmp(out_text, cases[i].out) == 0,
			  "case %zu: expected +%zu -%zu =%zu, %s in, %s out, actual +%zu -%zu "
			  "=%zu, %s in, %s out",
			  i, cases[i].added, cases[i].removed, cases[i].kept, cases[i].in,
			  cases[i].out, d.v4.added + d.v6.added, d.v4.removed + d.v6.removed,
			  d.v4.kept + d.v6.kept, in_text, out_text);
		diff_fini(&d);
		list_unref(rules[0].list);
		list_unref(rules[1].list);
	}
}

/* A prefix of each length, all open at once: the even ones leave, the odd ones come. */
Test(lpm_diff, nested_to_the_last_bit)
{
	static const struct {
		const char *addr;
		unsigned family, max_len;
		const char *out; /* the longest that comes holds half of what leaves */
	} cases[] = {
		{"255.255.255.255", 4, 32, "2147483648"},
		{"0.0.0.0", 4, 32, "2147483648"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6, 128,
		 "170141183460469231731687303715884105728"},
		{"::", 6, 128, "170141183460469231731687303715884105728"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[SIDES][130 * PREFIX_TEXT_MAX], out[DIFF_COUNT_TEXT_MAX];
		const struct diff_family *f;
		struct table_rule rules[SIDES];
		size_t size[SIDES] = {0, 0};
		struct diff d;

		for (unsigned len = 0; len <= cases[i].max_len; len++) {
			unsigned side = len % 2;

			size[side] += (size_t)snprintf(text[side] + size[side],
						       sizeof(text[side]) - size[side], "%s/%u\n",
						       cases[i].addr, len);
		}
		for (unsigned side = 0; side < SIDES; side++)
			rules[side] = (struct table_rule){parse("list", text[side]), 1};
		cr_assert_eq(diff_rules(&(struct diff_side){&rules[BEFORE], 1, 0},
					&(struct diff_side){&rules[AFTER], 1, 0}, 2, 0, NULL, &d),
			     0);
		f = cases[i].family == 4 ? &d.v4 : &d.v6;
		diff_count_format(&diff_move_at(&d, f, 1, 0)->addresses, out);
		cr_expect(f->removed == cases[i].max_len / 2 + 1 &&
				  f->added == cases[i].max_len / 2 && f->kept == 0 &&
				  diff_count_zero(&diff_move_at(&d, f, 0, 1)->addresses) &&
				  strcmp(out, cases[i].out) == 0,
			  "case %zu: actual +%zu -%zu =%zu, expected %s addresses, actual %s", i,
			  f->added, f->removed, f->kept, cases[i].out, out);
		diff_fini(&d);
		list_unref(rules[BEFORE].list);
		list_unref(rules[AFTER].list);
	}
}

Test(lpm_diff, one_family_alone)
{
	struct table_rule rule = {parse("a", "10.0.0.0/8\n2001:db8::/32\n"), 1};
	const struct diff_side none = {NULL, 0, 0}, side = {&rule, 1, 0};
	struct diff d;

	for (unsigned family = 4; family <= 6; family += 2) {
		cr_assert_eq(diff_rules(&none, &side, 2, family, NULL, &d), 0);
		cr_expect_eq(d.v4.added, family == 4, "family %u: %zu", family, d.v4.added);
		cr_expect_eq(d.v6.added, family == 6, "family %u: %zu", family, d.v6.added);
		diff_fini(&d);
	}
	list_unref(rule.list);
}

Test(lpm_diff, bounds_are_checked)
{
	struct table_rule rule = {parse("a", "10.0.0.0/8\n"), 2};
	const struct diff_side side = {&rule, 1, 0}, none = {NULL, 0, 0}, high = {NULL, 0, 2};
	const struct diff_side many = {&rule, TABLE_RULES_MAX + 1, 0};
	struct diff d = {.egress_count = 77};

	cr_expect_eq(diff_rules(&side, &none, 2, 0, NULL, &d), -EINVAL);
	cr_expect_eq(diff_rules(&none, &side, 2, 0, NULL, &d), -EINVAL);
	cr_expect_eq(diff_rules(&none, &high, 2, 0, NULL, &d), -EINVAL);
	cr_expect_eq(diff_rules(&none, &many, 3, 0, NULL, &d), -EINVAL);
	cr_expect_eq(diff_rules(&none, &none, 0, 0, NULL, &d), -EINVAL);
	cr_expect_eq(diff_rules(&none, &none, DIFF_EGRESSES_MAX + 1, 0, NULL, &d), -EINVAL);
	cr_expect_eq(d.egress_count, 77);
	cr_expect_eq(diff_rules(&side, &none, 3, 0, NULL, &d), 0);
	diff_fini(&d);
	list_unref(rule.list);
}

Test(lpm_diff, counts_are_added)
{
	static const struct diff_count half = {UINT64_C(1) << 63, 0, false}, zero = {0, 0, false};
	static const struct diff_count most = {UINT64_MAX, UINT64_MAX, false}, one = {0, 1, false};
	static const struct diff_count all = {0, 0, true}, low = {0, UINT64_MAX, false};
	static const struct diff_count next = {1, 0, false};
	static const struct {
		const struct diff_count *a, *b, *sum;
	} cases[] = {
		{&zero, &zero, &zero}, {&half, &half, &all}, {&most, &one, &all},
		{&one, &most, &all},   {&all, &zero, &all},  {&zero, &all, &all},
		{&low, &one, &next},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct diff_count sum = *cases[i].a;

		diff_count_add(&sum, cases[i].b);
		cr_expect(sum.hi == cases[i].sum->hi && sum.lo == cases[i].sum->lo &&
				  sum.all == cases[i].sum->all,
			  "case %zu: actual %llx %llx %d", i, (unsigned long long)sum.hi,
			  (unsigned long long)sum.lo, sum.all);
	}
}

Test(lpm_diff, counts_as_text)
{
	static const struct {
		struct diff_count count;
		const char *text;
	} cases[] = {
		{{0, 0, false}, "0"},
		{{0, 9, false}, "9"},
		{{0, 10, false}, "10"},
		{{0, UINT64_MAX, false}, "18446744073709551615"},
		{{1, 0, false}, "18446744073709551616"},
		{{UINT64_C(1) << 16, 0, false}, "1208925819614629174706176"},
		{{UINT64_MAX, UINT64_MAX, false}, "340282366920938463463374607431768211455"},
		{{0, 0, true}, "340282366920938463463374607431768211456"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[DIFF_COUNT_TEXT_MAX];

		cr_expect_str_eq(diff_count_format(&cases[i].count, text), cases[i].text,
				 "case %zu: expected %s, actual %s", i, cases[i].text, text);
	}
}
