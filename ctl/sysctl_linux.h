/* The network settings under /proc/sys/net that capture reads or changes, of this namespace. */
#ifndef SLUICE_CTL_SYSCTL_LINUX_H
#define SLUICE_CTL_SYSCTL_LINUX_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl/capture_note.h"
#include "ctl/connections.h"
#include "ctl/ports.h"

/*
 * Read a whole file of /proc.
 *
 * text:   the caller's, by free(); with a terminator that size does not count
 * Errors: -errno of open or read, -ENOMEM
 */
int sysctl_read(const char *path, char **text, size_t *size);

/* Write a whole text to a file of /proc. Errors: -errno of open or write */
int sysctl_write(const char *path, const char *text, size_t size);

/* net.ipv4.ip_local_reserved_ports, which holds for IPv6 too. Errors: as above, -ENOMEM */
int sysctl_reserved_get(struct ports *out);
int sysctl_reserved_set(const struct ports *ports);

/*
 * A setting of one interface, or of "all" and "default": net.ipvVERSION.conf.IFNAME.KEY.
 *
 * Errors: as above; -EINVAL when it is not a number
 */
int sysctl_conf_get(unsigned version, const char *ifname, const char *key, unsigned *out);
int sysctl_conf_set(unsigned version, const char *ifname, const char *key, unsigned value);

/* Whether any interface but the loopback and ifname may use IPv6. */
bool sysctl_ipv6_alive(const char *ifname);

/* Whether this kernel has IPv6 at all. */
bool sysctl_ipv6_exists(void);

/*
 * The interfaces whose reverse path filter is strict, but for the loopback and ifname.
 *
 * note:    those are added to its strict list
 * Returns: false when there were more than it holds
 */
bool sysctl_strict_collect(const char *ifname, struct note *note);

/* The local ports within a set that sockets of this namespace use. */
void sysctl_busy_collect(const struct ports *within, struct ports *into);

/* The connections that servers of this namespace hold, as far as memory goes. */
void sysctl_connections_collect(struct connections *into);

#endif
