/* Netlink requests over libmnl: one request and its answer at a time. */
#include "ctl/netlink_linux.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

enum {
	REQUEST_MAX = 4096,
	RECEIVE_MAX = 64 * 1024, /* the kernel fills at most 32 KiB of a dump's buffer */
	WHY_MAX = 128,
	TIMEOUT_S = 10, /* a kernel that does not answer is an error, not a hang */
};

struct netlink {
	struct mnl_socket *socket;
	unsigned port;
	uint32_t sequence;
	char why[WHY_MAX];
	_Alignas(8) char request[REQUEST_MAX];
	_Alignas(8) char receive[RECEIVE_MAX];
};

int netlink_open(int bus, struct netlink **out)
{
	struct netlink *netlink = calloc(1, sizeof *netlink);
	struct timeval timeout = {.tv_sec = TIMEOUT_S};
	int rc, on = 1;

	if (!netlink)
		return -ENOMEM;
	netlink->socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!netlink->socket || mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		rc = -errno;
		goto close;
	}
	netlink->port = mnl_socket_get_portid(netlink->socket);
	netlink->sequence = (uint32_t)time(NULL);
	setsockopt(mnl_socket_get_fd(netlink->socket), SOL_SOCKET, SO_RCVTIMEO, &timeout,
		   sizeof timeout);
	/* Both only add to answers and filters: a kernel without them still serves. */
	mnl_socket_setsockopt(netlink->socket, NETLINK_EXT_ACK, &on, sizeof on);
	mnl_socket_setsockopt(netlink->socket, NETLINK_GET_STRICT_CHK, &on, sizeof on);
	*out = netlink;
	return 0;
close:
	netlink_close(netlink);
	return rc;
}

void netlink_close(struct netlink *netlink)
{
	if (!netlink)
		return;
	if (netlink->socket)
		mnl_socket_close(netlink->socket);
	free(netlink);
}

struct nlmsghdr *netlink_request(struct netlink *netlink, unsigned type, unsigned flags)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(netlink->request);

	message->nlmsg_type = (uint16_t)type;
	message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	message->nlmsg_seq = ++netlink->sequence;
	return message;
}

static int take_why(const struct nlattr *attribute, void *data)
{
	struct netlink *netlink = data;

	if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
	    mnl_attr_validate(attribute, MNL_TYPE_STRING) == 0)
		snprintf(netlink->why, sizeof netlink->why, "%.*s",
			 (int)mnl_attr_get_payload_len(attribute), mnl_attr_get_str(attribute));
	return MNL_CB_OK;
}

/* The verdict of an NLMSG_ERROR message, and its words if any. */
static int read_error(struct netlink *netlink, const struct nlmsghdr *message)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
	size_t skip = sizeof *error;

	if (message->nlmsg_len < mnl_nlmsg_size(sizeof *error))
		return -EBADMSG;
	if (error->error != 0 && (message->nlmsg_flags & NLM_F_ACK_TLVS)) {
		if (!(message->nlmsg_flags & NLM_F_CAPPED))
			skip += error->msg.nlmsg_len - sizeof error->msg;
		mnl_attr_parse(message, (unsigned)skip, take_why, netlink);
	}
	return error->error;
}

static int send_request(struct netlink *netlink, const struct nlmsghdr *request)
{
	netlink->why[0] = '\0';
	if (mnl_socket_sendto(netlink->socket, request, request->nlmsg_len) < 0)
		return -errno;
	return 0;
}

static int receive(struct netlink *netlink)
{
	ssize_t n;

	do
		n = mnl_socket_recvfrom(netlink->socket, netlink->receive, RECEIVE_MAX);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return (int)n;
}

int netlink_talk(struct netlink *netlink, struct nlmsghdr *request)
{
	uint32_t sequence = request->nlmsg_seq;
	int rc;

	request->nlmsg_flags |= NLM_F_ACK;
	rc = send_request(netlink, request);
	if (rc != 0)
		return rc;
	for (;;) {
		const struct nlmsghdr *message = (const struct nlmsghdr *)netlink->receive;
		int left = receive(netlink);

		if (left < 0)
			return left;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			if (message->nlmsg_seq == sequence && message->nlmsg_type == NLMSG_ERROR)
				return read_error(netlink, message);
	}
}

struct dump {
	struct netlink *netlink;
	uint32_t sequence;
	int (*take)(const struct nlmsghdr *message, void *data);
	void *data;
	int rc;    /* the first failure, kept while the rest of the answer is read away */
	bool done; /* the answer's last message has come */
};

static void take_message(struct dump *dump, const struct nlmsghdr *message)
{
	int rc = 0;

	if (message->nlmsg_seq != dump->sequence)
		return;
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		rc = -EINTR;
	if (message->nlmsg_type == NLMSG_DONE) {
		dump->done = true;
		if (mnl_nlmsg_get_payload_len(message) >= sizeof(int)) {
			int status = 0;

			memcpy(&status, mnl_nlmsg_get_payload(message), sizeof status);
			rc = status < 0 ? status : rc;
		}
	} else if (message->nlmsg_type == NLMSG_ERROR) {
		dump->done = true;
		rc = read_error(dump->netlink, message);
	} else if (dump->rc == 0) {
		int taken = dump->take(message, dump->data);

		rc = taken != 0 ? taken : rc;
	}
	if (dump->rc == 0)
		dump->rc = rc;
}

static int take_messages(struct dump *dump, const struct nlmsghdr *request)
{
	int rc = send_request(dump->netlink, request);

	if (rc != 0)
		return rc;
	while (!dump->done) {
		const struct nlmsghdr *message = (const struct nlmsghdr *)dump->netlink->receive;
		int left = receive(dump->netlink);

		if (left < 0)
			return left;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			take_message(dump, message);
	}
	return dump->rc;
}

int netlink_dump(struct netlink *netlink, struct nlmsghdr *request,
		 int (*take)(const struct nlmsghdr *message, void *data), void *data)
{
	struct dump dump = {netlink, request->nlmsg_seq, take, data, 0, false};

	request->nlmsg_flags |= NLM_F_DUMP;
	return take_messages(&dump, request);
}

int netlink_get(struct netlink *netlink, struct nlmsghdr *request,
		int (*take)(const struct nlmsghdr *message, void *data), void *data)
{
	struct dump dump = {netlink, request->nlmsg_seq, take, data, 0, false};

	request->nlmsg_flags |= NLM_F_ACK; /* it ends the answer */
	return take_messages(&dump, request);
}

const char *netlink_why(const struct netlink *netlink)
{
	return netlink->why;
}

static void copy_text(const struct nlattr *attribute, char *out, size_t size)
{
	snprintf(out, size, "%.*s", (int)mnl_attr_get_payload_len(attribute),
		 (const char *)mnl_attr_get_payload(attribute));
}

static int take_link(const struct nlattr *attribute, void *data)
{
	struct netlink_link *link = data;
	struct nlattr *inner;

	switch (mnl_attr_get_type(attribute)) {
	case IFLA_IFNAME:
		copy_text(attribute, link->name, sizeof link->name);
		break;
	case IFLA_IFALIAS:
		copy_text(attribute, link->alias, sizeof link->alias);
		break;
	case IFLA_MTU:
		if (mnl_attr_validate(attribute, MNL_TYPE_U32) == 0)
			link->mtu = mnl_attr_get_u32(attribute);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attribute) == sizeof link->mac)
			memcpy(link->mac, mnl_attr_get_payload(attribute), sizeof link->mac);
		break;
	case IFLA_CARRIER:
		if (mnl_attr_validate(attribute, MNL_TYPE_U8) == 0)
			link->carrier = mnl_attr_get_u8(attribute) != 0;
		break;
	case IFLA_LINKINFO:
		mnl_attr_for_each_nested(inner, attribute)
		{
			if (mnl_attr_get_type(inner) == IFLA_INFO_KIND)
				copy_text(inner, link->kind, sizeof link->kind);
		}
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

int netlink_link_parse(const struct nlmsghdr *message, struct netlink_link *out)
{
	struct netlink_link link = {0};
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);

	if (message->nlmsg_len < mnl_nlmsg_size(sizeof *info))
		return -EINVAL;
	link.ifindex = (unsigned)info->ifi_index;
	link.flags = info->ifi_flags;
	link.type = info->ifi_type;
	mnl_attr_parse(message, sizeof *info, take_link, &link);
	if (link.name[0] == '\0')
		return -EINVAL;
	*out = link;
	return 0;
}

static unsigned address_size(uint8_t version)
{
	return version == 4 ? 4 : 16;
}

void netlink_gateway_parse(const struct nlattr *attribute, uint8_t version, struct addr *out)
{
	const uint8_t *bytes = mnl_attr_get_payload(attribute);
	unsigned size = mnl_attr_get_payload_len(attribute);
	uint16_t family;

	if (mnl_attr_get_type(attribute) == RTA_VIA && size > sizeof family) {
		memcpy(&family, bytes, sizeof family);
		version = family == AF_INET ? 4 : 6;
		bytes += sizeof family;
		size -= sizeof family;
	} else if (mnl_attr_get_type(attribute) != RTA_GATEWAY) {
		return;
	}
	if (size == address_size(version))
		*out = addr_from_bytes(version, bytes);
}

void netlink_gateway_put(struct nlmsghdr *message, uint8_t version, const struct addr *gateway)
{
	const uint16_t family = gateway->version == 4 ? AF_INET : AF_INET6;
	uint8_t via[sizeof family + 16];
	uint8_t *bytes = via + sizeof family;

	memcpy(via, &family, sizeof family);
	addr_to_bytes(gateway, bytes);
	if (gateway->version == version)
		mnl_attr_put(message, RTA_GATEWAY, address_size(version), bytes);
	else
		mnl_attr_put(message, RTA_VIA, sizeof family + address_size(gateway->version), via);
}

struct find {
	const char *name;
	struct netlink_link *out;
	bool found;
};

static int take_if_named(const struct nlmsghdr *message, void *data)
{
	struct find *find = data;
	struct netlink_link link;

	if (netlink_link_parse(message, &link) == 0 && strcmp(link.name, find->name) == 0) {
		*find->out = link;
		find->found = true;
	}
	return 0;
}

int netlink_link_find(struct netlink *netlink, const char *name, struct netlink_link *out)
{
	struct find find = {name, out, false};
	int rc, tries = 5;

	/* A list, since a single answer comes without an end that netlink_dump could wait for. */
	do {
		struct nlmsghdr *request = netlink_request(netlink, RTM_GETLINK, 0);

		mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
		rc = netlink_dump(netlink, request, take_if_named, &find);
	} while (rc == -EINTR && --tries > 0);
	if (find.found)
		return 0;
	return rc != 0 ? rc : -ENODEV;
}
