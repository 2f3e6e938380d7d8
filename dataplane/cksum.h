/* The Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3). */
#ifndef SLUICE_DATAPLANE_CKSUM_H
#define SLUICE_DATAPLANE_CKSUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * Sums are kept unfolded in 64 bits; words are taken in memory order, so a folded sum is stored as
 * it is, without htons (RFC 1071, section 2 B).
 */

/* Add size bytes to a sum; an odd last byte is padded with zero. */
uint64_t cksum_add(uint64_t sum, const void *data, size_t size);

/* Copy size bytes, and add them to a sum. What is copied and where to must not overlap. */
uint64_t cksum_copy(uint64_t sum, void *to, const void *from, size_t size);

/* Fold to 16 bits, not complemented. */
static inline uint16_t cksum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & UINT32_MAX);
	sum = (sum >> 32) + (sum & UINT32_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	return (uint16_t)sum;
}

/* One's complement addition: a carry out of the top counts as one. */
static inline uint64_t cksum_carry(uint64_t a, uint64_t b)
{
	uint64_t sum = a + b;

	return sum + (sum < a);
}

/* The sum of the pseudo-header of TCP, UDP or ICMPv6: version 4 or 6, addresses in wire order. */
uint64_t cksum_pseudo(uint8_t version, const uint8_t *src, const uint8_t *dst, uint8_t proto,
		      uint32_t length);

/*
 * What replacing old by new bytes (size even) does to a sum: add the result to other deltas, then
 * apply it with one of the two below.
 */
uint64_t cksum_delta(const void *old_bytes, const void *new_bytes, size_t size);

/* The same for 2 and for 4 bytes, as they stand in memory. */
static inline uint64_t cksum_delta16(uint16_t old_word, uint16_t new_word)
{
	return (uint64_t)(uint16_t)~old_word + new_word;
}

static inline uint64_t cksum_delta32(uint32_t old_word, uint32_t new_word)
{
	return (uint64_t)~old_word + new_word;
}

/* Apply a delta to a complemented checksum field, as in IP, TCP, UDP headers. */
static inline uint16_t cksum_update(uint16_t field, uint64_t delta)
{
	return (uint16_t)~cksum_fold(cksum_carry((uint16_t)~field, delta));
}

/* Apply a delta to a field that holds an uncomplemented pseudo-header sum (OFFLOAD_NEEDS_CSUM). */
static inline uint16_t cksum_update_partial(uint16_t field, uint64_t delta)
{
	return cksum_fold(cksum_carry(field, delta));
}

#endif
