/* What somebody outside, or an error, can do to a flow: nothing. */
#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/packet.h"
#include "dataplane/reject.h"
#include "tests/dataplane/bench.h"

enum {
	TRANSITORY_MS = 240000,
	ESTABLISHED_MS = 7440000,
};

static void send_flags(struct bench *b, uint8_t flags, uint16_t payload)
{
	struct packets_spec spec = bench_spec(PROTO_TCP, "10.0.0.2", "198.51.100.7");

	spec.tcp_flags = flags;
	spec.payload = payload;
	bench_send(b, &spec);
	cr_assert(bench_take_nic(b, BENCH_DIRECT));
}

static bool receive_flags(struct bench *b, const struct packets_spec *answer, uint8_t flags)
{
	struct packets_spec spec = *answer;

	spec.tcp_flags = flags;
	bench_receive(b, BENCH_DIRECT, &spec);
	return bench_take_tun(b);
}

/* An open connection; its answers' spec. */
static struct packets_spec open_connection(struct bench *b)
{
	struct packets_spec answer;

	bench_open(b, &(struct bench_options){0});
	send_flags(b, TCP_SYN, 0);
	answer = bench_answer(b, 0);
	cr_assert(receive_flags(b, &answer, TCP_SYN | TCP_ACK));
	send_flags(b, TCP_ACK, 0);
	return answer;
}

/* RFC 7857: translated, kept for 4 minutes, and what follows takes it back. */
Test(dataplane_forged, a_reset_does_not_cut)
{
	struct bench b;
	struct packets_spec answer = open_connection(&b);

	cr_assert(receive_flags(&b, &answer, TCP_RST), "it is translated");
	bench_wait(&b, TRANSITORY_MS);
	cr_expect(receive_flags(&b, &answer, TCP_ACK), "still there after 4 minutes");
	send_flags(&b, TCP_ACK, 10);
	bench_wait(&b, ESTABLISHED_MS);
	cr_expect(receive_flags(&b, &answer, TCP_ACK), "as long as any that is established");
	bench_close(&b);
}

Test(dataplane_forged, a_reset_that_nothing_follows_ends_it)
{
	struct bench b;
	struct packets_spec answer = open_connection(&b);

	cr_assert(receive_flags(&b, &answer, TCP_RST));
	for (unsigned i = 0; i < 4; i++) { /* what comes from outside keeps nothing alive */
		bench_wait(&b, TRANSITORY_MS / 4);
		cr_expect(receive_flags(&b, &answer, i % 2 ? TCP_RST : TCP_ACK));
	}
	bench_wait(&b, 1);
	cr_expect_not(receive_flags(&b, &answer, TCP_ACK));
	bench_close(&b);
}

/* RFC 7857: a RST buys no time, from either side. */
Test(dataplane_forged, a_reset_does_not_refresh)
{
	for (unsigned out = 0; out < 2; out++) {
		struct bench b;
		struct packets_spec answer = open_connection(&b);

		bench_wait(&b, ESTABLISHED_MS - 1000);
		if (out)
			send_flags(&b, TCP_RST, 0);
		else
			cr_assert(receive_flags(&b, &answer, TCP_RST));
		bench_wait(&b, 1000);
		cr_expect(receive_flags(&b, &answer, TCP_ACK));
		bench_wait(&b, 1);
		cr_expect_not(receive_flags(&b, &answer, TCP_ACK), "%s: it bought time",
			      out ? "out" : "in");
		bench_close(&b);
	}
}

/* RFC 5382 REQ-2 (a): both SYNs cross. */
Test(dataplane_forged, simultaneous_open)
{
	struct packets_spec answer;
	struct bench b;

	bench_open(&b, &(struct bench_options){0});
	send_flags(&b, TCP_SYN, 0);
	answer = bench_answer(&b, 0);
	cr_assert(receive_flags(&b, &answer, TCP_SYN), "the other's SYN");
	send_flags(&b, TCP_SYN | TCP_ACK, 0);
	cr_assert(receive_flags(&b, &answer, TCP_SYN | TCP_ACK));
	bench_wait(&b, ESTABLISHED_MS);
	cr_expect(receive_flags(&b, &answer, TCP_ACK), "established");
	bench_close(&b);
}

/* An error about what left last, from a router on the way. */
static void error_in(struct bench *b, const uint8_t *left, uint32_t len)
{
	struct packets_spec spec = bench_spec(PROTO_ICMP, "198.51.100.9", "192.0.2.1");

	spec.icmp_type = 3;
	spec.icmp_code = 1;
	spec.src_port = spec.dst_port = 0;
	spec.payload = len;
	spec.payload_bytes = left;
	bench_receive(b, BENCH_DIRECT, &spec);
}

/* RFC 4787 REQ-12, 5382 REQ-10, 5508 REQ-6: no error ends a flow, nor keeps it. */
Test(dataplane_forged, errors_neither_end_nor_refresh)
{
	uint8_t left[64], bytes[REJECT_SIZE_MAX];
	struct buf error = {.data = bytes};
	struct packets_spec answer;
	struct bench b;
	struct packets_spec spec = bench_spec(PROTO_UDP, "10.0.0.2", "198.51.100.7");

	bench_open(&b, &(struct bench_options){0});
	bench_send(&b, &spec);
	cr_assert(bench_take_nic(&b, BENCH_DIRECT));
	memcpy(left, b.out.data, sizeof(left));
	answer = bench_answer(&b, 0);
	bench_receive(&b, BENCH_DIRECT, &answer);
	cr_assert(bench_take_tun(&b));
	cr_assert(reject_build(&b.packet, NULL, &error));
	for (unsigned i = 0; i < 300; i++) {
		bench_wait(&b, 1000);
		error_in(&b, left, sizeof(left));
		cr_assert(bench_take_tun(&b), "error %u was lost", i);
		bench_send_bytes(&b, &error);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT), "error %u was lost on its way out", i);
	}
	bench_wait(&b, 1);
	error_in(&b, left, sizeof(left));
	cr_expect_not(bench_take_tun(&b), "errors kept it");
	bench_send_bytes(&b, &error);
	cr_expect_not(bench_take_nic(&b, BENCH_DIRECT), "an error made a flow");
	bench_receive(&b, BENCH_DIRECT, &answer);
	cr_expect_not(bench_take_tun(&b));
	bench_close(&b);
}

/* After a reload it is the next packet that moves a flow and tells TCP, not an error. */
Test(dataplane_forged, an_error_does_not_move_a_flow)
{
	struct bench b;
	struct packets_spec answer = open_connection(&b);
	uint8_t bytes[REJECT_SIZE_MAX];
	struct buf error = {.data = bytes};
	struct packets_spec spec = bench_spec(PROTO_TCP, "10.0.0.2", "198.51.100.7");
	struct packets_spec icmp = bench_spec(PROTO_ICMP, "10.0.0.2", "198.51.100.7");

	cr_assert(receive_flags(&b, &answer, TCP_ACK));
	icmp.icmp_type = 3;
	icmp.icmp_code = 4;
	icmp.src_port = icmp.dst_port = 0;
	icmp.payload = b.out.len;
	icmp.payload_bytes = b.out.data;
	packets_build(&icmp, &error);
	bench_reload_moved(&b);
	bench_send_bytes(&b, &error);
	cr_expect_eq(bench_drops(&b, REASON_EGRESS_CHANGED), 1);
	spec.tcp_flags = TCP_ACK;
	bench_send(&b, &spec);
	cr_assert(bench_take_tun(&b), "no RST");
	cr_expect_eq(b.packet.tcp_flags & TCP_RST, TCP_RST);
	bench_close(&b);
}

/* By the egress of its flow alone. */
Test(dataplane_forged, an_error_comes_by_the_egress_of_its_flow)
{
	struct packets_spec spec = bench_spec(PROTO_UDP, "10.0.0.2", "198.51.100.7"), other;
	uint8_t left[64];
	struct bench b;

	bench_open(&b, &(struct bench_options){.ports = 64});
	bench_send(&b, &spec);
	cr_assert(bench_take_nic(&b, BENCH_DIRECT));
	memcpy(left, b.out.data, sizeof(left));
	other = bench_spec(PROTO_UDP, "10.0.0.2", "8.8.8.8"); /* a mapping by VPN, too */
	bench_send(&b, &other);
	cr_assert(bench_take_nic(&b, BENCH_VPN));
	spec = bench_spec(PROTO_ICMP, "198.51.100.9", "192.0.3.1");
	spec.icmp_type = 3;
	spec.src_port = spec.dst_port = 0;
	spec.payload = sizeof(left);
	spec.payload_bytes = left;
	left[20] = (uint8_t)(b.packet.key.src_port >> 8);
	left[21] = (uint8_t)b.packet.key.src_port;
	memcpy(left + 12, (const uint8_t[]){192, 0, 3, 1}, 4);
	packets_fix_ip(&(struct buf){.data = left, .len = sizeof(left)});
	bench_receive(&b, BENCH_VPN, &spec);
	cr_expect_not(bench_take_tun(&b));
	cr_expect_eq(bench_drops(&b, REASON_UNSOLICITED), 1);
	bench_close(&b);
}

/* Sources and destinations that no egress may carry, whatever the table says. */
Test(dataplane_forged, addresses_that_are_nobodys)
{
	static const struct {
		const char *src, *dst;
		bool passes;
	} cases[] = {
		{"10.0.0.2", "198.51.100.7", true},
		{"192.0.2.1", "198.51.100.7", true}, /* the host's own, bound to its interface */
		{"169.253.255.255", "198.51.100.7", true},
		{"0.1.2.3", "198.51.100.7", false},
		{"127.0.0.1", "198.51.100.7", false},
		{"169.254.1.1", "198.51.100.7", false},
		{"224.0.0.1", "198.51.100.7", false},
		{"255.255.255.255", "198.51.100.7", false},
		{"10.0.0.2", "127.1.2.3", false},
		{"10.0.0.2", "169.254.1.1", false},
		{"10.0.0.2", "224.0.0.251", false},
		{"10.0.0.2", "255.255.255.255", false},
		{"fd00::2", "2001:db8:51::9", true},
		{"::2", "2001:db8:51::9", true},
		{"::1", "2001:db8:51::9", false},
		{"fe80::2", "2001:db8:51::9", false},
		{"febf::2", "2001:db8:51::9", false},
		{"ff02::1", "2001:db8:51::9", false},
		{"::ffff:10.0.0.2", "2001:db8:51::9", false},
		{"fd00::2", "::1", false},
		{"fd00::2", "fe80::9", false},
		{"fd00::2", "ff0e::9", false},
		{"fd00::2", "::ffff:198.51.100.7", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packets_spec spec = bench_spec(PROTO_UDP, cases[i].src, cases[i].dst);
		struct bench b;

		bench_open(&b, &(struct bench_options){0});
		bench_send(&b, &spec);
		cr_expect_eq(bench_take_nic(&b, BENCH_DIRECT) || bench_take_nic(&b, BENCH_VPN),
			     cases[i].passes, "%s to %s", cases[i].src, cases[i].dst);
		cr_expect_eq(bench_drops(&b, REASON_LINK_LOCAL), !cases[i].passes, "%s to %s",
			     cases[i].src, cases[i].dst);
		cr_expect_not(bench_take_tun(&b));
		bench_close(&b);
	}
}
