/* See answer.h. */
#include "dataplane/answer.h"

#include "dataplane/reject.h"

enum {
	REPLIES_PER_MS = 10, /* answers a worker gives, at most */
	REPLIES_BURST = 1000,
};

void answer_flush(struct worker *w)
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
