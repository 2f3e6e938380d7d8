/* Default routes, for what they say of gateways. */
#ifndef SLUICE_CTL_LINKS_ROUTES_H
#define SLUICE_CTL_LINKS_ROUTES_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/netlink_linux.h"
#include "lpm/prefix.h"

/* What the default route by an interface says. Version 0 where it says nothing. */
struct links_way {
	struct addr gateway; /* of IPv4's, too, it may be an IPv6 address */
	struct addr source;  /* preferred ("src") */
	bool all_on_link;    /* a route without a gateway: every address is a neighbour */
};

/*
 * The best default route that leaves by an interface: of table main, else of any other table but
 * Sluice's own (another VPN's client may have taken it out of main).
 *
 * Without a default route: the gateway that all other routes by that interface have in common.
 *
 * capture_table: the first of our tables
 * Errors:        -EINTR (the routes changed meanwhile), or the kernel's
 */
int links_routes_way(struct netlink *netlink, uint8_t version, unsigned ifindex,
		     uint32_t capture_table, struct links_way *out);

#endif
