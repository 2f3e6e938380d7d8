/*
 * Packets for tests: a builder of right ones, and slow readers that share no code with
 * dataplane/: a checker of all checksums and a segmenter as hardware would do it.
 */
#ifndef SLUICE_TESTS_MODEL_PACKETS_H
#define SLUICE_TESTS_MODEL_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tun/buf.h"

enum {
	PACKETS_EXT_MAX = 12,
};

/*
 * What to build; all that is zero gets no value of its own but these: ttl 64, and addresses
 * 192.0.2.1 to 198.51.100.2 or 2001:db8::1 to 2001:db8:1::2.
 */
struct packets_spec {
	uint8_t version; /* 4 or 6 */
	uint8_t proto;   /* 6, 17, and 1 or 58; others get bytes behind the IP header */
	uint8_t ttl;
	uint8_t src[16]; /* wire order */
	uint8_t dst[16];
	uint16_t src_port; /* the identifier of an ICMP echo */
	uint16_t dst_port;
	uint8_t tcp_flags;
	uint32_t seq;
	uint32_t ack;
	uint8_t icmp_type;
	uint8_t icmp_code;
	unsigned payload;             /* bytes behind the transport header */
	const uint8_t *payload_bytes; /* or NULL for some pattern */
	unsigned ip_options;          /* bytes of NOP, a multiple of 4, 40 at most */
	unsigned tcp_options;         /* the same */
	uint8_t ext[PACKETS_EXT_MAX]; /* IPv6 extension headers: 0, 43, 60, 44 (atomic) */
	unsigned ext_count;
	unsigned ext_more; /* bytes of padding in the first of them, a multiple of 8 */
	bool dont_fragment;
	uint16_t id;
	bool no_csum;      /* UDP over IPv4 without checksum */
	bool needs_csum;   /* leave the checksum to offload */
	uint16_t gso_size; /* nonzero: a super-packet, with needs_csum */
	/* A fragment: the bytes from fragment_from on, fragment_size of them, a multiple of 8. */
	bool fragment;
	unsigned fragment_from;
	unsigned fragment_size; /* 0: to the end */
};

/* In a spec: the fragment from byte from on. */
#define PACKETS_CUT(from, size)                                                                    \
	.id = 0x1234, .fragment = true, .fragment_from = (from), .fragment_size = (size)

/* Build into buf->data, BUF_SIZE bytes of the caller's; sets len and offload. */
void packets_build(const struct packets_spec *spec, struct buf *buf);

/* Put the checksum of an IPv4 header right after a change; leaves alone what is no such header. */
void packets_fix_ip(struct buf *buf);

/*
 * Compute the checksums of a packet anew: the IPv4 header's, and that of TCP, UDP or ICMP unless
 * it is a fragment, left to offload, or was never made (UDP over IPv4).
 */
void packets_fix(struct buf *buf);

/*
 * Where the transport header of a whole packet stands, and what it is.
 *
 * fragment: set to whether it is a fragment; may be NULL
 */
unsigned packets_transport(const struct buf *buf, unsigned *proto, bool *fragment);

/* A spec by chance: TCP, UDP or echo of either family, with or without offload, any length. */
void packets_random(uint64_t *seed, struct packets_spec *spec);

/* xorshift64*; the seed must not be zero. */
uint64_t packets_rand(uint64_t *seed);

/*
 * Whether lengths and checksums of a packet are right: the IPv4 header's, and that of TCP, UDP or
 * ICMP unless it is a fragment; one that is left to offload must be the pseudo-header's sum.
 *
 * Returns: NULL, or what is wrong
 */
const char *packets_check(const struct buf *buf);

/* The same for the packet that an ICMP error quotes; the transport's only if all of it is there. */
const char *packets_check_quote(const struct buf *buf);

/*
 * What hardware would send: segment i of a super-packet, or for i = 0 of any packet the packet,
 * with complete checksums.
 *
 * out:     data set by the caller
 * Returns: false if there is no such segment
 */
bool packets_segment(const struct buf *buf, unsigned i, struct buf *out);

#endif
