/*
 * Chooses the TUN queue of a packet that leaves the kernel (TUNSETSTEERINGEBPF): see tun/steer.h.
 *
 * The packet starts with its IP header. An ICMP error is about a packet that came to the inner
 * endpoint, so it goes where that endpoint's flows are: by the destination that it quotes. What
 * cannot be read goes to some queue; its worker finds that out again.
 */
#include "tun/steer.h"
#include "tun/bpf/packet.h"

enum {
	EXTENSIONS_MAX = 8,
};

/* Set before the program is loaded. */
const volatile uint32_t steer_seed;

/* Where the header behind the IP headers starts, and whose endpoint it names. */
struct place {
	uint32_t l4;
	uint32_t inner; /* offset of the inner address */
	uint8_t proto;
	uint8_t version;
	uint8_t fragment;
};

struct ports {
	uint16_t source;
	uint16_t destination;
};

static __always_inline int read_ip4(struct __sk_buff *skb, uint32_t at, struct place *place,
				    struct steer_key *key, int quoted)
{
	struct ip4 ip = {0};

	if (load(skb, at, &ip, sizeof(ip)) < 0)
		return -1;
	key->version = 4;
	key->proto = ip.proto;
	key->inner[0] = quoted ? ip.destination : ip.source;
	place->l4 = at + (ip.version_ihl & 15) * 4;
	place->proto = ip.proto;
	place->version = 4;
	place->fragment = (ip.offset & __builtin_bswap16(OFFSET_MASK | MORE_FRAGMENTS)) != 0;
	if (place->fragment) {
		key->outer[0] = quoted ? ip.source : ip.destination;
		key->id = ip.id;
	}
	return 0;
}

static __always_inline void copy_words(uint32_t to[4], const uint32_t from[4])
{
	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	to[3] = from[3];
}

/* Pass over one extension header; returns whether there was one to pass over. */
static __always_inline int skip_extension(struct __sk_buff *skb, struct place *place,
					  struct steer_key *key)
{
	uint8_t head[8] = {0};

	switch (place->proto) {
	case PROTO_HOPOPTS:
	case PROTO_ROUTING:
	case PROTO_DSTOPTS:
	case PROTO_AH:
	case PROTO_FRAGMENT:
		break;
	default:
		return 0;
	}
	if (load(skb, place->l4, head, sizeof(head)) < 0)
		return 0;
	if (place->proto == PROTO_FRAGMENT) {
		/* An atomic one (RFC 6946) is a whole packet. */
		if (((head[2] << 8 | head[3]) & ~6) != 0) {
			place->fragment = 1;
			__builtin_memcpy(&key->id, head + 4, sizeof(key->id));
		}
		place->l4 += 8;
	} else if (place->proto == PROTO_AH) {
		place->l4 += (head[1] + 2U) * 4;
	} else {
		place->l4 += (head[1] + 1U) * 8;
	}
	place->proto = head[0];
	return !place->fragment;
}

static __always_inline int read_ip6(struct __sk_buff *skb, uint32_t at, struct place *place,
				    struct steer_key *key, int quoted)
{
	struct ip6 ip = {0};

	if (load(skb, at, &ip, sizeof(ip)) < 0)
		return -1;
	key->version = 6;
	copy_words(key->inner, quoted ? ip.destination : ip.source);
	place->l4 = at + sizeof(ip);
	place->proto = ip.next;
	place->version = 6;
	place->fragment = 0;
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		if (!skip_extension(skb, place, key))
			break;
	}
	key->proto = place->proto;
	if (place->fragment)
		copy_words(key->outer, quoted ? ip.source : ip.destination);
	return 0;
}

static __always_inline int read_ip(struct __sk_buff *skb, uint32_t at, struct place *place,
				   struct steer_key *key, int quoted)
{
	uint8_t version = 0;

	if (load(skb, at, &version, 1) < 0)
		return -1;
	return version >> 4 == 4   ? read_ip4(skb, at, place, key, quoted)
	       : version >> 4 == 6 ? read_ip6(skb, at, place, key, quoted)
				   : -1;
}

/* Echo request and reply, whose identifier stands for a port. */
static __always_inline int is_echo(uint8_t version, uint8_t type)
{
	return version == 4 ? type == 0 || type == 8 : type == 128 || type == 129;
}

/* Ports or identifier of the inner endpoint. */
static __always_inline void read_port(struct __sk_buff *skb, const struct place *place,
				      struct steer_key *key, int quoted)
{
	struct ports ports = {0};
	uint8_t icmp[8] = {0};

	if (place->proto == PROTO_TCP || place->proto == PROTO_UDP) {
		if (load(skb, place->l4, &ports, sizeof(ports)) == 0)
			key->port = quoted ? ports.destination : ports.source;
	} else if (place->proto == PROTO_ICMP || place->proto == PROTO_ICMP6) {
		if (load(skb, place->l4, icmp, sizeof(icmp)) == 0 &&
		    is_echo(place->version, icmp[0]))
			__builtin_memcpy(&key->port, icmp + 4, sizeof(key->port));
	}
}

SEC("socket")
int steer(struct __sk_buff *skb)
{
	struct steer_key key = {0}, inner = {0};
	struct place place = {0}, quoted = {0};
	uint8_t type = 0;

	if (read_ip(skb, 0, &place, &key, 0) < 0)
		return 0;
	if (place.fragment) {
		/* By addresses and identification alone: later ones have no more. */
		key.port = 0;
		return (int)(steer_hash(&key, steer_seed) & 0xffff);
	}
	read_port(skb, &place, &key, 0);
	if ((place.proto == PROTO_ICMP || place.proto == PROTO_ICMP6) &&
	    load(skb, place.l4, &type, 1) == 0 && is_error(place.version, type) &&
	    read_ip(skb, place.l4 + 8, &quoted, &inner, 1) == 0 && !quoted.fragment) {
		read_port(skb, &quoted, &inner, 1);
		return (int)(steer_hash(&inner, steer_seed) & 0xffff);
	}
	return (int)(steer_hash(&key, steer_seed) & 0xffff);
}
