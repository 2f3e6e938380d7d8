/* Packets that are longer than an egress takes, and what keeps TCP from sending them. */
#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/cksum.h"
#include "dataplane/packet.h"
#include "dataplane/rewrite.h"
#include "dataplane/wire.h"
#include "tests/dataplane/bench.h"

enum {
	MTU = 1300,
};

static const char *destination(uint8_t version)
{
	return version == 4 ? "198.51.100.7" : "2001:db8:51::9";
}

static struct packets_spec long_spec(uint8_t version, uint8_t proto, uint16_t gso_size)
{
	struct packets_spec spec =
		bench_spec(proto, version == 4 ? "10.0.0.2" : "fd00::2", destination(version));

	spec.payload = gso_size ? 5000 : 1400;
	spec.id = 77;
	if (proto == PROTO_TCP)
		spec.tcp_flags = TCP_ACK;
	if (gso_size) {
		spec.needs_csum = true;
		spec.gso_size = gso_size;
	}
	return spec;
}

/* What may not be cut: the sender learns how long it may be. */
Test(dataplane_too_big, is_answered_with_the_mtu)
{
	static const struct {
		uint8_t version, proto;
		uint16_t gso_size;
	} cases[] = {{4, PROTO_UDP, 0}, {4, PROTO_TCP, 1400}, {4, PROTO_UDP, 1400},
		     {6, PROTO_UDP, 0}, {6, PROTO_TCP, 1400}, {6, PROTO_UDP, 1400}};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packets_spec spec =
			long_spec(cases[i].version, cases[i].proto, cases[i].gso_size);
		const uint8_t *icmp;
		struct bench b;

		spec.dont_fragment = true;
		bench_open(&b, &(struct bench_options){.mtu = MTU});
		bench_send(&b, &spec);
		cr_assert_not(bench_take_nic(&b, BENCH_DIRECT), "case %u", i);
		cr_assert(bench_take_tun(&b), "case %u: no answer", i);
		icmp = b.out.data + b.packet.l4_offset;
		if (cases[i].version == 4)
			cr_expect(icmp[0] == 3 && icmp[1] == 4 && wire_get32(icmp + 4) == MTU);
		else
			cr_expect(icmp[0] == 2 && icmp[1] == 0 && wire_get32(icmp + 4) == MTU);
		cr_expect_gt(bench_drops(&b, REASON_TOO_BIG), 0);
		bench_close(&b);
	}
}

Test(dataplane_too_big, super_packets_of_short_segments_are_not)
{
	struct packets_spec spec = long_spec(4, PROTO_TCP, MTU - 40);
	struct bench b;

	spec.dont_fragment = true;
	bench_open(&b, &(struct bench_options){.mtu = MTU});
	bench_send(&b, &spec);
	cr_assert(bench_take_nic(&b, BENCH_DIRECT));
	cr_expect_eq(b.out.len, 5040);
	bench_close(&b);
}

/* Take a datagram's fragments, in order. Returns its bytes behind the IP header, in payload. */
static uint32_t take_datagram(struct bench *b, uint8_t *payload, uint16_t id)
{
	uint16_t fragment;
	uint32_t size = 0;

	do {
		cr_assert(bench_take_nic(b, BENCH_DIRECT), "not all of it came");
		cr_assert_leq(b->out.len, MTU);
		cr_assert(bench_is(b->packet.key.src, "192.0.2.1"));
		cr_assert_eq(wire_get16(b->out.data + IP4_ID), id);
		fragment = wire_get16(b->out.data + IP4_FRAGMENT);
		cr_assert_eq((fragment & 0x1fff) * 8u, size, "out of order");
		memcpy(payload + size, b->out.data + IP4_SIZE, b->out.len - IP4_SIZE);
		size += b->out.len - IP4_SIZE;
	} while (fragment & 0x2000);
	return size;
}

static void expect_csum(const struct bench *b, uint8_t proto, const uint8_t *l4, uint32_t size)
{
	const struct flow_key *k = &b->packet.key;
	uint64_t sum = cksum_pseudo(4, k->src, k->dst, proto, size);

	cr_assert_eq(cksum_fold(cksum_add(sum, l4, size)), 0xffff, "wrong checksum of the whole");
}

/* RFC 4787 REQ-13: in fragments, in order; segments of a super-packet one after another. */
Test(dataplane_too_big, is_cut_where_that_is_allowed)
{
	static const uint16_t gso_sizes[] = {0, 1400, 4000, 0};
	static const uint8_t protos[] = {PROTO_UDP, PROTO_TCP};
	uint8_t payload[8192];

	for (unsigned i = 0; i < 8; i++) {
		struct packets_spec spec = long_spec(4, protos[i % 2], gso_sizes[i / 2]);
		unsigned header = spec.proto == PROTO_TCP ? TCP_SIZE : UDP_SIZE;
		unsigned segment = spec.gso_size ? spec.gso_size : spec.payload;
		struct bench b;

		spec.needs_csum |= i >= 6;
		bench_open(&b, &(struct bench_options){.mtu = MTU});
		bench_send(&b, &spec);
		for (unsigned at = 0, n = 0; at < spec.payload; at += segment, n++) {
			unsigned left = spec.payload - at < segment ? spec.payload - at : segment;
			uint32_t size = take_datagram(&b, payload, (uint16_t)(spec.id + n));

			cr_assert_eq(size, header + left, "case %u: %u bytes", i, size);
			expect_csum(&b, spec.proto, payload, size);
			for (unsigned k = 0; k < left; k++)
				cr_assert_eq(payload[header + k],
					     (uint8_t)((at + k) * 7 + (at + k) / 251));
		}
		cr_expect_not(bench_take_nic(&b, BENCH_DIRECT));
		cr_expect_not(bench_take_tun(&b), "case %u: an answer, too", i);
		bench_close(&b);
	}
}

/* The system puts together what comes in fragments; if those must not be cut, the whole must. */
Test(dataplane_too_big, what_was_put_together_may_be_cut)
{
	for (unsigned long_one = 0; long_one < 2; long_one++) {
		struct packets_spec spec = long_spec(4, PROTO_UDP, 0);
		struct bench b;

		spec.payload = 100;
		bench_open(&b, &(struct bench_options){.mtu = MTU});
		bench_send(&b, &spec);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		spec = bench_answer(&b, 0);
		spec.dont_fragment = true;
		spec.payload = long_one ? MTU : 100;
		bench_receive(&b, BENCH_DIRECT, &spec);
		cr_assert(bench_take_tun(&b));
		cr_expect_eq(b.packet.dont_fragment, !long_one, "%u bytes", b.packet.buf->len);
		bench_close(&b);
	}
}

/*
 * Bursts that make more pieces than there is room for at once: by number, by bytes, and with
 * other packets between them.
 */
Test(dataplane_too_big, many_are_cut)
{
	static const struct {
		unsigned packets, every, payload;
		unsigned mtu;
		uint16_t gso_size;
	} bursts[] = {
		{55, 11, 39000, MTU, 0},
		{4, 1, 30000, 600, 0},
		{3, 1, 5 * 6372, MTU, 6372}, /* each fragment as long as can be */
	};
	uint8_t payload[BUF_SIZE];

	for (unsigned n = 0; n < sizeof(bursts) / sizeof(bursts[0]); n++) {
		struct packets_spec spec = long_spec(4, PROTO_UDP, bursts[n].gso_size);
		unsigned segments = spec.gso_size ? bursts[n].payload / spec.gso_size : 1;
		struct bench b;

		bench_open(&b, &(struct bench_options){.mtu = bursts[n].mtu});
		for (unsigned i = 0; i < bursts[n].packets; i++) {
			spec.id = (uint16_t)(i * segments);
			spec.payload = i % bursts[n].every ? 10 : bursts[n].payload;
			bench_queue(&b, &spec);
		}
		bench_turn(&b);
		for (unsigned i = 0; i < bursts[n].packets * segments; i++) {
			uint32_t want = i % bursts[n].every ? 18
					: spec.gso_size     ? spec.gso_size + 8u
							    : bursts[n].payload + 8;

			cr_assert_eq(take_datagram(&b, payload, (uint16_t)i), want, "packet %u", i);
			expect_csum(&b, PROTO_UDP, payload, want);
		}
		cr_expect_eq(bench_drops(&b, REASON_EGRESS_BUSY), 0);
		bench_close(&b);
	}
}

/* ---- Segment sizes ---- */

/* Options of a SYN, and the segment size that comes out where it was 1460. */
static const struct {
	const char *name;
	uint8_t options[12];
	unsigned size, at;
} syns[] = {
	{"first", {2, 4, 1460 >> 8, 1460 & 255}, 4, 2},
	{"last", {1, 1, 4, 2, 2, 4, 1460 >> 8, 1460 & 255}, 8, 6},
	{"at an odd byte", {1, 2, 4, 1460 >> 8, 1460 & 255, 1, 1, 1}, 8, 3},
	{"at the last odd byte", {3, 3, 7, 2, 4, 1460 >> 8, 1460 & 255, 0}, 8, 5},
};

enum { SYNS = sizeof(syns) / sizeof(syns[0]) };

static void build_syn(const struct packets_spec *from, unsigned i, struct buf *buf)
{
	struct packets_spec spec = *from;
	unsigned at = (spec.version == 4 ? IP4_SIZE : IP6_SIZE) + TCP_SIZE;
	struct packet p;

	spec.tcp_options = syns[i].size;
	spec.payload = 0;
	packets_build(&spec, buf);
	memcpy(buf->data + at, syns[i].options, syns[i].size);
	if (spec.needs_csum)
		return;
	cr_assert_eq(packet_parse(buf, &p), REASON_NONE);
	memset(buf->data + p.l4_offset + TCP_CSUM, 0, 2);
	uint16_t field = (uint16_t)~cksum_fold(
		cksum_add(cksum_pseudo(spec.version, p.key.src, p.key.dst, PROTO_TCP,
				       TCP_SIZE + spec.tcp_options),
			  buf->data + p.l4_offset, TCP_SIZE + spec.tcp_options));
	memcpy(buf->data + p.l4_offset + TCP_CSUM, &field, 2);
}

static unsigned mss_of(const struct bench *b, unsigned i)
{
	return wire_get16(b->out.data + b->packet.l4_offset + TCP_SIZE + syns[i].at);
}

/* Both ways, both families, with complete checksums and those left to offload. */
Test(dataplane_too_big, segment_sizes_fit_the_egress)
{
	for (unsigned n = 0; n < 8 * SYNS; n++) {
		unsigned i = n / 8, mtu = n & 1 ? MTU : 1500;
		uint8_t version = n & 2 ? 6 : 4;
		unsigned want = mtu - (version == 4 ? 40 : 60) < 1460
					? mtu - (version == 4 ? 40 : 60)
					: 1460;
		struct packets_spec spec = long_spec(version, PROTO_TCP, 0);
		uint8_t bytes[BUF_SIZE];
		struct buf buf = {.data = bytes};
		struct bench b;

		spec.tcp_flags = TCP_SYN;
		spec.needs_csum = n & 4;
		bench_open(&b, &(struct bench_options){.mtu = mtu});
		build_syn(&spec, i, &buf);
		bench_send_bytes(&b, &buf);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		cr_expect_eq(mss_of(&b, i), want, "%s, out: %u, not %u", syns[i].name,
			     mss_of(&b, i), want);
		spec = bench_answer(&b, TCP_SYN | TCP_ACK);
		spec.needs_csum = n & 4;
		build_syn(&spec, i, &buf);
		bench_receive_bytes(&b, BENCH_DIRECT, &buf);
		cr_assert(bench_take_tun(&b));
		cr_expect_eq(mss_of(&b, i), want, "%s, in: %u, not %u", syns[i].name, mss_of(&b, i),
			     want);
		bench_close(&b);
	}
}

/* Nothing but a SYN's is touched, and no options that are not there. */
Test(dataplane_too_big, other_options_are_left_alone)
{
	static const struct {
		uint8_t options[8];
		uint8_t flags;
	} cases[] = {
		{{2, 4, 5, 180, 0, 0, 0, 0}, TCP_ACK},   {{3, 4, 5, 180, 0, 0, 0, 0}, TCP_SYN},
		{{2, 3, 5, 180, 0, 0, 0, 0}, TCP_SYN},   {{2, 5, 255, 255, 0, 0, 0, 0}, TCP_SYN},
		{{0, 2, 4, 255, 255, 0, 0, 0}, TCP_SYN}, {{1, 1, 1, 1, 1, 1, 2, 4}, TCP_SYN},
		{{1, 1, 1, 1, 1, 2, 4, 255}, TCP_SYN},   {{8, 0, 2, 4, 255, 255, 0, 0}, TCP_SYN},
		{{1, 1, 1, 1, 1, 1, 1, 2}, TCP_SYN},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packets_spec spec = long_spec(4, PROTO_TCP, 0);
		uint8_t bytes[2048], before[2048];
		struct buf buf = {.data = bytes};
		struct packet p;

		spec.tcp_options = 8;
		spec.payload = 0;
		spec.tcp_flags = cases[i].flags;
		packets_build(&spec, &buf);
		memcpy(buf.data + 40, cases[i].options, 8);
		memcpy(before, buf.data, buf.len);
		cr_assert_eq(packet_parse(&buf, &p), REASON_NONE);
		rewrite_mss(&p, 500);
		cr_expect_arr_eq(before, buf.data, buf.len, "case %u", i);
	}
}

/* ---- Errors that say so ---- */

static void send_too_big(struct bench *b, uint8_t version, uint32_t mtu, const struct buf *quoted)
{
	struct packets_spec error =
		bench_spec(version == 4 ? PROTO_ICMP : PROTO_ICMP6, destination(version),
			   version == 4 ? "192.0.2.1" : "2001:db8:2::1");

	error.icmp_type = version == 4 ? 3 : 2;
	error.icmp_code = version == 4 ? 4 : 0;
	error.src_port = (uint16_t)(mtu >> 16);
	error.dst_port = (uint16_t)mtu;
	error.payload = quoted->len;
	error.payload_bytes = quoted->data;
	bench_receive(b, BENCH_DIRECT, &error);
}

Test(dataplane_too_big, absurd_sizes_are_not_believed)
{
	static const struct {
		uint8_t version;
		uint32_t mtu;
		bool in;
	} cases[] = {{4, 1300, true}, {4, 68, true},   {4, 67, false},   {4, 1, false},
		     {4, 0, true},    {6, 1280, true}, {6, 1279, false}, {6, 0, false}};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packets_spec spec = long_spec(cases[i].version, PROTO_UDP, 0);
		uint8_t bytes[2048];
		struct buf quoted = {.data = bytes};
		struct bench b;

		bench_open(&b, &(struct bench_options){0});
		bench_send(&b, &spec);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		quoted.len = 500;
		memcpy(bytes, b.out.data, quoted.len);
		send_too_big(&b, cases[i].version, cases[i].mtu, &quoted);
		cr_expect_eq(bench_take_tun(&b), cases[i].in, "case %u", i);
		if (cases[i].in)
			cr_expect_eq(wire_get32(b.out.data + b.packet.l4_offset + 4), cases[i].mtu);
		cr_expect_eq(bench_drops(&b, REASON_MALFORMED), !cases[i].in);
		bench_close(&b);
	}
}
