/* What becomes of packets while the interface of their egress is down. */
#include "dataplane/dataplane.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/packet.h"
#include "dataplane/worker.h"
#include "tests/dataplane/bench.h"

TestSuite(dataplane_on_down);

static struct packets_spec packet_to(uint8_t version, uint8_t proto, uint8_t flags)
{
	struct packets_spec spec = bench_spec(proto, version == 4 ? "10.0.0.5" : "fd00::5",
					      version == 4 ? "198.51.100.7" : "2001:db8:51::7");

	if (proto == PROTO_TCP)
		spec.tcp_flags = flags;
	return spec;
}

static void send(struct bench *b, uint8_t version, uint8_t proto, uint8_t flags)
{
	struct packets_spec spec = packet_to(version, proto, flags);

	bench_send(b, &spec);
}

Test(dataplane_on_down, drop_is_silent)
{
	struct bench b;

	bench_open(&b, &(struct bench_options){0});
	bench_set_up(&b, BENCH_DIRECT, false);
	send(&b, 4, PROTO_TCP, TCP_SYN);
	send(&b, 6, PROTO_UDP, 0);
	cr_expect_not(bench_take_nic(&b, BENCH_DIRECT));
	cr_expect_not(bench_take_nic(&b, BENCH_VPN));
	cr_expect_not(bench_take_tun(&b));
	cr_expect_eq(bench_drops(&b, REASON_LINK_DOWN), 2);
	bench_close(&b);
}

Test(dataplane_on_down, reject_tells)
{
	struct bench b;

	bench_open(&b, &(struct bench_options){.direct_on_down = ON_DOWN_REJECT});
	for (uint8_t version = 4; version <= 6; version += 2) {
		bench_set_up(&b, BENCH_DIRECT, false);
		send(&b, version, PROTO_TCP, TCP_SYN);
		cr_assert(bench_take_tun(&b));
		cr_expect(b.packet.tcp_flags & TCP_RST);
		send(&b, version, PROTO_UDP, 0);
		cr_assert(bench_take_tun(&b));
		cr_expect_eq(b.packet.kind, PACKET_ICMP_ERROR);
		cr_expect_not(bench_take_nic(&b, BENCH_DIRECT));
		cr_expect_not(bench_take_nic(&b, BENCH_VPN));
		bench_set_up(&b, BENCH_DIRECT, true);
		send(&b, version, PROTO_UDP, 0);
		cr_expect(bench_take_nic(&b, BENCH_DIRECT));
	}
	bench_close(&b);
}

/* New flows go by the other at once, old ones too, and all of them come back. */
Test(dataplane_on_down, another_takes_its_place)
{
	struct bench b;

	bench_open(&b, &(struct bench_options){.direct_on_down = ON_DOWN_EGRESS + BENCH_VPN});
	for (uint8_t version = 4; version <= 6; version += 2) {
		send(&b, version, PROTO_UDP, 0);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		send(&b, version, PROTO_TCP, TCP_SYN);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		bench_set_up(&b, BENCH_DIRECT, false);
		send(&b, version, PROTO_UDP, 0);
		cr_expect_not(bench_take_nic(&b, BENCH_DIRECT));
		cr_assert(bench_take_nic(&b, BENCH_VPN), "IPv%u: not moved", version);
		cr_expect(bench_is(b.packet.key.src, version == 4 ? "192.0.3.1" : "2001:db8:3::1"));
		send(&b, version, PROTO_TCP, TCP_ACK);
		cr_expect_not(bench_take_nic(&b, BENCH_VPN), "a connection has one address");
		cr_assert(bench_take_tun(&b));
		cr_expect(b.packet.tcp_flags & TCP_RST);
		send(&b, version, PROTO_TCP, TCP_SYN);
		cr_expect(bench_take_nic(&b, BENCH_VPN));
		bench_set_up(&b, BENCH_DIRECT, true);
		send(&b, version, PROTO_UDP, 0);
		cr_expect_not(bench_take_nic(&b, BENCH_VPN));
		cr_expect(bench_take_nic(&b, BENCH_DIRECT), "IPv%u: not moved back", version);
	}
	bench_close(&b);
}

/* A lease that is renewed: the address goes and comes back. What is new is told at once. */
Test(dataplane_on_down, a_lost_address_ends_no_connection)
{
	struct bench b;

	bench_open(&b, &(struct bench_options){0});
	for (uint8_t version = 4; version <= 6; version += 2) {
		send(&b, version, PROTO_TCP, TCP_SYN);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		bench_set_addresses(&b, BENCH_DIRECT, false);
		send(&b, version, PROTO_TCP, TCP_ACK);
		cr_expect_not(bench_take_nic(&b, BENCH_DIRECT));
		cr_expect_not(bench_take_tun(&b), "IPv%u: it was ended", version);
		send(&b, version, PROTO_TCP, TCP_SYN);
		cr_expect(bench_take_tun(&b), "IPv%u: nobody was told", version);
		send(&b, version, PROTO_UDP, 0);
		cr_expect(bench_take_tun(&b), "IPv%u: nobody was told", version);
		bench_set_addresses(&b, BENCH_DIRECT, true);
		send(&b, version, PROTO_TCP, TCP_ACK);
		cr_expect(bench_take_nic(&b, BENCH_DIRECT));
	}
	bench_close(&b);
}

/* What drains on its old way does not wait for one that is down. */
Test(dataplane_on_down, kept_flows_move_if_they_must)
{
	struct bench b;

	bench_open(&b, &(struct bench_options){.direct_on_down = ON_DOWN_EGRESS + BENCH_VPN,
					       .on_change = ON_CHANGE_KEEP});
	send(&b, 4, PROTO_UDP, 0);
	cr_assert(bench_take_nic(&b, BENCH_DIRECT));
	bench_set_up(&b, BENCH_DIRECT, false);
	send(&b, 4, PROTO_UDP, 0);
	cr_assert(bench_take_nic(&b, BENCH_VPN));
	bench_set_up(&b, BENCH_DIRECT, true);
	send(&b, 4, PROTO_UDP, 0);
	cr_expect(bench_take_nic(&b, BENCH_VPN), "kept where it is");
	bench_close(&b);
}

Test(dataplane_on_down, both_down)
{
	struct bench b;

	bench_open(&b, &(struct bench_options){.direct_on_down = ON_DOWN_EGRESS + BENCH_VPN,
					       .vpn_on_down = ON_DOWN_EGRESS + BENCH_DIRECT});
	bench_set_up(&b, BENCH_DIRECT, false);
	bench_set_up(&b, BENCH_VPN, false);
	send(&b, 4, PROTO_UDP, 0);
	cr_expect_not(bench_take_nic(&b, BENCH_DIRECT));
	cr_expect_not(bench_take_nic(&b, BENCH_VPN));
	cr_expect_eq(bench_drops(&b, REASON_LINK_DOWN), 1);
	bench_close(&b);
}

/* One stands in for another, and a third for that; a ring of them ends. */
Test(dataplane_on_down, stand_ins_of_stand_ins)
{
	static const struct {
		uint16_t on_down[3];
		bool up[3];
		uint16_t want; /* by which way what egress 0 should carry goes */
	} cases[] = {
		{{ON_DOWN_EGRESS + 1, ON_DOWN_EGRESS + 2, ON_DOWN_DROP}, {true, true, true}, 0},
		{{ON_DOWN_EGRESS + 1, ON_DOWN_EGRESS + 2, ON_DOWN_DROP}, {false, true, true}, 1},
		{{ON_DOWN_EGRESS + 1, ON_DOWN_EGRESS + 2, ON_DOWN_DROP}, {false, false, true}, 2},
		{{ON_DOWN_EGRESS + 1, ON_DOWN_EGRESS + 2, ON_DOWN_DROP}, {false, false, false}, 2},
		{{ON_DOWN_EGRESS + 1, ON_DOWN_REJECT, ON_DOWN_DROP}, {false, false, true}, 1},
		{{ON_DOWN_EGRESS + 1, ON_DOWN_EGRESS + 2, ON_DOWN_EGRESS + 0},
		 {false, false, false},
		 0},
	};
	struct worker *w = aligned_alloc(_Alignof(struct worker), sizeof(*w));
	struct table *table;

	cr_assert(w);
	cr_assert_eq(table_build(NULL, 0, 0, 1, &table), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct links *links = links_create(3);
		uint16_t got;

		memset(w, 0, sizeof(*w));
		w->egress_count = 3;
		for (unsigned e = 0; e < 3; e++) {
			w->egress[e].type = EGRESS_INTERFACE;
			w->egress[e].on_down = cases[i].on_down[e];
			links->link[e].up = cases[i].up[e];
		}
		got = worker_way(w, table, links, 0);
		cr_expect_eq(got, cases[i].want, "case %zu: %u, not %u", i, got, cases[i].want);
		links_destroy(links);
	}
	table_destroy(table);
	free(w);
}
