#include "lpm/estimate.h"

#include "lpm/layout4.h"
#include "lpm/layout6.h"
#include "lpm/pages.h"

enum {
	/* A key and a spare of it while rules are merged, and a route. */
	BUILD4_BYTES = 2 * sizeof(uint64_t) + sizeof(struct lpm4_route),
	/* A prefix starts a run and may start another behind its end. */
	RUNS6 = 2,
	BUILD6_BYTES = sizeof(struct lpm6_route) + RUNS6 * (sizeof(struct addr6) + 4),
	/* A run is a cell of a leaf, which holds five at least if it is full, and of its indexes.
	 */
	SHORT6_BYTES = RUNS6 * LPM6_LINE_BYTES / 5 + LPM6_LINE_BYTES / 5,
	/* One that starts deep in a /48 may have a line in each of three stages, and a tail. */
	LONG6_BYTES = 4 * LPM6_LINE_BYTES,
	DEEP6 = 48,
	HEADS_BYTES = 4096, /* struct table and what it points to */
	SLACK_BYTES =
		4 * PAGES_ALIGN, /* of mappings while they are aligned, and all that is small */
};

/* The /24s that hold longer prefixes. */
static uint64_t count_groups(const struct list4_entry *entries, size_t n)
{
	uint32_t block = UINT32_MAX;
	uint64_t count = 0;

	for (size_t i = 0; i < n; i++) {
		if (entries[i].len > 24 && entries[i].addr >> 8 != block) {
			block = entries[i].addr >> 8;
			count++;
		}
	}
	return count;
}

static uint64_t count_long6(const struct list6_entry *entries, size_t n)
{
	uint64_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += entries[i].len > DEEP6;
	return count;
}

static uint64_t table4_bytes(unsigned rules, uint64_t groups)
{
	unsigned width_log2 = LPM4_WIDTH_LOG2_MIN;
	uint64_t bytes;

	/* Every rule a code, and that of no rule. */
	while (width_log2 < LPM4_WIDTH_LOG2_MAX && rules + 1 > lpm4_code_mask(width_log2))
		width_log2++;
	bytes = ((uint64_t)LPM4_FIRST << width_log2) / 8;
	if (groups > 0)
		bytes += LPM4_FIRST / LPM4_RANK * sizeof(struct lpm4_rank) +
			 groups * ((LPM4_GROUP << width_log2) / 8) + PAGES_ALIGN;
	return bytes;
}

void table_estimate(const struct table_rule *rules, unsigned n, struct table_estimate *out)
{
	uint64_t count4 = 0, count6 = 0, long6 = 0, groups = 0, build4, build6, lines6;

	/* An edit that takes a prefix away is counted as one that adds it. */
	for (unsigned i = 0; i < n; i++) {
		const struct list *list = rules[i].list;

		count4 += list->count4 + list->edit_count4;
		count6 += list->count6 + list->edit_count6;
		groups += count_groups(list->v4, list->count4) +
			  count_groups(list->edits4, list->edit_count4);
		long6 += count_long6(list->v6, list->count6) +
			 count_long6(list->edits6, list->edit_count6);
	}
	if (groups > LPM4_FIRST)
		groups = LPM4_FIRST;
	build4 = count4 * BUILD4_BYTES;
	lines6 = LPM6_ROOT * sizeof(uint32_t) + count6 * SHORT6_BYTES + long6 * LONG6_BYTES;
	build6 = count6 * BUILD6_BYTES + lines6; /* what is full is copied to twice the room */
	*out = (struct table_estimate){
		.table = HEADS_BYTES + n * (sizeof(*rules) + sizeof(struct verdict)) +
			 table4_bytes(n, groups) + lines6,
		.build = (build4 > build6 ? build4 : build6) + SLACK_BYTES,
		.groups = groups,
	};
}
