/* Hop limits on both ways, and that the rest of an IP header stays as it is. */
#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/packet.h"
#include "dataplane/wire.h"
#include "tests/dataplane/bench.h"

static unsigned hops(const struct bench *b)
{
	return b->out.data[b->packet.key.version == 4 ? IP4_TTL : IP6_HOPS];
}

static uint8_t traffic_class(const uint8_t *ip)
{
	return ip[0] >> 4 == 4 ? ip[1] : (uint8_t)(ip[0] << 4 | ip[1] >> 4);
}

static void set_traffic_class(struct buf *buf, uint8_t value)
{
	if (buf->data[0] >> 4 == 4) {
		buf->data[1] = value;
		packets_fix_ip(buf);
		return;
	}
	buf->data[0] = (uint8_t)(0x60 | value >> 4);
	buf->data[1] = (uint8_t)(value << 4);
}

/* What goes in with which hop limit, and what must come out; 0: the sender is told. */
static const struct {
	const char *src, *dst;
	uint8_t proto;
	uint8_t in, out;
	uint16_t gso_size;
} cases[] = {
	{"10.0.0.2", "198.51.100.7", PROTO_UDP, 64, 63, 0},
	{"10.0.0.2", "198.51.100.7", PROTO_TCP, 255, 254, 1000},
	{"10.0.0.2", "198.51.100.7", PROTO_ICMP, 2, 1, 0},
	{"10.0.0.2", "198.51.100.7", PROTO_UDP, 1, 0, 0},
	{"10.0.0.2", "198.51.100.7", PROTO_TCP, 1, 0, 1000},
	{"10.0.0.2", "198.51.100.7", PROTO_ICMP, 1, 0, 0},
	{"fd00::2", "2001:db8:51::9", PROTO_UDP, 64, 63, 0},
	{"fd00::2", "2001:db8:51::9", PROTO_TCP, 2, 1, 1000},
	{"fd00::2", "2001:db8:51::9", PROTO_ICMP6, 1, 0, 0},
	{"fd00::2", "2001:db8:51::9", PROTO_TCP, 1, 0, 1000},
	/* The host's own, from either of its addresses. */
	{"10.66.0.2", "198.51.100.7", PROTO_UDP, 1, 1, 0},
	{"10.66.0.2", "198.51.100.7", PROTO_TCP, 255, 255, 1000},
	{"192.0.2.1", "198.51.100.7", PROTO_UDP, 1, 1, 0},
	{"fd66::2", "2001:db8:51::9", PROTO_TCP, 1, 1, 0},
	{"2001:db8:2::1", "2001:db8:51::9", PROTO_UDP, 255, 255, 0},
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static struct packets_spec spec_of(unsigned i)
{
	struct packets_spec spec = bench_spec(cases[i].proto, cases[i].src, cases[i].dst);

	spec.ttl = cases[i].in;
	if (cases[i].gso_size) {
		spec.tcp_flags = TCP_ACK;
		spec.payload = 5000;
		spec.needs_csum = true;
		spec.gso_size = cases[i].gso_size;
	}
	return spec;
}

static void expect_time_exceeded(const struct bench *b, const char *from, const char *to)
{
	const struct packet *p = &b->packet;

	cr_assert_eq(p->kind, PACKET_ICMP_ERROR);
	cr_assert_eq(p->icmp_type, p->key.version == 4 ? 11 : 3, "type %u", p->icmp_type);
	cr_assert_eq(b->out.data[p->l4_offset + 1], 0);
	cr_assert(bench_is(p->key.src, from), "not from %s", from);
	cr_assert(bench_is(p->key.dst, to), "not to %s", to);
	cr_assert_null(packets_check_quote(&b->out));
}

Test(dataplane_hops, on_the_way_out)
{
	for (unsigned i = 0; i < CASES; i++) {
		struct packets_spec spec = spec_of(i);
		struct bench b;

		bench_open(&b, &(struct bench_options){0});
		bench_send(&b, &spec);
		cr_assert_eq(bench_take_nic(&b, BENCH_DIRECT), cases[i].out > 0, "case %u", i);
		if (cases[i].out) {
			cr_expect_eq(hops(&b), cases[i].out, "case %u: %u hops", i, hops(&b));
			cr_expect_eq(b.out.offload.gso_size, cases[i].gso_size);
			cr_expect_eq(bench_drops(&b, REASON_HOP_LIMIT), 0);
		} else {
			cr_assert(bench_take_tun(&b), "case %u: no answer", i);
			expect_time_exceeded(&b, spec.version == 4 ? "192.0.0.8" : "fd66::2",
					     cases[i].src);
			cr_expect_gt(bench_drops(&b, REASON_HOP_LIMIT), 0);
			cr_expect_eq(bench_flows(&b), 0, "case %u: it made a flow", i);
		}
		bench_close(&b);
	}
}

Test(dataplane_hops, on_the_way_in)
{
	for (unsigned i = 0; i < CASES; i++) {
		struct packets_spec spec = spec_of(i), answer;
		const char *outer = spec.version == 4 ? "192.0.2.1" : "2001:db8:2::1";
		struct bench b;

		spec.ttl = 64;
		bench_open(&b, &(struct bench_options){0});
		bench_send(&b, &spec);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		answer = bench_answer(&b, TCP_ACK);
		answer.ttl = cases[i].in;
		if (cases[i].gso_size) {
			answer.payload = 5000;
			answer.needs_csum = true;
			answer.gso_size = cases[i].gso_size;
		}
		bench_receive(&b, BENCH_DIRECT, &answer);
		cr_assert_eq(bench_take_tun(&b), cases[i].out > 0, "case %u", i);
		if (cases[i].out) {
			cr_expect_eq(hops(&b), cases[i].out, "case %u: %u hops", i, hops(&b));
		} else {
			cr_assert(bench_take_nic(&b, BENCH_DIRECT), "case %u: no answer", i);
			expect_time_exceeded(&b, outer, cases[i].dst);
			cr_expect_gt(bench_drops(&b, REASON_HOP_LIMIT), 0);
		}
		bench_close(&b);
	}
}

/* What stays on a link has one hop, and is nobody's to answer. */
Test(dataplane_hops, link_local_is_no_matter_of_hops)
{
	static const char *const ways[][2] = {
		{"10.0.0.2", "224.0.0.22"}, {"fe80::1", "ff02::16"}, {"fe80::1", "2001:db8:51::9"}};

	for (unsigned i = 0; i < 3; i++) {
		struct packets_spec spec = bench_spec(PROTO_UDP, ways[i][0], ways[i][1]);
		struct bench b;

		spec.ttl = 1;
		bench_open(&b, &(struct bench_options){0});
		bench_send(&b, &spec);
		cr_expect_eq(bench_drops(&b, REASON_LINK_LOCAL), 1);
		cr_expect_eq(bench_drops(&b, REASON_HOP_LIMIT), 0);
		cr_expect_not(bench_take_tun(&b));
		bench_close(&b);
	}
}

Test(dataplane_hops, errors_are_not_answered)
{
	struct packets_spec spec = bench_spec(PROTO_UDP, "10.0.0.2", "198.51.100.7"), answer;
	struct bench b;

	bench_open(&b, &(struct bench_options){0});
	bench_send(&b, &spec);
	cr_assert(bench_take_nic(&b, BENCH_DIRECT));
	answer = bench_spec(PROTO_ICMP, "198.51.100.9", "192.0.2.1");
	answer.icmp_type = 11;
	answer.ttl = 1;
	answer.src_port = answer.dst_port = 0;
	answer.payload = b.out.len;
	answer.payload_bytes = b.out.data;
	bench_receive(&b, BENCH_DIRECT, &answer);
	cr_expect_not(bench_take_tun(&b));
	cr_expect_not(bench_take_nic(&b, BENCH_DIRECT));
	cr_expect_eq(bench_drops(&b, REASON_HOP_LIMIT), 1);
	answer.ttl = 2;
	bench_receive(&b, BENCH_DIRECT, &answer);
	cr_assert(bench_take_tun(&b), "with a hop left it comes in");
	cr_expect_eq(hops(&b), 1);
	bench_close(&b);
}

/* RFC 3168 and 2474: a translator has no business with either. */
Test(dataplane_hops, traffic_class_is_kept)
{
	static const uint8_t classes[] = {0x00, 0x01, 0x02, 0x03, 0xb8, 0xbb, 0xff};

	for (unsigned i = 0; i < 2 * sizeof(classes); i++) {
		uint8_t class = classes[i / 2];
		struct packets_spec spec =
			i % 2 ? bench_spec(PROTO_TCP, "fd00::2", "2001:db8:51::9")
			      : bench_spec(PROTO_TCP, "10.0.0.2", "198.51.100.7");
		uint8_t bytes[BUF_SIZE];
		struct buf buf = {.data = bytes};
		struct bench b;

		bench_open(&b, &(struct bench_options){0});
		packets_build(&spec, &buf);
		set_traffic_class(&buf, class);
		bench_send_bytes(&b, &buf);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		cr_expect_eq(traffic_class(b.out.data), class, "out: %02x",
			     traffic_class(b.out.data));
		spec = bench_answer(&b, TCP_SYN | TCP_ACK);
		packets_build(&spec, &buf);
		set_traffic_class(&buf, class);
		bench_receive_bytes(&b, BENCH_DIRECT, &buf);
		cr_assert(bench_take_tun(&b));
		cr_expect_eq(traffic_class(b.out.data), class, "in: %02x",
			     traffic_class(b.out.data));
		bench_close(&b);
	}
}
