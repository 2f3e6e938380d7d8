/* dataplane/packet.h: what is read, what is refused and why. */
#include "dataplane/packet.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "tests/model/packet_props.h"
#include "tests/model/packets.h"

TestSuite(dataplane_packet);

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static uint8_t data[BUF_SIZE];

/* Parse a copy of just len bytes, where AddressSanitizer sees a read past the end. */
static enum reason parse_exact(const struct buf *buf, struct packet *packet)
{
	struct buf copy = *buf;
	enum reason reason;

	copy.data = malloc(buf->len > 0 ? buf->len : 1);
	cr_assert(copy.data != NULL);
	memcpy(copy.data, buf->data, buf->len);
	reason = packet_parse(&copy, packet);
	free(copy.data);
	return reason;
}

struct read_case {
	const char *name;
	struct packets_spec spec;
	enum packet_kind kind;
	uint16_t l4_offset;
	uint16_t payload;
	uint16_t src_port;
	uint16_t dst_port;
};

static const struct read_case reads[] = {
	{"TCP4",
	 {.version = 4, .proto = 6, .src_port = 1, .dst_port = 65535},
	 PACKET_TRANSPORT,
	 20,
	 40,
	 1,
	 65535},
	{"TCP4 with options",
	 {.version = 4, .proto = 6, .src_port = 9, .ip_options = 40, .tcp_options = 40},
	 PACKET_TRANSPORT,
	 60,
	 120,
	 9,
	 0},
	{"TCP6",
	 {.version = 6, .proto = 6, .src_port = 1, .dst_port = 2, .payload = 5},
	 PACKET_TRANSPORT,
	 40,
	 60,
	 1,
	 2},
	{"UDP4", {.version = 4, .proto = 17, .dst_port = 53}, PACKET_TRANSPORT, 20, 28, 0, 53},
	{"UDP6, extension headers",
	 {.version = 6, .proto = 17, .dst_port = 53, .ext = {0, 60, 43, 44}, .ext_count = 4},
	 PACKET_TRANSPORT,
	 72,
	 80,
	 0,
	 53},
	{"8 extension headers",
	 {.version = 6, .proto = 17, .ext = {0, 60, 60, 60, 60, 60, 60, 60}, .ext_count = 8},
	 PACKET_TRANSPORT,
	 104,
	 112,
	 0,
	 0},
	{"echo request 4",
	 {.version = 4, .proto = 1, .icmp_type = 8, .src_port = 77, .dst_port = 5},
	 PACKET_TRANSPORT,
	 20,
	 28,
	 77,
	 77},
	{"echo reply 4",
	 {.version = 4, .proto = 1, .icmp_type = 0, .src_port = 77},
	 PACKET_TRANSPORT,
	 20,
	 28,
	 77,
	 77},
	{"echo request 6",
	 {.version = 6, .proto = 58, .icmp_type = 128, .src_port = 77},
	 PACKET_TRANSPORT,
	 40,
	 48,
	 77,
	 77},
	{"echo reply 6",
	 {.version = 6, .proto = 58, .icmp_type = 129, .src_port = 77},
	 PACKET_TRANSPORT,
	 40,
	 48,
	 77,
	 77},
	{"unreachable 4",
	 {.version = 4, .proto = 1, .icmp_type = 3, .src_port = 77},
	 PACKET_ICMP_ERROR,
	 20,
	 28,
	 0,
	 0},
	{"time exceeded 4",
	 {.version = 4, .proto = 1, .icmp_type = 11},
	 PACKET_ICMP_ERROR,
	 20,
	 28,
	 0,
	 0},
	{"parameter 4",
	 {.version = 4, .proto = 1, .icmp_type = 12},
	 PACKET_ICMP_ERROR,
	 20,
	 28,
	 0,
	 0},
	{"source quench", {.version = 4, .proto = 1, .icmp_type = 4}, PACKET_OTHER, 20, 28, 0, 0},
	{"redirect", {.version = 4, .proto = 1, .icmp_type = 5}, PACKET_OTHER, 20, 28, 0, 0},
	{"timestamp",
	 {.version = 4, .proto = 1, .icmp_type = 13, .src_port = 77},
	 PACKET_OTHER,
	 20,
	 28,
	 0,
	 0},
	{"unreachable 6",
	 {.version = 6, .proto = 58, .icmp_type = 1},
	 PACKET_ICMP_ERROR,
	 40,
	 48,
	 0,
	 0},
	{"too big 6", {.version = 6, .proto = 58, .icmp_type = 2}, PACKET_ICMP_ERROR, 40, 48, 0, 0},
	{"time exceeded 6",
	 {.version = 6, .proto = 58, .icmp_type = 3},
	 PACKET_ICMP_ERROR,
	 40,
	 48,
	 0,
	 0},
	{"parameter 6",
	 {.version = 6, .proto = 58, .icmp_type = 4},
	 PACKET_ICMP_ERROR,
	 40,
	 48,
	 0,
	 0},
	{"unknown error 6",
	 {.version = 6, .proto = 58, .icmp_type = 5},
	 PACKET_OTHER,
	 40,
	 48,
	 0,
	 0},
	{"neighbour 6", {.version = 6, .proto = 58, .icmp_type = 135}, PACKET_OTHER, 40, 48, 0, 0},
	{"ICMP in 6", {.version = 6, .proto = 1, .payload = 8}, PACKET_OTHER, 40, 40, 0, 0},
	{"ICMPv6 in 4", {.version = 4, .proto = 58, .payload = 8}, PACKET_OTHER, 20, 20, 0, 0},
	{"GRE", {.version = 4, .proto = 47, .payload = 1}, PACKET_OTHER, 20, 20, 0, 0},
	{"nothing in GRE", {.version = 4, .proto = 47}, PACKET_OTHER, 20, 20, 0, 0},
	{"AH", {.version = 6, .proto = 51, .payload = 24}, PACKET_OTHER, 40, 40, 0, 0},
	{"no next header", {.version = 6, .proto = 59}, PACKET_OTHER, 40, 40, 0, 0},
};

Test(dataplane_packet, reads)
{
	for (size_t i = 0; i < COUNT(reads); i++) {
		const struct read_case *c = &reads[i];
		struct buf buf = {.data = data};
		struct flow_key key = {.version = c->spec.version,
				       .proto = c->spec.proto,
				       .src_port = c->src_port,
				       .dst_port = c->dst_port};
		bool v4 = c->spec.version == 4;
		struct packet p;
		enum reason got;

		packets_build(&c->spec, &buf);
		memcpy(key.src, data + (v4 ? 12 : 8), v4 ? 4 : 16);
		memcpy(key.dst, data + (v4 ? 16 : 24), v4 ? 4 : 16);
		got = packet_parse(&buf, &p);
		cr_assert(got == REASON_NONE, "%s: %s", c->name, reason_name(got));
		cr_expect(p.kind == c->kind, "%s: kind %d, want %d", c->name, p.kind, c->kind);
		cr_expect(p.l4_offset == c->l4_offset, "%s: l4_offset %u, want %u", c->name,
			  p.l4_offset, c->l4_offset);
		cr_expect(p.payload == c->payload, "%s: payload %u, want %u", c->name, p.payload,
			  c->payload);
		cr_expect(memcmp(&p.key, &key, sizeof(key)) == 0, "%s: key (ports %u, %u)", c->name,
			  p.key.src_port, p.key.dst_port);
		cr_expect(p.buf == &buf && buf.offload.hdr_len == c->payload, "%s", c->name);
		cr_expect(packet_segments(&p) == 1 && !p.first_fragment, "%s", c->name);
		cr_expect(p.dont_fragment == !v4, "%s", c->name);
	}
}

Test(dataplane_packet, fields_besides_the_key)
{
	struct packets_spec spec = {.version = 4,
				    .proto = PROTO_TCP,
				    .tcp_flags = TCP_SYN | TCP_ACK,
				    .dont_fragment = true,
				    .id = 0x1234};
	struct buf buf = {.data = data};
	struct addr addr;
	struct packet p;

	packets_build(&spec, &buf);
	cr_assert(packet_parse(&buf, &p) == REASON_NONE);
	cr_expect(p.tcp_flags == (TCP_SYN | TCP_ACK));
	cr_expect(p.dont_fragment);
	cr_expect(p.fragment_id == 0);
	addr = key_src(&p.key);
	cr_expect(addr.version == 4 && addr.v4 == 0xc0000201, "%x", addr.v4);
	addr = key_dst(&p.key);
	cr_expect(addr.version == 4 && addr.v4 == 0xc6336402, "%x", addr.v4);

	spec = (struct packets_spec){.version = 6, .proto = PROTO_ICMP6, .icmp_type = 129};
	packets_build(&spec, &buf);
	cr_assert(packet_parse(&buf, &p) == REASON_NONE);
	cr_expect(p.icmp_type == 129);
	addr = key_dst(&p.key);
	cr_expect(addr.version == 6 && addr.v6.hi == 0x20010db800010000 && addr.v6.lo == 2);
}

/* One change of a right packet. */
struct bad_case {
	const char *name;
	struct packets_spec spec;
	unsigned at;
	unsigned size; /* bytes of value, in network order */
	uint32_t value;
	enum reason want;
};

static const struct bad_case bads[] = {
	{"version 5", {.version = 4, .proto = 17}, 0, 1, 0x55, REASON_MALFORMED},
	{"version 0", {.version = 6, .proto = 17}, 0, 1, 0x00, REASON_MALFORMED},
	{"IHL 4", {.version = 4, .proto = 17}, 0, 1, 0x44, REASON_MALFORMED},
	{"IHL past the packet", {.version = 4, .proto = 17}, 0, 1, 0x4f, REASON_MALFORMED},
	{"total 0", {.version = 4, .proto = 17}, 2, 2, 0, REASON_MALFORMED},
	{"total within the header", {.version = 4, .proto = 47}, 2, 2, 19, REASON_MALFORMED},
	{"total past the packet", {.version = 4, .proto = 17}, 2, 2, 29, REASON_MALFORMED},
	{"LSRR", {.version = 4, .proto = 17, .ip_options = 8}, 20, 4, 0x83070400, REASON_PROTOCOL},
	{"SSRR", {.version = 4, .proto = 17, .ip_options = 8}, 21, 3, 0x890704, REASON_PROTOCOL},
	{"option past the header",
	 {.version = 4, .proto = 17, .ip_options = 4},
	 20,
	 2,
	 0x0705,
	 REASON_MALFORMED},
	{"option of no length",
	 {.version = 4, .proto = 17, .ip_options = 4},
	 20,
	 2,
	 0x0700,
	 REASON_MALFORMED},
	{"option without length",
	 {.version = 4, .proto = 17, .ip_options = 4},
	 23,
	 1,
	 0x07,
	 REASON_MALFORMED},
	{"option that fits",
	 {.version = 4, .proto = 17, .ip_options = 4},
	 20,
	 2,
	 0x0704,
	 REASON_NONE},
	{"LSRR past the end of options",
	 {.version = 4, .proto = 17, .ip_options = 8},
	 20,
	 2,
	 0x0083,
	 REASON_NONE},
	{"payload past the packet", {.version = 6, .proto = 17}, 4, 2, 9, REASON_MALFORMED},
	{"payload 0", {.version = 6, .proto = 17}, 4, 2, 0, REASON_MALFORMED},
	{"jumbo",
	 {.version = 6, .proto = 17, .ext = {0}, .ext_count = 1},
	 4,
	 2,
	 0,
	 REASON_MALFORMED},
	{"hop-by-hop second",
	 {.version = 6, .proto = 17, .ext = {60, 60}, .ext_count = 2},
	 40,
	 1,
	 0,
	 REASON_MALFORMED},
	{"9 extension headers",
	 {.version = 6, .proto = 17, .ext = {0, 60, 60, 60, 60, 60, 60, 60, 60}, .ext_count = 9},
	 6,
	 1,
	 0,
	 REASON_MALFORMED},
	{"extension header past the packet",
	 {.version = 6, .proto = 17, .ext = {60}, .ext_count = 1},
	 41,
	 1,
	 2,
	 REASON_MALFORMED},
	{"extension headers of 1024 bytes",
	 {.version = 6, .proto = 17, .ext = {60}, .ext_count = 1, .payload = 2000},
	 40,
	 2,
	 59 << 8 | 127,
	 REASON_NONE},
	{"extension headers of 1032 bytes",
	 {.version = 6, .proto = 17, .ext = {60}, .ext_count = 1, .payload = 2000},
	 40,
	 2,
	 59 << 8 | 128,
	 REASON_MALFORMED},
	{"routing to go",
	 {.version = 6, .proto = 17, .ext = {43}, .ext_count = 1},
	 43,
	 1,
	 1,
	 REASON_PROTOCOL},
	{"two fragment headers",
	 {.version = 6, .proto = 17, .ext = {44, 44}, .ext_count = 2},
	 6,
	 1,
	 44,
	 REASON_MALFORMED},
	{"doff 4", {.version = 4, .proto = 6, .payload = 40}, 32, 1, 0x40, REASON_MALFORMED},
	{"doff past the packet", {.version = 4, .proto = 6}, 32, 1, 0x60, REASON_MALFORMED},
	{"UDP length 7", {.version = 4, .proto = 17}, 24, 2, 7, REASON_MALFORMED},
	{"UDP length past the packet", {.version = 6, .proto = 17}, 44, 2, 9, REASON_MALFORMED},
	{"UDP length short", {.version = 6, .proto = 17, .payload = 9}, 44, 2, 8, REASON_NONE},
	{"TCP cut", {.version = 4, .proto = 47, .payload = 19}, 9, 1, 6, REASON_MALFORMED},
	{"UDP cut", {.version = 4, .proto = 47, .payload = 7}, 9, 1, 17, REASON_MALFORMED},
	{"ICMP cut", {.version = 4, .proto = 47, .payload = 7}, 9, 1, 1, REASON_MALFORMED},
	{"ICMPv6 cut", {.version = 6, .proto = 59, .payload = 7}, 6, 1, 58, REASON_MALFORMED},
};

Test(dataplane_packet, refuses)
{
	for (size_t i = 0; i < COUNT(bads); i++) {
		const struct bad_case *c = &bads[i];
		struct buf buf = {.data = data};
		struct packet p;
		enum reason got;

		packets_build(&c->spec, &buf);
		for (unsigned j = 0; j < c->size; j++)
			data[c->at + j] = (uint8_t)(c->value >> (8 * (c->size - 1 - j)));
		packets_fix_ip(&buf);
		got = parse_exact(&buf, &p);
		cr_expect(got == c->want, "%s: %s, want %s", c->name, reason_name(got),
			  reason_name(c->want));
	}
}

Test(dataplane_packet, refuses_any_wrong_ip_checksum)
{
	struct packets_spec spec = {.version = 4, .proto = PROTO_UDP, .ip_options = 8};
	struct buf buf = {.data = data};
	struct packet p;

	packets_build(&spec, &buf);
	for (unsigned bit = 8 * 2; bit < 28 * 8; bit++) {
		enum reason got;

		if (bit / 8 == 2 || bit / 8 == 3)
			continue; /* the length is looked at first */
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		got = parse_exact(&buf, &p);
		cr_expect(got == REASON_BAD_CHECKSUM, "bit %u: %s", bit, reason_name(got));
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	cr_expect(parse_exact(&buf, &p) == REASON_NONE);
}

Test(dataplane_packet, refuses_every_cut)
{
	for (size_t i = 0; i < COUNT(reads); i++) {
		struct buf buf = {.data = data};
		struct packet p;
		uint32_t len;

		packets_build(&reads[i].spec, &buf);
		len = buf.len;
		for (buf.len = 0; buf.len < len; buf.len++) {
			enum reason got = parse_exact(&buf, &p);

			cr_expect(got == REASON_MALFORMED, "%s cut to %u: %s", reads[i].name,
				  buf.len, reason_name(got));
		}
	}
}

Test(dataplane_packet, cuts_what_follows_the_ip_length)
{
	for (size_t i = 0; i < COUNT(reads); i++) {
		struct buf buf = {.data = data};
		struct packet p;
		uint32_t len;

		packets_build(&reads[i].spec, &buf);
		len = buf.len;
		buf.len += 18; /* as short Ethernet frames have it */
		cr_assert(packet_parse(&buf, &p) == REASON_NONE, "%s", reads[i].name);
		cr_expect(buf.len == len, "%s: len %u, want %u", reads[i].name, buf.len, len);
		cr_expect(p.payload == reads[i].payload, "%s", reads[i].name);
	}
}

struct fragment_case {
	const char *name;
	struct packets_spec spec;
	enum reason want;
	enum packet_kind kind;
	bool first;
};

static const struct fragment_case fragments[] = {
	{"first UDP4",
	 {.version = 4, .proto = 17, .src_port = 7, .payload = 100, PACKETS_CUT(0, 64)},
	 REASON_NONE,
	 PACKET_TRANSPORT,
	 true},
	{"first UDP6",
	 {.version = 6, .proto = 17, .src_port = 7, .payload = 100, PACKETS_CUT(0, 64)},
	 REASON_NONE,
	 PACKET_TRANSPORT,
	 true},
	{"first TCP4, 24 bytes",
	 {.version = 4, .proto = 6, .src_port = 7, .payload = 100, PACKETS_CUT(0, 24)},
	 REASON_NONE,
	 PACKET_TRANSPORT,
	 true},
	{"first echo4",
	 {.version = 4,
	  .proto = 1,
	  .icmp_type = 8,
	  .src_port = 7,
	  .payload = 100,
	  PACKETS_CUT(0, 8)},
	 REASON_NONE,
	 PACKET_TRANSPORT,
	 true},
	{"middle 4",
	 {.version = 4, .proto = 17, .payload = 100, PACKETS_CUT(32, 64)},
	 REASON_NONE,
	 PACKET_FRAGMENT,
	 false},
	{"last 4",
	 {.version = 4, .proto = 17, .payload = 101, PACKETS_CUT(64, 0)},
	 REASON_NONE,
	 PACKET_FRAGMENT,
	 false},
	{"last 6",
	 {.version = 6, .proto = 17, .payload = 101, PACKETS_CUT(64, 0)},
	 REASON_NONE,
	 PACKET_FRAGMENT,
	 false},
	{"last 6, behind options",
	 {.version = 6,
	  .proto = 17,
	  .payload = 101,
	  .ext = {60},
	  .ext_count = 1,
	  PACKETS_CUT(64, 0)},
	 REASON_NONE,
	 PACKET_FRAGMENT,
	 false},
	{"last 6, of options",
	 {.version = 6, .proto = 60, .payload = 101, PACKETS_CUT(64, 0)},
	 REASON_NONE,
	 PACKET_FRAGMENT,
	 false},
	{"first GRE",
	 {.version = 4, .proto = 47, .payload = 100, PACKETS_CUT(0, 64)},
	 REASON_NONE,
	 PACKET_OTHER,
	 true},
	{"tiny TCP4",
	 {.version = 4, .proto = 6, .payload = 9, PACKETS_CUT(0, 16)},
	 REASON_MALFORMED,
	 0,
	 0},
	{"tiny TCP6",
	 {.version = 6, .proto = 6, .payload = 9, PACKETS_CUT(0, 16)},
	 REASON_MALFORMED,
	 0,
	 0},
	{"TCP options cut",
	 {.version = 4, .proto = 6, .tcp_options = 12, .payload = 9, PACKETS_CUT(0, 24)},
	 REASON_MALFORMED,
	 0,
	 0},
	{"overlapping TCP4",
	 {.version = 4, .proto = 6, .payload = 9, PACKETS_CUT(8, 0)},
	 REASON_MALFORMED,
	 0,
	 0},
	{"overlapping TCP6",
	 {.version = 6, .proto = 6, .payload = 9, PACKETS_CUT(16, 0)},
	 REASON_MALFORMED,
	 0,
	 0},
	{"second TCP4",
	 {.version = 4, .proto = 6, .payload = 9, PACKETS_CUT(24, 0)},
	 REASON_NONE,
	 PACKET_FRAGMENT,
	 false},
	{"not of 8 bytes",
	 {.version = 4, .proto = 17, .payload = 100, PACKETS_CUT(0, 60)},
	 REASON_MALFORMED,
	 0,
	 0},
	{"not of 8 bytes, 6",
	 {.version = 6, .proto = 17, .payload = 100, PACKETS_CUT(32, 60)},
	 REASON_MALFORMED,
	 0,
	 0},
};

Test(dataplane_packet, fragments)
{
	for (size_t i = 0; i < COUNT(fragments); i++) {
		const struct fragment_case *c = &fragments[i];
		struct buf buf = {.data = data};
		struct packet p;
		enum reason got;

		packets_build(&c->spec, &buf);
		got = packet_parse(&buf, &p);
		cr_assert(got == c->want, "%s: %s, want %s", c->name, reason_name(got),
			  reason_name(c->want));
		if (got != REASON_NONE)
			continue;
		cr_expect(p.kind == c->kind, "%s: kind %d, want %d", c->name, p.kind, c->kind);
		cr_expect(p.first_fragment == c->first, "%s: first", c->name);
		cr_expect(p.fragment_id == 0x1234, "%s: id %x", c->name, p.fragment_id);
		cr_expect(p.key.src_port == c->spec.src_port, "%s: port %u", c->name,
			  p.key.src_port);
	}
}

/* Offsets and lengths that would give a datagram of more than 65535 bytes, or of none. */
Test(dataplane_packet, refuses_impossible_fragments)
{
	static const struct {
		const char *name;
		uint16_t flags_offset;
		unsigned payload;
		enum reason want;
	} cases[] = {
		{"ping of death", 0x1fff, 8, REASON_MALFORMED},
		{"the last byte", 0x1fff, 7, REASON_NONE},
		{"empty", 0x0010, 0, REASON_MALFORMED},
		{"empty, more", 0x2000, 0, REASON_MALFORMED},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct packets_spec spec = {.version = 4, .proto = 47, .payload = cases[i].payload};
		struct buf buf = {.data = data};
		struct packet p;
		enum reason got;

		packets_build(&spec, &buf);
		data[6] = (uint8_t)(cases[i].flags_offset >> 8);
		data[7] = (uint8_t)cases[i].flags_offset;
		packets_fix_ip(&buf);
		got = packet_parse(&buf, &p);
		cr_expect(got == cases[i].want, "%s: %s, want %s", cases[i].name, reason_name(got),
			  reason_name(cases[i].want));
	}
}

/* Right packets are accepted and keep the properties of tests/model/packet_props.h. */
Test(dataplane_packet, random_packets_keep_the_properties)
{
	uint64_t seed = 2024;

	for (unsigned i = 0; i < 20000; i++) {
		struct buf buf = {.data = data};
		struct packets_spec spec;
		const char *wrong;
		struct packet p;
		enum reason got;

		packets_random(&seed, &spec);
		packets_build(&spec, &buf);
		got = packet_parse(&buf, &p);
		cr_assert(got == REASON_NONE, "%u: %s", i, reason_name(got));
		cr_assert(p.kind == PACKET_TRANSPORT, "%u", i);
		cr_assert(p.key.src_port == spec.src_port, "%u", i);
		wrong = packet_props_check(&buf);
		cr_assert(wrong == NULL, "%u: %s", i, wrong);
	}
}

/* Packets with a few bytes changed; most have their IP checksum put right. */
Test(dataplane_packet, damaged_packets_keep_the_properties)
{
	uint64_t seed = 1122;
	unsigned accepted = 0;

	for (unsigned i = 0; i < 200000; i++) {
		struct buf buf = {.data = data};
		struct packets_spec spec;
		const char *wrong;
		struct packet p;

		packets_random(&seed, &spec);
		spec.payload %= 100;
		packets_build(&spec, &buf);
		for (unsigned j = 0; j < 1 + i % 4; j++) {
			uint64_t r = packets_rand(&seed) >> 20;

			data[r % buf.len % 120] = (uint8_t)(r >> 32);
			if (r & 0x100000)
				((uint8_t *)&buf.offload)[(r >> 12) % 10] = (uint8_t)(r >> 24);
		}
		if (i % 8)
			packets_fix_ip(&buf);
		if (i % 16 == 1)
			buf.len = (uint32_t)(packets_rand(&seed) % (buf.len + 1));
		accepted += parse_exact(&buf, &p) == REASON_NONE;
		wrong = packet_props_check(&buf);
		cr_assert(wrong == NULL, "%u: %s", i, wrong);
	}
	cr_expect(accepted > 20000, "only %u packets were accepted", accepted);
}

Test(dataplane_packet, every_reason_has_a_name_and_a_text)
{
	for (int i = 0; i < REASON_COUNT; i++) {
		const char *name = reason_name((enum reason)i);

		cr_expect(strcmp(name, "unknown") != 0, "%d", i);
		cr_expect(strspn(name, "abcdefghijklmnopqrstuvwxyz_") == strlen(name), "%s", name);
		cr_expect(strlen(reason_text((enum reason)i)) > 10, "%s", name);
		for (int j = 0; j < i; j++)
			cr_expect(strcmp(name, reason_name((enum reason)j)) != 0, "%s", name);
	}
	cr_expect(strcmp(reason_name((enum reason) - 1), "unknown") == 0);
	cr_expect(strcmp(reason_name(REASON_COUNT), "unknown") == 0);
}
