/* See emit.h. */
#include "dataplane/emit.h"

#include <unistd.h>

#include "dataplane/answer.h"
#include "dataplane/cut.h"
#include "dataplane/rewrite.h"
#include "dataplane/wire.h"
#include "dataplane/wireguard/outward.h"

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

static void queue_flush(struct worker *w, struct worker_egress *e)
{
	struct egress_counters *c = &w->counters.egress[e - w->egress];
	unsigned taken = nic_send_burst(e->nic, e->out, e->out_count);

	worker_drop(w, REASON_EGRESS_BUSY, e->out_count - taken);
	worker_count(&c->packets_out, e->out_packets);
	worker_count(&c->bytes_out, e->out_bytes);
	e->out_count = e->out_packets = 0;
	e->out_bytes = 0;
}

/*
 * Put a translated packet on its way, or let it wait for the next hop's link-layer address.
 *
 * packets: how many it is on the wire
 */
static enum reason enqueue(struct worker *w, const struct link *link, unsigned egress,
			   const struct addr *dst, struct buf *buf, unsigned packets)
{
	struct worker_egress *e = &w->egress[egress];
	struct addr via;
	bool first;

	switch (e->ethernet ? link_next_hop(link, dst, &via, buf->next_hop) : LINK_HOP_OK) {
	case LINK_HOP_OK:
		if (e->ethernet && progress_sent(&w->progress, egress, &via, w->now_ms, &w->hop))
			wish_push(w, egress, &via);
		if (e->out_count == BURST_MAX)
			queue_flush(w, e);
		e->out[e->out_count++] = buf;
		e->out_packets += packets;
		e->out_bytes += buf->len;
		return REASON_NONE;
	case LINK_HOP_UNRESOLVED:
		if (!pending_add(w->pending, buf, egress, &via, w->now_ms, &first))
			return REASON_UNRESOLVED;
		if (first)
			wish_push(w, egress, &via);
		return REASON_NONE;
	case LINK_HOP_NONE:
		break;
	}
	return REASON_NO_NEXT_HOP;
}

/* A buffer for a piece of at most that length; what is queued may be sent to make room. */
static struct buf *piece_take(struct worker *w, unsigned len)
{
	struct pieces *p = &w->pieces;
	struct buf *piece;

	if (p->count == BURST_MAX || len > BUF_SIZE - p->used)
		emit_flush(w);
	piece = &p->bufs[p->count++];
	piece->data = p->data + p->used;
	return piece;
}

/* Send a packet that is too long for the link in fragments, in order. */
static enum reason enqueue_fragments(struct worker *w, const struct link *link, unsigned egress,
				     const struct packet *p, struct buf *whole)
{
	struct addr dst = key_dst(&p->key);
	enum reason reason = REASON_NONE;
	struct buf *piece;
	uint32_t at = 0;

	cut_complete(whole);
	while (reason == REASON_NONE) {
		piece = piece_take(w, link->mtu);
		if (!cut_fragment(whole, p->l4_offset, link->mtu, &at, piece)) {
			w->pieces.count--;
			break;
		}
		w->pieces.used += piece->len;
		reason = enqueue(w, link, egress, &dst, piece, 1);
	}
	return reason;
}

/* The same for a super-packet whose segments are too long: each is a packet of its own. */
static enum reason enqueue_pieces(struct worker *w, const struct link *link, unsigned egress,
				  const struct packet *p)
{
	enum reason reason = REASON_NONE;

	if (p->buf->offload.gso_type == OFFLOAD_GSO_NONE)
		return enqueue_fragments(w, link, egress, p, p->buf);
	for (unsigned i = 0; reason == REASON_NONE && i < packet_segments(p); i++) {
		cut_segment(p, i, &w->pieces.segment);
		reason = enqueue_fragments(w, link, egress, p, &w->pieces.segment);
	}
	return reason;
}

/* Every IPv6 link takes 1280 bytes (RFC 8200, section 5). */
static unsigned mtu_for(unsigned mtu, uint8_t version)
{
	if (mtu == 0)
		return UINT32_MAX;
	return version == 6 && mtu < IP6_MTU_MIN ? IP6_MTU_MIN : mtu;
}

static bool too_big(const struct packet *p, unsigned mtu)
{
	const struct buf *b = p->buf;
	uint32_t largest =
		b->offload.gso_type ? (uint32_t)p->payload + b->offload.gso_size : b->len;

	return largest > mtu_for(mtu, p->key.version);
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

void emit_clamp_mss(unsigned mtu, struct packet *p)
{
	unsigned headers = (p->key.version == 4 ? IP4_SIZE : IP6_SIZE) + TCP_SIZE;

	mtu = mtu_for(mtu, p->key.version);
	if (mtu > headers && mtu - headers < UINT16_MAX)
		rewrite_mss(p, (uint16_t)(mtu - headers));
}

enum reason emit_translate(struct worker *w, const struct link *link, unsigned egress,
			   struct packet *p, uint16_t outer_port)
{
	const struct addr *source = p->key.version == 4 ? &link->address4 : &link->address6;
	uint8_t bytes[16];

	if (!w->egress[egress].nat)
		return REASON_NONE;
	if (source->version == 0) {
		/* A connection need not end with the address: it may soon be back, or another. */
		if (p->key.proto != PROTO_TCP || (p->tcp_flags & TCP_SYN))
			answer_reject(w, p);
		return REASON_NO_ADDRESS;
	}
	addr_to_bytes(source, bytes);
	translate_out(p, bytes, outer_port);
	return REASON_NONE;
}

enum reason emit_packet(struct worker *w, const struct links *links, unsigned egress,
			struct packet *p, uint16_t outer_port)
{
	const struct link *link = &links->link[egress];
	struct addr dst = key_dst(&p->key);
	enum reason reason;
	bool cut;

	if (!link->up) {
		if (w->egress[egress].on_down == ON_DOWN_REJECT)
			answer_reject(w, p);
		return REASON_LINK_DOWN;
	}
	cut = too_big(p, link->mtu);
	if (cut && (p->dont_fragment || link->mtu < IP4_MTU_MIN)) {
		answer_too_big(w, p, mtu_for(link->mtu, p->key.version));
		return REASON_TOO_BIG;
	}
	reason = emit_translate(w, link, egress, p, outer_port);
	if (reason != REASON_NONE)
		return reason;
	emit_clamp_mss(link->mtu, p);
	w->hop = PROGRESS_NONE;
	if (cut)
		reason = enqueue_pieces(w, link, egress, p);
	else
		reason = enqueue(w, link, egress, &dst, p->buf, packet_segments(p));
	return reason;
}

/* What may be fragmented is, outside: the tunnel's datagrams are no longer than they must be. */
enum reason emit_tunnel(struct worker *w, const struct links *links, unsigned egress,
			struct packet *p, uint16_t outer_port)
{
	struct wg_port *port = w->egress[egress].port;
	unsigned mtu = wg_outward_mtu(w, port, p);
	enum reason reason;

	if (too_big(p, mtu) && p->dont_fragment) {
		answer_too_big(w, p, mtu_for(mtu, p->key.version));
		return REASON_TOO_BIG;
	}
	reason = emit_translate(w, &links->link[egress], egress, p, outer_port);
	if (reason != REASON_NONE)
		return reason;
	emit_clamp_mss(mtu, p);
	return wg_outward_packet(w, port, p);
}

/* The TUN has the tunnel's MTU: only the way outside can take less. */
enum reason emit_straight(struct worker *w, struct packet *p)
{
	struct wg_port *port = w->egress[0].port;
	unsigned mtu = wg_tunnel_is_narrow(port->tunnel) ? wg_outward_mtu(w, port, p) : 0;

	if (mtu && too_big(p, mtu) && p->dont_fragment) {
		answer_too_big(w, p, mtu_for(mtu, p->key.version));
		return REASON_TOO_BIG;
	}
	if (mtu)
		emit_clamp_mss(mtu, p);
	return wg_outward_packet(w, port, p);
}

void emit_answer(struct worker *w, const struct links *links, unsigned egress,
		 const struct addr *dst, struct buf *buf)
{
	const struct link *link = &links->link[egress];
	enum reason reason = link->up ? enqueue(w, link, egress, dst, buf, 1) : REASON_LINK_DOWN;

	if (reason != REASON_NONE)
		worker_drop(w, reason, 1);
}

void emit_flush(struct worker *w)
{
	for (unsigned i = 0; i < w->egress_count; i++) {
		if (w->egress[i].out_count)
			queue_flush(w, &w->egress[i]);
		if (w->egress[i].port)
			wg_outward_flush(w, w->egress[i].port);
	}
	w->pieces.count = 0;
	w->pieces.used = 0;
}
