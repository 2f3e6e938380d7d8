/* The dataplane: devices, workers, and the control thread's side of what they share. */
#include "dataplane/dataplane.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/check.h"
#include "dataplane/inspect.h"
#include "dataplane/pipe.h"
#include "dataplane/wireguard/port.h"
#include "dataplane/worker.h"

struct dataplane {
	struct routes *routes;
	struct tun *tun;
	struct nic *nics[EGRESSES_MAX];
	struct egress_options egresses[EGRESSES_MAX];
	char interfaces[EGRESSES_MAX][TUN_NAME_MAX]; /* what egresses[].interface points to */
	uint32_t mark;
	bool straight;
	unsigned egress_count;
	unsigned worker_count;
	unsigned started; /* workers whose threads run */
	int wish_pipe[2]; /* workers write, the control thread reads */
	struct worker **workers;
};

/* Seeds for hashes and port choice; nobody outside may guess them. */
static int random_seed(uint64_t *seed)
{
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, seed, sizeof(*seed));
	close(fd);
	return n == sizeof(*seed) ? 0 : -EIO;
}

static void worker_destroy(struct worker *w)
{
	if (!w)
		return;
	/* Flows refer to translations: they go first. */
	worker_fini(w);
	for (unsigned i = 0; i < w->egress_count; i++) {
		nat_destroy(w->egress[i].nat);
		wg_port_destroy(w->egress[i].port);
	}
	pipe_close(w->wake);
	free(w);
}

static unsigned slice_size(const struct egress_options *e, unsigned workers)
{
	return e->nat ? ((unsigned)e->port_last - e->port_first + 1) / workers : 0;
}

/* A worker's part of what a source may have: at least one. */
static unsigned source_share(const struct dataplane *d, unsigned limit, size_t own)
{
	if (limit)
		return (limit + d->worker_count - 1) / d->worker_count;
	return own > 1 ? (unsigned)(own / 2) : 1;
}

static int add_port(struct dataplane *d, struct worker *w, unsigned egress,
		    const struct dataplane_options *options)
{
	struct wg_port_options o = {
		.tunnel = d->egresses[egress].tunnel,
		.egress = egress,
		.worker = w->index,
		.workers = d->worker_count,
		.udp = strstr(tun_offloads(options->tun), "uso"),
	};

	w->egress[egress].gateway = d->egresses[egress].gateway;
	w->gateway |= d->egresses[egress].gateway;
	return wg_port_create(&o, &w->egress[egress].port);
}

static int add_nat(struct dataplane *d, struct worker *w, unsigned egress,
		   const struct dataplane_options *options)
{
	const struct egress_options *o = &d->egresses[egress];
	struct worker_egress *e = &w->egress[egress];
	unsigned slice = slice_size(o, d->worker_count);
	uint64_t seed = 0;
	int rc = random_seed(&seed);

	if (rc < 0)
		return rc;
	e->port_first = o->port_first;
	e->port_last = (uint16_t)(o->port_first + slice * d->worker_count - 1);
	e->slice = (uint16_t)slice;
	e->source_ports = source_share(d, options->source_ports, slice);
	e->nat = nat_create((uint16_t)(o->port_first + w->index * slice), slice,
			    options->busy_ports, options->busy_port_count, seed);
	return e->nat ? 0 : -ENOMEM;
}

static int worker_add_egresses(struct dataplane *d, struct worker *w,
			       const struct dataplane_options *options)
{
	for (unsigned i = 0; i < d->egress_count; i++) {
		const struct egress_options *o = &d->egresses[i];
		struct worker_egress *e = &w->egress[i];
		int rc = 0;

		w->egress_count = i + 1;
		e->type = o->type;
		e->on_down = o->on_down;
		w->diverts |= o->on_down >= ON_DOWN_EGRESS;
		if (o->type == EGRESS_INTERFACE) {
			e->nic = nic_queue_at(d->nics[i], w->index);
			e->ethernet = nic_is_ethernet(d->nics[i]);
		} else if (o->type == EGRESS_WIREGUARD) {
			rc = add_port(d, w, i, options);
		} else {
			continue;
		}
		if (rc == 0 && o->nat)
			rc = add_nat(d, w, i, options);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int worker_create(struct dataplane *d, unsigned index,
			 const struct dataplane_options *options, struct worker **out)
{
	struct worker *w = aligned_alloc(_Alignof(struct worker), sizeof(*w));
	uint64_t seed;
	int rc;

	if (!w)
		return -ENOMEM;
	memset(w, 0, sizeof(*w));
	w->index = index;
	w->routes = d->routes;
	w->on_change = options->on_change;
	w->straight = options->straight;
	w->inside.asked = options->stages_inside;
	w->thread_begin = options->thread_begin;
	w->thread_review = options->thread_review;
	w->context = options->context;
	w->tun = tun_queue_at(options->tun, index);
	w->device = options->tun;
	w->steered = tun_steered(options->tun);
	w->peers = d->workers;
	w->peer_count = d->worker_count;
	w->wish_fd = d->wish_pipe[1];
	w->own_count = options->own_count;
	if (w->own_count)
		memcpy(w->own, options->own, w->own_count * sizeof(w->own[0]));
	rc = random_seed(&seed);
	if (rc < 0)
		goto free_worker;
	rc = pipe_open(w->wake);
	if (rc < 0)
		goto free_worker;
	rc = worker_init(w, options->flows ? options->flows : FLOWS_DEFAULT, seed);
	if (rc < 0)
		goto close_wake;
	w->source_flows = source_share(d, options->source_flows, flow_capacity(w->flows));
	rc = worker_add_egresses(d, w, options);
	if (rc < 0) {
		worker_destroy(w);
		return rc;
	}
	*out = w;
	return 0;

close_wake:
	pipe_close(w->wake);
free_worker:
	free(w);
	return rc;
}

static int open_nic(const struct dataplane *d, unsigned egress, struct nic **out)
{
	const struct egress_options *e = &d->egresses[egress];
	struct nic_options options = {
		.name = e->interface,
		.queues = d->worker_count,
		.port_first = e->port_first,
		.slice = (uint16_t)slice_size(e, d->worker_count),
		.mark = d->mark,
	};

	return nic_open(&options, out);
}

static int open_nics(struct dataplane *d, int *failed)
{
	for (unsigned i = 0; i < d->egress_count; i++) {
		int rc;

		if (d->egresses[i].type != EGRESS_INTERFACE)
			continue;
		rc = open_nic(d, i, &d->nics[i]);
		if (rc < 0) {
			*failed = (int)i;
			return rc;
		}
	}
	return 0;
}

static bool nat_valid(const struct dataplane_options *o, const struct egress_options *e)
{
	return !e->nat || (e->port_first != 0 && e->port_last >= e->port_first &&
			   slice_size(e, tun_queue_count(o->tun)) > 0);
}

static bool options_valid(const struct dataplane_options *o)
{
	if (o->egress_count < 1 || o->egress_count > EGRESSES_MAX || o->own_count > OWN_MAX)
		return false;
	if (o->straight && (o->egress_count != 1 || o->egresses[0].type != EGRESS_WIREGUARD))
		return false;
	for (unsigned i = 0; i < o->egress_count; i++) {
		const struct egress_options *e = &o->egresses[i];

		if (e->on_down >= ON_DOWN_EGRESS + o->egress_count)
			return false;
		if (e->type == EGRESS_INTERFACE &&
		    (!e->interface || strlen(e->interface) >= TUN_NAME_MAX || !nat_valid(o, e)))
			return false;
		if (e->type == EGRESS_WIREGUARD &&
		    (!e->tunnel || wg_tunnel_queues(e->tunnel) != tun_queue_count(o->tun) ||
		     (e->gateway && (e->nat || o->straight)) || !nat_valid(o, e)))
			return false;
	}
	return true;
}

static void wake_one(void *context, unsigned worker)
{
	struct dataplane *d = context;

	worker_wake(d->workers[worker]);
}

/* Whether the tunnels tell the workers, or nobody. */
static void join_tunnels(struct dataplane *d, bool join)
{
	const struct wg_tunnel_wake wake = {.wake = join ? wake_one : NULL, .context = d};

	for (unsigned i = 0; i < d->egress_count; i++)
		if (d->egresses[i].type == EGRESS_WIREGUARD)
			wg_tunnel_join(d->egresses[i].tunnel, &wake);
}

int dataplane_create(const struct dataplane_options *options, struct dataplane **out, int *failed)
{
	struct dataplane *d;
	int rc, ignored;

	if (!failed)
		failed = &ignored;
	*failed = -1;
	if (!options_valid(options))
		return -EINVAL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->wish_pipe[0] = d->wish_pipe[1] = -1;
	d->worker_count = tun_queue_count(options->tun);
	d->egress_count = options->egress_count;
	d->mark = options->mark;
	d->straight = options->straight;
	memcpy(d->egresses, options->egresses, d->egress_count * sizeof(d->egresses[0]));
	for (unsigned i = 0; i < d->egress_count; i++) {
		if (d->egresses[i].type != EGRESS_INTERFACE)
			continue;
		memcpy(d->interfaces[i], d->egresses[i].interface,
		       strlen(d->egresses[i].interface));
		d->egresses[i].interface = d->interfaces[i];
	}
	d->workers = calloc(d->worker_count, sizeof(d->workers[0]));
	d->routes = routes_create();
	rc = d->workers && d->routes ? pipe_open(d->wish_pipe) : -ENOMEM;
	if (rc == 0)
		rc = open_nics(d, failed);
	for (unsigned i = 0; rc == 0 && i < d->worker_count; i++)
		rc = worker_create(d, i, options, &d->workers[i]);
	if (rc < 0) {
		dataplane_destroy(d);
		return rc;
	}
	d->tun = options->tun;
	join_tunnels(d, true);
	*out = d;
	return 0;
}

static int start_devices(struct dataplane *d)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < d->egress_count; i++)
		if (d->egresses[i].type == EGRESS_WIREGUARD)
			rc = wg_device_start(wg_tunnel_device(d->egresses[i].tunnel));
	return rc;
}

/* Before the workers: they may wait for them. */
static void stop_devices(struct dataplane *d)
{
	for (unsigned i = 0; i < d->egress_count; i++)
		if (d->egresses[i].type == EGRESS_WIREGUARD)
			wg_device_stop(wg_tunnel_device(d->egresses[i].tunnel));
}

int dataplane_start(struct dataplane *d)
{
	int rc;

	CHECK(d->straight || (route_table_control(d->routes) && route_links_control(d->routes)));
	for (; d->started < d->worker_count; d->started++) {
		struct worker *w = d->workers[d->started];

		__atomic_store_n(&w->stop, 0, __ATOMIC_RELAXED);
		rc = pthread_create(&w->thread, NULL, worker_main, w);

		if (rc != 0) {
			dataplane_stop(d);
			return -rc;
		}
	}
	rc = start_devices(d);
	if (rc < 0)
		dataplane_stop(d);
	return rc;
}

void dataplane_stop(struct dataplane *d)
{
	stop_devices(d);
	for (unsigned i = 0; i < d->started; i++) {
		__atomic_store_n(&d->workers[i]->stop, 1, __ATOMIC_RELAXED);
		worker_wake(d->workers[i]);
	}
	for (; d->started > 0; d->started--)
		pthread_join(d->workers[d->started - 1]->thread, NULL);
}

unsigned dataplane_turn(struct dataplane *d, unsigned worker, uint64_t now_ms)
{
	unsigned n;

	CHECK(d->started == 0 && worker < d->worker_count);
	route_enter();
	n = worker_turn(d->workers[worker], now_ms);
	route_exit();
	return n;
}

int dataplane_reopen_egress(struct dataplane *d, unsigned egress)
{
	bool running = d->started > 0;
	struct nic *nic;
	int rc;

	CHECK(egress < d->egress_count);
	if (d->egresses[egress].type != EGRESS_INTERFACE)
		return 0;
	rc = open_nic(d, egress, &nic);
	if (rc < 0)
		return rc;
	dataplane_stop(d);
	nic_close(d->nics[egress]);
	d->nics[egress] = nic;
	for (unsigned i = 0; i < d->worker_count; i++) {
		struct worker_egress *e = &d->workers[i]->egress[egress];

		e->nic = nic_queue_at(nic, i);
		e->ethernet = nic_is_ethernet(nic);
	}
	return running ? dataplane_start(d) : 0;
}

void dataplane_destroy(struct dataplane *d)
{
	if (!d)
		return;
	if (d->tun) {
		dataplane_stop(d);
		join_tunnels(d, false);
	}
	for (unsigned i = 0; d->workers && i < d->worker_count; i++)
		worker_destroy(d->workers[i]);
	for (unsigned i = 0; i < d->egress_count; i++)
		nic_close(d->nics[i]);
	tun_close(d->tun);
	if (d->wish_pipe[0] >= 0)
		pipe_close(d->wish_pipe);
	routes_destroy(d->routes);
	free(d->workers);
	free(d);
}

struct tun *dataplane_tun(struct dataplane *d)
{
	return d->tun;
}

const struct routes *dataplane_routes(const struct dataplane *d)
{
	return d->routes;
}

uint64_t dataplane_publish_table(struct dataplane *d, struct table *table)
{
	return route_publish_table(d->routes, table);
}

int dataplane_patch_table(struct dataplane *d, const struct table_patch *patch, uint32_t generation,
			  uint64_t *publish_ns)
{
	return route_patch_table(d->routes, patch, generation, publish_ns);
}

struct table *dataplane_take_spare(struct dataplane *d)
{
	return route_take_spare(d->routes);
}

uint64_t dataplane_publish_links(struct dataplane *d, struct links *links)
{
	uint64_t ns;

	CHECK(links->count == d->egress_count);
	ns = route_publish_links(d->routes, links);
	for (unsigned i = 0; i < d->started; i++)
		worker_wake(d->workers[i]); /* packets may wait for a next hop */
	return ns;
}

const char *dataplane_stage_name(enum worker_stage stage)
{
	static const char *const names[STAGE_COUNT] = {
		"receive", "parse", "decide", "emit", "return", "split",
		"seal",    "send",  "take",   "open", "merge",  "write",
	};

	return names[stage];
}

unsigned dataplane_worker_count(const struct dataplane *d)
{
	return d->worker_count;
}

void dataplane_read_counters(const struct dataplane *d, unsigned worker,
			     struct worker_counters *out)
{
	const uint64_t *from = (const uint64_t *)&d->workers[worker]->counters;
	uint64_t *to = (uint64_t *)out;

	CHECK(worker < d->worker_count);
	for (size_t i = 0; i < sizeof(*out) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

size_t dataplane_flows(struct dataplane *d, const struct flow_filter *filter, struct flow_info *out,
		       size_t max, size_t *total)
{
	return inspect_flows(d->workers, d->started, filter, out, max, total);
}

size_t dataplane_flow_aims(struct dataplane *d, unsigned worker, struct flow_aim *out, size_t max)
{
	return worker < d->started ? inspect_aims(d->workers[worker], out, max) : 0;
}

int dataplane_resolve_fd(const struct dataplane *d)
{
	return d->wish_pipe[0];
}

static bool wish_pop(struct worker *w, struct wish *out)
{
	/* [wish-4] pairs with [wish-3]: the wish is whole before it is read. */
	uint32_t head = __atomic_load_n(&w->wish_head, __ATOMIC_ACQUIRE);

	if (w->wish_tail == head)
		return false;
	*out = w->wishes[w->wish_tail % WISHES_MAX];
	/* [wish-2] pairs with [wish-1]: the slot is read before it may be written again. */
	__atomic_store_n(&w->wish_tail, w->wish_tail + 1, __ATOMIC_RELEASE);
	return true;
}

bool dataplane_resolve_next(struct dataplane *d, unsigned *egress, struct addr *via)
{
	char drain[64];
	struct wish wish;
	bool more = true;

	while (more)
		more = read(d->wish_pipe[0], drain, sizeof(drain)) == sizeof(drain);
	for (unsigned i = 0; i < d->worker_count; i++) {
		if (!wish_pop(d->workers[i], &wish))
			continue;
		*egress = wish.egress;
		*via = wish.via;
		return true;
	}
	return false;
}
