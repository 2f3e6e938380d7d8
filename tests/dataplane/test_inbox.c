/* Packets that reach the wrong worker go to the right one: once, whole, and in their order. */
#include "dataplane/inbox.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/gather.h"
#include "dataplane/packet.h"
#include "dataplane/reject.h"
#include "tests/dataplane/bench.h"

TestSuite(dataplane_inbox);

enum {
	QUEUES = 4,
	SLICE = 250, /* of 1000 ports */
};

static const char *const remote[2] = {"198.51.100.7", "2001:db8:51::7"};

/* Of an inner endpoint: number n of 200. */
static struct packets_spec endpoint(unsigned n, uint8_t proto)
{
	struct packets_spec spec;
	int v6 = (int)(n & 1);
	char from[32];

	snprintf(from, sizeof(from), v6 ? "fd00::%u" : "10.0.0.%u", 1 + n / 2 % 50);
	spec = bench_spec(proto, from, remote[v6]);
	spec.src_port = (uint16_t)(1000 + n / 100);
	return spec;
}

/* Where the device brings packets of that source. */
static unsigned steered(const struct bench *b, const struct packets_spec *spec)
{
	struct steer_key key = {.port = __builtin_bswap16(spec->src_port),
				.proto = spec->proto,
				.version = spec->version};

	memcpy(key.inner, spec->src, sizeof(key.inner));
	return tun_steer(b->tun, &key);
}

/* Nothing is handed over where the kernel brings all to its place. */
Test(dataplane_inbox, plain_path_has_none)
{
	for (unsigned queues = 2; queues <= 4; queues += 2) {
		struct bench b;

		bench_open(&b, &(struct bench_options){.queues = queues});
		for (unsigned n = 0; n < 400; n++) {
			uint8_t proto = n & 2 ? PROTO_TCP : PROTO_UDP;
			struct packets_spec spec = endpoint(n % 200, proto);

			b.queue = steered(&b, &spec);
			bench_send(&b, &spec);
			cr_assert(bench_take_nic(&b, BENCH_DIRECT));
			cr_assert_eq(b.queue, steered(&b, &spec));
			spec = bench_answer(&b, TCP_SYN | TCP_ACK);
			bench_receive(&b, BENCH_DIRECT, &spec);
			cr_assert(bench_take_tun(&b));
		}
		cr_expect_eq(bench_counters(&b).handed_over, 0);
		cr_expect_eq(bench_counters(&b).taken_over, 0);
		bench_close(&b);
	}
}

/* Without steering: each flow stays in order, and each endpoint has one port outside. */
Test(dataplane_inbox, without_steering)
{
	struct worker_counters c;
	struct bench b;

	bench_open(&b, &(struct bench_options){.queues = QUEUES, .unsteered = true});
	for (unsigned n = 0; n < 200; n++) {
		struct packets_spec spec = endpoint(n, PROTO_UDP);
		unsigned next = 10;
		uint16_t port = 0;

		for (unsigned k = 0; k < 20; k++) {
			b.queue = n % 3;
			spec.payload = 10 + k;
			bench_queue(&b, &spec);
		}
		spec.dst_port = 81;
		b.queue = 3;
		bench_queue(&b, &spec);
		bench_turn(&b);
		for (unsigned k = 0; k < 21; k++) {
			cr_assert(bench_take_nic(&b, BENCH_DIRECT), "%u of %u is lost", k, n);
			cr_expect_eq(b.queue, steered(&b, &spec));
			if (port == 0)
				port = b.packet.key.src_port;
			cr_expect_eq(b.packet.key.src_port, port, "of the endpoint");
			if (b.packet.key.dst_port == 81)
				continue;
			cr_expect_eq(b.out.len - b.packet.payload, next++, "%u of %u: overtaken", k,
				     n);
		}
		cr_assert_not(bench_take_nic(&b, BENCH_DIRECT), "one came twice");
	}
	c = bench_counters(&b);
	cr_expect_gt(c.handed_over, 1000);
	cr_expect_eq(c.handed_over, c.taken_over);
	cr_expect_eq(c.packets_in, 200 * 21, "counted where they came");
	cr_expect_eq(c.drops[REASON_INBOX_FULL], 0);
	bench_close(&b);
}

/* From outside by any queue, and errors both ways. */
Test(dataplane_inbox, answers_and_errors)
{
	uint8_t bytes[REJECT_SIZE_MAX];
	struct buf error = {.data = bytes};

	for (unsigned n = 0; n < 8 * QUEUES; n++) {
		struct packets_spec spec = endpoint(n, n & 2 ? PROTO_TCP : PROTO_UDP), answer;
		unsigned owner;
		struct bench b;

		bench_open(&b, &(struct bench_options){.queues = QUEUES});
		b.queue = owner = steered(&b, &spec);
		spec.tcp_flags = TCP_SYN;
		bench_send(&b, &spec);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		answer = bench_answer(&b, TCP_SYN | TCP_ACK);
		cr_assert(spec.proto == PROTO_TCP ? true : reject_build(&b.packet, NULL, &error));
		b.queue = n / 8;
		bench_receive(&b, BENCH_DIRECT, &answer);
		cr_assert(bench_take_tun(&b), "%u: the answer", n);
		cr_expect_eq(b.packet.key.dst_port, spec.src_port);
		cr_expect_eq(bench_counters(&b).handed_over, owner != n / 8);
		if (spec.proto == PROTO_UDP) {
			bench_receive_bytes(&b, BENCH_DIRECT, &error);
			cr_assert(bench_take_tun(&b), "%u: the error from outside", n);
			cr_expect_null(packets_check_quote(&b.out));
			bench_receive(&b, BENCH_DIRECT, &answer);
			cr_assert(bench_take_tun(&b));
			cr_assert(reject_build(&b.packet, NULL, &error));
			bench_send_bytes(&b, &error);
			cr_assert(bench_take_nic(&b, BENCH_DIRECT), "%u: that from inside", n);
			cr_expect_null(packets_check_quote(&b.out));
			cr_expect_eq(bench_counters(&b).handed_over, owner != n / 8 ? 4 : 0);
		}
		bench_close(&b);
	}
}

/* Not copied, so not cut. */
Test(dataplane_inbox, super_packets)
{
	struct packets_spec spec = endpoint(0, PROTO_TCP);
	struct bench b;

	bench_open(&b, &(struct bench_options){.queues = 2, .unsteered = true});
	b.queue = !steered(&b, &spec);
	spec.payload = 60000;
	spec.needs_csum = true;
	spec.gso_size = 1400;
	bench_send(&b, &spec);
	cr_assert(bench_take_nic(&b, BENCH_DIRECT));
	cr_expect_eq(b.out.len, 60040);
	cr_expect_eq(b.out.offload.gso_size, 1400);
	cr_expect_eq(bench_counters(&b).handed_over, 43, "on the wire");
	bench_close(&b);
}

/* A worker that does not get to its inbox costs packets, and nothing else: again and again. */
Test(dataplane_inbox, full)
{
	struct packets_spec spec = endpoint(0, PROTO_UDP);
	uint64_t lost = 0;
	unsigned owner;
	struct bench b;

	bench_open(&b, &(struct bench_options){.queues = 2, .unsteered = true});
	owner = steered(&b, &spec);
	b.queue = !owner;
	for (unsigned round = 0; round < 5; round++) {
		unsigned came = 0;

		for (unsigned n = 0; n < 3 * 64; n++) {
			bench_queue(&b, &spec);
			if (n % 64 == 64 - 1)
				dataplane_turn(b.dataplane, !owner, b.now_ms);
		}
		lost += 3 * 64 - INBOX_MESSAGES;
		cr_expect_eq(bench_drops(&b, REASON_INBOX_FULL), lost, "round %u", round);
		bench_turn(&b);
		b.queue = !owner;
		while (bench_take_nic(&b, BENCH_DIRECT))
			came++;
		b.queue = !owner;
		cr_expect_eq(came, INBOX_MESSAGES, "round %u", round);
	}
	bench_close(&b);
}

/* Others go on while one worker's inbox is full. */
Test(dataplane_inbox, full_of_many)
{
	struct packets_spec spec = endpoint(0, PROTO_UDP);
	unsigned owner, came = 0;
	struct bench b;

	bench_open(&b, &(struct bench_options){.queues = QUEUES, .unsteered = true});
	owner = steered(&b, &spec);
	for (unsigned q = 0; q < QUEUES; q++) {
		b.queue = q;
		for (unsigned n = 0; q != owner && n < 2 * 64; n++) {
			bench_queue(&b, &spec);
			if (n % 64 == 64 - 1)
				dataplane_turn(b.dataplane, q, b.now_ms);
		}
	}
	cr_expect_eq(bench_drops(&b, REASON_INBOX_FULL), 6 * 64 - INBOX_SIZE);
	bench_turn(&b);
	while (bench_take_nic(&b, BENCH_DIRECT))
		came++;
	cr_expect_eq(came, INBOX_SIZE);
	bench_close(&b);
}

static struct packets_spec piece(struct packets_spec spec, unsigned from, unsigned size)
{
	spec.payload = 2392;
	spec.id = 77;
	spec.fragment = true;
	spec.fragment_from = from;
	spec.fragment_size = size;
	return spec;
}

/* In what order pieces come, and whether each gets through; up to a size of 0. */
static const struct order {
	const char *name;
	unsigned from[5];
	unsigned size[5];
	unsigned out[4]; /* in this order */
	unsigned out_count;
} orders[] = {
	{"in order", {0, 800, 1600}, {800, 800, 800}, {0, 800, 1600}, 3},
	{"the first last", {800, 1600, 0}, {800, 800, 800}, {0, 800, 1600}, 3},
	{"the first between", {1600, 0, 800}, {800, 800, 800}, {0, 1600, 800}, 3},
	{"overlapping", {0, 800, 808, 1600}, {800, 800, 800, 800}, {0, 800}, 2},
	{"overlapping before", {800, 808, 0, 1600}, {800, 800, 800, 800}, {0, 800}, 2},
	{"without the first", {800, 1600}, {800, 800}, {0}, 0},
};

static void expect_pieces(struct bench *b, const struct order *o, bool (*take)(struct bench *),
			  const char *how)
{
	for (unsigned k = 0; k < o->out_count; k++) {
		cr_assert(take(b), "%s, %s: piece %u is lost", o->name, how, k);
		cr_expect_eq(b->packet.fragment_offset, o->out[k], "%s, %s: %u, expected %u",
			     o->name, how, b->packet.fragment_offset, o->out[k]);
	}
	cr_expect_not(take(b), "%s, %s: something more", o->name, how);
}

static bool take_direct(struct bench *b)
{
	return bench_take_nic(b, BENCH_DIRECT);
}

/* From inside, by the queue that their addresses and identification name; the flow's is another. */
Test(dataplane_inbox, fragments_from_inside)
{
	for (unsigned n = 0; n < 8 * sizeof(orders) / sizeof(orders[0]); n++) {
		const struct order *o = &orders[n / 8];
		struct packets_spec whole = endpoint(n & 1, PROTO_UDP);
		unsigned owner, sent = 0;
		char how[64];
		struct bench b;

		bench_open(&b, &(struct bench_options){
				       .queues = QUEUES, .mtu = 9000, .unsteered = n & 2});
		b.queue = owner = steered(&b, &whole);
		bench_send(&b, &whole);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		for (; sent < 5 && o->size[sent]; sent++) {
			struct packets_spec spec = piece(whole, o->from[sent], o->size[sent]);

			b.queue = (owner + (n & 4 ? 1 : 0)) % QUEUES;
			bench_send(&b, &spec);
		}
		snprintf(how, sizeof(how), "IPv%u%s%s", whole.version,
			 n & 2 ? ", without steering" : "", n & 4 ? ", elsewhere" : "");
		expect_pieces(&b, o, take_direct, how);
		bench_wait(&b, GATHER_HELD_MS);
		cr_expect_eq(bench_drops(&b, REASON_FRAGMENT), sent - o->out_count, "%s, %s",
			     o->name, how);
		bench_close(&b);
	}
}

/* From outside the same. */
Test(dataplane_inbox, fragments_from_outside)
{
	for (unsigned n = 0; n < 2 * QUEUES * sizeof(orders) / sizeof(orders[0]); n++) {
		const struct order *o = &orders[n / (2 * QUEUES)];
		struct packets_spec whole = endpoint(n & 1, PROTO_UDP), answer;
		char how[64];
		unsigned sent = 0;
		struct bench b;

		bench_open(&b, &(struct bench_options){.queues = QUEUES});
		b.queue = steered(&b, &whole);
		bench_send(&b, &whole);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		answer = bench_answer(&b, 0);
		for (; sent < 5 && o->size[sent]; sent++) {
			struct packets_spec spec = piece(answer, o->from[sent], o->size[sent]);

			b.queue = n / 2 % QUEUES;
			bench_receive(&b, BENCH_DIRECT, &spec);
		}
		snprintf(how, sizeof(how), "IPv%u by queue %u", whole.version, n / 2 % QUEUES);
		expect_pieces(&b, o, bench_take_tun, how);
		if (o->out_count) {
			cr_expect(memcmp(b.packet.key.dst, whole.src, 16) == 0);
		}
		bench_wait(&b, GATHER_HELD_MS);
		cr_expect_eq(bench_drops(&b, REASON_FRAGMENT), sent - o->out_count, "%s, %s",
			     o->name, how);
		bench_close(&b);
	}
}

/* What nobody asked for makes no difference to what somebody did. */
Test(dataplane_inbox, flood_of_fragments_from_outside)
{
	struct packets_spec whole = endpoint(1, PROTO_UDP), answer, spec;
	struct bench b;
	char from[32];

	bench_open(&b, &(struct bench_options){.queues = 2});
	bench_send(&b, &whole);
	cr_assert(bench_take_nic(&b, BENCH_DIRECT));
	answer = bench_answer(&b, 0);
	for (unsigned n = 0; n < 1000; n++) {
		snprintf(from, sizeof(from), "2001:db8:66::%x", n % 100);
		spec = bench_spec(PROTO_UDP, from, "2001:db8:2::1");
		spec.dst_port = (uint16_t)(BENCH_PORT_FIRST + n);
		spec = piece(spec, n & 1 ? 800 : 0, 800);
		spec.id = (uint16_t)n;
		bench_receive(&b, BENCH_DIRECT, &spec);
		cr_assert_not(bench_take_tun(&b));
		if (n != 500)
			continue;
		for (unsigned k = 0; k < 3; k++) {
			spec = piece(answer, 800 * k, 800);
			bench_receive(&b, BENCH_DIRECT, &spec);
			cr_expect(bench_take_tun(&b), "piece %u", k);
		}
	}
	bench_wait(&b, GATHER_HELD_MS);
	cr_expect_eq(bench_drops(&b, REASON_FRAGMENT), 500);
	cr_expect_eq(bench_drops(&b, REASON_UNSOLICITED), 500);
	bench_close(&b);
}
