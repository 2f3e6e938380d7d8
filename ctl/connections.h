/* Ports and connections of this host's sockets, from tables like /proc/net/tcp. */
#ifndef SLUICE_CTL_CONNECTIONS_H
#define SLUICE_CTL_CONNECTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "ctl/ports.h"
#include "lpm/prefix.h"

/* Ports in host byte order. */
struct connection {
	struct addr local;
	struct addr remote;
	uint16_t local_port;
	uint16_t remote_port;
};

/* A growing array; all zero is empty. */
struct connections {
	struct connection *items;
	size_t count, room;
};

void connections_fini(struct connections *connections);

/*
 * Add the local ports of a table's sockets, of TCP or UDP, as far as they are in a set.
 *
 * within: only these are added
 * state:  sockets in this state are left out (6: TIME_WAIT of TCP); 0: none
 */
void connections_ports(const char *text, size_t size, const struct ports *within, unsigned state,
		       struct ports *into);

/* Add the ports on which a table's sockets listen. */
void connections_listeners(const char *text, size_t size, struct ports *into);

/*
 * Add the established connections of a table that came in to one of the listening ports, but for
 * those of this host with itself over the loopback.
 *
 * text:   as in /proc/net/tcp or /proc/net/tcp6, not terminated; unreadable lines are passed over.
 *         IPv4 connections of IPv6 sockets become IPv4 ones
 * Errors: -ENOMEM; what was added stays
 */
int connections_collect(const char *text, size_t size, const struct ports *listening,
			struct connections *into);

#endif
