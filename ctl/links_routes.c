/* Default routes, for what they say of gateways. */
#include "ctl/links_routes.h"

#include <errno.h>
#include <sys/socket.h>

#include <linux/rtnetlink.h>

#include "ctl/capture.h"
#include "ctl/capture_plan.h"
#include "dataplane/links.h"

/* What a route message says of the interface that is looked for. */
struct way {
	uint32_t table;
	uint32_t metric;
	unsigned ifindex;
	struct addr gateway;
	struct addr source; /* which the route prefers */
};

struct search {
	uint8_t version;
	unsigned ifindex;
	uint32_t capture_table;
	struct way best;   /* table 0: none yet */
	struct addr other; /* gateway of routes to somewhere, if they have only one */
	bool others_differ;
};

/* One route, several ways: take the one that leaves by the interface. */
static void read_multipath(const struct nlattr *attribute, const struct search *search,
			   struct way *way)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(attribute);
	int left = mnl_attr_get_payload_len(attribute);

	for (; RTNH_OK(hop, left); left -= (int)RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop)) {
		const struct nlattr *at = (const struct nlattr *)RTNH_DATA(hop);
		int inside = hop->rtnh_len - (int)RTNH_LENGTH(0);

		if ((unsigned)hop->rtnh_ifindex != search->ifindex)
			continue;
		way->ifindex = search->ifindex;
		for (; mnl_attr_ok(at, inside);
		     inside -= MNL_ALIGN(at->nla_len), at = mnl_attr_next(at))
			netlink_gateway_parse(at, search->version, &way->gateway);
		return;
	}
}

static void read_way(const struct nlmsghdr *message, const struct search *search, struct way *way)
{
	struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct rtmsg))
	{
		bool is_u32 = mnl_attr_validate(attribute, MNL_TYPE_U32) == 0;

		switch (mnl_attr_get_type(attribute)) {
		case RTA_TABLE:
			way->table = is_u32 ? mnl_attr_get_u32(attribute) : way->table;
			break;
		case RTA_PRIORITY:
			way->metric = is_u32 ? mnl_attr_get_u32(attribute) : 0;
			break;
		case RTA_OIF:
			way->ifindex = is_u32 ? mnl_attr_get_u32(attribute) : 0;
			break;
		case RTA_PREFSRC:
			if (mnl_attr_get_payload_len(attribute) == (search->version == 4 ? 4 : 16))
				way->source = addr_from_bytes(search->version,
							      mnl_attr_get_payload(attribute));
			break;
		case RTA_GATEWAY:
		case RTA_VIA:
			netlink_gateway_parse(attribute, search->version, &way->gateway);
			break;
		case RTA_MULTIPATH:
			read_multipath(attribute, search, way);
			break;
		default:
			break;
		}
	}
}

static bool is_better(const struct way *way, const struct way *best)
{
	bool is_main = way->table == RT_TABLE_MAIN, best_is_main = best->table == RT_TABLE_MAIN;

	if (best->table == RT_TABLE_UNSPEC || is_main != best_is_main)
		return best->table == RT_TABLE_UNSPEC || is_main;
	return way->metric < best->metric;
}

static int take_route(const struct nlmsghdr *message, void *data)
{
	struct search *search = data;
	const struct rtmsg *head = mnl_nlmsg_get_payload(message);
	struct way way = {.table = head->rtm_table};

	if (message->nlmsg_type != RTM_NEWROUTE || head->rtm_type != RTN_UNICAST ||
	    head->rtm_protocol == CAPTURE_PROTOCOL ||
	    head->rtm_family != (search->version == 4 ? AF_INET : AF_INET6))
		return 0;
	read_way(message, search, &way);
	if (way.ifindex != search->ifindex || plan_has_table(search->capture_table, way.table))
		return 0;
	if (head->rtm_dst_len == 0 && is_better(&way, &search->best))
		search->best = way;
	if (head->rtm_dst_len == 0 || way.gateway.version == 0)
		return 0;
	if (search->other.version == 0)
		search->other = way.gateway;
	else if (link_addr_compare(&search->other, &way.gateway) != 0)
		search->others_differ = true;
	return 0;
}

int links_routes_way(struct netlink *netlink, uint8_t version, unsigned ifindex,
		     uint32_t capture_table, struct links_way *out)
{
	struct search search = {
		.version = version, .ifindex = ifindex, .capture_table = capture_table};
	struct nlmsghdr *message = netlink_request(netlink, RTM_GETROUTE, 0);
	struct rtmsg *head = mnl_nlmsg_put_extra_header(message, sizeof *head);
	int rc;

	/* The kernel leaves out other interfaces' routes, of which there may be a million. */
	head->rtm_family = version == 4 ? AF_INET : AF_INET6;
	mnl_attr_put_u32(message, RTA_OIF, ifindex);
	rc = netlink_dump(netlink, message, take_route, &search);
	if (rc == -EOPNOTSUPP || rc == -ENODEV) /* no such family, or the interface has just gone */
		rc = 0;
	if (rc != 0)
		return rc;
	*out = (struct links_way){.gateway = search.best.gateway, .source = search.best.source};
	out->all_on_link = search.best.table != RT_TABLE_UNSPEC && out->gateway.version == 0;
	if (search.best.table == RT_TABLE_UNSPEC && !search.others_differ)
		out->gateway = search.other;
	return 0;
}
