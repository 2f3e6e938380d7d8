/*
 * dataplane/rewrite.h: a translated packet is, byte for byte, the packet that the builder makes
 * with the new address and port, whatever the protocol, the options and the offload.
 */
#include "dataplane/rewrite.h"

#include <criterion/criterion.h>

#include <string.h>

#include "tests/model/packets.h"

TestSuite(dataplane_rewrite);

static uint8_t given_data[BUF_SIZE];
static uint8_t want_data[BUF_SIZE];
static uint8_t other_data[BUF_SIZE];

static const uint8_t new_addr[16] = {203, 0, 113, 77, 0xde, 0xad, 0xbe, 0xef,
				     1,   2, 3,   4,  5,    6,    7,    8};

enum {
	NEW_PORT = 54321,
};

static bool is_icmp(const struct packets_spec *spec)
{
	return spec->proto == PROTO_ICMP || spec->proto == PROTO_ICMP6;
}

/* What the translated packet is to be. */
static struct packets_spec translated(const struct packets_spec *spec, bool source)
{
	struct packets_spec out = *spec;

	memcpy(source ? out.src : out.dst, new_addr, 16);
	if (source || is_icmp(spec))
		out.src_port = NEW_PORT;
	else
		out.dst_port = NEW_PORT;
	return out;
}

static void rewrite(struct packet *packet, bool source)
{
	if (source)
		rewrite_source(packet, new_addr, NEW_PORT);
	else
		rewrite_destination(packet, new_addr, NEW_PORT);
}

static void expect_same(const struct buf *got, const struct buf *want, const char *name,
			unsigned number)
{
	cr_assert(got->len == want->len, "%s %u: len %u, want %u", name, number, got->len,
		  want->len);
	for (uint32_t i = 0; i < got->len; i++)
		cr_assert(got->data[i] == want->data[i],
			  "%s %u: byte %u of %u (version %u): got %02x, want %02x", name, number, i,
			  got->len, got->data[0] >> 4, got->data[i], want->data[i]);
}

static void check_rewrite(const struct packets_spec *spec, bool source, const char *name,
			  unsigned number)
{
	struct buf given = {.data = given_data};
	struct buf want = {.data = want_data};
	struct packets_spec wanted = translated(spec, source);
	struct packet packet;
	struct packet again;
	enum reason reason;

	packets_build(spec, &given);
	packets_build(&wanted, &want);
	reason = packet_parse(&given, &packet);
	cr_assert(reason == REASON_NONE, "%s %u: refused: %s", name, number, reason_name(reason));
	rewrite(&packet, source);
	expect_same(&given, &want, name, number);
	cr_assert(packets_check(&given) == NULL, "%s %u: %s", name, number, packets_check(&given));
	cr_assert(packet_parse(&want, &again) == REASON_NONE);
	cr_assert(memcmp(&packet.key, &again.key, sizeof(again.key)) == 0,
		  "%s %u: the key does not follow", name, number);
}

Test(dataplane_rewrite, equals_building_anew)
{
	uint64_t seed = 4711;

	for (unsigned i = 0; i < 20000; i++) {
		struct packets_spec spec;

		packets_random(&seed, &spec);
		check_rewrite(&spec, i % 2, "random", i);
	}
}

/* Each sum of a UDP packet once, so that the one that comes to zero is among them. */
Test(dataplane_rewrite, udp_checksum_never_becomes_zero)
{
	uint8_t payload[2];
	unsigned all_ones = 0;

	for (unsigned i = 0; i <= 0xffff; i++) {
		struct packets_spec spec = {
			.version = 4, .proto = PROTO_UDP, .payload = 2, .payload_bytes = payload};
		struct buf given = {.data = given_data};
		struct packet packet;

		payload[0] = (uint8_t)(i >> 8);
		payload[1] = (uint8_t)i;
		packets_build(&spec, &given);
		cr_assert(packet_parse(&given, &packet) == REASON_NONE);
		rewrite_source(&packet, new_addr, NEW_PORT);
		cr_assert(packets_check(&given) == NULL, "%u: %s", i, packets_check(&given));
		cr_assert(given_data[26] || given_data[27], "payload %04x", i);
		all_ones += given_data[26] == 0xff && given_data[27] == 0xff;
	}
	/* Two payloads are the two zeros of the sum. */
	cr_expect(all_ones == 1 || all_ones == 2, "%u checksums are 0xffff", all_ones);
}

/* A message of nothing but zeros, which an echo answer may become, has the checksum 0xffff. */
Test(dataplane_rewrite, icmp_of_zeros)
{
	static const uint8_t payload[9];

	for (unsigned size = 0; size <= sizeof(payload); size++) {
		for (unsigned id = 0; id <= 0xffff; id += id < 3 ? 1 : 0x5555) {
			struct packets_spec spec = {.version = 4,
						    .proto = PROTO_ICMP,
						    .src_port = (uint16_t)id,
						    .payload = size,
						    .payload_bytes = payload};
			struct buf given = {.data = given_data};
			struct packet packet;

			packets_build(&spec, &given);
			cr_assert(packet_parse(&given, &packet) == REASON_NONE);
			rewrite_destination(&packet, new_addr, 0);
			cr_assert(packets_check(&given) == NULL, "%u bytes, %u: %s", size, id,
				  packets_check(&given));
		}
	}
}

static struct buf segment_of(const struct buf *buf, unsigned i, uint8_t *data, bool *there)
{
	struct buf out = {.data = data};

	*there = packets_segment(buf, i, &out);
	return out;
}

/* Rewrite then segment equals segment then rewrite. */
static void check_segments(const struct packets_spec *spec, bool source, unsigned number)
{
	static uint8_t whole_data[BUF_SIZE];
	struct buf given = {.data = given_data};
	struct buf whole = {.data = whole_data};
	struct packet packet, part;
	unsigned count;

	packets_build(spec, &given);
	packets_build(spec, &whole);
	cr_assert(packet_parse(&given, &packet) == REASON_NONE, "%u", number);
	cr_assert(packet_parse(&whole, &part) == REASON_NONE, "%u", number);
	count = packet_segments(&packet);
	rewrite(&packet, source);
	for (unsigned i = 0; i <= count; i++) {
		bool there, there_too;
		struct buf got = segment_of(&given, i, want_data, &there);
		struct buf want = segment_of(&whole, i, other_data, &there_too);

		cr_assert(there == (i < count), "%u: segment %u of %u", number, i, count);
		cr_assert(there == there_too);
		if (!there)
			continue;
		cr_assert(packet_parse(&want, &part) == REASON_NONE, "%u: %u", number, i);
		rewrite(&part, source);
		cr_assert(packets_check(&got) == NULL, "%u: %s", number, packets_check(&got));
		expect_same(&got, &want, "segment", number);
	}
}

Test(dataplane_rewrite, super_packets_commute_with_segmentation)
{
	uint64_t seed = 31337;
	unsigned done = 0;

	for (unsigned i = 0; done < 1500; i++) {
		struct packets_spec spec;

		packets_random(&seed, &spec);
		if (!spec.gso_size)
			continue;
		if (spec.payload / spec.gso_size > 80)
			spec.gso_size = (uint16_t)(spec.payload / 80);
		check_segments(&spec, i % 2, i);
		done++;
	}
}

/* Only addresses change in later fragments; the first one has ports and checksum. */
Test(dataplane_rewrite, fragments)
{
	for (unsigned version = 4; version <= 6; version += 2) {
		for (unsigned from = 0; from <= 64; from += 32) {
			struct packets_spec spec = {.version = (uint8_t)version,
						    .proto = PROTO_UDP,
						    .src_port = 1000,
						    .dst_port = 2000,
						    .payload = 90,
						    .id = 77,
						    .fragment = true,
						    .fragment_from = from,
						    .fragment_size = from < 64 ? 32 : 0};

			check_rewrite(&spec, true, "fragment source", from);
			check_rewrite(&spec, false, "fragment destination", from);
		}
	}
}

/* ICMPv6 has a pseudo-header in all its messages; other protocols are left alone. */
Test(dataplane_rewrite, other_protocols)
{
	static const struct packets_spec cases[] = {
		{.version = 6,
		 .proto = PROTO_ICMP6,
		 .icmp_type = 130,
		 .src_port = 5,
		 .payload = 16},
		{.version = 4, .proto = PROTO_ICMP, .icmp_type = 13, .src_port = 5, .payload = 12},
		{.version = 4, .proto = 47, .payload = 33},
		{.version = 6, .proto = 50, .payload = 33},
		{.version = 6, .proto = 51, .payload = 24},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packets_spec wanted = translated(&cases[i], true);
		struct buf given = {.data = given_data};
		struct buf want = {.data = want_data};
		struct packet packet;

		wanted.src_port = cases[i].src_port;
		packets_build(&cases[i], &given);
		packets_build(&wanted, &want);
		cr_assert(packet_parse(&given, &packet) == REASON_NONE, "%u", i);
		cr_assert(packet.kind == PACKET_OTHER);
		rewrite_source(&packet, new_addr, NEW_PORT);
		expect_same(&given, &want, "case", i);
	}
}

/* An ICMP error about a packet; the quote ends after quote_size bytes. */
static void build_error(const struct packets_spec *error, const struct packets_spec *about,
			unsigned quote_size, struct buf *out)
{
	static uint8_t quote_data[BUF_SIZE];
	struct buf quote = {.data = quote_data};
	struct packets_spec spec = *error;

	packets_build(about, &quote);
	spec.payload = quote.len < quote_size ? quote.len : quote_size;
	spec.payload_bytes = quote_data;
	packets_build(&spec, out);
}

struct error_case {
	struct packets_spec error;
	struct packets_spec about;
	unsigned number;
	unsigned quote_size;
};

static const uint8_t our_addr[16] = {198, 51, 100, 44, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void check_error(const struct error_case *c, bool from_outside)
{
	struct buf given = {.data = given_data};
	struct buf want = {.data = want_data};
	struct packets_spec error = c->error;
	struct packets_spec about = c->about;
	struct flow_key key;
	struct packet packet;
	uint16_t quoted, l4;

	memcpy(from_outside ? error.dst : error.src, our_addr, 16);
	memcpy(from_outside ? about.src : about.dst, our_addr, 16);
	build_error(&error, &about, c->quote_size, &given);
	memcpy(from_outside ? error.dst : error.src, new_addr, 16);
	about = translated(&about, from_outside);
	build_error(&error, &about, c->quote_size, &want);

	cr_assert(packet_parse(&given, &packet) == REASON_NONE, "%u", c->number);
	cr_assert(packet.kind == PACKET_ICMP_ERROR, "%u", c->number);
	cr_assert(packet_quoted(&packet, &key, &quoted, &l4) == REASON_NONE, "%u", c->number);
	if (from_outside)
		rewrite_icmp_error(&packet, quoted, l4, new_addr, NEW_PORT);
	else
		rewrite_icmp_error_out(&packet, quoted, l4, new_addr, NEW_PORT);
	expect_same(&given, &want, from_outside ? "inwards" : "outwards", c->number);
	cr_assert(memcmp(from_outside ? packet.key.dst : packet.key.src, new_addr,
			 packet.key.version == 4 ? 4 : 16) == 0);
	cr_assert(!packets_check(&given), "%u: %s", c->number, packets_check(&given));
	cr_assert(!packets_check_quote(&given), "%u: %s", c->number, packets_check_quote(&given));
}

Test(dataplane_rewrite, icmp_errors_equal_building_anew)
{
	static const uint8_t types4[] = {3, 11, 12};
	uint64_t seed = 5508;

	for (unsigned i = 0; i < 10000; i++) {
		struct error_case c = {.number = i};
		uint64_t r = packets_rand(&seed) >> 16;

		packets_random(&seed, &c.about);
		c.about.needs_csum = false;
		c.about.gso_size = 0;
		c.about.payload %= 1000;
		c.error.version = c.about.version;
		c.error.proto = c.about.version == 4 ? PROTO_ICMP : PROTO_ICMP6;
		c.error.icmp_type = c.about.version == 4 ? types4[r % 3] : (uint8_t)(1 + r % 4);
		c.error.needs_csum = r & 0x100;
		/* From headers and 8 bytes on; even, for no half checksum can follow. */
		c.quote_size = 64 + (r >> 20) % 400 * 2;
		if (c.about.version == 4 && r & 0x200)
			c.quote_size = 28 + c.about.ip_options;
		check_error(&c, i % 2);
	}
}

Test(dataplane_rewrite, hop_limit)
{
	static const struct {
		uint8_t version;
		uint8_t ttl;
		bool want;
	} cases[] = {{4, 1, false}, {4, 2, true}, {4, 64, true}, {4, 255, true},
		     {6, 1, false}, {6, 2, true}, {6, 255, true}};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* Identifications make the checksum take all values in turn, carries included. */
		for (unsigned id = 0; id < (cases[i].version == 4 ? 65536 : 1); id += 5) {
			struct packets_spec spec = {.version = cases[i].version,
						    .proto = PROTO_UDP,
						    .ttl = cases[i].ttl,
						    .id = (uint16_t)id};
			struct buf given = {.data = given_data};
			struct buf want = {.data = want_data};
			struct packet packet;
			bool got;

			packets_build(&spec, &given);
			spec.ttl -= cases[i].want;
			packets_build(&spec, &want);
			cr_assert(packet_parse(&given, &packet) == REASON_NONE);
			got = rewrite_hop_limit(&packet);
			cr_assert(got == cases[i].want, "version %u ttl %u", cases[i].version,
				  cases[i].ttl);
			expect_same(&given, &want, "case", i);
		}
	}
}
