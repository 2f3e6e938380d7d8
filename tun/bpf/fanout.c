/*
 * Chooses the queue of a packet from outside (PACKET_FANOUT_EBPF): see tun/fanout.h. The packet
 * starts with its IP header. What no queue's filter accepts goes to queue 0.
 */
#include "tun/fanout.h"
#include "tun/bpf/packet.h"

/* Set before the program is loaded. */
const volatile struct fanout_slices fanout_slices;

/* A header behind an IP header. */
struct place {
	uint32_t at;
	uint8_t proto;
	uint8_t version;
	uint8_t fragment; /* of IPv6, and not whole */
	uint8_t no_port;  /* a later fragment */
	uint32_t words;   /* of a fragment: see fanout_of_fragment */
};

static __always_inline int find_ip4(struct __sk_buff *skb, uint32_t at, struct place *out)
{
	struct ip4 ip = {0};

	if (load(skb, at, &ip, sizeof(ip)) < 0)
		return -1;
	out->at = at + (ip.version_ihl & 15) * 4;
	out->proto = ip.proto;
	out->version = 4;
	out->no_port = (ip.offset & __builtin_bswap16(OFFSET_MASK)) != 0;
	return 0;
}

/*
 * Pass over one extension header; -1: there is none, or no port behind it. A first fragment has
 * one, but its datagram goes elsewhere; of what is quoted it is a port to go by.
 */
static __always_inline int pass_extension(struct __sk_buff *skb, int quoted, struct place *place)
{
	uint8_t head[8] = {0};
	uint32_t id;

	if (place->proto != PROTO_HOPOPTS && place->proto != PROTO_ROUTING &&
	    place->proto != PROTO_DSTOPTS && place->proto != PROTO_FRAGMENT)
		return -1;
	if (load(skb, place->at, head, sizeof(head)) < 0) {
		place->no_port = 1;
		return -1;
	}
	if (place->proto == PROTO_FRAGMENT) {
		uint16_t offset = (uint16_t)(head[2] << 8 | head[3]);

		__builtin_memcpy(&id, head + 4, sizeof(id));
		/* An atomic one (RFC 6946) is a whole packet. */
		place->fragment = (offset & ~6) != 0;
		place->no_port |= (offset & ~7) != 0;
		place->words ^= __builtin_bswap32(id);
		place->at += 8;
	} else {
		place->at += (head[1] + 1U) * 8;
	}
	place->proto = head[0];
	return place->no_port || (place->fragment && !quoted) ? -1 : 0;
}

static __always_inline int find_ip6(struct __sk_buff *skb, uint32_t at, int quoted,
				    struct place *out)
{
	struct ip6 ip = {0};

	if (load(skb, at, &ip, sizeof(ip)) < 0)
		return -1;
	out->at = at + sizeof(ip);
	out->proto = ip.next;
	out->version = 6;
	for (int i = 0; i < 4; i++)
		out->words ^= __builtin_bswap32(ip.source[i] ^ ip.destination[i]);
	for (int i = 0; i < (quoted ? FANOUT_QUOTED_MAX : FANOUT_EXTENSIONS_MAX); i++) {
		if (pass_extension(skb, quoted, out) < 0)
			break;
	}
	return 0;
}

static __always_inline int find(struct __sk_buff *skb, uint32_t at, uint8_t version, int quoted,
				struct place *out)
{
	return version == 4 ? find_ip4(skb, at, out) : find_ip6(skb, at, quoted, out);
}

static __always_inline uint32_t queue_of(struct __sk_buff *skb, uint32_t at)
{
	uint16_t port = 0;

	if (load(skb, at, &port, sizeof(port)) < 0)
		return 0;
	port = __builtin_bswap16(port);
	if (port < fanout_slices.port_first ||
	    port - fanout_slices.port_first >= fanout_slices.slice * fanout_slices.queues)
		return 0;
	return (port - fanout_slices.port_first) / fanout_slices.slice;
}

/* Whose port a packet that an ICMP error quotes came from: one of ours, or none. */
static __always_inline uint32_t queue_of_quoted(struct __sk_buff *skb, const struct place *outer)
{
	struct place place = {0};
	uint8_t type = 0;

	if (find(skb, outer->at + 8, outer->version, 1, &place) < 0 || place.no_port)
		return 0;
	if (place.proto == PROTO_TCP || place.proto == PROTO_UDP)
		return queue_of(skb, place.at);
	if (place.proto != (place.version == 4 ? PROTO_ICMP : PROTO_ICMP6) ||
	    load(skb, place.at, &type, 1) < 0 || type != (place.version == 4 ? 8 : 128))
		return 0;
	return queue_of(skb, place.at + 4);
}

SEC("socket")
int fanout(struct __sk_buff *skb)
{
	struct place place = {0};
	uint8_t version = 0, type = 0;

	if (load(skb, 0, &version, 1) < 0 || (version >> 4 != 4 && version >> 4 != 6))
		return 0;
	if (find(skb, 0, version >> 4, 0, &place) < 0)
		return 0;
	if (place.fragment)
		return (int)fanout_of_fragment(place.words, fanout_slices.queues);
	if (place.no_port)
		return 0;
	if (place.proto == PROTO_TCP || place.proto == PROTO_UDP)
		return (int)queue_of(skb, place.at + 2);
	if (place.proto != (place.version == 4 ? PROTO_ICMP : PROTO_ICMP6) ||
	    load(skb, place.at, &type, 1) < 0)
		return 0;
	if (type == (place.version == 4 ? 0 : 129))
		return (int)queue_of(skb, place.at + 4);
	return is_error(place.version, type) ? (int)queue_of_quoted(skb, &place) : 0;
}
