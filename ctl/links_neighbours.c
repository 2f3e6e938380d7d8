/* The kernel's neighbours: who is known on which interface, and asking for those who are not. */
#include "ctl/links_neighbours.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

enum {
	USABLE = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE,
	BEING_ASKED = NUD_INCOMPLETE | NUD_DELAY | NUD_PROBE,
};

void neighbours_fini(struct neighbours *neighbours)
{
	free(neighbours->items);
	*neighbours = (struct neighbours){0};
}

static int compare(const struct neighbour *a, unsigned ifindex, const struct addr *addr)
{
	if (a->ifindex != ifindex)
		return a->ifindex < ifindex ? -1 : 1;
	return link_addr_compare(&a->addr, addr);
}

/* The first that is not before (ifindex, addr). */
static size_t lower_bound(const struct neighbours *neighbours, unsigned ifindex,
			  const struct addr *addr)
{
	size_t from = 0, to = neighbours->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare(&neighbours->items[middle], ifindex, addr) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static struct neighbour *find(const struct neighbours *neighbours, unsigned ifindex,
			      const struct addr *addr)
{
	size_t at = lower_bound(neighbours, ifindex, addr);

	if (at < neighbours->count && compare(&neighbours->items[at], ifindex, addr) == 0)
		return &neighbours->items[at];
	return NULL;
}

/* The entry of an address, made if it is not there; NULL when memory is short. */
static struct neighbour *find_or_add(struct neighbours *neighbours, unsigned ifindex,
				     const struct addr *addr)
{
	size_t at = lower_bound(neighbours, ifindex, addr);
	struct neighbour *item;

	if (at < neighbours->count && compare(&neighbours->items[at], ifindex, addr) == 0)
		return &neighbours->items[at];
	if (neighbours->count == neighbours->room) {
		size_t room = neighbours->room ? 2 * neighbours->room : 64;
		struct neighbour *items = reallocarray(neighbours->items, room, sizeof *items);

		if (!items)
			return NULL;
		neighbours->items = items;
		neighbours->room = room;
	}
	item = &neighbours->items[at];
	memmove(item + 1, item, (neighbours->count - at) * sizeof *item);
	neighbours->count++;
	*item = (struct neighbour){.ifindex = ifindex, .addr = *addr};
	return item;
}

static void drop(struct neighbours *neighbours, struct neighbour *item)
{
	size_t at = (size_t)(item - neighbours->items);

	memmove(item, item + 1, (neighbours->count - at - 1) * sizeof *item);
	neighbours->count--;
}

static bool is_usable(const struct neighbour *neighbour)
{
	/* Group addresses, which IPv6 keeps here too, are nobody's next hop. */
	return (neighbour->state & USABLE) && neighbour->has_mac && !(neighbour->mac[0] & 1);
}

/* Read a message; false when it is not about a neighbour on a link with Ethernet addresses. */
static bool parse(const struct nlmsghdr *message, struct neighbour *out)
{
	const struct ndmsg *head = mnl_nlmsg_get_payload(message);
	struct neighbour seen = {0};
	struct nlattr *attribute;
	uint8_t version;

	if (message->nlmsg_len < mnl_nlmsg_size(sizeof *head) || (head->ndm_flags & NTF_PROXY) ||
	    (head->ndm_family != AF_INET && head->ndm_family != AF_INET6))
		return false;
	version = head->ndm_family == AF_INET ? 4 : 6;
	seen.ifindex = (unsigned)head->ndm_ifindex;
	seen.state = head->ndm_state;
	mnl_attr_for_each(attribute, message, sizeof *head)
	{
		size_t size = mnl_attr_get_payload_len(attribute);

		if (mnl_attr_get_type(attribute) == NDA_DST && size == (version == 4 ? 4 : 16))
			seen.addr = addr_from_bytes(version, mnl_attr_get_payload(attribute));
		if (mnl_attr_get_type(attribute) == NDA_LLADDR && size == sizeof seen.mac) {
			memcpy(seen.mac, mnl_attr_get_payload(attribute), size);
			seen.has_mac = true;
		}
	}
	if (seen.addr.version == 0)
		return false;
	*out = seen;
	return true;
}

static int take_listed(const struct nlmsghdr *message, void *data)
{
	struct neighbours *fresh = data;
	struct neighbour seen, *item;

	if (message->nlmsg_type != RTM_NEWNEIGH || !parse(message, &seen))
		return 0;
	item = find_or_add(fresh, seen.ifindex, &seen.addr);
	if (!item)
		return -ENOMEM;
	*item = seen;
	return 0;
}

int neighbours_read(struct neighbours *neighbours, struct netlink *netlink)
{
	struct neighbours fresh = {0};
	struct nlmsghdr *message = netlink_request(netlink, RTM_GETNEIGH, 0);
	int rc;

	mnl_nlmsg_put_extra_header(message, sizeof(struct ndmsg));
	rc = netlink_dump(netlink, message, take_listed, &fresh);
	if (rc != 0) {
		neighbours_fini(&fresh);
		return rc;
	}
	for (size_t i = 0; i < fresh.count; i++) {
		struct neighbour *item = &fresh.items[i];
		const struct neighbour *before = find(neighbours, item->ifindex, &item->addr);

		item->asked = before && before->asked;
	}
	neighbours_fini(neighbours);
	*neighbours = fresh;
	return 0;
}

static struct ndmsg *put_neighbour(struct nlmsghdr *message, unsigned ifindex,
				   const struct addr *addr)
{
	struct ndmsg *head = mnl_nlmsg_put_extra_header(message, sizeof *head);
	uint8_t bytes[16];

	head->ndm_family = addr->version == 4 ? AF_INET : AF_INET6;
	head->ndm_ifindex = (int)ifindex;
	addr_to_bytes(addr, bytes);
	mnl_attr_put(message, NDA_DST, addr->version == 4 ? 4 : 16, bytes);
	return head;
}

/* NTF_USE makes the kernel do as if it had a packet for the address: resolve, or confirm. */
static int ask(struct netlink *netlink, unsigned ifindex, const struct addr *addr)
{
	struct nlmsghdr *message =
		netlink_request(netlink, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);

	put_neighbour(message, ifindex, addr)->ndm_flags = NTF_USE;
	return netlink_talk(netlink, message);
}

int neighbours_ask(struct neighbours *neighbours, struct netlink *netlink, unsigned ifindex,
		   const struct addr *addr)
{
	struct neighbour *item;
	int rc = ask(netlink, ifindex, addr);

	if (rc != 0)
		return rc;
	item = find_or_add(neighbours, ifindex, addr);
	if (!item)
		return -ENOMEM;
	item->asked = true;
	/* The kernel sends no news of a question that begins. */
	if (!is_usable(item))
		item->state = NUD_INCOMPLETE;
	else if (item->state & NUD_STALE)
		item->state = NUD_DELAY;
	return 0;
}

const struct neighbour *neighbours_find_usable(const struct neighbours *neighbours,
					       unsigned ifindex, const struct addr *addr)
{
	const struct neighbour *item = find(neighbours, ifindex, addr);

	return item && is_usable(item) && !(item->state & (NUD_PERMANENT | NUD_NOARP)) ? item
										       : NULL;
}

static int take_heard(const struct nlmsghdr *message, void *data)
{
	uint64_t *ago_ms = data;
	struct nda_cacheinfo info;
	struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct ndmsg))
	{
		if (mnl_attr_get_type(attribute) != NDA_CACHEINFO ||
		    mnl_attr_get_payload_len(attribute) < sizeof info)
			continue;
		memcpy(&info, mnl_attr_get_payload(attribute), sizeof info);
		*ago_ms = info.ndm_confirmed * UINT64_C(1000) / (uint64_t)sysconf(_SC_CLK_TCK);
	}
	return 0;
}

int neighbours_heard(struct netlink *netlink, unsigned ifindex, const struct addr *addr,
		     uint64_t *ago_ms)
{
	struct nlmsghdr *message = netlink_request(netlink, RTM_GETNEIGH, 0);
	uint64_t found = UINT64_MAX;
	int rc;

	put_neighbour(message, ifindex, addr);
	rc = netlink_get(netlink, message, take_heard, &found);
	if (rc == 0)
		*ago_ms = found;
	return rc;
}

bool neighbours_need_asking(const struct neighbours *neighbours, unsigned ifindex,
			    const struct addr *addr)
{
	const struct neighbour *item = find(neighbours, ifindex, addr);

	if (!item)
		return true;
	return (item->state & NUD_STALE) || !(item->state & (USABLE | BEING_ASKED));
}

bool neighbours_take(struct neighbours *neighbours, const struct nlmsghdr *message,
		     struct netlink *netlink)
{
	struct neighbour seen, *item;
	bool was_usable, moved;

	if (!parse(message, &seen))
		return false;
	item = find(neighbours, seen.ifindex, &seen.addr);
	was_usable = item && is_usable(item);
	if (message->nlmsg_type == RTM_DELNEIGH) {
		if (item)
			drop(neighbours, item);
		return was_usable;
	}
	moved = is_usable(&seen) != was_usable ||
		(was_usable && memcmp(item->mac, seen.mac, sizeof seen.mac) != 0);
	if (!item)
		item = find_or_add(neighbours, seen.ifindex, &seen.addr);
	if (!item)
		return false; /* out of memory: as if it were not known, until asked for again */
	seen.asked = item->asked;
	*item = seen;
	if (item->asked && (item->state & NUD_STALE))
		(void)neighbours_ask(neighbours, netlink, seen.ifindex, &seen.addr);
	return moved;
}

int neighbours_of(const struct neighbours *neighbours, unsigned ifindex,
		  struct link_neighbour **out, size_t *count)
{
	size_t from = lower_bound(neighbours, ifindex, &(struct addr){0}), to = from, n = 0;
	struct link_neighbour *found;

	while (to < neighbours->count && neighbours->items[to].ifindex == ifindex)
		n += is_usable(&neighbours->items[to++]);
	if (n == 0) {
		*out = NULL;
		*count = 0;
		return 0;
	}
	found = calloc(n, sizeof *found);
	if (!found)
		return -ENOMEM;
	n = 0;
	for (size_t i = from; i < to; i++) {
		const struct neighbour *item = &neighbours->items[i];

		if (!is_usable(item))
			continue;
		found[n].addr = item->addr;
		memcpy(found[n].mac, item->mac, sizeof found[n].mac);
		n++;
	}
	*out = found;
	*count = n;
	return 0;
}
