/*
 * Overview: verdicts can only change inside the prefixes that came or went. For the outermost of
 * these, the stretches, the verdict round them is looked up in the lists, and the prefixes inside
 * are swept as a builder does it. What comes out, runs of one verdict each, is what the look-up
 * tables are given.
 */
#include "lpm/table_patch.h"

#include <errno.h>
#include <stdlib.h>

#include "lpm/addr6.h"
#include "lpm/merge.h"
#include "lpm/table_shell.h"

enum {
	NESTING_MAX = 129, /* lengths 0..128 */
	RUNS_FIRST = 16,   /* room made for the first run of a family */
	/* Work that takes as long as a build, in prefixes that are swept: */
	WORK_MIN = 4096,  /* however few there are */
	WORK_SHARE = 4,   /* a quarter of them all */
	STRETCH_WORK = 4, /* of the search for a stretch in a list */
	COPY_MIN = 50000, /* prefixes; a smaller table is built sooner than copied */
};

struct table_patch {
	struct table_rule *rules; /* afterwards; each holds a reference to its list */
	unsigned rule_count;
	struct lpm4_run *runs4; /* ascending, apart */
	size_t run_count4;
	size_t run_room4;
	struct lpm6_run *runs6;
	size_t run_count6;
	size_t run_room6;
	size_t count4; /* of the table afterwards */
	size_t count6;
	size_t clashes;
	size_t work; /* that may still be done until a build is quicker */
	bool whole;  /* it is; there are no runs then */
};

/* Returns the runs with more room, or NULL; what there was is then untouched. */
static void *grow(void *runs, size_t *room, size_t run_size)
{
	size_t more = *room == 0 ? RUNS_FIRST : *room * 2;
	void *moved = more > SIZE_MAX / run_size ? NULL : realloc(runs, more * run_size);

	if (moved != NULL)
		*room = more;
	return moved;
}

static int add_run(struct table_patch *patch, unsigned version, struct addr6 first,
		   struct addr6 last, uint16_t verdict)
{
	void *grown;

	if (version == 4) {
		if (patch->run_count4 == patch->run_room4) {
			grown = grow(patch->runs4, &patch->run_room4, sizeof(*patch->runs4));
			if (grown == NULL)
				return -ENOMEM;
			patch->runs4 = grown;
		}
		patch->runs4[patch->run_count4++] =
			(struct lpm4_run){addr6_to4(first), addr6_to4(last), verdict};
		return 0;
	}
	if (patch->run_count6 == patch->run_room6) {
		grown = grow(patch->runs6, &patch->run_room6, sizeof(*patch->runs6));
		if (grown == NULL)
			return -ENOMEM;
		patch->runs6 = grown;
	}
	patch->runs6[patch->run_count6++] = (struct lpm6_run){first, last, verdict};
	return 0;
}

struct open_prefix {
	struct addr6 last;
	uint16_t verdict;
};

/* A sweep over one stretch. */
struct sweep {
	struct table_patch *patch;
	unsigned version;
	struct addr6 first; /* of the run that is open; what is before it has its runs */
	struct addr6 last;  /* of that run, if it is started */
	uint16_t verdict;
	bool started;
	unsigned depth;
	struct open_prefix open[NESTING_MAX + 1]; /* the outermost is the stretch */
};

/* The next address that no run has. */
static struct addr6 next_addr(const struct sweep *sweep)
{
	return sweep->started ? addr6_next(sweep->last) : sweep->first;
}

static int flush(struct sweep *sweep)
{
	return add_run(sweep->patch, sweep->version, sweep->first, sweep->last, sweep->verdict);
}

/* Append the stretch up to last, if there is any, with the verdict of the innermost prefix. */
static int extend(struct sweep *sweep, struct addr6 last)
{
	uint16_t verdict = sweep->open[sweep->depth].verdict;
	int rc;

	if (sweep->started && !addr6_less(sweep->last, last))
		return 0;
	if (sweep->started && sweep->verdict != verdict) {
		rc = flush(sweep);
		if (rc != 0)
			return rc;
		sweep->first = addr6_next(sweep->last);
	}
	sweep->started = true;
	sweep->verdict = verdict;
	sweep->last = last;
	return 0;
}

/* Close prefixes that end before addr, and fill up to it. */
static int advance(struct sweep *sweep, struct addr6 addr)
{
	int rc = 0;

	while (rc == 0 && addr6_less(sweep->open[sweep->depth].last, addr)) {
		rc = extend(sweep, sweep->open[sweep->depth].last);
		sweep->depth--;
	}
	if (rc == 0 && addr6_less(next_addr(sweep), addr))
		rc = extend(sweep, addr6_subtract(addr, (struct addr6){.lo = 1}));
	return rc;
}

/* Returns -ENOSPC when a build is quicker. */
static int spend(struct table_patch *patch, size_t work)
{
	if (work > patch->work)
		return -ENOSPC;
	patch->work -= work;
	return 0;
}

/* Find the runs of a stretch. Errors: -ENOMEM, -ENOSPC */
static int sweep_stretch(struct table_patch *patch, struct merge *merge, unsigned version,
			 struct list_item prefix)
{
	struct addr6 last = addr6_last(prefix.addr, prefix.len);
	struct sweep sweep = {.patch = patch, .version = version, .first = prefix.addr};
	struct merge_cursor winner, loser;
	bool clash;
	int rc = spend(patch, STRETCH_WORK * (size_t)patch->rule_count);

	if (rc != 0)
		return rc;
	sweep.open[0].last = last;
	sweep.open[0].verdict = merge_start_inside(merge, version, prefix.addr, prefix.len);
	while (rc == 0 && merge_next(merge, &winner, &loser, &clash)) {
		rc = advance(&sweep, winner.addr);
		sweep.open[++sweep.depth] = (struct open_prefix){
			.last = addr6_last(winner.addr, winner.len),
			.verdict = (uint16_t)(winner.rule + 1),
		};
		if (rc == 0)
			rc = spend(patch, 1);
	}
	for (; rc == 0; sweep.depth--) {
		rc = extend(&sweep, sweep.open[sweep.depth].last);
		if (sweep.depth == 0)
			break;
	}
	return rc == 0 ? flush(&sweep) : rc;
}

static int sweep_family(struct table_patch *patch, struct merge *merge, const struct list *changed,
			unsigned version)
{
	struct list_walk walk;
	struct list_item item;
	struct addr6 last;
	bool any = false;
	int rc = 0;

	list_walk_start(&walk, changed, version);
	while (rc == 0 && list_walk_next(&walk, &item)) {
		if (any && !addr6_less(last, item.addr))
			continue; /* inside the stretch before */
		last = addr6_last(item.addr, item.len);
		any = true;
		rc = sweep_stretch(patch, merge, version, item);
	}
	return rc;
}

/* What the rules make of one prefix. */
struct naming {
	bool named;
	bool clash;
	uint16_t egress; /* of the first rule that names it */
};

static void name(struct naming *naming, uint16_t egress)
{
	if (!naming->named)
		*naming = (struct naming){.named = true, .egress = egress};
	naming->clash |= naming->egress != egress;
}

/* Count prefixes and clashes as they will be. */
static void count_family(struct table_patch *patch, const struct list *to,
			 const struct list *changed, unsigned version)
{
	size_t *count = version == 4 ? &patch->count4 : &patch->count6;
	struct list_walk walk;
	struct list_item item;

	list_walk_start(&walk, changed, version);
	while (list_walk_next(&walk, &item)) {
		bool added = list_has(to, version, item.addr, item.len, NULL);
		struct naming before = {0}, after = {0};

		for (unsigned i = 0; i < patch->rule_count; i++) {
			const struct table_rule *rule = &patch->rules[i];
			bool edited = rule->list == to;

			if (!edited && !list_has(rule->list, version, item.addr, item.len, NULL))
				continue;
			if (!edited || !added)
				name(&before, rule->egress);
			if (!edited || added)
				name(&after, rule->egress);
		}
		*count += after.named;
		*count -= before.named;
		patch->clashes += after.clash;
		patch->clashes -= before.clash;
	}
}

static void drop_runs(struct table_patch *patch)
{
	free(patch->runs4);
	free(patch->runs6);
	patch->runs4 = NULL;
	patch->runs6 = NULL;
	patch->run_count4 = patch->run_count6 = 0;
	patch->run_room4 = patch->run_room6 = 0;
}

static int copy_rules(struct table_patch *patch, const struct table *table, const struct list *from,
		      struct list *to)
{
	patch->rules = malloc((table->rule_count + 1) * sizeof(*patch->rules));
	if (patch->rules == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < table->rule_count; i++) {
		struct list *list = table->rules[i].list;

		patch->rules[i].list = list_ref(list == from ? to : list);
		patch->rules[i].egress = table->rules[i].egress;
	}
	patch->rule_count = table->rule_count;
	return 0;
}

static bool has_rule(const struct table_patch *patch, const struct list *list)
{
	for (unsigned i = 0; i < patch->rule_count; i++) {
		if (patch->rules[i].list == list)
			return true;
	}
	return false;
}

int table_patch_create(const struct table *table, const struct list *from, struct list *to,
		       const struct list *changed, struct table_patch **out)
{
	struct table_patch *patch = calloc(1, sizeof(*patch));
	struct merge merge = {0};
	int rc = -ENOMEM;

	if (patch == NULL)
		return rc;
	patch->count4 = table->count4;
	patch->count6 = table->count6;
	patch->clashes = table->clashes;
	patch->work = (table->count4 + table->count6) / WORK_SHARE + WORK_MIN;
	rc = copy_rules(patch, table, from, to);
	if (rc == 0)
		rc = merge_init(&merge, patch->rules, patch->rule_count);
	if (rc != 0)
		goto out;
	if (has_rule(patch, to)) { /* else the list decides nothing */
		rc = sweep_family(patch, &merge, changed, 4);
		if (rc == 0)
			rc = sweep_family(patch, &merge, changed, 6);
		if (rc == -ENOSPC) {
			drop_runs(patch);
			patch->whole = true;
			rc = 0;
		}
		if (rc != 0)
			goto out;
	}
	if (has_rule(patch, to) && !patch->whole) {
		count_family(patch, to, changed, 4);
		count_family(patch, to, changed, 6);
	}
	*out = patch;
	patch = NULL;
out:
	merge_fini(&merge);
	table_patch_destroy(patch);
	return rc;
}

void table_patch_destroy(struct table_patch *patch)
{
	if (patch == NULL)
		return;
	for (unsigned i = 0; i < patch->rule_count; i++)
		list_unref(patch->rules[i].list);
	free(patch->rules);
	drop_runs(patch);
	free(patch);
}

/* Make the spare say what the table says. */
static int copy_lookups(const struct table *table, struct table *spare)
{
	int rc;

	rc = lpm4_copy(table->v4, table_take4(spare), &spare->v4);
	if (rc != 0)
		return rc;
	return lpm6_copy(table->v6, table_take6(spare), &spare->v6);
}

int table_patch_replay(const struct table_patch *patch, struct table *spare)
{
	int rc;

	rc = lpm4_patch(spare->v4, patch->runs4, patch->run_count4);
	if (rc != 0)
		return rc;
	return lpm6_patch(spare->v6, patch->runs6, patch->run_count6);
}

/* Make a spare say what the table of the patch will say; *spare is NULL if there is no memory. */
static int patch_spare(const struct table_patch *patch, const struct table *table,
		       struct table **spare, bool current)
{
	int rc = 0;

	if (*spare == NULL) {
		*spare = calloc(1, sizeof(**spare));
		current = false;
	}
	if (*spare == NULL)
		return -ENOMEM;
	if (!current)
		rc = copy_lookups(table, *spare);
	return rc == 0 ? table_patch_replay(patch, *spare) : rc;
}

int table_patch_apply(const struct table_patch *patch, const struct table *table,
		      uint32_t generation, struct table *spare, bool *replayable,
		      struct table **out)
{
	uint16_t default_egress = table->verdicts[0].egress;
	bool current = spare != NULL && *replayable;
	bool small = !current && table->count4 + table->count6 < COPY_MIN;
	struct table *patched;

	*replayable = !patch->whole;
	if (*replayable && !small)
		*replayable = patch_spare(patch, table, &spare, current) == 0;
	if (!*replayable || small)
		return table_rebuild(patch->rules, patch->rule_count, default_egress, generation,
				     spare, out);
	patched = table_create_shell(patch->rules, patch->rule_count, default_egress, generation);
	if (patched == NULL) {
		table_destroy(spare);
		return -ENOMEM;
	}
	patched->v4 = table_take4(spare);
	patched->v6 = table_take6(spare);
	patched->count4 = patch->count4;
	patched->count6 = patch->count6;
	patched->clashes = patch->clashes;
	table_destroy(spare);
	*out = patched;
	return 0;
}
