/* Copying flows out of the workers that own them. */
#include "dataplane/inspect.h"

#include <string.h>
#include <time.h>

#include "dataplane/worker.h"

enum {
	SLOTS_A_TURN = 4096, /* looked at before the worker goes back to packets */
};

/* What the control thread asks for: filled in by it, then the worker's until `done`. */
struct flow_request {
	struct flow_filter filter;
	struct flow_info *out; /* either these are wanted */
	struct flow_aim *aims; /* or those */
	size_t max;
	size_t count;
	size_t total;
	size_t cursor;
	int done;
};

static void copy_flow(struct worker *w, struct flow_request *r, const struct flow *f)
{
	struct addr src = key_src(&f->key), dst = key_dst(&f->key);
	const struct flow_filter *want = &r->filter;
	struct flow_info *o;

	if (want->addr.version && link_addr_compare(&src, &want->addr) != 0 &&
	    link_addr_compare(&dst, &want->addr) != 0)
		return;
	if (want->egress >= 0 && want->egress != f->egress)
		return;
	r->total++;
	if (r->count == r->max)
		return;
	o = &r->out[r->count++];
	o->flow = *f;
	o->counters = *flow_counters(w->flows, f);
	o->outer_port = f->nat ? nat_at(w->egress[f->egress].nat, f->nat)->outer_port : 0;
	o->worker = (uint16_t)w->index;
	o->idle_ms = (uint32_t)((uint32_t)w->now_ms - f->last_ms);
	o->age_ms = w->now_ms - o->counters.created_ms;
}

static void copy_aim(struct flow_request *r, const struct flow *f)
{
	struct flow_aim *o;

	r->total++;
	if (r->count == r->max)
		return;
	o = &r->aims[r->count++];
	memcpy(o->dst, f->key.dst, sizeof(o->dst));
	o->version = f->key.version;
	o->draining = f->seen & FLOW_DRAINING;
	o->egress = f->egress;
}

bool inspect_serve(struct worker *w)
{
	/* [flows-1] pairs with [flows-3]: the request is whole before it is seen. */
	struct flow_request *r = __atomic_load_n(&w->request, __ATOMIC_ACQUIRE);
	size_t end, capacity = flow_capacity(w->flows);

	if (!r)
		return false;
	end = r->cursor + SLOTS_A_TURN < capacity ? r->cursor + SLOTS_A_TURN : capacity;
	for (; r->cursor < end; r->cursor++) {
		const struct flow *f = flow_at(w->flows, r->cursor, w->now_ms);

		if (f && r->aims)
			copy_aim(r, f);
		else if (f)
			copy_flow(w, r, f);
	}
	if (r->cursor < capacity)
		return true;
	__atomic_store_n(&w->request, NULL, __ATOMIC_RELAXED);
	/* [flows-2] pairs with [flows-4]: the copies are whole before the reader uses them. */
	__atomic_store_n(&r->done, 1, __ATOMIC_RELEASE);
	return false;
}

/* Have a running worker serve a request, and wait until it has. */
static void ask(struct worker *w, struct flow_request *r)
{
	const struct timespec pause = {.tv_nsec = 200000};

	r->cursor = 0;
	r->done = 0;
	/* [flows-3] pairs with [flows-1]: the request is whole before it is seen. */
	__atomic_store_n(&w->request, r, __ATOMIC_RELEASE);
	worker_wake(w);
	/* [flows-4] pairs with [flows-2]. A worker's turns are short: it comes round. */
	while (!__atomic_load_n(&r->done, __ATOMIC_ACQUIRE))
		nanosleep(&pause, NULL);
}

size_t inspect_flows(struct worker *const *workers, unsigned count,
		     const struct flow_filter *filter, struct flow_info *out, size_t max,
		     size_t *total)
{
	struct flow_request r = {.filter = *filter, .out = out, .max = max};

	for (unsigned i = 0; i < count; i++)
		ask(workers[i], &r);
	*total = r.total;
	return r.count;
}

size_t inspect_aims(struct worker *w, struct flow_aim *out, size_t max)
{
	struct flow_request r = {.aims = out, .max = max};

	ask(w, &r);
	return r.count;
}
