/*
 * The packet path. Overview, as a packet meets it:
 *
 *   out: TUN -> receive -> parse -> decide (route cache, then table) -> translate -> emit
 *   in:  interface -> receive -> parse -> find the flow -> translate back -> TUN
 *
 * A burst is taken through each stage as an array. decide_burst() and settle() are the only place
 * where verdicts are taken. The way out is in emit.c, the way in in inward.c; answers (RST, ICMP)
 * are answer.c's and ride on the burst's way back into the TUN.
 *
 * Threads: one worker, one thread; it owns all that it writes. The table and the links are read
 * once a turn and forgotten at its end. Nothing here calls malloc, takes a lock or writes a log.
 */
#include "dataplane/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/answer.h"
#include "dataplane/arrive.h"
#include "dataplane/chores.h"
#include "dataplane/emit.h"
#include "dataplane/hairpin.h"
#include "dataplane/inspect.h"
#include "dataplane/inward.h"
#include "dataplane/owner.h"
#include "dataplane/rewrite.h"
#include "dataplane/wireguard/inward.h"
#include "dataplane/wireguard/outward.h"

enum {
	EVICTIONS_MAX = 4, /* for want of a port */
};

/* ---- Decide ---- */

/* Destinations that no egress may carry, and sources that no answer could reach. */
static bool routable(const struct flow_key *k)
{
	if (k->version == 4)
		return k->dst[0] != 0 && k->dst[0] != 127 && k->dst[0] < 224 && k->src[0] != 0 &&
		       k->src[0] != 127 && k->src[0] < 224 &&
		       !(k->dst[0] == 169 && k->dst[1] == 254);
	static const uint8_t zero[15];
	bool dst_special = memcmp(k->dst, zero, 15) == 0 && k->dst[15] <= 1;
	bool src_special = memcmp(k->src, zero, 15) == 0 && k->src[15] <= 1;

	return !dst_special && !src_special && k->dst[0] != 0xff && k->src[0] != 0xff &&
	       !(k->dst[0] == 0xfe && (k->dst[1] & 0xc0) == 0x80) &&
	       !(k->src[0] == 0xfe && (k->src[1] & 0xc0) == 0x80);
}

uint16_t worker_verdict(const struct table *table, const struct flow_key *key)
{
	struct addr dst = key_dst(key);

	return table_lookup(table, &dst);
}

/* Ask the table for every item of the burst that the route cache does not answer. */
static void decide_burst(struct worker *w, const struct table *table, unsigned n)
{
	uint32_t v4[BURST_MAX];
	struct addr6 v6[BURST_MAX];
	uint16_t verdict4[BURST_MAX], verdict6[BURST_MAX];
	struct item *at4[BURST_MAX], *at6[BURST_MAX];
	unsigned n4 = 0, n6 = 0;

	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];

		if (it->reason == REASON_NONE && !it->done && it->packet.kind == PACKET_TRANSPORT) {
			it->hash = flow_hash(w->flows, &it->packet.key);
			flow_prefetch(w->flows, it->hash);
		}
	}
	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];
		const struct flow_key *k = &it->packet.key;
		const struct flow *f;
		struct addr dst;

		it->cached = it->decided = false;
		if (it->reason != REASON_NONE || it->done)
			continue;
		if (it->packet.kind == PACKET_TRANSPORT) {
			f = flow_find(w->flows, k, it->hash, w->now_ms);
			it->cached = f && f->generation == table->generation;
		}
		if (it->cached || !routable(k))
			continue;
		it->decided = true;
		dst = key_dst(k);
		if (k->version == 4) {
			v4[n4] = dst.v4;
			at4[n4++] = it;
		} else {
			v6[n6] = dst.v6;
			at6[n6++] = it;
		}
	}
	if (n4)
		lpm4_lookup_burst(table->v4, v4, verdict4, n4);
	if (n6)
		lpm6_lookup_burst(table->v6, v6, verdict6, n6);
	for (unsigned i = 0; i < n4; i++)
		at4[i]->verdict = verdict4[i];
	for (unsigned i = 0; i < n6; i++)
		at6[i]->verdict = verdict6[i];
}

static bool opens_connection(const struct packet *p)
{
	return p->key.proto == PROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static bool is_down(const struct worker *w, const struct links *links, uint16_t egress)
{
	return w->egress[egress].type == EGRESS_INTERFACE && !links->link[egress].up;
}

uint16_t worker_way(const struct worker *w, const struct table *table, const struct links *links,
		    uint16_t verdict)
{
	uint16_t egress = table->verdicts[verdict].egress;

	/* They may stand in for one another: who has been asked is not asked again. */
	for (unsigned i = 0; i < w->egress_count && is_down(w, links, egress); i++) {
		if (w->egress[egress].on_down < ON_DOWN_EGRESS)
			break;
		egress = w->egress[egress].on_down - ON_DOWN_EGRESS;
	}
	return egress;
}

/* Whether a flow's egress may no longer be that of its verdict. */
static bool is_stale(const struct worker *w, const struct table *table, const struct links *links,
		     const struct flow *f)
{
	if (f->generation != table->generation)
		return true;
	return w->diverts && !(f->seen & (FLOW_HAIRPIN | FLOW_DRAINING)) &&
	       f->egress != worker_way(w, table, links, f->verdict);
}

struct flow *worker_renew(struct worker *w, const struct table *table, const struct links *links,
			  struct flow *f, uint16_t verdict)
{
	uint16_t egress = worker_way(w, table, links, verdict);

	f->generation = table->generation;
	f->verdict = verdict;
	if (egress == f->egress || (f->seen & FLOW_HAIRPIN)) {
		f->seen &= (uint8_t)~FLOW_DRAINING;
		worker_count(&w->counters.flow_renewed, 1);
		return f;
	}
	/* What is down drains nothing, if another takes its place. */
	if (w->on_change == ON_CHANGE_KEEP && !(w->diverts && is_down(w, links, f->egress))) {
		f->seen |= FLOW_DRAINING;
		return f;
	}
	worker_count(&w->counters.flow_moved, 1);
	flow_remove(w->flows, f);
	return NULL;
}

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
static uint32_t map_source(struct worker *w, const struct packet *p, uint16_t egress,
			   uint32_t source)
{
	struct nat *nat = w->egress[egress].nat;
	uint32_t map = nat_acquire(nat, &p->key, w->now_ms);

	for (unsigned i = 0; map == FLOW_NAT_NONE && i < EVICTIONS_MAX; i++) {
		if (!flow_evict_unanswered(w->flows, &p->key, egress, 0, w->now_ms))
			break;
		map = nat_acquire(nat, &p->key, w->now_ms);
	}
	if (map != FLOW_NAT_NONE && nat_at(nat, map)->flows == 1)
		source_at(w->sources, source)->ports++;
	return map;
}

/*
 * Make the flow of a packet that the route cache does not know. The port comes first: without one
 * no other flow is evicted.
 */
static struct flow *admit(struct worker *w, const struct table *table, const struct links *links,
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
		map = map_source(w, p, egress, source);
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
	f->source = source;
	f->seen = back >= 0 ? FLOW_HAIRPIN : 0;
	return f;
}

struct flow *worker_flow_of_error(struct worker *w, const struct packet *p)
{
	uint16_t quoted_offset, l4_offset;
	struct flow_key quoted, key;

	if (packet_quoted(p, &quoted, &quoted_offset, &l4_offset) != REASON_NONE)
		return NULL;
	key = quoted;
	memcpy(key.src, quoted.dst, sizeof(key.src));
	memcpy(key.dst, quoted.src, sizeof(key.dst));
	key.src_port = quoted.dst_port;
	key.dst_port = quoted.src_port;
	return flow_find(w->flows, &key, flow_hash(w->flows, &key), w->now_ms);
}

/*
 * Whether a flow's next packet would move it to another egress. An error must not do that: it
 * neither creates, nor refreshes, nor ends a flow (RFC 5508 REQ-6).
 */
static bool moves(const struct worker *w, const struct table *table, const struct links *links,
		  const struct flow *f)
{
	uint16_t verdict;

	if (f->generation == table->generation || (f->seen & FLOW_HAIRPIN) ||
	    w->on_change == ON_CHANGE_KEEP)
		return false;
	verdict = worker_verdict(table, &f->key);
	return worker_way(w, table, links, verdict) != f->egress;
}

bool worker_owns(const struct worker *w, const struct links *links, const struct addr *addr)
{
	for (unsigned i = 0; i < w->own_count; i++)
		if (link_addr_compare(&w->own[i], addr) == 0)
			return true;
	for (unsigned i = 0; i < links->count; i++) {
		const struct link *l = &links->link[i];

		if (link_addr_compare(addr->version == 4 ? &l->address4 : &l->address6, addr) == 0)
			return true;
	}
	return false;
}

unsigned worker_mtu(const struct worker *w, const struct links *links, unsigned egress)
{
	const struct wg_port *port = w->egress[egress].port;

	return port ? wg_tunnel_mtu(port->tunnel) : links->link[egress].mtu;
}

/*
 * For what passes through the host Sluice is a router, one hop (RFC 1812, section 5.3.1). The
 * host's own programs have none: a TTL of 1 still reaches a neighbour, and one of 255 proves it to
 * be one.
 */
enum reason worker_take_hop(struct worker *w, const struct links *links, struct packet *p)
{
	struct addr src = key_src(&p->key);

	if (worker_owns(w, links, &src) || rewrite_hop_limit(p))
		return REASON_NONE;
	answer_time_exceeded(w, p);
	return REASON_HOP_LIMIT;
}

/* What no egress carries, whatever the table says of it. Takes the packet's hop. */
static enum reason pass(struct worker *w, const struct links *links, struct packet *p)
{
	if (!routable(&p->key))
		return REASON_LINK_LOCAL;
	/* Nobody puts together what would have to be turned round whole. */
	if ((p->kind == PACKET_FRAGMENT || p->first_fragment) &&
	    hairpin_egress(w, links, &p->key) >= 0)
		return REASON_FRAGMENT;
	return worker_take_hop(w, links, p);
}

/* Later fragments follow this first one; those that were held for it go on. False: it overlaps. */
static bool lead(struct worker *w, const struct table *table, const struct packet *p,
		 uint16_t egress)
{
	const struct fragment_aim aim = {
		.worker = (uint16_t)w->index, .egress = egress, .generation = table->generation};

	if (!fragment_note(&w->gather_out.fragments, p, &aim, w->now_ms))
		return false;
	gather_release(w, &w->gather_out, p, w->index);
	return true;
}

/*
 * The one function that takes verdicts: which flow a packet belongs to, or why it goes no further.
 * Returns the egress; *flow is set for packets that have one.
 */
static uint16_t settle(struct worker *w, const struct table *table, const struct links *links,
		       struct item *it, struct flow **flow)
{
	struct packet *p = &it->packet;
	struct fragment_aim aim;
	struct flow *f;
	uint16_t egress = 0;

	*flow = NULL;
	it->reason = pass(w, links, p);
	if (it->reason != REASON_NONE)
		return 0;
	switch (p->kind) {
	case PACKET_FRAGMENT:
		if (fragment_follow(&w->gather_out.fragments, p, w->now_ms, &aim) &&
		    aim.generation == table->generation)
			return aim.egress;
		it->reason = REASON_FRAGMENT;
		return 0;
	case PACKET_ICMP_ERROR:
		f = worker_flow_of_error(w, p);
		if (f && moves(w, table, links, f))
			it->reason = REASON_EGRESS_CHANGED;
		*flow = f;
		if (f)
			return f->egress;
		__attribute__((fallthrough));
	case PACKET_OTHER:
		egress = worker_way(w, table, links, it->verdict);
		if (w->egress[egress].nat) {
			it->reason = REASON_PROTOCOL;
			answer_prohibited(w, p);
		}
		return egress;
	case PACKET_TRANSPORT:
		break;
	}

	/* Looked up again: admitting an earlier packet of the burst may have moved it. */
	f = flow_find(w->flows, &p->key, it->hash, w->now_ms);
	if (f && (f->seen & FLOW_DRAINING) && opens_connection(p)) {
		flow_remove(w->flows, f); /* what drains is the old connection, not a new one */
		f = NULL;
	}
	if (!it->decided && (!f || is_stale(w, table, links, f))) {
		it->verdict = worker_verdict(table, &p->key);
		it->decided = true;
	}
	if (f && is_stale(w, table, links, f)) {
		f = worker_renew(w, table, links, f, it->verdict);
		if (!f && p->key.proto == PROTO_TCP && !opens_connection(p)) {
			answer_reset(w, p, true);
			it->reason = REASON_EGRESS_CHANGED;
			return 0;
		}
	} else if (f) {
		worker_count(&w->counters.flow_hits, 1);
	}
	if (!f)
		f = admit(w, table, links, it);
	if (!f)
		return 0;
	if (p->first_fragment && !lead(w, table, p, f->egress)) {
		it->reason = REASON_FRAGMENT;
		return 0;
	}
	flow_note_out(w->flows, f, p, packet_segments(p), w->now_ms);
	*flow = f;
	return f->egress;
}

/* ---- Emit ---- */

void worker_flush(struct worker *w)
{
	emit_flush(w);
	answer_flush(w); /* last: answers may have been queued for an egress, too */
	inbox_flush(w);
}

/* Send a packet whose verdict was taken its way. */
static enum reason emit_one(struct worker *w, const struct table *table, const struct links *links,
			    uint16_t egress, struct packet *p, struct flow *f)
{
	switch (w->egress[egress].type) {
	case EGRESS_INTERFACE:
	case EGRESS_WIREGUARD:
		if (f && (f->seen & FLOW_HAIRPIN))
			return hairpin_packet(w, table, links, p, f);
		if (w->egress[egress].port)
			return emit_tunnel(w, links, egress, p, f);
		return emit_packet(w, links, egress, p, f);
	case EGRESS_REJECT:
		answer_reject(w, p);
		return REASON_REJECTED;
	case EGRESS_DROP:
		break;
	}
	return REASON_RULE;
}

/* Send each packet of the burst its way. */
static void emit_burst(struct worker *w, const struct table *table, const struct links *links,
		       unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];
		struct flow *f = NULL;
		unsigned segments = it->reason == REASON_NONE ? packet_segments(&it->packet) : 1;
		uint16_t egress = 0;

		if (it->done)
			continue;
		if (it->reason == REASON_NONE)
			egress = settle(w, table, links, it, &f);
		if (it->reason == REASON_NONE)
			it->reason = emit_one(w, table, links, egress, &it->packet, f);
		if (it->reason != REASON_NONE)
			worker_drop(w, it->reason, segments);
	}
	worker_flush(w);
}

void worker_burst(struct worker *w, const struct table *table, const struct links *links,
		  unsigned n)
{
	decide_burst(w, table, n);
	emit_burst(w, table, links, n);
}

/* The only egress is a tunnel, which takes them as they are. */
static void emit_straight(struct worker *w, unsigned n)
{
	struct wg_port *port = w->egress[0].port;

	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];
		unsigned segments = it->reason == REASON_NONE ? packet_segments(&it->packet) : 1;

		if (it->reason == REASON_NONE)
			it->reason = wg_outward_packet(w, port, &it->packet);
		if (it->reason != REASON_NONE)
			worker_drop(w, it->reason, segments);
	}
	worker_flush(w);
}

/* ---- Out: from the TUN ---- */

static unsigned serve_tun(struct worker *w, const struct table *table, const struct links *links)
{
	int error = 0;
	unsigned n = tun_recv_burst(w->tun, w->bufs, BURST_MAX, BURST_BYTES_MAX, &error);

	gather_begin(&w->gather_out);
	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];

		it->done = false;
		it->reason = w->straight ? wg_outward_parse(&w->bufs[i], &it->packet)
					 : packet_parse(&w->bufs[i], &it->packet);
		worker_count(&w->counters.packets_in,
			     it->reason == REASON_NONE ? packet_segments(&it->packet) : 1);
		worker_count(&w->counters.bytes_in, w->bufs[i].len);
		if (it->reason == REASON_NONE && !w->straight && owner_is_doubtful(w, &it->packet))
			it->reason = owner_sort(w, links, &it->packet);
	}
	if (n && w->straight)
		emit_straight(w, n);
	else if (n)
		worker_burst(w, table, links, n);
	return n;
}

/* ---- The loop ---- */

unsigned worker_turn(struct worker *w, uint64_t now_ms)
{
	const struct table *table = route_table(w->routes); /* [pub-2] is inside */
	const struct links *links = route_links(w->routes);
	unsigned n;

	w->now_ms = now_ms;
	for (unsigned i = 0; i < w->egress_count; i++)
		if (w->egress[i].port)
			wg_outward_retry(w, w->egress[i].port);
	n = serve_tun(w, table, links);
	for (unsigned i = 0; i < w->egress_count; i++) {
		if (w->egress[i].port)
			n += arrive_by_tunnel(w, table, links, i);
		else if (w->egress[i].nat)
			n += arrive_by_interface(w, table, links, i);
	}
	n += arrive_by_inbox(w, table, links);
	gather_expire(w, &w->gather_out);
	gather_expire(w, &w->gather_in);
	chores_retry_pending(w, links);
	n += inspect_serve(w);
	chores_sweep(w);
	if (n)
		worker_count(&w->counters.bursts, 1);
	return n;
}

static bool stop_requested(const struct worker *w)
{
	return __atomic_load_n(&w->stop, __ATOMIC_RELAXED);
}

void *worker_main(void *argument)
{
	struct worker *w = argument;
	uint64_t last_work = 0;

	if (w->thread_begin)
		w->thread_begin(w->context, w->index);
	route_enter();
	while (!stop_requested(w)) {
		unsigned n = worker_turn(w, chores_now_ns() / 1000000);
		uint64_t now = chores_now_ns();

		route_quiescent(); /* table and links must not be used below here */
		if (n) {
			last_work = now;
		} else if (now - last_work > w->spin_ns &&
			   inbox_doze(w->inbox.in, &w->inbox.asleep)) {
			route_offline();
			chores_wait(w);
			route_online();
			inbox_rouse(&w->inbox.asleep);
			last_work = chores_now_ns();
		}
	}
	route_exit();
	return NULL;
}

/* ---- Life-cycle ---- */

void worker_wake(struct worker *w)
{
	ssize_t n = write(w->wake[1], "", 1);

	(void)n; /* full: it is readable already */
}

static void release_flow(void *context, const struct flow *f)
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

int worker_init(struct worker *w, size_t flows, uint64_t seed)
{
	size_t size = (size_t)BURST_MAX * (BUF_SIZE + REPLY_SIZE_MAX) + 2 * (size_t)BUF_SIZE;

	w->storage = malloc(size);
	if (!w->storage)
		return -ENOMEM;
	w->pending = pending_create();
	if (!w->pending)
		goto free_storage;
	w->flows = flow_table_create(flows, seed, release_flow, w);
	if (!w->flows)
		goto free_pending;
	/* One more: a flow enters before another is evicted for it. */
	w->sources = sources_create(flow_capacity(w->flows) + 1, seed);
	if (!w->sources)
		goto free_flows;
	if (inbox_init(&w->inbox) < 0)
		goto destroy_sources;
	for (unsigned i = 0; i < BURST_MAX; i++) {
		w->bufs[i].data = w->storage + (size_t)i * BUF_SIZE;
		w->replies[i].data =
			w->storage + (size_t)BURST_MAX * BUF_SIZE + (size_t)i * REPLY_SIZE_MAX;
	}
	w->pieces.data = w->storage + size - 2 * (size_t)BUF_SIZE;
	w->pieces.segment.data = w->pieces.data + BUF_SIZE;
	w->gather_out.fragments.seed = seed;
	w->gather_in.fragments.seed = seed;
	return 0;

destroy_sources:
	sources_destroy(w->sources);
free_flows:
	flow_table_destroy(w->flows);
free_pending:
	pending_destroy(w->pending);
free_storage:
	free(w->storage);
	return -ENOMEM;
}

void worker_fini(struct worker *w)
{
	flow_table_destroy(w->flows); /* its flows leave their sources */
	sources_destroy(w->sources);
	pending_destroy(w->pending);
	inbox_fini(&w->inbox);
	free(w->storage);
}
