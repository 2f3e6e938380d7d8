/* See port.h. */
#include "dataplane/wireguard/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int wg_port_create(const struct wg_port_options *o, struct wg_port **out)
{
	struct wg_port *p = aligned_alloc(64, (sizeof(*p) + 63) / 64 * 64);
	int rc;

	if (!p)
		return -ENOMEM;
	memset(p, 0, sizeof(*p));
	p->tunnel = o->tunnel;
	p->device = wg_tunnel_device(o->tunnel);
	p->queue = udp_queue_at(wg_tunnel_udp(o->tunnel), o->worker);
	p->worker = o->worker;
	p->workers = o->workers;
	p->egress = o->egress;
	p->arena = malloc((size_t)WG_DEPARTURES * WG_ARENA);
	p->slots = aligned_alloc(64, (size_t)WG_ARRIVALS * UDP_BURST_MAX * WG_SLOT);
	p->flat_data = malloc((size_t)BURST_MAX * BUF_SIZE);
	p->retry.data = malloc(BUF_SIZE);
	p->stage = wg_stage_create();
	rc = wg_aead_create(wg_tunnel_aead(o->tunnel), &p->aead);
	if (rc == 0 && (!p->arena || !p->slots || !p->flat_data || !p->retry.data || !p->stage))
		rc = -ENOMEM;
	if (rc < 0) {
		wg_port_destroy(p);
		return rc;
	}
	for (unsigned i = 0; i < WG_ARRIVALS * UDP_BURST_MAX; i++)
		p->arrivals[i / UDP_BURST_MAX].messages[i % UDP_BURST_MAX].data =
			p->slots + (size_t)i * WG_SLOT;
	for (unsigned i = 0; i < WG_DEPARTURES; i++)
		p->departures[i].arena = p->arena + (size_t)i * WG_ARENA;
	p->filling = &p->departures[0];
	wg_merge_init(&p->merge, o->udp);
	*out = p;
	return 0;
}

void wg_port_destroy(struct wg_port *p)
{
	if (!p)
		return;
	wg_aead_destroy(p->aead);
	wg_stage_destroy(p->stage);
	free(p->retry.data);
	free(p->flat_data);
	free(p->slots);
	free(p->arena);
	free(p);
}

void wg_port_rest(struct wg_port *port)
{
	wg_aead_forget(port->aead);
	/* A session that began after the last look is what it may be woken for, in the same ms. */
	port->retried_ms = 0;
}
