/*
 * Packets from one dataplane's TUN to another's, through a tunnel between them; those of what the
 * protocol asks for by name, see test_handshake.c.
 *
 * wg_d3   what is not authentic, or not new, changes nothing at all
 * wg_d5   what is inside is a packet of version 4 or 6, as long as it says, padded
 * wg_d6   it comes from an address of that peer's; if not, only the packet is refused
 * wg_d8   who sends to nobody, or to who is nowhere, is told
 * wg_d9   congestion marks go in and out
 */
#include "dataplane/wireguard/tunnel.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/packet.h"
#include "dataplane/wireguard/outward.h"
#include "dataplane/wireguard/port.h"
#include "tests/wireguard/tunnels.h"
#include "tun/tun_mem.h"
#include "tun/udp_mem.h"

TestSuite(wireguard_tunnel, .timeout = 60);

enum {
	ROUNDS = 600,
};

static const uint8_t versions[] = {4, 6};

/* Take all that came out, and compare its segments with those of what went in, in order. */
static void compare_all(struct tunnels *t, unsigned end, const struct buf *want, unsigned round)
{
	uint8_t *memory = malloc(2 * (size_t)BUF_SIZE);
	struct buf a = {.data = memory}, b = {.data = memory + BUF_SIZE};
	unsigned k = 0;

	cr_assert(memory);
	while (tunnels_take(t, end)) {
		for (unsigned i = 0; packets_segment(&t->out, i, &a); i++, k++) {
			cr_assert(packets_segment(want, k, &b), "round %u: too many", round);
			cr_assert_eq(a.len, b.len, "round %u, segment %u: %u bytes, want %u", round,
				     k, a.len, b.len);
			for (uint32_t at = 0; at < a.len; at++)
				cr_assert_eq(a.data[at], b.data[at],
					     "round %u, segment %u, byte %u: %02x, want %02x",
					     round, k, at, a.data[at], b.data[at]);
		}
	}
	cr_assert_not(packets_segment(want, k, &b), "round %u: %u segments came", round, k);
	free(memory);
}

Test(wireguard_tunnel, a_super_packet_comes_out_as_one)
{
	struct tunnels t;

	tunnels_open(&t, &(struct tunnels_options){0});
	for (unsigned i = 0; i < 8; i++) {
		struct packets_spec spec =
			tunnels_spec(versions[i % 2], i < 4 ? PROTO_TCP : PROTO_UDP, i / 2 % 2);
		struct packet packet;

		spec.needs_csum = true;
		spec.gso_size = 1300;
		spec.payload = 45 * 1300;
		spec.id = 0xfff0;
		t.looked = t.messages = 0;
		tunnels_send(&t, i / 2 % 2, &spec);
		cr_assert_geq(t.looked, 45);
		if (i == 1)
			cr_assert_eq(t.messages, 1, "%u messages", t.messages);
		cr_assert(tunnels_take(&t, 1 - i / 2 % 2), "case %u", i);
		cr_assert_eq(packet_parse(&t.out, &packet), REASON_NONE);
		cr_assert_eq(packet_segments(&packet), 45, "case %u: %u segments", i,
			     packet_segments(&packet));
		cr_assert_eq(t.out.len, t.in.len);
		cr_assert_eq(memcmp(t.out.data, t.in.data, t.in.len), 0, "case %u", i);
		cr_assert_eq(memcmp(&t.out.offload, &t.in.offload, sizeof(t.in.offload)), 0);
		cr_assert_not(tunnels_take(&t, 1 - i / 2 % 2));
	}
	tunnels_close(&t);
}

Test(wireguard_tunnel, any_packet_comes_out_as_it_went_in)
{
	uint64_t seed = 20251107;
	struct tunnels t;

	tunnels_open(&t, &(struct tunnels_options){.queues = 2});
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct packets_spec spec, ends;
		unsigned end = round % 2;

		packets_random(&seed, &spec);
		ends = tunnels_spec(spec.version, spec.proto, end);
		memcpy(spec.src, ends.src, sizeof(spec.src));
		memcpy(spec.dst, ends.dst, sizeof(spec.dst));
		if (spec.payload > 60000)
			spec.payload = 60000;
		tunnels_send(&t, end, &spec);
		compare_all(&t, 1 - end, &t.in, round);
	}
	for (unsigned end = 0; end < 2; end++)
		for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++)
			cr_assert_eq(tunnels_drops(&t, end, r), 0, "%s", reason_name(r));
	tunnels_close(&t);
}

static unsigned lose_all(struct tunnels *t, unsigned to, struct udp_message *m)
{
	(void)t;
	(void)to;
	(void)m;
	return 0;
}

Test(wireguard_tunnel, packets_wait_for_the_session_in_order)
{
	struct tunnels t;

	tunnels_open(&t, &(struct tunnels_options){0});
	t.look = lose_all;
	for (unsigned i = 0; i < 140; i++) {
		struct packets_spec spec = tunnels_spec(4, PROTO_UDP, 0);

		spec.src_port = (uint16_t)i;
		tunnels_queue(&t, 0, &spec);
	}
	tunnels_turn(&t);
	cr_assert_eq(tunnels_drops(&t, 0, REASON_NO_SESSION), 12);
	t.look = NULL;
	t.now_ms += 6000;
	tunnels_turn(&t);
	for (unsigned i = 12; i < 140; i++) {
		struct packet packet;

		cr_assert(tunnels_take(&t, 1), "packet %u", i);
		cr_assert_eq(packet_parse(&t.out, &packet), REASON_NONE);
		cr_assert_eq(packet.key.src_port, i, "%u, want %u", packet.key.src_port, i);
	}
	tunnels_close(&t);
}

/*
 * A session that begins in the millisecond of the last look wakes the worker, which must not think
 * that it has looked already: it would sleep for a second.
 */
Test(wireguard_tunnel, who_was_woken_looks_again_in_the_same_millisecond)
{
	static const uint8_t nothing[100];
	const struct wg_stage_peer nobody = {.number = 7, .id = 7};
	const struct buf buf = {.data = (uint8_t *)nothing, .len = sizeof(nothing)};
	struct worker *w = aligned_alloc(_Alignof(struct worker), sizeof(*w));
	struct wg_port *port;
	struct tunnels t;

	tunnels_open(&t, &(struct tunnels_options){0});
	cr_assert(w);
	memset(w, 0, sizeof(*w));
	w->now_ms = 5;
	cr_assert_eq(
		wg_port_create(&(struct wg_port_options){.tunnel = t.ends[0].tunnel, .workers = 1},
			       &port),
		0);
	wg_outward_retry(w, port); /* nothing waits: this is no look */
	for (unsigned i = 1; i <= 2; i++) {
		cr_assert_eq(wg_stage_add(port->stage, &nobody, &buf), 0);
		wg_outward_retry(w, port);
		cr_expect_eq(w->counters.drops[REASON_NO_PEER], i, "look %u", i);
		wg_port_rest(port);
	}
	wg_port_destroy(port);
	free(w);
	tunnels_close(&t);
}

Test(wireguard_tunnel, packets_that_wait_are_dropped_when_the_peer_is_silent)
{
	struct packets_spec spec = tunnels_spec(4, PROTO_UDP, 0);
	struct tunnels t;

	tunnels_open(&t, &(struct tunnels_options){0});
	t.look = lose_all;
	for (unsigned i = 0; i < 5; i++)
		tunnels_queue(&t, 0, &spec);
	for (unsigned i = 0; i < 200; i++) {
		tunnels_turn(&t);
		t.now_ms += 1000;
	}
	cr_assert_eq(tunnels_drops(&t, 0, REASON_NO_SESSION), 5);
	t.look = NULL;
	tunnels_send(&t, 0, &spec);
	cr_assert(tunnels_take(&t, 1), "new packets begin anew");
	cr_assert_not(tunnels_take(&t, 1));
	tunnels_close(&t);
}

Test(wireguard_tunnel, wg_d8_what_goes_nowhere_is_answered)
{
	static const uint8_t types[] = {3, 1}, codes[] = {1, 3};
	struct tunnels t;

	tunnels_open(&t, &(struct tunnels_options){.no_endpoint = true});
	for (unsigned i = 0; i < 4; i++) {
		unsigned end =
			i /
			2; /* that of end 0 has no endpoint, that of end 1 not these addresses */
		struct packets_spec spec = tunnels_spec(versions[i % 2], PROTO_TCP, end);
		const uint8_t *icmp;

		spec.dst[2] = end == 1 ? 77 : spec.dst[2];
		tunnels_send(&t, end, &spec);
		cr_assert(tunnels_take(&t, end), "case %u", i);
		icmp = t.out.data + (versions[i % 2] == 4 ? 20 : 40);
		cr_assert_eq(icmp[0], types[i % 2], "case %u: type %u", i, icmp[0]);
		cr_assert_eq(icmp[1], codes[i % 2], "case %u: code %u", i, icmp[1]);
		cr_assert_eq(tunnels_drops(&t, end, end ? REASON_NO_PEER : REASON_NO_ENDPOINT),
			     i % 2 + 1);
		cr_assert_not(tunnels_take(&t, 1 - end));
	}
	cr_assert_eq(t.looked, 0);
	tunnels_close(&t);
}

/* Somebody on the network who is neither end. */
static struct udp *open_stranger(void)
{
	struct udp_options options = {.queues = 1};
	struct udp *stranger;

	cr_assert_eq(udp_open(&options, &stranger), 0);
	return stranger;
}

/* The first peer of an end. */
static struct wg_peer *peer_of(const struct tunnels *t, unsigned end)
{
	const struct wg_allowed *allowed = wg_device_allowed(wg_tunnel_device(t->ends[end].tunnel));

	cr_assert(allowed->peers[1]);
	return allowed->peers[1];
}

enum { TRUE, FORGED, AGAIN };

/* End 0's own words to end 1, whatever they are, but sent by a stranger. */
static void say(struct tunnels *t, struct udp *stranger, const void *inner, uint32_t size,
		unsigned how)
{
	struct wg_keypair *keypair = wg_peer_sending(peer_of(t, 0), t->now_ms * 1000000);
	uint8_t data[2048];
	struct udp_message m = {.data = data,
				.len = size + WG_DATA_OVERHEAD,
				.segment = size + WG_DATA_OVERHEAD,
				.endpoint = {.version = 4, .addr = {127, 0, 0, 1}}};
	struct wg_aead *aead;
	uint64_t counter;

	cr_assert(keypair && (how == AGAIN || wg_keypair_take(keypair, 1, &counter) == 1));
	counter = keypair->next - 1;
	cr_assert_eq(wg_aead_create(WG_AEAD_LIBCRYPTO, &aead), 0);
	wg_data_header(data, keypair->remote_index, counter);
	memcpy(data + WG_DATA_HEADER, inner, size);
	wg_aead_seal(aead, keypair->send_key, counter, data + WG_DATA_HEADER, size,
		     data + WG_DATA_HEADER);
	wg_aead_destroy(aead);
	data[m.len - 1] ^= how == FORGED;
	m.endpoint.port = udp_port(wg_tunnel_udp(t->ends[1].tunnel));
	cr_assert_eq(udp_send_burst(udp_queue_at(stranger, 0), &m, 1), 0);
	tunnels_turn(t);
}

static uint16_t port_of_peer(const struct tunnels *t, unsigned end)
{
	struct udp_endpoint e;

	cr_assert(wg_peer_endpoint(peer_of(t, end), &e));
	return e.port;
}

/* A session, in which both have spoken. */
static void meet(struct tunnels *t)
{
	for (unsigned end = 0; end < 2; end++) {
		struct packets_spec spec = tunnels_spec(4, PROTO_UDP, end);

		tunnels_send(t, end, &spec);
		cr_assert(tunnels_take(t, 1 - end));
	}
}

/* Padding, too: one is a copy of the other. */
static bool is_same(const void *a, const void *b, size_t size)
{
	return memcmp(a, b, size) == 0;
}

/* The peer and its keypair, byte for byte: marks, counters, endpoint and window are all in there.
 */
Test(wireguard_tunnel, wg_d3_what_is_not_authentic_changes_nothing)
{
	struct packets_spec spec = tunnels_spec(4, PROTO_UDP, 0);
	struct udp *stranger = open_stranger(), *another = open_stranger();
	struct wg_device_counters counters, counters_after;
	struct wg_keypair keypair;
	struct wg_peer *peer, before;
	struct tunnels t;

	tunnels_open(&t, &(struct tunnels_options){0});
	meet(&t);
	packets_build(&spec, &t.in);
	t.now_ms += 1000;
	peer = peer_of(&t, 1);
	before = *peer;
	keypair = *peer->current;
	wg_device_read_counters(wg_tunnel_device(t.ends[1].tunnel), &counters);
	for (unsigned i = 0; i < 3; i++)
		say(&t, stranger, t.in.data, i == 2 ? 0 : t.in.len, FORGED);
	cr_assert_eq(tunnels_drops(&t, 1, REASON_NOT_AUTHENTIC), 3);
	cr_assert_not(tunnels_take(&t, 1));
	cr_assert(is_same(peer, &before, sizeof(before)), "the peer has changed");
	cr_assert(is_same(peer->current, &keypair, sizeof(keypair)), "the keypair has");
	wg_device_read_counters(wg_tunnel_device(t.ends[1].tunnel), &counters_after);
	cr_assert_eq(memcmp(&counters, &counters_after, sizeof(counters)), 0);
	/* The same words, true: all of it moves. */
	say(&t, stranger, t.in.data, t.in.len, TRUE);
	cr_assert(tunnels_take(&t, 1));
	cr_assert_eq(port_of_peer(&t, 1), udp_port(stranger));
	cr_assert_not(is_same(peer->current, &keypair, sizeof(keypair)));
	before = *peer;
	say(&t, another, t.in.data, t.in.len, AGAIN);
	cr_assert_eq(tunnels_drops(&t, 1, REASON_REPLAYED), 1);
	cr_assert(is_same(peer, &before, sizeof(before)), "the peer has changed");
	udp_close(another);
	udp_close(stranger);
	tunnels_close(&t);
}

Test(wireguard_tunnel, wg_d5_what_is_inside_is_a_whole_packet)
{
	static const struct {
		uint32_t size;
		uint8_t head[6]; /* what follows is zero */
	} cases[] = {
		{1, {0x45}},
		{16, {0x45, 0, 0, 16}},
		{19, {0x45, 0, 0, 19}},
		{32, {0}},
		{32, {0x55, 0, 0, 32}},
		{32, {0xf5, 0, 0, 32}},
		{32, {0x44, 0, 0, 32}},            /* a header of 16 bytes */
		{32, {0x46, 0, 0, 20}},            /* less than its header */
		{32, {0x45, 0, 0, 19}},            /* likewise */
		{32, {0x45, 0, 0, 33}},            /* more than there is */
		{32, {0x45, 0, 0xff, 0xff}},       /* likewise */
		{32, {0x60}},                      /* no whole header */
		{48, {0x60, 0, 0, 0, 0, 9}},       /* more than there is */
		{48, {0x60, 0, 0, 0, 0xff, 0xff}}, /* likewise */
	};
	struct udp *stranger = open_stranger();
	struct packets_spec spec;
	uint8_t inner[2048];
	struct tunnels t;

	tunnels_open(&t, &(struct tunnels_options){0});
	meet(&t);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = peer_of(&t, 1)->rx_bytes;

		memset(inner, 0, sizeof(inner));
		memcpy(inner, cases[i].head, sizeof(cases[i].head));
		say(&t, stranger, inner, cases[i].size, TRUE);
		cr_assert_eq(tunnels_drops(&t, 1, REASON_MALFORMED), i + 1, "case %u", i);
		cr_assert_not(tunnels_take(&t, 1), "case %u", i);
		cr_assert_eq(peer_of(&t, 1)->rx_bytes - before, cases[i].size + WG_DATA_OVERHEAD,
			     "case %u: it was authentic", i);
	}
	/* As long as it says, whatever follows. */
	for (unsigned i = 0; i < 4; i++) {
		spec = tunnels_spec(versions[i % 2], PROTO_UDP, 0);
		packets_build(&spec, &t.in);
		memset(inner, 0xff, sizeof(inner));
		memcpy(inner, t.in.data, t.in.len);
		say(&t, stranger, inner, t.in.len + (i / 2) * 77, TRUE);
		compare_all(&t, 1, &t.in, i);
	}
	udp_close(stranger);
	tunnels_close(&t);
}

Test(wireguard_tunnel, wg_d6_a_source_that_is_not_the_peers_is_dropped)
{
	struct udp *stranger = open_stranger();
	struct tunnels t;

	tunnels_open(&t, &(struct tunnels_options){0});
	meet(&t);
	for (unsigned i = 0; i < 2; i++) {
		struct packets_spec spec = tunnels_spec(versions[i], PROTO_TCP, 0), good = spec;
		uint64_t bytes = peer_of(&t, 1)->rx_bytes, received_ns;

		spec.src[3] ^= 0x40;
		t.now_ms += 11000; /* what came before has been answered by a keepalive */
		tunnels_turn(&t);
		received_ns = peer_of(&t, 1)->received_ns;
		tunnels_send(&t, 0, &spec);
		cr_assert_not(tunnels_take(&t, 1));
		cr_assert_eq(tunnels_drops(&t, 1, REASON_NOT_ALLOWED), 3 * i + 1);
		/* Who it is and where is known all the same: it is heard, and followed. */
		cr_assert_gt(peer_of(&t, 1)->rx_bytes, bytes);
		cr_assert_gt(peer_of(&t, 1)->received_ns, received_ns);
		cr_assert_neq(peer_of(&t, 1)->unacknowledged_ns, 0, "a keepalive is due");
		packets_build(&spec, &t.in);
		say(&t, stranger, t.in.data, t.in.len, TRUE);
		cr_assert_eq(tunnels_drops(&t, 1, REASON_NOT_ALLOWED), 3 * i + 2);
		cr_assert_eq(port_of_peer(&t, 1), udp_port(stranger));
		tunnels_queue(&t, 0, &good); /* and in one message with what is the peer's */
		tunnels_send(&t, 0, &spec);
		cr_assert(tunnels_take(&t, 1) && !tunnels_take(&t, 1));
	}
	udp_close(stranger);
	tunnels_close(&t);
}

struct look {
	uint8_t tos;          /* of the last message of data */
	uint8_t set_tos;      /* what it becomes; 0xff: it stays */
	uint32_t sizes[4096]; /* how many datagrams of a size there were */
	unsigned times;
	int flip; /* byte, from the end of each datagram; -1: none */
};

static unsigned look_on(struct tunnels *t, unsigned to, struct udp_message *m)
{
	struct look *look = t->context;

	(void)to;
	if (m->data[0] != UDP_TYPE_SESSION)
		return 1;
	look->tos = m->tos;
	if (look->set_tos != 0xff)
		m->tos = look->set_tos;
	for (uint32_t at = 0; at < m->len; at += m->segment) {
		uint32_t left = m->len - at;
		uint32_t size = left < m->segment ? left : m->segment;

		if (size < 4096)
			look->sizes[size]++;
		if (look->flip >= 0)
			m->data[at + size - 1 - (uint32_t)look->flip] ^= 4;
	}
	return look->times;
}

static void open_look(struct tunnels *t, struct look *look, const struct tunnels_options *options)
{
	struct packets_spec spec = tunnels_spec(4, PROTO_UDP, 0);

	memset(look, 0, sizeof(*look));
	look->set_tos = 0xff;
	look->times = 1;
	look->flip = -1;
	tunnels_open(t, options);
	tunnels_send(t, 0, &spec);
	cr_assert(tunnels_take(t, 1));
	t->look = look_on;
	t->context = look;
}

Test(wireguard_tunnel, padding_ends_at_the_mtu)
{
	static const struct {
		unsigned payload; /* behind 28 bytes */
		uint32_t size;
	} cases[] = {{0, 64},      {4, 64},      {5, 80},      {20, 80},    {1380, 1440},
		     {1381, 1452}, {1392, 1452}, {1393, 1468}, {1398, 1468}};
	struct look look;
	struct tunnels t;

	open_look(&t, &look, &(struct tunnels_options){0});
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packets_spec spec = tunnels_spec(4, PROTO_UDP, 0);

		spec.payload = cases[i].payload;
		memset(look.sizes, 0, sizeof(look.sizes));
		tunnels_send(&t, 0, &spec);
		for (uint32_t size = 33; size < 4096; size++)
			cr_expect_eq(look.sizes[size], size == cases[i].size,
				     "%u bytes: %u datagrams of %u, want %u", cases[i].payload + 28,
				     look.sizes[size], size, cases[i].size);
		compare_all(&t, 1, &t.in, i);
	}
	tunnels_close(&t);
}

/* RFC 6040, figures 3 and 4. */
Test(wireguard_tunnel, wg_d9_congestion_marks_go_in_and_out)
{
	enum { DROP = 4 };
	static const uint8_t want[4][4] = {/* outer: none, 1, 0, congested */
					   {0, 0, 0, DROP},
					   {1, 1, 1, 3},
					   {2, 1, 2, 3},
					   {3, 3, 3, 3}};
	struct look look;
	struct tunnels t;

	open_look(&t, &look, &(struct tunnels_options){0});
	for (unsigned i = 0; i < 32; i++) {
		unsigned inner = i / 4 % 4, outer = i % 4;
		struct packets_spec spec = tunnels_spec(versions[i / 16], PROTO_UDP, 0);
		uint8_t got;

		packets_build(&spec, &t.in);
		t.in.data[1] |= (uint8_t)(i / 16 ? inner << 4 : 0xb8 | inner);
		packets_fix_ip(&t.in);
		cr_assert_eq(tun_mem_inject(t.ends[0].tun, 0, t.in.data, t.in.len, NULL), 0);
		look.set_tos = (uint8_t)(0xb8 | outer);
		tunnels_turn(&t);
		cr_expect_eq(look.tos, inner, "outside %02x, inside %u", look.tos, inner);
		if (!tunnels_take(&t, 1)) {
			cr_expect_eq(want[inner][outer], DROP, "%u in %u is gone", inner, outer);
			continue;
		}
		got = (i / 16 ? t.out.data[1] >> 4 : t.out.data[1]) & 3;
		cr_expect_eq(got, want[inner][outer], "%u in %u: %u", inner, outer, got);
		cr_expect_eq(i / 16 ? 0 : t.out.data[1] >> 2, i / 16 ? 0 : 0x2e, "DSCP");
	}
	cr_expect_eq(tunnels_drops(&t, 1, REASON_CONGESTED), 2);
	tunnels_close(&t);
}

Test(wireguard_tunnel, what_comes_twice_or_changed_is_dropped)
{
	struct packets_spec spec = tunnels_spec(6, PROTO_TCP, 0);
	struct look look;
	struct tunnels t;

	open_look(&t, &look, &(struct tunnels_options){0});
	spec.needs_csum = true;
	spec.gso_size = 1000;
	spec.payload = 5000;
	look.times = 2;
	tunnels_send(&t, 0, &spec);
	compare_all(&t, 1, &t.in, 0);
	cr_assert_eq(tunnels_drops(&t, 1, REASON_REPLAYED), 5);
	look.times = 1;
	for (look.flip = 0; look.flip < 40; look.flip += 8) {
		tunnels_send(&t, 0, &spec);
		cr_assert_not(tunnels_take(&t, 1), "byte %d", look.flip);
	}
	cr_assert_eq(tunnels_drops(&t, 1, REASON_NOT_AUTHENTIC), 25);
	tunnels_close(&t);
}

/* Of a burst to one peer: only the last datagram of a message may be shorter. */
Test(wireguard_tunnel, packets_of_all_lengths_share_a_burst)
{
	static const unsigned payloads[] = {1000, 1000, 500, 1000, 300, 300, 0, 1000, 1200};
	struct look look;
	struct tunnels t;
	unsigned messages;

	open_look(&t, &look, &(struct tunnels_options){0});
	messages = t.messages;
	for (unsigned i = 0; i < 63; i++) {
		struct packets_spec spec = tunnels_spec(versions[i % 2], PROTO_UDP, 0);

		spec.src_port = (uint16_t)i;
		spec.payload = payloads[i % 9];
		tunnels_queue(&t, 0, &spec);
	}
	tunnels_turn(&t);
	messages = t.messages - messages;
	cr_assert_lt(messages, 63, "one each");
	for (unsigned i = 0; i < 63; i++) {
		struct packet packet;

		cr_assert(tunnels_take(&t, 1), "packet %u", i);
		cr_assert_eq(packet_parse(&t.out, &packet), REASON_NONE);
		cr_assert_eq(packet.key.src_port, i, "%u, want %u", packet.key.src_port, i);
		cr_assert_eq(t.out.len - packet.payload, payloads[i % 9], "packet %u", i);
	}
	tunnels_close(&t);
}

/* The kernel may choose the wrong socket while their number changes. */
Test(wireguard_tunnel, what_comes_to_the_wrong_worker_goes_to_the_right_one)
{
	for (unsigned i = 0; i < 2; i++) {
		struct tunnels_options options = {.queues = 2, .gateway = i, .split = i};
		struct packets_spec spec = tunnels_spec(4, PROTO_TCP, 0);
		uint64_t over = 0;
		struct tunnels t;

		tunnels_open(&t, &options);
		spec.needs_csum = true;
		spec.gso_size = 1000;
		spec.payload = 20000;
		for (unsigned queue = 0; queue < 2; queue++) {
			struct worker_counters c;

			udp_mem_misdirect(wg_tunnel_udp(t.ends[1].tunnel), queue);
			tunnels_send(&t, 0, &spec);
			if (options.gateway)
				while (tunnels_take(&t, 1))
					;
			else
				compare_all(&t, 1, &t.in, i);
			dataplane_read_counters(t.ends[1].dataplane, queue, &c);
			over += c.handed_over;
		}
		cr_expect(over == 20 || over == 21, "%lu, with a keepalive", (unsigned long)over);
		cr_expect_eq(tunnels_drops(&t, 1, REASON_OTHER_WORKER), 0);
		tunnels_close(&t);
	}
}

/* Verdicts are taken, flows are made; replies go back. */
Test(wireguard_tunnel, an_egress_among_others_takes_its_packets)
{
	struct packets_spec spec = tunnels_spec(4, PROTO_TCP, 1);
	struct tunnels t;
	struct packet packet;

	tunnels_open(&t, &(struct tunnels_options){.split = true});
	spec.tcp_flags = TCP_SYN;
	tunnels_send(&t, 1, &spec);
	cr_assert(tunnels_take(&t, 0));
	cr_assert_eq(packet_parse(&t.out, &packet), REASON_NONE);
	cr_assert_eq(t.out.data[8], 63, "one hop, as with any egress");
	spec = tunnels_spec(4, PROTO_TCP, 0);
	tunnels_send(&t, 0, &spec);
	compare_all(&t, 1, &t.in, 0);
	/* Too long, and not to be cut: the sender is told the MTU. */
	spec = tunnels_spec(6, PROTO_UDP, 1);
	spec.payload = TUNNELS_MTU;
	tunnels_send(&t, 1, &spec);
	cr_assert(tunnels_take(&t, 1));
	cr_assert_eq(t.out.data[40], 2);
	cr_assert_eq(t.out.data[46] << 8 | t.out.data[47], TUNNELS_MTU);
	/* The same where the way outside takes less, once that is known. */
	udp_mem_set_path(wg_tunnel_udp(t.ends[1].tunnel), 1400);
	spec = tunnels_spec(6, PROTO_TCP, 1);
	spec.needs_csum = true;
	spec.gso_size = TUNNELS_MTU - 60;
	spec.payload = 5 * spec.gso_size;
	tunnels_send(&t, 1, &spec);
	cr_assert(tunnels_take(&t, 0));
	tunnels_send(&t, 1, &spec);
	cr_assert_not(tunnels_take(&t, 0));
	cr_assert(tunnels_take(&t, 1));
	cr_assert_eq(t.out.data[46] << 8 | t.out.data[47], 1340);
	tunnels_close(&t);
}

/* What enters from a peer takes verdicts, and here they all say: out again, to that peer. */
Test(wireguard_tunnel, a_gateway_decides_what_comes_from_its_peers)
{
	struct packets_spec spec = tunnels_spec(4, PROTO_TCP, 0);
	struct tunnels t;

	tunnels_open(&t, &(struct tunnels_options){.split = true, .gateway = true});
	spec.needs_csum = true;
	spec.gso_size = 1000;
	spec.payload = 5000;
	memcpy(spec.dst, spec.src, 4); /* itself: the gateway's only peer */
	tunnels_send(&t, 0, &spec);
	cr_assert_not(tunnels_take(&t, 1));
	cr_assert(tunnels_take(&t, 0));
	cr_assert_eq(t.out.len, t.in.len);
	cr_assert_eq(t.out.data[8], 63);
	spec = tunnels_spec(4, PROTO_TCP, 0); /* nobody's: the table sends it by the tunnel */
	tunnels_send(&t, 0, &spec);
	cr_assert_eq(tunnels_drops(&t, 1, REASON_NO_PEER), 1);
	tunnels_close(&t);
}

/* A SYN that says that it takes 1460 bytes a segment. Returns: what it says at the other end */
static unsigned syn_through(struct tunnels *t)
{
	struct packets_spec spec = tunnels_spec(4, PROTO_TCP, 0);
	static const uint8_t option[] = {2, 4, 1460 >> 8, 1460 & 255};

	spec.tcp_flags = TCP_SYN;
	spec.payload = 0;
	spec.tcp_options = sizeof(option);
	packets_build(&spec, &t->in);
	memcpy(t->in.data + 40, option, sizeof(option));
	packets_fix(&t->in);
	cr_assert_eq(tun_mem_inject(t->ends[0].tun, 0, t->in.data, t->in.len, NULL), 0);
	tunnels_turn(t);
	cr_assert(tunnels_take(t, 1));
	return (unsigned)t->out.data[42] << 8 | t->out.data[43];
}

/* Send segments of a size, not to be cut. Returns: the MTU that the sender is told; 0: they pass */
static unsigned told_mtu(struct tunnels *t, uint8_t version, unsigned size)
{
	unsigned headers = version == 4 ? 40 : 60;
	struct packets_spec spec = tunnels_spec(version, PROTO_TCP, 0);
	const uint8_t *icmp;

	spec.needs_csum = spec.dont_fragment = true;
	spec.gso_size = (uint16_t)(size - headers);
	spec.payload = 5 * spec.gso_size;
	tunnels_send(t, 0, &spec);
	if (tunnels_take(t, 1)) {
		cr_assert_eq(t->out.len, t->in.len);
		cr_assert_not(tunnels_take(t, 0));
		return 0;
	}
	cr_assert(tunnels_take(t, 0), "IPv%u, %u bytes: neither passed nor answered", version,
		  size);
	icmp = t->out.data + (version == 4 ? 20 : 40);
	cr_assert_eq(icmp[0], version == 4 ? 3 : 2);
	return (unsigned)icmp[6] << 8 | icmp[7];
}

/* All that goes to end 0 is cut up on the way. */
static unsigned cut_up(struct tunnels *t, unsigned to, struct udp_message *m)
{
	m->fragment = to == 0 ? *(const uint32_t *)t->context : 0;
	return 1;
}

/* The kernel lets routers cut up what it segments: they say nothing, but the other end sees it. */
Test(wireguard_tunnel, a_way_that_cuts_is_found_and_told)
{
	uint32_t size = 1396;
	struct tunnels t;

	tunnels_open(&t, &(struct tunnels_options){0});
	meet(&t);
	t.context = &size;
	t.look = cut_up;
	cr_assert_eq(told_mtu(&t, 4, 1420), 0, "nothing has come");
	meet(&t);
	cr_assert_eq(told_mtu(&t, 4, 1420), 1336);
	cr_assert_eq(told_mtu(&t, 4, 1336), 0);
	size = 0;
	t.now_ms += 2000;
	meet(&t);
	cr_assert_eq(told_mtu(&t, 4, 1420), 1336, "what is short and whole says nothing");
	tunnels_close(&t);
}

/* Outside 1400 bytes pass: 60 of them are headers and tag. */
Test(wireguard_tunnel, a_narrow_way_is_found_and_told)
{
	struct wg_peer_change peer = {.set = WG_PEER_UPDATE_ONLY | WG_PEER_ENDPOINT};
	const struct wg_changes changes = {.peers = &peer, .peer_count = 1};
	struct tunnels t;
	struct udp *udp;

	tunnels_open(&t, &(struct tunnels_options){0});
	meet(&t);
	udp = wg_tunnel_udp(t.ends[0].tunnel);
	udp_mem_set_path(udp, 1400);
	cr_assert_eq(told_mtu(&t, 4, 1328), 0, "these fit, padded");
	cr_assert_eq(syn_through(&t), 1460, "nothing is known yet");
	cr_assert_eq(told_mtu(&t, 4, 1420), 0, "the first are cut up outside");
	for (uint8_t k = 0; k < 2; k++)
		cr_assert_eq(told_mtu(&t, versions[k], 1420), 1340, "IPv%u", versions[k]);
	cr_assert_eq(told_mtu(&t, 4, 1341), 1340);
	cr_assert_eq(told_mtu(&t, 4, 1340), 0);
	cr_assert_eq(syn_through(&t), 1300);
	cr_assert_eq(tunnels_drops(&t, 0, REASON_TOO_BIG), 3 * 5);
	/* IPv6 has 1280 always. */
	udp_mem_set_path(udp, 1200);
	t.now_ms += 1000;
	cr_assert_eq(told_mtu(&t, 6, 1340), 0);
	cr_assert_eq(told_mtu(&t, 6, 1281), 1280);
	cr_assert_eq(told_mtu(&t, 6, 1280), 0);
	cr_assert_eq(told_mtu(&t, 4, 1280), 1140);
	/* To another place, or after some time: who knows. */
	udp_mem_set_path(udp, 0);
	cr_assert_eq(told_mtu(&t, 4, 1420), 1140);
	cr_assert(wg_peer_endpoint(peer_of(&t, 0), &peer.endpoint));
	memcpy(peer.public_key, t.ends[1].public_key, WG_KEY);
	for (unsigned k = 0; k < 2; k++) { /* away and back */
		peer.endpoint.addr[3] ^= 1;
		cr_assert_eq(wg_device_apply(wg_tunnel_device(t.ends[0].tunnel), &changes,
					     t.now_ms * 1000000),
			     0);
	}
	cr_assert_eq(told_mtu(&t, 4, 1420), 0);
	wg_peer_note_path(peer_of(&t, 0), 1400, 4, t.now_ms * 1000000);
	for (unsigned k = 0; k < 61; k++) {
		if (k % 20 == 0 && k < 60)
			cr_assert_eq(told_mtu(&t, 4, 1420), 1340, "after %u s", k * 10);
		t.now_ms += 10000;
		meet(&t);
	}
	cr_assert_eq(told_mtu(&t, 4, 1420), 0);
	tunnels_close(&t);
}
