/* See outward.h. */
#include "dataplane/wireguard/outward.h"

#include <string.h>

#include "dataplane/answer.h"
#include "dataplane/stages.h"
#include "dataplane/wire.h"
#include "dataplane/wireguard/inner.h"
#include "dataplane/wireguard/split.h"

/* Where the packets of one peer go, and by which session. */
struct leg {
	struct wg_peer *peer;
	struct wg_keypair *keypair;
	struct udp_endpoint endpoint;
	uint64_t counter; /* the next that is ours */
	uint64_t bytes;   /* sealed so far */
	unsigned mtu;
};

enum reason wg_outward_parse(struct buf *buf, struct packet *packet)
{
	enum reason reason = packet_parse(buf, packet);
	uint32_t len;

	if (reason == REASON_NONE || buf->offload.gso_type != OFFLOAD_GSO_NONE ||
	    (buf->offload.flags & OFFLOAD_NEEDS_CSUM) || !inner_length(buf->data, buf->len, &len))
		return reason;
	memset(packet, 0, sizeof(*packet));
	packet->buf = buf;
	packet->kind = PACKET_OTHER;
	packet->key.version = buf->data[0] >> 4;
	if (packet->key.version == 4) {
		memcpy(packet->key.src, buf->data + IP4_SRC, 4);
		memcpy(packet->key.dst, buf->data + IP4_DST, 4);
	} else {
		memcpy(packet->key.src, buf->data + IP6_SRC, 16);
		memcpy(packet->key.dst, buf->data + IP6_DST, 16);
	}
	buf->len = len;
	return REASON_NONE;
}

static struct wg_peer *peer_of(const struct wg_port *port, const struct packet *packet)
{
	struct addr dst = key_dst(&packet->key);

	return wg_allowed_peer(wg_device_allowed(port->device), &dst);
}

struct wg_port *wg_outward_port_of(const struct worker *w, const struct packet *packet)
{
	for (unsigned i = 0; w->gateway && i < w->egress_count; i++)
		if (w->egress[i].gateway && peer_of(w->egress[i].port, packet))
			return w->egress[i].port;
	return NULL;
}

enum reason wg_outward_packet(struct worker *w, struct wg_port *port, struct packet *packet)
{
	struct wg_peer *peer = peer_of(port, packet);

	if (!peer) {
		answer_unreachable(w, packet);
		return REASON_NO_PEER;
	}
	if (port->outgoing_count == BURST_MAX)
		wg_outward_flush(w, port);
	port->outgoing[port->outgoing_count++] =
		(struct wg_outgoing){.packet = packet, .peer = peer};
	return REASON_NONE;
}

unsigned wg_outward_mtu(const struct worker *w, const struct wg_port *port,
			const struct packet *packet)
{
	unsigned mtu = wg_tunnel_mtu(port->tunnel);
	const struct wg_peer *peer =
		wg_tunnel_is_narrow(port->tunnel) ? peer_of(port, packet) : NULL;

	return peer ? wg_peer_mtu(peer, mtu, wg_port_now_ns(w)) : mtu;
}

/* ---- Seal ---- */

/* Something was too long for the way to a peer: what is it that it takes? */
static void ask_path(const struct worker *w, struct wg_port *port, struct wg_peer *peer,
		     const struct udp_endpoint *to)
{
	uint64_t now_ns = wg_port_now_ns(w);

	wg_tunnel_set_narrow(port->tunnel);
	if (!wg_peer_path_is_fresh(peer, now_ns))
		wg_peer_note_path(peer, udp_path_mtu(wg_tunnel_udp(port->tunnel), to), to->version,
				  now_ns);
}

static void send_departure(struct worker *w, struct wg_port *port, struct wg_departure *d)
{
	struct udp_message *m = d->messages;
	unsigned n = d->count;
	uint8_t sources[UDP_BURST_MAX][sizeof(m->endpoint.source)];

	for (unsigned i = 0; i < n; i++)
		memcpy(sources[i], m[i].endpoint.source, sizeof(sources[i]));
	worker_drop(w, REASON_EGRESS_BUSY, udp_send_burst(port->queue, m, n));
	for (unsigned i = 0; i < n; i++) {
		if (m[i].source_gone)
			wg_peer_forget_source(d->peers[i], sources[i]);
		if (m[i].too_long)
			ask_path(w, port, d->peers[i], &m[i].endpoint);
	}
	d->count = 0;
	d->used = 0;
	stage_end_inside(w, STAGE_SEND);
}

/* What was left to others goes. What none of them has sealed is sealed here. */
static void send_left(struct worker *w, struct wg_port *port)
{
	struct wg_departure *d = port->left;
	unsigned n = 0;

	wg_spread_begin(&port->sealing);
	for (unsigned i = 0; i < d->count; i++) {
		struct wg_job *job = &d->jobs[i];
		bool sealed = wg_spread_settle(w, port, &port->sealing, job) && job->sealed;
		struct wg_keypair *keypair = wg_job_keypair(w, port, job);

		if (!keypair) { /* its session has ended meanwhile */
			worker_drop(w, REASON_NO_SESSION, udp_segments(&d->messages[i]));
			continue;
		}
		if (!sealed)
			wg_job_seal(port, job, keypair);
		d->messages[n] = d->messages[i];
		d->peers[n++] = keypair->peer;
	}
	stage_end_inside(w, STAGE_SEAL);
	d->count = n;
	port->left = NULL;
	send_departure(w, port, d);
}

/* What has been laid out goes, or is left to others for now; what was left to them goes first. */
static void depart(struct worker *w, struct wg_port *port)
{
	struct wg_departure *d = port->filling;

	if (d->offered && d->count)
		wg_spread_offer_seal(w, port, &d->jobs[d->count - 1]);
	if (port->left)
		send_left(w, port);
	if (d->count == 0)
		return;
	if (!d->offered) {
		send_departure(w, port, d);
		return;
	}
	port->left = d;
	port->left_turn = w->turns;
	port->filling = &port->departures[d == &port->departures[0]];
	port->filling->offered = true;
}

/* Room for a datagram, in the last message if that may have it, else in a new one. */
static uint8_t *reserve(struct worker *w, struct wg_port *port, const struct leg *leg, uint8_t tos,
			uint32_t size)
{
	struct wg_departure *d = port->filling;
	struct udp_message *m = d->count ? &d->messages[d->count - 1] : NULL;
	uint8_t *room;

	if (m && !d->closed && d->jobs[d->count - 1].keypair == leg->keypair->id && m->tos == tos &&
	    size <= m->segment && m->len + size <= UDP_MESSAGE_MAX &&
	    d->segments < UDP_SEGMENTS_MAX && d->used + size <= WG_ARENA) {
		room = m->data + m->len;
		m->len += size;
		d->segments++;
		d->closed = size < m->segment;
		d->used += size;
		return room;
	}
	if (d->count == UDP_BURST_MAX || d->used + size > WG_ARENA)
		depart(w, port);
	else if (d->offered && d->count)
		wg_spread_offer_seal(w, port, &d->jobs[d->count - 1]);
	d = port->filling;
	m = &d->messages[d->count];
	d->jobs[d->count].index = leg->keypair->local_index;
	d->jobs[d->count].keypair = leg->keypair->id;
	d->jobs[d->count].message = m;
	d->peers[d->count++] = leg->peer;
	m->data = room = d->arena + d->used;
	m->len = m->segment = size;
	m->endpoint = leg->endpoint;
	m->tos = tos;
	d->segments = 1;
	d->closed = false;
	d->used += size;
	return room;
}

/* To a multiple of 16 bytes, but not past the MTU: what is longer goes as its last part would. */
static uint32_t padded(uint32_t size, unsigned mtu)
{
	uint32_t last = mtu && size > mtu ? size % mtu : size;
	uint32_t full = (last + WG_PADDING - 1) / WG_PADDING * WG_PADDING;

	if (mtu && full > mtu)
		full = mtu;
	return size - last + full;
}

/* What the outer header says of congestion is what the inner says (RFC 6040, section 4.1). */
static uint8_t ecn_of(const struct packet *p)
{
	const uint8_t *ip = p->buf->data;

	return (p->key.version == 4 ? ip[1] : ip[1] >> 4) & ECN_MASK;
}

static void seal_packet(struct worker *w, struct wg_port *port, struct leg *leg,
			const struct packet *packet)
{
	uint8_t tos = ecn_of(packet);
	struct wg_split split;

	wg_split_begin(&split, packet);
	for (uint32_t i = 0; i < split.count; i++) {
		uint32_t size = wg_split_size(&split, i);
		uint32_t full = padded(size, leg->mtu);
		uint8_t *out = reserve(w, port, leg, tos, full + WG_DATA_OVERHEAD);
		uint8_t *plain = out + WG_DATA_HEADER;

		wg_data_header(out, leg->keypair->remote_index, leg->counter);
		wg_split_write(&split, i, plain);
		memset(plain + size, 0, full - size);
		stage_end_inside(w, STAGE_SPLIT);
		if (!port->filling->offered) {
			wg_aead_seal(port->aead, leg->keypair->send_key, leg->counter, plain, full,
				     plain);
			stage_end_inside(w, STAGE_SEAL);
		}
		leg->counter++;
		leg->bytes += full + WG_DATA_OVERHEAD;
	}
	worker_count(&w->counters.egress[port->egress].packets_out, split.count);
	worker_count(&w->counters.egress[port->egress].bytes_out, packet->buf->len);
}

static bool fits(const struct packet *packet)
{
	uint32_t longest = packet->buf->offload.gso_type
				   ? packet->payload + (uint32_t)packet->buf->offload.gso_size
				   : packet->buf->len;

	return longest + WG_PADDING + WG_DATA_OVERHEAD <= UDP_MESSAGE_MAX;
}

/* Returns: false if the peer has no session to send by */
static bool find_way(const struct worker *w, const struct wg_port *port, struct wg_peer *peer,
		     struct leg *leg)
{
	uint64_t now_ns = wg_port_now_ns(w);

	*leg = (struct leg){.peer = peer};
	leg->mtu = wg_peer_mtu(peer, wg_tunnel_mtu(port->tunnel), now_ns);
	leg->keypair = wg_peer_sending(peer, now_ns);
	return leg->keypair && wg_peer_endpoint(peer, &leg->endpoint);
}

/* Keep packets until there is a session. */
static void stage_packet(struct worker *w, struct wg_port *port, struct wg_peer *peer,
			 const struct packet *packet)
{
	struct wg_stage_peer whose = {
		.id = peer->id, .number = peer->number, .give_ups = wg_peer_give_ups(peer)};

	worker_drop(w, REASON_NO_SESSION, wg_stage_add(port->stage, &whose, packet->buf));
}

/* Seal one packet, if the session has counters for all of it. */
static bool seal_by(struct worker *w, struct wg_port *port, struct leg *leg,
		    const struct packet *packet)
{
	unsigned n = packet_segments(packet);

	if (wg_keypair_take(leg->keypair, n, &leg->counter) < n)
		return false; /* those that were taken are lost: it is the end of them */
	seal_packet(w, port, leg, packet);
	return true;
}

/* All packets of the burst to the peer of `outgoing[from]`. */
static void flush_peer(struct worker *w, struct wg_port *port, unsigned from)
{
	struct wg_peer *peer = port->outgoing[from].peer;
	struct udp_endpoint ignored;
	bool reachable = wg_peer_endpoint(peer, &ignored);
	struct leg leg;
	bool ready = find_way(w, port, peer, &leg);

	for (unsigned i = from; i < port->outgoing_count; i++) {
		const struct packet *packet = port->outgoing[i].packet;

		if (port->outgoing[i].peer != peer)
			continue;
		port->outgoing[i].peer = NULL;
		if (!reachable) {
			answer_unreachable(w, packet);
			worker_drop(w, REASON_NO_ENDPOINT, packet_segments(packet));
		} else if (!fits(packet)) {
			answer_too_big(w, packet, UDP_MESSAGE_MAX - WG_PADDING - WG_DATA_OVERHEAD);
			worker_drop(w, REASON_TOO_BIG, packet_segments(packet));
		} else if (!ready || !seal_by(w, port, &leg, packet)) {
			ready = false;
			stage_packet(w, port, peer, packet);
		}
	}
	if (leg.bytes)
		wg_peer_note_sent(peer, leg.keypair, wg_port_now_ns(w), leg.bytes, true);
	if (reachable && !ready)
		wg_peer_want_session(peer);
}

void wg_outward_flush(struct worker *w, struct wg_port *port)
{
	if (port->outgoing_count == 0)
		return;
	/* Older packets first. */
	if (wg_stage_count(port->stage)) {
		port->retried_ms = 0;
		wg_outward_retry(w, port);
	}
	port->filling->offered = wg_spread_offers_seal(w, port);
	for (unsigned i = 0; i < port->outgoing_count; i++)
		if (port->outgoing[i].peer)
			flush_peer(w, port, i);
	port->outgoing_count = 0;
	depart(w, port);
}

void wg_outward_settle(struct worker *w, struct wg_port *port)
{
	if (port->left && port->left_turn != w->turns)
		send_left(w, port);
}

/* ---- Packets that wait ---- */

/* A session has begun: all that waits for it goes. */
static void release(struct worker *w, struct wg_port *port, unsigned at, struct leg *leg)
{
	struct packet packet;

	while (wg_stage_take(port->stage, at, &port->retry)) {
		enum reason reason = wg_outward_parse(&port->retry, &packet);

		if (reason == REASON_NONE && !seal_by(w, port, leg, &packet))
			reason = REASON_NO_SESSION;
		if (reason != REASON_NONE)
			worker_drop(w, reason, 1);
	}
	if (leg->bytes)
		wg_peer_note_sent(leg->peer, leg->keypair, wg_port_now_ns(w), leg->bytes, true);
}

void wg_outward_retry(struct worker *w, struct wg_port *port)
{
	const struct wg_allowed *allowed;
	struct leg leg;

	if (wg_stage_count(port->stage) == 0 || port->retried_ms == w->now_ms)
		return;
	port->retried_ms = w->now_ms;
	allowed = wg_device_allowed(port->device);
	port->filling->offered = false;
	/* From the end: whoever is gone has the last one's number. */
	for (unsigned i = wg_stage_count(port->stage); i > 0; i--) {
		const struct wg_stage_peer *whose = wg_stage_at(port->stage, i - 1);
		struct wg_peer *peer = wg_allowed_at(allowed, whose->number, whose->id);

		if (!peer)
			worker_drop(w, REASON_NO_PEER, wg_stage_drop(port->stage, i - 1));
		else if (wg_peer_give_ups(peer) != whose->give_ups)
			worker_drop(w, REASON_NO_SESSION, wg_stage_drop(port->stage, i - 1));
		else if (find_way(w, port, peer, &leg))
			release(w, port, i - 1, &leg);
	}
	if (port->filling->count)
		depart(w, port);
}
