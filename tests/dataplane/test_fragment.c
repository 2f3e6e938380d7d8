/* Fragments from inside, through the worker: in order or not, overlapping, in floods; both
 * families. */
#include "dataplane/fragment.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "dataplane/gather.h"
#include "tests/dataplane/bench.h"
#include "tests/model/packets.h"

TestSuite(dataplane_fragment);

enum {
	PAYLOAD = 2392, /* 2400 bytes behind the IP header, with UDP's own */
	PIECES_MAX = 14,
};

struct piece {
	unsigned from, size; /* bytes; size 0: to the end */
	bool passes;
};

static const struct fragment_case {
	const char *name;
	struct piece pieces[PIECES_MAX]; /* until one that is all zero, but not at the start */
} cases[] = {
	{"in order", {{0, 800, true}, {800, 800, true}, {1600, 0, true}}},
	{"later ones in any order", {{0, 800, true}, {1600, 0, true}, {800, 800, true}}},
	{"the first is missing", {{800, 800, false}, {1600, 0, false}}},
	{"the second again",
	 {{0, 800, true}, {800, 800, true}, {800, 800, false}, {1600, 0, true}}},
	{"the first again", {{0, 800, true}, {0, 800, false}, {800, 0, true}}},
	{"the last again", {{0, 800, true}, {1600, 0, true}, {1600, 0, false}, {800, 800, true}}},
	{"into the last", {{0, 800, true}, {1600, 0, true}, {1600, 80, false}, {800, 800, true}}},
	{"a shorter first", {{0, 800, true}, {0, 80, false}, {800, 0, true}}},
	{"over the end of the first", {{0, 800, true}, {792, 808, false}, {1600, 0, false}}},
	{"into the first", {{0, 800, true}, {8, 8, false}, {800, 0, true}}},
	{"over the start of a later one",
	 {{0, 800, true}, {1600, 0, true}, {800, 808, false}, {800, 800, false}}},
	{"around a later one", {{0, 800, true}, {1608, 8, true}, {1600, 0, false}}},
	{"whole, and then the next with that identification",
	 {{0, 800, true}, {800, 0, true}, {0, 1600, true}, {1600, 0, true}}},
	{"nothing after it was whole", {{0, 800, true}, {800, 0, true}, {800, 800, false}}},
	{"more holes than are kept",
	 {{0, 8, true},
	  {16, 8, true},
	  {32, 8, true},
	  {48, 8, true},
	  {64, 8, true},
	  {80, 8, true},
	  {96, 8, true},
	  {112, 8, true},
	  {128, 8, false},
	  {8, 8, false}}},
};

static struct packets_spec fragment(uint8_t version, const char *src, uint16_t id,
				    const struct piece *piece)
{
	struct packets_spec spec =
		bench_spec(PROTO_UDP, src, version == 4 ? "198.51.100.7" : "2001:db8:51::7");

	spec.payload = PAYLOAD;
	spec.id = id;
	spec.fragment = true;
	spec.fragment_from = piece->from;
	spec.fragment_size = piece->size;
	return spec;
}

static bool passes(struct bench *b, uint8_t version, const char *src, uint16_t id,
		   const struct piece *piece)
{
	struct packets_spec spec = fragment(version, src, id, piece);

	bench_send(b, &spec);
	return bench_take_nic(b, BENCH_DIRECT);
}

static const char *source(uint8_t version)
{
	return version == 4 ? "10.0.0.5" : "fd00::5";
}

Test(dataplane_fragment, no_overlap_gets_through)
{
	for (unsigned n = 0; n < 2 * sizeof(cases) / sizeof(cases[0]); n++) {
		const struct fragment_case *c = &cases[n / 2];
		uint8_t version = n % 2 ? 6 : 4;
		struct bench b;
		uint64_t drops = 0;

		bench_open(&b, &(struct bench_options){.mtu = 9000});
		for (unsigned i = 0; i < PIECES_MAX; i++) {
			const struct piece *piece = &c->pieces[i];
			bool got;

			if (piece->from == 0 && piece->size == 0)
				break;
			got = passes(&b, version, source(version), 7, piece);
			cr_expect_eq(got, piece->passes, "%s, IPv%u, piece %u: %s", c->name,
				     version, i, got ? "passed" : "dropped");
			drops += !piece->passes;
		}
		bench_wait(&b, GATHER_HELD_MS); /* for a first one that does not come */
		cr_expect_eq(bench_drops(&b, REASON_FRAGMENT), drops, "%s, IPv%u", c->name,
			     version);
		bench_close(&b);
	}
}

/* What was spoilt is forgotten in time. */
Test(dataplane_fragment, ends)
{
	static const struct piece first = {0, 800, true}, over = {792, 808, false},
				  last = {800, 0, true};
	struct bench b;

	bench_open(&b, &(struct bench_options){.mtu = 9000});
	cr_assert(passes(&b, 4, source(4), 7, &first));
	cr_assert_not(passes(&b, 4, source(4), 7, &over));
	bench_wait(&b, FRAGMENT_MS - 1);
	cr_assert_not(passes(&b, 4, source(4), 7, &last));
	bench_wait(&b, 1);
	cr_assert(passes(&b, 4, source(4), 7, &first));
	cr_assert(passes(&b, 4, source(4), 7, &last));
	bench_close(&b);
}

/* A datagram has one end: another tells that somebody forges, and nothing more of it passes. */
Test(dataplane_fragment, two_ends)
{
	static const struct piece first = {0, 800, true}, middle = {800, 800, true},
				  last = {1600, 0, true};

	for (uint8_t version = 4; version <= 6; version += 2) {
		struct packets_spec spec = fragment(version, source(version), 7, &middle);
		struct bench b;

		bench_open(&b, &(struct bench_options){.mtu = 9000});
		spec.payload = 2000 - 8;
		spec.fragment_from = 1200;
		spec.fragment_size = 0;
		cr_assert(passes(&b, version, source(version), 7, &first));
		bench_send(&b, &spec);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT), "the end of one of 2000 bytes");
		spec.payload = PAYLOAD;
		spec.fragment_from = 2000;
		bench_send(&b, &spec);
		cr_expect_not(bench_take_nic(&b, BENCH_DIRECT), "IPv%u: another end", version);
		spec.payload = 2000 - 8;
		spec.fragment_from = 800;
		spec.fragment_size = 400;
		bench_send(&b, &spec);
		cr_expect_not(bench_take_nic(&b, BENCH_DIRECT), "IPv%u: spoilt", version);
		cr_expect(passes(&b, version, source(version), 8, &first));
		cr_expect(passes(&b, version, source(version), 8, &last));
		bench_close(&b);
	}
}

/* What an older table decided of the first is not true of the others. */
Test(dataplane_fragment, a_reload_parts_them)
{
	static const struct piece first = {0, 800, true}, last = {800, 0, true};
	struct bench b;

	for (uint8_t version = 4; version <= 6; version += 2) {
		bench_open(&b, &(struct bench_options){.mtu = 9000});
		cr_assert(passes(&b, version, source(version), 7, &first));
		bench_reload_moved(&b);
		cr_expect_not(passes(&b, version, source(version), 7, &last));
		cr_expect_not(bench_take_nic(&b, BENCH_VPN));
		cr_expect_eq(bench_drops(&b, REASON_FRAGMENT), 1);
		bench_close(&b);
	}
}

/* A source that floods loses its own datagrams, and nobody else's. */
Test(dataplane_fragment, a_flood_harms_nobody_else)
{
	static const struct piece first = {0, 800, true}, middle = {800, 800, true},
				  last = {1600, 0, true};

	for (uint8_t version = 4; version <= 6; version += 2) {
		struct bench b;

		bench_open(&b, &(struct bench_options){.mtu = 9000});
		cr_assert(passes(&b, version, source(version), 7, &first));
		for (uint16_t id = 0; id < 5000; id++)
			cr_assert(passes(&b, version, version == 4 ? "10.0.0.6" : "fd00::6", id,
					 &first));
		cr_expect(passes(&b, version, source(version), 7, &middle), "IPv%u", version);
		for (uint16_t id = 0; id < 5000; id++)
			passes(&b, version, version == 4 ? "10.0.0.6" : "fd00::6", id, &middle);
		cr_expect(passes(&b, version, source(version), 7, &last), "IPv%u", version);
		bench_close(&b);
	}
}

/* Later ones that come first wait for the first one, and go behind it in the order they came. */
Test(dataplane_fragment, held_for_the_first)
{
	static const struct piece first = {0, 800, true},
				  later[] = {{1600, 0, true}, {800, 800, true}, {808, 8, true}};

	for (uint8_t version = 4; version <= 6; version += 2) {
		struct bench b;

		bench_open(&b, &(struct bench_options){.mtu = 9000});
		for (unsigned i = 0; i < 3; i++)
			cr_assert_not(passes(&b, version, source(version), 7, &later[i]));
		cr_assert(passes(&b, version, source(version), 7, &first));
		cr_expect_eq(b.packet.fragment_offset, 0);
		for (unsigned i = 0; i < 2; i++) {
			cr_assert(bench_take_nic(&b, BENCH_DIRECT), "IPv%u: %u was lost", version,
				  later[i].from);
			cr_expect_eq(b.packet.fragment_offset, later[i].from);
			cr_expect(bench_is(b.packet.key.src,
					   version == 4 ? "192.0.2.1" : "2001:db8:2::1"));
		}
		cr_expect_not(bench_take_nic(&b, BENCH_DIRECT), "it overlaps");
		cr_expect_eq(bench_drops(&b, REASON_FRAGMENT), 1);
		cr_expect_eq(bench_counters(&b).handed_over, 0);
		bench_close(&b);
	}
}

/* Only so many wait, of one source and of all, and not for long: the oldest go. */
Test(dataplane_fragment, few_are_held)
{
	static const struct piece first = {0, 800, true}, last = {800, 0, true};
	char from[16];
	struct bench b;

	bench_open(&b, &(struct bench_options){.mtu = 9000});
	for (unsigned id = 0; id < 2 * GATHER_HELD_SOURCE_MAX; id++)
		passes(&b, 4, source(4), (uint16_t)id, &last);
	cr_expect_eq(bench_drops(&b, REASON_FRAGMENT), GATHER_HELD_SOURCE_MAX);
	for (unsigned id = 0; id < 2 * GATHER_HELD_SOURCE_MAX; id++) {
		cr_assert(passes(&b, 4, source(4), (uint16_t)id, &first));
		cr_expect_eq(bench_take_nic(&b, BENCH_DIRECT), id >= GATHER_HELD_SOURCE_MAX);
	}
	for (unsigned i = 0; i < 2 * GATHER_HELD_MAX; i++) {
		snprintf(from, sizeof(from), "10.0.1.%u", i);
		passes(&b, 4, from, 7, &last);
	}
	cr_expect_eq(bench_drops(&b, REASON_FRAGMENT), GATHER_HELD_SOURCE_MAX + GATHER_HELD_MAX);
	bench_wait(&b, GATHER_HELD_MS - 1);
	cr_expect_eq(bench_drops(&b, REASON_FRAGMENT), GATHER_HELD_SOURCE_MAX + GATHER_HELD_MAX);
	bench_wait(&b, 1);
	cr_expect_eq(bench_drops(&b, REASON_FRAGMENT),
		     GATHER_HELD_SOURCE_MAX + 2 * GATHER_HELD_MAX);
	bench_close(&b);
}

/* They cannot be told from a flood by what they say: without a first one they go nowhere. */
Test(dataplane_fragment, later_ones_alone_go_nowhere)
{
	static const struct piece later = {800, 800, false};
	struct bench b;

	bench_open(&b, &(struct bench_options){.mtu = 9000});
	for (uint16_t id = 0; id < 1000; id++)
		cr_assert_not(passes(&b, id % 2 ? 4 : 6, source(id % 2 ? 4 : 6), id, &later));
	bench_wait(&b, GATHER_HELD_MS);
	cr_expect_eq(bench_drops(&b, REASON_FRAGMENT), 1000);
	cr_expect_eq(bench_flows(&b), 0);
	bench_close(&b);
}
