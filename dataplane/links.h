/*
 * What the workers know of the interfaces: addresses to translate to and next hops. An immutable
 * snapshot that the control side builds from the system's news and publishes through route.h.
 */
#ifndef SLUICE_DATAPLANE_LINKS_H
#define SLUICE_DATAPLANE_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lpm/prefix.h"

enum {
	LINK_SUBNETS_MAX = 16,
};

/* A usable neighbour: its link-layer address is known. */
struct link_neighbour {
	struct addr addr;
	uint8_t mac[6];
};

/* One interface egress. */
struct link {
	unsigned ifindex; /* 0: the interface is absent */
	bool up;          /* administratively up and with carrier */
	bool ethernet;    /* frames need a next hop's MAC */
	unsigned mtu;
	uint8_t mac[6];       /* its own */
	struct addr address4; /* source after translation; version 0: none */
	struct addr address6;
	struct addr gateway4; /* version 0: none; it may have an IPv6 address (RFC 8950) */
	struct addr gateway6;
	struct prefix subnets[LINK_SUBNETS_MAX]; /* on-link prefixes */
	unsigned subnet_count;
	struct link_neighbour *neighbours; /* sorted by link_addr_compare */
	size_t neighbour_count;
};

struct links {
	unsigned count; /* indexed by egress; an egress that is no interface has an absent link */
	struct link link[];
};

/* All links absent. NULL when memory is short. The caller's, until links_destroy. */
struct links *links_create(unsigned count);
void links_destroy(struct links *links); /* NULL does nothing; no reader may be left */

/* Order of addresses: version, then value. As qsort wants it. */
int link_addr_compare(const struct addr *a, const struct addr *b);

/* Sort the neighbours as link_next_hop needs them. */
void link_sort_neighbours(struct link *link);

enum link_hop {
	LINK_HOP_OK,         /* mac is set (untouched on devices without Ethernet header) */
	LINK_HOP_UNRESOLVED, /* via is set: its link-layer address must be asked for */
	LINK_HOP_NONE,       /* down, or neither on-link nor a gateway of that family */
};

/*
 * Where a packet to dst must be sent on this link: the on-link neighbour, else the gateway. A link
 * without Ethernet header has one far end: it needs neither.
 *
 * via:    the next hop; untouched for LINK_HOP_NONE
 * Thread: any; the snapshot must stay published for the call
 */
enum link_hop link_next_hop(const struct link *link, const struct addr *dst, struct addr *via,
			    uint8_t mac[6]);

#endif
