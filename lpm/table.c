/* Compiles rules: several lists in the order of the file become one table. */
#include "lpm/table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/merge.h"
#include "lpm/merge4.h"
#include "lpm/table_shell.h"

static size_t count_entries6(const struct table *table)
{
	size_t count = 0;

	for (unsigned i = 0; i < table->rule_count; i++)
		count += list_count(table->rules[i].list, 6);
	return count;
}

static int build4(struct table *table, struct lpm4 *spare)
{
	struct merge4 merge;
	int rc;

	rc = merge4_rules(table->rules, table->rule_count, &merge);
	if (rc != 0) {
		lpm4_destroy(spare);
		return rc;
	}
	table->count4 = merge.count;
	table->clashes += merge.clashes;
	rc = lpm4_build(merge.routes, merge.count, spare, &table->v4);
	free(merge.routes);
	return rc;
}

static int build6(struct table *table, struct lpm6 *spare)
{
	size_t room = count_entries6(table);
	struct lpm6_route *routes = malloc((room > 0 ? room : 1) * sizeof(*routes));
	struct merge_cursor winner, loser;
	struct merge merge = {0};
	bool clash;
	int rc = -ENOMEM;

	if (routes == NULL || merge_init(&merge, table->rules, table->rule_count) != 0)
		goto out;
	merge_start(&merge, 6);
	while (merge_next(&merge, &winner, &loser, &clash)) {
		routes[table->count6++] =
			(struct lpm6_route){winner.addr, winner.len, (uint16_t)(winner.rule + 1)};
		table->clashes += clash;
	}
	rc = lpm6_build(routes, table->count6, spare, &table->v6);
	spare = NULL;
out:
	lpm6_destroy(spare);
	merge_fini(&merge);
	free(routes);
	return rc;
}

struct table *table_create_shell(const struct table_rule *rules, unsigned n,
				 uint16_t default_egress, uint32_t generation)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return NULL;
	table->generation = generation;
	table->rules = malloc((n > 0 ? n : 1) * sizeof(*table->rules));
	table->verdicts = malloc((n + 1) * sizeof(*table->verdicts));
	if (table->rules == NULL || table->verdicts == NULL) {
		table_destroy(table);
		return NULL;
	}
	table->verdicts[0] = (struct verdict){default_egress, TABLE_RULE_DEFAULT};
	for (unsigned i = 0; i < n; i++) {
		table->rules[i] = (struct table_rule){list_ref(rules[i].list), rules[i].egress};
		table->verdicts[i + 1] = (struct verdict){rules[i].egress, (uint16_t)i};
	}
	table->rule_count = n;
	return table;
}

struct lpm4 *table_take4(struct table *spare)
{
	struct lpm4 *v4 = spare != NULL ? spare->v4 : NULL;

	if (v4 != NULL)
		spare->v4 = NULL;
	return v4;
}

struct lpm6 *table_take6(struct table *spare)
{
	struct lpm6 *v6 = spare != NULL ? spare->v6 : NULL;

	if (v6 != NULL)
		spare->v6 = NULL;
	return v6;
}

int table_rebuild(const struct table_rule *rules, unsigned n, uint16_t default_egress,
		  uint32_t generation, struct table *spare, struct table **out)
{
	struct table *table = NULL;
	int rc = -EINVAL;

	if (n > TABLE_RULES_MAX)
		goto out;
	rc = -ENOMEM;
	table = table_create_shell(rules, n, default_egress, generation);
	if (table == NULL)
		goto out;
	rc = build4(table, table_take4(spare));
	if (rc != 0)
		goto out;
	rc = build6(table, table_take6(spare));
	if (rc != 0)
		goto out;
	*out = table;
	table = NULL;
out:
	table_destroy(spare);
	table_destroy(table);
	return rc;
}

int table_build(const struct table_rule *rules, unsigned n, uint16_t default_egress,
		uint32_t generation, struct table **out)
{
	return table_rebuild(rules, n, default_egress, generation, NULL, out);
}

void table_strip(struct table *table)
{
	for (unsigned i = 0; i < table->rule_count; i++)
		list_unref(table->rules[i].list);
	free(table->rules);
	free(table->verdicts);
	*table = (struct table){.v4 = table->v4, .v6 = table->v6};
}

void table_destroy(struct table *table)
{
	if (table == NULL)
		return;
	table_strip(table);
	lpm4_destroy(table->v4);
	lpm6_destroy(table->v6);
	free(table);
}

static struct prefix cursor_prefix(const struct merge_cursor *cursor, unsigned version)
{
	struct prefix prefix = {.addr.version = (uint8_t)version, .len = cursor->len};

	if (version == 4)
		prefix.addr.v4 = addr6_to4(cursor->addr);
	else
		prefix.addr.v6 = cursor->addr;
	return prefix;
}

size_t table_clashes(const struct table_rule *rules, unsigned n, struct table_clash *out,
		     size_t max)
{
	struct merge_cursor winner, loser;
	struct merge merge;
	size_t count = 0;
	bool clash;

	if (merge_init(&merge, rules, n) != 0)
		return 0;
	for (unsigned version = 4; version <= 6; version += 2) {
		merge_start(&merge, version);
		while (count < max && merge_next(&merge, &winner, &loser, &clash)) {
			if (!clash)
				continue;
			out[count++] = (struct table_clash){
				.prefix = cursor_prefix(&winner, version),
				.winner = winner.rule,
				.loser = loser.rule,
				.winner_line = winner.line,
				.loser_line = loser.line,
			};
		}
	}
	merge_fini(&merge);
	return count;
}

uint16_t table_lookup(const struct table *table, const struct addr *addr)
{
	if (addr->version == 4)
		return lpm4_lookup(table->v4, addr->v4);
	return lpm6_lookup(table->v6, &addr->v6);
}

void table_explain(const struct table *table, const struct addr *addr, struct table_match *out)
{
	struct table_match match = {.verdict = table_lookup(table, addr)};

	/*
	 * The prefix that decided is the longest of all lists, so also of the list of its rule. A
	 * list that names the same prefix for a later rule is never asked.
	 */
	if (match.verdict != LPM_NONE) {
		const struct list *list = table->rules[match.verdict - 1].list;

		if (list_match(list, addr, &match.prefix, &match.line) == 0)
			match.list = list;
	}
	*out = match;
}

size_t table_size_bytes(const struct table *table)
{
	return sizeof(*table) + lpm4_size_bytes(table->v4) + lpm6_size_bytes(table->v6) +
	       table->rule_count * sizeof(*table->rules) +
	       (table->rule_count + 1) * sizeof(*table->verdicts);
}
