/*
 * What the BPF programs read of packets. Everything is set before it is loaded into: the compiler
 * may keep an undefined value in a register over a call, and the verifier refuses that.
 */
#ifndef SLUICE_TUN_BPF_PACKET_H
#define SLUICE_TUN_BPF_PACKET_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#include <stdint.h>

enum {
	PROTO_HOPOPTS = 0,
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_AH = 51,
	PROTO_ICMP6 = 58,
	PROTO_DSTOPTS = 60,
	OFFSET_MASK = 0x1fff, /* of an IPv4 fragment */
	MORE_FRAGMENTS = 0x2000,
};

struct ip4 {
	uint8_t version_ihl;
	uint8_t tos;
	uint16_t len;
	uint16_t id;
	uint16_t offset;
	uint8_t ttl;
	uint8_t proto;
	uint16_t checksum;
	uint32_t source;
	uint32_t destination;
};

struct ip6 {
	uint32_t version_class_flow;
	uint16_t len;
	uint8_t next;
	uint8_t hops;
	uint32_t source[4];
	uint32_t destination[4];
};

static __always_inline int load(struct __sk_buff *skb, uint32_t at, void *to, uint32_t size)
{
	return bpf_skb_load_bytes(skb, at, to, size);
}

static __always_inline int is_error(uint8_t version, uint8_t type)
{
	return version == 4 ? type == 3 || type == 11 || type == 12 : type >= 1 && type <= 4;
}

#endif
