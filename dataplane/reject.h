/* Answers that Sluice itself gives to a sender: TCP resets and ICMP errors, both families. */
#ifndef SLUICE_DATAPLANE_REJECT_H
#define SLUICE_DATAPLANE_REJECT_H

#include <stdint.h>

#include "dataplane/packet.h"

enum {
	REJECT_SIZE_MAX = 1280, /* RFC 4443, section 2.4 (c) */
};

/*
 * Build the refusal of a packet into out: for TCP a RST as RFC 9293 3.5.2 and 3.10.7.1 say, else
 * ICMP "communication administratively prohibited" (RFC 1812 type 3 code 13; RFC 4443 type 1 code
 * 1). The refusal seems to come from the packet's destination (RST) or from `from` (ICMP).
 *
 * from:    the ICMP sender's address, wire order; NULL: the packet's destination
 * out:     data set by the caller; len and offload are filled in
 * Returns: false if nothing may be answered: a RST, an ICMP error, a fragment after the first, a
 *          multicast or broadcast destination, an unspecified source
 */
bool reject_build(const struct packet *packet, const uint8_t *from, struct buf *out);

/* Build that ICMP message for TCP, too: what is refused is the translation, not the connection. */
bool reject_prohibited(const struct packet *packet, const uint8_t *from, struct buf *out);

/* Build "host unreachable" (RFC 1812) or "address unreachable" (RFC 4443), for TCP, too. */
bool reject_unreachable(const struct packet *packet, const uint8_t *from, struct buf *out);

/*
 * Build "fragmentation needed" (RFC 1191) or "packet too big" (RFC 4443) with that MTU, or "time
 * exceeded", under the same conditions.
 */
bool reject_too_big(const struct packet *packet, const uint8_t *from, unsigned mtu,
		    struct buf *out);
bool reject_time_exceeded(const struct packet *packet, const uint8_t *from, struct buf *out);

/*
 * Build the RST that ends a TCP connection towards the inner side, from any segment of it.
 *
 * outbound: the segment came from the inner side, else from the remote
 * Returns:  false if the packet is no TCP segment or is a RST itself
 */
bool reject_reset_inner(const struct packet *packet, bool outbound, struct buf *out);

#endif
