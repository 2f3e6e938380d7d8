/* See arrive.h. */
#include "dataplane/arrive.h"

#include "dataplane/emit.h"
#include "dataplane/inward.h"
#include "dataplane/owner.h"
#include "dataplane/stages.h"
#include "dataplane/wireguard/inward.h"
#include "dataplane/wireguard/outward.h"

/*
 * Queue a packet for the inner side.
 *
 * p: stays until the burst is flushed
 */
static enum reason deliver(struct worker *w, struct packet *p)
{
	struct wg_port *port = wg_outward_port_of(w, p);

	if (port)
		return wg_outward_packet(w, port, p);
	inward_deliver(w, p);
	return REASON_NONE;
}

/* ---- By an interface ---- */

/* The flows that a burst from outside belongs to, on their way into the cache. */
static void parse_burst(struct worker *w, unsigned egress, unsigned n)
{
	const struct nat *nat = w->egress[egress].nat;
	uint64_t packets = 0, bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];
		const struct flow_key *k = &it->packet.key;

		it->reason = packet_parse(&w->bufs[i], &it->packet);
		it->segments = it->reason == REASON_NONE ? packet_segments(&it->packet) : 1;
		packets += it->segments;
		bytes += w->bufs[i].len;
		if (it->reason == REASON_NONE && it->packet.kind == PACKET_TRANSPORT)
			nat_prefetch_outer(nat, k->version, k->proto, k->dst_port);
	}
	for (unsigned i = 0; i < n; i++) {
		const struct item *it = &w->items[i];

		if (it->reason == REASON_NONE && it->packet.kind == PACKET_TRANSPORT)
			inward_prefetch(w, egress, &it->packet);
	}
	nap_count(&w->nap, n, bytes);
	worker_count(&w->counters.egress[egress].packets_in, packets);
	worker_count(&w->counters.egress[egress].bytes_in, bytes);
}

/* Parsed packets that came in by an egress that translates. */
static void take_in(struct worker *w, const struct table *table, const struct links *links,
		    unsigned egress, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];

		if (it->reason == REASON_NONE)
			it->reason = inward_packet(w, table, links, egress, &it->packet, WAY_IN);
		if (it->reason == REASON_NONE)
			it->reason = deliver(w, &it->packet);
		if (it->reason != REASON_NONE)
			worker_drop(w, it->reason, it->segments);
	}
	worker_flush(w);
}

unsigned arrive_by_interface(struct worker *w, const struct table *table, const struct links *links,
			     unsigned egress)
{
	struct worker_egress *e = &w->egress[egress];
	int error = 0;
	unsigned n;

	stage_begin(w);
	n = nic_recv_burst(e->nic, w->bufs, BURST_MAX, BURST_BYTES_MAX, &error);
	if (n == 0)
		return 0;
	gather_begin(&w->gather_in);
	parse_burst(w, egress, n);
	take_in(w, table, links, egress, n);
	stage_end(w, STAGE_RETURN);
	return n;
}

/* ---- By a tunnel ---- */

/*
 * What a peer sends takes its verdict as what comes from the TUN does, but for what is for another
 * peer, or for the host itself: the ways of those are known.
 */
static void pass_on(struct worker *w, const struct links *links, struct item *it)
{
	struct packet *p = &it->packet;
	struct addr dst = key_dst(&p->key);
	struct wg_port *port = wg_outward_port_of(w, p);

	if (port) {
		it->reason = worker_take_hop(w, links, p);
		if (it->reason == REASON_NONE)
			it->reason = wg_outward_packet(w, port, p);
		it->done = it->reason == REASON_NONE;
	} else if (worker_owns(w, links, &dst)) {
		inward_deliver(w, p);
		it->done = true;
	}
}

/* What comes by another tunnel: for peers of a gateway's it goes on to them, else to the TUN. */
static void hand_on(struct worker *w, const struct links *links, unsigned egress, unsigned n)
{
	const unsigned mtu = wg_tunnel_mtu(w->egress[egress].port->tunnel);

	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];

		if (it->reason == REASON_NONE && wg_outward_port_of(w, &it->packet))
			it->reason = worker_take_hop(w, links, &it->packet);
		if (it->reason == REASON_NONE) {
			emit_clamp_mss(mtu, &it->packet);
			it->reason = deliver(w, &it->packet);
		}
		if (it->reason != REASON_NONE)
			worker_drop(w, it->reason, it->segments);
	}
	worker_flush(w);
}

/* What a round brought, from item `first` on, as a burst. */
static void take_round(struct worker *w, const struct table *table, const struct links *links,
		       unsigned egress, unsigned first, unsigned n)
{
	const struct worker_egress *e = &w->egress[egress];

	for (unsigned i = 0; i < n; i++) {
		struct item *it = &w->items[i];

		it->done = false;
		it->reason = packet_parse(wg_inward_flatten(e->port, first + i, i), &it->packet);
		it->segments = it->reason == REASON_NONE ? packet_segments(&it->packet) : 1;
		if (it->reason == REASON_NONE && e->gateway)
			pass_on(w, links, it);
	}
	if (e->gateway)
		worker_burst(w, table, links, n);
	else if (e->nat)
		take_in(w, table, links, egress, n);
	else
		hand_on(w, links, egress, n);
}

/* All that is due of what has been received. */
static void take_sealed(struct worker *w, const struct table *table, const struct links *links,
			unsigned egress)
{
	struct worker_egress *e = &w->egress[egress];
	unsigned n;

	while ((n = wg_inward_round(w, e->port)) > 0) {
		if (!w->gateway && !e->nat) {
			wg_inward_deliver(w, e->port);
			continue;
		}
		for (unsigned i = 0; i < n; i += BURST_MAX)
			take_round(w, table, links, egress, i,
				   n - i < BURST_MAX ? n - i : BURST_MAX);
	}
}

unsigned arrive_by_tunnel(struct worker *w, const struct table *table, const struct links *links,
			  unsigned egress)
{
	unsigned received;

	stage_begin(w);
	received = wg_inward_receive(w, w->egress[egress].port);
	if (received == 0)
		return 0;
	stage_end_inside(w, STAGE_TAKE);
	gather_begin(&w->gather_out);
	take_sealed(w, table, links, egress);
	inbox_flush(w);
	stage_end(w, STAGE_RETURN);
	return received;
}

/* ---- From another worker ---- */

/* What comes in, or back in. p: stays until the burst is flushed */
static void take_inward(struct worker *w, const struct table *table, const struct links *links,
			struct message *m, struct packet *p)
{
	enum reason reason = packet_parse(&m->buf, p);

	if (reason == REASON_NONE && m->way == WAY_BACK)
		reason = inward_translate(w, table, links, m->egress, p, WAY_BACK);
	else if (reason == REASON_NONE)
		reason = inward_packet(w, table, links, m->egress, p, m->way);
	if (reason == REASON_NONE)
		reason = deliver(w, p);
	if (reason != REASON_NONE)
		worker_drop(w, reason, m->packets);
}

unsigned arrive_by_inbox(struct worker *w, const struct table *table, const struct links *links)
{
	unsigned n = inbox_take(&w->inbox), out = 0, in = BURST_MAX;

	stage_begin(w);
	gather_begin(&w->gather_out);
	for (unsigned i = 0; i < n; i++) {
		struct message *m = w->inbox.taken[i];

		if (m->way != WAY_SEALED)
			continue;
		wg_inward_take_over(w->egress[m->egress].port, &m->sealed);
		take_sealed(w, table, links, m->egress);
	}
	for (unsigned i = 0; i < n; i++) {
		struct message *m = w->inbox.taken[i];
		struct item *it = &w->items[out];

		if (m->home != &w->inbox)
			worker_count(&w->counters.taken_over, m->packets);
		if (m->way == WAY_SEALED)
			continue;
		if (m->way > WAY_OUT_PART) {
			take_inward(w, table, links, m, &w->items[--in].packet);
			continue;
		}
		it->done = false;
		it->reason = packet_parse(&m->buf, &it->packet);
		if (it->reason == REASON_NONE && m->way == WAY_OUT &&
		    (it->packet.kind == PACKET_FRAGMENT || it->packet.first_fragment))
			it->reason = owner_sort(w, links, &it->packet);
		it->segments = it->reason == REASON_NONE ? packet_segments(&it->packet) : 1;
		out++;
	}
	if (out)
		worker_burst(w, table, links, out);
	if (n) {
		worker_flush(w);
		inbox_give_back(w->inbox.taken, n);
	}
	return n;
}
