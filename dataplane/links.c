/* See links.h. */
#include "dataplane/links.h"

#include <stdlib.h>
#include <string.h>

struct links *links_create(unsigned count)
{
	struct links *links = calloc(1, sizeof(*links) + count * sizeof(links->link[0]));

	if (links)
		links->count = count;
	return links;
}

void links_destroy(struct links *links)
{
	if (!links)
		return;
	for (unsigned i = 0; i < links->count; i++)
		free(links->link[i].neighbours);
	free(links);
}

int link_addr_compare(const struct addr *a, const struct addr *b)
{
	if (a->version != b->version)
		return a->version < b->version ? -1 : 1;
	if (a->version == 4)
		return (a->v4 > b->v4) - (a->v4 < b->v4);
	if (a->v6.hi != b->v6.hi)
		return a->v6.hi < b->v6.hi ? -1 : 1;
	return (a->v6.lo > b->v6.lo) - (a->v6.lo < b->v6.lo);
}

static int compare_neighbours(const void *a, const void *b)
{
	const struct link_neighbour *x = a;
	const struct link_neighbour *y = b;

	return link_addr_compare(&x->addr, &y->addr);
}

void link_sort_neighbours(struct link *link)
{
	if (link->neighbour_count > 0)
		qsort(link->neighbours, link->neighbour_count, sizeof(link->neighbours[0]),
		      compare_neighbours);
}

static const struct link_neighbour *find_neighbour(const struct link *link, const struct addr *addr)
{
	size_t from = 0;
	size_t to = link->neighbour_count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = link_addr_compare(addr, &link->neighbours[middle].addr);

		if (order == 0)
			return &link->neighbours[middle];
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return NULL;
}

static bool on_link(const struct link *link, const struct addr *dst)
{
	for (unsigned i = 0; i < link->subnet_count; i++) {
		const struct prefix *p = &link->subnets[i];

		if (p->addr.version == dst->version && prefix_contains(p, dst))
			return true;
	}
	return false;
}

enum link_hop link_next_hop(const struct link *link, const struct addr *dst, struct addr *via,
			    uint8_t mac[6])
{
	const struct addr *gateway = dst->version == 4 ? &link->gateway4 : &link->gateway6;
	const struct addr *hop = dst;
	const struct link_neighbour *neighbour;

	if (link->ifindex == 0 || !link->up)
		return LINK_HOP_NONE;
	if (!on_link(link, dst)) {
		if (gateway->version != 0)
			hop = gateway;
		else if (link->ethernet)
			return LINK_HOP_NONE; /* a device without Ethernet has one far end */
	}
	*via = *hop;
	if (!link->ethernet)
		return LINK_HOP_OK;
	neighbour = find_neighbour(link, hop);
	if (!neighbour)
		return LINK_HOP_UNRESOLVED;
	memcpy(mac, neighbour->mac, sizeof(neighbour->mac));
	return LINK_HOP_OK;
}
