/* See answer.h. */
#include "dataplane/answer.h"

#include "dataplane/emit.h"
#include "dataplane/reject.h"
#include "dataplane/wireguard/outward.h"

enum {
	REPLIES_PER_MS = 10, /* answers a worker gives, at most */
	REPLIES_BURST = 1000,
};

/* Whether an answer is a gateway's peer's, and has gone to it. */
static bool goes_to_peer(struct worker *w, struct buf *buf)
{
	const bool is_answer = buf >= w->replies && buf < w->replies + BURST_MAX;
	struct wg_port *port = NULL;
	struct packet packet;

	if (is_answer && packet_parse(buf, &packet) == REASON_NONE)
		port = wg_outward_port_of(w, &packet);
	if (!port || wg_outward_packet(w, port, &packet) != REASON_NONE)
		return false;
	wg_outward_flush(w, port);
	return true;
}

/* The rest is for the TUN. What peers cannot be told may be answered in turn, at the end. */
static void flush_to_peers(struct worker *w)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < w->to_tun_count; i++)
		if (!goes_to_peer(w, w->to_tun[i]))
			w->to_tun[kept++] = w->to_tun[i];
	w->to_tun_count = kept;
}

void answer_flush(struct worker *w)
{
	if (w->gateway)
		flush_to_peers(w);
	if (w->to_tun_count) {
		unsigned taken = tun_send_burst(w->tun, w->to_tun, w->to_tun_count);

		worker_drop(w, REASON_TUN_BUSY, w->to_tun_count - taken);
		w->to_tun_count = 0;
	}
	w->reply_count = 0;
}

/* A buffer for an answer, or NULL when enough have been given. */
static struct buf *take(struct worker *w)
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

static void push(struct worker *w, struct buf *reply)
{
	w->reply_tokens--;
	w->reply_count++;
	w->to_tun[w->to_tun_count++] = reply;
	worker_count(&w->counters.packets_out, 1);
	worker_count(&w->counters.bytes_out, reply->len);
}

void answer_reject(struct worker *w, const struct packet *p)
{
	struct buf *reply = take(w);

	if (reply && reject_build(p, NULL, reply))
		push(w, reply);
}

void answer_prohibited(struct worker *w, const struct packet *p)
{
	struct buf *reply = take(w);

	if (reply && reject_prohibited(p, NULL, reply))
		push(w, reply);
}

void answer_unreachable(struct worker *w, const struct packet *p)
{
	struct buf *reply = take(w);

	if (reply && reject_unreachable(p, NULL, reply))
		push(w, reply);
}

void answer_reset(struct worker *w, const struct packet *p, bool outbound)
{
	struct buf *reply = take(w);

	if (reply && reject_reset_inner(p, outbound, reply))
		push(w, reply);
}

void answer_too_big(struct worker *w, const struct packet *p, unsigned mtu)
{
	struct buf *reply = take(w);

	if (reply && reject_too_big(p, NULL, mtu, reply))
		push(w, reply);
}

/* The host's own address of that family on the TUN, or NULL. */
static const uint8_t *own_address(const struct worker *w, uint8_t version, uint8_t bytes[16])
{
	for (unsigned i = 0; i < w->own_count; i++) {
		if (w->own[i].version != version)
			continue;
		addr_to_bytes(&w->own[i], bytes);
		return bytes;
	}
	return NULL;
}

/*
 * The kernel takes no IPv4 packet from the TUN whose source is its own address. RFC 7600 has an
 * address for routers that have none to give.
 */
void answer_time_exceeded(struct worker *w, const struct packet *p)
{
	static const uint8_t dummy4[4] = {192, 0, 0, 8};
	struct buf *reply = take(w);
	uint8_t bytes[16];

	if (reply &&
	    reject_time_exceeded(p, p->key.version == 4 ? dummy4 : own_address(w, 6, bytes), reply))
		push(w, reply);
}

void answer_time_exceeded_out(struct worker *w, const struct links *links, unsigned egress,
			      const struct packet *p)
{
	struct addr dst = key_src(&p->key);
	struct buf *reply = take(w);

	if (!reply || !reject_time_exceeded(p, NULL, reply))
		return;
	w->reply_tokens--;
	w->reply_count++;
	emit_answer(w, links, egress, &dst, reply);
}
