/*
 * A table: all lists and rules compiled, with a generation number. Immutable once built.
 *
 * A verdict is an index into table.verdicts: 0 is the default rule, i + 1 is rule i. Where two
 * rules name the same prefix the first rule wins; otherwise the longest prefix wins, whatever the
 * order of the rules.
 */
#ifndef SLUICE_LPM_TABLE_H
#define SLUICE_LPM_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "lpm/list.h"
#include "lpm/lpm.h"

enum {
	TABLE_RULES_MAX = LPM_VERDICT_MAX,
};

/* Sends a list to an egress. */
struct table_rule {
	struct list *list;
	uint16_t egress; /* an index that means something to the caller */
};

struct verdict {
	uint16_t egress;
	uint16_t rule; /* index of the rule; TABLE_RULE_DEFAULT for verdict 0 */
};

#define TABLE_RULE_DEFAULT UINT16_MAX

struct table {
	uint32_t generation;
	struct lpm4 *v4;
	struct lpm6 *v6;
	struct verdict *verdicts; /* rule_count + 1 of them */
	struct table_rule *rules; /* holds a reference to each list */
	unsigned rule_count;
	size_t count4; /* prefixes in the table, after clashes were settled */
	size_t count6;
	size_t clashes; /* prefixes that two rules with different egresses named */
};

/* One prefix that two rules with different egresses name; the first wins. */
struct table_clash {
	struct prefix prefix;
	unsigned winner; /* rule indices */
	unsigned loser;
	uint32_t winner_line;
	uint32_t loser_line;
};

/*
 * Compile rules into a table.
 *
 * rules:          n in the order of the file, 0..TABLE_RULES_MAX; copied, each list gets a
 * reference default_egress: of verdict 0 out:            the caller's, until table_destroy Errors:
 * -EINVAL (too many rules), -ENOMEM; *out is then untouched
 */
int table_build(const struct table_rule *rules, unsigned n, uint16_t default_egress,
		uint32_t generation, struct table **out);

/*
 * The same in the memory of a table that nobody reads any more.
 *
 * spare: taken, whatever happens; NULL if there is none
 */
int table_rebuild(const struct table_rule *rules, unsigned n, uint16_t default_egress,
		  uint32_t generation, struct table *spare, struct table **out);

/*
 * Make a spare of a table that nobody reads any more: it lets go of its lists and keeps the memory
 * of its look-ups, which stay as they are. Control thread only.
 */
void table_strip(struct table *table);

/* Control thread only: drops list references. NULL does nothing. No reader may be left. */
void table_destroy(struct table *table);

/*
 * Report prefixes named by two rules with different egresses, in address order (IPv4 first), at
 * most max. A prefix is reported once, with the first rule of another egress as the loser, so there
 * are table.clashes of them.
 *
 * Returns how many were written; 0 too if there is no memory.
 */
size_t table_clashes(const struct table_rule *rules, unsigned n, struct table_clash *out,
		     size_t max);

/* Which verdict, and why: the prefix that decided, its list and line. */
struct table_match {
	uint16_t verdict;
	const struct list *list; /* NULL for the default; valid while the table is */
	struct prefix prefix;    /* valid if list is not NULL */
	uint32_t line;
};

/* The verdict of one address. Any thread; the table must stay published for the call. */
uint16_t table_lookup(const struct table *table, const struct addr *addr);

/* The same with its reason; walks the lists, so not for the packet path. */
void table_explain(const struct table *table, const struct addr *addr, struct table_match *out);

size_t table_size_bytes(const struct table *table);

#endif
