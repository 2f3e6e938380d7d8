/* What a worker does between bursts. */
#include "dataplane/chores.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/links.h"
#include "dataplane/wireguard/port.h"
#include "dataplane/worker.h"

enum {
	SWEEP_MS = 10,          /* how often a piece of the flow table is looked through... */
	SWEEP_ROUND_MS = 10000, /* ...so that all of it is in this time */
	SLEEP_MS = 1000,        /* longest sleep: idle flows still expire */
	SPIN_NS_MAX = 2000, /* longer takes the core from who sends (ARCHITECTURE.md has figures) */
	SPIN_NS_MIN = 500,
};

uint64_t chores_now_ns(void)
{
	struct timespec t;

	/* Sessions grow old while the machine sleeps, and so do flows. */
#ifdef CLOCK_BOOTTIME
	clock_gettime(CLOCK_BOOTTIME, &t);
#else
	clock_gettime(CLOCK_MONOTONIC, &t);
#endif
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void chores_retry_pending(struct worker *w, const struct links *links)
{
	unsigned cursor = 0, egress;
	struct addr via, ignored;
	struct buf *buf;
	bool expired;

	while (pending_next(w->pending, &cursor, &buf, &egress, &via, &expired, w->now_ms)) {
		struct worker_egress *e = &w->egress[egress];

		if (link_next_hop(&links->link[egress], &via, &ignored, buf->next_hop) ==
		    LINK_HOP_OK) {
			worker_drop(w, REASON_EGRESS_BUSY, 1 - nic_send_burst(e->nic, &buf, 1));
			worker_count(&w->counters.egress[egress].packets_out, 1);
			worker_count(&w->counters.egress[egress].bytes_out, buf->len);
			pending_remove(w->pending, cursor);
		} else if (expired) {
			worker_drop(w, REASON_UNRESOLVED, 1);
			pending_remove(w->pending, cursor);
		}
	}
}

void chores_sweep(struct worker *w)
{
	uint64_t passed = w->now_ms - w->swept_ms;
	uint64_t lost = 0, mappings = 0;
	unsigned sets = flow_set_count(w->flows);

	if (passed < SWEEP_MS)
		return;
	w->swept_ms = w->now_ms;
	if (passed > SWEEP_ROUND_MS)
		passed = SWEEP_ROUND_MS;
	flow_sweep(w->flows, (unsigned)(sets * passed / SWEEP_ROUND_MS) + 1, w->now_ms);
	worker_set(&w->counters.flows, flow_count(w->flows));
	for (unsigned i = 0; i < w->egress_count; i++) {
		if (w->egress[i].nic)
			lost += nic_queue_lost(w->egress[i].nic);
		if (w->egress[i].nat)
			mappings += nat_count(w->egress[i].nat);
	}
	worker_count(&w->counters.lost, lost);
	worker_set(&w->counters.mappings, mappings);
}

void chores_wait(struct worker *w)
{
	struct pollfd fds[2 * EGRESSES_MAX + 2];
	unsigned n = 0;
	uint64_t began;
	char drain[64];

	fds[n++] = (struct pollfd){.fd = w->wake[0], .events = POLLIN};
	fds[n++] = (struct pollfd){.fd = tun_queue_fd(w->tun), .events = POLLIN};
	for (unsigned i = 0; i < w->egress_count; i++) {
		const struct worker_egress *e = &w->egress[i];
		int pair[2];

		if (e->nic && e->nat)
			fds[n++] = (struct pollfd){.fd = nic_queue_fd(e->nic), .events = POLLIN};
		if (!e->port)
			continue;
		wg_port_rest(e->port);
		udp_queue_fds(e->port->queue, pair);
		for (unsigned k = 0; k < 2; k++)
			fds[n++] = (struct pollfd){.fd = pair[k], .events = POLLIN};
	}
	began = chores_now_ns();
	worker_count(&w->counters.sleeps, 1);
	poll(fds, n, pending_count(w->pending) ? SWEEP_MS : SLEEP_MS);
	if (fds[1].revents & (POLLERR | POLLNVAL))
		poll(fds, 1, SLEEP_MS); /* the device was removed: there is nothing to serve */
	if (fds[0].revents && read(w->wake[0], drain, sizeof(drain)) < 0)
		drain[0] = 0; /* somebody woke us; why is seen in the loop */

	/* Work that came soon was worth waiting for awake; after a long sleep it was not. */
	if (chores_now_ns() - began < w->spin_ns * 2)
		w->spin_ns = w->spin_ns * 2 < SPIN_NS_MAX ? w->spin_ns * 2 : SPIN_NS_MAX;
	else
		w->spin_ns = w->spin_ns / 2 > SPIN_NS_MIN ? w->spin_ns / 2 : SPIN_NS_MIN;
}

void chores_nap(struct worker *w, uint64_t length_ns)
{
	const struct timespec length = {.tv_nsec = (long)length_ns};

	worker_count(&w->counters.sleeps, 1);
	nanosleep(&length, NULL);
}
