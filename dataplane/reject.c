/* See reject.h. */
#include "dataplane/reject.h"

#include <string.h>

#include "dataplane/cksum.h"
#include "dataplane/wire.h"

enum {
	QUOTE4_MAX = 576, /* the whole answer: RFC 1812, section 4.3.2.3 */
	QUOTE6_MAX = REJECT_SIZE_MAX,
	HOPS = 64,
	TOS_CONTROL = 0xc0, /* ICMP errors: RFC 1812, section 4.3.2.5 */
	CODE_PROHIBITED4 = 13,
	CODE_PROHIBITED6 = 1,
	CODE_FRAGMENTATION_NEEDED = 4,
	CODE_UNREACHABLE4 = 1,
	CODE_UNREACHABLE6 = 3,
	WORD_SIZE = 4,
};

static void store_csum(uint8_t *at, uint64_t sum)
{
	uint16_t field = (uint16_t)~cksum_fold(sum);

	memcpy(at, &field, sizeof(field));
}

/* Begin an answer: the IP header. Returns the bytes of it. */
static uint32_t put_ip(struct buf *out, uint8_t version, uint8_t proto, const uint8_t *src,
		       const uint8_t *dst, uint32_t l4_size)
{
	uint8_t *ip = out->data;

	memset(&out->offload, 0, sizeof(out->offload));
	if (version == 6) {
		memset(ip, 0, IP6_SIZE);
		ip[0] = 0x60;
		wire_put16(ip + IP6_PAYLOAD, (uint16_t)l4_size);
		ip[IP6_NEXT] = proto;
		ip[IP6_HOPS] = HOPS;
		memcpy(ip + IP6_SRC, src, 16);
		memcpy(ip + IP6_DST, dst, 16);
		out->len = IP6_SIZE + l4_size;
		return IP6_SIZE;
	}
	memset(ip, 0, IP4_SIZE);
	ip[0] = 0x45;
	ip[1] = proto == PROTO_ICMP ? TOS_CONTROL : 0;
	wire_put16(ip + IP4_TOTAL, (uint16_t)(IP4_SIZE + l4_size));
	if (proto == PROTO_TCP)
		wire_put16(ip + IP4_FRAGMENT, 0x4000); /* atomic, so identification 0 will do */
	ip[IP4_TTL] = HOPS;
	ip[IP4_PROTO] = proto;
	memcpy(ip + IP4_SRC, src, 4);
	memcpy(ip + IP4_DST, dst, 4);
	store_csum(ip + IP4_CSUM, cksum_add(0, ip, IP4_SIZE));
	out->len = IP4_SIZE + l4_size;
	return IP4_SIZE;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
	uint8_t any = 0;

	for (size_t i = 0; i < size; i++)
		any |= bytes[i];
	return any == 0;
}

/* Whether a source stands for one host elsewhere (RFC 1122, section 3.2.2; RFC 4443, 2.4 e.6). */
static bool is_host_source(const struct flow_key *key)
{
	if (key->version == 4)
		return !is_zero(key->src, 4) && key->src[0] != 127 && key->src[0] < 224;
	return !is_zero(key->src, 16) && key->src[0] != 0xff &&
	       !(is_zero(key->src, 15) && key->src[15] == 1);
}

static bool is_group(const struct flow_key *key)
{
	static const uint8_t broadcast[4] = {255, 255, 255, 255};

	if (key->version == 6)
		return key->dst[0] == 0xff;
	return (key->dst[0] & 0xf0) == 0xe0 || memcmp(key->dst, broadcast, 4) == 0;
}

/* Errors and redirects, parsed as PACKET_ICMP_ERROR or not: never to be answered by an error. */
static bool is_icmp_error(const struct packet *packet)
{
	uint8_t type = packet->icmp_type;

	if (packet->kind == PACKET_ICMP_ERROR)
		return true;
	if (packet->kind != PACKET_OTHER)
		return false;
	if (packet->key.version == 4 && packet->key.proto == PROTO_ICMP)
		return type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT;
	if (packet->key.version == 6 && packet->key.proto == PROTO_ICMP6)
		return type < ICMP6_ECHO || type == ICMP6_REDIRECT;
	return false;
}

static bool is_tcp(const struct packet *packet)
{
	return packet->kind == PACKET_TRANSPORT && packet->key.proto == PROTO_TCP;
}

static bool is_reset(const struct packet *packet)
{
	return is_tcp(packet) && (packet->tcp_flags & TCP_RST);
}

static bool is_answerable(const struct packet *packet)
{
	return packet->kind != PACKET_FRAGMENT && !is_icmp_error(packet) && !is_reset(packet) &&
	       !is_group(&packet->key) && is_host_source(&packet->key);
}

struct reset {
	const uint8_t *src;
	const uint8_t *dst;
	uint16_t src_port;
	uint16_t dst_port;
	uint32_t seq;
	uint32_t ack; /* with TCP_ACK */
	uint8_t flags;
};

static void put_reset(struct buf *out, uint8_t version, const struct reset *reset)
{
	uint32_t at = put_ip(out, version, PROTO_TCP, reset->src, reset->dst, TCP_SIZE);
	uint8_t *tcp = out->data + at;
	uint64_t sum;

	memset(tcp, 0, TCP_SIZE);
	wire_put16(tcp, reset->src_port);
	wire_put16(tcp + 2, reset->dst_port);
	wire_put32(tcp + TCP_SEQ, reset->seq);
	wire_put32(tcp + TCP_ACKED, reset->ack);
	tcp[TCP_OFFSET] = TCP_SIZE / WORD_SIZE << 4;
	tcp[TCP_FLAGS] = reset->flags;
	sum = cksum_pseudo(version, reset->src, reset->dst, PROTO_TCP, TCP_SIZE);
	store_csum(tcp + TCP_CSUM, cksum_add(sum, tcp, TCP_SIZE));
}

/* The reset that goes back to the sender of a segment: RFC 9293, section 3.5.2, group 1. */
static void put_reset_back(const struct packet *packet, struct buf *out)
{
	const struct flow_key *key = &packet->key;
	const uint8_t *tcp = packet->buf->data + packet->l4_offset;
	uint8_t flags = packet->tcp_flags;
	struct reset reset = {
		.src = key->dst,
		.dst = key->src,
		.src_port = key->dst_port,
		.dst_port = key->src_port,
		.flags = TCP_RST,
	};

	if (flags & TCP_ACK) {
		reset.seq = wire_get32(tcp + TCP_ACKED);
	} else {
		reset.ack = wire_get32(tcp + TCP_SEQ) + (packet->buf->len - packet->payload);
		reset.ack += (flags & TCP_SYN) ? 1 : 0;
		reset.ack += (flags & TCP_FIN) ? 1 : 0;
		reset.flags |= TCP_ACK;
	}
	put_reset(out, key->version, &reset);
}

/* The reset that takes the place of a segment, towards its receiver. */
static void put_reset_on(const struct packet *packet, struct buf *out)
{
	const struct flow_key *key = &packet->key;
	const uint8_t *tcp = packet->buf->data + packet->l4_offset;
	struct reset reset = {
		.src = key->src,
		.dst = key->dst,
		.src_port = key->src_port,
		.dst_port = key->dst_port,
		.seq = wire_get32(tcp + TCP_SEQ),
		.flags = TCP_RST,
	};

	if (packet->tcp_flags & TCP_ACK) {
		reset.ack = wire_get32(tcp + TCP_ACKED);
		reset.flags |= TCP_ACK;
	}
	put_reset(out, key->version, &reset);
}

/*
 * Copy the head of a packet as its sender would know it. A checksum left to offload is completed,
 * but not that of a super-packet: its segments never were.
 */
static void put_quote(const struct packet *packet, uint8_t *at, uint32_t size)
{
	const struct buf *buf = packet->buf;
	uint32_t start = buf->offload.csum_start;
	uint32_t field_at = start + buf->offload.csum_offset;
	uint16_t field;

	memcpy(at, buf->data, size);
	if (!(buf->offload.flags & OFFLOAD_NEEDS_CSUM) ||
	    buf->offload.gso_type != OFFLOAD_GSO_NONE || field_at + 2 > size)
		return;
	field = (uint16_t)~cksum_fold(cksum_add(0, buf->data + start, buf->len - start));
	if (field == 0 && packet->key.proto == PROTO_UDP)
		field = 0xffff;
	memcpy(at + field_at, &field, sizeof(field));
}

/* word: the 4 bytes before the quote, host byte order */
static void put_icmp(const struct packet *packet, const uint8_t *from, uint8_t type, uint8_t code,
		     uint32_t word, struct buf *out)
{
	const struct flow_key *key = &packet->key;
	uint8_t proto = key->version == 4 ? PROTO_ICMP : PROTO_ICMP6;
	uint32_t room = key->version == 4 ? QUOTE4_MAX - IP4_SIZE : QUOTE6_MAX - IP6_SIZE;
	uint32_t quote = packet->buf->len;
	uint64_t sum = 0;
	uint8_t *icmp;

	if (quote > room - ICMP_SIZE)
		quote = room - ICMP_SIZE;
	if (!from)
		from = key->dst;
	icmp = out->data + put_ip(out, key->version, proto, from, key->src, ICMP_SIZE + quote);
	memset(icmp, 0, ICMP_SIZE);
	icmp[0] = type;
	icmp[1] = code;
	wire_put32(icmp + 4, word);
	put_quote(packet, icmp + ICMP_SIZE, quote);
	if (key->version == 6)
		sum = cksum_pseudo(6, from, key->src, proto, ICMP_SIZE + quote);
	store_csum(icmp + ICMP_CSUM, cksum_add(sum, icmp, ICMP_SIZE + quote));
}

bool reject_prohibited(const struct packet *packet, const uint8_t *from, struct buf *out)
{
	if (!is_answerable(packet))
		return false;
	if (packet->key.version == 4)
		put_icmp(packet, from, ICMP_UNREACHABLE, CODE_PROHIBITED4, 0, out);
	else
		put_icmp(packet, from, ICMP6_UNREACHABLE, CODE_PROHIBITED6, 0, out);
	return true;
}

bool reject_unreachable(const struct packet *packet, const uint8_t *from, struct buf *out)
{
	if (!is_answerable(packet))
		return false;
	if (packet->key.version == 4)
		put_icmp(packet, from, ICMP_UNREACHABLE, CODE_UNREACHABLE4, 0, out);
	else
		put_icmp(packet, from, ICMP6_UNREACHABLE, CODE_UNREACHABLE6, 0, out);
	return true;
}

bool reject_build(const struct packet *packet, const uint8_t *from, struct buf *out)
{
	if (!is_tcp(packet))
		return reject_prohibited(packet, from, out);
	if (!is_answerable(packet))
		return false;
	put_reset_back(packet, out);
	return true;
}

bool reject_too_big(const struct packet *packet, const uint8_t *from, unsigned mtu, struct buf *out)
{
	if (!is_answerable(packet))
		return false;
	if (packet->key.version == 6) {
		put_icmp(packet, from, ICMP6_TOO_BIG, 0, mtu, out);
		return true;
	}
	if (mtu > UINT16_MAX)
		mtu = UINT16_MAX;
	put_icmp(packet, from, ICMP_UNREACHABLE, CODE_FRAGMENTATION_NEEDED, mtu, out);
	return true;
}

bool reject_time_exceeded(const struct packet *packet, const uint8_t *from, struct buf *out)
{
	if (!is_answerable(packet))
		return false;
	if (packet->key.version == 4)
		put_icmp(packet, from, ICMP_TIME_EXCEEDED, 0, 0, out);
	else
		put_icmp(packet, from, ICMP6_TIME_EXCEEDED, 0, 0, out);
	return true;
}

bool reject_reset_inner(const struct packet *packet, bool outbound, struct buf *out)
{
	if (!is_tcp(packet) || is_reset(packet))
		return false;
	if (outbound)
		put_reset_back(packet, out);
	else
		put_reset_on(packet, out);
	return true;
}
