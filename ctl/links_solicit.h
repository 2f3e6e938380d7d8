/*
 * Questions for the link address of a neighbour: ARP requests and neighbour solicitations. They
 * are sent past the kernel, which takes in the answers as it does those to its own.
 */
#ifndef SLUICE_CTL_LINKS_SOLICIT_H
#define SLUICE_CTL_LINKS_SOLICIT_H

#include <stdint.h>

#include "lpm/prefix.h"

/*
 * A socket to send them by; the caller's, by close().
 *
 * mark:    on every question, for firewalls to know; 0: none
 * Returns: the descriptor, or the system's -errno
 */
int solicit_open(uint32_t mark);

/*
 * Ask for a neighbour on an interface with Ethernet addresses.
 *
 * source: an address of the interface, of the same family; version 0: none (IPv4 only)
 * mac:    whom to ask alone; NULL: everybody (RFC 826), or the solicited-node group (RFC 4861)
 * Errors: -EADDRNOTAVAIL (no IPv6 source), or the system's
 */
int solicit_send(int fd, unsigned ifindex, const struct addr *source, const struct addr *target,
		 const uint8_t mac[6]);

#endif
