/*
 * Super-packets through the whole worker, both ways. What hardware makes of one that was
 * translated is, byte for byte, what becomes of its segments when each is sent by itself, and what
 * the models (packets_segment, translate_packet) say: payloads, checksums, sequence numbers, IDs,
 * flags, options, hop limits, ECN, MSS.
 */
#include "dataplane/worker.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/wire.h"
#include "tests/dataplane/bench.h"
#include "tests/model/packets.h"
#include "tests/model/translate.h"

TestSuite(dataplane_super, .timeout = 120);

enum {
	ROUNDS = 1200,
	ROUNDS_A_BENCH = 40,
	SEGMENTS_MAX = 1500,
	HEADERS_MAX = 120, /* of IPv4 and TCP, both with options */
};

/* Packets, each in memory of its own that is just as large. */
struct packets {
	struct buf *at;
	unsigned count;
};

static void add(struct packets *list, const struct buf *buf)
{
	struct buf *copy;

	list->at = realloc(list->at, (list->count + 1) * sizeof(*list->at));
	cr_assert(list->at);
	copy = &list->at[list->count++];
	*copy = *buf;
	copy->data = malloc(buf->len);
	cr_assert(copy->data);
	memcpy(copy->data, buf->data, buf->len);
}

static void clear(struct packets *list)
{
	for (unsigned i = 0; i < list->count; i++)
		free(list->at[i].data);
	free(list->at);
	*list = (struct packets){0};
}

/* Add what hardware makes of a packet. */
static void add_segments(struct packets *list, const struct buf *buf, uint8_t *memory)
{
	struct buf segment = {.data = memory};

	for (unsigned i = 0; packets_segment(buf, i, &segment); i++)
		add(list, &segment);
}

struct play {
	struct bench bench;
	uint64_t seed;
	unsigned round;
	int egress;              /* -1: into the TUN */
	struct packets single;   /* of the segments, sent one by one */
	struct packets together; /* of the super-packet */
	struct packets want;     /* as the model has it */
	uint8_t *memory;
};

static unsigned below(struct play *p, unsigned limit)
{
	return (unsigned)((packets_rand(&p->seed) >> 33) % limit);
}

static void take_all(struct play *p, struct packets *list)
{
	struct bench *b = &p->bench;

	while (p->egress >= 0 ? bench_take_nic(b, p->egress) : bench_take_tun(b))
		add_segments(list, &b->out, p->memory);
}

static void compare(const struct play *p, const char *what, const struct buf *got,
		    const struct buf *want)
{
	cr_assert_eq(got->len, want->len, "round %u, %s: %u bytes, want %u", p->round, what,
		     got->len, want->len);
	for (unsigned i = 0; i < got->len; i++)
		cr_assert_eq(got->data[i], want->data[i],
			     "round %u, %s, byte %u of %u: %02x, want %02x", p->round, what, i,
			     got->len, got->data[i], want->data[i]);
}

/* Put fragments that come in order together, as a receiver does; returns how many they were. */
static unsigned join(const struct packets *list, unsigned from, struct buf *whole)
{
	unsigned i = from;
	bool more = true;

	*whole = (struct buf){.data = whole->data};
	for (; more; i++) {
		const uint8_t *ip = list->at[i].data;
		uint32_t header = (ip[0] & 15) * 4u;

		cr_assert_lt(i, list->count);
		more = wire_get16(ip + IP4_FRAGMENT) & 0x2000;
		if (i == from) {
			memcpy(whole->data, ip, header);
			whole->len = header;
		}
		cr_assert_eq(whole->len - (whole->data[0] & 15) * 4u,
			     (wire_get16(ip + IP4_FRAGMENT) & 0x1fff) * 8u);
		memcpy(whole->data + whole->len, ip + header, list->at[i].len - header);
		whole->len += list->at[i].len - header;
	}
	wire_put16(whole->data + IP4_TOTAL, (uint16_t)whole->len);
	wire_put16(whole->data + IP4_FRAGMENT, 0);
	packets_fix_ip(whole);
	return i - from;
}

static void compare_all(struct play *p, bool cut)
{
	struct buf whole = {.data = p->memory};
	unsigned at = 0;

	cr_assert_eq(p->together.count, p->single.count, "round %u: %u packets, %u singly",
		     p->round, p->together.count, p->single.count);
	for (unsigned i = 0; i < p->single.count; i++)
		compare(p, "single", &p->together.at[i], &p->single.at[i]);
	for (unsigned i = 0; i < p->want.count; i++) {
		cr_assert_lt(at, p->together.count, "round %u: too few", p->round);
		if (cut && (p->together.at[at].data[6] & 0x3f)) {
			at += join(&p->together, at, &whole);
			compare(p, "joined", &whole, &p->want.at[i]);
		} else {
			compare(p, "model", &p->together.at[at++], &p->want.at[i]);
		}
	}
	cr_assert_eq(at, p->together.count, "round %u: too many", p->round);
}

/* Fields that the builder leaves alone. */
static void decorate(struct play *p, const struct packets_spec *spec, struct buf *buf)
{
	uint8_t traffic_class = (uint8_t)below(p, 256);
	unsigned proto;
	uint8_t *l4 = buf->data + packets_transport(buf, &proto, NULL);

	if (spec->version == 4) {
		buf->data[1] = traffic_class;
	} else {
		buf->data[0] = (uint8_t)(0x60 | traffic_class >> 4);
		buf->data[1] = (uint8_t)(traffic_class << 4 | below(p, 16));
	}
	if (proto == PROTO_TCP) {
		unsigned at = 20 + below(p, 2);

		l4[13] |= (uint8_t)(below(p, 4) << 6); /* ECE, CWR */
		if (spec->tcp_options >= 8) {          /* at an even or an odd byte */
			l4[at] = 2;
			l4[at + 1] = 4;
			wire_put16(l4 + at + 2, (uint16_t)below(p, 3000));
		}
		if (buf->offload.gso_type && (l4[13] & TCP_CWR))
			buf->offload.gso_type |= OFFLOAD_GSO_ECN;
	}
	packets_fix(buf);
}

/* Sizes at and around the edges. */
static void choose_sizes(struct play *p, struct packets_spec *spec, unsigned mtu)
{
	static const unsigned edges[] = {1, 2, 7, 8, 535, 536, 1199, 1360, 1440, 1448, 1460, 1472};
	unsigned gso = edges[below(p, sizeof(edges) / sizeof(edges[0]))];

	spec->payload = below(p, 4) ? below(p, 3000) : below(p, 60000);
	if (spec->proto != PROTO_TCP && spec->proto != PROTO_UDP) {
		spec->needs_csum = false;
		spec->payload = below(p, 1300);
		return;
	}
	if (!spec->gso_size) {
		spec->payload = below(p, 2000);
		return;
	}
	if (below(p, 2))
		gso = 1 + below(p, mtu);
	spec->gso_size = (uint16_t)(below(p, 30) ? gso : 65535);
	if (below(p, 3) == 0) /* just n segments, or a last one of a byte */
		spec->payload = gso * (1 + below(p, 8)) + below(p, 2);
	if (spec->payload > spec->gso_size * (unsigned)SEGMENTS_MAX)
		spec->payload = spec->gso_size * (unsigned)SEGMENTS_MAX;
	if (gso > mtu / 2 && spec->payload > 40000)
		spec->payload = 40000; /* in fragments they must find room */
}

static void choose(struct play *p, struct packets_spec *spec)
{
	static const struct {
		const char *src, *dst;
	} ends4[] = {{"10.0.0.5", "198.51.100.7"},
		     {"10.66.0.2", "198.51.3.4"},
		     {"10.0.0.6", "8.8.8.8"}},
	  ends6[] = {{"fd00::5", "2001:db8:51::7"},
		     {"fd66::2", "2001:db8:51::8"},
		     {"fd00::6", "2001:db8:99::1"}};
	unsigned which = below(p, 3);
	struct packets_spec ends;

	packets_random(&p->seed, spec);
	ends = bench_spec(PROTO_UDP, spec->version == 4 ? ends4[which].src : ends6[which].src,
			  spec->version == 4 ? ends4[which].dst : ends6[which].dst);
	memcpy(spec->src, ends.src, sizeof(spec->src));
	memcpy(spec->dst, ends.dst, sizeof(spec->dst));
	p->egress = which == 2 ? BENCH_VPN : BENCH_DIRECT;
	choose_sizes(p, spec, which == 2 ? 1420 : p->bench.mtu);
}

static unsigned mtu_of(const struct play *p, uint8_t version)
{
	unsigned mtu = p->egress == BENCH_VPN ? 1420 : p->bench.mtu;

	return version == 6 && mtu < IP6_MTU_MIN ? IP6_MTU_MIN : mtu;
}

static bool is_own(const uint8_t *addr)
{
	return bench_is(addr, "10.66.0.2") || bench_is(addr, "fd66::2");
}

/* Of a whole packet or a first fragment: the source port, or an echo's identifier. */
static uint16_t port_of(const struct buf *buf)
{
	unsigned proto, at = packets_transport(buf, &proto, NULL);

	return wire_get16(buf->data + at + (proto == PROTO_TCP || proto == PROTO_UDP ? 0 : 4));
}

/* A packet and its segments go in; the model is told what must become of each. */
static void go(struct play *p, struct buf *super, struct translate *change, int from, bool cut)
{
	struct packets given = {0};
	struct bench *b = &p->bench;

	add_segments(&given, super, p->memory);
	if (from < 0)
		bench_send_bytes(b, super);
	else
		bench_receive_bytes(b, from, super);
	take_all(p, &p->together);
	cr_assert_gt(p->together.count, 0, "round %u: nothing came out", p->round);
	if (change->source) /* whatever port was chosen */
		change->port = port_of(&p->together.at[0]);
	for (unsigned i = 0; i < given.count; i++) {
		if (from < 0)
			bench_send_bytes(b, &given.at[i]);
		else
			bench_receive_bytes(b, from, &given.at[i]);
		take_all(p, &p->single);
		translate_packet(change, &given.at[i]);
		add(&p->want, &given.at[i]);
	}
	compare_all(p, cut);
	clear(&given);
	clear(&p->want);
	clear(&p->single);
	clear(&p->together);
}

/* The sender is told of what is too big, once; a reset gets no answer. */
static void check_too_big(struct play *p, const struct packets_spec *spec, struct buf *super)
{
	struct bench *b = &p->bench;

	bench_send_bytes(b, super);
	cr_assert_not(bench_take_nic(b, p->egress), "round %u: too big, and sent", p->round);
	if (spec->proto == PROTO_TCP && (spec->tcp_flags & TCP_RST))
		return;
	cr_assert(bench_take_tun(b), "round %u: too big, and nobody told", p->round);
	cr_assert_eq(b->packet.kind, PACKET_ICMP_ERROR);
	cr_assert_eq(wire_get16(b->out.data + b->packet.l4_offset + 6), mtu_of(p, spec->version));
	cr_assert_not(bench_take_tun(b));
}

/* The flow is there before what it is about comes: a reset would make none. */
static void open_flow(struct play *p, const struct packets_spec *spec)
{
	struct packets_spec first = *spec;

	first.tcp_flags = TCP_SYN;
	first.payload = first.gso_size = 0;
	bench_send(&p->bench, &first);
	cr_assert(bench_take_nic(&p->bench, p->egress), "round %u: not opened", p->round);
}

static void answer(struct play *p, const struct packets_spec *spec, const struct translate *out,
		   struct buf *buf)
{
	struct translate back = {.hop = !is_own(spec->src), .port = spec->src_port};
	struct packets_spec in;
	int egress = p->egress;
	unsigned headers = (spec->version == 4 ? 20 : 40) + 20, segment;

	packets_random(&p->seed, &in);
	while (in.version != spec->version || in.proto != spec->proto)
		packets_random(&p->seed, &in);
	choose_sizes(p, &in, 1500);
	/* Longer than the link, it was put together, and is then no longer what may not be cut. */
	segment = in.gso_size && in.gso_size < in.payload ? in.gso_size : in.payload;
	if (segment + HEADERS_MAX > mtu_of(p, 4))
		in.dont_fragment = false;
	memcpy(in.src, spec->dst, sizeof(in.src));
	memcpy(in.dst, out->addr, sizeof(in.dst));
	in.src_port = spec->dst_port;
	in.dst_port = out->port;
	if (in.proto == PROTO_ICMP || in.proto == PROTO_ICMP6)
		in.src_port = out->port;
	memcpy(back.addr, spec->src, sizeof(back.addr));
	back.mss = (uint16_t)(mtu_of(p, spec->version) - headers);
	packets_build(&in, buf);
	decorate(p, &in, buf);
	p->egress = -1;
	go(p, buf, &back, egress, false);
	p->egress = egress;
}

static void play_round(struct play *p, struct buf *buf)
{
	static const char *const outer[][2] = {{"192.0.2.1", "2001:db8:2::1"},
					       {"192.0.3.1", "2001:db8:3::1"}};
	struct translate change = {.source = true};
	struct packets_spec spec, ends;
	unsigned mtu, largest;

	choose(p, &spec);
	mtu = mtu_of(p, spec.version);
	ends = bench_spec(PROTO_UDP, outer[p->egress][spec.version == 6], outer[p->egress][0]);
	memcpy(change.addr, ends.src, sizeof(change.addr));
	change.hop = !is_own(spec.src);
	change.mss = (uint16_t)(mtu - (spec.version == 4 ? 40 : 60));
	packets_build(&spec, buf);
	decorate(p, &spec, buf);
	largest = buf->len;
	if (spec.gso_size && spec.payload > spec.gso_size)
		largest = buf->len - spec.payload + spec.gso_size;
	if (largest > mtu && (spec.version == 6 || spec.dont_fragment)) {
		check_too_big(p, &spec, buf);
		return;
	}
	open_flow(p, &spec);
	go(p, buf, &change, -1, largest > mtu);
	answer(p, &spec, &change, buf);
}

Test(dataplane_super, together_as_one_by_one)
{
	struct play p = {.seed = 0x5e9};
	struct buf buf = {0};

	p.memory = malloc(BUF_SIZE);
	cr_assert(p.memory);
	for (p.round = 0; p.round < ROUNDS; p.round++) {
		if (p.round % ROUNDS_A_BENCH == 0) {
			struct bench_options options = {.mtu = 600 + below(&p, 1200)};

			bench_open(&p.bench, &options);
			buf.data = malloc(BUF_SIZE);
			cr_assert(buf.data);
		}
		play_round(&p, &buf);
		if (p.round % ROUNDS_A_BENCH == ROUNDS_A_BENCH - 1) {
			free(buf.data);
			bench_close(&p.bench);
		}
	}
	free(p.memory);
}
