/* See probe_packet.h. */
#include "tun/probe_packet.h"

#include <string.h>

#include "tun/tun.h"

enum {
	GSO_SIZE = 1001, /* odd, so that a sum that forgets the last byte is seen */
	GSO_LAST = 333,
	GSO_SEGMENTS = 4,

	IP4 = 20, /* bytes of headers */
	IP6 = 40,
	TCP = 20,
	UDP = 8,
	PROTO_TCP = 6,
	PROTO_UDP = 17,

	ID = 0x1234,
	SEQUENCE = 0x89abcdef,
	PORT_FROM = 0x2345,
	PORT_TO = 0x6789,
	PSH_ACK = 0x18,
	PSH = 0x08,
};

/* The fields of a packet that a probe made; what came from a kernel is only compared. */
struct shape {
	unsigned ip;      /* bytes of the IP header */
	unsigned headers; /* bytes up to the payload */
	bool v6;
	bool tcp;
};

static void put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void put32(uint8_t *p, uint32_t value)
{
	put16(p, value >> 16);
	put16(p + 2, value & 0xffff);
}

static uint32_t sum(uint32_t sum, const uint8_t *data, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	return sum;
}

static unsigned fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static struct shape shape_of(const uint8_t *packet)
{
	struct shape s = {.v6 = packet[0] >> 4 == 6};

	s.ip = s.v6 ? IP6 : IP4;
	s.tcp = packet[s.v6 ? 6 : 9] == PROTO_TCP;
	s.headers = s.ip + (s.tcp ? TCP : UDP);
	return s;
}

static uint32_t pseudo_sum(const struct shape *s, const uint8_t *packet, unsigned l4_len)
{
	const uint32_t first = l4_len + (s->tcp ? PROTO_TCP : PROTO_UDP);

	return s->v6 ? sum(first, packet + 8, 32) : sum(first, packet + 12, 8);
}

/* Write what depends on the length: of a packet, or of one of its segments. */
static void put_lengths(const struct shape *s, uint8_t *packet, unsigned len)
{
	if (s->v6)
		put16(packet + 4, len - IP6);
	else
		put16(packet + 2, len);
	if (!s->tcp)
		put16(packet + s->ip + 4, len - s->ip);
}

static void put_header4(uint8_t *p, uint8_t proto)
{
	/* 192.0.2.1 to 198.51.100.1, which are nobody's (RFC 5737). */
	static const uint8_t addresses[] = {192, 0, 2, 1, 198, 51, 100, 1};

	p[0] = 0x45;
	put16(p + 4, ID);
	p[8] = 64;
	p[9] = proto;
	memcpy(p + 12, addresses, sizeof(addresses));
}

static void put_header6(uint8_t *p, uint8_t proto)
{
	static const uint8_t network[] = {0x20, 0x01, 0x0d, 0xb8}; /* nobody's (RFC 3849) */

	p[0] = 0x60;
	p[6] = proto;
	p[7] = 64;
	memcpy(p + 8, network, sizeof(network));
	memcpy(p + 24, network, sizeof(network));
	p[23] = 1;
	p[39] = 2;
}

static uint8_t gso_type_of(unsigned offload)
{
	switch (offload) {
	case TUN_OFFLOAD_TSO4:
		return OFFLOAD_GSO_TCPV4;
	case TUN_OFFLOAD_TSO6:
		return OFFLOAD_GSO_TCPV6;
	case TUN_OFFLOAD_USO4:
	case TUN_OFFLOAD_USO6:
		return OFFLOAD_GSO_UDP_L4;
	default:
		return OFFLOAD_GSO_NONE;
	}
}

void probe_packet_make(unsigned offload, struct buf *out)
{
	const bool v6 = offload & (TUN_OFFLOAD_TSO6 | TUN_OFFLOAD_USO6);
	const bool tcp = offload & (TUN_OFFLOAD_TSO4 | TUN_OFFLOAD_TSO6);
	const uint8_t gso_type = gso_type_of(offload);
	uint8_t *p = out->data, *l4 = p + (v6 ? IP6 : IP4);
	struct shape s;

	memset(p, 0, PROBE_PACKET_MAX);
	(v6 ? put_header6 : put_header4)(p, tcp ? PROTO_TCP : PROTO_UDP);
	s = shape_of(p);
	put16(l4, PORT_FROM);
	put16(l4 + 2, PORT_TO);
	if (tcp) {
		put32(l4 + 4, SEQUENCE);
		l4[12] = TCP / 4 << 4;
		l4[13] = PSH_ACK;
		put16(l4 + 14, UINT16_MAX);
	}
	out->len = s.headers + GSO_LAST;
	if (gso_type != OFFLOAD_GSO_NONE)
		out->len += (GSO_SEGMENTS - 1) * GSO_SIZE;
	for (unsigned i = s.headers; i < out->len; i++)
		p[i] = (uint8_t)(i * 167 + i / 256);
	put_lengths(&s, p, out->len);
	if (!v6)
		put16(p + 10, ~fold(sum(0, p, IP4)) & 0xffff);
	out->offload = (struct offload){
		.flags = OFFLOAD_NEEDS_CSUM,
		.gso_type = gso_type,
		.hdr_len = (uint16_t)s.headers,
		.gso_size = gso_type == OFFLOAD_GSO_NONE ? 0 : GSO_SIZE,
		.csum_start = (uint16_t)s.ip,
		.csum_offset = tcp ? 16 : 6,
	};
	put16(l4 + out->offload.csum_offset, fold(pseudo_sum(&s, p, out->len - s.ip)));
}

unsigned probe_packet_segments(const struct buf *sent)
{
	return sent->offload.gso_type == OFFLOAD_GSO_NONE ? 1 : GSO_SEGMENTS;
}

bool probe_packet_is_ours(const struct buf *got)
{
	uint8_t ports[4];
	struct shape s;

	if (got->len < IP6 + UDP)
		return false;
	put16(ports, PORT_FROM);
	put16(ports + 2, PORT_TO);
	s = shape_of(got->data);
	return memcmp(got->data + s.ip, ports, sizeof(ports)) == 0;
}

bool probe_packet_is_whole(const struct buf *sent, const struct buf *got)
{
	const struct offload *a = &sent->offload, *b = &got->offload;

	return a->flags == b->flags && a->gso_type == b->gso_type && a->gso_size == b->gso_size &&
	       a->csum_start == b->csum_start && a->csum_offset == b->csum_offset &&
	       sent->len == got->len && memcmp(sent->data, got->data, got->len) == 0;
}

/* The headers that segment `index` must have; checksums are 0. */
static void expect_headers(const struct buf *sent, const struct shape *s, unsigned index,
			   unsigned len, uint8_t *out)
{
	memcpy(out, sent->data, s->headers);
	put_lengths(s, out, len);
	put16(out + s->ip + sent->offload.csum_offset, 0);
	if (!s->v6) {
		put16(out + 4, ID + index);
		put16(out + 10, 0);
	}
	if (!s->tcp)
		return;
	put32(out + s->ip + 4, SEQUENCE + index * GSO_SIZE);
	if (index + 1 < probe_packet_segments(sent))
		out[s->ip + 13] &= (uint8_t)~PSH;
}

bool probe_packet_is_segment(const struct buf *sent, unsigned index, const struct buf *got)
{
	const bool last = index + 1 == probe_packet_segments(sent);
	const unsigned payload = last ? GSO_LAST : GSO_SIZE;
	const struct shape s = shape_of(sent->data);
	const unsigned len = s.headers + payload, l4_len = len - s.ip;
	uint8_t expected[IP6 + TCP], headers[IP6 + TCP];

	if (got->len != len || (got->offload.flags & OFFLOAD_NEEDS_CSUM) ||
	    got->offload.gso_type != OFFLOAD_GSO_NONE)
		return false;
	expect_headers(sent, &s, index, len, expected);
	memcpy(headers, got->data, s.headers);
	put16(headers + s.ip + sent->offload.csum_offset, 0);
	if (!s.v6)
		put16(headers + 10, 0);
	if (memcmp(headers, expected, s.headers) != 0)
		return false;
	if (!s.v6 && fold(sum(0, got->data, IP4)) != 0xffff)
		return false;
	if (fold(sum(pseudo_sum(&s, got->data, l4_len), got->data + s.ip, l4_len)) != 0xffff)
		return false;
	return memcmp(got->data + s.headers, sent->data + s.headers + (size_t)index * GSO_SIZE,
		      payload) == 0;
}
