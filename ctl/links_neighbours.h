/* The kernel's neighbours: who is known on which interface, and asking for those who are not. */
#ifndef SLUICE_CTL_LINKS_NEIGHBOURS_H
#define SLUICE_CTL_LINKS_NEIGHBOURS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/netlink_linux.h"
#include "dataplane/links.h"

/* An address on an interface. */
struct neighbour {
	unsigned ifindex;
	struct addr addr;
	uint8_t mac[6];
	uint16_t state; /* NUD_* */
	bool has_mac;
	bool asked; /* by us: we use it, so it must be kept fresh */
};

/* Sorted by interface, then address. All zero is empty. */
struct neighbours {
	struct neighbour *items;
	size_t count, room;
};

void neighbours_fini(struct neighbours *neighbours);

/*
 * Read all neighbours afresh.
 *
 * Errors: -EINTR (they changed meanwhile; what was known stays), -ENOMEM, or the kernel's
 */
int neighbours_read(struct neighbours *neighbours, struct netlink *netlink);

/*
 * Take in one piece of news; those we asked for that grow old are asked for again.
 *
 * Returns: whether a usable neighbour came, went or changed
 */
bool neighbours_take(struct neighbours *neighbours, const struct nlmsghdr *message,
		     struct netlink *netlink);

/* Make the kernel resolve an address. Errors: the kernel's, -ENOMEM */
int neighbours_ask(struct neighbours *neighbours, struct netlink *netlink, unsigned ifindex,
		   const struct addr *addr);

/* A neighbour whose link address is known, and not by decree; NULL if it is not. */
const struct neighbour *neighbours_find_usable(const struct neighbours *neighbours,
					       unsigned ifindex, const struct addr *addr);

/*
 * How long ago the kernel last heard a neighbour, to about 10 ms.
 *
 * Errors: -ENOENT (it does not know it), or the kernel's
 */
int neighbours_heard(struct netlink *netlink, unsigned ifindex, const struct addr *addr,
		     uint64_t *ago_ms);

/* Whether an address is not known, or known only from long ago, and nobody is asking. */
bool neighbours_need_asking(const struct neighbours *neighbours, unsigned ifindex,
			    const struct addr *addr);

/*
 * The usable neighbours of an interface, sorted by link_addr_compare.
 *
 * out:    *count of them, the caller's, by free(); NULL when there are none
 * Errors: -ENOMEM
 */
int neighbours_of(const struct neighbours *neighbours, unsigned ifindex,
		  struct link_neighbour **out, size_t *count);

#endif
