/* The TUN as an interface: its alias, MTU, addresses, state. */
#ifndef SLUICE_CTL_CAPTURE_DEVICE_H
#define SLUICE_CTL_CAPTURE_DEVICE_H

#include <stdbool.h>

#include "ctl/capture_routes.h"
#include "ctl/conf.h"
#include "ctl/netlink_linux.h"

/* Set the alias; "" clears it. Errors: the kernel's */
int device_set_alias(struct netlink *netlink, unsigned ifindex, const char *alias);

/*
 * Give the device its MTU, queue length and addresses, and set it up. No route appears in any
 * table but "local". Addresses that are not wanted are removed.
 *
 * ipv6:   false leaves the IPv6 addresses out
 * Errors: the kernel's
 */
int device_configure(struct netlink *netlink, unsigned ifindex, const struct conf_interface *conf,
		     unsigned mtu, bool ipv6);

/*
 * Add those of the configured addresses that are not there.
 *
 * ipv6:   false leaves the IPv6 addresses out
 * tally:  those that were added are counted
 * Errors: the kernel's first
 */
int device_put_addresses(struct netlink *netlink, unsigned ifindex,
			 const struct conf_interface *conf, bool ipv6, struct capture_tally *tally);

/* Take all addresses off, clear the alias, set it down. Errors: the kernel's first */
int device_reset(struct netlink *netlink, unsigned ifindex);

/* Remove the device for good. Errors: the kernel's, -ENODEV */
int device_remove(struct netlink *netlink, unsigned ifindex);

#endif
