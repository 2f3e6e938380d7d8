/* Fields of packets: where they stand, and reading them at any alignment in network byte order. */
#ifndef SLUICE_DATAPLANE_WIRE_H
#define SLUICE_DATAPLANE_WIRE_H

#include <stdint.h>

/* Header sizes and field offsets in bytes. */
enum {
	IP4_SIZE = 20,
	IP4_MTU_MIN = 68, /* RFC 791 */
	IP4_TOTAL = 2,
	IP4_ID = 4,
	IP4_FRAGMENT = 6, /* flags and offset */
	IP4_TTL = 8,
	IP4_PROTO = 9,
	IP4_CSUM = 10,
	IP4_SRC = 12,
	IP4_DST = 16,

	IP6_SIZE = 40,
	IP6_MTU_MIN = 1280, /* RFC 8200 */
	IP6_PAYLOAD = 4,
	IP6_NEXT = 6,
	IP6_HOPS = 7,
	IP6_SRC = 8,
	IP6_DST = 24,

	TCP_SIZE = 20,
	TCP_SEQ = 4,
	TCP_ACKED = 8,
	TCP_OFFSET = 12,
	TCP_FLAGS = 13,
	TCP_CSUM = 16,
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
	TCP_OPTION_MSS_SIZE = 4,

	UDP_SIZE = 8,
	UDP_LENGTH = 4,
	UDP_CSUM = 6,

	ICMP_SIZE = 8,
	ICMP_CSUM = 2,
	ICMP_ID = 4,
};

/* Types of ICMP; the numbers of ICMPv6 have a 6. */
enum {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_REDIRECT = 5,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER = 12,

	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER = 4,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_REDIRECT = 137,
};

static inline uint16_t wire_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t wire_get32(const uint8_t *at)
{
	return (uint32_t)wire_get16(at) << 16 | wire_get16(at + 2);
}

static inline void wire_put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void wire_put32(uint8_t *at, uint32_t value)
{
	wire_put16(at, (uint16_t)(value >> 16));
	wire_put16(at + 2, (uint16_t)value);
}

#endif
