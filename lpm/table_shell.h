/* Parts of tables. Used inside lpm/ only. */
#ifndef SLUICE_LPM_TABLE_SHELL_H
#define SLUICE_LPM_TABLE_SHELL_H

#include "lpm/table.h"

/*
 * A table whose look-ups are not there yet: v4 and v6 are NULL. Each list of the n rules gets a
 * reference. Returns NULL if there is no memory.
 */
struct table *table_create_shell(const struct table_rule *rules, unsigned n,
				 uint16_t default_egress, uint32_t generation);

/* What a spare has of each family, which is then the caller's; NULL if it has none, or is NULL. */
struct lpm4 *table_take4(struct table *spare);
struct lpm6 *table_take6(struct table *spare);

#endif
