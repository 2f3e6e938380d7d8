/* What little must be known of any IP packet in a tunnel. */
#ifndef SLUICE_DATAPLANE_WIREGUARD_INNER_H
#define SLUICE_DATAPLANE_WIREGUARD_INNER_H

#include <stdbool.h>
#include <stdint.h>

enum {
	ECN_MASK = 3,
	ECN_NONE = 0, /* its sender does not understand congestion marks */
	ECN_1 = 1,
	ECN_0 = 2,
	ECN_CONGESTED = 3,
};

/*
 * The length of an IP packet, by its header.
 *
 * Returns: false if it is none, or longer than size
 */
bool inner_length(const uint8_t *data, uint32_t size, uint32_t *length);

/*
 * Carry a congestion mark from the outer header to the inner (RFC 6040, section 4.2).
 *
 * Returns: false if it must be dropped: congested, and its sender would not understand the mark
 */
bool inner_take_ecn(uint8_t *data, uint8_t outer_tos);

#endif
