/* See inbox.h. */
#include "dataplane/inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/worker.h"

/* As many as there are come home at most: it never is full. */
_Static_assert(INBOX_MESSAGES >= RING_SIZE_MIN, "a ring of all messages");

static int open_ring(struct ring **out, uint32_t size)
{
	struct ring *ring = aligned_alloc(RING_LINE, ring_size_bytes(size));
	int rc;

	if (!ring)
		return -ENOMEM;
	rc = ring_init(ring, size, RING_MULTI, RING_SINGLE);
	if (rc < 0) {
		free(ring);
		return rc;
	}
	*out = ring;
	return 0;
}

int inbox_init(struct inbox *i)
{
	memset(i, 0, sizeof(*i));
	i->messages = calloc(INBOX_MESSAGES, sizeof(i->messages[0]));
	i->storage = malloc((size_t)INBOX_MESSAGES * BUF_SIZE);
	if (!i->messages || !i->storage || open_ring(&i->in, INBOX_SIZE) < 0 ||
	    open_ring(&i->home, INBOX_MESSAGES) < 0) {
		inbox_fini(i);
		return -ENOMEM;
	}
	for (unsigned n = 0; n < INBOX_MESSAGES; n++) {
		struct message *m = &i->messages[n];

		m->buf.data = i->storage + (size_t)n * BUF_SIZE;
		m->home = i;
		i->spare[INBOX_MESSAGES - 1 - n] = m; /* the first first: fewer pages */
	}
	i->spare_count = INBOX_MESSAGES;
	return 0;
}

void inbox_fini(struct inbox *i)
{
	free(i->home);
	free(i->in);
	free(i->storage);
	free(i->messages);
}

static struct message *take_spare(struct inbox *i)
{
	if (i->spare_count == 0)
		i->spare_count = ring_dequeue_burst_as(i->home, RING_SINGLE, (void **)i->spare,
						       INBOX_MESSAGES);
	return i->spare_count ? i->spare[--i->spare_count] : NULL;
}

struct message *inbox_wrap(struct inbox *i, const struct packet *p, enum way way, unsigned egress)
{
	struct message *m = take_spare(i);
	uint8_t *data;

	if (!m)
		return NULL;
	data = m->buf.data;
	m->buf = *p->buf;
	p->buf->data = data;
	m->egress = (uint16_t)egress;
	m->packets = (uint16_t)packet_segments(p);
	m->way = (uint8_t)way;
	return m;
}

void inbox_send(struct worker *w, unsigned to, struct message *m)
{
	struct inbox *i = &w->inbox;

	m->to = (uint16_t)to;
	if (i->out_count == INBOX_OUT_MAX)
		inbox_flush(w);
	i->out[i->out_count++] = m;
}

enum reason inbox_hand_over(struct worker *w, unsigned to, const struct packet *p, enum way way,
			    unsigned egress)
{
	struct message *m = inbox_wrap(&w->inbox, p, way, egress);

	if (!m)
		return REASON_INBOX_FULL;
	inbox_send(w, to, m);
	return REASON_HANDED_OVER;
}

enum reason inbox_hand_over_sealed(struct worker *w, unsigned to,
				   const struct udp_message *datagrams, unsigned egress)
{
	struct message *m = take_spare(&w->inbox);

	if (!m)
		return REASON_INBOX_FULL;
	m->sealed = *datagrams;
	m->sealed.data = m->buf.data;
	memcpy(m->buf.data, datagrams->data, datagrams->len);
	m->egress = (uint16_t)egress;
	m->packets = (uint16_t)udp_segments(datagrams);
	m->way = WAY_SEALED;
	inbox_send(w, to, m);
	return REASON_HANDED_OVER;
}

/* Send what is for one worker: all of it that there is room for. */
static void flush_to(struct worker *w, unsigned to, struct message *const *batch, unsigned n)
{
	struct worker *peer = w->peers[to];
	unsigned taken = ring_enqueue_burst_as(peer->inbox.in, RING_MULTI, (void *const *)batch, n);

	for (unsigned k = 0; k < n; k++) {
		if (k >= taken)
			worker_drop(w, REASON_INBOX_FULL, batch[k]->packets);
		else if (peer != w)
			worker_count(&w->counters.handed_over, batch[k]->packets);
	}
	inbox_give_back(batch + taken, n - taken);
	if (taken && peer != w && inbox_rouse(&peer->inbox.asleep))
		worker_wake(peer);
}

void inbox_flush(struct worker *w)
{
	struct inbox *i = &w->inbox;
	struct message *batch[INBOX_OUT_MAX];

	while (i->out_count) {
		unsigned to = i->out[0]->to, n = 0, left = 0;

		for (unsigned k = 0; k < i->out_count; k++) {
			if (i->out[k]->to == to)
				batch[n++] = i->out[k];
			else
				i->out[left++] = i->out[k];
		}
		i->out_count = left;
		flush_to(w, to, batch, n);
	}
}

void inbox_give_back(struct message *const *messages, unsigned n)
{
	for (unsigned first = 0, end; first < n; first = end) {
		struct ring *home = messages[first]->home->home;

		for (end = first + 1; end < n; end++)
			if (messages[end]->home != messages[first]->home)
				break;
		/* Only if one is given back twice is there no room. */
		CHECK(ring_enqueue_bulk_as(home, RING_MULTI, (void *const *)(messages + first),
					   end - first) == end - first);
	}
}
