/*
 * See packet.h. A packet is read from the outside in: IP header, then transport header, then the
 * offload words, which must fit what was read. buf is written last, once all of it is accepted.
 */
#include "dataplane/packet.h"

#include <string.h>

#include "dataplane/cksum.h"
#include "dataplane/wire.h"

enum {
	EXT_HOP_BY_HOP = 0,
	EXT_ROUTING = 43,
	EXT_FRAGMENT = 44,
	EXT_DESTINATION = 60,

	EXT_COUNT_MAX = 8,    /* RFC 8200 has a use for 6 */
	EXT_BYTES_MAX = 1024, /* the work that one packet may cause */

	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_LOOSE_ROUTE = 131,
	OPTION_STRICT_ROUTE = 137,

	FRAGMENT4_DF = 0x4000,
	FRAGMENT4_MORE = 0x2000,
	FRAGMENT4_OFFSET = 0x1fff, /* in 8 bytes */
	FRAGMENT6_MORE = 0x0001,
	FRAGMENT6_OFFSET = 0xfff8, /* in bytes */
};

/* What an IP header of either version says. */
struct ip {
	uint8_t version;
	uint8_t proto; /* what follows the header */
	bool dont_fragment;
	bool more;                /* more fragments follow */
	uint32_t header_size;     /* with options or extension headers */
	uint32_t total;           /* of the packet; more than there is where a quote was cut */
	uint32_t fragment_offset; /* bytes */
	uint32_t fragment_id;
};

/*
 * Options must be well-formed and must not name further destinations: the verdict and the
 * pseudo-header would be another one's (RFC 7126 sections 4.3 and 4.4 say drop).
 */
static enum reason check_options(const uint8_t *data, uint32_t header_size)
{
	uint32_t at = IP4_SIZE;

	while (at < header_size && data[at] != OPTION_END) {
		if (data[at] == OPTION_NOP) {
			at++;
			continue;
		}
		if (data[at] == OPTION_LOOSE_ROUTE || data[at] == OPTION_STRICT_ROUTE)
			return REASON_PROTOCOL;
		if (header_size - at < 2 || data[at + 1] < 2 || data[at + 1] > header_size - at)
			return REASON_MALFORMED;
		at += data[at + 1];
	}
	return REASON_NONE;
}

/* The sum over an IPv4 header; most have no options. */
static uint16_t header_sum(const uint8_t *data, uint32_t size)
{
	uint64_t words[2];
	uint32_t last;

	if (size != IP4_SIZE)
		return cksum_fold(cksum_add(0, data, size));
	memcpy(words, data, sizeof(words));
	memcpy(&last, data + sizeof(words), sizeof(last));
	return cksum_fold(cksum_carry(cksum_carry(words[0], words[1]), last));
}

static enum reason read_ip4(const uint8_t *data, uint32_t size, struct ip *ip)
{
	uint16_t fragment;

	if (size < IP4_SIZE)
		return REASON_MALFORMED;
	ip->version = 4;
	ip->header_size = (uint32_t)(data[0] & 0xf) * 4;
	ip->total = wire_get16(data + IP4_TOTAL);
	if (ip->header_size < IP4_SIZE || ip->header_size > size || ip->header_size > ip->total)
		return REASON_MALFORMED;
	if (header_sum(data, ip->header_size) != 0xffff)
		return REASON_BAD_CHECKSUM;

	fragment = wire_get16(data + IP4_FRAGMENT);
	ip->proto = data[IP4_PROTO];
	ip->dont_fragment = fragment & FRAGMENT4_DF;
	ip->more = fragment & FRAGMENT4_MORE;
	ip->fragment_offset = (uint32_t)(fragment & FRAGMENT4_OFFSET) * 8;
	ip->fragment_id = wire_get16(data + IP4_ID);
	return check_options(data, ip->header_size);
}

/*
 * Read one extension header.
 *
 * room: bytes from ext to the end of the packet
 * size: set to the bytes of the header
 */
static enum reason read_ext(const uint8_t *ext, uint32_t room, bool first, struct ip *ip,
			    uint32_t *size)
{
	if (room < 8)
		return REASON_MALFORMED;
	*size = 8 + (uint32_t)ext[1] * 8;
	switch (ip->proto) {
	case EXT_HOP_BY_HOP: /* RFC 8200, section 4.1: only right after the IPv6 header */
		if (!first)
			return REASON_MALFORMED;
		break;
	case EXT_ROUTING: /* with segments left the final destination is another one */
		if (ext[3] != 0)
			return REASON_PROTOCOL;
		break;
	case EXT_FRAGMENT:
		*size = 8; /* its second byte is reserved */
		ip->fragment_offset = wire_get16(ext + 2) & FRAGMENT6_OFFSET;
		ip->more = wire_get16(ext + 2) & FRAGMENT6_MORE;
		ip->fragment_id = wire_get32(ext + 4);
		break;
	default:
		break;
	}
	if (*size > room)
		return REASON_MALFORMED;
	ip->proto = ext[0];
	return REASON_NONE;
}

static bool is_ext(uint8_t proto)
{
	return proto == EXT_HOP_BY_HOP || proto == EXT_ROUTING || proto == EXT_FRAGMENT ||
	       proto == EXT_DESTINATION;
}

static enum reason read_ip6(const uint8_t *data, uint32_t size, struct ip *ip)
{
	bool fragment_seen = false;
	enum reason reason;
	uint32_t ext_size;
	uint32_t end;

	if (size < IP6_SIZE)
		return REASON_MALFORMED;
	ip->version = 6;
	ip->proto = data[IP6_NEXT];
	ip->dont_fragment = true;
	ip->header_size = IP6_SIZE;
	ip->total = IP6_SIZE + wire_get16(data + IP6_PAYLOAD);
	end = ip->total < size ? ip->total : size;

	/* What follows the header of a later fragment is no header. */
	for (unsigned i = 0; is_ext(ip->proto) && ip->fragment_offset == 0; i++) {
		if (i == EXT_COUNT_MAX || (ip->proto == EXT_FRAGMENT && fragment_seen))
			return REASON_MALFORMED;
		fragment_seen |= ip->proto == EXT_FRAGMENT;
		reason = read_ext(data + ip->header_size, end - ip->header_size, i == 0, ip,
				  &ext_size);
		if (reason != REASON_NONE)
			return reason;
		ip->header_size += ext_size;
		if (ip->header_size > IP6_SIZE + EXT_BYTES_MAX)
			return REASON_MALFORMED;
	}
	return REASON_NONE;
}

static enum reason read_ip(const uint8_t *data, uint32_t size, struct ip *ip)
{
	memset(ip, 0, sizeof(*ip));
	if (size > 0 && data[0] >> 4 == 4)
		return read_ip4(data, size, ip);
	if (size > 0 && data[0] >> 4 == 6)
		return read_ip6(data, size, ip);
	return REASON_MALFORMED;
}

/*
 * Refuse what no sender makes and what overlaps or overflows the datagram: a later TCP fragment
 * within the first 20 bytes could rewrite ports or flags (RFC 1858, RFC 3128).
 */
static enum reason check_fragment(const struct ip *ip)
{
	uint32_t size = ip->total - ip->header_size;

	if (size == 0 || (ip->more && size % 8 != 0))
		return REASON_MALFORMED;
	if (ip->fragment_offset + size > UINT16_MAX)
		return REASON_MALFORMED;
	if (ip->proto == PROTO_TCP && ip->fragment_offset > 0 && ip->fragment_offset < TCP_SIZE)
		return REASON_MALFORMED;
	return REASON_NONE;
}

static void set_addresses(struct flow_key *key, const uint8_t *data, const struct ip *ip)
{
	if (ip->version == 4) {
		memcpy(key->src, data + IP4_SRC, 4);
		memcpy(key->dst, data + IP4_DST, 4);
	} else {
		memcpy(key->src, data + IP6_SRC, 16);
		memcpy(key->dst, data + IP6_DST, 16);
	}
	key->version = ip->version;
	key->proto = ip->proto;
}

static bool is_icmp(const struct flow_key *key)
{
	return key->proto == (key->version == 4 ? PROTO_ICMP : PROTO_ICMP6);
}

static bool is_icmp_echo(const struct flow_key *key, uint8_t type)
{
	if (key->version == 4)
		return type == ICMP_ECHO || type == ICMP_ECHO_REPLY;
	return type == ICMP6_ECHO || type == ICMP6_ECHO_REPLY;
}

static bool is_icmp_error(const struct flow_key *key, uint8_t type)
{
	if (key->version == 4)
		return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED ||
		       type == ICMP_PARAMETER;
	return type >= ICMP6_UNREACHABLE && type <= ICMP6_PARAMETER;
}

static void set_ports(struct flow_key *key, const uint8_t *l4)
{
	key->src_port = wire_get16(l4);
	key->dst_port = wire_get16(l4 + 2);
}

static void set_echo_id(struct flow_key *key, const uint8_t *l4)
{
	key->src_port = wire_get16(l4 + ICMP_ID);
	key->dst_port = key->src_port;
}

static enum reason read_tcp(const uint8_t *l4, uint32_t room, struct packet *out)
{
	uint32_t size;

	if (room < TCP_SIZE)
		return REASON_MALFORMED;
	size = (uint32_t)(l4[TCP_OFFSET] >> 4) * 4;
	if (size < TCP_SIZE || size > room)
		return REASON_MALFORMED;
	set_ports(&out->key, l4);
	out->tcp_flags = l4[TCP_FLAGS];
	out->payload = (uint16_t)(out->l4_offset + size);
	return REASON_NONE;
}

static enum reason read_udp(const uint8_t *l4, uint32_t room, struct packet *out)
{
	uint32_t length;

	if (room < UDP_SIZE)
		return REASON_MALFORMED;
	/* Of the whole datagram: more than a first fragment holds. */
	length = wire_get16(l4 + UDP_LENGTH);
	if (length < UDP_SIZE || (length > room && !out->first_fragment))
		return REASON_MALFORMED;
	set_ports(&out->key, l4);
	out->payload = (uint16_t)(out->l4_offset + UDP_SIZE);
	return REASON_NONE;
}

static enum reason read_icmp(const uint8_t *l4, uint32_t room, struct packet *out)
{
	if (room < ICMP_SIZE)
		return REASON_MALFORMED;
	out->icmp_type = l4[0];
	out->payload = (uint16_t)(out->l4_offset + ICMP_SIZE);
	if (is_icmp_echo(&out->key, l4[0]))
		set_echo_id(&out->key, l4);
	else if (is_icmp_error(&out->key, l4[0]))
		out->kind = PACKET_ICMP_ERROR;
	else
		out->kind = PACKET_OTHER;
	return REASON_NONE;
}

/* Everything past the IP header. */
static enum reason read_transport(const uint8_t *data, const struct ip *ip, struct packet *out)
{
	const uint8_t *l4 = data + ip->header_size;
	uint32_t room = ip->total - ip->header_size;

	out->l4_offset = (uint16_t)ip->header_size;
	out->payload = out->l4_offset;
	if (ip->fragment_offset > 0) {
		out->kind = PACKET_FRAGMENT;
		return REASON_NONE;
	}
	out->kind = PACKET_TRANSPORT;
	if (ip->proto == PROTO_TCP)
		return read_tcp(l4, room, out);
	if (ip->proto == PROTO_UDP)
		return read_udp(l4, room, out);
	if (is_icmp(&out->key))
		return read_icmp(l4, room, out);
	out->kind = PACKET_OTHER;
	return REASON_NONE;
}

static enum reason check_csum_offload(const struct packet *packet, const struct offload *in)
{
	uint16_t offset;

	/* The checksum of a fragmented datagram covers what is not here. */
	if (packet->kind == PACKET_FRAGMENT || packet->first_fragment)
		return REASON_BAD_OFFLOAD;
	if (packet->key.proto == PROTO_TCP)
		offset = TCP_CSUM;
	else if (packet->key.proto == PROTO_UDP)
		offset = UDP_CSUM;
	else if (is_icmp(&packet->key))
		offset = ICMP_CSUM;
	else
		return REASON_BAD_OFFLOAD;
	if (in->csum_start != packet->l4_offset || in->csum_offset != offset)
		return REASON_BAD_OFFLOAD;
	return REASON_NONE;
}

static enum reason check_gso(const struct packet *packet, const struct offload *in)
{
	uint8_t tcp = packet->key.version == 4 ? OFFLOAD_GSO_TCPV4 : OFFLOAD_GSO_TCPV6;
	bool fits;

	if (packet->key.proto == PROTO_TCP)
		fits = (in->gso_type & ~OFFLOAD_GSO_ECN) == tcp;
	else
		fits = packet->key.proto == PROTO_UDP && in->gso_type == OFFLOAD_GSO_UDP_L4;
	/* Fragments were refused with their OFFLOAD_NEEDS_CSUM. */
	if (!fits || in->gso_size == 0 || !(in->flags & OFFLOAD_NEEDS_CSUM))
		return REASON_BAD_OFFLOAD;
	return REASON_NONE;
}

/* Check the offload words against the headers; out gets them with nothing in them by chance. */
static enum reason read_offload(const struct packet *packet, const struct offload *in,
				uint32_t total, struct offload *out)
{
	enum reason reason;

	memset(out, 0, sizeof(*out));
	out->flags = in->flags & (OFFLOAD_NEEDS_CSUM | OFFLOAD_DATA_VALID);
	out->hdr_len = packet->payload;
	if (in->flags & OFFLOAD_NEEDS_CSUM) {
		reason = check_csum_offload(packet, in);
		if (reason != REASON_NONE)
			return reason;
		out->csum_start = in->csum_start;
		out->csum_offset = in->csum_offset;
	}
	if (in->gso_type != OFFLOAD_GSO_NONE) {
		reason = check_gso(packet, in);
		if (reason != REASON_NONE)
			return reason;
		/* A single segment is no super-packet. */
		if (total - packet->payload > in->gso_size) {
			out->gso_type = in->gso_type;
			out->gso_size = in->gso_size;
		}
	}
	return REASON_NONE;
}

/* An error acts on flows of others, so it must be what its sender made. */
static bool check_icmp_csum(const struct packet *packet, uint32_t total,
			    const struct offload *offload)
{
	const struct flow_key *key = &packet->key;
	uint32_t size = total - packet->l4_offset;
	uint64_t sum = 0;

	if (packet->first_fragment || offload->flags != 0)
		return true; /* not all of it is here; or the kernel has seen to it */
	if (key->version == 6)
		sum = cksum_pseudo(6, key->src, key->dst, PROTO_ICMP6, size);
	sum = cksum_add(sum, packet->buf->data + packet->l4_offset, size);
	return cksum_fold(sum) == 0xffff;
}

enum reason packet_parse(struct buf *buf, struct packet *out)
{
	struct offload offload;
	enum reason reason;
	struct ip ip;

	reason = read_ip(buf->data, buf->len, &ip);
	if (reason != REASON_NONE)
		return reason;
	if (ip.total > buf->len)
		return REASON_MALFORMED;

	memset(out, 0, sizeof(*out));
	out->buf = buf;
	out->dont_fragment = ip.dont_fragment;
	if (ip.more || ip.fragment_offset > 0) {
		reason = check_fragment(&ip);
		if (reason != REASON_NONE)
			return reason;
		out->first_fragment = ip.fragment_offset == 0;
		out->more_fragments = ip.more;
		out->fragment_offset = (uint16_t)ip.fragment_offset;
		out->fragment_id = ip.fragment_id;
	}
	set_addresses(&out->key, buf->data, &ip);
	reason = read_transport(buf->data, &ip, out);
	if (reason != REASON_NONE)
		return reason;
	reason = read_offload(out, &buf->offload, ip.total, &offload);
	if (reason != REASON_NONE)
		return reason;
	if (out->kind == PACKET_ICMP_ERROR && !check_icmp_csum(out, ip.total, &offload))
		return REASON_BAD_CHECKSUM;
	buf->offload = offload;
	buf->len = ip.total;
	return REASON_NONE;
}

enum reason packet_quoted(const struct packet *packet, struct flow_key *key,
			  uint16_t *quoted_offset, uint16_t *l4_offset)
{
	const uint8_t *quoted = packet->buf->data + packet->payload;
	uint32_t size = packet->buf->len - packet->payload;
	struct flow_key found = {0};
	enum reason reason;
	const uint8_t *l4;
	struct ip ip;

	if (packet->kind != PACKET_ICMP_ERROR)
		return REASON_PROTOCOL;
	reason = read_ip(quoted, size, &ip);
	if (reason != REASON_NONE)
		return reason;
	if (ip.version != packet->key.version)
		return REASON_MALFORMED;
	if (ip.fragment_offset > 0)
		return REASON_FRAGMENT;
	if (size > ip.total)
		size = ip.total;
	/* 8 bytes hold the ports or the identifier (RFC 792). */
	if (size - ip.header_size < ICMP_SIZE)
		return REASON_MALFORMED;

	set_addresses(&found, quoted, &ip);
	l4 = quoted + ip.header_size;
	if (ip.proto == PROTO_TCP || ip.proto == PROTO_UDP)
		set_ports(&found, l4);
	else if (is_icmp(&found) && is_icmp_echo(&found, l4[0]))
		set_echo_id(&found, l4);
	else
		return REASON_PROTOCOL;
	*key = found;
	*quoted_offset = packet->payload;
	*l4_offset = (uint16_t)(packet->payload + ip.header_size);
	return REASON_NONE;
}

unsigned packet_segments(const struct packet *packet)
{
	const struct offload *offload = &packet->buf->offload;
	uint32_t payload = packet->buf->len - packet->payload;

	if (offload->gso_type == OFFLOAD_GSO_NONE)
		return 1;
	return (payload + offload->gso_size - 1) / offload->gso_size;
}

struct addr key_src(const struct flow_key *key)
{
	return addr_from_bytes(key->version, key->src);
}

struct addr key_dst(const struct flow_key *key)
{
	return addr_from_bytes(key->version, key->dst);
}
