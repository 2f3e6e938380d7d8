/* Default routes, for what they say of gateways. */
#ifndef SLUICE_CTL_LINKS_ROUTES_H
#define SLUICE_CTL_LINKS_ROUTES_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/netlink_linux.h"
#include "lpm/prefix.h"

/*
 * The gateway of the best default route that leaves by an interface: of table main, else of any
 * other table but Sluice's own (another VPN's client may have taken it out of main).
 *
 * Without a default route: the gateway that all other routes by that interface have in common.
 *
 * capture_table: the first of our tables
 * all_on_link:   whether the default route names no gateway: every address is then a neighbour
 * out:           version 0: there is none
 * Errors:        -EINTR (the routes changed meanwhile), or the kernel's
 */
int links_routes_gateway(struct netlink *netlink, uint8_t version, unsigned ifindex,
			 uint32_t capture_table, struct addr *out, bool *all_on_link);

#endif
