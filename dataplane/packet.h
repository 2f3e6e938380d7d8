/*
 * The one reader of packets: bounds-checked, for IPv4 and IPv6 with extension headers, TCP, UDP
 * and ICMP. A trust edge: everything in a packet and in its offload words may be hostile.
 */
#ifndef SLUICE_DATAPLANE_PACKET_H
#define SLUICE_DATAPLANE_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/reason.h"
#include "lpm/prefix.h"
#include "tun/buf.h"

enum {
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ICMP6 = 58,
};

/*
 * The 5-tuple, hashed and compared as bytes: unused bytes are zero.
 *
 * Addresses in network byte order, IPv4 in the first 4 bytes. Ports in host byte order; an ICMP
 * echo has its identifier in both. Protocols without ports have zero ports.
 */
struct flow_key {
	uint8_t src[16];
	uint8_t dst[16];
	uint16_t src_port;
	uint16_t dst_port;
	uint8_t proto;
	uint8_t version; /* 4 or 6 */
	uint8_t zero[2];
};

_Static_assert(sizeof(struct flow_key) == 40, "no padding: keys are compared as bytes");

enum packet_kind {
	PACKET_TRANSPORT,  /* TCP, UDP, ICMP echo: key is complete */
	PACKET_ICMP_ERROR, /* quotes another packet: see packet_quoted() */
	PACKET_FRAGMENT,   /* not the first fragment: no ports */
	PACKET_OTHER,      /* another protocol: addresses only */
};

/* TCP flags as in the header's 14th byte. */
enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_CWR = 0x80,
};

struct packet {
	struct buf *buf;
	struct flow_key key;
	enum packet_kind kind;
	uint16_t l4_offset; /* bytes from data to the transport header */
	uint16_t payload;   /* bytes from data to the transport's payload */
	uint8_t tcp_flags;
	uint8_t icmp_type;
	bool first_fragment; /* more fragments follow; a TRANSPORT one has its ports */
	bool more_fragments;
	bool dont_fragment;       /* IPv4 DF; always true for IPv6 */
	uint32_t fragment_id;     /* of both kinds of fragments */
	uint16_t fragment_offset; /* bytes before it in its datagram */
};

/*
 * Read the headers of buf into *out, and put the offload words right.
 *
 * Trailing bytes past the IP length are cut (buf->len). offload.hdr_len is recomputed;
 * csum_start and csum_offset must point at the transport checksum, gso_type must fit the
 * protocol: else the packet is refused. IPv4 header checksums are checked, and those of whole ICMP
 * errors (RFC 5508 REQ-3). Other transport checksums are not: the receiver does.
 *
 * Returns: REASON_NONE, or why the packet must be dropped; *out is valid only for REASON_NONE
 */
enum reason packet_parse(struct buf *buf, struct packet *out);

/*
 * Read the packet that an ICMP error quotes, into the key of the packet that caused the error
 * (source first). The quoted packet may be cut short after 8 bytes of transport header.
 *
 * quoted_offset, l4_offset: bytes from data to the quoted IP and transport headers
 * Returns: REASON_NONE, or why not
 */
enum reason packet_quoted(const struct packet *packet, struct flow_key *key,
			  uint16_t *quoted_offset, uint16_t *l4_offset);

/* How many packets this is on the wire: 1, or the segments of a super-packet. */
unsigned packet_segments(const struct packet *packet);

/* The source and destination of a key. */
struct addr key_src(const struct flow_key *key);
struct addr key_dst(const struct flow_key *key);

#endif
