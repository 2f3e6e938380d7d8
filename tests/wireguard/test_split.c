/* Segments of super-packets, against the model of hardware (tests/model/packets.h). */
#include "dataplane/wireguard/split.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/packets.h"

TestSuite(wireguard_split, .timeout = 60);

enum {
	ROUNDS = 3000,
};

struct play {
	struct buf in, want;
	uint8_t *out;
	uint64_t seed;
};

static void begin(struct play *p)
{
	p->in.data = malloc(BUF_SIZE);
	p->want.data = malloc(BUF_SIZE);
	p->out = malloc(BUF_SIZE);
	p->seed = 20251107;
	cr_assert(p->in.data && p->want.data && p->out);
}

static void end(struct play *p)
{
	free(p->in.data);
	free(p->want.data);
	free(p->out);
}

/* Take p->in apart and compare each segment. Returns: how many */
static unsigned check(struct play *p, const char *what, unsigned round)
{
	struct packet packet;
	struct wg_split split;
	unsigned i;

	cr_assert_eq(packet_parse(&p->in, &packet), REASON_NONE, "%s %u", what, round);
	wg_split_begin(&split, &packet);
	for (i = 0; packets_segment(&p->in, i, &p->want); i++) {
		uint32_t size = wg_split_size(&split, i);

		cr_assert_eq(size, p->want.len, "%s %u, segment %u: %u bytes, want %u", what, round,
			     i, size, p->want.len);
		p->out[size] = 0xa5;
		cr_assert_eq(wg_split_write(&split, i, p->out), size);
		cr_assert_eq(p->out[size], 0xa5, "%s %u, segment %u: past its end", what, round, i);
		for (uint32_t at = 0; at < size; at++)
			cr_assert_eq(p->out[at], p->want.data[at],
				     "%s %u, segment %u of %u, byte %u of %u: %02x, want %02x",
				     what, round, i, split.count, at, size, p->out[at],
				     p->want.data[at]);
	}
	cr_assert_eq(i, split.count, "%s %u: %u segments, want %u", what, round, split.count, i);
	return i;
}

Test(wireguard_split, segments_are_what_hardware_sends)
{
	unsigned segments = 0;
	struct play p;

	begin(&p);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct packets_spec spec;

		packets_random(&p.seed, &spec);
		packets_build(&spec, &p.in);
		segments += check(&p, "random", round);
	}
	cr_assert_gt(segments, ROUNDS * 3 / 2, "few super-packets: %u", segments);
	end(&p);
}

Test(wireguard_split, every_header_and_flag_is_taken_apart)
{
	static const struct packets_spec specs[] = {
		{.version = 4, .proto = 6, .payload = 65000, .gso_size = 1368, .tcp_options = 12},
		{.version = 6, .proto = 6, .payload = 65000, .gso_size = 1368, .tcp_options = 12},
		{.version = 4, .proto = 17, .payload = 60000, .gso_size = 1000},
		{.version = 6, .proto = 17, .payload = 60001, .gso_size = 1001},
		{.version = 4, .proto = 6, .payload = 3000, .gso_size = 1, .id = 0xfffe},
		{.version = 4, .proto = 6, .payload = 4000, .gso_size = 1000, .ip_options = 40},
		{.version = 6,
		 .proto = 6,
		 .payload = 4000,
		 .gso_size = 1000,
		 .ext = {0, 60, 60},
		 .ext_count = 3},
	};
	struct play p;

	begin(&p);
	for (unsigned i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct packets_spec spec = specs[i];

		spec.needs_csum = true;
		for (unsigned flags = 0; flags < 256; flags += spec.proto == 6 ? 1 : 256) {
			spec.tcp_flags = (uint8_t)flags;
			spec.seq = 0xfffff000 + flags;
			packets_build(&spec, &p.in);
			cr_assert_gt(check(&p, "flags", i * 256 + flags), 1);
			if (spec.payload / spec.gso_size > 100)
				flags += 50;
		}
	}
	end(&p);
}
