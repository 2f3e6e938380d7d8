/*
 * Address and port translation of a parsed packet in place, checksums kept right: O(1) whatever
 * the packet's length.
 */
#ifndef SLUICE_DATAPLANE_REWRITE_H
#define SLUICE_DATAPLANE_REWRITE_H

#include "dataplane/packet.h"

/*
 * Replace the source address and port (TCP, UDP) or identifier (ICMP echo request and reply), or
 * the destination's. Checksums are updated, complete ones and those left to offload; a zero UDP
 * checksum over IPv4 stays zero. packet->key follows. For fragments after the first only the
 * address is replaced.
 *
 * addr: wire order, 4 or 16 bytes by the packet's version
 * port: host byte order
 */
void rewrite_source(struct packet *packet, const uint8_t *addr, uint16_t port);
void rewrite_destination(struct packet *packet, const uint8_t *addr, uint16_t port);

/*
 * Translate an ICMP error from outside (RFC 5508, REQ-4): the destination of the error and the
 * source of the packet that it quotes become the inner address and port; all checksums follow.
 *
 * quoted_offset, l4_offset: from packet_quoted()
 */
void rewrite_icmp_error(struct packet *packet, uint16_t quoted_offset, uint16_t l4_offset,
			const uint8_t *inner_addr, uint16_t inner_port);

/*
 * The same for an ICMP error from inside about a packet from outside (RFC 5508, REQ-5): the source
 * of the error and the destination of the packet that it quotes become the outer address and port.
 */
void rewrite_icmp_error_out(struct packet *packet, uint16_t quoted_offset, uint16_t l4_offset,
			    const uint8_t *outer_addr, uint16_t outer_port);

/*
 * Make the maximum segment size that a TCP SYN announces no larger than max. All else is left
 * alone, also options that do not parse.
 */
void rewrite_mss(struct packet *packet, uint16_t max);

/* An IPv4 packet may be fragmented from here on, whatever its sender said. */
void rewrite_may_fragment(struct packet *packet);

/*
 * Take one from the hop limit.
 *
 * Returns: false, and the packet untouched, if none would be left
 */
bool rewrite_hop_limit(struct packet *packet);

#endif
