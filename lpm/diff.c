/*
 * Overview: the lists of all rules of both sides are merged by a tree of losers (Knuth, vol. 3,
 * 5.4.1), so prefixes come in the order of (addr, len), the rule that wins first. Those
 * that hold the place of the walk are a stack, the longest on top, for prefixes nest or are apart,
 * whichever side names them. Between two places where it changes no verdict changes, and the
 * addresses from one to the next go from one egress of the top to the other.
 */
#include "lpm/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/list_edit.h"

enum {
	DEPTH_MAX = 1 + 129, /* the default, and a prefix of each length */
	LEAF_BITS = 16,
	LEN_BITS = 8,
};

#define AT_END UINT64_MAX /* behind every rank */

_Static_assert(2 * TABLE_RULES_MAX < 1 << LEAF_BITS, "a rule of either side is a leaf");

enum { BEFORE, AFTER, SIDES };

/*
 * A prefix on its way through the tree, in the order of (addr, rank). IPv4 is all in the rank: one
 * comparison there instead of three.
 */
struct key {
	struct addr6 addr; /* IPv6 */
	uint64_t rank;     /* (IPv4 address,) length, leaf; or AT_END */
};

/* A rule's list, and how far it has been walked. */
struct leaf {
	const struct list *list;
	struct list *settled; /* the list, if it is this leaf's own */
	size_t entry;         /* that is in the tree */
	struct key ahead;     /* the one behind it: read before it is needed, for memory is slow */
	uint16_t egress;
};

/* The rules of both sides in turn, each a leaf. */
struct walk {
	struct leaf *leaves;
	struct key *losers; /* losers[i], 1 <= i < count: what lost at node i */
	struct key winner;
	unsigned count;
	unsigned first_after; /* the leaf of that side's first rule */
	unsigned version;
};

/* A prefix that at least one side names. */
struct step {
	struct addr6 addr;
	unsigned len;
	const struct leaf *by[SIDES]; /* the first rule that names it; NULL: none */
	size_t entry[SIDES];          /* of that rule's list */
};

/* A prefix that holds the place of the walk, and what either side says up to its end. */
struct open {
	struct addr6 last;
	uint16_t egress[SIDES];
};

struct sweep {
	struct diff *diff;
	struct diff_family *family;
	unsigned version;
	struct addr6 at; /* the first address that is not counted yet */
	struct open *top;
	struct open stack[DEPTH_MAX];
};

static unsigned key_leaf(const struct key *key)
{
	return key->rank & ((1U << LEAF_BITS) - 1);
}

static unsigned key_len(const struct key *key)
{
	return (key->rank >> LEAF_BITS) & ((1U << LEN_BITS) - 1);
}

static struct addr6 key_addr(const struct key *key, unsigned version)
{
	return version == 4 ? addr6_from4((uint32_t)(key->rank >> (LEN_BITS + LEAF_BITS)))
			    : key->addr;
}

static bool same_prefix(const struct key *a, const struct key *b)
{
	return a->rank >> LEAF_BITS == b->rank >> LEAF_BITS && addr6_equal(a->addr, b->addr);
}

/* The two places that know how a list holds its prefixes: the i-th of them, and its line. */
static struct key key_at(const struct list *list, unsigned version, size_t i, unsigned leaf)
{
	struct key key = {{0, 0}, AT_END};

	if (i >= (version == 4 ? list->count4 : list->count6))
		return key;
	if (version == 4) {
		key.rank = (uint64_t)list->v4[i].addr << LEN_BITS | list->v4[i].len;
	} else {
		key.addr = list->v6[i].addr;
		key.rank = list->v6[i].len;
	}
	key.rank = key.rank << LEAF_BITS | leaf;
	return key;
}

static uint32_t line_at(const struct list *list, unsigned version, size_t i)
{
	return version == 4 ? list->v4[i].line : list->v6[i].line;
}

static bool comes_before(const struct key *a, const struct key *b)
{
	if (a->rank == AT_END || b->rank == AT_END || addr6_equal(a->addr, b->addr))
		return a->rank < b->rank;
	return addr6_less(a->addr, b->addr);
}

/* Which of many lists comes next is as good as random: chosen without a branch. */
static void replay4(struct walk *walk, unsigned leaf, struct key winner)
{
	for (unsigned node = (leaf + walk->count) / 2; node > 0; node /= 2) {
		uint64_t a = walk->losers[node].rank, b = winner.rank;

		walk->losers[node].rank = a < b ? b : a;
		winner.rank = a < b ? a : b;
	}
	walk->winner = winner;
}

static void replay6(struct walk *walk, unsigned leaf, struct key winner)
{
	for (unsigned node = (leaf + walk->count) / 2; node > 0; node /= 2) {
		struct key other = walk->losers[node];

		if (comes_before(&other, &winner)) {
			walk->losers[node] = winner;
			winner = other;
		}
	}
	walk->winner = winner;
}

static void walk_advance(struct walk *walk)
{
	unsigned number = key_leaf(&walk->winner);
	struct leaf *leaf = &walk->leaves[number];
	struct key next = leaf->ahead;

	leaf->entry++;
	leaf->ahead = key_at(leaf->list, walk->version, leaf->entry + 1, number);
	if (walk->version == 4)
		replay4(walk, number, next);
	else
		replay6(walk, number, next);
}

/* winners: room for 2 * count, which is at least 1; what wins below each node */
static void walk_start(struct walk *walk, unsigned version, struct key *winners)
{
	walk->version = version;
	winners[1] = (struct key){{0, 0}, AT_END};
	for (unsigned i = 0; i < walk->count; i++) {
		struct leaf *leaf = &walk->leaves[i];

		leaf->entry = 0;
		winners[walk->count + i] = key_at(leaf->list, version, 0, i);
		leaf->ahead = key_at(leaf->list, version, 1, i);
	}
	for (unsigned node = walk->count; node-- > 1;) {
		const struct key *a = &winners[2 * node], *b = &winners[2 * node + 1];
		bool first = comes_before(a, b);

		winners[node] = first ? *a : *b;
		walk->losers[node] = first ? *b : *a;
	}
	walk->winner = winners[1];
}

/* The next prefix, and the first rule of each side that names it. Returns false at the end. */
static bool walk_next(struct walk *walk, struct step *step)
{
	const struct key first = walk->winner;

	if (first.rank == AT_END)
		return false;
	step->addr = key_addr(&first, walk->version);
	step->len = key_len(&first);
	step->by[BEFORE] = step->by[AFTER] = NULL;
	do {
		unsigned leaf = key_leaf(&walk->winner);
		unsigned side = leaf < walk->first_after ? BEFORE : AFTER;

		if (step->by[side] == NULL) {
			step->by[side] = &walk->leaves[leaf];
			step->entry[side] = walk->leaves[leaf].entry;
		}
		walk_advance(walk);
	} while (same_prefix(&walk->winner, &first));
	return true;
}

static struct diff_move *move_at(const struct diff *diff, const struct diff_family *family,
				 unsigned from, unsigned to)
{
	return &family->moves[(size_t)from * diff->egress_count + to];
}

/* Count the addresses from sweep->at to last, which all have the same top. */
static void count_until(struct sweep *sweep, struct addr6 last)
{
	unsigned from = sweep->top->egress[BEFORE], to = sweep->top->egress[AFTER];
	const struct diff_count one = {.lo = 1};
	struct diff_count *sum;
	struct addr6 apart;

	if (from == to)
		return;
	sum = &move_at(sweep->diff, sweep->family, from, to)->addresses;
	if (sweep->version == 4) {
		sum->lo += (uint64_t)(addr6_to4(last) - addr6_to4(sweep->at)) + 1;
		return;
	}
	apart = addr6_subtract(last, sweep->at);
	diff_count_add(sum, &(struct diff_count){apart.hi, apart.lo, false});
	diff_count_add(sum, &one);
}

/* Count, and close what ends before an address. The defaults end last of all, so they stay. */
static void close_before(struct sweep *sweep, struct addr6 addr)
{
	struct addr6 end;

	while (end = sweep->top->last, addr6_less(end, addr)) {
		count_until(sweep, end);
		while (addr6_equal(sweep->top->last, end))
			sweep->top--;
		sweep->at = addr6_next(end);
	}
}

static void sweep_to(struct sweep *sweep, struct addr6 addr)
{
	close_before(sweep, addr);
	if (addr6_less(sweep->at, addr)) {
		count_until(sweep, addr6_subtract(addr, (struct addr6){.lo = 1}));
		sweep->at = addr;
	}
}

static void sweep_to_end(struct sweep *sweep)
{
	const struct addr6 end = {UINT64_MAX, UINT64_MAX};

	close_before(sweep, end);
	count_until(sweep, end);
}

static struct diff_place place_of(const struct sweep *sweep, const struct step *step, unsigned side)
{
	struct diff_place place = {NULL, 0};

	if (step->by[side] == NULL)
		return place;
	place.list = step->by[side]->list;
	place.line = line_at(place.list, sweep->version, step->entry[side]);
	return place;
}

static void report(const struct sweep *sweep, const struct step *step, enum diff_kind kind,
		   const struct open *open, const struct diff_watcher *watcher)
{
	struct diff_change change = {
		.kind = kind,
		.prefix = {.addr.version = (uint8_t)sweep->version, .len = (uint8_t)step->len},
		.from = open->egress[BEFORE],
		.to = open->egress[AFTER],
		.before = place_of(sweep, step, BEFORE),
		.after = place_of(sweep, step, AFTER),
	};

	if (sweep->version == 4)
		change.prefix.addr.v4 = addr6_to4(step->addr);
	else
		change.prefix.addr.v6 = step->addr;
	watcher->change(watcher->context, &change);
}

/* What becomes of a prefix. */
static void settle(const struct sweep *sweep, const struct step *step, const struct open *open,
		   const struct diff_watcher *watcher)
{
	struct diff_family *family = sweep->family;
	uint16_t from = open->egress[BEFORE], to = open->egress[AFTER];
	enum diff_kind kind;

	if (step->by[BEFORE] != NULL && step->by[AFTER] != NULL) {
		if (from == to) {
			family->kept++;
			return;
		}
		kind = DIFF_MOVED;
		family->moved++;
	} else if (step->by[AFTER] != NULL) {
		kind = DIFF_ADDED;
		family->added++;
	} else {
		kind = DIFF_REMOVED;
		family->removed++;
	}
	if (from != to)
		move_at(sweep->diff, family, from, to)->prefixes++;
	if (watcher != NULL)
		report(sweep, step, kind, open, watcher);
}

static void compare_family(struct walk *walk, const struct diff_side *const sides[SIDES],
			   struct diff *diff, struct diff_family *family,
			   const struct diff_watcher *watcher)
{
	struct sweep sweep;
	struct step step;

	sweep.diff = diff;
	sweep.family = family;
	sweep.version = walk->version;
	sweep.at = (struct addr6){0, 0};
	sweep.top = sweep.stack;
	*sweep.top = (struct open){{UINT64_MAX, UINT64_MAX},
				   {sides[BEFORE]->default_egress, sides[AFTER]->default_egress}};
	while (walk_next(walk, &step)) {
		struct open open;

		sweep_to(&sweep, step.addr);
		open = *sweep.top; /* what is round it speaks for a side that does not name it */
		open.last = addr6_last(step.addr, step.len);
		for (unsigned side = 0; side < SIDES; side++) {
			if (step.by[side] != NULL)
				open.egress[side] = step.by[side]->egress;
		}
		settle(&sweep, &step, &open, watcher);
		*++sweep.top = open;
	}
	sweep_to_end(&sweep);
}

static bool side_valid(const struct diff_side *side, unsigned egress_count)
{
	if (side->rule_count > TABLE_RULES_MAX || side->default_egress >= egress_count)
		return false;
	for (unsigned i = 0; i < side->rule_count; i++) {
		if (side->rules[i].egress >= egress_count)
			return false;
	}
	return true;
}

static void add_leaves(struct walk *walk, const struct diff_side *side)
{
	for (unsigned i = 0; i < side->rule_count; i++) {
		walk->leaves[walk->count] = (struct leaf){
			.list = side->rules[i].list,
			.egress = side->rules[i].egress,
		};
		walk->count++;
	}
}

/* Entries are counted by their index: lists that were edited become lists without edits. */
static int settle_lists(struct walk *walk)
{
	for (unsigned i = 0; i < walk->count; i++) {
		struct leaf *leaf = &walk->leaves[i];
		int rc;

		if (leaf->list->edit_count4 + leaf->list->edit_count6 == 0)
			continue;
		rc = list_settle(leaf->list, &leaf->settled);
		if (rc != 0)
			return rc;
		leaf->list = leaf->settled;
	}
	return 0;
}

int diff_rules(const struct diff_side *before, const struct diff_side *after, unsigned egress_count,
	       unsigned family, const struct diff_watcher *watcher, struct diff *out)
{
	const struct diff_side *const sides[SIDES] = {before, after};
	struct diff diff = {.egress_count = egress_count};
	struct walk walk = {0};
	struct key *winners = NULL;
	size_t leaves, cells;
	int rc = -ENOMEM;

	if (egress_count > DIFF_EGRESSES_MAX || !side_valid(before, egress_count) ||
	    !side_valid(after, egress_count))
		return -EINVAL;
	leaves = (size_t)before->rule_count + after->rule_count;
	cells = (size_t)egress_count * egress_count;
	walk.leaves = malloc((leaves + 1) * sizeof(*walk.leaves));
	walk.losers = calloc(leaves + 1, sizeof(*walk.losers));
	winners = malloc((2 * leaves + 2) * sizeof(*winners));
	diff.v4.moves = calloc(cells, sizeof(*diff.v4.moves));
	diff.v6.moves = calloc(cells, sizeof(*diff.v6.moves));
	if (walk.leaves == NULL || walk.losers == NULL || winners == NULL ||
	    diff.v4.moves == NULL || diff.v6.moves == NULL)
		goto out;
	add_leaves(&walk, before);
	walk.first_after = walk.count;
	add_leaves(&walk, after);
	rc = settle_lists(&walk);
	if (rc != 0)
		goto out;
	for (unsigned version = 4; version <= 6; version += 2) {
		if (family != 0 && family != version)
			continue;
		walk_start(&walk, version, winners);
		compare_family(&walk, sides, &diff, version == 4 ? &diff.v4 : &diff.v6, watcher);
	}
	*out = diff;
	diff = (struct diff){0};
	rc = 0;
out:
	for (unsigned i = 0; i < walk.count; i++)
		list_unref(walk.leaves[i].settled);
	diff_fini(&diff);
	free(winners);
	free(walk.losers);
	free(walk.leaves);
	return rc;
}

void diff_fini(struct diff *diff)
{
	free(diff->v4.moves);
	free(diff->v6.moves);
	*diff = (struct diff){0};
}

struct diff_side diff_side_of(const struct table *table)
{
	return (struct diff_side){table->rules, table->rule_count, table->verdicts[0].egress};
}

const struct diff_move *diff_move_at(const struct diff *diff, const struct diff_family *family,
				     unsigned from, unsigned to)
{
	return move_at(diff, family, from, to);
}

void diff_count_add(struct diff_count *a, const struct diff_count *b)
{
	uint64_t lo = a->lo + b->lo;
	bool carry = lo < a->lo;
	uint64_t hi = a->hi + b->hi;
	bool over = hi < a->hi;

	hi += carry;
	a->all = a->all || b->all || over || (carry && hi == 0);
	a->lo = lo;
	a->hi = hi;
}

bool diff_count_zero(const struct diff_count *count)
{
	return !count->all && count->hi == 0 && count->lo == 0;
}

/* Divide by ten; returns the remainder. */
static unsigned divide_ten(struct diff_count *count)
{
	uint64_t parts[4] = {count->hi >> 32, count->hi & UINT32_MAX, count->lo >> 32,
			     count->lo & UINT32_MAX};
	uint64_t rest = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint64_t part = rest << 32 | parts[i];

		parts[i] = part / 10;
		rest = part % 10;
	}
	count->hi = parts[0] << 32 | parts[1];
	count->lo = parts[2] << 32 | parts[3];
	return (unsigned)rest;
}

char *diff_count_format(const struct diff_count *count, char out[DIFF_COUNT_TEXT_MAX])
{
	struct diff_count rest = *count;
	size_t at = DIFF_COUNT_TEXT_MAX;
	bool all = count->all;

	if (all) /* one less, which fits; its last digit is no 9 */
		rest = (struct diff_count){UINT64_MAX, UINT64_MAX, false};
	out[--at] = '\0';
	do {
		out[--at] = (char)('0' + divide_ten(&rest) + all);
		all = false;
	} while (!diff_count_zero(&rest));
	memmove(out, out + at, DIFF_COUNT_TEXT_MAX - at);
	return out;
}
