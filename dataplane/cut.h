/*
 * Making a packet shorter for a link: segments of a super-packet, fragments of an IPv4 packet.
 * The slow way, for what no device may be left to do: one copy of every byte.
 */
#ifndef SLUICE_DATAPLANE_CUT_H
#define SLUICE_DATAPLANE_CUT_H

#include "dataplane/packet.h"

/* Make a checksum that was left to offload complete. Not for super-packets. */
void cut_complete(struct buf *buf);

/*
 * Write segment `index` of a super-packet, as hardware would send it, with complete checksums.
 *
 * index: below packet_segments()
 * out:   data set by the caller, room for headers and gso_size; len and offload are filled in
 */
void cut_segment(const struct packet *packet, unsigned index, struct buf *out);

/*
 * Write the next fragment of an IPv4 packet, which may be a fragment itself (RFC 791, section 3.2).
 *
 * l4_offset: bytes of its IP header; complete checksums
 * mtu:       at least 68
 * *at:       payload bytes that earlier fragments hold, 0 at first; moved on
 * out:       data set by the caller, mtu bytes of room; len and offload are filled in
 * Returns:   false, and nothing written, when all has been
 */
bool cut_fragment(const struct buf *buf, uint16_t l4_offset, unsigned mtu, uint32_t *at,
		  struct buf *out);

#endif
