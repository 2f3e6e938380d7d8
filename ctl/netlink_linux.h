/* Netlink requests over libmnl: one request and its answer at a time. */
#ifndef SLUICE_CTL_NETLINK_LINUX_H
#define SLUICE_CTL_NETLINK_LINUX_H

#include <stdbool.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "lpm/prefix.h"

struct netlink;

enum {
	NETLINK_NAME_MAX = 16,   /* IFNAMSIZ */
	NETLINK_ALIAS_MAX = 256, /* IFALIASZ */
};

/* What a link message says. */
struct netlink_link {
	unsigned ifindex;
	char name[NETLINK_NAME_MAX];
	char kind[16]; /* "tun", "veth", ...; "" for hardware */
	char alias[NETLINK_ALIAS_MAX];
	unsigned flags; /* IFF_* */
	unsigned type;  /* ARPHRD_* */
	unsigned mtu;
	uint8_t mac[6]; /* zero where link-layer addresses are not of this length */
	bool carrier;
};

/*
 * Open a socket.
 *
 * bus:    NETLINK_ROUTE, NETLINK_NETFILTER
 * out:    the caller's, until netlink_close
 * Errors: -ENOMEM or the system's
 */
int netlink_open(int bus, struct netlink **out);
void netlink_close(struct netlink *netlink); /* NULL does nothing */

/* Begin a request in the socket's own buffer, which is good until the next call. */
struct nlmsghdr *netlink_request(struct netlink *netlink, unsigned type, unsigned flags);

/*
 * Send a request and wait for the kernel's answer.
 *
 * Errors: the kernel's, with its words in netlink_why
 */
int netlink_talk(struct netlink *netlink, struct nlmsghdr *request);

/*
 * Send a request for a list and take its messages one by one.
 *
 * take:   0 to go on, -errno to end with it
 * Errors: -EINTR (the list changed meanwhile: what was taken may be incomplete), take's, the
 * kernel's
 */
int netlink_dump(struct netlink *netlink, struct nlmsghdr *request,
		 int (*take)(const struct nlmsghdr *message, void *data), void *data);

/* The same for one thing: no list. Errors: take's, the kernel's (-ENOENT...) */
int netlink_get(struct netlink *netlink, struct nlmsghdr *request,
		int (*take)(const struct nlmsghdr *message, void *data), void *data);

/* The kernel's words on the last refusal, "" when it had none. */
const char *netlink_why(const struct netlink *netlink);

/*
 * Read a link message (RTM_NEWLINK, RTM_DELLINK).
 *
 * Errors: -EINVAL when it has no name
 */
int netlink_link_parse(const struct nlmsghdr *message, struct netlink_link *out);

/*
 * Read or write the gateway of a route. One of IPv4 may have its gateway's address in IPv6
 * (RFC 8950), and says so by another attribute.
 *
 * version: of the route's destinations
 * out:     untouched by other attributes
 */
void netlink_gateway_parse(const struct nlattr *attribute, uint8_t version, struct addr *out);
void netlink_gateway_put(struct nlmsghdr *message, uint8_t version, const struct addr *gateway);

/* Find a link by name. Errors: -ENODEV, or the kernel's. */
int netlink_link_find(struct netlink *netlink, const char *name, struct netlink_link *out);

#endif
