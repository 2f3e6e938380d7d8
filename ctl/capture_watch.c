/* Hears of damage to a capture, over netlink. */
#include "ctl/capture_watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "ctl/capture.h"
#include "ctl/capture_nft.h"
#include "ctl/capture_plan.h"

enum {
	NEWS_BUFFER_BYTES = 1 << 20, /* a burst of news; what is lost counts as damage */
	RECEIVE_MAX = 64 * 1024,
};

struct capture_watch {
	int epoll; /* the one descriptor for all */
	int timer;
	struct mnl_socket *routes;
	struct mnl_socket *nft; /* NULL: a kernel without it */
	uint32_t table;
	unsigned ifindex;
	char nft_table[NFT_TABLE_NAME_MAX];
	_Alignas(8) char receive[RECEIVE_MAX];
};

/* A number among a message's attributes, 0 if there is none. */
static uint32_t find_number(const struct nlmsghdr *message, unsigned head, uint16_t type)
{
	struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, head)
	{
		if (mnl_attr_get_type(attribute) != type)
			continue;
		if (mnl_attr_validate(attribute, MNL_TYPE_U32) == 0)
			return mnl_attr_get_u32(attribute);
		if (mnl_attr_validate(attribute, MNL_TYPE_U8) == 0)
			return mnl_attr_get_u8(attribute);
	}
	return 0;
}

/* Routes come in floods where a routing daemon runs: most are discarded by their head. */
static bool damages_route(const struct capture_watch *watch, const struct nlmsghdr *message)
{
	const struct rtmsg *head = mnl_nlmsg_get_payload(message);

	if (head->rtm_protocol == CAPTURE_PROTOCOL)
		return message->nlmsg_type == RTM_DELROUTE;
	/* Somebody's own in our tables may have replaced one. A large number is in an attribute. */
	if (head->rtm_table != RT_TABLE_COMPAT)
		return plan_has_table(watch->table, head->rtm_table);
	return plan_has_table(watch->table, find_number(message, sizeof *head, RTA_TABLE));
}

static bool damages(const struct capture_watch *watch, const struct nlmsghdr *message)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	const struct ifaddrmsg *address = mnl_nlmsg_get_payload(message);

	switch (message->nlmsg_type) {
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return damages_route(watch, message);
	case RTM_DELRULE:
		return find_number(message, sizeof(struct fib_rule_hdr), FRA_PROTOCOL) ==
		       CAPTURE_PROTOCOL;
	case RTM_NEWLINK: /* down, or up again */
		return (unsigned)link->ifi_index == watch->ifindex;
	case RTM_DELADDR:
		return address->ifa_index == watch->ifindex;
	default:
		return false;
	}
}

/* In all messages of nf_tables but those of generations, attribute 1 is the table's name. */
static bool damages_nft(const struct capture_watch *watch, const struct nlmsghdr *message)
{
	const struct nlattr *name = mnl_nlmsg_get_payload_offset(message, sizeof(struct nfgenmsg));
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	int left = (int)mnl_nlmsg_get_payload_len(message) - (int)MNL_ALIGN(sizeof *head);

	if (message->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
	    (head->nfgen_family != NFPROTO_INET && head->nfgen_family != NFPROTO_NETDEV))
		return false;
	switch (message->nlmsg_type & 0xff) {
	case NFT_MSG_NEWTABLE: /* made anew by somebody, or asleep */
	case NFT_MSG_DELTABLE:
	case NFT_MSG_DELCHAIN:
	case NFT_MSG_DELRULE:
		break;
	default:
		return false;
	}
	return mnl_attr_ok(name, left) && mnl_attr_get_type(name) == NFTA_TABLE_NAME &&
	       mnl_attr_validate(name, MNL_TYPE_NUL_STRING) == 0 &&
	       strcmp(mnl_attr_get_str(name), watch->nft_table) == 0;
}

static bool read_socket(struct capture_watch *watch, struct mnl_socket *socket,
			bool (*is_damage)(const struct capture_watch *, const struct nlmsghdr *))
{
	bool damage = false;

	for (;;) {
		const struct nlmsghdr *message = (const struct nlmsghdr *)watch->receive;
		ssize_t n = recv(mnl_socket_get_fd(socket), watch->receive, sizeof watch->receive,
				 MSG_DONTWAIT);
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			damage = true;
			continue;
		}
		if (n < 0)
			return damage;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			if (!damage && mnl_nlmsg_get_payload_len(message) >= sizeof(struct rtmsg))
				damage = is_damage(watch, message);
	}
}

bool capture_watch_read(struct capture_watch *watch)
{
	bool damage = read_socket(watch, watch->routes, damages);
	uint64_t times;

	(void)!read(watch->timer, &times, sizeof times);
	if (watch->nft && read_socket(watch, watch->nft, damages_nft))
		damage = true;
	return damage;
}

void capture_watch_wake(struct capture_watch *watch, unsigned ms)
{
	const struct itimerspec at = {
		.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L},
	};

	(void)timerfd_settime(watch->timer, 0, &at, NULL);
}

static int make_timer(struct capture_watch *watch)
{
	struct epoll_event event = {.events = EPOLLIN};

	watch->epoll = epoll_create1(EPOLL_CLOEXEC);
	watch->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (watch->epoll < 0 || watch->timer < 0 ||
	    epoll_ctl(watch->epoll, EPOLL_CTL_ADD, watch->timer, &event) < 0)
		return -errno;
	return 0;
}

static int listen_to(struct capture_watch *watch, int bus, unsigned groups, struct mnl_socket **out)
{
	struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct epoll_event event = {.events = EPOLLIN};
	int bytes = NEWS_BUFFER_BYTES, fd, rc;

	if (!socket)
		return -errno;
	fd = mnl_socket_get_fd(socket);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	if (mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID) < 0 ||
	    epoll_ctl(watch->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		rc = -errno;
		mnl_socket_close(socket);
		return rc;
	}
	*out = socket;
	return 0;
}

int capture_watch_open(uint32_t table, unsigned ifindex, const char *nft_table,
		       struct capture_watch **out)
{
	const unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
				RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE |
				1U << (RTNLGRP_IPV6_RULE - 1);
	struct capture_watch *watch = calloc(1, sizeof *watch);
	int rc;

	if (!watch)
		return -ENOMEM;
	watch->table = table;
	watch->ifindex = ifindex;
	snprintf(watch->nft_table, sizeof watch->nft_table, "%s", nft_table);
	rc = make_timer(watch);
	if (rc == 0)
		rc = listen_to(watch, NETLINK_ROUTE, groups, &watch->routes);
	if (rc != 0) {
		capture_watch_close(watch);
		return rc;
	}
	/* Without its news the table is still looked at now and then. */
	(void)listen_to(watch, NETLINK_NETFILTER, 1U << (NFNLGRP_NFTABLES - 1), &watch->nft);
	*out = watch;
	return 0;
}

void capture_watch_close(struct capture_watch *watch)
{
	if (!watch)
		return;
	if (watch->nft)
		mnl_socket_close(watch->nft);
	if (watch->routes)
		mnl_socket_close(watch->routes);
	if (watch->timer >= 0)
		close(watch->timer);
	if (watch->epoll >= 0)
		close(watch->epoll);
	free(watch);
}

int capture_watch_fd(const struct capture_watch *watch)
{
	return watch->epoll;
}
