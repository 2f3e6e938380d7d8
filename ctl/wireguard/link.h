/*
 * The TUN interface of a tunnel, wherever it is: it may be moved to another network namespace, and
 * renamed, while the tunnel's sockets stay.
 */
#ifndef SLUICE_CTL_WIREGUARD_LINK_H
#define SLUICE_CTL_WIREGUARD_LINK_H

#include <stdbool.h>

#include "tun/tun.h"

struct wg_link;

/*
 * Look at an interface.
 *
 * tun_fd: of any of its queues; stays the caller's, and must outlive the link
 * out:    the caller's, until wg_link_close
 * Errors: -ENODEV (there is no such interface any more), or the system's
 */
int wg_link_open(int tun_fd, struct wg_link **out);
void wg_link_close(struct wg_link *link); /* NULL does nothing */

/* Readable when something about interfaces has changed. May be another after wg_link_refresh. */
int wg_link_fd(const struct wg_link *link);

/*
 * Look again, in the namespace where it is now.
 *
 * Errors: as wg_link_open
 */
int wg_link_refresh(struct wg_link *link);

/* As they were when it was last looked at. */
const char *wg_link_name(const struct wg_link *link);
unsigned wg_link_mtu(const struct wg_link *link);

/* Set the MTU of the interface. Errors: the system's */
int wg_link_set_mtu(struct wg_link *link, unsigned mtu);

/* Set how many packets wait for a busy worker, in each queue. Errors: the system's */
int wg_link_set_queue(struct wg_link *link, unsigned packets);

#endif
