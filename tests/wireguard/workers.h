/* Workers turned by hand, with ports on the queues of a tunnel's end whose own stand still. */
#ifndef SLUICE_TESTS_WIREGUARD_WORKERS_H
#define SLUICE_TESTS_WIREGUARD_WORKERS_H

#include "dataplane/wireguard/port.h"
#include "dataplane/worker.h"
#include "tests/wireguard/tunnels.h"

enum {
	WORKERS = 2,
};

/* They know each other; the tunnels must have as many queues. */
void workers_open(struct worker *workers[WORKERS], struct wg_port *ports[WORKERS],
		  const struct tunnels *tunnels, unsigned end);
void workers_close(struct worker *workers[WORKERS], struct wg_port *ports[WORKERS]);

#endif
