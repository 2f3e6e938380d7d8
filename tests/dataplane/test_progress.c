/* dataplane/progress.h: next hops that are sent to and silent are doubted, others are not. */
#include "dataplane/progress.h"

#include <criterion/criterion.h>

#include "dataplane/packet.h"
#include "tests/dataplane/bench.h"

TestSuite(dataplane_progress);

enum {
	START_MS = 1000,
};

static struct addr hop_of(uint32_t number)
{
	return (struct addr){.version = 4, .v4 = UINT32_C(0xc0000200) + number};
}

/* When something happens, and whether that makes the hop doubted. */
struct event {
	uint64_t ms;
	char what; /* 's': sent, 'h': heard */
	bool doubted;
};

static const struct {
	const char *name;
	struct event events[10];
} cases[] = {
	{"one packet", {{0, 's', false}, {149, 's', false}, {150, 's', true}}},
	{"again and again",
	 {{0, 's', false},
	  {150, 's', true},
	  {151, 's', false},
	  {399, 's', false},
	  {400, 's', true},
	  {5000, 's', true}}},
	{"answered",
	 {{0, 's', false},
	  {149, 'h', false},
	  {150, 's', false},
	  {299, 's', false},
	  {300, 's', true}}},
	{"answered late",
	 {{0, 's', false},
	  {200, 's', true},
	  {300, 'h', false},
	  {10000, 's', false},
	  {10150, 's', true}}},
	{"a rare packet", {{0, 's', false}, {1, 'h', false}, {9000, 's', false}}},
};

Test(dataplane_progress, who_is_doubted)
{
	const struct addr via = hop_of(1);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct progress progress = {0};
		uint8_t hop = PROGRESS_NONE;

		for (const struct event *e = cases[i].events; e->what; e++) {
			bool doubted = false;

			if (e->what == 'h')
				progress_heard(&progress, hop);
			else
				doubted = progress_sent(&progress, 1, &via, START_MS + e->ms, &hop);
			cr_expect_eq(doubted, e->doubted, "%s, after %u ms: %d", cases[i].name,
				     (unsigned)e->ms, doubted);
		}
		cr_expect_neq(hop, PROGRESS_NONE);
	}
}

/* Many hops: each is itself, or not watched; nobody loses a place that is in use. */
Test(dataplane_progress, places)
{
	struct progress progress = {0};
	uint8_t first[4 * PROGRESS_MAX], hop;
	unsigned owners[PROGRESS_MAX] = {0}, watched = 0;
	struct addr via;

	for (unsigned i = 0; i < 4 * PROGRESS_MAX; i++) {
		via = hop_of(i / 2);
		progress_sent(&progress, i % 2, &via, START_MS, &first[i]);
		cr_assert_lt(first[i], PROGRESS_MAX);
		if (first[i] != PROGRESS_NONE)
			cr_expect_eq(owners[first[i]]++, 0, "two hops in one place");
		watched += first[i] != PROGRESS_NONE;
	}
	cr_expect_gt(watched, PROGRESS_MAX / 2);
	for (unsigned i = 0; i < 4 * PROGRESS_MAX; i++) {
		via = hop_of(i / 2);
		cr_expect_eq(progress_sent(&progress, i % 2, &via, START_MS + 4999, &hop),
			     first[i] != PROGRESS_NONE, "hop %u", i);
		cr_expect_eq(hop, first[i]);
	}
	via = hop_of(10000);
	for (unsigned i = 0; i < 200; i++, via.v4++) { /* whoever was not used makes room */
		cr_expect_not(
			progress_sent(&progress, 0, &via, START_MS + 4999 + 5000 + i * 5000, &hop));
		cr_expect_neq(hop, PROGRESS_NONE);
	}
}

/* The same address by another egress is another hop, also where both have one place. */
Test(dataplane_progress, egresses_are_told_apart)
{
	unsigned shared = 0;

	for (uint32_t number = 0; number < 1000; number++) {
		struct progress progress = {0};
		const struct addr via = hop_of(number);
		uint8_t first, second;

		for (uint32_t egress = 0; egress < 32; egress++) {
			bool fresh = !progress_sent(&progress, egress, &via, START_MS, &second);

			cr_expect(fresh);
			cr_expect(egress == 0 || second != first);
			first = egress == 0 ? second : first;
			shared += second == PROGRESS_NONE;
		}
	}
	cr_expect_gt(shared, 0, "no two met");
}

static bool wished(struct bench *b, const char *hop)
{
	unsigned egress = BENCH_EGRESSES;
	struct addr via = {0};
	uint8_t bytes[16];

	if (!dataplane_resolve_next(b->dataplane, &egress, &via))
		return false;
	addr_to_bytes(&via, bytes);
	cr_expect_eq(egress, BENCH_DIRECT);
	cr_expect(bench_is(bytes, hop), "another hop than %s", hop);
	return true;
}

/* Through the worker: answers of either family keep doubts of that family's gateway away. */
Test(dataplane_progress, answers_count)
{
	static const struct {
		const char *inside, *outside, *gateway;
	} families[] = {
		{"10.0.0.2", "198.51.100.7", "192.0.2.254"},
		{"fd00::2", "2001:db8:51::9", "2001:db8:2::fe"},
	};

	for (unsigned i = 0; i < 2; i++) {
		struct packets_spec other =
			bench_spec(PROTO_UDP, families[1 - i].inside, families[1 - i].outside);
		struct packets_spec spec =
			bench_spec(PROTO_UDP, families[i].inside, families[i].outside);
		struct packets_spec answer;
		struct bench b;

		bench_open(&b, &(struct bench_options){0});
		for (unsigned n = 0; n < 20; n++) {
			bench_send(&b, &spec);
			cr_assert(bench_take_nic(&b, BENCH_DIRECT));
			bench_wait(&b, 60);
			answer = bench_answer(&b, 0);
			bench_receive(&b, BENCH_DIRECT, &answer);
			cr_assert(bench_take_tun(&b));
			cr_expect_not(wished(&b, ""), "doubted in spite of answers");
		}
		for (unsigned ms = 0; ms < 200; ms += 10) { /* the other's answers are no help */
			bench_send(&b, &other);
			cr_assert(bench_take_nic(&b, BENCH_DIRECT));
			answer = bench_answer(&b, 0);
			bench_receive(&b, BENCH_DIRECT, &answer);
			cr_assert(bench_take_tun(&b));
			bench_send(&b, &spec);
			cr_assert(bench_take_nic(&b, BENCH_DIRECT));
			cr_expect_eq(wished(&b, families[i].gateway), ms == 150, "%u ms", ms);
			bench_wait(&b, 10);
		}
		bench_close(&b);
	}
}

/* What is too long and goes in pieces has a next hop, too; a way without Ethernet has none. */
Test(dataplane_progress, pieces_and_plain_links)
{
	struct packets_spec spec = bench_spec(PROTO_UDP, "10.0.0.2", "198.51.100.7");
	struct packets_spec vpn = bench_spec(PROTO_UDP, "10.0.0.2", "203.0.113.7");
	struct packets_spec answer;
	struct bench b;

	bench_open(&b, &(struct bench_options){.mtu = 1000});
	spec.payload = 1200;
	for (unsigned ms = 0; ms <= 150; ms += 10) {
		bench_send(&b, &spec);
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		cr_assert(bench_take_nic(&b, BENCH_DIRECT));
		bench_send(&b, &vpn);
		cr_assert(bench_take_nic(&b, BENCH_VPN));
		cr_expect_eq(wished(&b, "192.0.2.254"), ms == 150, "%u ms", ms);
		bench_wait(&b, 10);
	}
	spec.payload = 100;
	bench_send(&b, &spec);
	cr_assert(bench_take_nic(&b, BENCH_DIRECT));
	answer = bench_answer(&b, 0);
	bench_receive(&b, BENCH_DIRECT, &answer);
	cr_assert(bench_take_tun(&b));
	bench_wait(&b, 1000);
	bench_send(&b, &spec);
	cr_expect_not(wished(&b, ""));
	bench_close(&b);
}
