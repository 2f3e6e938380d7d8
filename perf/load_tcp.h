/* TCP through the gateway of `sluice-perf load`, to a destination that no change moves. */
#ifndef SLUICE_PERF_LOAD_TCP_H
#define SLUICE_PERF_LOAD_TCP_H

#include <stdint.h>
#include <sys/types.h>

#include "perf/load_change.h"
#include "perf/load_net.h"

/*
 * Have the sink on the left answer at an address.
 *
 * addr:   host byte order
 * server: set in any case; 0: none was started
 * Errors: -errno
 */
int load_tcp_start(const struct load_net *net, uint32_t addr, pid_t *server);
void load_tcp_stop(pid_t server);

/*
 * Send for a while, by several connections, and do as planned meanwhile.
 *
 * gbps:   payload, measured where it is received
 * Thread: that which started the daemon
 * Errors: -errno
 */
int load_tcp_run(const struct load_net *net, struct load_change *change, uint32_t addr, unsigned ms,
		 const struct load_change_plan *plan, double *gbps);

#endif
