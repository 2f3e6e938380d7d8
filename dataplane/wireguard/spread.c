/* See spread.h. */
#include "dataplane/wireguard/spread.h"

#include <stdlib.h>

#include "dataplane/wireguard/port.h"

enum {
	WG_JOBS = (WG_ARRIVALS + WG_DEPARTURES) * UDP_BURST_MAX, /* of a worker */

	FULL_BYTES = BURST_BYTES_MAX / 2, /* a burst from which on it fills the worker ... */
	FULL_MESSAGES = UDP_BURST_MAX / 2,
	FULL_PACKETS = BURST_MAX / 2, /* ... if they are no small ones */
	FULL_PACKETS_BYTES = FULL_PACKETS * 1024,
	FULL_IN_A_ROW = 2, /* ... and how many, that it is worth the while */
	FAILED_MAX = 4,    /* offers that nobody takes anything of, then none for some bursts: */
	REST_MIN = 16,
	REST_MAX = 1024,
};

struct ring *wg_spread_ring(unsigned workers)
{
	uint32_t size = WG_JOBS;
	struct ring *ring;

	while (size < workers * WG_JOBS)
		size *= 2;
	ring = aligned_alloc(RING_LINE, ring_size_bytes(size));
	/* Who is preempted with a job in hand must not stop the others. */
	if (ring && ring_init(ring, size, RING_MULTI_RTS, RING_MULTI_RTS) < 0) {
		free(ring);
		return NULL;
	}
	return ring;
}

/* ---- The worker's side ---- */

static bool fills(const struct wg_arrival *a)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < a->count; i++)
		bytes += a->messages[i].len;
	return a->count > 1 && (bytes >= FULL_BYTES || a->count >= FULL_MESSAGES);
}

static bool fills_out(const struct wg_port *port)
{
	unsigned n = port->outgoing_count;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += port->outgoing[i].packet->buf->len;
	return bytes >= FULL_BYTES || (n >= FULL_PACKETS && bytes >= FULL_PACKETS_BYTES);
}

/* Wake one that sleeps. */
static bool wake_one(const struct worker *w)
{
	for (unsigned i = 1; i < w->peer_count; i++) {
		struct worker *peer = w->peers[(w->index + i) % w->peer_count];

		if (__atomic_load_n(&peer->inbox.asleep, __ATOMIC_RELAXED) &&
		    inbox_rouse(&peer->inbox.asleep)) {
			worker_wake(peer);
			return true;
		}
	}
	return false;
}

/* Whether there is somebody who helps, or may: one more is woken. */
static bool has_help(const struct worker *w, struct wg_spread *s, bool asked)
{
	if (s->rest) {
		s->rest--;
		return false;
	}
	if (s->helped)
		s->failed = s->rested = 0;
	else if (s->alone && ++s->failed == FAILED_MAX) {
		s->rested = s->rested ? s->rested * 2 : REST_MIN;
		if (s->rested > REST_MAX)
			s->rested = REST_MAX;
		s->rest = s->rested;
		s->failed = 0;
	}
	s->alone = 0;
	return !s->rest && (wake_one(w) || asked || s->helped);
}

/* Whether to offer a burst. */
static bool offers(const struct worker *w, struct wg_spread *s, bool full, bool asked)
{
	s->full = full ? s->full + 1 : 0;
	return s->full >= FULL_IN_A_ROW && has_help(w, s, asked);
}

static void offer(const struct worker *w, struct wg_port *port, struct wg_job *const *jobs,
		  unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		jobs[i]->home = w->index;
		/* [wg-job-1] The message before the state; pairs with [wg-job-2]. */
		__atomic_store_n(&jobs[i]->state, WG_JOB_OFFERED, __ATOMIC_RELEASE);
	}
	/* Those that find no room are offered to nobody. */
	ring_enqueue_burst_as(wg_tunnel_jobs(port->tunnel), RING_MULTI_RTS, (void *const *)jobs, n);
}

bool wg_spread_offer(struct worker *w, struct wg_port *port, struct wg_arrival *a)
{
	struct wg_job *jobs[UDP_BURST_MAX];

	if (w->peer_count == 1 || !offers(w, &port->opening, fills(a), port->pending != NULL))
		return false;
	for (unsigned i = 0; i < a->count; i++) {
		jobs[i] = &a->jobs[i];
		jobs[i]->message = &a->messages[i];
	}
	offer(w, port, jobs, a->count);
	return true;
}

bool wg_spread_offers_seal(struct worker *w, struct wg_port *port)
{
	return w->peer_count > 1 && offers(w, &port->sealing, fills_out(port), port->left != NULL);
}

void wg_spread_offer_seal(struct worker *w, struct wg_port *port, struct wg_job *job)
{
	job->seals = true;
	job->sealed = false;
	offer(w, port, &job, 1);
}

void wg_spread_begin(struct wg_spread *s)
{
	s->helped = s->alone = 0;
}

bool wg_spread_settle(struct worker *w, struct wg_port *port, struct wg_spread *s,
		      struct wg_job *job)
{
	uint32_t state = WG_JOB_OFFERED;

	if (__atomic_load_n(&job->state, __ATOMIC_RELAXED) == WG_JOB_OWN)
		return false;
	/* [wg-job-4] Pairs with [wg-job-3]: what came of it is read after the state. */
	if (__atomic_compare_exchange_n(&job->state, &state, WG_JOB_OWN, false, __ATOMIC_ACQUIRE,
					__ATOMIC_ACQUIRE)) {
		s->alone++;
		return false;
	}
	for (unsigned turn = 0; state != WG_JOB_DONE; turn++) {
		if (!wg_spread_help(w, port))
			ring_relax(turn);
		/* [wg-job-4] As above. */
		state = __atomic_load_n(&job->state, __ATOMIC_ACQUIRE);
	}
	s->helped++;
	return true;
}

struct wg_keypair *wg_job_keypair(const struct worker *w, const struct wg_port *port,
				  const struct wg_job *job)
{
	struct wg_keypair *keypair = wg_device_keypair(port->device, job->index);

	return keypair && keypair->id == job->keypair &&
			       wg_keypair_accepts(keypair, wg_port_now_ns(w))
		       ? keypair
		       : NULL;
}

void wg_job_seal(const struct wg_port *port, const struct wg_job *job,
		 const struct wg_keypair *keypair)
{
	const struct udp_message *m = job->message;

	for (uint32_t at = 0; at < m->len; at += m->segment) {
		uint8_t *data = m->data + at;
		uint32_t left = m->len - at;
		uint32_t size = left < m->segment ? left : m->segment;
		uint64_t counter = wg_get64(data + WG_COUNTER);

		data += WG_DATA_HEADER;
		wg_aead_seal(port->aead, keypair->send_key, counter, data, size - WG_DATA_OVERHEAD,
			     data);
	}
}

/* ---- The others' ---- */

static void open_all(const struct worker *w, const struct wg_port *port, struct wg_job *job)
{
	const struct udp_message *m = job->message;
	struct wg_keypair *keypair = NULL;
	uint32_t at = 0;

	job->tried = job->authentic = job->keypair = 0;
	for (unsigned i = 0; i < WG_JOB_DATAGRAMS && at < m->len; i++, at += m->segment) {
		uint8_t *data = m->data + at;
		uint32_t left = m->len - at;
		uint32_t size = left < m->segment ? left : m->segment;
		uint64_t counter;
		uint32_t index;

		if (size < WG_DATA_OVERHEAD || wg_get32(data) != WG_DATA)
			continue;
		index = wg_get32(data + UDP_INDEX);
		if (!keypair && wg_keypair_home(index, port->workers) == job->home)
			keypair = wg_device_keypair(port->device, index);
		if (!keypair || keypair->local_index != index)
			continue; /* its worker sees to it */
		if (!wg_keypair_accepts(keypair, wg_port_now_ns(w)))
			break;
		job->keypair = keypair->id;
		job->tried |= UINT64_C(1) << i;
		counter = wg_get64(data + WG_COUNTER);
		data += WG_DATA_HEADER;
		if (wg_aead_open(port->aead, keypair->receive_key, counter, data,
				 size - WG_DATA_HEADER, data))
			job->authentic |= UINT64_C(1) << i;
	}
}

static void seal_all(const struct worker *w, const struct wg_port *port, struct wg_job *job)
{
	const struct wg_keypair *keypair = wg_job_keypair(w, port, job);

	if (keypair)
		wg_job_seal(port, job, keypair);
	job->sealed = keypair != NULL;
}

/* The oldest job in the ring; NULL: there is none. */
static struct wg_job *take(struct ring *ring)
{
	void *found = NULL;

	if (ring_count_racy(ring) == 0 ||
	    ring_dequeue_burst_as(ring, RING_MULTI_RTS, &found, 1) == 0)
		return NULL;
	return found;
}

unsigned wg_spread_help(struct worker *w, struct wg_port *port)
{
	struct ring *ring = wg_tunnel_jobs(port->tunnel);
	struct wg_job *job;

	while ((job = take(ring)) != NULL) {
		uint32_t state = WG_JOB_OFFERED;

		/* [wg-job-2] The state before the message; pairs with [wg-job-1]. */
		if (!__atomic_compare_exchange_n(&job->state, &state, WG_JOB_TAKEN, false,
						 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		if (job->seals)
			seal_all(w, port, job);
		else
			open_all(w, port, job);
		if (job->home != w->index)
			worker_count(&w->counters.helped, udp_segments(job->message));
		/* [wg-job-3] What came of it before the state; pairs with [wg-job-4]. */
		__atomic_store_n(&job->state, WG_JOB_DONE, __ATOMIC_RELEASE);
		return 1;
	}
	return 0;
}
