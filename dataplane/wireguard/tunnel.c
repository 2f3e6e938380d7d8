/* See tunnel.h. */
#include "dataplane/wireguard/tunnel.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/route.h"
#include "dataplane/wireguard/spread.h"

struct wg_tunnel {
	struct udp *udp;
	struct wg_device *device;
	struct ring *jobs;
	unsigned queues;
	unsigned mtu;    /* relaxed, as the next */
	unsigned narrow; /* bool */
	enum wg_aead_kind aead;
	pthread_mutex_t wake_lock; /* guards wake; nothing else is taken inside */
	struct wg_tunnel_wake wake;
	void (*random)(void *context, uint8_t *out, size_t size);
	uint64_t (*wall_ns)(void *context);
	void *context;
};

/* Of the device, with its lock: one at a time. */
static bool send_one(void *context, const struct udp_endpoint *to, const uint8_t *data, size_t len,
		     uint8_t tos)
{
	struct wg_tunnel *t = context;
	struct udp_queue *queue = udp_queue_at(t->udp, t->queues);
	uint8_t copy[WG_MESSAGE_MAX];
	struct udp_message m = {.data = copy,
				.len = (uint32_t)len,
				.segment = (uint32_t)len,
				.endpoint = *to,
				.tos = tos};

	if (len > sizeof(copy))
		return true;
	memcpy(copy, data, len);
	udp_send_burst(queue, &m, 1);
	return !m.source_gone;
}

static void wake_worker(void *context, unsigned worker)
{
	struct wg_tunnel *t = context;

	pthread_mutex_lock(&t->wake_lock);
	if (t->wake.wake)
		t->wake.wake(t->wake.context, worker);
	pthread_mutex_unlock(&t->wake_lock);
}

static void wait_for_workers(void *context)
{
	(void)context;
	route_wait();
}

/* Those that sleep on the old sockets look round, and sleep on the new ones. */
static int set_port(void *context, uint16_t *port)
{
	struct wg_tunnel *t = context;
	int rc = udp_set_port(t->udp, *port);

	if (rc < 0)
		return rc;
	*port = udp_port(t->udp);
	for (unsigned i = 0; i < t->queues; i++)
		wake_worker(t, i);
	return 0;
}

static int set_mark(void *context, uint32_t mark)
{
	struct wg_tunnel *t = context;

	return udp_set_mark(t->udp, mark);
}

static void random_bytes(void *context, uint8_t *out, size_t size)
{
	struct wg_tunnel *t = context;

	t->random(t->context, out, size);
}

static uint64_t wall_ns(void *context)
{
	struct wg_tunnel *t = context;

	return t->wall_ns(t->context);
}

int wg_tunnel_open(const struct wg_tunnel_options *o, struct wg_tunnel **out)
{
	struct udp_options sockets = {.queues = o->queues, .port = o->port, .mark = o->mark};
	struct wg_device_options options = {
		.workers = o->queues,
		.aead = o->aead,
		.mark = o->mark,
		.wall_floor_ns = o->wall_floor_ns,
		.send = send_one,
		.wake = wake_worker,
		.wait = wait_for_workers,
		.set_port = set_port,
		.set_mark = set_mark,
		.random = o->random ? random_bytes : NULL,
		.wall_ns = o->wall_ns ? wall_ns : NULL,
	};
	struct wg_tunnel *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return -ENOMEM;
	t->queues = o->queues;
	t->mtu = o->mtu;
	t->aead = o->aead;
	t->random = o->random;
	t->wall_ns = o->wall_ns;
	t->context = o->context;
	pthread_mutex_init(&t->wake_lock, NULL);
	t->jobs = wg_spread_ring(o->queues);
	rc = t->jobs ? udp_open(&sockets, &t->udp) : -ENOMEM;
	if (rc < 0)
		goto free_tunnel;
	options.port = udp_port(t->udp);
	options.context = t;
	rc = wg_device_create(&options, &t->device);
	if (rc < 0)
		goto close_udp;
	*out = t;
	return 0;

close_udp:
	udp_close(t->udp);
free_tunnel:
	free(t->jobs);
	pthread_mutex_destroy(&t->wake_lock);
	free(t);
	return rc;
}

void wg_tunnel_close(struct wg_tunnel *t)
{
	if (!t)
		return;
	wg_device_destroy(t->device);
	udp_close(t->udp);
	free(t->jobs);
	pthread_mutex_destroy(&t->wake_lock);
	free(t);
}

struct wg_device *wg_tunnel_device(struct wg_tunnel *t)
{
	return t->device;
}

struct udp *wg_tunnel_udp(struct wg_tunnel *t)
{
	return t->udp;
}

enum wg_aead_kind wg_tunnel_aead(const struct wg_tunnel *t)
{
	return t->aead;
}

struct ring *wg_tunnel_jobs(struct wg_tunnel *t)
{
	return t->jobs;
}

unsigned wg_tunnel_queues(const struct wg_tunnel *t)
{
	return t->queues;
}

void wg_tunnel_set_mtu(struct wg_tunnel *t, unsigned mtu)
{
	__atomic_store_n(&t->mtu, mtu, __ATOMIC_RELAXED);
}

unsigned wg_tunnel_mtu(const struct wg_tunnel *t)
{
	return __atomic_load_n(&t->mtu, __ATOMIC_RELAXED);
}

bool wg_tunnel_is_narrow(const struct wg_tunnel *t)
{
	return __atomic_load_n(&t->narrow, __ATOMIC_RELAXED) != 0;
}

void wg_tunnel_set_narrow(struct wg_tunnel *t)
{
	if (!wg_tunnel_is_narrow(t))
		__atomic_store_n(&t->narrow, 1, __ATOMIC_RELAXED);
}

void wg_tunnel_join(struct wg_tunnel *t, const struct wg_tunnel_wake *wake)
{
	pthread_mutex_lock(&t->wake_lock);
	t->wake = *wake;
	pthread_mutex_unlock(&t->wake_lock);
}
