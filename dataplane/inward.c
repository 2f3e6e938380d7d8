/* See inward.h. */
#include "dataplane/inward.h"

#include <string.h>

#include "dataplane/answer.h"
#include "dataplane/emit.h"
#include "dataplane/rewrite.h"
#include "dataplane/wire.h"

/* The worker that has a port in its slice; the one that asks, for a port of nobody's. */
static unsigned owner_of_port(const struct worker_egress *e, uint16_t outer_port, unsigned self)
{
	if (outer_port < e->port_first || outer_port > e->port_last)
		return self;
	return (unsigned)(outer_port - e->port_first) / e->slice;
}

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

/*
 * A packet for a port that is not mapped here. Where that port is another worker's, the packet came
 * here by mistake, or as a hairpin; what was handed over goes no further.
 */
static enum reason pass_on(struct worker *w, unsigned egress, const struct packet *p,
			   uint16_t outer_port, enum way way)
{
	unsigned owner = owner_of_port(&w->egress[egress], outer_port, w->index);

	if (owner == w->index)
		return REASON_UNSOLICITED;
	return inbox_hand_over(w, owner, p, way, egress);
}

/* Who outside says that he is us is not asked for by a hairpin. */
static bool lets_in(const struct flow *f, unsigned egress, enum way way)
{
	return f && f->egress == egress && (way == WAY_BACK || !(f->seen & FLOW_HAIRPIN));
}

/*
 * Whether an error tells of a link so narrow that there is none: somebody wants tiny packets
 * (RFC 791, RFC 8201). A router older than RFC 1191 says 0.
 */
static bool is_absurd_mtu(const struct packet *p)
{
	const uint8_t *icmp = p->buf->data + p->l4_offset;
	uint32_t mtu = wire_get32(icmp + 4);

	if (p->key.version == 6)
		return icmp[0] == ICMP6_TOO_BIG && mtu < IP6_MTU_MIN;
	mtu &= UINT16_MAX;
	return icmp[0] == ICMP_UNREACHABLE && icmp[1] == 4 && mtu != 0 && mtu < IP4_MTU_MIN;
}

/* An ICMP error from outside, about a packet of ours. */
static enum reason return_error(struct worker *w, unsigned egress, struct packet *p, enum way way)
{
	const struct worker_egress *e = &w->egress[egress];
	const struct flow *f;
	const struct nat_map *map;
	struct flow_key quoted, key;
	uint16_t quoted_offset, l4_offset;
	enum reason reason = packet_quoted(p, &quoted, &quoted_offset, &l4_offset);

	if (reason != REASON_NONE)
		return reason;
	if (is_absurd_mtu(p))
		return REASON_MALFORMED;
	/* It must quote what left us: from this very address. */
	if (memcmp(quoted.src, p->key.dst, sizeof(quoted.src)) != 0)
		return REASON_UNSOLICITED;
	map = nat_find_outer(e->nat, quoted.version, quoted.proto, quoted.src_port);
	if (!map)
		return pass_on(w, egress, p, quoted.src_port, way);
	key = inner_key(map, quoted.dst, quoted.dst_port);
	f = flow_find(w->flows, &key, flow_hash(w->flows, &key), w->now_ms);
	if (!lets_in(f, egress, way))
		return REASON_UNSOLICITED;
	rewrite_icmp_error(p, quoted_offset, l4_offset, map->inner, map->inner_port);
	return REASON_NONE;
}

/* A later fragment goes where its first one went. */
static enum reason follow(struct worker *w, unsigned egress, struct packet *p, enum way way)
{
	struct fragment_aim aim;
	enum reason reason = REASON_NONE;

	if (way == WAY_IN)
		reason = gather_later(w, &w->gather_in, p, way, egress);
	if (reason != REASON_NONE)
		return reason;
	if (!fragment_follow(&w->gather_in.fragments, p, w->now_ms, &aim) || aim.egress != egress)
		return REASON_FRAGMENT;
	rewrite_destination(p, aim.inner, 0);
	return REASON_NONE;
}

/* Note a first fragment, before its translation: later ones follow it. */
static enum reason lead(struct worker *w, unsigned egress, const struct packet *p,
			const uint8_t inner[16])
{
	struct fragment_aim aim = {.worker = (uint16_t)w->index, .egress = (uint16_t)egress};

	memcpy(aim.inner, inner, sizeof(aim.inner));
	if (!fragment_note(&w->gather_in.fragments, p, &aim, w->now_ms))
		return REASON_FRAGMENT;
	gather_release(w, &w->gather_in, p, w->index);
	return REASON_NONE;
}

void inward_prefetch(const struct worker *w, unsigned egress, const struct packet *p)
{
	const struct nat_map *map = nat_find_outer(w->egress[egress].nat, p->key.version,
						   p->key.proto, p->key.dst_port);
	struct flow_key key;

	if (!map)
		return;
	key = inner_key(map, p->key.src, p->key.src_port);
	flow_prefetch(w->flows, flow_hash(w->flows, &key));
}

enum reason inward_translate(struct worker *w, const struct table *table, const struct links *links,
			     unsigned egress, struct packet *p, enum way way)
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
		return return_error(w, egress, p, way);
	if (p->kind == PACKET_FRAGMENT)
		return follow(w, egress, p, way);
	if (p->kind != PACKET_TRANSPORT)
		return REASON_PROTOCOL;
	if (p->first_fragment && way == WAY_IN) {
		unsigned owner = owner_of_port(e, p->key.dst_port, w->index);
		enum reason reason = gather_first(w, &w->gather_in, p, owner, way, egress);

		if (reason != REASON_NONE)
			return reason;
	}
	map = nat_find_outer(e->nat, p->key.version, p->key.proto, p->key.dst_port);
	if (!map)
		return pass_on(w, egress, p, p->key.dst_port, way);
	key = inner_key(map, p->key.src, p->key.src_port);
	f = flow_find(w->flows, &key, flow_hash(w->flows, &key), w->now_ms);
	if (!lets_in(f, egress, way))
		return REASON_UNSOLICITED;

	memcpy(inner, map->inner, sizeof(inner));
	inner_port = map->inner_port;
	if (f->generation != table->generation) {
		uint16_t verdict = worker_verdict(table, &key);

		/*
		 * A question from before the reload may still be answered: the next one moves the
		 * flow. TCP is told at once.
		 */
		if (table->verdicts[verdict].egress == egress || p->key.proto == PROTO_TCP)
			f = worker_renew(w, table, links, f, verdict);
		if (!f) {
			rewrite_destination(p, inner, inner_port);
			answer_reset(w, p, false);
			return REASON_EGRESS_CHANGED;
		}
	}
	if (p->first_fragment && lead(w, egress, p, inner) != REASON_NONE)
		return REASON_FRAGMENT;
	flow_note_in(w->flows, f, p, packet_segments(p), w->now_ms);
	progress_heard(&w->progress, f->hop);
	rewrite_destination(p, inner, inner_port);
	return REASON_NONE;
}

/*
 * A packet that the link cannot have brought whole: the system has put it together, and on from
 * here it must be cut again. That none of the fragments might be cut says nothing of it.
 */
static bool was_put_together(const struct worker *w, const struct links *links, unsigned egress,
			     const struct packet *p)
{
	return p->key.version == 4 && !w->egress[egress].port &&
	       p->buf->offload.gso_type == OFFLOAD_GSO_NONE &&
	       p->buf->len > links->link[egress].mtu;
}

enum reason inward_packet(struct worker *w, const struct table *table, const struct links *links,
			  unsigned egress, struct packet *p, enum way way)
{
	const struct flow_key outer = p->key;
	enum reason reason = inward_translate(w, table, links, egress, p, way);
	struct addr dst;

	if (reason != REASON_NONE)
		return reason;
	emit_clamp_mss(worker_mtu(w, links, egress), p);
	if (p->dont_fragment && was_put_together(w, links, egress, p))
		rewrite_may_fragment(p);
	dst = key_dst(&p->key);
	if (worker_owns(w, links, &dst) || rewrite_hop_limit(p))
		return REASON_NONE;
	if (p->kind == PACKET_TRANSPORT) { /* the sender is told of what it sent */
		rewrite_destination(p, outer.dst, outer.dst_port);
		answer_time_exceeded_out(w, links, egress, p);
	}
	return REASON_HOP_LIMIT;
}

void inward_deliver(struct worker *w, const struct packet *p)
{
	w->to_tun[w->to_tun_count++] = p->buf;
	worker_count(&w->counters.packets_out, packet_segments(p));
	worker_count(&w->counters.bytes_out, p->buf->len);
}
