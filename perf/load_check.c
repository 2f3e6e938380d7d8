#include "perf/load_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	WORD_BITS = 64,
	NS_PER_MS = 1000000,
};

unsigned load_side(unsigned class, uint32_t generation)
{
	if (class >= LOAD_MOVING)
		return class == LOAD_STAYS_LEFT ? LOAD_LEFT : LOAD_RIGHT;
	/* Generation 1 has class 0 on the left, 4 all, 5 all but class 0, 8 none. */
	return (generation - 1 - class) % LOAD_PERIOD < LOAD_MOVING ? LOAD_LEFT : LOAD_RIGHT;
}

unsigned load_class_moved_next(uint32_t generation)
{
	return generation % LOAD_MOVING;
}

int load_timeline_init(struct load_timeline *t, uint32_t room)
{
	*t = (struct load_timeline){.room = room, .requested = 1, .confirmed = 1};
	t->generation = calloc(room, sizeof(*t->generation));
	return t->generation ? 0 : -ENOMEM;
}

void load_timeline_fini(struct load_timeline *t)
{
	free(t->generation);
	*t = (struct load_timeline){0};
}

int load_timeline_request(struct load_timeline *t, uint64_t now_ns)
{
	uint32_t next = t->requested + 1;

	if (next >= t->room)
		return -ENOSPC;
	t->generation[next].requested_ns = now_ns;
	/* [loadgen-1] pairs with [loadgen-2]: whoever sees the number sees its time. It is stored
	 * before the daemon is asked, hence before a packet can come of it. */
	__atomic_store_n(&t->requested, next, __ATOMIC_RELEASE);
	return 0;
}

void load_timeline_confirm(struct load_timeline *t, uint64_t now_ns)
{
	t->generation[t->requested].confirmed_ns = now_ns;
	__atomic_store_n(&t->confirmed, t->requested, __ATOMIC_RELAXED);
}

uint32_t load_timeline_confirmed(const struct load_timeline *t)
{
	return __atomic_load_n(&t->confirmed, __ATOMIC_RELAXED);
}

/* The newest generation that had been asked for at a time. */
static uint32_t newest_at(const struct load_timeline *t, uint64_t at_ns)
{
	/* [loadgen-2] pairs with [loadgen-1]. */
	uint32_t newest = __atomic_load_n(&t->requested, __ATOMIC_ACQUIRE);

	while (newest > 1 && t->generation[newest].requested_ns > at_ns)
		newest--;
	return newest;
}

int load_bits_init(struct load_bits *b, uint64_t count)
{
	b->count = count;
	b->words = calloc(count / WORD_BITS + 1, sizeof(*b->words));
	return b->words ? 0 : -ENOMEM;
}

void load_bits_fini(struct load_bits *b)
{
	free(b->words);
	*b = (struct load_bits){0};
}

bool load_bits_get(const struct load_bits *b, uint64_t index)
{
	return b->words[index / WORD_BITS] >> index % WORD_BITS & 1;
}

void load_bits_set(struct load_bits *b, uint64_t index)
{
	b->words[index / WORD_BITS] |= UINT64_C(1) << index % WORD_BITS;
}

void load_bits_merge(struct load_bits *to, const struct load_bits *from)
{
	for (uint64_t i = 0; i < to->count / WORD_BITS + 1; i++)
		to->words[i] |= from->words[i];
}

uint64_t load_plan_due_ns(const struct load_plan *p, uint64_t index)
{
	return p->start_ns + (uint64_t)((double)index * p->gap_ns);
}

int load_check_init(struct load_check *c, const struct load_plan *plan,
		    const struct load_timeline *timeline)
{
	int rc = 0;

	memset(c, 0, sizeof(*c));
	c->plan = plan;
	c->timeline = timeline;
	for (unsigned side = 0; rc == 0 && side < LOAD_SIDES; side++) {
		c->next[side] = calloc(plan->flows, sizeof(*c->next[side]));
		rc = load_bits_init(&c->seen[side], plan->count);
		if (!c->next[side])
			rc = -ENOMEM;
	}
	if (rc < 0)
		load_check_fini(c);
	return rc;
}

void load_check_fini(struct load_check *c)
{
	for (unsigned side = 0; side < LOAD_SIDES; side++) {
		free(c->next[side]);
		c->next[side] = NULL;
		load_bits_fini(&c->seen[side]);
	}
}

/* Whether one of the generations from first to last has the class on the side, and none not. */
static void judge(unsigned class, unsigned side, uint32_t first, uint32_t last, bool *may,
		  bool *must)
{
	*may = false;
	*must = true;
	if (last - first >= LOAD_PERIOD)
		first = last - LOAD_PERIOD + 1; /* there are no others */
	for (uint32_t g = first; g <= last; g++) {
		bool here = load_side(class, g) == side;

		*may |= here;
		*must &= here;
	}
}

void load_check_packet(struct load_check *c, unsigned side, const struct load_packet *p,
		       uint64_t captured_ns, bool altered)
{
	const struct load_plan *plan = c->plan;
	uint64_t index = p->sequence * plan->flows + p->flow;
	uint32_t newest = newest_at(c->timeline, captured_ns);
	bool may, must;

	/* Of another run, or not what was sent: lost then. */
	if (p->run != plan->run || p->flow >= plan->flows ||
	    p->sequence > plan->count / plan->flows || index >= plan->count || p->generation < 1)
		return;
	if (newest < p->generation)
		newest = p->generation; /* clocks of kernel and program are read apart */
	c->received++;
	judge(plan->classes[p->flow], side, p->generation, newest, &may, &must);
	c->misrouted += !may || altered;
	c->certain += must || !may;
	if (load_bits_get(&c->seen[side], index))
		c->duplicated++;
	else if (p->sequence < c->next[side][p->flow])
		c->reordered++;
	else
		c->next[side][p->flow] = p->sequence + 1;
	load_bits_set(&c->seen[side], index);
	latency_add(&c->latency, captured_ns > p->due_ns ? captured_ns - p->due_ns : 0);
	latency_add(&c->late, p->sent_ns > p->due_ns ? p->sent_ns - p->due_ns : 0);
}

/* The outage that a loss is due to, the latest that fits; or NULL. */
static const struct load_outage *outage_of(const struct load_check *c, uint64_t index,
					   const struct load_outage *outages, unsigned count)
{
	uint64_t due = load_plan_due_ns(c->plan, index);
	unsigned class = c->plan->classes[index % c->plan->flows];
	uint32_t g = newest_at(c->timeline, due);

	for (unsigned i = count; i-- > 0;) {
		const struct load_outage *o = &outages[i];
		uint64_t before = UINT64_C(1) * LOAD_OUTAGE_BEFORE_MS * NS_PER_MS;
		uint64_t after = UINT64_C(1) * LOAD_OUTAGE_AFTER_MS * NS_PER_MS;

		if (due + before < o->from_ns || (o->to_ns && due > o->to_ns + after))
			continue;
		if (o->side[load_side(class, g)] || (g > 1 && o->side[load_side(class, g - 1)]))
			return o;
	}
	return NULL;
}

static bool in_change(const struct load_timeline *t, uint64_t due)
{
	const struct load_generation *g = &t->generation[newest_at(t, due)];

	return g->requested_ns != 0 && (g->confirmed_ns == 0 || due <= g->confirmed_ns);
}

void load_check_losses(struct load_check *c, const struct load_bits *sent,
		       const struct load_outage *outages, unsigned outage_count,
		       struct load_losses *out)
{
	uint64_t row = 0;

	*out = (struct load_losses){0};
	for (uint64_t i = 0; i < c->plan->count; i++) {
		bool left = load_bits_get(&c->seen[LOAD_LEFT], i);
		bool right = load_bits_get(&c->seen[LOAD_RIGHT], i);
		const struct load_outage *o;
		uint64_t due;

		c->duplicated += left && right;
		if (left || right || !load_bits_get(sent, i)) {
			row = 0;
			continue;
		}
		due = load_plan_due_ns(c->plan, i);
		o = outage_of(c, i, outages, outage_count);
		if (o) {
			out->in_outage++;
			if (o->to_ns && due > o->to_ns && due - o->to_ns > out->recover_ns)
				out->recover_ns = due - o->to_ns;
			continue;
		}
		out->lost++;
		out->in_change += in_change(c->timeline, due);
		row++;
		if (row > out->longest)
			out->longest = row;
	}
}
