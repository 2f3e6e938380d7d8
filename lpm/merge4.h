/* The IPv4 prefixes of all rules as routes. Used inside lpm/ only. */
#ifndef SLUICE_LPM_MERGE4_H
#define SLUICE_LPM_MERGE4_H

#include "lpm/table.h"

struct merge4 {
	struct lpm4_route *routes; /* sorted, each prefix once; the caller's, freed by free() */
	size_t count;
	size_t clashes; /* prefixes that two rules with different egresses name */
};

/*
 * Merge the lists of n rules. Of rules that name the same prefix the first wins; verdicts are the
 * numbers of the rules, from 1.
 *
 * Errors: -ENOMEM
 */
int merge4_rules(const struct table_rule *rules, unsigned n, struct merge4 *out);

#endif
