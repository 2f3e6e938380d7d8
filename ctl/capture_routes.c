/* Rules and routes that carry our protocol number: make, list, remove. */
#include "ctl/capture_routes.h"

#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "ctl/capture.h"

enum { DUMP_TRIES = 10 };

/* IPv6 has no metric 0: the kernel makes it this. */
enum { METRIC6_DEFAULT = 1024 };

static uint8_t family_of(uint8_t version)
{
	return version == 4 ? AF_INET : AF_INET6;
}

static bool addr_equal(const struct addr *a, const struct addr *b)
{
	if (a->version != b->version)
		return false;
	if (a->version == 4)
		return a->v4 == b->v4;
	return a->version == 0 || (a->v6.hi == b->v6.hi && a->v6.lo == b->v6.lo);
}

static uint32_t effective_metric(const struct capture_route *route)
{
	if (route->dst.addr.version == 6 && route->metric == 0)
		return METRIC6_DEFAULT;
	return route->metric;
}

bool capture_route_equal(const struct capture_route *a, const struct capture_route *b)
{
	/* The kernel shows a device with IPv6 routes that have none. */
	bool same_way = a->type != CAPTURE_ROUTE_UNICAST ||
			(a->ifindex == b->ifindex && addr_equal(&a->gateway, &b->gateway));

	return a->table == b->table && a->type == b->type && a->dst.len == b->dst.len &&
	       addr_equal(&a->dst.addr, &b->dst.addr) && same_way &&
	       effective_metric(a) == effective_metric(b);
}

bool capture_rule_equal(const struct capture_rule *a, const struct capture_rule *b)
{
	return a->version == b->version && a->preference == b->preference && a->table == b->table &&
	       a->mark == b->mark && a->mask == b->mask && a->invert == b->invert &&
	       strcmp(a->iif, b->iif) == 0;
}

char *capture_route_format(const struct capture_route *route, char out[CAPTURE_TEXT_MAX])
{
	static const char *const types[] = {"", "unreachable ", "throw "};
	char dst[PREFIX_TEXT_MAX], gateway[ADDR_TEXT_MAX] = "", device[IF_NAMESIZE] = "";
	bool unicast = route->type == CAPTURE_ROUTE_UNICAST;

	if (unicast && route->gateway.version != 0)
		addr_format(&route->gateway, gateway);
	if (unicast && !if_indextoname(route->ifindex, device))
		snprintf(device, sizeof device, "if%u", route->ifindex);
	snprintf(out, CAPTURE_TEXT_MAX, "%s%s%s%s%s%s table %" PRIu32, types[route->type],
		 prefix_format(&route->dst, dst), gateway[0] ? " via " : "", gateway,
		 device[0] ? " dev " : "", device, route->table);
	return out;
}

char *capture_rule_format(const struct capture_rule *rule, char out[CAPTURE_TEXT_MAX])
{
	char mark[40] = "", action[32] = "nop";

	if (rule->mask != 0)
		snprintf(mark, sizeof mark, " fwmark 0x%" PRIx32 "/0x%" PRIx32, rule->mark,
			 rule->mask);
	if (rule->action == CAPTURE_RULE_LOOKUP)
		snprintf(action, sizeof action, "lookup %" PRIu32, rule->table);
	if (rule->action == CAPTURE_RULE_GOTO)
		snprintf(action, sizeof action, "goto %" PRIu32, rule->target);
	snprintf(out, CAPTURE_TEXT_MAX, "-%u %" PRIu32 ":%s%s%s%s %s", rule->version,
		 rule->preference, rule->invert ? " not" : "", rule->iif[0] ? " iif " : "",
		 rule->iif, mark, action);
	return out;
}

static void put_addr(struct nlmsghdr *message, uint16_t type, const struct addr *addr)
{
	uint8_t bytes[16];

	addr_to_bytes(addr, bytes);
	mnl_attr_put(message, type, addr->version == 4 ? 4 : 16, bytes);
}

static struct nlmsghdr *route_request(struct netlink *netlink, unsigned type, unsigned flags,
				      const struct capture_route *route)
{
	static const uint8_t types[] = {RTN_UNICAST, RTN_UNREACHABLE, RTN_THROW};
	struct nlmsghdr *message = netlink_request(netlink, type, flags);
	struct rtmsg *head = mnl_nlmsg_put_extra_header(message, sizeof *head);
	bool unicast = route->type == CAPTURE_ROUTE_UNICAST;

	head->rtm_family = family_of(route->dst.addr.version);
	head->rtm_dst_len = route->dst.len;
	head->rtm_table = RT_TABLE_UNSPEC; /* RTA_TABLE says it */
	head->rtm_protocol = CAPTURE_PROTOCOL;
	head->rtm_type = types[route->type];
	head->rtm_scope = unicast && route->gateway.version == 0 && route->dst.len > 0
				  ? RT_SCOPE_LINK
				  : RT_SCOPE_UNIVERSE;
	if (route->dst.addr.version == 6)
		head->rtm_scope = RT_SCOPE_UNIVERSE;
	mnl_attr_put_u32(message, RTA_TABLE, route->table);
	if (route->dst.len > 0)
		put_addr(message, RTA_DST, &route->dst.addr);
	mnl_attr_put_u32(message, RTA_PRIORITY, route->metric);
	if (unicast) {
		mnl_attr_put_u32(message, RTA_OIF, route->ifindex);
		if (route->gateway.version != 0) {
			/* A gateway is on-link by definition here, whatever netmask says so. */
			head->rtm_flags |= RTNH_F_ONLINK;
			netlink_gateway_put(message, route->dst.addr.version, &route->gateway);
		}
	}
	return message;
}

int capture_route_set(struct netlink *netlink, const struct capture_route *route)
{
	return netlink_talk(
		netlink, route_request(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route));
}

int capture_route_remove(struct netlink *netlink, const struct capture_route *route)
{
	return netlink_talk(netlink, route_request(netlink, RTM_DELROUTE, 0, route));
}

static struct nlmsghdr *rule_request(struct netlink *netlink, unsigned type, unsigned flags,
				     const struct capture_rule *rule)
{
	static const uint8_t actions[] = {FR_ACT_TO_TBL, FR_ACT_GOTO, FR_ACT_NOP};
	struct nlmsghdr *message = netlink_request(netlink, type, flags);
	struct fib_rule_hdr *head = mnl_nlmsg_put_extra_header(message, sizeof *head);

	head->family = family_of(rule->version);
	head->action = actions[rule->action];
	head->table = RT_TABLE_UNSPEC;
	if (rule->invert)
		head->flags |= FIB_RULE_INVERT;
	mnl_attr_put_u32(message, FRA_TABLE, rule->table);
	mnl_attr_put_u32(message, FRA_PRIORITY, rule->preference);
	mnl_attr_put_u8(message, FRA_PROTOCOL, CAPTURE_PROTOCOL);
	if (rule->action == CAPTURE_RULE_GOTO)
		mnl_attr_put_u32(message, FRA_GOTO, rule->target);
	if (rule->mask != 0) {
		mnl_attr_put_u32(message, FRA_FWMARK, rule->mark);
		mnl_attr_put_u32(message, FRA_FWMASK, rule->mask);
	}
	if (rule->iif[0] != '\0')
		mnl_attr_put_strz(message, FRA_IIFNAME, rule->iif);
	return message;
}

int capture_rule_add(struct netlink *netlink, const struct capture_rule *rule)
{
	return netlink_talk(netlink,
			    rule_request(netlink, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule));
}

int capture_rule_remove(struct netlink *netlink, const struct capture_rule *rule)
{
	return netlink_talk(netlink, rule_request(netlink, RTM_DELRULE, 0, rule));
}

/* A growing array of routes or rules. */
struct collected {
	void *items;
	size_t count, room, item_size;
	uint8_t version;
	uint32_t table;
};

static int collect(struct collected *into, const void *item)
{
	if (into->count == into->room) {
		size_t room = into->room ? 2 * into->room : 16;
		void *items = reallocarray(into->items, room, into->item_size);

		if (!items)
			return -ENOMEM;
		into->items = items;
		into->room = room;
	}
	memcpy((char *)into->items + into->count++ * into->item_size, item, into->item_size);
	return 0;
}

static struct addr read_addr(const struct nlattr *attribute, uint8_t version)
{
	uint8_t bytes[16] = {0};
	size_t size = version == 4 ? 4 : 16;

	if (mnl_attr_get_payload_len(attribute) >= size)
		memcpy(bytes, mnl_attr_get_payload(attribute), size);
	return addr_from_bytes(version, bytes);
}

static int take_route_attribute(const struct nlattr *attribute, void *data)
{
	struct capture_route *route = data;
	uint8_t version = route->dst.addr.version;
	bool is_u32 = mnl_attr_validate(attribute, MNL_TYPE_U32) == 0;

	switch (mnl_attr_get_type(attribute)) {
	case RTA_TABLE:
		route->table = is_u32 ? mnl_attr_get_u32(attribute) : route->table;
		break;
	case RTA_OIF:
		route->ifindex = is_u32 ? mnl_attr_get_u32(attribute) : 0;
		break;
	case RTA_PRIORITY:
		route->metric = is_u32 ? mnl_attr_get_u32(attribute) : 0;
		break;
	case RTA_DST:
		route->dst.addr = read_addr(attribute, version);
		break;
	case RTA_GATEWAY:
	case RTA_VIA:
		netlink_gateway_parse(attribute, version, &route->gateway);
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int take_route(const struct nlmsghdr *message, void *data)
{
	struct collected *into = data;
	const struct rtmsg *head = mnl_nlmsg_get_payload(message);
	struct capture_route route = {0};

	if (message->nlmsg_type != RTM_NEWROUTE || head->rtm_protocol != CAPTURE_PROTOCOL ||
	    head->rtm_family != family_of(into->version))
		return 0;
	/* The zero address of the family, for default routes, which carry no destination. */
	route.dst.addr = addr_from_bytes(into->version, (uint8_t[16]){0});
	route.dst.len = head->rtm_dst_len;
	route.table = head->rtm_table;
	route.type = head->rtm_type == RTN_UNREACHABLE ? CAPTURE_ROUTE_UNREACHABLE
		     : head->rtm_type == RTN_THROW     ? CAPTURE_ROUTE_THROW
						       : CAPTURE_ROUTE_UNICAST;
	mnl_attr_parse(message, sizeof *head, take_route_attribute, &route);
	if (into->table != 0 && route.table != into->table)
		return 0;
	return collect(into, &route);
}

static int take_rule_attribute(const struct nlattr *attribute, void *data)
{
	struct capture_rule *rule = data;
	bool is_u32 = mnl_attr_validate(attribute, MNL_TYPE_U32) == 0;

	switch (mnl_attr_get_type(attribute)) {
	case FRA_TABLE:
		rule->table = is_u32 ? mnl_attr_get_u32(attribute) : rule->table;
		break;
	case FRA_PRIORITY:
		rule->preference = is_u32 ? mnl_attr_get_u32(attribute) : 0;
		break;
	case FRA_GOTO:
		rule->target = is_u32 ? mnl_attr_get_u32(attribute) : 0;
		break;
	case FRA_FWMARK:
		rule->mark = is_u32 ? mnl_attr_get_u32(attribute) : 0;
		break;
	case FRA_FWMASK:
		rule->mask = is_u32 ? mnl_attr_get_u32(attribute) : 0;
		break;
	case FRA_IIFNAME:
		snprintf(rule->iif, sizeof rule->iif, "%.*s",
			 (int)mnl_attr_get_payload_len(attribute), mnl_attr_get_str(attribute));
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int take_rule(const struct nlmsghdr *message, void *data)
{
	struct collected *into = data;
	const struct fib_rule_hdr *head = mnl_nlmsg_get_payload(message);
	struct capture_rule rule = {.version = into->version};
	bool ours = false;
	struct nlattr *attribute;

	if (message->nlmsg_type != RTM_NEWRULE || head->family != family_of(into->version))
		return 0;
	mnl_attr_for_each(attribute, message, sizeof *head)
	{
		if (mnl_attr_get_type(attribute) == FRA_PROTOCOL &&
		    mnl_attr_validate(attribute, MNL_TYPE_U8) == 0)
			ours = mnl_attr_get_u8(attribute) == CAPTURE_PROTOCOL;
	}
	if (!ours)
		return 0;
	rule.table = head->table;
	rule.action = head->action == FR_ACT_GOTO  ? CAPTURE_RULE_GOTO
		      : head->action == FR_ACT_NOP ? CAPTURE_RULE_NOTHING
						   : CAPTURE_RULE_LOOKUP;
	rule.invert = (head->flags & FIB_RULE_INVERT) != 0;
	mnl_attr_parse(message, sizeof *head, take_rule_attribute, &rule);
	return collect(into, &rule);
}

/* The kernel walks the filters that it knows (strict checking); take_route looks again. */
static struct nlmsghdr *route_list_request(struct netlink *netlink, const struct collected *into)
{
	struct nlmsghdr *message = netlink_request(netlink, RTM_GETROUTE, 0);
	struct rtmsg *head = mnl_nlmsg_put_extra_header(message, sizeof *head);

	head->rtm_family = family_of(into->version);
	head->rtm_protocol = CAPTURE_PROTOCOL;
	if (into->table != 0)
		mnl_attr_put_u32(message, RTA_TABLE, into->table);
	return message;
}

static struct nlmsghdr *rule_list_request(struct netlink *netlink, const struct collected *into)
{
	struct nlmsghdr *message = netlink_request(netlink, RTM_GETRULE, 0);
	struct fib_rule_hdr *head = mnl_nlmsg_put_extra_header(message, sizeof *head);

	head->family = family_of(into->version);
	return message;
}

static int list(struct netlink *netlink, struct collected *into,
		struct nlmsghdr *(*request)(struct netlink *, const struct collected *),
		int (*take)(const struct nlmsghdr *, void *))
{
	int rc, tries = DUMP_TRIES;

	do {
		into->count = 0;
		rc = netlink_dump(netlink, request(netlink, into), take, into);
	} while (rc == -EINTR && --tries > 0);
	if (rc == -ENOENT && into->table != 0) { /* no such table: nothing in it */
		into->count = 0;
		rc = 0;
	}
	if (rc == -EOPNOTSUPP)
		rc = -EAFNOSUPPORT;
	if (rc != 0 || into->count == 0) {
		free(into->items);
		into->items = NULL;
		into->count = 0;
	}
	return rc;
}

int capture_route_list(struct netlink *netlink, uint8_t version, uint32_t table,
		       struct capture_route **out, size_t *count)
{
	struct collected into = {.item_size = sizeof **out, .version = version, .table = table};
	int rc = list(netlink, &into, route_list_request, take_route);

	if (rc != 0)
		return rc;
	*out = into.items;
	*count = into.count;
	return 0;
}

int capture_rule_list(struct netlink *netlink, uint8_t version, struct capture_rule **out,
		      size_t *count)
{
	struct collected into = {.item_size = sizeof **out, .version = version};
	int rc = list(netlink, &into, rule_list_request, take_rule);

	if (rc != 0)
		return rc;
	*out = into.items;
	*count = into.count;
	return 0;
}

void capture_tally_add(struct capture_tally *tally, const char *thing)
{
	if (tally->count++ == 0)
		snprintf(tally->first, sizeof tally->first, "%s", thing);
}

static bool has_route(const struct capture_route *routes, size_t count,
		      const struct capture_route *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (capture_route_equal(&routes[i], wanted))
			return true;
	return false;
}

int capture_route_put(struct netlink *netlink, uint8_t version, const struct capture_route *routes,
		      unsigned n, struct capture_tally *tally, char wrong[CAPTURE_TEXT_MAX])
{
	struct capture_route *there;
	int rc, first = 0;
	size_t count;

	if (n == 0)
		return 0;
	rc = capture_route_list(netlink, version, routes[0].table, &there, &count);
	if (rc != 0) {
		snprintf(wrong, CAPTURE_TEXT_MAX, "listing the routes");
		return rc;
	}
	for (unsigned i = 0; i < n; i++) {
		char text[CAPTURE_TEXT_MAX], line[CAPTURE_TEXT_MAX + 8];

		if (has_route(there, count, &routes[i]))
			continue;
		rc = capture_route_set(netlink, &routes[i]);
		capture_route_format(&routes[i], text);
		if (rc == 0) {
			snprintf(line, sizeof line, "route %s", text);
			capture_tally_add(tally, line);
		} else if (first == 0) {
			first = rc;
			memcpy(wrong, text, sizeof text);
		}
	}
	free(there);
	return first;
}

static bool has_rule(const struct capture_rule *rules, size_t count,
		     const struct capture_rule *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (capture_rule_equal(&rules[i], wanted))
			return true;
	return false;
}

int capture_rule_put(struct netlink *netlink, uint8_t version, const struct capture_rule *rules,
		     unsigned n, struct capture_tally *tally, char wrong[CAPTURE_TEXT_MAX])
{
	struct capture_rule *there;
	size_t count;
	int rc = capture_rule_list(netlink, version, &there, &count), first = 0;

	if (rc != 0) {
		snprintf(wrong, CAPTURE_TEXT_MAX, "listing the policy rules");
		return rc;
	}
	for (unsigned i = 0; i < n; i++) {
		char text[CAPTURE_TEXT_MAX], line[CAPTURE_TEXT_MAX + 8];

		if (has_rule(there, count, &rules[i]))
			continue;
		rc = capture_rule_add(netlink, &rules[i]);
		capture_rule_format(&rules[i], text);
		if (rc == 0) {
			snprintf(line, sizeof line, "rule %s", text);
			capture_tally_add(tally, line);
		} else if (rc != -EEXIST && first == 0) {
			first = rc;
			memcpy(wrong, text, sizeof text);
		}
	}
	free(there);
	return first;
}
