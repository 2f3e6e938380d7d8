/* lpm/estimate.h: what a table really takes, counted, is never more. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/estimate.h"
#include "tests/allocation/allocation.h"
#include "tests/model/lpm_model.h"

enum {
	RULES_MAX = 300,
	TIMES_MAX = 6, /* an estimate beyond so many times the truth would refuse what fits */
};

/* Tables of one kind of prefix: where they lie decides what they take. */
static const struct shape {
	const char *name;
	unsigned rules;
	unsigned count4; /* of each rule */
	unsigned len4;
	uint32_t step4; /* from one prefix to the next; 0: at random */
	unsigned count6;
	unsigned len6;
	uint64_t step6; /* of the upper half */
} shapes[] = {
	{"nothing", 0, 0, 0, 0, 0, 0, 0},
	{"one prefix", 1, 1, 8, 0, 1, 32, 0},
	{"a /32 in every /24 of many", 1, 200000, 32, 256, 0, 0, 0},
	{"the same for wide entries", RULES_MAX, 500, 32, 0, 0, 0, 0},
	{"neighbouring /32s", 2, 100000, 32, 1, 0, 0, 0},
	{"random /24s", 14, 10000, 24, 0, 0, 0, 0},
	{"random /48s", 14, 0, 0, 0, 10000, 48, 0},
	{"/64s with gaps", 1, 0, 0, 0, 100000, 64, 2},
	{"a /128 in every /64 of many", 1, 0, 0, 0, 100000, 128, 1},
	{"a /128 in random /64s", 3, 0, 0, 0, 30000, 128, 0},
	{"both", 3, 30000, 28, 0, 30000, 96, 0},
};

static int compare4(const void *x, const void *y)
{
	const struct list4_entry *a = x, *b = y;

	return (a->addr > b->addr) - (a->addr < b->addr);
}

static int compare6(const void *x, const void *y)
{
	const struct list6_entry *a = x, *b = y;

	return (a->addr.hi > b->addr.hi) - (a->addr.hi < b->addr.hi);
}

static struct list *make_list(const struct shape *shape, unsigned rule, uint64_t *seed)
{
	struct list *list = calloc(1, sizeof(*list));

	list->refs = 1;
	list->v4 = malloc((shape->count4 + 1) * sizeof(*list->v4));
	list->v6 = malloc((shape->count6 + 1) * sizeof(*list->v6));
	for (unsigned i = 0; i < shape->count4; i++) {
		uint32_t addr = shape->step4 != 0 ? (i * shape->rules + rule) * shape->step4
						  : (uint32_t)(lpm_model_random(seed) >> 32);

		list->v4[i] =
			(struct list4_entry){addr & mask4(shape->len4), 1, (uint8_t)shape->len4};
	}
	for (unsigned i = 0; i < shape->count6; i++) {
		uint64_t hi = shape->step6 != 0 ? (i * shape->rules + rule) * shape->step6
						: lpm_model_random(seed) >> 16 << 16;
		struct addr6 mask = mask6(shape->len6);

		list->v6[i] = (struct list6_entry){
			{hi & mask.hi, 0xfedcba9876543210 & mask.lo}, 1, (uint8_t)shape->len6};
	}
	qsort(list->v4, shape->count4, sizeof(*list->v4), compare4);
	qsort(list->v6, shape->count6, sizeof(*list->v6), compare6);
	for (unsigned i = 0; i < shape->count4; i++) {
		if (list->count4 == 0 || list->v4[i].addr != list->v4[list->count4 - 1].addr)
			list->v4[list->count4++] = list->v4[i];
	}
	for (unsigned i = 0; i < shape->count6; i++) {
		if (list->count6 == 0 || list->v6[i].addr.hi != list->v6[list->count6 - 1].addr.hi)
			list->v6[list->count6++] = list->v6[i];
	}
	return list;
}

static void check_shape(const struct shape *shape)
{
	struct table_rule rules[RULES_MAX];
	struct table_estimate estimate;
	struct allocation_report report;
	struct table *table = NULL;
	uint64_t seed = 9;

	for (unsigned i = 0; i < shape->rules; i++)
		rules[i] = (struct table_rule){make_list(shape, i, &seed), 0};
	table_estimate(rules, shape->rules, &estimate);
	allocation_start(0);
	cr_assert_eq(table_build(rules, shape->rules, 0, 1, &table), 0);
	report = allocation_stop();
	cr_expect_leq(report.peak, estimate.table + estimate.build,
		      "%s: estimated %llu + %llu, actual peak %zu", shape->name,
		      (unsigned long long)estimate.table, (unsigned long long)estimate.build,
		      report.peak);
	cr_expect_leq(table_size_bytes(table), estimate.table, "%s: estimated %llu, actual %zu",
		      shape->name, (unsigned long long)estimate.table, table_size_bytes(table));
	cr_expect_leq(estimate.table + estimate.build, TIMES_MAX * report.peak,
		      "%s: estimated %llu + %llu, actual peak %zu", shape->name,
		      (unsigned long long)estimate.table, (unsigned long long)estimate.build,
		      report.peak);
	table_destroy(table);
	for (unsigned i = 0; i < shape->rules; i++)
		list_unref(rules[i].list);
}

Test(estimate, is_never_too_low)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		check_shape(&shapes[i]);
}
