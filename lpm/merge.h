/*
 * A walk over the prefixes of all rules at once, in the order of (addr, len, rule): of rules that
 * name the same prefix the first wins. Used inside lpm/ only; IPv4 as addr6_from4 has it.
 */
#ifndef SLUICE_LPM_MERGE_H
#define SLUICE_LPM_MERGE_H

#include <stdbool.h>

#include "lpm/list_walk.h"
#include "lpm/table.h"

/* A rule's next prefix. */
struct merge_cursor {
	struct addr6 addr;
	uint32_t line;
	uint16_t rule;
	uint8_t len;
};

struct merge {
	const struct table_rule *rules;
	unsigned rule_count;
	unsigned inside;           /* version, if the walk is one of merge_start_inside */
	struct addr6 last;         /* no prefix starts behind it */
	struct list_walk *walks;   /* of each rule's list, behind its cursor */
	struct merge_cursor *heap; /* count of them */
	unsigned count;
};

/* rules: n, which must last until merge_fini. Errors: -ENOMEM */
int merge_init(struct merge *merge, const struct table_rule *rules, unsigned n);
void merge_fini(struct merge *merge);

/* Start a walk over one family. */
void merge_start(struct merge *merge, unsigned version);

/*
 * Start a walk over a prefix and those inside it. Cheaper if the one before it was like that too,
 * of a prefix that lies before, and has come to its end.
 *
 * Returns: the verdict of the longest prefix that holds it and is shorter, or LPM_NONE
 */
uint16_t merge_start_inside(struct merge *merge, unsigned version, struct addr6 addr, unsigned len);

/*
 * The winner of the next prefix.
 *
 * loser:   the first rule with another egress that names it too, if *clash is set
 * Returns: false at the end
 */
bool merge_next(struct merge *merge, struct merge_cursor *winner, struct merge_cursor *loser,
		bool *clash);

#endif
