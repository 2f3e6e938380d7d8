/* From inside to our own outer address. X is 10.0.0.2:1000, Y 10.0.0.3:2000, or fd00::. */
#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/packet.h"
#include "dataplane/reject.h"
#include "tests/dataplane/bench.h"

static const char *const outer[2] = {"192.0.2.1", "2001:db8:2::1"};
static const char *const remote[2] = {"198.51.100.7", "2001:db8:51::9"};
static const char *const host[2][2] = {{"10.0.0.2", "10.0.0.3"}, {"fd00::2", "fd00::3"}};

static struct packets_spec from(int v6, int who, uint8_t proto, const char *to, uint16_t port)
{
	struct packets_spec spec = bench_spec(proto, host[v6][who], to);

	spec.src_port = who ? 2000 : 1000;
	spec.dst_port = port;
	return spec;
}

/* Maps a host's port by a packet to outside. Returns: the outer port */
static uint16_t map(struct bench *b, int v6, int who, uint8_t proto)
{
	struct packets_spec spec = from(v6, who, proto, remote[v6], 80);

	bench_send(b, &spec);
	cr_assert(bench_take_nic(b, BENCH_DIRECT));
	return b->packet.key.src_port;
}

/* X and Y have each sent to the other's outer port, so that each lets the other in. */
static void meet(struct bench *b, int v6, uint8_t proto, uint16_t port[2])
{
	for (int who = 0; who < 2; who++)
		port[who] = map(b, v6, who, proto);
	for (int who = 0; who < 2; who++) {
		struct packets_spec spec = from(v6, who, proto, outer[v6], port[!who]);

		bench_send(b, &spec);
		cr_assert_eq(bench_take_tun(b), who == 1,
			     "filtered by address and port: the second comes in");
		cr_assert_not(bench_take_nic(b, BENCH_DIRECT));
	}
}

/* RFC 4787 REQ-9 (a), RFC 5382 REQ-8 (a): with the external source address and port. */
Test(dataplane_hairpin, comes_back_from_the_external_address)
{
	for (unsigned i = 0; i < 4; i++) {
		int v6 = (int)(i & 1);
		uint8_t proto = i & 2 ? PROTO_TCP : PROTO_UDP;
		struct packets_spec spec;
		uint16_t port[2];
		struct bench b;

		bench_open(&b, &(struct bench_options){0});
		meet(&b, v6, proto, port);
		for (int who = 0; who < 2; who++) {
			spec = from(v6, who, proto, outer[v6], port[!who]);
			spec.tcp_flags = TCP_ACK;
			spec.ttl = 64;
			bench_send(&b, &spec);
			cr_assert(bench_take_tun(&b), "case %u", i);
			cr_expect(bench_is(b.packet.key.src, outer[v6]));
			cr_expect_eq(b.packet.key.src_port, port[who]);
			cr_expect(bench_is(b.packet.key.dst, host[v6][!who]));
			cr_expect_eq(b.packet.key.dst_port, who ? 1000 : 2000);
			cr_expect_eq(b.out.data[v6 ? 7 : 8], 63, "one hop");
		}
		cr_expect_not(bench_take_nic(&b, BENCH_DIRECT), "nothing of it left");
		cr_expect_not(bench_take_nic(&b, BENCH_VPN));
		bench_close(&b);
	}
}

/* A super-packet is turned round whole. */
Test(dataplane_hairpin, super_packets)
{
	struct packets_spec spec;
	uint16_t port[2];
	struct bench b;

	bench_open(&b, &(struct bench_options){0});
	meet(&b, 0, PROTO_TCP, port);
	spec = from(0, 0, PROTO_TCP, outer[0], port[1]);
	spec.tcp_flags = TCP_ACK;
	spec.payload = 20000;
	spec.needs_csum = true;
	spec.gso_size = 1400;
	bench_send(&b, &spec);
	cr_assert(bench_take_tun(&b));
	cr_expect_eq(b.out.len, 20040);
	cr_expect_eq(b.out.offload.gso_size, 1400);
	bench_close(&b);
}

/* RFC 5508 REQ-7: Y's error about what X sent reaches X, about what X sent. */
Test(dataplane_hairpin, errors)
{
	for (int v6 = 0; v6 < 2; v6++) {
		uint16_t port[2], quoted_offset, l4_offset;
		uint8_t bytes[REJECT_SIZE_MAX];
		struct buf error = {.data = bytes};
		struct packets_spec spec;
		struct flow_key quoted;
		struct bench b;

		bench_open(&b, &(struct bench_options){0});
		meet(&b, v6, PROTO_UDP, port);
		spec = from(v6, 0, PROTO_UDP, outer[v6], port[1]);
		bench_send(&b, &spec);
		cr_assert(bench_take_tun(&b));
		cr_assert(reject_build(&b.packet, NULL, &error));
		bench_send_bytes(&b, &error);
		cr_assert(bench_take_tun(&b), "the error was lost");
		cr_expect(bench_is(b.packet.key.src, outer[v6]));
		cr_expect(bench_is(b.packet.key.dst, host[v6][0]));
		cr_assert_eq(packet_quoted(&b.packet, &quoted, &quoted_offset, &l4_offset),
			     REASON_NONE);
		cr_expect(bench_is(quoted.src, host[v6][0]));
		cr_expect_eq(quoted.src_port, 1000);
		cr_expect(bench_is(quoted.dst, outer[v6]));
		cr_expect_eq(quoted.dst_port, port[1]);
		cr_expect_null(packets_check_quote(&b.out));
		bench_close(&b);
	}
}

/* Nothing is sent to ourselves, whatever the port, and nothing goes round for ever. */
Test(dataplane_hairpin, what_is_not_mapped_is_dropped)
{
	struct packets_spec spec;
	struct bench b;
	uint16_t port;

	bench_open(&b, &(struct bench_options){0});
	port = map(&b, 0, 0, PROTO_UDP);
	spec = from(0, 1, PROTO_UDP, outer[0], 22);
	bench_send(&b, &spec);
	cr_expect_eq(bench_drops(&b, REASON_UNSOLICITED), 1);
	spec = from(0, 1, PROTO_UDP, outer[0], (uint16_t)(port ^ 64));
	bench_send(&b, &spec);
	cr_expect_eq(bench_drops(&b, REASON_UNSOLICITED), 2);
	spec = from(0, 0, PROTO_UDP, outer[0], port);
	bench_send(&b, &spec);
	cr_expect(bench_take_tun(&b), "to its own port: it hears itself");
	cr_expect(bench_is(b.packet.key.src, outer[0]) && b.packet.key.src_port == port);
	cr_expect_not(bench_take_tun(&b));
	spec = from(0, 1, PROTO_UDP, outer[0], port);
	spec.id = 7;
	spec.payload = 1000;
	spec.fragment = true;
	spec.fragment_size = 800;
	bench_send(&b, &spec);
	spec.fragment_from = 800;
	bench_send(&b, &spec);
	cr_expect_eq(bench_drops(&b, REASON_FRAGMENT), 2);
	cr_expect_not(bench_take_nic(&b, BENCH_DIRECT));
	cr_expect_not(bench_take_nic(&b, BENCH_VPN));
	cr_expect_not(bench_take_tun(&b));
	bench_close(&b);
}

/* The verdict on the gateway's address is not asked, so a reload changes nothing. */
Test(dataplane_hairpin, outlives_a_reload)
{
	struct packets_spec spec;
	uint16_t port[2];
	struct bench b;

	bench_open(&b, &(struct bench_options){0});
	meet(&b, 0, PROTO_TCP, port);
	bench_reload_moved(&b);
	spec = from(0, 0, PROTO_TCP, outer[0], port[1]);
	spec.tcp_flags = TCP_ACK;
	bench_send(&b, &spec);
	cr_assert(bench_take_tun(&b));
	cr_expect(bench_is(b.packet.key.dst, "10.0.0.3"), "no reset");
	bench_close(&b);
}

/* The hosts' workers may be two: what is turned round is handed over. */
Test(dataplane_hairpin, of_another_worker)
{
	for (unsigned i = 0; i < 4; i++) {
		int v6 = (int)(i & 1);
		uint8_t proto = i & 2 ? PROTO_TCP : PROTO_UDP;
		struct packets_spec spec;
		uint16_t port[2];
		struct bench b;

		bench_open(&b, &(struct bench_options){.queues = 2});
		for (unsigned who = 0; who < 2; who++) {
			b.queue = who;
			port[who] = map(&b, v6, (int)who, proto);
		}
		cr_assert_neq(port[0] / 500, port[1] / 500, "slices of 500 ports");
		for (unsigned round = 0; round < 2; round++) {
			for (unsigned who = 0; who < 2; who++) {
				b.queue = who;
				spec = from(v6, (int)who, proto, outer[v6], port[!who]);
				spec.ttl = 64;
				bench_send(&b, &spec);
				if (!bench_take_tun(&b)) {
					cr_expect(round == 0 && who == 0, "case %u", i);
					continue;
				}
				cr_expect(bench_is(b.packet.key.src, outer[v6]));
				cr_expect_eq(b.packet.key.src_port, port[who]);
				cr_expect(bench_is(b.packet.key.dst, host[v6][!who]));
				cr_expect_eq(b.out.data[v6 ? 7 : 8], 63, "one hop");
			}
		}
		cr_expect_eq(bench_drops(&b, REASON_UNSOLICITED), 1, "the very first");
		spec = from(v6, 0, proto, outer[v6], 39999);
		bench_send(&b, &spec);
		spec.dst_port = 41000;
		bench_send(&b, &spec);
		cr_expect_eq(bench_drops(&b, REASON_UNSOLICITED), 3, "of nobody's slice");
		bench_close(&b);
	}
}

/* Who outside pretends to be our own address is not taken for the host inside. */
Test(dataplane_hairpin, cannot_be_forged_from_outside)
{
	struct packets_spec spec;
	uint16_t port[2];
	struct bench b;

	bench_open(&b, &(struct bench_options){0});
	meet(&b, 0, PROTO_UDP, port);
	spec = bench_spec(PROTO_UDP, outer[0], outer[0]);
	spec.src_port = port[1];
	spec.dst_port = port[0];
	bench_receive(&b, BENCH_DIRECT, &spec);
	cr_expect_not(bench_take_tun(&b));
	cr_expect_eq(bench_drops(&b, REASON_UNSOLICITED), 2);
	bench_close(&b);
}

/* Nobody is translated to the address of an egress with Nat = no: it is one as any other. */
Test(dataplane_hairpin, not_where_nothing_is_translated)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct packets_spec spec = from(v6, 0, PROTO_UDP, outer[v6], 4000);
		struct bench b;

		bench_open(&b, &(struct bench_options){.untranslated = true});
		bench_send(&b, &spec);
		cr_expect(bench_take_nic(&b, BENCH_VPN), "by the table");
		cr_expect_not(bench_take_tun(&b));
		bench_close(&b);
	}
}
