/*
 * What RFCs ask of a translator, each under its own name. tests/tidy checks that every line here
 * has a test whose name begins so, or an exception with its reason in ARCHITECTURE.md.
 *
 * rfc4787_req1     UDP: one mapping of an endpoint, whatever the destination
 * rfc4787_req2     one outer address for all of a host's flows
 * rfc4787_req3     no port stands for two endpoints
 * rfc4787_req3a    well-known ports stay well-known
 * rfc4787_req4     port parity
 * rfc4787_req5     UDP mappings last: 5 minutes
 * rfc4787_req6     packets from inside refresh them; those from outside may
 * rfc4787_req8     filtering: by address and port
 * rfc4787_req9     hairpins, from the external address and port
 * rfc4787_req10    no application gateways
 * rfc4787_req11    it behaves the same under load
 * rfc4787_req12    ICMP errors end no mapping
 * rfc4787_req13    too long: an error, or fragments in order
 * rfc4787_req14    fragments out of order
 * rfc5382_req1     TCP: one mapping of an endpoint
 * rfc5382_req2     all valid sequences, simultaneous open too
 * rfc5382_req3     filtering
 * rfc5382_req4     a SYN that nobody asked for
 * rfc5382_req5     established 2 h 4 min, else 4 min
 * rfc5382_req7     no port stands for two endpoints
 * rfc5382_req8     hairpins
 * rfc5382_req10    ICMP errors end no connection
 * rfc5508_req2     ICMP queries last 60 s
 * rfc5508_req3     checksums of errors; options; what an error quotes of TCP and UDP is not checked
 * rfc5508_req4     errors from outside: headers go back, type and code stay, unmapped are dropped
 * rfc5508_req5     errors from inside
 * rfc5508_req6     errors keep and end nothing
 * rfc5508_req7     errors about hairpins
 * rfc5508_req8     without resources: ICMP 3/13
 * rfc6888_req4     limits of ports a subscriber
 * rfc6888_req5     limits of memory a subscriber
 * rfc6888_req8     ports rest for 2 minutes
 * rfc6888_req12    destinations are not logged
 * rfc6888_req15    ports are hard to guess
 * rfc7857_rst      a RST ends a connection after 4 minutes, if nothing follows
 * rfc7857_refresh  RSTs and errors refresh nothing
 * rfc7857_ipid     identification of hosts behind one address
 * rfc6146_timers   those of the TCP state machine
 * rfc6146_syn      an incoming SYN is remembered for 6 s
 */
#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/flow.h"
#include "dataplane/fragment.h"
#include "dataplane/nat.h"
#include "dataplane/packet.h"
#include "dataplane/reject.h"
#include "dataplane/wire.h"
#include "tests/dataplane/bench.h"

static const struct bench_options defaults;

static const char *const inside[2] = {"10.0.0.2", "fd00::2"};
static const char *const outside[2] = {"198.51.100.7", "2001:db8:51::9"};
static const char *const outer[2] = {"192.0.2.1", "2001:db8:2::1"};

static struct packets_spec spec_of(uint8_t proto, int v6)
{
	if (proto == PROTO_ICMP && v6)
		proto = PROTO_ICMP6;
	return bench_spec(proto, inside[v6], outside[v6]);
}

/* Sends out; returns the outer port. */
static uint16_t out(struct bench *b, const struct packets_spec *spec)
{
	bench_send(b, spec);
	cr_assert(bench_take_nic(b, BENCH_DIRECT), "it did not leave");
	return b->packet.key.src_port;
}

static bool comes_in(struct bench *b, const struct packets_spec *spec)
{
	bench_receive(b, BENCH_DIRECT, spec);
	return bench_take_tun(b);
}

/* ---- Mapping ---- */

static void endpoint_independent(uint8_t proto)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct packets_spec spec = spec_of(proto, v6);
		struct bench b;
		uint16_t port;

		bench_open(&b, &defaults);
		port = out(&b, &spec);
		for (unsigned i = 0; i < 50; i++) {
			spec.dst[v6 ? 15 : 3]++;
			spec.dst_port = (uint16_t)(spec.dst_port + i % 2);
			cr_assert_eq(out(&b, &spec), port, "destination %u: %u, not %u", i,
				     b.packet.key.src_port, port);
		}
		bench_close(&b);
	}
}

Test(dataplane_nat_rfc, rfc4787_req1_endpoint_independent)
{
	endpoint_independent(PROTO_UDP);
}

Test(dataplane_nat_rfc, rfc5382_req1_endpoint_independent)
{
	endpoint_independent(PROTO_TCP);
}

Test(dataplane_nat_rfc, rfc4787_req2_one_outer_address)
{
	static const uint8_t protos[] = {PROTO_UDP, PROTO_TCP, PROTO_ICMP};

	for (unsigned i = 0; i < 60; i++) {
		struct packets_spec spec = spec_of(protos[i % 3], (int)(i & 1));
		struct bench b;

		spec.src_port = (uint16_t)(spec.src_port + i);
		bench_open(&b, &defaults);
		out(&b, &spec);
		cr_assert(bench_is(b.packet.key.src, outer[i & 1]));
		bench_close(&b);
	}
}

static void no_overloading(uint8_t proto)
{
	bool used[65536] = {false};
	struct bench b;

	bench_open(&b, &defaults);
	for (unsigned i = 0; i < 400; i++) { /* many hosts, the same port, the same destination */
		struct packets_spec spec = spec_of(proto, 0);
		uint16_t port;

		spec.src[3] = (uint8_t)(2 + i / 4);
		spec.src_port = (uint16_t)(5000 + i % 4);
		port = out(&b, &spec);
		cr_assert_not(used[port], "port %u twice", port);
		used[port] = true;
	}
	bench_close(&b);
}

Test(dataplane_nat_rfc, rfc4787_req3_no_overloading)
{
	no_overloading(PROTO_UDP);
}

Test(dataplane_nat_rfc, rfc5382_req7_no_overloading)
{
	no_overloading(PROTO_TCP);
}

Test(dataplane_nat_rfc, rfc4787_req4_parity)
{
	struct bench b;

	bench_open(&b, &defaults);
	for (unsigned i = 0; i < 300; i++) {
		struct packets_spec spec = spec_of(PROTO_UDP, 0);

		spec.src_port = (uint16_t)(7 * i + 1);
		cr_assert_eq(out(&b, &spec) & 1, spec.src_port & 1);
	}
	bench_close(&b);
}

/* ---- Time ---- */

/* An idle flow lets its answer in until so many ms, and no longer. */
static void lasts(uint8_t proto, unsigned ms, bool established)
{
	for (unsigned late = 0; late < 2; late++) {
		struct packets_spec spec = spec_of(proto, 0), answer;
		struct bench b;

		bench_open(&b, &defaults);
		out(&b, &spec);
		answer = bench_answer(&b, TCP_SYN | TCP_ACK);
		if (established) {
			cr_assert(comes_in(&b, &answer));
			spec.tcp_flags = answer.tcp_flags = TCP_ACK;
			out(&b, &spec);
		}
		bench_wait(&b, ms + late);
		cr_expect_eq(comes_in(&b, &answer), !late, "after %u ms", ms + late);
		bench_close(&b);
	}
}

Test(dataplane_nat_rfc, rfc4787_req5_udp_timer)
{
	lasts(PROTO_UDP, 300000, false);
	lasts(PROTO_UDP, 300000, true);
}

Test(dataplane_nat_rfc, rfc5382_req5_tcp_timers)
{
	lasts(PROTO_TCP, 240000, false);
	lasts(PROTO_TCP, 7440000, true);
}

Test(dataplane_nat_rfc, rfc5508_req2_query_timer)
{
	lasts(PROTO_ICMP, 60000, false);
}

Test(dataplane_nat_rfc, rfc6146_timers)
{
	cr_expect_geq((int)FLOW_IDLE_TCP_MS, 7440000);
	cr_expect_geq((int)FLOW_IDLE_TCP_TRANSITORY_MS, 240000);
	cr_expect_geq((int)FLOW_IDLE_UDP_MS, 300000);
	cr_expect_geq((int)FLOW_IDLE_ICMP_MS, 60000);
	cr_expect_geq((int)FRAGMENT_MS, 2000);
}

Test(dataplane_nat_rfc, rfc4787_req6_refresh)
{
	for (unsigned in = 0; in < 2; in++) {
		struct packets_spec spec = spec_of(PROTO_UDP, 0), answer;
		struct bench b;

		bench_open(&b, &defaults);
		out(&b, &spec);
		answer = bench_answer(&b, 0);
		for (unsigned i = 0; i < 5; i++) {
			bench_wait(&b, 299000);
			if (in)
				cr_assert(comes_in(&b, &answer));
			else
				out(&b, &spec);
		}
		bench_close(&b);
	}
}

Test(dataplane_nat_rfc, rfc7857_refresh_not_by_reset)
{
	struct packets_spec spec = spec_of(PROTO_TCP, 0), answer;
	struct bench b;

	bench_open(&b, &defaults);
	out(&b, &spec);
	answer = bench_answer(&b, TCP_SYN | TCP_ACK);
	bench_wait(&b, 239000);
	spec.tcp_flags = TCP_RST;
	out(&b, &spec);
	bench_wait(&b, 1001);
	cr_expect_not(comes_in(&b, &answer));
	bench_close(&b);
}

Test(dataplane_nat_rfc, rfc7857_rst)
{
	struct packets_spec spec = spec_of(PROTO_TCP, 0), answer;
	struct bench b;

	bench_open(&b, &defaults);
	out(&b, &spec);
	answer = bench_answer(&b, TCP_SYN | TCP_ACK);
	cr_assert(comes_in(&b, &answer));
	spec.tcp_flags = TCP_ACK;
	out(&b, &spec);
	answer.tcp_flags = TCP_RST;
	cr_assert(comes_in(&b, &answer), "it is translated");
	answer.tcp_flags = TCP_ACK;
	bench_wait(&b, 240000);
	cr_expect(comes_in(&b, &answer));
	bench_wait(&b, 1);
	cr_expect_not(comes_in(&b, &answer));
	bench_close(&b);
}

Test(dataplane_nat_rfc, rfc5382_req2_simultaneous_open)
{
	struct packets_spec spec = spec_of(PROTO_TCP, 0), answer;
	struct bench b;

	bench_open(&b, &defaults);
	out(&b, &spec);
	answer = bench_answer(&b, TCP_SYN);
	cr_expect(comes_in(&b, &answer));
	spec.tcp_flags = answer.tcp_flags = TCP_SYN | TCP_ACK;
	out(&b, &spec);
	cr_expect(comes_in(&b, &answer));
	bench_close(&b);
}

/* ---- Filtering ---- */

static void filters(uint8_t proto)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct packets_spec spec = spec_of(proto, v6), answer, stranger;
		struct bench b;

		bench_open(&b, &defaults);
		out(&b, &spec);
		answer = stranger = bench_answer(&b, TCP_SYN | TCP_ACK);
		stranger.src[v6 ? 15 : 3] ^= 1;
		cr_expect_not(comes_in(&b, &stranger), "another address");
		stranger = answer;
		for (unsigned port = 1; port < 65536; port += 251) {
			stranger.src_port = (uint16_t)port;
			if (port != answer.src_port)
				cr_expect_not(comes_in(&b, &stranger), "port %u", port);
		}
		cr_expect(comes_in(&b, &answer));
		cr_expect_not(bench_take_nic(&b, BENCH_DIRECT), "and nobody is told");
		bench_close(&b);
	}
}

Test(dataplane_nat_rfc, rfc4787_req8_address_and_port)
{
	filters(PROTO_UDP);
}

Test(dataplane_nat_rfc, rfc5382_req3_address_and_port)
{
	filters(PROTO_TCP);
}

/* Silence is what the RFC allows by policy, now and later. */
Test(dataplane_nat_rfc, rfc5382_req4_silence)
{
	struct packets_spec syn = bench_spec(PROTO_TCP, outside[0], outer[0]);
	struct bench b;

	bench_open(&b, &defaults);
	syn.dst_port = BENCH_PORT_FIRST + 5;
	cr_expect_not(comes_in(&b, &syn));
	for (unsigned i = 0; i < 20; i++) {
		cr_expect_not(bench_take_nic(&b, BENCH_DIRECT), "an answer");
		bench_wait(&b, 1000);
	}
	cr_expect_eq(bench_drops(&b, REASON_UNSOLICITED), 1);
	bench_close(&b);
}

/* FTP's PORT, with the address in it, goes as it came. */
Test(dataplane_nat_rfc, rfc4787_req10_no_gateways)
{
	static const char command[] = "PORT 10,0,0,2,4,210\r\n";
	static const uint16_t ports[] = {21, 5060, 1723, 53, 69};

	for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		struct packets_spec spec = spec_of(PROTO_TCP, 0);
		struct bench b;

		spec.dst_port = ports[i];
		spec.tcp_flags = TCP_ACK | TCP_PSH;
		spec.payload = sizeof(command) - 1;
		spec.payload_bytes = (const uint8_t *)command;
		bench_open(&b, &defaults);
		out(&b, &spec);
		cr_expect_arr_eq(b.out.data + b.packet.payload, command, sizeof(command) - 1);
		bench_close(&b);
	}
}

/* While ports are nearly gone: the same mapping, the same filter. */
Test(dataplane_nat_rfc, rfc4787_req11_under_load)
{
	struct packets_spec spec = spec_of(PROTO_UDP, 0), answer, stranger, flood;
	struct bench b;
	uint16_t port;

	bench_open(&b, &(struct bench_options){.ports = 64, .source_ports = 64});
	port = out(&b, &spec);
	answer = stranger = bench_answer(&b, 0);
	stranger.src_port ^= 1;
	cr_assert(comes_in(&b, &answer));
	for (unsigned i = 0; i < 500; i++) {
		flood = bench_spec(PROTO_UDP, "10.0.0.9", "198.51.100.200");
		flood.src_port = (uint16_t)(1 + i);
		bench_send(&b, &flood);
		while (bench_take_nic(&b, BENCH_DIRECT) || bench_take_tun(&b))
			;
		spec.dst[3] = (uint8_t)(i % 5 + 7);
		cr_assert_eq(out(&b, &spec), port);
		cr_assert_not(comes_in(&b, &stranger));
		cr_assert(comes_in(&b, &answer));
	}
	bench_close(&b);
}

/* ---- Length ---- */

Test(dataplane_nat_rfc, rfc4787_req13_too_long)
{
	struct packets_spec spec = spec_of(PROTO_UDP, 0);
	unsigned size = 0;
	struct bench b;

	bench_open(&b, &(struct bench_options){.mtu = 1300});
	spec.payload = 3000;
	bench_send(&b, &spec);
	while (bench_take_nic(&b, BENCH_DIRECT)) {
		cr_assert_eq((wire_get16(b.out.data + IP4_FRAGMENT) & 0x1fff) * 8u, size);
		size += b.out.len - IP4_SIZE;
	}
	cr_expect_eq(size, 3008);
	spec.dont_fragment = true;
	bench_send(&b, &spec);
	cr_assert(bench_take_tun(&b));
	cr_expect_eq(wire_get32(b.out.data + b.packet.l4_offset + 4), 1300);
	bench_close(&b);
}

Test(dataplane_nat_rfc, rfc4787_req14_out_of_order)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct packets_spec spec = spec_of(PROTO_UDP, v6), answer;
		struct bench b;

		bench_open(&b, &defaults);
		out(&b, &spec);
		answer = bench_answer(&b, 0);
		spec.fragment = answer.fragment = true;
		spec.payload = answer.payload = 1192;
		for (unsigned from = 800; from <= 800; from -= 400) {
			spec.fragment_from = answer.fragment_from = from;
			spec.fragment_size = answer.fragment_size = 400;
			bench_send(&b, &spec);
			cr_expect_eq(bench_take_nic(&b, BENCH_DIRECT), from == 0);
			bench_receive(&b, BENCH_DIRECT, &answer);
			cr_expect_eq(bench_take_tun(&b), from == 0);
		}
		for (unsigned from = 800; from >= 400; from -= 400) {
			cr_assert(bench_take_nic(&b, BENCH_DIRECT) && bench_take_tun(&b));
			cr_expect_eq(b.packet.fragment_offset, from);
		}
		bench_close(&b);
	}
}

/* ---- ICMP ---- */

/* An error from a router about what left last, quoting so much of it; 0: whole. */
static struct packets_spec error_about(const struct bench *b, unsigned quote)
{
	int v6 = b->packet.key.version == 6;
	struct packets_spec error = bench_spec(v6 ? PROTO_ICMP6 : PROTO_ICMP,
					       v6 ? "2001:db8:51::77" : "198.51.100.77", outer[v6]);

	error.icmp_type = v6 ? 1 : 3;
	error.icmp_code = v6 ? 4 : 3;
	error.src_port = error.dst_port = 0;
	error.payload = quote ? quote : b->out.len;
	error.payload_bytes = b->out.data;
	return error;
}

enum damage {
	DAMAGE_NONE,
	DAMAGE_OUTER, /* an IP header */
	DAMAGE_ICMP,
	DAMAGE_QUOTED_IP,
	DAMAGE_QUOTED_L4,
	DAMAGES
};

static void receive_damaged(struct bench *b, enum damage damage, unsigned options)
{
	uint8_t quote[2048], bytes[4096];
	struct buf buf = {.data = bytes};
	struct packets_spec error;

	memcpy(quote, b->out.data, b->out.len);
	if (damage == DAMAGE_QUOTED_IP)
		quote[IP4_CSUM] ^= 1;
	if (damage == DAMAGE_QUOTED_L4)
		quote[b->packet.l4_offset + UDP_CSUM] ^= 1;
	error = error_about(b, 0);
	error.payload_bytes = quote;
	error.ip_options = options;
	packets_build(&error, &buf);
	if (damage == DAMAGE_OUTER)
		bytes[IP4_CSUM] ^= 1;
	if (damage == DAMAGE_ICMP)
		bytes[IP4_SIZE + options + ICMP_CSUM] ^= 1;
	bench_receive_bytes(b, BENCH_DIRECT, &buf);
}

Test(dataplane_nat_rfc, rfc5508_req3_checksums_and_options)
{
	for (unsigned i = 0; i < 4 * DAMAGES; i++) {
		enum damage damage = i / 4;
		bool in = damage == DAMAGE_NONE || damage == DAMAGE_QUOTED_L4;
		struct packets_spec spec = spec_of(PROTO_UDP, 0);
		struct bench b;

		spec.ip_options = i & 1 ? 8 : 0;
		bench_open(&b, &defaults);
		out(&b, &spec);
		receive_damaged(&b, damage, i & 2 ? 12 : 0);
		cr_expect_eq(bench_take_tun(&b), in, "damage %u, options %u", damage, i & 3);
		cr_expect_eq(bench_drops(&b, REASON_BAD_CHECKSUM), !in);
		bench_close(&b);
	}
}

Test(dataplane_nat_rfc, rfc5508_req4_errors_from_outside)
{
	static const uint8_t protos[] = {PROTO_UDP, PROTO_TCP, PROTO_ICMP};

	for (unsigned i = 0; i < 12; i++) {
		int v6 = (int)(i & 1);
		struct packets_spec spec = spec_of(protos[i / 4], v6), error;
		uint16_t quoted_offset, l4_offset;
		struct flow_key quoted;
		struct bench b;

		spec.no_csum = protos[i / 4] == PROTO_UDP && !v6 && (i & 2);
		bench_open(&b, &defaults);
		out(&b, &spec);
		error = error_about(&b, i & 2 ? (v6 ? 48 : 28) : 0);
		cr_assert(comes_in(&b, &error), "case %u", i);
		cr_expect(bench_is(b.packet.key.dst, inside[v6]));
		cr_expect(bench_is(b.packet.key.src, v6 ? "2001:db8:51::77" : "198.51.100.77"));
		cr_expect_eq(b.out.data[b.packet.l4_offset], error.icmp_type);
		cr_expect_eq(b.out.data[b.packet.l4_offset + 1], error.icmp_code);
		cr_assert_eq(packet_quoted(&b.packet, &quoted, &quoted_offset, &l4_offset),
			     REASON_NONE);
		cr_expect(bench_is(quoted.src, inside[v6]) && quoted.src_port == 1234);
		cr_expect_null(packets_check_quote(&b.out), "case %u: %s", i,
			       packets_check_quote(&b.out));
		bench_wait(&b, 7440001); /* what is not mapped any more */
		cr_expect_not(comes_in(&b, &error));
		bench_close(&b);
	}
}

/* Sends, has it answered, and returns the inner side's error about the answer. */
static void error_from_inside(struct bench *b, int v6, struct buf *error)
{
	struct packets_spec spec = spec_of(PROTO_UDP, v6), answer;

	out(b, &spec);
	answer = bench_answer(b, 0);
	cr_assert(comes_in(b, &answer));
	cr_assert(reject_build(&b->packet, NULL, error));
}

Test(dataplane_nat_rfc, rfc5508_req5_errors_from_inside)
{
	for (int v6 = 0; v6 < 2; v6++) {
		uint8_t bytes[REJECT_SIZE_MAX];
		struct buf error = {.data = bytes};
		struct bench b;

		bench_open(&b, &defaults);
		error_from_inside(&b, v6, &error);
		bench_send_bytes(&b, &error);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		cr_expect(bench_is(b.packet.key.src, outer[v6]));
		cr_expect_null(packets_check_quote(&b.out));
		bytes[(v6 ? IP6_SIZE : IP4_SIZE) + ICMP_CSUM] ^= 1;
		bench_send_bytes(&b, &error);
		cr_expect_not(bench_take_nic(&b, BENCH_DIRECT), "a wrong checksum");
		cr_expect_eq(bench_drops(&b, REASON_BAD_CHECKSUM), 1);
		bench_close(&b);
	}
}

static void errors_change_nothing(uint8_t proto, unsigned ms)
{
	struct packets_spec spec = spec_of(proto, 0), error, answer;
	uint8_t left[128];
	struct bench b;

	bench_open(&b, &defaults);
	out(&b, &spec);
	answer = bench_answer(&b, TCP_SYN | TCP_ACK);
	error = error_about(&b, 60);
	memcpy(left, b.out.data, 60);
	error.payload_bytes = left;
	for (unsigned i = 0; i < 10; i++) {
		error.icmp_code = (uint8_t)i;
		cr_assert(comes_in(&b, &error), "code %u", i);
	}
	bench_wait(&b, ms);
	cr_assert(comes_in(&b, &error));
	cr_expect(comes_in(&b, &answer), "errors ended it");
	bench_close(&b);

	bench_open(&b, &defaults);
	out(&b, &spec);
	answer = bench_answer(&b, TCP_SYN | TCP_ACK);
	error = error_about(&b, 60);
	memcpy(left, b.out.data, 60);
	error.payload_bytes = left;
	bench_wait(&b, ms);
	cr_assert(comes_in(&b, &error));
	bench_wait(&b, 1);
	cr_expect_not(comes_in(&b, &answer), "an error kept it");
	bench_close(&b);
}

Test(dataplane_nat_rfc, rfc4787_req12_errors)
{
	errors_change_nothing(PROTO_UDP, 300000);
}

Test(dataplane_nat_rfc, rfc5382_req10_errors)
{
	errors_change_nothing(PROTO_TCP, 240000);
}

Test(dataplane_nat_rfc, rfc5508_req6_errors)
{
	errors_change_nothing(PROTO_ICMP, 60000);
}

Test(dataplane_nat_rfc, rfc7857_refresh_not_by_errors_from_inside)
{
	uint8_t bytes[REJECT_SIZE_MAX];
	struct buf error = {.data = bytes};
	struct packets_spec answer;
	struct bench b;

	bench_open(&b, &defaults);
	error_from_inside(&b, 0, &error);
	bench_wait(&b, 300000);
	bench_send_bytes(&b, &error);
	cr_assert(bench_take_nic(&b, BENCH_DIRECT));
	answer = bench_spec(PROTO_UDP, outside[0], outer[0]);
	answer.src_port = 80;
	answer.dst_port = wire_get16(b.out.data + IP4_SIZE + ICMP_SIZE + IP4_SIZE + 2);
	bench_wait(&b, 1);
	cr_expect_not(comes_in(&b, &answer));
	bench_close(&b);
}

/* ---- Hairpins ---- */

static void hairpin(uint8_t proto)
{
	struct packets_spec x = spec_of(proto, 0), y = spec_of(proto, 0);
	struct bench b;
	uint16_t port_x, port_y;

	bench_open(&b, &defaults);
	y.src[3]++;
	port_x = out(&b, &x);
	port_y = out(&b, &y);
	memcpy(x.dst, (const uint8_t[]){192, 0, 2, 1}, 4);
	memcpy(y.dst, x.dst, 4);
	x.dst_port = port_y;
	y.dst_port = port_x;
	bench_send(&b, &x);
	cr_expect_not(bench_take_tun(&b), "unasked");
	bench_send(&b, &y);
	cr_assert(bench_take_tun(&b));
	cr_expect(bench_is(b.packet.key.src, outer[0]) && b.packet.key.src_port == port_y);
	cr_expect(bench_is(b.packet.key.dst, inside[0]) && b.packet.key.dst_port == 1234);
	bench_close(&b);
}

Test(dataplane_nat_rfc, rfc4787_req9_hairpin)
{
	hairpin(PROTO_UDP);
}

Test(dataplane_nat_rfc, rfc5382_req8_hairpin)
{
	hairpin(PROTO_TCP);
}

Test(dataplane_nat_rfc, rfc5508_req7_errors_about_hairpins)
{
	struct packets_spec x = spec_of(PROTO_UDP, 0);
	uint8_t bytes[REJECT_SIZE_MAX];
	struct buf error = {.data = bytes};
	struct bench b;

	bench_open(&b, &defaults);
	x.dst_port = out(&b, &x);
	memcpy(x.dst, (const uint8_t[]){192, 0, 2, 1}, 4);
	bench_send(&b, &x); /* to itself: as good as any other */
	cr_assert(bench_take_tun(&b));
	cr_assert(reject_build(&b.packet, NULL, &error));
	bench_send_bytes(&b, &error);
	cr_assert(bench_take_tun(&b));
	cr_expect(bench_is(b.packet.key.src, outer[0]));
	cr_expect(bench_is(b.packet.key.dst, inside[0]));
	cr_expect_null(packets_check_quote(&b.out));
	bench_close(&b);
}

/* ---- Resources ---- */

static void expect_prohibited(struct bench *b, const char *why)
{
	const uint8_t *icmp;

	cr_assert(bench_take_tun(b), "%s: no answer", why);
	icmp = b->out.data + b->packet.l4_offset;
	if (b->packet.key.version == 4)
		cr_expect(icmp[0] == 3 && icmp[1] == 13, "%s: %u/%u", why, icmp[0], icmp[1]);
	else
		cr_expect(icmp[0] == 1 && icmp[1] == 1, "%s: %u/%u", why, icmp[0], icmp[1]);
}

static unsigned flows_until_refused(const struct bench_options *options)
{
	struct bench b;
	unsigned n = 0;

	bench_open(&b, options);
	for (; n < 1000; n++) {
		struct packets_spec spec = spec_of(PROTO_UDP, 0), answer;

		spec.src_port = (uint16_t)(1000 + n);
		bench_send(&b, &spec);
		if (!bench_take_nic(&b, BENCH_DIRECT))
			break;
		answer = bench_answer(&b, 0);
		cr_assert(comes_in(&b, &answer));
	}
	expect_prohibited(&b, "limit");
	cr_expect_eq(bench_drops(&b, REASON_SOURCE_LIMIT), 1);
	bench_close(&b);
	return n;
}

Test(dataplane_nat_rfc, rfc6888_req4_ports)
{
	cr_expect_eq(flows_until_refused(&(struct bench_options){.source_ports = 20}), 20);
	cr_expect_eq(flows_until_refused(&(struct bench_options){.ports = 100}), 50);
}

Test(dataplane_nat_rfc, rfc6888_req5_memory)
{
	cr_expect_eq(flows_until_refused(&(struct bench_options){.source_flows = 30}), 30);
}

Test(dataplane_nat_rfc, rfc5508_req8_no_ports)
{
	struct packets_spec spec = spec_of(PROTO_ICMP, 0), answer;
	struct bench b;

	bench_open(&b, &(struct bench_options){.ports = 1});
	out(&b, &spec);
	answer = bench_answer(&b, 0);
	answer.icmp_type = 0;
	cr_assert(comes_in(&b, &answer));
	spec.src[3]++;
	bench_send(&b, &spec);
	expect_prohibited(&b, "no port");
	cr_expect_eq(bench_drops(&b, REASON_NO_PORT), 1);
	bench_close(&b);
}

Test(dataplane_nat_rfc, rfc6888_req8_ports_rest)
{
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct nat *nat = nat_create(40000, 4, NULL, 0, seed);
		struct flow_key a = {.version = 4, .proto = PROTO_TCP, .src = {1}}, b = a;
		uint32_t index = nat_acquire(nat, &a, 0);
		uint16_t port = nat_at(nat, index)->outer_port;

		b.src[0]++;
		nat_release(nat, index, 0);
		for (unsigned i = 0; i < 3; i++, b.src[0]++)
			cr_expect_neq(nat_at(nat, nat_acquire(nat, &b, 119999))->outer_port, port);
		nat_destroy(nat);
	}
}

/* Every port of the slice is as likely as any, and none follows from the one before. */
Test(dataplane_nat_rfc, rfc6888_req15_ports_are_random)
{
	enum { PORTS = 16, ROUNDS = 3200 };
	unsigned pairs[PORTS][PORTS] = {{0}};

	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		struct nat *nat = nat_create(40000, PORTS, NULL, 0, seed);
		struct flow_key key = {.version = 4, .proto = PROTO_TCP, .src = {1}};
		unsigned first = nat_at(nat, nat_acquire(nat, &key, 0))->outer_port - 40000u;

		key.src_port++;
		pairs[first][nat_at(nat, nat_acquire(nat, &key, 0))->outer_port - 40000]++;
		nat_destroy(nat);
	}
	for (unsigned i = 0; i < PORTS * PORTS; i++) { /* 13.3 expected, 3.6 its deviation */
		unsigned n = pairs[i / PORTS][i % PORTS];

		if (i / PORTS != i % PORTS)
			cr_expect(n > 0 && n < 35, "%u after %u: %u times", i % PORTS, i / PORTS,
				  n);
	}
}
