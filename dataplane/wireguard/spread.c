/* See spread.h. */
#include "dataplane/wireguard/spread.h"

#include <stdlib.h>

#include "dataplane/wireguard/port.h"

enum {
	FULL_BYTES = BURST_BYTES_MAX / 2, /* a burst from which on it fills the worker ... */
	FULL_MESSAGES = UDP_BURST_MAX / 2,
	FULL_IN_A_ROW = 2, /* ... and how many, that it is worth the while */
	FAILED_MAX = 4,    /* offers that nobody takes anything of, then none for some bursts: */
	REST_MIN = 16,
	REST_MAX = 1024,
};

struct ring *wg_spread_ring(unsigned workers)
{
	uint32_t size = WG_ARRIVALS * UDP_BURST_MAX;
	struct ring *ring;

	while (size < workers * WG_ARRIVALS * UDP_BURST_MAX)
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

bool wg_spread_offer(struct worker *w, struct wg_port *port, struct wg_arrival *a)
{
	struct wg_spread *s = &port->spread;
	struct wg_job *jobs[UDP_BURST_MAX];

	if (w->peer_count == 1 || !fills(a)) {
		s->full = 0;
		return false;
	}
	if (++s->full < FULL_IN_A_ROW || !has_help(w, s, port->pending != NULL))
		return false;
	for (unsigned i = 0; i < a->count; i++) {
		struct wg_job *job = jobs[i] = &a->jobs[i];

		job->home = w->index;
		job->message = &a->messages[i];
		/* [wg-job-1] The message before the state; pairs with [wg-job-2]. */
		__atomic_store_n(&job->state, WG_JOB_OFFERED, __ATOMIC_RELEASE);
	}
	/* Those that find no room are offered to nobody. */
	ring_enqueue_burst_as(wg_tunnel_jobs(port->tunnel), RING_MULTI_RTS, (void *const *)jobs,
			      a->count);
	return true;
}

void wg_spread_begin(struct wg_port *port)
{
	port->spread.helped = port->spread.alone = 0;
}

bool wg_spread_settle(struct worker *w, struct wg_port *port, struct wg_job *job)
{
	uint32_t state = WG_JOB_OFFERED;

	if (__atomic_load_n(&job->state, __ATOMIC_RELAXED) == WG_JOB_OWN)
		return false;
	/* [wg-job-4] Pairs with [wg-job-3]: what came of it is read after the state. */
	if (__atomic_compare_exchange_n(&job->state, &state, WG_JOB_OWN, false, __ATOMIC_ACQUIRE,
					__ATOMIC_ACQUIRE)) {
		port->spread.alone++;
		return false;
	}
	for (unsigned turn = 0; state != WG_JOB_DONE; turn++) {
		if (!wg_spread_help(w, port))
			ring_relax(turn);
		/* [wg-job-4] As above. */
		state = __atomic_load_n(&job->state, __ATOMIC_ACQUIRE);
	}
	port->spread.helped++;
	return true;
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
		open_all(w, port, job);
		if (job->home != w->index)
			worker_count(&w->counters.helped, udp_segments(job->message));
		/* [wg-job-3] What came of it before the state; pairs with [wg-job-4]. */
		__atomic_store_n(&job->state, WG_JOB_DONE, __ATOMIC_RELEASE);
		return 1;
	}
	return 0;
}
