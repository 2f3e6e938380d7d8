/* dataplane/reject.h: which packets are answered, and with what. */
#include "dataplane/reject.h"

#include <criterion/criterion.h>

#include <string.h>

#include "tests/model/packets.h"

TestSuite(dataplane_reject);

static uint8_t given_data[BUF_SIZE];
static uint8_t answer_data[REJECT_SIZE_MAX];

static const uint8_t router[16] = {192, 0, 2, 254, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static unsigned get16(const uint8_t *at)
{
	return at[0] * 256u + at[1];
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static struct packet parse(const struct packets_spec *spec, struct buf *given)
{
	struct packet packet;
	enum reason reason;

	given->data = given_data;
	packets_build(spec, given);
	reason = packet_parse(given, &packet);
	cr_assert(reason == REASON_NONE, "%s", reason_name(reason));
	return packet;
}

/* An answer is right in itself; returns it parsed. */
static struct packet parse_answer(struct buf *answer, const char *name)
{
	struct packet packet;
	enum reason reason;
	struct offload none = {0};

	cr_assert(packets_check(answer) == NULL, "%s: %s", name, packets_check(answer));
	cr_assert(memcmp(&answer->offload, &none, sizeof(none)) == 0, "%s: offload words", name);
	reason = packet_parse(answer, &packet);
	cr_assert(reason == REASON_NONE, "%s: %s", name, reason_name(reason));
	cr_assert(answer->data[packet.key.version == 4 ? 8 : 7] == 64, "%s: hop limit", name);
	return packet;
}

struct reset_case {
	const char *name;
	uint8_t flags;
	unsigned payload;
	uint16_t gso_size;
	/* refusal, and a reset inwards for a segment from the inner side */
	uint32_t seq;
	uint32_t ack;
	uint8_t want_flags;
	/* a reset inwards for a segment from the remote */
	uint32_t seq_on;
	uint32_t ack_on;
	uint8_t want_flags_on;
};

#define SEQ 0xfffffff0
#define ACK 0x11223344

static const struct reset_case resets[] = {
	{"SYN", TCP_SYN, 0, 0, 0, SEQ + 1, TCP_RST | TCP_ACK, SEQ, 0, TCP_RST},
	{"SYN with data", TCP_SYN, 100, 0, 0, 0x55, TCP_RST | TCP_ACK, SEQ, 0, TCP_RST},
	{"SYN FIN", TCP_SYN | TCP_FIN, 0, 0, 0, SEQ + 2, TCP_RST | TCP_ACK, SEQ, 0, TCP_RST},
	{"nothing set", 0, 7, 0, 0, SEQ + 7, TCP_RST | TCP_ACK, SEQ, 0, TCP_RST},
	{"SYN ACK", TCP_SYN | TCP_ACK, 0, 0, ACK, 0, TCP_RST, SEQ, ACK, TCP_RST | TCP_ACK},
	{"ACK", TCP_ACK, 0, 0, ACK, 0, TCP_RST, SEQ, ACK, TCP_RST | TCP_ACK},
	{"data", TCP_ACK | TCP_PSH, 999, 0, ACK, 0, TCP_RST, SEQ, ACK, TCP_RST | TCP_ACK},
	{"super-packet", TCP_ACK, 50000, 1400, ACK, 0, TCP_RST, SEQ, ACK, TCP_RST | TCP_ACK},
	{"super-packet without ACK", 0, 50000, 1400, 0, SEQ + 50000, TCP_RST | TCP_ACK, SEQ, 0,
	 TCP_RST},
};

static struct packets_spec reset_spec(const struct reset_case *c, uint8_t version)
{
	return (struct packets_spec){.version = version,
				     .proto = PROTO_TCP,
				     .src_port = 40000,
				     .dst_port = 443,
				     .tcp_flags = c->flags,
				     .seq = SEQ,
				     .ack = ACK,
				     .tcp_options = 12,
				     .payload = c->payload,
				     .needs_csum = c->gso_size > 0,
				     .gso_size = c->gso_size};
}

/* back: the answer goes to the packet's source */
static void check_reset(const struct packet *to, struct buf *answer, const struct reset_case *c,
			bool back)
{
	struct packet packet = parse_answer(answer, c->name);
	const uint8_t *tcp = answer->data + packet.l4_offset;
	uint32_t seq = back ? c->seq : c->seq_on;
	uint32_t ack = back ? c->ack : c->ack_on;
	uint8_t flags = back ? c->want_flags : c->want_flags_on;

	cr_expect(packet.kind == PACKET_TRANSPORT && packet.key.proto == PROTO_TCP, "%s", c->name);
	cr_expect(memcmp(packet.key.src, back ? to->key.dst : to->key.src, 16) == 0, "%s: source",
		  c->name);
	cr_expect(memcmp(packet.key.dst, back ? to->key.src : to->key.dst, 16) == 0,
		  "%s: destination", c->name);
	cr_expect(packet.key.src_port == (back ? 443 : 40000), "%s: source port", c->name);
	cr_expect(packet.key.dst_port == (back ? 40000 : 443), "%s: destination port", c->name);
	cr_expect(packet.payload == answer->len, "%s: has data", c->name);
	cr_expect(tcp[13] == flags, "%s: flags %02x, want %02x", c->name, tcp[13], flags);
	cr_expect(get32(tcp + 4) == seq, "%s: seq %08x, want %08x", c->name, get32(tcp + 4), seq);
	cr_expect(get32(tcp + 8) == ack, "%s: ack %08x, want %08x", c->name, get32(tcp + 8), ack);
}

Test(dataplane_reject, tcp_resets)
{
	for (size_t i = 0; i < sizeof(resets) / sizeof(resets[0]); i++) {
		for (uint8_t version = 4; version <= 6; version += 2) {
			const struct reset_case *c = &resets[i];
			struct packets_spec spec = reset_spec(c, version);
			struct buf answer = {.data = answer_data};
			struct buf given;
			struct packet packet = parse(&spec, &given);

			cr_assert(reject_build(&packet, router, &answer), "%s", c->name);
			check_reset(&packet, &answer, c, true);
			cr_assert(reject_reset_inner(&packet, true, &answer), "%s", c->name);
			check_reset(&packet, &answer, c, true);
			cr_assert(reject_reset_inner(&packet, false, &answer), "%s", c->name);
			check_reset(&packet, &answer, c, false);
		}
	}
}

enum answer_kind {
	REFUSAL,
	TOO_BIG,
	TIME_EXCEEDED,
};

struct icmp_case {
	const char *name;
	enum answer_kind kind;
	struct packets_spec spec;
	unsigned mtu;
	uint8_t type;
	uint8_t code;
	uint32_t word;
	uint32_t len;
};

static const struct icmp_case icmps[] = {
	{"UDP4", REFUSAL, {.version = 4, .proto = 17, .payload = 10}, 0, 3, 13, 0, 28 + 38},
	{"UDP6", REFUSAL, {.version = 6, .proto = 17, .payload = 10}, 0, 1, 1, 0, 48 + 58},
	{"long UDP4", REFUSAL, {.version = 4, .proto = 17, .payload = 1400}, 0, 3, 13, 0, 576},
	{"long UDP6", REFUSAL, {.version = 6, .proto = 17, .payload = 1400}, 0, 1, 1, 0, 1280},
	{"echo4", REFUSAL, {.version = 4, .proto = 1, .icmp_type = 8}, 0, 3, 13, 0, 28 + 28},
	{"echo6", REFUSAL, {.version = 6, .proto = 58, .icmp_type = 128}, 0, 1, 1, 0, 48 + 48},
	{"GRE4", REFUSAL, {.version = 4, .proto = 47, .payload = 3}, 0, 3, 13, 0, 28 + 23},
	{"offload4",
	 REFUSAL,
	 {.version = 4, .proto = 17, .payload = 1001, .needs_csum = true},
	 0,
	 3,
	 13,
	 0,
	 576},
	{"offload6",
	 REFUSAL,
	 {.version = 6, .proto = 17, .payload = 200, .needs_csum = true},
	 0,
	 1,
	 1,
	 0,
	 48 + 248},
	{"first fragment",
	 REFUSAL,
	 {.version = 4, .proto = 17, .payload = 100, .fragment = true, .fragment_size = 64},
	 0,
	 3,
	 13,
	 0,
	 28 + 84},
	{"too big 4", TOO_BIG, {.version = 4, .proto = 6, .payload = 999}, 1300, 3, 4, 1300, 576},
	{"too big 6", TOO_BIG, {.version = 6, .proto = 6, .payload = 999}, 1280, 2, 0, 1280, 1107},
	{"too big 4, past 16 bits", TOO_BIG, {.version = 4, .proto = 17}, 70000, 3, 4, 65535, 56},
	{"too big 6, past 16 bits", TOO_BIG, {.version = 6, .proto = 17}, 70000, 2, 0, 70000, 96},
	{"super-packet too big",
	 TOO_BIG,
	 {.version = 4, .proto = 6, .payload = 60000, .needs_csum = true, .gso_size = 1448},
	 1300,
	 3,
	 4,
	 1300,
	 576},
	{"time exceeded 4", TIME_EXCEEDED, {.version = 4, .proto = 17}, 0, 11, 0, 0, 56},
	{"time exceeded 6", TIME_EXCEEDED, {.version = 6, .proto = 17}, 0, 3, 0, 0, 96},
};

static bool answer_to(enum answer_kind kind, const struct packet *packet, const uint8_t *from,
		      unsigned mtu, struct buf *out)
{
	if (kind == TOO_BIG)
		return reject_too_big(packet, from, mtu, out);
	if (kind == TIME_EXCEEDED)
		return reject_time_exceeded(packet, from, out);
	return reject_build(packet, from, out);
}

static void check_icmp(const struct icmp_case *c, const uint8_t *from)
{
	struct buf answer = {.data = answer_data};
	struct buf given;
	struct packet to = parse(&c->spec, &given);
	size_t addr_size = c->spec.version == 4 ? 4 : 16;
	struct flow_key key;
	struct packet packet;
	const uint8_t *icmp;
	uint16_t quoted, l4;

	cr_assert(answer_to(c->kind, &to, from, c->mtu, &answer), "%s", c->name);
	packet = parse_answer(&answer, c->name);
	icmp = answer.data + packet.l4_offset;
	cr_expect(packet.kind == PACKET_ICMP_ERROR, "%s: kind %d", c->name, packet.kind);
	cr_expect(memcmp(packet.key.src, from ? from : to.key.dst, addr_size) == 0, "%s: source",
		  c->name);
	cr_expect(memcmp(packet.key.dst, to.key.src, addr_size) == 0, "%s: to", c->name);
	cr_expect(icmp[0] == c->type && icmp[1] == c->code, "%s: type %u code %u, want %u %u",
		  c->name, icmp[0], icmp[1], c->type, c->code);
	cr_expect(get32(icmp + 4) == c->word, "%s: word %u, want %u", c->name, get32(icmp + 4),
		  c->word);
	cr_expect(answer.len == c->len, "%s: len %u, want %u", c->name, answer.len, c->len);
	cr_expect(!packets_check_quote(&answer), "%s: %s", c->name, packets_check_quote(&answer));
	if (to.kind != PACKET_TRANSPORT)
		return;
	cr_assert(packet_quoted(&packet, &key, &quoted, &l4) == REASON_NONE, "%s", c->name);
	cr_expect(memcmp(&key, &to.key, sizeof(key)) == 0, "%s: quotes another flow", c->name);
}

Test(dataplane_reject, icmp_errors)
{
	for (size_t i = 0; i < sizeof(icmps) / sizeof(icmps[0]); i++) {
		check_icmp(&icmps[i], router);
		check_icmp(&icmps[i], NULL);
	}
}

/* The quote is the packet as the sender would know it: with the checksum that it left to us. */
Test(dataplane_reject, quote_has_the_checksum_that_hardware_would_make)
{
	for (uint8_t version = 4; version <= 6; version += 2) {
		for (unsigned payload = 0; payload <= 9000; payload += 999) {
			struct packets_spec spec = {.version = version,
						    .proto = PROTO_UDP,
						    .payload = payload,
						    .needs_csum = true};
			static uint8_t sent_data[BUF_SIZE];
			struct buf sent = {.data = sent_data};
			struct buf answer = {.data = answer_data};
			struct buf given;
			struct packet packet = parse(&spec, &given);
			uint32_t head = version == 4 ? 28 : 48;

			cr_assert(packets_segment(&given, 0, &sent));
			cr_assert(reject_build(&packet, router, &answer));
			cr_expect(memcmp(answer_data + head, sent_data, answer.len - head) == 0,
				  "version %u payload %u", version, payload);
		}
	}
}

/* Segments have checksums, a super-packet has none: its sender knows it as it stands. */
Test(dataplane_reject, quote_of_a_super_packet_is_as_it_came)
{
	struct packets_spec spec = {.version = 4,
				    .proto = PROTO_TCP,
				    .payload = 5000,
				    .needs_csum = true,
				    .gso_size = 1000};
	struct buf answer = {.data = answer_data};
	struct buf given;
	struct packet packet = parse(&spec, &given);

	cr_assert(reject_too_big(&packet, router, 600, &answer));
	cr_expect(memcmp(answer_data + 28, given_data, answer.len - 28) == 0);
}

/* Each sum once: zero would say that the sender made no checksum. */
Test(dataplane_reject, quoted_udp_checksum_never_becomes_zero)
{
	uint8_t payload[2];
	unsigned all_ones = 0;

	for (unsigned i = 0; i <= 0xffff; i++) {
		struct packets_spec spec = {.version = 4,
					    .proto = PROTO_UDP,
					    .payload = 2,
					    .payload_bytes = payload,
					    .needs_csum = true};
		struct buf answer = {.data = answer_data};
		struct buf given;
		struct packet packet;

		payload[0] = (uint8_t)(i >> 8);
		payload[1] = (uint8_t)i;
		packet = parse(&spec, &given);
		cr_assert(reject_build(&packet, router, &answer));
		cr_assert(!packets_check_quote(&answer), "payload %04x", i);
		cr_assert(get16(answer_data + 28 + 26) != 0, "payload %04x", i);
		all_ones += get16(answer_data + 28 + 26) == 0xffff;
	}
	cr_expect(all_ones == 1 || all_ones == 2, "%u checksums are 0xffff", all_ones);
}

struct silent_case {
	const char *name;
	struct packets_spec spec;
	bool tcp_reset; /* reject_reset_inner() answers all the same */
};

static const struct silent_case silents[] = {
	{"RST", {.version = 4, .proto = 6, .tcp_flags = TCP_RST}, false},
	{"RST ACK", {.version = 6, .proto = 6, .tcp_flags = TCP_RST | TCP_ACK}, false},
	{"later fragment",
	 {.version = 4, .proto = 17, .payload = 64, .fragment = true, .fragment_from = 32},
	 false},
	{"later fragment",
	 {.version = 6, .proto = 17, .payload = 64, .fragment = true, .fragment_from = 32},
	 false},
	{"multicast", {.version = 4, .proto = 17, .dst = {224, 0, 0, 251}}, false},
	{"multicast", {.version = 4, .proto = 17, .dst = {239, 255, 255, 255}}, false},
	{"multicast", {.version = 6, .proto = 17, .dst = {0xff, 2, [15] = 1}}, false},
	{"broadcast", {.version = 4, .proto = 17, .dst = {255, 255, 255, 255}}, false},
	{"multicast TCP", {.version = 4, .proto = 6, .tcp_flags = TCP_SYN, .dst = {224, 1}}, true},
	{"from multicast", {.version = 4, .proto = 17, .src = {224, 1, 1, 1}}, false},
	{"from broadcast", {.version = 4, .proto = 17, .src = {255, 255, 255, 255}}, false},
	{"from loopback", {.version = 4, .proto = 17, .src = {127, 0, 0, 1}}, false},
	{"from loopback", {.version = 6, .proto = 17, .src = {[15] = 1}}, false},
	{"from multicast", {.version = 6, .proto = 17, .src = {0xff, 2}}, false},
	{"ICMP unreachable", {.version = 4, .proto = 1, .icmp_type = 3, .payload = 40}, false},
	{"ICMP source quench", {.version = 4, .proto = 1, .icmp_type = 4, .payload = 40}, false},
	{"ICMP redirect", {.version = 4, .proto = 1, .icmp_type = 5, .payload = 40}, false},
	{"ICMP time exceeded", {.version = 4, .proto = 1, .icmp_type = 11, .payload = 40}, false},
	{"ICMP parameter", {.version = 4, .proto = 1, .icmp_type = 12, .payload = 40}, false},
	{"ICMPv6 unreachable", {.version = 6, .proto = 58, .icmp_type = 1, .payload = 40}, false},
	{"ICMPv6 parameter", {.version = 6, .proto = 58, .icmp_type = 4, .payload = 40}, false},
	{"ICMPv6 unknown error", {.version = 6, .proto = 58, .icmp_type = 127}, false},
	{"ICMPv6 redirect", {.version = 6, .proto = 58, .icmp_type = 137, .payload = 40}, false},
};

static void check_silent(const char *name, const struct packet *packet, bool tcp_reset)
{
	static const uint8_t untouched[REJECT_SIZE_MAX];
	struct buf answer = {.data = answer_data};

	memset(answer_data, 0, sizeof(answer_data));
	cr_expect(!reject_build(packet, router, &answer), "%s: refused", name);
	cr_expect(!reject_too_big(packet, router, 1280, &answer), "%s: too big", name);
	cr_expect(!reject_time_exceeded(packet, router, &answer), "%s: time exceeded", name);
	if (!tcp_reset)
		cr_expect(!reject_reset_inner(packet, true, &answer), "%s: reset", name);
	cr_expect(memcmp(answer_data, untouched, sizeof(untouched)) == 0 && answer.len == 0,
		  "%s: something was written", name);
}

Test(dataplane_reject, nothing_that_must_not_be_answered)
{
	for (size_t i = 0; i < sizeof(silents) / sizeof(silents[0]); i++) {
		struct buf given;
		struct packet packet = parse(&silents[i].spec, &given);

		check_silent(silents[i].name, &packet, silents[i].tcp_reset);
	}
}

/* The builder takes all zero for its own address, so the source is put to zero afterwards. */
Test(dataplane_reject, nothing_to_an_unspecified_source)
{
	for (uint8_t version = 4; version <= 6; version += 2) {
		struct packets_spec spec = {.version = version, .proto = PROTO_UDP};
		struct buf given;
		struct packet packet = parse(&spec, &given);

		memset(packet.key.src, 0, sizeof(packet.key.src));
		check_silent("unspecified", &packet, false);
	}
}

Test(dataplane_reject, resets_are_for_tcp_only)
{
	static const struct packets_spec specs[] = {
		{.version = 4, .proto = PROTO_UDP},
		{.version = 4, .proto = PROTO_ICMP, .icmp_type = 8},
		{.version = 4, .proto = 47},
		{.version = 4,
		 .proto = PROTO_TCP,
		 .payload = 64,
		 .fragment = true,
		 .fragment_from = 32},
	};

	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct buf answer = {.data = answer_data};
		struct buf given;
		struct packet packet = parse(&specs[i], &given);

		cr_expect(!reject_reset_inner(&packet, true, &answer), "%zu", i);
		cr_expect(!reject_reset_inner(&packet, false, &answer), "%zu", i);
	}
}
