#include "tests/wireguard/workers.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

void workers_open(struct worker *workers[WORKERS], struct wg_port *ports[WORKERS],
		  const struct tunnels *tunnels, unsigned end)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		struct wg_port_options o = {
			.tunnel = tunnels->ends[end].tunnel, .worker = i, .workers = WORKERS};
		struct worker *w = aligned_alloc(_Alignof(struct worker), sizeof(*w));

		cr_assert(w);
		memset(w, 0, sizeof(*w));
		cr_assert_eq(inbox_init(&w->inbox), 0);
		w->index = i;
		w->peers = workers;
		w->peer_count = WORKERS;
		w->straight = true;
		w->wake[1] = -1;
		w->now_ms = tunnels->now_ms;
		w->tun = tun_queue_at(tunnels->ends[end].tun, i);
		cr_assert_eq(wg_port_create(&o, &ports[i]), 0);
		workers[i] = w;
	}
}

void workers_close(struct worker *workers[WORKERS], struct wg_port *ports[WORKERS])
{
	for (unsigned i = 0; i < WORKERS; i++) {
		wg_port_destroy(ports[i]);
		inbox_fini(&workers[i]->inbox);
		free(workers[i]);
	}
}
