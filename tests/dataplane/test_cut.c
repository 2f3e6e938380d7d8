/* Segments against the model's, and fragments put together again. */
#include "dataplane/cut.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/wire.h"
#include "tests/model/packets.h"

enum {
	ROUNDS = 3000,
};

Test(dataplane_cut, segments_are_those_of_hardware)
{
	uint8_t *memory = malloc(3 * (size_t)BUF_SIZE);
	struct buf whole = {.data = memory}, got = {.data = memory + BUF_SIZE},
		   want = {.data = memory + 2 * (size_t)BUF_SIZE};
	uint64_t seed = 7;
	unsigned seen = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct packets_spec spec;
		struct packet p;

		packets_random(&seed, &spec);
		spec.tcp_flags |= round % 2 ? TCP_CWR : 0;
		packets_build(&spec, &whole);
		if (packet_parse(&whole, &p) != REASON_NONE || whole.offload.gso_type == 0)
			continue;
		for (unsigned i = 0; i < packet_segments(&p); i++) {
			cut_segment(&p, i, &got);
			cr_assert(packets_segment(&whole, i, &want));
			cr_assert_eq(got.len, want.len, "round %u, segment %u: %u bytes, not %u",
				     round, i, got.len, want.len);
			for (unsigned at = 0; at < got.len; at++)
				cr_assert_eq(got.data[at], want.data[at],
					     "round %u, segment %u, byte %u: %02x, not %02x", round,
					     i, at, got.data[at], want.data[at]);
			cr_assert_eq(got.offload.flags, 0);
			seen++;
		}
		cr_assert_not(packets_segment(&whole, packet_segments(&p), &want));
	}
	cr_assert_gt(seen, 1000, "%u segments", seen);
	free(memory);
}

/* What a receiver makes of fragments that come in order: appends; returns the bytes it has. */
static uint32_t put_together(const struct buf *piece, uint32_t size, uint8_t *payload, bool *more)
{
	const uint8_t *ip = piece->data;
	uint32_t header = (ip[0] & 15) * 4u;
	uint16_t fragment = wire_get16(ip + IP4_FRAGMENT);

	cr_assert_eq((fragment & 0x1fff) * 8u, size, "offset %u, not %u", (fragment & 0x1fff) * 8u,
		     size);
	*more = fragment & 0x2000;
	memcpy(payload + size, ip + header, piece->len - header);
	return size + piece->len - header;
}

static void fragment_and_compare(struct packets_spec *spec, unsigned mtu, uint8_t *memory)
{
	struct buf whole = {.data = memory}, piece = {.data = memory + BUF_SIZE};
	uint8_t *payload = memory + 2 * (size_t)BUF_SIZE;
	struct packet p;
	uint32_t at = 0, size = 0;
	bool more = true;

	packets_build(spec, &whole);
	cr_assert_eq(packet_parse(&whole, &p), REASON_NONE);
	cut_complete(&whole);
	cr_assert_null(packets_check(&whole), "completed: %s", packets_check(&whole));
	while (cut_fragment(&whole, p.l4_offset, mtu, &at, &piece)) {
		cr_assert(more, "something after the last");
		cr_assert_leq(piece.len, mtu);
		cr_assert_null(packets_check(&piece), "%s", packets_check(&piece));
		cr_assert_eq(wire_get16(piece.data + IP4_ID), spec->id);
		size = put_together(&piece, size, payload, &more);
	}
	cr_assert_not(more);
	cr_assert_eq(size, whole.len - p.l4_offset);
	cr_assert_arr_eq(payload, whole.data + p.l4_offset, size);
}

Test(dataplane_cut, fragments_make_the_whole)
{
	uint8_t *memory = malloc(3 * (size_t)BUF_SIZE);
	uint64_t seed = 11;

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct packets_spec spec;

		packets_random(&seed, &spec);
		if (spec.version == 6 || spec.gso_size)
			continue;
		spec.dont_fragment = false;
		fragment_and_compare(&spec, 68 + (unsigned)(packets_rand(&seed) % 2000), memory);
	}
	free(memory);
}

/* A fragment of a fragment keeps its place and, unless it was the last, its flag. */
Test(dataplane_cut, fragments_of_fragments)
{
	static const struct {
		unsigned from, size;
		bool more;
	} cases[] = {{0, 800, true}, {800, 800, true}, {1600, 0, false}};
	uint8_t memory[2][4096];

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packets_spec spec = {.version = 4, .proto = PROTO_UDP, .payload = 2392};
		struct buf whole = {.data = memory[0]}, piece = {.data = memory[1]};
		uint32_t at = 0, from = cases[i].from;
		uint16_t fragment = 0;

		spec.fragment = true;
		spec.fragment_from = cases[i].from;
		spec.fragment_size = cases[i].size;
		packets_build(&spec, &whole);
		while (cut_fragment(&whole, IP4_SIZE, 300, &at, &piece)) {
			fragment = wire_get16(piece.data + IP4_FRAGMENT);
			cr_expect_eq((fragment & 0x1fff) * 8u, from);
			cr_expect((fragment & 0x2000) || at == whole.len - IP4_SIZE);
			from += piece.len - IP4_SIZE;
		}
		cr_expect_eq((fragment & 0x2000) != 0, cases[i].more, "case %u", i);
	}
}

/* RFC 791: which options later fragments have. */
Test(dataplane_cut, options_are_copied_as_they_say)
{
	/* NOP; router alert (148, copied); timestamp (68, first only); end */
	static const uint8_t options[12] = {1, 148, 4, 0, 0, 68, 4, 5, 0, 0, 0, 0};
	static const uint8_t later[4] = {148, 4, 0, 0};
	struct packets_spec spec = {
		.version = 4, .proto = PROTO_UDP, .payload = 400, .ip_options = sizeof(options)};
	uint8_t memory[2][4096];
	struct buf whole = {.data = memory[0]}, piece = {.data = memory[1]};
	uint32_t at = 0;

	packets_build(&spec, &whole);
	memcpy(whole.data + IP4_SIZE, options, sizeof(options));
	packets_fix_ip(&whole);
	cr_assert(cut_fragment(&whole, IP4_SIZE + sizeof(options), 200, &at, &piece));
	cr_expect_eq(piece.data[0], 0x48);
	cr_expect_arr_eq(piece.data + IP4_SIZE, options, sizeof(options));
	cr_assert(cut_fragment(&whole, IP4_SIZE + sizeof(options), 200, &at, &piece));
	cr_expect_eq(piece.data[0], 0x46);
	cr_expect_arr_eq(piece.data + IP4_SIZE, later, sizeof(later));
	cr_expect_null(packets_check(&piece));
}
