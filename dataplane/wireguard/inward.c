/* See inward.h. */
#include "dataplane/wireguard/inward.h"

#include <string.h>

#include "dataplane/emit.h"
#include "dataplane/stages.h"
#include "dataplane/wire.h"
#include "dataplane/wireguard/inner.h"

/* What came in by one message: of one keypair, until it is noted. */
struct batch {
	const struct udp_message *message;
	const struct wg_job *job;   /* others have opened it; NULL: nobody has */
	struct wg_keypair *keypair; /* NULL: nothing yet */
	uint32_t index;
	uint64_t bytes;
	bool data;
	/* The last source that was looked up, and was the peer's. */
	uint8_t version;
	uint8_t source[16];
};

unsigned wg_inward_receive(struct worker *w, struct wg_port *port)
{
	struct wg_arrival *older = port->pending;
	struct wg_arrival *a = &port->arrivals[older == &port->arrivals[0]];

	a->count = udp_recv_burst(port->queue, a->messages, UDP_BURST_MAX, WG_BURST_BYTES);
	a->at = 0;
	a->at_bytes = 0;
	a->offered = wg_spread_offer(w, port, a);
	port->due_at = port->due_count = 0;
	if (older)
		port->due[port->due_count++] = older;
	if (!a->offered)
		port->due[port->due_count++] = a;
	port->pending = a->offered ? a : NULL;
	return a->count + (older != NULL);
}

void wg_inward_take_over(struct wg_port *port, const struct udp_message *message)
{
	struct wg_arrival *a = &port->taken;

	a->messages[0] = *message;
	a->count = 1;
	a->at = 0;
	a->at_bytes = 0;
	a->handed_over = true;
	port->due[0] = a;
	port->due_at = 0;
	port->due_count = 1;
}

/*
 * What a peer sends was cut up on the way: what goes to it would be, too, for most ways are as wide
 * there as back. Fragments end at 8 bytes: up to 7 of what passes are left over.
 */
static void note_path(const struct worker *w, const struct wg_port *port,
		      const struct udp_message *m, struct wg_peer *peer)
{
	uint64_t now_ns = wg_port_now_ns(w);

	wg_tunnel_set_narrow(port->tunnel);
	if (!wg_peer_path_is_fresh(peer, now_ns))
		wg_peer_note_path(peer, m->fragment, m->endpoint.version, now_ns);
}

/* Tell the device what has come in by one keypair. */
static void note(const struct worker *w, const struct wg_port *port, struct batch *b)
{
	if (b->keypair && b->bytes) {
		wg_peer_note_received(b->keypair->peer, b->keypair, wg_port_now_ns(w), b->bytes,
				      b->data, &b->message->endpoint);
		if (b->message->fragment)
			note_path(w, port, b->message, b->keypair->peer);
	}
	b->bytes = 0;
	b->data = false;
}

/* The keypair of an index; NULL if nothing may come in by it. */
static struct wg_keypair *keypair_of(const struct worker *w, const struct wg_port *port,
				     uint32_t index, struct batch *b)
{
	if (b->keypair && b->index == index)
		return b->keypair;
	note(w, port, b);
	*b = (struct batch){.message = b->message,
			    .job = b->job,
			    .keypair = wg_device_keypair(port->device, index),
			    .index = index};
	if (b->keypair && !wg_keypair_accepts(b->keypair, wg_port_now_ns(w)))
		b->keypair = NULL;
	return b->keypair;
}

/* Whether an address inside is the peer's that sent it. */
static bool is_allowed(const struct wg_port *port, const uint8_t *ip, struct batch *b)
{
	uint8_t version = ip[0] >> 4;
	unsigned size = version == 4 ? 4 : 16;
	const uint8_t *source = ip + (version == 4 ? 12 : 8);
	struct addr addr;

	if (b->version == version && memcmp(b->source, source, size) == 0)
		return true;
	addr = addr_from_bytes(version, source);
	if (wg_allowed_peer(wg_device_allowed(port->device), &addr) != b->keypair->peer)
		return false;
	b->version = version;
	memcpy(b->source, source, size);
	return true;
}

/*
 * Open what is in the hand; datagram i of its message.
 *
 * Returns: whether it is authentic, and of this keypair's session
 */
static enum reason open_sealed(const struct wg_port *port, const struct wg_keypair *keypair,
			       uint8_t *data, uint32_t size, unsigned i, const struct batch *b)
{
	uint8_t *inner = data + WG_DATA_HEADER;

	if (b->job && wg_job_tried(b->job, i)) {
		if (b->job->keypair != keypair->id)
			return REASON_UNKNOWN_SESSION; /* it is over, and another has its index */
		return wg_job_opened(b->job, i) ? REASON_NONE : REASON_NOT_AUTHENTIC;
	}
	return wg_aead_open(port->aead, keypair->receive_key, wg_get64(data + WG_COUNTER), inner,
			    size - WG_DATA_HEADER, inner)
		       ? REASON_NONE
		       : REASON_NOT_AUTHENTIC;
}

/* One data message, datagram i of what came together. */
static enum reason open_data(struct worker *w, struct wg_port *port, uint8_t *data, uint32_t size,
			     unsigned i, struct batch *b)
{
	uint32_t index = wg_get32(data + UDP_INDEX);
	uint8_t *inner = data + WG_DATA_HEADER;
	struct wg_keypair *keypair;
	enum reason reason;
	uint32_t len;

	keypair = keypair_of(w, port, index, b);
	if (!keypair)
		return REASON_UNKNOWN_SESSION;
	reason = open_sealed(port, keypair, data, size, i, b);
	stage_end_inside(w, STAGE_OPEN);
	if (reason != REASON_NONE)
		return reason;
	if (!wg_replay_accept(&keypair->replay, wg_get64(data + WG_COUNTER)))
		return REASON_REPLAYED;
	b->bytes += size;
	if (size == WG_DATA_OVERHEAD)
		return REASON_NONE; /* a keepalive */
	b->data = true;
	if (!inner_length(inner, size - WG_DATA_OVERHEAD, &len))
		return REASON_MALFORMED;
	if (!is_allowed(port, inner, b))
		return REASON_NOT_ALLOWED;
	if (!inner_take_ecn(inner, b->message->tos))
		return REASON_CONGESTED;
	wg_merge_add(&port->merge, inner, len);
	worker_count(&w->counters.egress[port->egress].packets_in, 1);
	worker_count(&w->counters.egress[port->egress].bytes_in, len);
	return REASON_NONE;
}

/*
 * The replay window is the home worker's: it gets the rest of a message, from the datagram at
 * at_bytes on, which all are of one session.
 */
static void hand_over(struct worker *w, const struct wg_port *port, struct wg_arrival *a,
		      unsigned home)
{
	struct udp_message rest = a->messages[a->at];
	enum reason reason = REASON_OTHER_WORKER;

	rest.data += a->at_bytes;
	rest.len -= a->at_bytes;
	if (rest.segment > rest.len)
		rest.segment = rest.len;
	if (!a->handed_over)
		reason = inbox_hand_over_sealed(w, home, &rest, port->egress);
	worker_drop(w, reason, udp_segments(&rest));
	a->at_bytes = a->messages[a->at].len;
}

/* The worker whose a datagram is. */
static unsigned home_of(const struct wg_port *port, const uint8_t *data, uint32_t size)
{
	if (size < WG_DATA_OVERHEAD || wg_get32(data) != WG_DATA)
		return port->worker;
	return wg_keypair_home(wg_get32(data + UDP_INDEX), port->workers);
}

/* Open the rest of a message. Returns: false if the merge is full before its end */
static bool open_message(struct worker *w, struct wg_port *port, struct wg_arrival *a)
{
	struct udp_message *m = &a->messages[a->at];
	struct batch batch = {.message = m};

	if (a->offered && wg_spread_settle(w, port, &port->opening, &a->jobs[a->at]))
		batch.job = &a->jobs[a->at];
	while (a->at_bytes < m->len && !wg_merge_is_full(&port->merge)) {
		uint8_t *data = m->data + a->at_bytes;
		uint32_t left = m->len - a->at_bytes;
		uint32_t size = left < m->segment ? left : m->segment;
		unsigned i = a->at_bytes / m->segment;
		unsigned home = home_of(port, data, size);
		enum reason reason = REASON_NONE;

		if (home != port->worker) {
			hand_over(w, port, a, home);
			break;
		}
		a->at_bytes += size;
		if (size >= WG_DATA_OVERHEAD && wg_get32(data) == WG_DATA)
			reason = open_data(w, port, data, size, i, &batch);
		else /* which counts what it does not want */
			wg_device_post(port->device, data, size, &m->endpoint);
		if (reason != REASON_NONE)
			worker_drop(w, reason, 1);
		stage_end_inside(w, STAGE_MERGE);
	}
	note(w, port, &batch);
	return a->at_bytes >= m->len;
}

/* Open all of a burst. Returns: as open_message */
static bool open_arrival(struct worker *w, struct wg_port *port, struct wg_arrival *a)
{
	if (a->offered && a->at == 0 && a->at_bytes == 0)
		wg_spread_begin(&port->opening);
	for (; a->at < a->count; a->at++, a->at_bytes = 0)
		if (!open_message(w, port, a))
			return false;
	return true;
}

unsigned wg_inward_round(struct worker *w, struct wg_port *port)
{
	wg_merge_reset(&port->merge);
	for (; port->due_at < port->due_count; port->due_at++)
		if (!open_arrival(w, port, port->due[port->due_at]))
			break;
	wg_merge_finish(&port->merge);
	stage_end_inside(w, STAGE_MERGE);
	return port->merge.count;
}

/* A SYN goes by itself: keep the segments that it asks for within the MTU. */
static void clamp(const struct wg_port *port, struct wg_merged *m)
{
	struct buf buf = {.data = m->pieces[1].iov_base, .len = m->len};
	struct packet packet;

	if (m->proto != PROTO_TCP || m->count > 1 || !(buf.data[m->l4 + TCP_FLAGS] & TCP_SYN))
		return;
	if (packet_parse(&buf, &packet) == REASON_NONE)
		emit_clamp_mss(wg_tunnel_mtu(port->tunnel), &packet);
}

void wg_inward_deliver(struct worker *w, struct wg_port *port)
{
	for (unsigned i = 0; i < port->merge.count; i++) {
		struct wg_merged *m = &port->merge.items[i];

		if (!w->straight)
			clamp(port, m);

		if (tun_send_pieces(w->tun, &m->offload, m->pieces, 1u + m->count)) {
			worker_count(&w->counters.packets_out, m->count);
			worker_count(&w->counters.bytes_out, m->len);
		} else {
			worker_drop(w, REASON_TUN_BUSY, m->count);
		}
	}
	stage_end_inside(w, STAGE_WRITE);
}

struct buf *wg_inward_flatten(struct wg_port *port, unsigned item, unsigned slot)
{
	const struct wg_merged *m = &port->merge.items[item];
	struct buf *flat = &port->flat[slot];
	size_t at = 0;

	flat->offload = m->offload;
	flat->len = m->len;
	flat->data = m->pieces[1].iov_base;
	if (m->count == 1)
		return flat;
	flat->data = port->flat_data + (size_t)slot * BUF_SIZE;
	for (unsigned i = 1; i <= m->count; i++) {
		memcpy(flat->data + at, m->pieces[i].iov_base, m->pieces[i].iov_len);
		at += m->pieces[i].iov_len;
	}
	return flat;
}
