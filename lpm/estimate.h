/* How much memory a table will take, before it is built. */
#ifndef SLUICE_LPM_ESTIMATE_H
#define SLUICE_LPM_ESTIMATE_H

#include <stdint.h>

#include "lpm/table.h"

/* Bytes, never too few. Lists are not counted: they are there already. */
struct table_estimate {
	uint64_t table;  /* what stays */
	uint64_t build;  /* what is needed beside it until it is built */
	uint64_t groups; /* /24s that get a second level; where 4 million /32s lie decides most */
};

/* Of table_build with these rules; n in 0..TABLE_RULES_MAX. One walk over the IPv4 prefixes. */
void table_estimate(const struct table_rule *rules, unsigned n, struct table_estimate *out);

#endif
