/* What one inner address may have, so that it takes nothing from the others. */
#include "dataplane/source.h"

#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/packet.h"
#include "tests/dataplane/bench.h"

static struct flow_key key_of(unsigned host, uint8_t version)
{
	struct flow_key key = {.version = version, .proto = PROTO_UDP};

	memcpy(key.src, &host, sizeof(host));
	return key;
}

Test(dataplane_source, counts_by_address)
{
	enum { SOURCES = 100, FLOWS = 5 };
	struct sources *s = sources_create(2 * SOURCES, 1);
	uint32_t index[2 * SOURCES];

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned flow = 0; flow < FLOWS; flow++) {
			for (unsigned i = 0; i < 2 * SOURCES; i++) {
				struct flow_key key = key_of(i / 2, i % 2 ? 6 : 4);
				uint32_t got = source_enter(s, &key);

				cr_assert(flow == 0 || got == index[i]);
				index[i] = got;
				cr_assert_eq(source_at(s, got)->flows, flow + 1);
			}
		}
		for (unsigned flow = 0; flow < FLOWS; flow++)
			for (unsigned i = 0; i < 2 * SOURCES; i++)
				source_leave(s, index[(i * 7) % (2 * SOURCES)]);
	}
	sources_destroy(s);
	sources_destroy(NULL);
}

/* Open a flow; with an answer it is one that nobody takes away. */
static bool open_flow(struct bench *b, const char *src, uint16_t port, uint8_t proto, bool answered)
{
	struct packets_spec spec = bench_spec(proto, src, "198.51.100.7"), answer;

	spec.src_port = port;
	bench_send(b, &spec);
	if (!bench_take_nic(b, BENCH_DIRECT))
		return false;
	if (!answered)
		return true;
	answer = bench_answer(b, TCP_SYN | TCP_ACK);
	bench_receive(b, BENCH_DIRECT, &answer);
	cr_assert(bench_take_tun(b));
	return true;
}

static unsigned open_flows(struct bench *b, const char *src, unsigned count, uint8_t proto,
			   bool answered)
{
	unsigned opened = 0;

	for (unsigned i = 0; i < count; i++) {
		opened += open_flow(b, src, (uint16_t)(2000 + i), proto, answered);
		while (bench_take_tun(b))
			cr_assert(b->packet.kind == PACKET_ICMP_ERROR && b->packet.icmp_type == 3);
	}
	return opened;
}

static const struct {
	const char *name;
	struct bench_options options;
	unsigned greedy; /* flows that the greedy one gets, all answered */
} limits[] = {
	{"half of the ports", {.ports = 100}, 50},
	{"ports by number", {.source_ports = 7}, 7},
	{"flows by number", {.source_flows = 9}, 9},
};

Test(dataplane_source, the_greedy_leaves_room)
{
	for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		for (unsigned tcp = 0; tcp < 2; tcp++) {
			uint8_t proto = tcp ? PROTO_TCP : PROTO_UDP;
			struct bench b;
			unsigned got;

			bench_open(&b, &limits[i].options);
			got = open_flows(&b, "10.0.0.2", limits[i].greedy + 20, proto, true);
			cr_expect_eq(got, limits[i].greedy, "%s: %u, not %u", limits[i].name, got,
				     limits[i].greedy);
			cr_expect_eq(bench_drops(&b, REASON_SOURCE_LIMIT), 20);
			cr_expect_eq(bench_drops(&b, REASON_NO_PORT), 0);
			cr_expect(open_flow(&b, "10.0.0.3", 1, proto, true), "%s: the other",
				  limits[i].name);
			cr_expect(open_flow(&b, "10.0.0.2", 2000, proto, false),
				  "%s: what it has it keeps", limits[i].name);
			bench_close(&b);
		}
	}
}

/* A mapping that is there serves any destination: it costs no port more. */
Test(dataplane_source, more_destinations_cost_no_port)
{
	struct packets_spec spec = bench_spec(PROTO_UDP, "10.0.0.2", "198.51.100.9");
	struct bench b;

	bench_open(&b, &(struct bench_options){.source_ports = 1});
	cr_assert(open_flow(&b, "10.0.0.2", 1, PROTO_UDP, true));
	spec.src_port = 1;
	for (unsigned i = 0; i < 20; i++) {
		spec.dst[3]++;
		bench_send(&b, &spec);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT), "destination %u", i);
	}
	spec.src_port = 2;
	bench_send(&b, &spec);
	cr_expect_eq(bench_drops(&b, REASON_SOURCE_LIMIT), 1);
	bench_close(&b);
}

/* By default half of the table; where a set of it is full, its own flows go for others. */
Test(dataplane_source, half_of_the_flows)
{
	enum { FLOWS = 512 };
	struct bench b;

	bench_open(&b,
		   &(struct bench_options){.ports = 2000, .source_ports = 2000, .flows = FLOWS});
	open_flows(&b, "10.0.0.2", FLOWS, PROTO_UDP, true);
	bench_wait(&b, 10);
	cr_expect_leq(bench_flows(&b), FLOWS / 2, "%zu flows", bench_flows(&b));
	cr_expect_geq(bench_flows(&b), FLOWS / 3, "%zu flows", bench_flows(&b));
	cr_expect_gt(bench_drops(&b, REASON_SOURCE_LIMIT), 0);
	bench_close(&b);
}

/* The sender is told by ICMP 3/13, of TCP as well. */
Test(dataplane_source, is_told)
{
	static const uint8_t protos[] = {PROTO_UDP, PROTO_TCP, PROTO_ICMP};

	for (unsigned i = 0; i < 3; i++) {
		struct bench b;

		bench_open(&b, &(struct bench_options){.source_ports = 1});
		cr_assert(open_flow(&b, "10.0.0.2", 1, PROTO_UDP, true));
		cr_assert_not(open_flow(&b, "10.0.0.2", 2, protos[i], true));
		cr_assert(bench_take_tun(&b));
		cr_expect_eq(b.packet.kind, PACKET_ICMP_ERROR);
		cr_expect_eq(b.out.data[b.packet.l4_offset], 3);
		cr_expect_eq(b.out.data[b.packet.l4_offset + 1], 13);
		cr_expect_null(packets_check_quote(&b.out));
		bench_close(&b);
	}
}

/* Answers are worth no more than they cost: 10 a millisecond. */
Test(dataplane_source, is_told_at_a_rate)
{
	unsigned told = 0;
	struct bench b;

	bench_open(&b, &(struct bench_options){.source_ports = 1});
	cr_assert(open_flow(&b, "10.0.0.2", 1, PROTO_UDP, true));
	for (unsigned i = 0; i < 3000; i++) {
		open_flow(&b, "10.0.0.2", (uint16_t)(2 + i), PROTO_UDP, false);
		while (bench_take_tun(&b))
			told++;
	}
	cr_expect_eq(told, 1000);
	bench_wait(&b, 5);
	for (unsigned i = 0; i < 100; i++) {
		open_flow(&b, "10.0.0.2", (uint16_t)(2 + i), PROTO_UDP, false);
		while (bench_take_tun(&b))
			told++;
	}
	cr_expect_eq(told, 1050);
	bench_close(&b);
}

/* At its limit a source gives up flows of its own that nothing answered, and no others. */
Test(dataplane_source, unanswered_flows_make_room)
{
	struct bench b;

	bench_open(&b, &(struct bench_options){.source_ports = 10, .flows = 64});
	for (uint16_t i = 0; i < 5; i++) {
		cr_assert(open_flow(&b, "10.0.0.2", (uint16_t)(100 + i), PROTO_TCP, true));
		cr_assert(open_flow(&b, "10.0.0.3", (uint16_t)(100 + i), PROTO_UDP, false));
		bench_wait(&b, 1000);
	}
	cr_expect_eq(open_flows(&b, "10.0.0.2", 50, PROTO_TCP, false), 50);
	cr_expect_eq(bench_drops(&b, REASON_SOURCE_LIMIT), 0);
	for (uint16_t i = 0; i < 5; i++)
		cr_expect(open_flow(&b, "10.0.0.2", (uint16_t)(100 + i), PROTO_TCP, true),
			  "answered flow %u", i);
	bench_wait(&b, 10);
	cr_expect_eq(bench_flows(&b), 15, "%zu flows", bench_flows(&b));
	bench_close(&b);
}

/* What ends gives back. */
Test(dataplane_source, flows_that_end_make_room)
{
	struct bench b;

	bench_open(&b, &(struct bench_options){.source_ports = 10, .source_flows = 10});
	for (unsigned round = 0; round < 5; round++) {
		cr_expect_eq(open_flows(&b, "10.0.0.2", 12, PROTO_UDP, true), 10);
		for (unsigned i = 0; i < 40; i++)
			bench_wait(&b, 10000); /* each turn looks through a piece of the table */
		cr_expect_eq(bench_flows(&b), 0);
	}
	bench_close(&b);
}

/* Each queue has its share. */
Test(dataplane_source, shares_are_rounded_up)
{
	struct bench b;

	bench_open(&b, &(struct bench_options){.queues = 4, .source_ports = 10});
	cr_expect_eq(open_flows(&b, "10.0.0.2", 12, PROTO_UDP, true), 3);
	bench_close(&b);
}
