/* nft tables, seen and removed over netlink. */
#include "ctl/nft_netlink.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "ctl/netlink_linux.h"

enum {
	USERDATA_COMMENT = 0, /* type of the record that nft keeps a table's comment in */
	DUMP_TRIES = 10,
	BATCH_MAX = 4096,
};

struct listing {
	const char *prefix;
	struct nft_table *tables;
	size_t count;
};

/* Userdata is a row of records: type, length, bytes. */
static void read_comment(const struct nlattr *attribute, char out[NFT_NETLINK_COMMENT_MAX])
{
	const uint8_t *at = mnl_attr_get_payload(attribute);
	size_t left = mnl_attr_get_payload_len(attribute);

	while (left >= 2 && at[1] <= left - 2) {
		if (at[0] == USERDATA_COMMENT) {
			snprintf(out, NFT_NETLINK_COMMENT_MAX, "%.*s", at[1], (const char *)at + 2);
			return;
		}
		left -= 2 + (size_t)at[1];
		at += 2 + at[1];
	}
}

static int take_attribute(const struct nlattr *attribute, void *data)
{
	struct nft_table *table = data;

	if (mnl_attr_get_type(attribute) == NFTA_TABLE_NAME &&
	    mnl_attr_validate(attribute, MNL_TYPE_STRING) == 0 &&
	    mnl_attr_get_payload_len(attribute) <= sizeof table->name)
		snprintf(table->name, sizeof table->name, "%.*s",
			 (int)mnl_attr_get_payload_len(attribute), mnl_attr_get_str(attribute));
	if (mnl_attr_get_type(attribute) == NFTA_TABLE_USERDATA)
		read_comment(attribute, table->comment);
	return MNL_CB_OK;
}

static int take_table(const struct nlmsghdr *message, void *data)
{
	struct listing *listing = data;
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	struct nft_table table = {.family = head->nfgen_family}, *tables;

	if (table.family != NFPROTO_INET && table.family != NFPROTO_NETDEV)
		return 0;
	mnl_attr_parse(message, sizeof *head, take_attribute, &table);
	if (strncmp(table.name, listing->prefix, strlen(listing->prefix)) != 0)
		return 0;
	tables = reallocarray(listing->tables, listing->count + 1, sizeof *tables);
	if (!tables)
		return -ENOMEM;
	listing->tables = tables;
	tables[listing->count++] = table;
	return 0;
}

static void put_head(struct nlmsghdr *message, uint8_t family, uint16_t resource)
{
	struct nfgenmsg *head = mnl_nlmsg_put_extra_header(message, sizeof *head);

	head->nfgen_family = family;
	head->version = NFNETLINK_V0;
	head->res_id = htons(resource);
}

int nft_table_list(const char *prefix, struct nft_table **out, size_t *count)
{
	struct listing listing = {.prefix = prefix};
	struct netlink *netlink;
	int tries = DUMP_TRIES, rc = netlink_open(NETLINK_NETFILTER, &netlink);

	if (rc == -EPROTONOSUPPORT) { /* a kernel without netfilter */
		*out = NULL;
		*count = 0;
		return 0;
	}
	if (rc != 0)
		return rc;
	do {
		struct nlmsghdr *message =
			netlink_request(netlink, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, 0);

		put_head(message, NFPROTO_UNSPEC, 0);
		listing.count = 0;
		rc = netlink_dump(netlink, message, take_table, &listing);
	} while (rc == -EINTR && --tries > 0);
	netlink_close(netlink);
	if (rc == -EINVAL || rc == -EOPNOTSUPP) { /* a kernel without nf_tables */
		listing.count = 0;
		rc = 0;
	}
	if (rc != 0 || listing.count == 0) {
		free(listing.tables);
		listing.tables = NULL;
	}
	if (rc == 0) {
		*out = listing.tables;
		*count = listing.count;
	}
	return rc;
}

static int take_state_attribute(const struct nlattr *attribute, void *data)
{
	struct nft_state *state = data;

	if (mnl_attr_get_type(attribute) == NFTA_TABLE_HANDLE &&
	    mnl_attr_validate(attribute, MNL_TYPE_U64) == 0)
		state->handle = be64toh(mnl_attr_get_u64(attribute));
	if (mnl_attr_get_type(attribute) == NFTA_TABLE_FLAGS &&
	    mnl_attr_validate(attribute, MNL_TYPE_U32) == 0)
		state->flags = ntohl(mnl_attr_get_u32(attribute));
	return MNL_CB_OK;
}

struct looking {
	const char *name;
	struct nft_state state;
	bool found;
};

static bool is_of_table(const struct nlmsghdr *message, const char *name)
{
	struct nlattr *attribute;

	/* NFTA_TABLE_NAME and NFTA_RULE_TABLE are the same number. */
	mnl_attr_for_each(attribute, message, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attribute) == NFTA_TABLE_NAME)
			return mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0 &&
			       strcmp(mnl_attr_get_str(attribute), name) == 0;
	}
	return false;
}

static int take_state(const struct nlmsghdr *message, void *data)
{
	struct looking *looking = data;
	unsigned type = message->nlmsg_type & 0xff;

	if (!is_of_table(message, looking->name))
		return 0;
	if (type == NFT_MSG_NEWRULE)
		looking->state.rules++;
	if (type != NFT_MSG_NEWTABLE)
		return 0;
	looking->found = true;
	mnl_attr_parse(message, sizeof(struct nfgenmsg), take_state_attribute, &looking->state);
	return 0;
}

int nft_table_look(uint8_t family, const char *name, struct nft_state *out)
{
	struct looking looking;
	struct netlink *netlink;
	int tries = DUMP_TRIES, rc = netlink_open(NETLINK_NETFILTER, &netlink);

	if (rc != 0)
		return rc;
	do {
		struct nlmsghdr *message =
			netlink_request(netlink, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, 0);

		looking = (struct looking){.name = name};
		put_head(message, family, 0);
		rc = netlink_dump(netlink, message, take_state, &looking);
		if (rc != 0)
			continue;
		message = netlink_request(netlink, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE, 0);
		put_head(message, family, 0);
		mnl_attr_put_strz(message, NFTA_RULE_TABLE, name);
		rc = netlink_dump(netlink, message, take_state, &looking);
	} while (rc == -EINTR && --tries > 0);
	netlink_close(netlink);
	if (rc == 0 && !looking.found)
		rc = -ENOENT;
	if (rc == 0)
		*out = looking.state;
	return rc;
}

static void put_batch(struct mnl_nlmsg_batch *batch, unsigned type, uint32_t sequence)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(mnl_nlmsg_batch_current(batch));

	message->nlmsg_type = (uint16_t)type;
	message->nlmsg_flags = NLM_F_REQUEST;
	message->nlmsg_seq = sequence;
	put_head(message, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	mnl_nlmsg_batch_next(batch);
}

/* nf_tables takes changes only as a batch, which netlink_talk does not speak. */
static int send_removal(struct mnl_socket *socket, uint8_t family, const char *name,
			uint32_t sequence)
{
	_Alignas(8) char buffer[2 * BATCH_MAX];
	struct mnl_nlmsg_batch *batch = mnl_nlmsg_batch_start(buffer, BATCH_MAX);
	struct nlmsghdr *message;
	int rc = 0;

	if (!batch)
		return -ENOMEM;
	put_batch(batch, NFNL_MSG_BATCH_BEGIN, sequence);
	message = mnl_nlmsg_put_header(mnl_nlmsg_batch_current(batch));
	message->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	message->nlmsg_seq = sequence + 1;
	put_head(message, family, 0);
	mnl_attr_put_strz(message, NFTA_TABLE_NAME, name);
	mnl_nlmsg_batch_next(batch);
	put_batch(batch, NFNL_MSG_BATCH_END, sequence + 2);
	if (mnl_socket_sendto(socket, mnl_nlmsg_batch_head(batch), mnl_nlmsg_batch_size(batch)) < 0)
		rc = -errno;
	mnl_nlmsg_batch_stop(batch);
	return rc;
}

int nft_table_remove(uint8_t family, const char *name)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	uint32_t sequence = (uint32_t)time(NULL);
	_Alignas(8) char buffer[2 * BATCH_MAX];
	int rc;

	if (!socket)
		return -errno;
	rc = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (rc == 0)
		rc = send_removal(socket, family, name, sequence);
	if (rc == 0) {
		ssize_t n = mnl_socket_recvfrom(socket, buffer, sizeof buffer);

		if (n < 0 || mnl_cb_run(buffer, (size_t)n, sequence + 1,
					mnl_socket_get_portid(socket), NULL, NULL) < 0)
			rc = -errno;
	}
	mnl_socket_close(socket);
	return rc;
}
