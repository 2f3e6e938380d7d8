/* The TUN as an interface: its alias, MTU, addresses, state. */
#include "ctl/capture_device.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

enum {
	QUEUE_LENGTH = 4096, /* packets that wait for a busy worker, in each queue */
	PRESENT_MAX = 64,    /* addresses of a device that are looked at */
	DUMP_TRIES = 10,
};

static struct nlmsghdr *link_request(struct netlink *netlink, unsigned type, unsigned ifindex,
				     unsigned flags, unsigned change)
{
	struct nlmsghdr *message = netlink_request(netlink, type, 0);
	struct ifinfomsg *head = mnl_nlmsg_put_extra_header(message, sizeof *head);

	head->ifi_family = AF_UNSPEC;
	head->ifi_index = (int)ifindex;
	head->ifi_flags = flags;
	head->ifi_change = change;
	return message;
}

int device_set_alias(struct netlink *netlink, unsigned ifindex, const char *alias)
{
	struct nlmsghdr *message = link_request(netlink, RTM_NEWLINK, ifindex, 0, 0);

	mnl_attr_put(message, IFLA_IFALIAS, strlen(alias), alias);
	return netlink_talk(netlink, message);
}

int device_remove(struct netlink *netlink, unsigned ifindex)
{
	return netlink_talk(netlink, link_request(netlink, RTM_DELLINK, ifindex, 0, 0));
}

/* No link-local address, and so no fe80::/64 route. Only before the device is up. */
static int set_no_link_local(struct netlink *netlink, unsigned ifindex)
{
	struct nlmsghdr *message = link_request(netlink, RTM_NEWLINK, ifindex, 0, 0);
	struct nlattr *families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
	struct nlattr *family = mnl_attr_nest_start(message, AF_INET6);

	mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(message, family);
	mnl_attr_nest_end(message, families);
	return netlink_talk(netlink, message);
}

static struct nlmsghdr *address_request(struct netlink *netlink, unsigned type, unsigned flags,
					unsigned ifindex, const struct conf_address *address)
{
	struct nlmsghdr *message = netlink_request(netlink, type, flags);
	struct ifaddrmsg *head = mnl_nlmsg_put_extra_header(message, sizeof *head);
	size_t size = address->addr.version == 4 ? 4 : 16;
	uint8_t bytes[16];

	head->ifa_family = address->addr.version == 4 ? AF_INET : AF_INET6;
	head->ifa_prefixlen = address->len;
	head->ifa_index = ifindex;
	head->ifa_scope = RT_SCOPE_UNIVERSE;
	addr_to_bytes(&address->addr, bytes);
	mnl_attr_put(message, IFA_LOCAL, size, bytes);
	mnl_attr_put(message, IFA_ADDRESS, size, bytes);
	mnl_attr_put_u32(message, IFA_FLAGS, IFA_F_NOPREFIXROUTE | (size == 16 ? IFA_F_NODAD : 0));
	return message;
}

struct present {
	unsigned ifindex;
	struct conf_address addresses[PRESENT_MAX];
	unsigned count;
};

static int take_address(const struct nlmsghdr *message, void *data)
{
	struct present *present = data;
	const struct ifaddrmsg *head = mnl_nlmsg_get_payload(message);
	uint8_t version = head->ifa_family == AF_INET ? 4 : 6;
	struct conf_address *address = &present->addresses[present->count];
	struct nlattr *attribute;
	bool found = false;

	if (head->ifa_index != present->ifindex || present->count == PRESENT_MAX)
		return 0;
	mnl_attr_for_each(attribute, message, sizeof *head)
	{
		unsigned type = mnl_attr_get_type(attribute);
		bool whole = mnl_attr_get_payload_len(attribute) == (version == 4 ? 4 : 16);

		/* IPv6 has its address in IFA_ADDRESS; IFA_LOCAL, where there is one, wins. */
		if (whole && (type == IFA_LOCAL || (type == IFA_ADDRESS && !found))) {
			address->addr = addr_from_bytes(version, mnl_attr_get_payload(attribute));
			found = true;
		}
	}
	address->len = head->ifa_prefixlen;
	present->count += found;
	return 0;
}

static int list_addresses(struct netlink *netlink, struct present *present)
{
	int rc, tries = DUMP_TRIES;

	do {
		struct nlmsghdr *message = netlink_request(netlink, RTM_GETADDR, 0);
		struct ifaddrmsg *head = mnl_nlmsg_put_extra_header(message, sizeof *head);

		head->ifa_family = AF_UNSPEC;
		head->ifa_index = present->ifindex;
		present->count = 0;
		rc = netlink_dump(netlink, message, take_address, present);
	} while (rc == -EINTR && --tries > 0);
	return rc;
}

static bool has_address(const struct conf_address *addresses, unsigned count,
			const struct conf_address *address)
{
	uint8_t a[16] = {0}, b[16] = {0};

	addr_to_bytes(&address->addr, a);
	for (unsigned i = 0; i < count; i++) {
		addr_to_bytes(&addresses[i].addr, b);
		if (addresses[i].addr.version == address->addr.version &&
		    addresses[i].len == address->len && memcmp(a, b, sizeof a) == 0)
			return true;
	}
	return false;
}

/* conf NULL: all of them. */
static int remove_unwanted(struct netlink *netlink, unsigned ifindex,
			   const struct conf_interface *conf)
{
	struct present present = {.ifindex = ifindex};
	int rc = list_addresses(netlink, &present);

	for (unsigned i = 0; rc == 0 && i < present.count; i++) {
		if (conf &&
		    has_address(conf->addresses, conf->address_count, &present.addresses[i]))
			continue;
		rc = netlink_talk(netlink, address_request(netlink, RTM_DELADDR, 0, ifindex,
							   &present.addresses[i]));
		/* Removing one IPv4 address may take others of its subnet with it. */
		if (rc == -EADDRNOTAVAIL)
			rc = 0;
	}
	return rc;
}

static int add_addresses(struct netlink *netlink, unsigned ifindex,
			 const struct conf_interface *conf, bool ipv6)
{
	for (unsigned i = 0; i < conf->address_count; i++) {
		const struct conf_address *address = &conf->addresses[i];
		int rc;

		if (address->addr.version == 6 && !ipv6)
			continue;
		rc = netlink_talk(netlink,
				  address_request(netlink, RTM_NEWADDR,
						  NLM_F_CREATE | NLM_F_REPLACE, ifindex, address));
		if (rc != 0)
			return rc;
	}
	return 0;
}

int device_put_addresses(struct netlink *netlink, unsigned ifindex,
			 const struct conf_interface *conf, bool ipv6, struct capture_tally *tally)
{
	struct present present = {.ifindex = ifindex};
	int rc = list_addresses(netlink, &present);

	for (unsigned i = 0; rc == 0 && i < conf->address_count; i++) {
		const struct conf_address *address = &conf->addresses[i];
		char text[ADDR_TEXT_MAX], line[CAPTURE_TEXT_MAX];

		if ((address->addr.version == 6 && !ipv6) ||
		    has_address(present.addresses, present.count, address))
			continue;
		rc = netlink_talk(netlink,
				  address_request(netlink, RTM_NEWADDR,
						  NLM_F_CREATE | NLM_F_REPLACE, ifindex, address));
		snprintf(line, sizeof line, "address %s/%u", addr_format(&address->addr, text),
			 address->len);
		if (rc == 0)
			capture_tally_add(tally, line);
	}
	return rc;
}

int device_configure(struct netlink *netlink, unsigned ifindex, const struct conf_interface *conf,
		     unsigned mtu, bool ipv6)
{
	struct nlmsghdr *message;
	int rc;

	if (ipv6) {
		rc = set_no_link_local(netlink, ifindex);
		if (rc != 0)
			return rc;
	}
	/* Not a multicast device: the kernel would greet its groups into the TUN. */
	message = link_request(netlink, RTM_NEWLINK, ifindex, 0, IFF_MULTICAST);
	mnl_attr_put_u32(message, IFLA_MTU, mtu);
	mnl_attr_put_u32(message, IFLA_TXQLEN, QUEUE_LENGTH);
	rc = netlink_talk(netlink, message);
	if (rc == 0)
		rc = remove_unwanted(netlink, ifindex, conf);
	if (rc == 0)
		rc = add_addresses(netlink, ifindex, conf, ipv6);
	if (rc == 0)
		rc = netlink_talk(netlink,
				  link_request(netlink, RTM_NEWLINK, ifindex, IFF_UP, IFF_UP));
	return rc;
}

int device_reset(struct netlink *netlink, unsigned ifindex)
{
	int down = netlink_talk(netlink, link_request(netlink, RTM_NEWLINK, ifindex, 0, IFF_UP));
	int removed = remove_unwanted(netlink, ifindex, NULL);
	int cleared = device_set_alias(netlink, ifindex, "");

	return down != 0 ? down : removed != 0 ? removed : cleared;
}
