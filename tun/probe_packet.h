/* The packets of probe.h: what is sent, and whether what came out is that. Asks no kernel. */
#ifndef SLUICE_TUN_PROBE_PACKET_H
#define SLUICE_TUN_PROBE_PACKET_H

#include <stdbool.h>

#include "tun/buf.h"

enum {
	PROBE_PACKET_MAX = 4096, /* bytes of a packet */
};

/*
 * Make the packet that tries an offload.
 *
 * offload: one TUN_OFFLOAD_*
 * out:     data: PROBE_PACKET_MAX bytes of the caller's; the rest is filled in
 */
void probe_packet_make(unsigned offload, struct buf *out);

/* How many packets the kernel must make of it where it may not pass on what it got. */
unsigned probe_packet_segments(const struct buf *sent);

/* Whether a packet is of this probe at all, right or wrong: the system sends some of its own. */
bool probe_packet_is_ours(const struct buf *got);

/* Whether a packet came out as it was sent, offload words and all. */
bool probe_packet_is_whole(const struct buf *sent, const struct buf *got);

/* Whether a packet is segment `index` of what was sent, complete and with right checksums. */
bool probe_packet_is_segment(const struct buf *sent, unsigned index, const struct buf *got);

#endif
