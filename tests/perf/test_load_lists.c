/* perf/load_lists.h: where destinations lie, beside a search through all prefixes. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "perf/load_lists.h"

enum {
	PREFIXES = 20000,
	FLOWS = 600,
};

static const struct load_prefix *longest(const struct load_lists *l, uint32_t addr)
{
	const struct load_prefix *best = NULL;

	for (size_t i = 0; i < l->count4; i++) {
		const struct prefix *p = &l->prefixes[i].prefix;
		uint32_t mask = p->len ? UINT32_MAX << (32 - p->len) : 0;

		if ((addr & mask) == p->addr.v4 && (!best || p->len > best->prefix.len))
			best = &l->prefixes[i];
	}
	return best;
}

Test(perf_load_lists, destinations_lie_in_prefixes_of_their_class)
{
	static uint32_t addrs[FLOWS];
	static uint8_t classes[FLOWS];
	struct load_lists l;
	unsigned nested = 0;

	cr_assert_eq(load_lists_init(&l, NULL, PREFIXES, false, "/nowhere"), 0);
	cr_assert_eq(l.count, PREFIXES, "actual %zu", l.count);
	cr_assert_eq(load_lists_aim(&l, FLOWS, addrs, classes), 0);
	for (unsigned i = 0; i < FLOWS; i++) {
		const struct load_prefix *p = longest(&l, addrs[i]);

		cr_expect(p && p->class == i % LOAD_CLASSES && classes[i] == p->class && p->aimed,
			  "flow %u, destination %x", i, addrs[i]);
		nested += p && p->prefix.len == 25;
	}
	cr_expect(nested > 0, "no destination lies in a prefix inside another");
	load_lists_fini(&l);
}

Test(perf_load_lists, edits_name_what_flows_aim_at)
{
	uint32_t addrs[LOAD_CLASSES];
	uint8_t classes[LOAD_CLASSES];
	struct load_lists l;

	cr_assert_eq(load_lists_init(&l, NULL, PREFIXES, true, "/nowhere"), 0);
	cr_assert_eq(load_lists_aim(&l, LOAD_CLASSES, addrs, classes), 0);
	for (uint32_t g = 1; g <= LOAD_PERIOD; g++) {
		const struct load_prefix *p = longest(&l, addrs[load_class_moved_next(g)]);
		json_t *moved = load_lists_moved_next(&l, g);
		char text[PREFIX_TEXT_MAX];

		cr_expect_eq(json_array_size(moved), 1);
		cr_expect_str_eq(json_string_value(json_array_get(moved, 0)),
				 prefix_format(&p->prefix, text));
		json_decref(moved);
	}
	load_lists_fini(&l);
}
