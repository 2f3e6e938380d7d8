/* See packets.h. Written for being plainly right: a byte, a word, a loop. */
#include "tests/model/packets.h"

#include <string.h>

enum {
	TCP = 6,
	UDP = 17,
	ICMP = 1,
	ICMP6 = 58,
	FRAGMENT = 44,
};

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] * 256 + at[1];
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value / 256);
	at[1] = (uint8_t)(value % 256);
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

uint64_t packets_rand(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 2685821657736338717ULL;
}

/* RFC 1071 word by word, each carry at once. */
static unsigned add_bytes(unsigned sum, const uint8_t *at, size_t size)
{
	for (size_t i = 0; i < size; i += 2) {
		sum += (unsigned)at[i] * 256 + (i + 1 < size ? at[i + 1] : 0);
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return sum;
}

static unsigned pseudo(const uint8_t *ip, unsigned proto, size_t length)
{
	uint8_t rest[8] = {0};
	unsigned sum;

	put32(rest, (uint32_t)length);
	rest[7] = (uint8_t)proto;
	if (ip[0] >> 4 == 4)
		sum = proto == ICMP ? 0 : add_bytes(0, ip + 12, 8);
	else
		sum = add_bytes(0, ip + 8, 32);
	return proto == ICMP && ip[0] >> 4 == 4 ? 0 : add_bytes(sum, rest, 8);
}

/* Where the transport header stands; past size where the headers are cut. */
static size_t find_l4(const uint8_t *ip, size_t size, unsigned *proto, bool *fragment)
{
	size_t at = 40;

	*fragment = false;
	if (ip[0] >> 4 == 4) {
		*proto = ip[9];
		*fragment = (get16(ip + 6) & 0x3fff) != 0;
		return (ip[0] & 15) * 4u;
	}
	*proto = ip[6];
	while (*proto == 0 || *proto == 43 || *proto == 60 || *proto == FRAGMENT) {
		bool later = false;
		bool fixed = *proto == FRAGMENT;

		if (at + 8 > size)
			return size + 1;
		if (fixed) {
			*fragment = (get16(ip + at + 2) & 0xfff9) != 0;
			later = (get16(ip + at + 2) & 0xfff8) != 0;
		}
		*proto = ip[at];
		at += fixed ? 8 : 8 + ip[at + 1] * 8u;
		if (later)
			break;
	}
	return at;
}

static bool has_csum(unsigned version, unsigned proto)
{
	return proto == TCP || proto == UDP || proto == (version == 4 ? ICMP : ICMP6);
}

static unsigned csum_at(unsigned proto)
{
	return proto == TCP ? 16 : proto == UDP ? 6 : 2;
}

/* Compute a checksum over bytes whose field is zero. */
static unsigned csum_of(unsigned sum, const uint8_t *at, size_t size)
{
	return 0xffff - add_bytes(sum, at, size);
}

static void put_ip_csum(uint8_t *ip)
{
	put16(ip + 10, 0);
	put16(ip + 10, csum_of(0, ip, (ip[0] & 15) * 4u));
}

static unsigned build_ip4(const struct packets_spec *spec, uint8_t *ip, unsigned l4_size)
{
	static const uint8_t src[4] = {192, 0, 2, 1};
	static const uint8_t dst[4] = {198, 51, 100, 2};
	static const uint8_t none[4];
	unsigned size = 20 + spec->ip_options;

	memset(ip, 0, 20);
	memset(ip + 20, 1, spec->ip_options);
	ip[0] = (uint8_t)(0x40 + size / 4);
	put16(ip + 2, size + l4_size);
	put16(ip + 4, spec->id);
	put16(ip + 6, spec->dont_fragment ? 0x4000 : 0);
	ip[8] = spec->ttl ? spec->ttl : 64;
	ip[9] = spec->proto;
	memcpy(ip + 12, memcmp(spec->src, none, 4) == 0 ? src : spec->src, 4);
	memcpy(ip + 16, memcmp(spec->dst, none, 4) == 0 ? dst : spec->dst, 4);
	put_ip_csum(ip);
	return size;
}

static unsigned build_ip6(const struct packets_spec *spec, uint8_t *ip, unsigned l4_size)
{
	static const uint8_t src[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
	static const uint8_t dst[16] = {0x20, 1, 0xd, 0xb8, 0, 1, [15] = 2};
	static const uint8_t none[16];
	unsigned size = 40 + 8 * spec->ext_count + spec->ext_more;
	uint8_t *next = ip + 6;

	memset(ip, 0, size);
	ip[0] = 0x60;
	put16(ip + 4, size - 40 + l4_size);
	ip[7] = spec->ttl ? spec->ttl : 64;
	memcpy(ip + 8, memcmp(spec->src, none, 16) == 0 ? src : spec->src, 16);
	memcpy(ip + 24, memcmp(spec->dst, none, 16) == 0 ? dst : spec->dst, 16);
	for (unsigned i = 0; i < spec->ext_count; i++) {
		*next = spec->ext[i];
		next = ip + 40 + 8 * i + (i > 0 ? spec->ext_more : 0);
		if (i == 0)
			next[1] = (uint8_t)(spec->ext_more / 8);
		if (spec->ext[i] == FRAGMENT)
			put32(next + 4, spec->id);
		else if (spec->ext[i] != 43)
			next[2] = 1, next[3] = 4; /* PadN */
	}
	*next = spec->proto;
	return size;
}

static unsigned header_size(const struct packets_spec *spec)
{
	if (spec->proto == TCP)
		return 20 + spec->tcp_options;
	return has_csum(spec->version, spec->proto) ? 8 : 0;
}

static void build_l4(const struct packets_spec *spec, uint8_t *l4, unsigned size)
{
	unsigned header = header_size(spec);

	memset(l4, 0, header);
	if (spec->proto == TCP || spec->proto == UDP) {
		put16(l4, spec->src_port);
		put16(l4 + 2, spec->dst_port);
	}
	if (spec->proto == TCP) {
		put32(l4 + 4, spec->seq);
		put32(l4 + 8, spec->ack);
		l4[12] = (uint8_t)(header / 4 * 16);
		l4[13] = spec->tcp_flags;
		put16(l4 + 14, 0x2000);
		memset(l4 + 20, 1, spec->tcp_options);
	} else if (spec->proto == UDP) {
		put16(l4 + 4, size);
	} else if (header) {
		l4[0] = spec->icmp_type;
		l4[1] = spec->icmp_code;
		put16(l4 + 4, spec->src_port);
		put16(l4 + 6, spec->dst_port);
	}
	for (unsigned i = 0; i < spec->payload; i++)
		l4[header + i] =
			spec->payload_bytes ? spec->payload_bytes[i] : (uint8_t)(i * 7 + i / 251);
}

static void build_csum(const struct packets_spec *spec, struct buf *buf, unsigned at, unsigned size)
{
	uint8_t *l4 = buf->data + at;
	uint8_t *field = l4 + csum_at(spec->proto);
	unsigned sum = pseudo(buf->data, spec->proto, size);

	if (spec->proto == UDP && spec->no_csum)
		return;
	if (spec->needs_csum) {
		put16(field, sum);
		buf->offload.flags = OFFLOAD_NEEDS_CSUM;
		buf->offload.csum_start = (uint16_t)at;
		buf->offload.csum_offset = (uint16_t)csum_at(spec->proto);
		return;
	}
	sum = csum_of(sum, l4, size);
	put16(field, sum == 0 && spec->proto == UDP ? 0xffff : sum);
}

/* Cut the fragment out of a whole datagram. */
static void cut(const struct packets_spec *spec, struct buf *buf, unsigned at)
{
	unsigned whole = buf->len - at;
	unsigned size = spec->fragment_size ? spec->fragment_size : whole - spec->fragment_from;
	unsigned more = spec->fragment_from + size < whole;
	unsigned head = spec->version == 6 ? 8 : 0;
	uint8_t *ip = buf->data;

	memmove(ip + at + head, ip + at + spec->fragment_from, size);
	buf->len = at + head + size;
	if (spec->version == 4) {
		put16(ip + 2, buf->len);
		put16(ip + 6, more * 0x2000 + spec->fragment_from / 8);
		put_ip_csum(ip);
		return;
	}
	put16(ip + 4, buf->len - 40);
	memset(ip + at, 0, 8);
	ip[at] = spec->proto;
	put16(ip + at + 2, spec->fragment_from + more);
	put32(ip + at + 4, spec->id);
	*(spec->ext_count ? ip + at - 8 : ip + 6) = FRAGMENT;
}

void packets_build(const struct packets_spec *spec, struct buf *buf)
{
	unsigned size = header_size(spec) + spec->payload;
	unsigned at;

	memset(&buf->offload, 0, sizeof(buf->offload));
	if (spec->version == 4)
		at = build_ip4(spec, buf->data, size);
	else
		at = build_ip6(spec, buf->data, size);
	buf->len = at + size;
	build_l4(spec, buf->data + at, size);
	if (has_csum(spec->version, spec->proto))
		build_csum(spec, buf, at, size);
	if (spec->gso_size) {
		buf->offload.gso_size = spec->gso_size;
		buf->offload.hdr_len = (uint16_t)(at + header_size(spec));
		if (spec->proto == UDP)
			buf->offload.gso_type = OFFLOAD_GSO_UDP_L4;
		else
			buf->offload.gso_type =
				spec->version == 4 ? OFFLOAD_GSO_TCPV4 : OFFLOAD_GSO_TCPV6;
	}
	if (spec->fragment)
		cut(spec, buf, at);
}

void packets_fix_ip(struct buf *buf)
{
	unsigned size = buf->len >= 20 && buf->data[0] >> 4 == 4 ? (buf->data[0] & 15) * 4u : 0;

	if (size >= 20 && size <= buf->len)
		put_ip_csum(buf->data);
}

unsigned packets_transport(const struct buf *buf, unsigned *proto, bool *fragment)
{
	bool ignored;

	return (unsigned)find_l4(buf->data, buf->len, proto, fragment ? fragment : &ignored);
}

void packets_fix(struct buf *buf)
{
	unsigned proto, sum;
	bool fragment, v4 = buf->len > 0 && buf->data[0] >> 4 == 4;
	uint8_t *field;
	size_t at;

	packets_fix_ip(buf);
	if (buf->len < (v4 ? 20 : 40))
		return;
	at = find_l4(buf->data, buf->len, &proto, &fragment);
	if (at > buf->len || fragment || (buf->offload.flags & OFFLOAD_NEEDS_CSUM) ||
	    !has_csum(v4 ? 4 : 6, proto) || buf->len - at < (proto == TCP ? 20 : 8))
		return;
	field = buf->data + at + csum_at(proto);
	if (proto == UDP && v4 && get16(field) == 0)
		return;
	put16(field, 0);
	sum = csum_of(pseudo(buf->data, proto, buf->len - at), buf->data + at, buf->len - at);
	put16(field, sum == 0 && proto == UDP ? 0xffff : sum);
}

static void random_bytes(uint64_t *seed, uint8_t *out, size_t size)
{
	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(packets_rand(seed) >> 32);
}

static unsigned random_below(uint64_t *seed, unsigned limit)
{
	return (unsigned)((packets_rand(seed) >> 32) % limit);
}

void packets_random(uint64_t *seed, struct packets_spec *spec)
{
	static const uint8_t exts[] = {43, 60, FRAGMENT};
	unsigned kind = random_below(seed, 3);

	memset(spec, 0, sizeof(*spec));
	spec->version = random_below(seed, 2) ? 4 : 6;
	spec->proto = kind == 0 ? TCP : kind == 1 ? UDP : spec->version == 4 ? ICMP : ICMP6;
	random_bytes(seed, spec->src, spec->version == 4 ? 4 : 16);
	random_bytes(seed, spec->dst, spec->version == 4 ? 4 : 16);
	spec->ttl = (uint8_t)(2 + random_below(seed, 254));
	spec->id = (uint16_t)packets_rand(seed);
	spec->src_port = (uint16_t)packets_rand(seed);
	spec->dst_port = (uint16_t)packets_rand(seed);
	spec->seq = (uint32_t)packets_rand(seed);
	spec->ack = (uint32_t)packets_rand(seed);
	spec->tcp_flags = (uint8_t)random_below(seed, 64);
	spec->dont_fragment = random_below(seed, 2);
	if (kind == 2)
		spec->icmp_type = (uint8_t)((spec->version == 4 ? 0 : 128) +
					    random_below(seed, 2) * (spec->version == 4 ? 8 : 1));
	spec->payload = random_below(seed, random_below(seed, 20) == 0 ? 60000 : 300);
	spec->ip_options = spec->version == 4 ? 4 * random_below(seed, 4) : 0;
	spec->tcp_options = 4 * random_below(seed, 11);
	if (spec->version == 6 && random_below(seed, 3) == 0) {
		spec->ext_count = 1 + random_below(seed, 2);
		for (unsigned i = 0; i < spec->ext_count; i++)
			spec->ext[i] = exts[(random_below(seed, 3) + i) % 2 + (i == 0)];
	}
	spec->no_csum = kind == 1 && spec->version == 4 && random_below(seed, 8) == 0;
	spec->needs_csum = !spec->no_csum && random_below(seed, 2);
	if (spec->needs_csum && kind != 2 && random_below(seed, 2))
		spec->gso_size = (uint16_t)(1 + random_below(seed, 1500));
}

static const char *check_l4(const uint8_t *ip, size_t length, size_t at, unsigned proto,
			    bool partial)
{
	const uint8_t *l4 = ip + at;
	size_t size = length - at;
	unsigned field;
	unsigned sum;

	if (size < (proto == TCP ? 20 : 8))
		return "transport header cut";
	field = get16(l4 + csum_at(proto));
	if (proto == UDP && get16(l4 + 4) > size)
		return "UDP length";
	if (partial) {
		sum = pseudo(ip, proto, size);
		return field % 0xffff == sum % 0xffff ? NULL : "partial checksum";
	}
	if (proto == UDP && field == 0)
		return ip[0] >> 4 == 4 ? NULL : "no UDP checksum over IPv6";
	if (proto == UDP)
		size = get16(l4 + 4);
	sum = add_bytes(pseudo(ip, proto, size), l4, size);
	return sum == 0xffff ? NULL : "transport checksum";
}

/* quoted: the packet may be cut, and its transport header with it */
static const char *check_ip(const uint8_t *ip, size_t size, bool quoted, bool partial)
{
	bool v4 = size > 0 && ip[0] >> 4 == 4;
	bool fragment;
	unsigned proto;
	size_t length;
	size_t at;

	if (size < (v4 ? 20 : 40) || (v4 && (ip[0] & 15) * 4u > size))
		return "IP header cut";
	length = v4 ? get16(ip + 2) : 40 + get16(ip + 4);
	if (quoted ? length < size : length != size)
		return "IP length";
	if (v4 && add_bytes(0, ip, (ip[0] & 15) * 4u) != 0xffff)
		return "IP checksum";
	at = find_l4(ip, size, &proto, &fragment);
	if (at > size)
		return "IP header cut";
	if (length > size || fragment || !has_csum(v4 ? 4 : 6, proto))
		return NULL;
	return check_l4(ip, length, at, proto, partial);
}

const char *packets_check(const struct buf *buf)
{
	return check_ip(buf->data, buf->len, false, buf->offload.flags & OFFLOAD_NEEDS_CSUM);
}

const char *packets_check_quote(const struct buf *buf)
{
	unsigned proto;
	bool fragment;
	size_t at = find_l4(buf->data, buf->len, &proto, &fragment) + 8;

	if (at > buf->len || (proto != ICMP && proto != ICMP6))
		return "no quote";
	return check_ip(buf->data + at, buf->len - at, true, false);
}

/* Complete the checksum as hardware does: all from csum_start on, the field's sum included. */
static void complete(struct buf *buf, size_t at, unsigned proto)
{
	uint8_t *field = buf->data + at + csum_at(proto);
	unsigned csum = csum_of(0, buf->data + at, buf->len - at);

	put16(field, csum == 0 && proto == UDP ? 0xffff : csum);
	memset(&buf->offload, 0, sizeof(buf->offload));
}

static void fix_tcp(uint8_t *tcp, unsigned i, unsigned mss, bool last)
{
	uint32_t seq = ((uint32_t)get16(tcp + 4) << 16) + get16(tcp + 6);

	put32(tcp + 4, seq + i * mss);
	if (!last)
		tcp[13] &= (uint8_t) ~(1 | 8); /* FIN and PSH go with the last */
	if (i > 0)
		tcp[13] &= (uint8_t)~0x80; /* CWR with the first */
}

bool packets_segment(const struct buf *buf, unsigned i, struct buf *out)
{
	unsigned mss = buf->offload.gso_size;
	uint8_t *ip = out->data;
	unsigned proto, at, head, payload, from, size, sum;
	bool fragment;

	at = (unsigned)find_l4(buf->data, buf->len, &proto, &fragment);
	if (buf->offload.gso_type == OFFLOAD_GSO_NONE) {
		memcpy(ip, buf->data, buf->len);
		out->len = buf->len;
		out->offload = buf->offload;
		if (i == 0 && (buf->offload.flags & OFFLOAD_NEEDS_CSUM))
			complete(out, at, proto);
		return i == 0;
	}
	head = at + (proto == UDP ? 8 : (buf->data[at + 12] >> 4) * 4u);
	payload = buf->len - head;
	from = i * mss;
	if (from >= payload)
		return false;
	size = payload - from < mss ? payload - from : mss;
	memcpy(ip, buf->data, head);
	memcpy(ip + head, buf->data + head + from, size);
	out->len = head + size;
	if (ip[0] >> 4 == 4) {
		put16(ip + 2, out->len);
		put16(ip + 4, (get16(ip + 4) + i) & 0xffff);
		put_ip_csum(ip);
	} else {
		put16(ip + 4, out->len - 40);
	}
	if (proto == TCP)
		fix_tcp(ip + at, i, mss, from + size == payload);
	else
		put16(ip + at + 4, out->len - at);
	/* The field holds the sum with the length of the whole: put the segment's in its place. */
	sum = get16(ip + at + csum_at(proto)) + (0xffff - (buf->len - at) % 0xffff) + out->len - at;
	put16(ip + at + csum_at(proto), sum % 0xffff);
	complete(out, at, proto);
	return true;
}
