/*
 * What a change of lists or rules moves: two sets of rules, walked side by side.
 *
 * A side is rules in their order and a default, as table_build takes them, and means the same: of
 * equal prefixes the first rule's wins, otherwise the longest prefix. Egresses are numbered alike
 * on both sides. Nothing is built: time follows the prefixes, memory only the rules.
 */
#ifndef SLUICE_LPM_DIFF_H
#define SLUICE_LPM_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lpm/table.h"

enum {
	DIFF_EGRESSES_MAX = 256,
	DIFF_COUNT_TEXT_MAX = 40, /* 2^128 has 39 digits */
};

struct diff_side {
	const struct table_rule *rules;
	unsigned rule_count; /* 0..TABLE_RULES_MAX */
	uint16_t default_egress;
};

/* A number of addresses, exact: 0..2^128. */
struct diff_count {
	uint64_t hi;
	uint64_t lo;
	bool all; /* 2^128: hi and lo are zero then */
};

/* From one egress to another. */
struct diff_move {
	size_t prefixes; /* that were added, removed or sent elsewhere, see diff_change */
	struct diff_count addresses;
};

struct diff_family {
	size_t added;
	size_t removed;
	size_t moved; /* in both, by another egress */
	size_t kept;  /* in both, by the same */
	struct diff_move *moves;
};

struct diff {
	unsigned egress_count;
	struct diff_family v4;
	struct diff_family v6;
};

enum diff_kind { DIFF_ADDED, DIFF_REMOVED, DIFF_MOVED };

/* Where a side names a prefix; list is NULL if it does not. */
struct diff_place {
	const struct list *list;
	uint32_t line;
};

/* One prefix that is not in both sides, or leaves by another egress. */
struct diff_change {
	enum diff_kind kind;
	struct prefix prefix;
	/*
	 * Egresses. A side that does not name the prefix answers with the longest of its prefixes
	 * around it, or with its default.
	 */
	uint16_t from;
	uint16_t to;
	struct diff_place before;
	struct diff_place after;
};

/* Gets each change in the order of (addr, len), IPv4 first; valid during the call. */
struct diff_watcher {
	void (*change)(void *context, const struct diff_change *change);
	void *context;
};

/*
 * Compare two sides.
 *
 * egress_count: of both, 1..DIFF_EGRESSES_MAX; every egress is below it
 * family:       4 or 6; 0 for both. The other one's results are all zero.
 * watcher:      may be NULL
 * out:          the caller's, until diff_fini
 * Errors:       -EINVAL (counts or egresses out of bounds), -ENOMEM; the watcher has then seen
 *               nothing
 */
int diff_rules(const struct diff_side *before, const struct diff_side *after, unsigned egress_count,
	       unsigned family, const struct diff_watcher *watcher, struct diff *out);

void diff_fini(struct diff *diff); /* what is zeroed may be given too */

/* The side that a table was built from; valid while the table is. */
struct diff_side diff_side_of(const struct table *table);

/* What moves from one egress to another; zero for the same twice: what stays is not counted. */
const struct diff_move *diff_move_at(const struct diff *diff, const struct diff_family *family,
				     unsigned from, unsigned to);

/* Add b to a; the sum must not pass 2^128. */
void diff_count_add(struct diff_count *a, const struct diff_count *b);

bool diff_count_zero(const struct diff_count *count);

/* Write the number in decimal, with its terminator; returns out. */
char *diff_count_format(const struct diff_count *count, char out[DIFF_COUNT_TEXT_MAX]);

#endif
