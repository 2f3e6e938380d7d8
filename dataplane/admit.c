/* See admit.h. */
#include "dataplane/admit.h"

#include "dataplane/answer.h"
#include "dataplane/hairpin.h"

enum {
	EVICTIONS_MAX = 4, /* for want of a port */
};

/* Whether a source may have one flow more, which it has entered for, and a port if it needs one. */
static bool within_limits(struct worker *w, const struct packet *p, const struct worker_egress *e,
			  uint32_t source)
{
	const struct source *s = source_at(w->sources, source);

	if (s->flows > w->source_flows)
		return false;
	return !e->nat || s->ports < e->source_ports || nat_is_mapped(e->nat, &p->key);
}

/*
 * Make sure that a source keeps within its limits: else it gives up flows of its own that nothing
 * answered.
 */
static bool limit(struct worker *w, const struct packet *p, uint16_t egress, uint32_t source)
{
	const struct worker_egress *e = &w->egress[egress];

	for (unsigned i = 0; i < EVICTIONS_MAX && !within_limits(w, p, e, source); i++)
		if (!flow_evict_unanswered(w->flows, &p->key, egress, source, w->now_ms))
			break;
	return within_limits(w, p, e, source);
}

/*
 * A translation for a packet's source. When ports are short, flows that nothing answered give
 * theirs up; one flow's end need not free a port: others may share its mapping.
 */
static uint32_t map_source(struct worker *w, const struct item *it, uint16_t egress,
			   uint32_t source)
{
	const struct packet *p = &it->packet;
	struct nat *nat = w->egress[egress].nat;
	uint32_t map = nat_acquire(nat, &p->key, w->now_ms);

	if (map == FLOW_NAT_NONE && it->giver &&
	    flow_evict_chosen(w->flows, it->giver, &p->key, egress))
		map = nat_acquire(nat, &p->key, w->now_ms);
	for (unsigned i = 0; map == FLOW_NAT_NONE && i < EVICTIONS_MAX; i++) {
		if (!flow_evict_unanswered(w->flows, &p->key, egress, 0, w->now_ms))
			break;
		map = nat_acquire(nat, &p->key, w->now_ms);
	}
	if (map != FLOW_NAT_NONE && nat_at(nat, map)->flows == 1)
		source_at(w->sources, source)->ports++;
	return map;
}

/* Of a burst, those whose flows will be made and translated. */
struct fresh {
	unsigned count;
	struct item *item[BURST_MAX];
	uint16_t egress[BURST_MAX];
	uint32_t hash[BURST_MAX];
};

/* Where ports are short another flow will end for each: choose it. */
static void prepare_ends(struct worker *w, const struct fresh *fresh)
{
	for (unsigned i = 0; i < fresh->count; i++) {
		struct item *it = fresh->item[i];
		const struct nat *nat = w->egress[fresh->egress[i]].nat;
		const struct flow_key *k = &it->packet.key;

		if (!nat_is_full(nat, k))
			continue;
		it->giver = flow_choose_unanswered(w->flows, k, fresh->egress[i], 0, w->now_ms);
		if (!it->giver)
			continue;
		nat_prefetch_map(nat, it->giver->nat);
		source_prefetch_at(w->sources, it->giver->source);
	}
	for (unsigned i = 0; i < fresh->count; i++)
		if (fresh->item[i]->giver)
			nat_prefetch_end(w->egress[fresh->egress[i]].nat,
					 fresh->item[i]->giver->nat);
}

void admit_prepare(struct worker *w, const struct table *table, const struct links *links,
		   unsigned n)
{
	struct fresh fresh;
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];
		const struct nat *nat;

		it->giver = NULL;
		if (it->reason != REASON_NONE || it->packet.kind != PACKET_TRANSPORT || it->flow ||
		    !it->decided)
			continue;
		fresh.egress[count] = worker_way(w, table, links, it->verdict);
		nat = w->egress[fresh.egress[count]].nat;
		source_prefetch(w->sources, &it->packet.key);
		if (!nat)
			continue;
		fresh.item[count] = it;
		fresh.hash[count++] = nat_hash(nat, &it->packet.key);
	}
	fresh.count = count;
	for (unsigned i = 0; i < count; i++)
		nat_prefetch(w->egress[fresh.egress[i]].nat, fresh.hash[i]);
	prepare_ends(w, &fresh);
}

struct flow *admit_flow(struct worker *w, const struct table *table, const struct links *links,
			struct item *it)
{
	const struct packet *p = &it->packet;
	int back = hairpin_egress(w, links, &p->key);
	uint16_t egress = back >= 0 ? (uint16_t)back : worker_way(w, table, links, it->verdict);
	uint32_t source = source_enter(w->sources, &p->key);
	uint32_t map = FLOW_NAT_NONE;
	struct flow *f;

	worker_count(&w->counters.flow_misses, 1);
	if (!limit(w, p, egress, source)) {
		it->reason = REASON_SOURCE_LIMIT;
	} else if (w->egress[egress].nat) {
		map = map_source(w, it, egress, source);
		if (map == FLOW_NAT_NONE)
			it->reason = REASON_NO_PORT;
	}
	if (it->reason != REASON_NONE) {
		answer_prohibited(w, p); /* RFC 5508 REQ-8 */
		source_leave(w->sources, source);
		return NULL;
	}
	f = flow_create(w->flows, &p->key, it->hash, w->now_ms);
	f->generation = table->generation;
	f->verdict = it->verdict;
	f->egress = egress;
	f->nat = map;
	f->outer_port = map != FLOW_NAT_NONE ? nat_at(w->egress[egress].nat, map)->outer_port : 0;
	f->source = source;
	f->seen = back >= 0 ? FLOW_HAIRPIN : 0;
	return f;
}

void admit_release(void *context, const struct flow *f)
{
	struct worker *w = context;
	struct nat *nat = w->egress[f->egress].nat;

	if (f->nat != FLOW_NAT_NONE) {
		if (nat_at(nat, f->nat)->flows == 1)
			source_at(w->sources, f->source)->ports--;
		nat_release(nat, f->nat, w->now_ms);
	}
	source_leave(w->sources, f->source);
}
