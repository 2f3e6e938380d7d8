/*
 * The packet path. Overview, as a packet meets it:
 *
 *   out: TUN -> receive -> parse -> decide (route cache, then table) -> translate -> emit
 *   in:  interface -> receive -> parse -> find the flow -> translate back -> TUN
 *
 * A burst is taken through each stage as an array. decide_burst() and settle() are the only place
 * where verdicts are taken. Answers (RST, ICMP) ride on the burst's way back into the TUN.
 *
 * Threads: one worker, one thread; it owns all that it writes. The table and the links are read
 * once a turn and forgotten at its end. Nothing here calls malloc, takes a lock or writes a log.
 */
#include "dataplane/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/chores.h"
#include "dataplane/inspect.h"
#include "dataplane/links.h"
#include "dataplane/reject.h"
#include "dataplane/rewrite.h"

enum {
	EVICTIONS_MAX = 4,   /* for want of a port */
	REPLIES_PER_MS = 10, /* answers a worker gives, at most */
	REPLIES_BURST = 1000,
};

/* ---- Answers and the way back into the TUN ---- */

static void send_to_tun(struct worker *w)
{
	unsigned taken;

	if (w->to_tun_count == 0)
		return;
	taken = tun_send_burst(w->tun, w->to_tun, w->to_tun_count);
	worker_drop(w, REASON_TUN_BUSY, w->to_tun_count - taken);
	w->to_tun_count = 0;
	w->reply_count = 0;
}

/* A buffer for an answer, or NULL when enough have been given. */
static struct buf *reply_buf(struct worker *w)
{
	if (w->reply_ms != w->now_ms) {
		w->reply_tokens += (w->now_ms - w->reply_ms) * REPLIES_PER_MS;
		if (w->reply_tokens > REPLIES_BURST)
			w->reply_tokens = REPLIES_BURST;
		w->reply_ms = w->now_ms;
	}
	if (w->reply_tokens == 0 || w->reply_count == BURST_MAX)
		return NULL;
	return &w->replies[w->reply_count];
}

static void reply_push(struct worker *w, struct buf *reply)
{
	w->reply_tokens--;
	w->reply_count++;
	w->to_tun[w->to_tun_count++] = reply;
	worker_count(&w->counters.packets_out, 1);
	worker_count(&w->counters.bytes_out, reply->len);
}

static void reject(struct worker *w, const struct packet *p)
{
	struct buf *reply = reply_buf(w);

	if (reply && reject_build(p, NULL, reply))
		reply_push(w, reply);
}

static void reset_inner(struct worker *w, const struct packet *p, bool outbound)
{
	struct buf *reply = reply_buf(w);

	if (reply && reject_reset_inner(p, outbound, reply))
		reply_push(w, reply);
}

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

static uint16_t lookup_one(const struct table *table, const struct flow_key *key)
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

		if (it->reason == REASON_NONE && it->packet.kind == PACKET_TRANSPORT) {
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
		if (it->reason != REASON_NONE)
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

/*
 * A flow that an older table decided gets the new one's verdict. Returns the flow, or NULL if its
 * egress changed and it had to go.
 */
static struct flow *renew(struct worker *w, const struct table *table, struct flow *f,
			  uint16_t verdict)
{
	uint16_t egress = table->verdicts[verdict].egress;

	f->generation = table->generation;
	f->verdict = verdict;
	if (egress == f->egress) {
		f->seen &= (uint8_t)~FLOW_DRAINING;
		worker_count(&w->counters.flow_renewed, 1);
		return f;
	}
	if (w->on_change == ON_CHANGE_KEEP) {
		f->seen |= FLOW_DRAINING;
		return f;
	}
	worker_count(&w->counters.flow_moved, 1);
	flow_remove(w->flows, f);
	return NULL;
}

/*
 * Make the flow of a packet that the route cache does not know. The port comes first: without one
 * no other flow is evicted. When ports are short, flows that nothing answered give theirs up.
 */
static struct flow *admit(struct worker *w, const struct table *table, struct item *it)
{
	const struct packet *p = &it->packet;
	uint16_t egress = table->verdicts[it->verdict].egress;
	struct nat *nat = w->egress[egress].nat;
	uint32_t map = nat ? nat_acquire(nat, &p->key, w->now_ms) : FLOW_NAT_NONE;
	struct flow *f;

	/* One flow's end need not free a port: others may share its mapping. */
	for (unsigned i = 0; nat && map == FLOW_NAT_NONE && i < EVICTIONS_MAX; i++) {
		if (!flow_evict_unanswered(w->flows, &p->key, egress, w->now_ms))
			break;
		map = nat_acquire(nat, &p->key, w->now_ms);
	}

	worker_count(&w->counters.flow_misses, 1);
	if (nat && map == FLOW_NAT_NONE) {
		it->reason = REASON_NO_PORT;
		reject(w, p); /* RFC 5508, REQ-8 */
		return NULL;
	}
	f = flow_create(w->flows, &p->key, it->hash, w->now_ms);
	f->generation = table->generation;
	f->verdict = it->verdict;
	f->egress = egress;
	f->nat = map;
	return f;
}

/* The flow whose answer an ICMP error from the inner side is about, or NULL. */
static struct flow *flow_of_error(struct worker *w, const struct packet *p)
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
 * The one function that takes verdicts: which flow a packet belongs to, or why it goes no further.
 * Returns the egress; *flow is set for packets that have one.
 */
static uint16_t settle(struct worker *w, const struct table *table, struct item *it,
		       struct flow **flow)
{
	struct packet *p = &it->packet;
	struct flow *f;
	uint16_t egress = 0;

	*flow = NULL;
	if (!routable(&p->key)) {
		it->reason = REASON_LINK_LOCAL;
		return 0;
	}
	switch (p->kind) {
	case PACKET_FRAGMENT:
		if (!fragment_follow(&w->fragments, p, table->generation, w->now_ms, &egress))
			it->reason = REASON_FRAGMENT;
		return egress;
	case PACKET_ICMP_ERROR:
		f = flow_of_error(w, p);
		if (f && f->generation != table->generation) {
			f = renew(w, table, f, lookup_one(table, &f->key));
			it->reason = f ? REASON_NONE : REASON_EGRESS_CHANGED;
		}
		*flow = f;
		if (f || it->reason != REASON_NONE)
			return f ? f->egress : 0;
		__attribute__((fallthrough));
	case PACKET_OTHER:
		egress = table->verdicts[it->verdict].egress;
		if (w->egress[egress].nat)
			it->reason = REASON_PROTOCOL;
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
	if (!it->decided && (!f || f->generation != table->generation)) {
		it->verdict = lookup_one(table, &p->key);
		it->decided = true;
	}
	if (f && f->generation != table->generation) {
		f = renew(w, table, f, it->verdict);
		if (!f && p->key.proto == PROTO_TCP && !opens_connection(p)) {
			reset_inner(w, p, true);
			it->reason = REASON_EGRESS_CHANGED;
			return 0;
		}
	} else if (f) {
		worker_count(&w->counters.flow_hits, 1);
	}
	if (!f)
		f = admit(w, table, it);
	if (!f)
		return 0;
	if (p->first_fragment)
		fragment_note(&w->fragments, p, f->egress, table->generation, w->now_ms);
	flow_note_out(w->flows, f, p, packet_segments(p), w->now_ms);
	*flow = f;
	return f->egress;
}

/* ---- Emit ---- */

static void wish_push(struct worker *w, unsigned egress, const struct addr *via)
{
	uint32_t head = w->wish_head;
	/* [wish-1] pairs with [wish-2]: the slot was read before it is written again. */
	uint32_t tail = __atomic_load_n(&w->wish_tail, __ATOMIC_ACQUIRE);

	if (head - tail == WISHES_MAX)
		return; /* asked again with the next packet */
	w->wishes[head % WISHES_MAX] = (struct wish){.egress = egress, .via = *via};
	/* [wish-3] pairs with [wish-4]: the wish is whole before it is seen. */
	__atomic_store_n(&w->wish_head, head + 1, __ATOMIC_RELEASE);
	if (write(w->wish_fd, "", 1) < 0)
		return; /* the pipe is full, so it is readable: enough */
}

/* Put a translated packet on its way, or let it wait for the next hop's link-layer address. */
static enum reason enqueue(struct worker *w, const struct link *link, unsigned egress,
			   struct packet *p)
{
	struct worker_egress *e = &w->egress[egress];
	struct addr dst = key_dst(&p->key), via;
	bool first;

	switch (e->ethernet ? link_next_hop(link, &dst, &via, p->buf->next_hop) : LINK_HOP_OK) {
	case LINK_HOP_OK:
		e->out[e->out_count++] = p->buf;
		worker_count(&w->counters.egress[egress].packets_out, packet_segments(p));
		worker_count(&w->counters.egress[egress].bytes_out, p->buf->len);
		return REASON_NONE;
	case LINK_HOP_UNRESOLVED:
		if (!pending_add(w->pending, p->buf, egress, &via, w->now_ms, &first))
			return REASON_UNRESOLVED;
		if (first)
			wish_push(w, egress, &via);
		return REASON_NONE;
	case LINK_HOP_NONE:
		break;
	}
	return REASON_NO_NEXT_HOP;
}

static bool too_big(const struct packet *p, const struct link *link)
{
	const struct buf *b = p->buf;
	uint32_t largest =
		b->offload.gso_type ? (uint32_t)p->payload + b->offload.gso_size : b->len;

	return link->mtu && largest > link->mtu;
}

static void translate_out(struct packet *p, const uint8_t *addr, uint16_t port)
{
	uint16_t quoted_offset, l4_offset;
	struct flow_key quoted;

	if (p->kind == PACKET_ICMP_ERROR &&
	    packet_quoted(p, &quoted, &quoted_offset, &l4_offset) == REASON_NONE)
		rewrite_icmp_error_out(p, quoted_offset, l4_offset, addr, port);
	else
		rewrite_source(p, addr, port);
}

static enum reason emit_interface(struct worker *w, const struct links *links, unsigned egress,
				  struct packet *p, const struct flow *f)
{
	const struct link *link = &links->link[egress];
	struct worker_egress *e = &w->egress[egress];
	const struct addr *source = p->key.version == 4 ? &link->address4 : &link->address6;
	uint8_t bytes[16];

	if (!link->up)
		return REASON_LINK_DOWN;
	if (too_big(p, link)) {
		struct buf *reply = reply_buf(w);

		if (reply && reject_too_big(p, NULL, link->mtu, reply))
			reply_push(w, reply);
		return REASON_TOO_BIG;
	}
	if (e->nat) {
		if (source->version == 0) {
			reject(w, p);
			return REASON_NO_ADDRESS;
		}
		addr_to_bytes(source, bytes);
		translate_out(p, bytes, f ? nat_at(e->nat, f->nat)->outer_port : 0);
	}
	return enqueue(w, link, egress, p);
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

		if (it->reason == REASON_NONE)
			egress = settle(w, table, it, &f);
		if (it->reason == REASON_NONE) {
			switch (w->egress[egress].type) {
			case EGRESS_INTERFACE:
				it->reason = emit_interface(w, links, egress, &it->packet, f);
				break;
			case EGRESS_DROP:
				it->reason = REASON_RULE;
				break;
			case EGRESS_REJECT:
				reject(w, &it->packet);
				it->reason = REASON_REJECTED;
				break;
			}
		}
		if (it->reason != REASON_NONE)
			worker_drop(w, it->reason, segments);
	}
	for (unsigned i = 0; i < w->egress_count; i++) {
		struct worker_egress *e = &w->egress[i];

		if (e->out_count == 0)
			continue;
		unsigned taken = nic_send_burst(e->nic, e->out, e->out_count);
		worker_drop(w, REASON_EGRESS_BUSY, e->out_count - taken);
		e->out_count = 0;
	}
	send_to_tun(w);
}

/* ---- Out: from the TUN ---- */

static unsigned serve_tun(struct worker *w, const struct table *table, const struct links *links)
{
	int error = 0;
	unsigned n = tun_recv_burst(w->tun, w->bufs, BURST_MAX, BURST_BYTES_MAX, &error);

	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];

		it->reason = packet_parse(&w->bufs[i], &it->packet);
		worker_count(&w->counters.packets_in,
			     it->reason == REASON_NONE ? packet_segments(&it->packet) : 1);
		worker_count(&w->counters.bytes_in, w->bufs[i].len);
	}
	if (n) {
		decide_burst(w, table, n);
		emit_burst(w, table, links, n);
	}
	return n;
}

/* ---- In: from an interface ---- */

/* The key by which the inner side knows the flow of a packet that `map` let in from `remote`. */
static struct flow_key inner_key(const struct nat_map *map, const uint8_t *remote,
				 uint16_t remote_port)
{
	struct flow_key k = {
		.src_port = map->inner_port, .proto = map->proto, .version = map->version};
	bool echo = map->proto == PROTO_ICMP || map->proto == PROTO_ICMP6;

	memcpy(k.src, map->inner, sizeof(k.src));
	memcpy(k.dst, remote, sizeof(k.dst));
	k.dst_port = echo ? map->inner_port : remote_port;
	return k;
}

static bool is_address(const uint8_t *bytes, const struct addr *addr)
{
	uint8_t want[16];

	if (addr->version == 0)
		return false;
	addr_to_bytes(addr, want);
	return memcmp(bytes, want, addr->version == 4 ? 4 : 16) == 0;
}

/* An ICMP error from outside, about a packet of ours. */
static enum reason return_error(struct worker *w, const struct worker_egress *e, struct packet *p)
{
	const struct nat_map *map;
	struct flow_key quoted, key;
	uint16_t quoted_offset, l4_offset;
	enum reason reason = packet_quoted(p, &quoted, &quoted_offset, &l4_offset);

	if (reason != REASON_NONE)
		return reason;
	/* It must quote what left us: from this very address. */
	if (memcmp(quoted.src, p->key.dst, sizeof(quoted.src)) != 0)
		return REASON_UNSOLICITED;
	map = nat_find_outer(e->nat, quoted.version, quoted.proto, quoted.src_port);
	if (!map)
		return REASON_UNSOLICITED;
	key = inner_key(map, quoted.dst, quoted.dst_port);
	if (!flow_find(w->flows, &key, flow_hash(w->flows, &key), w->now_ms))
		return REASON_UNSOLICITED;
	rewrite_icmp_error(p, quoted_offset, l4_offset, map->inner, map->inner_port);
	return REASON_NONE;
}

static enum reason return_packet(struct worker *w, const struct table *table,
				 const struct links *links, unsigned egress, struct packet *p)
{
	const struct worker_egress *e = &w->egress[egress];
	const struct link *link = &links->link[egress];
	const struct nat_map *map;
	struct flow_key key;
	struct flow *f;
	uint8_t inner[16];
	uint16_t inner_port;

	if (!is_address(p->key.dst, p->key.version == 4 ? &link->address4 : &link->address6))
		return REASON_UNSOLICITED;
	if (p->kind == PACKET_ICMP_ERROR)
		return return_error(w, e, p);
	if (p->kind != PACKET_TRANSPORT)
		return p->kind == PACKET_FRAGMENT ? REASON_FRAGMENT : REASON_PROTOCOL;
	map = nat_find_outer(e->nat, p->key.version, p->key.proto, p->key.dst_port);
	if (!map)
		return REASON_UNSOLICITED;
	key = inner_key(map, p->key.src, p->key.src_port);
	f = flow_find(w->flows, &key, flow_hash(w->flows, &key), w->now_ms);
	if (!f || f->egress != egress)
		return REASON_UNSOLICITED;

	memcpy(inner, map->inner, sizeof(inner));
	inner_port = map->inner_port;
	if (f->generation != table->generation) {
		uint16_t verdict = lookup_one(table, &key);

		/*
		 * A question from before the reload may still be answered: the next one moves the
		 * flow. TCP is told at once.
		 */
		if (table->verdicts[verdict].egress == egress || p->key.proto == PROTO_TCP)
			f = renew(w, table, f, verdict);
		if (!f) {
			rewrite_destination(p, inner, inner_port);
			reset_inner(w, p, false);
			return REASON_EGRESS_CHANGED;
		}
	}
	flow_note_in(w->flows, f, p, packet_segments(p), w->now_ms);
	rewrite_destination(p, inner, inner_port);
	return REASON_NONE;
}

static unsigned serve_egress(struct worker *w, const struct table *table, const struct links *links,
			     unsigned egress)
{
	struct worker_egress *e = &w->egress[egress];
	int error = 0;
	unsigned n = nic_recv_burst(e->nic, w->bufs, BURST_MAX, BURST_BYTES_MAX, &error);

	for (unsigned i = 0; i < n; i++) {
		struct packet *p = &w->items[i].packet;
		enum reason reason = packet_parse(&w->bufs[i], p);
		unsigned segments = reason == REASON_NONE ? packet_segments(p) : 1;

		worker_count(&w->counters.egress[egress].packets_in, segments);
		worker_count(&w->counters.egress[egress].bytes_in, w->bufs[i].len);
		if (reason == REASON_NONE)
			reason = return_packet(w, table, links, egress, p);
		if (reason != REASON_NONE) {
			worker_drop(w, reason, segments);
			continue;
		}
		w->to_tun[w->to_tun_count++] = p->buf;
		worker_count(&w->counters.packets_out, segments);
		worker_count(&w->counters.bytes_out, p->buf->len);
	}
	send_to_tun(w);
	return n;
}

/* ---- The loop ---- */

unsigned worker_turn(struct worker *w)
{
	const struct table *table = route_table(w->routes); /* [pub-2] is inside */
	const struct links *links = route_links(w->routes);
	unsigned n;

	w->now_ms = chores_now_ns() / 1000000;
	n = serve_tun(w, table, links);
	for (unsigned i = 0; i < w->egress_count; i++)
		if (w->egress[i].nat)
			n += serve_egress(w, table, links, i);
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
		unsigned n = worker_turn(w);
		uint64_t now = chores_now_ns();

		route_quiescent(); /* table and links must not be used below here */
		if (n) {
			last_work = now;
		} else if (now - last_work > w->spin_ns) {
			route_offline();
			chores_wait(w);
			route_online();
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

	if (f->nat != FLOW_NAT_NONE)
		nat_release(w->egress[f->egress].nat, f->nat, w->now_ms);
}

int worker_init(struct worker *w, size_t flows, uint64_t seed)
{
	size_t size = (size_t)BURST_MAX * (BUF_SIZE + REPLY_SIZE_MAX);

	w->storage = malloc(size);
	if (!w->storage)
		return -ENOMEM;
	w->pending = pending_create();
	if (!w->pending)
		goto free_storage;
	w->flows = flow_table_create(flows, seed, release_flow, w);
	if (!w->flows)
		goto free_pending;
	for (unsigned i = 0; i < BURST_MAX; i++) {
		w->bufs[i].data = w->storage + (size_t)i * BUF_SIZE;
		w->replies[i].data =
			w->storage + (size_t)BURST_MAX * BUF_SIZE + (size_t)i * REPLY_SIZE_MAX;
	}
	w->fragments.seed = seed;
	return 0;

free_pending:
	pending_destroy(w->pending);
free_storage:
	free(w->storage);
	return -ENOMEM;
}

void worker_fini(struct worker *w)
{
	flow_table_destroy(w->flows);
	pending_destroy(w->pending);
	free(w->storage);
}
