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

#include "dataplane/admit.h"
#include "dataplane/answer.h"
#include "dataplane/arrive.h"
#include "dataplane/chores.h"
#include "dataplane/emit.h"
#include "dataplane/hairpin.h"
#include "dataplane/inspect.h"
#include "dataplane/inward.h"
#include "dataplane/owner.h"
#include "dataplane/rewrite.h"
#include "dataplane/stages.h"
#include "dataplane/wireguard/outward.h"

/* ---- Decide ---- */

/* Destinations that no egress may carry, and sources that no answer could reach. */
static bool routable(const struct flow_key *k)
{
	if (k->version == 4)
		return k->dst[0] != 0 && k->dst[0] != 127 && k->dst[0] < 224 && k->src[0] != 0 &&
		       k->src[0] != 127 && k->src[0] < 224 &&
		       !(k->dst[0] == 169 && k->dst[1] == 254) &&
		       !(k->src[0] == 169 && k->src[1] == 254);
	static const uint8_t zero[15], mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool dst_special = memcmp(k->dst, zero, 15) == 0 && k->dst[15] <= 1;
	bool src_special = memcmp(k->src, zero, 15) == 0 && k->src[15] <= 1;

	if (memcmp(k->dst, mapped, 12) == 0 || memcmp(k->src, mapped, 12) == 0)
		return false; /* IPv4 in disguise */
	return !dst_special && !src_special && k->dst[0] != 0xff && k->src[0] != 0xff &&
	       !(k->dst[0] == 0xfe && (k->dst[1] & 0xc0) == 0x80) &&
	       !(k->src[0] == 0xfe && (k->src[1] & 0xc0) == 0x80);
}

uint16_t worker_verdict(const struct table *table, const struct flow_key *key)
{
	struct addr dst = key_dst(key);

	return table_lookup(table, &dst);
}

/* Find the flows of the burst. Nothing has come or gone meanwhile, so all are good at the end. */
static void find_burst(struct worker *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];

		if (it->reason == REASON_NONE && !it->done && it->packet.kind == PACKET_TRANSPORT) {
			it->hash = flow_hash(w->flows, &it->packet.key);
			flow_prefetch(w->flows, it->hash);
		}
	}
	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];

		it->flow = NULL;
		if (it->reason == REASON_NONE && !it->done && it->packet.kind == PACKET_TRANSPORT)
			it->flow = flow_find(w->flows, &it->packet.key, it->hash, w->now_ms);
	}
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
		const struct flow_key *k = &it->packet.key;
		struct addr dst;

		it->decided = false;
		if (it->reason != REASON_NONE || it->done ||
		    (it->flow && it->flow->generation == table->generation) || !routable(k))
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

static bool is_same(const struct addr *a, const struct addr *b)
{
	if (a->version != b->version)
		return false;
	return a->version == 4 ? a->v4 == b->v4 : a->v6.hi == b->v6.hi && a->v6.lo == b->v6.lo;
}

bool worker_owns(const struct worker *w, const struct links *links, const struct addr *addr)
{
	for (unsigned i = 0; i < w->own_count; i++)
		if (is_same(&w->own[i], addr))
			return true;
	for (unsigned i = 0; i < links->count; i++) {
		const struct link *l = &links->link[i];

		if (is_same(addr->version == 4 ? &l->address4 : &l->address6, addr))
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
static bool lead(struct worker *w, const struct packet *p, const struct fragment_aim *aim)
{
	if (!fragment_note(&w->gather_out.fragments, p, aim, w->now_ms))
		return false;
	gather_release(w, &w->gather_out, p, w->index);
	return true;
}

/*
 * The flow of a packet that has one, admitted if it is new; or NULL, and why it goes no further.
 *
 * unchanged: no flow has come or gone since flows were found for the burst
 */
static struct flow *settle_flow(struct worker *w, const struct table *table,
				const struct links *links, struct item *it, bool unchanged)
{
	struct packet *p = &it->packet;
	struct flow *f = it->flow;

	/* Admitting an earlier packet of the burst may have made it or evicted it. */
	if (!unchanged)
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
			return NULL;
		}
	} else if (f) {
		it->hit = true;
	}
	return f ? f : admit_flow(w, table, links, it);
}

/*
 * The one function that takes verdicts: by which egress a packet goes, and as what, or why it goes
 * no further.
 */
static void settle(struct worker *w, const struct table *table, const struct links *links,
		   struct item *it, bool unchanged)
{
	struct fragment_aim aim = {.worker = (uint16_t)w->index, .generation = table->generation};
	struct packet *p = &it->packet;
	struct flow *f = NULL;

	it->reason = pass(w, links, p);
	if (it->reason != REASON_NONE)
		return;
	switch (p->kind) {
	case PACKET_FRAGMENT:
		if (!fragment_follow(&w->gather_out.fragments, p, w->now_ms, &aim) ||
		    aim.generation != table->generation)
			it->reason = REASON_FRAGMENT;
		it->egress = aim.egress;
		return;
	case PACKET_ICMP_ERROR:
		f = worker_flow_of_error(w, p);
		if (f && moves(w, table, links, f))
			it->reason = REASON_EGRESS_CHANGED;
		if (f)
			break;
		__attribute__((fallthrough));
	case PACKET_OTHER:
		it->egress = worker_way(w, table, links, it->verdict);
		if (w->egress[it->egress].nat) {
			it->reason = REASON_PROTOCOL;
			answer_prohibited(w, p);
		}
		return;
	case PACKET_TRANSPORT:
		f = settle_flow(w, table, links, it, unchanged);
		if (!f)
			return;
		aim.egress = f->egress;
		if (p->first_fragment && !lead(w, p, &aim)) {
			it->reason = REASON_FRAGMENT;
			return;
		}
		flow_note_out(w->flows, f, p, it->segments, w->now_ms);
		break;
	}
	it->flow = f;
	it->egress = f->egress;
	it->outer_port = f->outer_port;
	it->hairpin = f->seen & FLOW_HAIRPIN;
}

static void settle_burst(struct worker *w, const struct table *table, const struct links *links,
			 unsigned n)
{
	uint64_t changes = flow_changes(w->flows), hits = 0;

	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];

		if (it->reason != REASON_NONE || it->done)
			continue;
		it->egress = it->outer_port = 0;
		it->hit = it->hairpin = false;
		settle(w, table, links, it, flow_changes(w->flows) == changes);
		hits += it->hit;
	}
	worker_count(&w->counters.flow_hits, hits);
}

/* ---- Emit ---- */

void worker_flush(struct worker *w)
{
	emit_flush(w);
	answer_flush(w); /* last: answers may have been queued for an egress, too */
	inbox_flush(w);
}

static enum reason emit(struct worker *w, const struct table *table, const struct links *links,
			struct item *it)
{
	enum reason reason;

	switch (w->egress[it->egress].type) {
	case EGRESS_INTERFACE:
	case EGRESS_WIREGUARD:
		if (it->hairpin)
			return hairpin_packet(w, table, links, it->egress, &it->packet,
					      it->outer_port);
		if (w->egress[it->egress].port)
			return emit_tunnel(w, links, it->egress, &it->packet, it->outer_port);
		reason = emit_packet(w, links, it->egress, &it->packet, it->outer_port);
		/* Where another flow is now, it learns its own hop when its packet is sent. */
		if (it->flow && reason == REASON_NONE)
			it->flow->hop = w->hop;
		return reason;
	case EGRESS_REJECT:
		answer_reject(w, &it->packet);
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
		unsigned segments = it->segments;

		if (it->done)
			continue;
		if (it->reason == REASON_NONE)
			it->reason = emit(w, table, links, it);
		if (it->reason != REASON_NONE)
			worker_drop(w, it->reason, segments);
	}
	worker_flush(w);
}

void worker_burst(struct worker *w, const struct table *table, const struct links *links,
		  unsigned n)
{
	find_burst(w, n);
	decide_burst(w, table, n);
	admit_prepare(w, table, links, n);
	settle_burst(w, table, links, n);
	stage_end(w, STAGE_DECIDE);
	emit_burst(w, table, links, n);
	stage_end(w, STAGE_EMIT);
}

/* The only egress is a tunnel, which takes them as they are. */
static void burst_straight(struct worker *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];
		unsigned segments = it->segments;

		if (it->reason == REASON_NONE)
			it->reason = emit_straight(w, &it->packet);
		if (it->reason != REASON_NONE)
			worker_drop(w, it->reason, segments);
	}
	stage_end_inside(w, STAGE_DECIDE);
	worker_flush(w);
}

/* ---- Out: from the TUN ---- */

static void parse_burst(struct worker *w, const struct links *links, unsigned n)
{
	uint64_t packets = 0, bytes = 0;

	gather_begin(&w->gather_out);
	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];

		it->done = false;
		it->reason = w->straight ? wg_outward_parse(&w->bufs[i], &it->packet)
					 : packet_parse(&w->bufs[i], &it->packet);
		it->segments = it->reason == REASON_NONE ? packet_segments(&it->packet) : 1;
		packets += it->segments;
		bytes += w->bufs[i].len;
		if (it->reason == REASON_NONE && !w->straight && owner_is_doubtful(w, &it->packet))
			it->reason = owner_sort(w, links, &it->packet);
	}
	nap_count(&w->nap, n, bytes);
	worker_count(&w->counters.packets_in, packets);
	worker_count(&w->counters.bytes_in, bytes);
}

static unsigned serve_tun(struct worker *w, const struct table *table, const struct links *links)
{
	int error = 0;
	unsigned n;

	stage_begin(w);
	n = tun_recv_burst(w->tun, w->bufs, BURST_MAX, BURST_BYTES_MAX, &error);
	if (n == 0)
		return 0; /* what a look costs is no stage */
	stage_end(w, STAGE_RECEIVE);
	parse_burst(w, links, n);
	stage_end(w, STAGE_PARSE);
	if (w->straight) {
		burst_straight(w, n);
		stage_end(w, STAGE_EMIT);
	} else {
		worker_burst(w, table, links, n);
	}
	return n;
}

/* ---- The loop ---- */

unsigned worker_turn(struct worker *w, uint64_t now_ms)
{
	const struct table *table = route_table(w->routes); /* [pub-2] is inside */
	const struct links *links = route_links(w->routes);
	unsigned n;

	w->now_ms = now_ms;
	w->turns++;
	w->stage_ns = 0;
	if (w->turns % STAGE_TURNS == 0)
		stages_begin_turn(w);
	for (unsigned i = 0; i < w->egress_count; i++)
		if (w->egress[i].port)
			wg_outward_retry(w, w->egress[i].port);
	n = serve_tun(w, table, links);
	for (unsigned i = 0; i < w->egress_count; i++)
		if (w->egress[i].port)
			wg_outward_settle(w, w->egress[i].port);
	for (unsigned i = 0; i < w->egress_count; i++) {
		if (w->egress[i].port)
			n += arrive_by_tunnel(w, table, links, i);
		else if (w->egress[i].nat)
			n += arrive_by_interface(w, table, links, i);
	}
	n += arrive_by_inbox(w, table, links);
	for (unsigned i = 0; n == 0 && i < w->egress_count; i++)
		if (w->egress[i].port)
			n = wg_spread_help(w, w->egress[i].port);
	gather_expire(w, &w->gather_out);
	gather_expire(w, &w->gather_in);
	chores_retry_pending(w, links);
	n += inspect_serve(w);
	chores_sweep(w);
	if (w->stage_ns)
		stages_end_turn(w);
	if (n)
		worker_count(&w->counters.bursts, 1);
	return n;
}

enum {
	REVIEW_NS = 50 * 1000 * 1000,
};

static bool stop_requested(const struct worker *w)
{
	return __atomic_load_n(&w->stop, __ATOMIC_RELAXED);
}

void *worker_main(void *argument)
{
	struct worker *w = argument;
	uint64_t last_work = 0, review = 0;

	if (w->thread_begin)
		w->thread_begin(w->context, w->index);
	route_enter();
	while (!stop_requested(w)) {
		unsigned n = worker_turn(w, chores_now_ns() / 1000000);
		uint64_t now = chores_now_ns(), nap_ns = nap_length_ns(&w->nap, now);

		route_quiescent(); /* table and links must not be used below here */
		if (now >= review && w->thread_review) {
			w->thread_review(w->context, w->index);
			review = now + REVIEW_NS;
		}
		if (n) {
			last_work = now;
		} else if (nap_ns) {
			route_offline();
			chores_nap(w, nap_ns);
			route_online();
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

int worker_init(struct worker *w, size_t flows, uint64_t seed)
{
	size_t size = (size_t)BURST_MAX * (BUF_SIZE + REPLY_SIZE_MAX) + 2 * (size_t)BUF_SIZE;

	w->storage = malloc(size);
	if (!w->storage)
		return -ENOMEM;
	w->pending = pending_create();
	if (!w->pending)
		goto free_storage;
	w->flows = flow_table_create(flows, seed, admit_release, w);
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
