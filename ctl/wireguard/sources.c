/* See sources.h. */
#include "ctl/wireguard/sources.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <linux/rtnetlink.h>

#include "ctl/netlink_linux.h"

enum {
	LOOKS = 3, /* from the last change on: now, and later */
	LATER_MS = 1000,
	REST = 20, /* times what a look took goes by before the next, when routes change all the
		      time */
	NEWS_MAX = 8192,
};

struct wg_sources {
	struct mnl_socket *news;
	struct netlink *netlink; /* for questions */
	unsigned looks;          /* that are to come */
	uint64_t last_ms;        /* when the last one was due */
	uint64_t took_ms;        /* it took, over all devices */
};

static int open_news(struct mnl_socket **out)
{
	const unsigned groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE |
				1U << (RTNLGRP_IPV6_RULE - 1);
	struct mnl_socket *news = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int rc;

	if (!news)
		return -errno;
	if (mnl_socket_bind(news, groups, MNL_SOCKET_AUTOPID) == 0) {
		*out = news;
		return 0;
	}
	rc = -errno;
	mnl_socket_close(news);
	return rc;
}

int wg_sources_open(struct wg_sources **out)
{
	struct wg_sources *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	rc = open_news(&s->news);
	if (rc == 0)
		rc = netlink_open(NETLINK_ROUTE, &s->netlink);
	if (rc < 0) {
		wg_sources_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

void wg_sources_close(struct wg_sources *s)
{
	if (!s)
		return;
	netlink_close(s->netlink);
	if (s->news)
		mnl_socket_close(s->news);
	free(s);
}

int wg_sources_fd(const struct wg_sources *s)
{
	return mnl_socket_get_fd(s->news);
}

bool wg_sources_due(struct wg_sources *s, uint64_t now_ms)
{
	char ignored[NEWS_MAX];
	uint64_t gap_ms;

	while (mnl_socket_recvfrom(s->news, ignored, sizeof(ignored)) >= 0 || errno == ENOBUFS ||
	       errno == ENOSPC)
		s->looks = LOOKS;
	gap_ms = s->looks == LOOKS ? REST * s->took_ms : LATER_MS;
	if (s->looks == 0 || now_ms - s->last_ms < gap_ms)
		return false;
	s->looks--;
	s->last_ms = now_ms;
	s->took_ms = 0;
	return true;
}

static int take_interface(const struct nlmsghdr *message, void *data)
{
	struct nlattr *attribute;
	uint32_t *ifindex = data;

	mnl_attr_for_each(attribute, message, sizeof(struct rtmsg))
	{
		if (mnl_attr_get_type(attribute) == RTA_OIF &&
		    mnl_attr_validate(attribute, MNL_TYPE_U32) == 0)
			*ifindex = mnl_attr_get_u32(attribute);
	}
	return 0;
}

/* What cannot be known stands. */
static bool stands(void *context, const struct udp_endpoint *endpoint, uint32_t mark)
{
	struct wg_sources *s = context;
	struct nlmsghdr *request = netlink_request(s->netlink, RTM_GETROUTE, 0);
	struct rtmsg *head = mnl_nlmsg_put_extra_header(request, sizeof(*head));
	size_t size = endpoint->version == 4 ? 4 : 16;
	uint32_t ifindex = 0;

	if (endpoint->scope)
		return true;
	head->rtm_family = endpoint->version == 4 ? AF_INET : AF_INET6;
	head->rtm_dst_len = (unsigned char)(8 * size);
	head->rtm_src_len = head->rtm_dst_len;
	mnl_attr_put(request, RTA_DST, size, endpoint->addr);
	mnl_attr_put(request, RTA_SRC, size, endpoint->source);
	mnl_attr_put_u32(request, RTA_MARK, mark);
	return netlink_get(s->netlink, request, take_interface, &ifindex) < 0 || ifindex == 0 ||
	       ifindex == endpoint->link;
}

void wg_sources_review(struct wg_sources *s, struct wg_device *device)
{
	const struct wg_ways ways = {.stands = stands, .context = s};
	uint64_t begin_ns = wg_device_now_ns();

	wg_device_review_sources(device, &ways);
	s->took_ms += (wg_device_now_ns() - begin_ns) / 1000000;
}
