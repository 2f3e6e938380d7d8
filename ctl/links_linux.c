/*
 * Watches the egress interfaces over netlink.
 *
 * Overview
 *   News only say what to look at again: links, addresses and default routes are then listed
 *   afresh, since the kernel does not tell all (IPv4 routes go silently when a link goes down).
 *   Neighbours, whose news come often, are kept up to date one by one. The state is turned into a
 *   snapshot, and compared with the one before to know whether anything changed.
 *
 *   A gateway that was found stays known while its link stays up, even if the route goes away:
 *   another VPN's client that replaces the default route must not take the way out with it.
 *
 * Threads
 *   One.
 */
#include "ctl/links_watch.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "ctl/capture.h"
#include "ctl/links_doubts.h"
#include "ctl/links_neighbours.h"
#include "ctl/links_routes.h"
#include "ctl/links_solicit.h"
#include "ctl/netlink_linux.h"

enum {
	NEWS_BUFFER_BYTES = 4 << 20, /* a burst of news that is waited out */
	RECEIVE_MAX = 64 * 1024,
	DUMP_TRIES = 10,
	LOWER_UP = 1 << 16, /* IFF_LOWER_UP, which net/if.h lacks */
};

/* Goodness of an address as a source; 0: not usable. */
enum rank { RANK_NONE, RANK_DEPRECATED, RANK_TEMPORARY, RANK_UNIQUE_LOCAL, RANK_GLOBAL };

/* One egress. */
struct watched {
	char name[CONF_IFNAME_MAX]; /* "": no interface */
	struct addr fixed4;         /* configured gateways */
	struct addr fixed6;
	bool found;    /* in the list of links that is being read */
	bool was_down; /* since the last answer of links_watch_process */
	struct link link;
	struct links_way way4; /* as routes say, if they are asked */
	struct links_way way6;
	unsigned score4; /* while addresses are read */
	unsigned score6;
};

struct links_watch {
	struct netlink *netlink; /* for questions */
	struct mnl_socket *news;
	uint32_t capture_table;
	bool look_links; /* what the news ask to look at */
	bool look_addresses;
	bool look_routes;
	bool look_neighbours;
	bool neighbours_moved;
	struct neighbours neighbours;
	struct doubts doubts;
	struct links *last; /* the newest snapshot */
	unsigned count;
	struct watched watched[CONF_EGRESSES_MAX];
	_Alignas(8) char receive[RECEIVE_MAX];
};

static struct watched *watched_by_index(struct links_watch *watch, unsigned ifindex)
{
	for (unsigned i = 0; i < watch->count; i++)
		if (ifindex != 0 && watch->watched[i].link.ifindex == ifindex)
			return &watch->watched[i];
	return NULL;
}

/* ---- links ---- */

/* What was learnt of a link that is gone, or that was down, is no longer true. */
static void forget(struct watched *watched)
{
	watched->link.address4 = watched->link.address6 = (struct addr){0};
	watched->link.gateway4 = watched->link.gateway6 = (struct addr){0};
	watched->link.subnet_count = 0;
	watched->was_down = true;
}

static void set_link(struct watched *watched, const struct netlink_link *seen)
{
	struct link *link = &watched->link;
	bool up = (seen->flags & IFF_UP) && (seen->flags & LOWER_UP);

	watched->found = true;
	if (link->ifindex != seen->ifindex || !up)
		forget(watched);
	link->ifindex = seen->ifindex;
	link->up = up;
	link->ethernet = seen->type == ARPHRD_ETHER;
	link->mtu = seen->mtu;
	memcpy(link->mac, seen->mac, sizeof link->mac);
}

static int take_link(const struct nlmsghdr *message, void *data)
{
	struct links_watch *watch = data;
	struct netlink_link seen;

	if (netlink_link_parse(message, &seen) != 0)
		return 0;
	for (unsigned i = 0; i < watch->count; i++)
		if (strcmp(watch->watched[i].name, seen.name) == 0)
			set_link(&watch->watched[i], &seen);
	return 0;
}

static int read_links(struct links_watch *watch)
{
	struct nlmsghdr *message = netlink_request(watch->netlink, RTM_GETLINK, 0);
	int rc;

	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	for (unsigned i = 0; i < watch->count; i++)
		watch->watched[i].found = false;
	rc = netlink_dump(watch->netlink, message, take_link, watch);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < watch->count; i++) {
		struct watched *watched = &watch->watched[i];

		if (watched->found)
			continue;
		if (watched->link.ifindex != 0)
			forget(watched);
		watched->link.ifindex = 0;
		watched->link.up = false;
	}
	return 0;
}

/* ---- addresses ---- */

/* What an address message says. */
struct seen_address {
	unsigned flags;
	bool has_local, has_address;
	struct addr local;   /* our own */
	struct addr address; /* of the subnet: the peer's on point-to-point links */
};

static int take_address_attribute(const struct nlattr *attribute, struct seen_address *seen,
				  uint8_t version)
{
	unsigned type = mnl_attr_get_type(attribute);
	bool whole = mnl_attr_get_payload_len(attribute) == (version == 4 ? 4 : 16);

	if (type == IFA_FLAGS && mnl_attr_validate(attribute, MNL_TYPE_U32) == 0)
		seen->flags = mnl_attr_get_u32(attribute);
	if (type == IFA_LOCAL && whole) {
		seen->local = addr_from_bytes(version, mnl_attr_get_payload(attribute));
		seen->has_local = true;
	}
	if (type == IFA_ADDRESS && whole) {
		seen->address = addr_from_bytes(version, mnl_attr_get_payload(attribute));
		seen->has_address = true;
	}
	return 0;
}

static enum rank rank_address(const struct ifaddrmsg *head, const struct seen_address *seen)
{
	const unsigned unusable = IFA_F_TENTATIVE | IFA_F_DADFAILED;

	if (head->ifa_scope != RT_SCOPE_UNIVERSE || (seen->flags & unusable))
		return RANK_NONE;
	if (seen->flags & IFA_F_DEPRECATED)
		return RANK_DEPRECATED;
	/* The same bit: an IPv4 address that stands behind another, or a temporary IPv6 one. */
	if (seen->flags & IFA_F_SECONDARY)
		return RANK_TEMPORARY;
	if (seen->local.version == 6 && seen->local.v6.hi >> 57 == 0xfc >> 1)
		return RANK_UNIQUE_LOCAL;
	return RANK_GLOBAL;
}

static void add_subnet(struct link *link, const struct addr *address, uint8_t len)
{
	struct prefix subnet = {.addr = *address, .len = len};

	if (link->subnet_count == LINK_SUBNETS_MAX)
		return;
	if (address->version == 4) {
		subnet.addr.v4 &= mask4(len);
	} else {
		struct addr6 mask = mask6(len);

		subnet.addr.v6.hi &= mask.hi;
		subnet.addr.v6.lo &= mask.lo;
	}
	for (unsigned i = 0; i < link->subnet_count; i++)
		if (link->subnets[i].len == len &&
		    link_addr_compare(&link->subnets[i].addr, &subnet.addr) == 0)
			return;
	link->subnets[link->subnet_count++] = subnet;
}

/*
 * The better address wins: by rank, among equals the one that shares its subnet with the gateway,
 * which may know nothing of others, or that was in use before.
 */
static void consider(struct addr *best, unsigned *best_score, const struct addr *before,
		     const struct links_way *way, const struct addr *address,
		     const struct prefix *subnet, enum rank rank)
{
	bool near = prefix_contains(subnet, &way->gateway);
	bool keeps = link_addr_compare(before, address) == 0;
	unsigned score = rank << 2 | (unsigned)near << 1 | keeps;

	if (rank != RANK_NONE && score > *best_score) {
		*best = *address;
		*best_score = score;
	}
}

struct address_reading {
	struct links_watch *watch;
	struct link before[CONF_EGRESSES_MAX];
};

static int take_address(const struct nlmsghdr *message, void *data)
{
	struct address_reading *reading = data;
	const struct ifaddrmsg *head = mnl_nlmsg_get_payload(message);
	uint8_t version = head->ifa_family == AF_INET ? 4 : 6;
	struct seen_address seen = {.flags = head->ifa_flags};
	struct nlattr *attribute;
	bool host;

	if (head->ifa_family != AF_INET && head->ifa_family != AF_INET6)
		return 0;
	mnl_attr_for_each(attribute, message, sizeof *head)
		take_address_attribute(attribute, &seen, version);
	if (!seen.has_local && !seen.has_address)
		return 0;
	if (!seen.has_local)
		seen.local = seen.address;
	if (!seen.has_address)
		seen.address = seen.local;
	/* A subnet of one address is that address itself, unless it is a peer's. */
	host = head->ifa_prefixlen == (version == 4 ? 32 : 128) &&
	       link_addr_compare(&seen.local, &seen.address) == 0;
	for (unsigned i = 0; i < reading->watch->count; i++) {
		struct watched *watched = &reading->watch->watched[i];
		struct prefix subnet = {.addr = seen.address, .len = head->ifa_prefixlen};
		enum rank rank = rank_address(head, &seen);
		struct link *link = &watched->link;

		if (link->ifindex == 0 || link->ifindex != head->ifa_index)
			continue;
		if (version == 4)
			consider(&link->address4, &watched->score4, &reading->before[i].address4,
				 &watched->way4, &seen.local, &subnet, rank);
		else
			consider(&link->address6, &watched->score6, &reading->before[i].address6,
				 &watched->way6, &seen.local, &subnet, rank);
		if (head->ifa_scope == RT_SCOPE_UNIVERSE && !host)
			add_subnet(&watched->link, &seen.address, head->ifa_prefixlen);
	}
	return 0;
}

static int read_addresses(struct links_watch *watch)
{
	struct address_reading reading = {.watch = watch};
	struct nlmsghdr *message = netlink_request(watch->netlink, RTM_GETADDR, 0);
	struct ifaddrmsg *head = mnl_nlmsg_put_extra_header(message, sizeof *head);

	head->ifa_family = AF_UNSPEC;
	for (unsigned i = 0; i < watch->count; i++) {
		struct watched *watched = &watch->watched[i];

		reading.before[i] = watched->link;
		watched->link.address4 = watched->link.address6 = (struct addr){0};
		watched->link.subnet_count = 0;
		watched->score4 = watched->score6 = 0;
	}
	return netlink_dump(watch->netlink, message, take_address, &reading);
}

/* ---- gateways ---- */

static bool is_on_link(const struct link *link, const struct addr *gateway)
{
	for (unsigned i = 0; i < link->subnet_count; i++)
		if (prefix_contains(&link->subnets[i], gateway))
			return true;
	/* An IPv6 router speaks from its link-local address. */
	return gateway->version == 6 && gateway->v6.hi >> 54 == 0xfe80 >> 6;
}

static int read_way(struct links_watch *watch, const struct watched *watched, uint8_t version,
		    const struct addr *fixed, struct links_way *way)
{
	*way = (struct links_way){.gateway = *fixed};
	if (watched->link.ifindex == 0 || !watched->link.up || !watched->link.ethernet ||
	    fixed->version != 0)
		return 0;
	return links_routes_way(watch->netlink, version, watched->link.ifindex,
				watch->capture_table, way);
}

static int read_routes(struct links_watch *watch)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < watch->count; i++) {
		struct watched *watched = &watch->watched[i];

		rc = read_way(watch, watched, 4, &watched->fixed4, &watched->way4);
		if (rc == 0)
			rc = read_way(watch, watched, 6, &watched->fixed6, &watched->way6);
	}
	return rc;
}

/* The route knows better which source to use, which need not be an address of the interface. */
static void set_way(struct link *link, uint8_t version, const struct links_way *way,
		    struct addr *address, struct addr *gateway)
{
	const struct addr all = addr_from_bytes(version, (uint8_t[16]){0});

	if (way->source.version != 0)
		*address = way->source;
	if (way->all_on_link)
		add_subnet(link, &all, 0);
	if (way->gateway.version != 0 || !is_on_link(link, gateway))
		*gateway = way->gateway;
}

/* Once subnets are known. */
static void set_ways(struct links_watch *watch)
{
	for (unsigned i = 0; i < watch->count; i++) {
		struct watched *watched = &watch->watched[i];
		struct link *link = &watched->link;

		if (link->ifindex == 0 || !link->up || !link->ethernet) {
			link->gateway4 = link->gateway6 = (struct addr){0};
			continue;
		}
		set_way(link, 4, &watched->way4, &link->address4, &link->gateway4);
		set_way(link, 6, &watched->way6, &link->address6, &link->gateway6);
	}
}

/* ---- snapshots ---- */

static bool addrs_equal(const struct addr *a, const struct addr *b)
{
	return a->version == b->version && (a->version == 0 || link_addr_compare(a, b) == 0);
}

static bool links_equal(const struct link *a, const struct link *b)
{
	bool same = a->ifindex == b->ifindex && a->up == b->up && a->ethernet == b->ethernet &&
		    a->mtu == b->mtu && memcmp(a->mac, b->mac, sizeof a->mac) == 0 &&
		    addrs_equal(&a->address4, &b->address4) &&
		    addrs_equal(&a->address6, &b->address6) &&
		    addrs_equal(&a->gateway4, &b->gateway4) &&
		    addrs_equal(&a->gateway6, &b->gateway6) && a->subnet_count == b->subnet_count &&
		    a->neighbour_count == b->neighbour_count;

	for (unsigned i = 0; same && i < a->subnet_count; i++)
		same = a->subnets[i].len == b->subnets[i].len &&
		       addrs_equal(&a->subnets[i].addr, &b->subnets[i].addr);
	for (size_t i = 0; same && i < a->neighbour_count; i++)
		same = addrs_equal(&a->neighbours[i].addr, &b->neighbours[i].addr) &&
		       memcmp(a->neighbours[i].mac, b->neighbours[i].mac, 6) == 0;
	return same;
}

static bool snapshots_equal(const struct links *a, const struct links *b)
{
	for (unsigned i = 0; i < a->count; i++)
		if (!links_equal(&a->link[i], &b->link[i]))
			return false;
	return true;
}

int links_watch_snapshot(const struct links_watch *watch, struct links **out)
{
	struct links *links = links_create(watch->count);

	if (!links)
		return -ENOMEM;
	for (unsigned i = 0; i < watch->count; i++) {
		struct link *link = &links->link[i];

		*link = watch->watched[i].link;
		link->neighbours = NULL;
		link->neighbour_count = 0;
		if (link->ifindex == 0 || !link->ethernet)
			continue;
		if (neighbours_of(&watch->neighbours, link->ifindex, &link->neighbours,
				  &link->neighbour_count) != 0) {
			links_destroy(links);
			return -ENOMEM;
		}
	}
	*out = links;
	return 0;
}

/* ---- neighbours ---- */

int links_watch_resolve(struct links_watch *watch, unsigned egress, const struct addr *addr,
			uint64_t now_ms)
{
	const struct link *link = egress < watch->count ? &watch->watched[egress].link : NULL;
	const struct neighbour *known;

	if (!link || link->ifindex == 0)
		return -ENODEV;
	known = neighbours_find_usable(&watch->neighbours, link->ifindex, addr);
	if (!known)
		return neighbours_ask(&watch->neighbours, watch->netlink, link->ifindex, addr);
	return doubts_begin(&watch->doubts, &watch->neighbours, watch->netlink, known,
			    addr->version == 4 ? &link->address4 : &link->address6, now_ms);
}

void links_watch_turn(struct links_watch *watch, uint64_t now_ms)
{
	doubts_turn(&watch->doubts, &watch->neighbours, watch->netlink, now_ms);
}

int links_watch_wait_ms(const struct links_watch *watch, uint64_t now_ms)
{
	return doubts_wait_ms(&watch->doubts, now_ms);
}

/*
 * Gateways must always be known. One that is known but not confirmed lately is asked for too: its
 * users send past the kernel, which would go on believing in it for ever.
 */
static void ask_for_gateways(struct links_watch *watch)
{
	for (unsigned i = 0; i < watch->count; i++) {
		const struct link *link = &watch->watched[i].link;
		const struct addr *gateways[] = {&link->gateway4, &link->gateway6};

		for (unsigned k = 0; k < 2; k++)
			if (link->up && link->ethernet && gateways[k]->version != 0 &&
			    neighbours_need_asking(&watch->neighbours, link->ifindex, gateways[k]))
				(void)neighbours_ask(&watch->neighbours, watch->netlink,
						     link->ifindex, gateways[k]);
	}
}

/* ---- news ---- */

/* Whether a route that is no default route may be what an egress waits for. */
static bool lacks_gateway(const struct links_watch *watch, uint8_t family)
{
	for (unsigned i = 0; i < watch->count; i++) {
		const struct link *link = &watch->watched[i].link;
		const struct addr *gateway = family == AF_INET ? &link->gateway4 : &link->gateway6;

		if (link->ifindex != 0 && link->ethernet && gateway->version == 0)
			return true;
	}
	return false;
}

static void take_news(struct links_watch *watch, const struct nlmsghdr *message)
{
	const struct ifaddrmsg *address = mnl_nlmsg_get_payload(message);
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	const struct ndmsg *neighbour = mnl_nlmsg_get_payload(message);
	struct netlink_link link;

	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (netlink_link_parse(message, &link) != 0)
			break;
		for (unsigned i = 0; i < watch->count; i++)
			if (watch->watched[i].link.ifindex == link.ifindex ||
			    strcmp(watch->watched[i].name, link.name) == 0) {
				watch->look_links = true;
				/* A link that is up again by the time we look lost its routes. */
				if (!(link.flags & IFF_UP) || !(link.flags & LOWER_UP))
					watch->watched[i].was_down = true;
			}
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (watched_by_index(watch, address->ifa_index))
			watch->look_addresses = true;
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (route->rtm_protocol != CAPTURE_PROTOCOL &&
		    (route->rtm_dst_len == 0 || lacks_gateway(watch, route->rtm_family)))
			watch->look_routes = true;
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		if (watched_by_index(watch, (unsigned)neighbour->ndm_ifindex) &&
		    neighbours_take(&watch->neighbours, message, watch->netlink))
			watch->neighbours_moved = true;
		break;
	default:
		break;
	}
}

static void look_at_all(struct links_watch *watch)
{
	watch->look_links = true;
	watch->look_neighbours = true;
}

static int read_news(struct links_watch *watch)
{
	int fd = mnl_socket_get_fd(watch->news);

	for (;;) {
		const struct nlmsghdr *message = (const struct nlmsghdr *)watch->receive;
		ssize_t n = recv(fd, watch->receive, sizeof watch->receive, MSG_DONTWAIT);
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			look_at_all(watch);
			continue;
		}
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			take_news(watch, message);
	}
}

/* Lists that changed while they were read are read again; news of it wait in the socket besides. */
static int retry(struct links_watch *watch, int (*read)(struct links_watch *))
{
	int rc, tries = DUMP_TRIES;

	do
		rc = read(watch);
	while (rc == -EINTR && --tries > 0);
	return rc == -EINTR ? 0 : rc;
}

static int read_neighbours(struct links_watch *watch)
{
	return neighbours_read(&watch->neighbours, watch->netlink);
}

/* Look at what the news point to. Each step may move what the later ones depend on. */
static int look(struct links_watch *watch)
{
	bool links = watch->look_links;
	/* Routes choose among addresses, and put what they lead to on the link or not. */
	bool ways = links || watch->look_addresses || watch->look_routes;
	bool neighbours = links || watch->look_neighbours;
	int rc = 0;

	if (links)
		rc = retry(watch, read_links);
	if (rc == 0 && ways)
		rc = retry(watch, read_routes);
	if (rc == 0 && ways)
		rc = retry(watch, read_addresses);
	if (rc == 0 && ways)
		set_ways(watch);
	if (rc == 0 && neighbours)
		rc = retry(watch, read_neighbours);
	if (rc != 0)
		return rc; /* looked at again with the next news */
	watch->look_links = watch->look_addresses = watch->look_routes = false;
	watch->look_neighbours = false;
	return 0;
}

int links_watch_process(struct links_watch *watch, bool *changed)
{
	bool moved = false;
	struct links *now;
	int rc = read_news(watch);

	if (rc != 0)
		return rc;
	if (!watch->look_links && !watch->look_addresses && !watch->look_routes &&
	    !watch->look_neighbours && !watch->neighbours_moved) {
		ask_for_gateways(watch);
		*changed = false;
		return 0;
	}
	rc = look(watch);
	if (rc != 0)
		return rc;
	rc = links_watch_snapshot(watch, &now);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < watch->count; i++) {
		moved |= watch->watched[i].was_down;
		watch->watched[i].was_down = false;
	}
	watch->neighbours_moved = false;
	*changed = moved || !watch->last || !snapshots_equal(watch->last, now);
	links_destroy(watch->last);
	watch->last = now;
	ask_for_gateways(watch);
	return 0;
}

static int open_news(struct links_watch *watch)
{
	const unsigned groups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR |
				RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
	int bytes = NEWS_BUFFER_BYTES;
	int fd;

	watch->news = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!watch->news)
		return -errno;
	fd = mnl_socket_get_fd(watch->news);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	if (mnl_socket_bind(watch->news, groups, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	return 0;
}

int links_watch_open(const struct conf *conf, struct links_watch **out)
{
	struct links_watch *watch = calloc(1, sizeof *watch);
	bool changed;
	int rc;

	if (!watch)
		return -ENOMEM;
	watch->count = conf->egress_count;
	watch->doubts.fd = solicit_open(conf->interface.mark);
	if (watch->doubts.fd < 0) {
		rc = watch->doubts.fd;
		goto close;
	}
	watch->capture_table = conf->interface.table;
	for (unsigned i = 0; i < conf->egress_count; i++) {
		const struct conf_egress *egress = &conf->egresses[i];

		if (egress->type != CONF_EGRESS_INTERFACE)
			continue;
		memcpy(watch->watched[i].name, egress->interface, CONF_IFNAME_MAX);
		watch->watched[i].fixed4 = egress->gateway4;
		watch->watched[i].fixed6 = egress->gateway6;
	}
	rc = netlink_open(NETLINK_ROUTE, &watch->netlink);
	if (rc != 0)
		goto close;
	/* News first: what happens while the first inventory is taken waits there. */
	rc = open_news(watch);
	if (rc != 0)
		goto close;
	look_at_all(watch);
	rc = links_watch_process(watch, &changed);
	if (rc != 0)
		goto close;
	*out = watch;
	return 0;
close:
	links_watch_close(watch);
	return rc;
}

void links_watch_close(struct links_watch *watch)
{
	if (!watch)
		return;
	if (watch->news)
		mnl_socket_close(watch->news);
	netlink_close(watch->netlink);
	if (watch->doubts.fd >= 0)
		close(watch->doubts.fd);
	neighbours_fini(&watch->neighbours);
	links_destroy(watch->last);
	free(watch);
}

int links_watch_fd(const struct links_watch *watch)
{
	return mnl_socket_get_fd(watch->news);
}
