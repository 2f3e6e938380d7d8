/* perf/load_check.h: each counter goes up when it must, and only then. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "perf/load_check.h"

enum {
	FLOWS = 12,
	COUNT = 1200,
	GAP_NS = 1000000,
	START_NS = 1000000000,
	RUN = 77,
	GENERATIONS = 100,
};

struct bench {
	struct load_timeline timeline;
	struct load_plan plan;
	struct load_check check;
	struct load_bits sent;
	uint8_t classes[FLOWS];
};

static void init(struct bench *b)
{
	*b = (struct bench){0};
	for (unsigned i = 0; i < FLOWS; i++)
		b->classes[i] = (uint8_t)(i % LOAD_CLASSES);
	b->plan = (struct load_plan){.run = RUN,
				     .flows = FLOWS,
				     .classes = b->classes,
				     .count = COUNT,
				     .start_ns = START_NS,
				     .gap_ns = GAP_NS};
	cr_assert_eq(load_timeline_init(&b->timeline, GENERATIONS), 0);
	cr_assert_eq(load_check_init(&b->check, &b->plan, &b->timeline), 0);
	cr_assert_eq(load_bits_init(&b->sent, COUNT), 0);
	for (uint64_t i = 0; i < COUNT; i++)
		load_bits_set(&b->sent, i);
}

static void fini(struct bench *b)
{
	load_bits_fini(&b->sent);
	load_check_fini(&b->check);
	load_timeline_fini(&b->timeline);
}

static struct load_packet packet(const struct bench *b, uint64_t index, uint32_t generation)
{
	uint64_t due = load_plan_due_ns(&b->plan, index);

	return (struct load_packet){.due_ns = due,
				    .sent_ns = due,
				    .sequence = index / FLOWS,
				    .flow = (uint32_t)(index % FLOWS),
				    .generation = generation,
				    .run = RUN};
}

static void capture(struct bench *b, uint64_t index, unsigned side, uint32_t generation)
{
	struct load_packet p = packet(b, index, generation);

	load_check_packet(&b->check, side, &p, p.due_ns + 1000, false);
}

/* Where generation 1 wants it. */
static void deliver(struct bench *b, uint64_t index)
{
	capture(b, index, load_side(b->classes[index % FLOWS], 1), 1);
}

Test(perf_load_check, a_generation_moves_one_class)
{
	for (uint32_t g = 1; g < 100; g++) {
		for (unsigned class = 0; class < LOAD_CLASSES; class ++) {
			bool moves = load_side(class, g) != load_side(class, g + 1);

			cr_expect_eq(moves, class == load_class_moved_next(g), "%u, class %u", g,
				     class);
			cr_expect_eq(load_side(class, g), load_side(class, g + LOAD_PERIOD));
		}
		cr_expect_eq(load_side(LOAD_STAYS_LEFT, g), LOAD_LEFT);
		cr_expect_eq(load_side(LOAD_STAYS_RIGHT, g), LOAD_RIGHT);
	}
}

/* Generation 2, which moves class 1 to the left, is asked for at 2000 and answered at 3000. */
Test(perf_load_check, one_live_generation_must_account_for_a_side)
{
	static const struct {
		const char *what;
		unsigned class, side;
		uint32_t stamped;
		uint64_t captured;
		bool misrouted, certain;
	} cases[] = {
		{"before, where it was", 1, LOAD_RIGHT, 1, 1900, false, true},
		{"before, too early", 1, LOAD_LEFT, 1, 1900, true, true},
		{"meanwhile, old", 1, LOAD_RIGHT, 1, 2500, false, false},
		{"meanwhile, new", 1, LOAD_LEFT, 1, 2500, false, false},
		{"after, sent before", 1, LOAD_RIGHT, 1, 3500, false, false},
		{"after, new", 1, LOAD_LEFT, 2, 3500, false, true},
		{"after, too late", 1, LOAD_RIGHT, 2, 3500, true, true},
		{"does not move, meanwhile", 0, LOAD_LEFT, 1, 2500, false, true},
		{"does not move, wrong", 0, LOAD_RIGHT, 1, 2500, true, true},
		{"stays, wrong", LOAD_STAYS_RIGHT, LOAD_LEFT, 1, 2500, true, true},
		{"captured before its stamp", 1, LOAD_LEFT, 2, 1900, false, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct load_packet p;
		struct bench b;

		init(&b);
		cr_assert_eq(load_timeline_request(&b.timeline, START_NS + 2000), 0);
		load_timeline_confirm(&b.timeline, START_NS + 3000);
		cr_assert_eq(load_timeline_confirmed(&b.timeline), 2);
		p = packet(&b, cases[i].class, cases[i].stamped);
		load_check_packet(&b.check, cases[i].side, &p, START_NS + cases[i].captured, false);
		cr_expect_eq(b.check.misrouted, cases[i].misrouted, "%s: misrouted %d, actual %lu",
			     cases[i].what, cases[i].misrouted, (unsigned long)b.check.misrouted);
		cr_expect_eq(b.check.certain, cases[i].certain, "%s: certain %d, actual %lu",
			     cases[i].what, cases[i].certain, (unsigned long)b.check.certain);
		fini(&b);
	}
}

Test(perf_load_check, altered_addresses_are_misrouted)
{
	struct load_packet p;
	struct bench b;

	init(&b);
	p = packet(&b, 0, 1);
	load_check_packet(&b.check, LOAD_LEFT, &p, p.due_ns, true);
	cr_expect_eq(b.check.misrouted, 1);
	fini(&b);
}

/* A packet that says nonsense is not counted, and harms nothing. */
Test(perf_load_check, what_was_not_sent_is_passed_over)
{
	static const struct load_packet cases[] = {
		{.generation = 1, .run = RUN + 1},
		{.generation = 1, .run = RUN, .flow = FLOWS},
		{.generation = 1, .run = RUN, .sequence = COUNT / FLOWS},
		{.generation = 1, .run = RUN, .sequence = UINT64_MAX},
		{.generation = 0, .run = RUN},
	};
	struct bench b;

	init(&b);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		load_check_packet(&b.check, LOAD_LEFT, &cases[i], START_NS, false);
		cr_expect_eq(b.check.received, 0, "case %zu", i);
	}
	fini(&b);
}

Test(perf_load_check, all_delivered_is_clean)
{
	struct load_losses losses;
	struct bench b;

	init(&b);
	for (uint64_t i = 0; i < COUNT; i++)
		deliver(&b, i);
	load_check_losses(&b.check, &b.sent, NULL, 0, &losses);
	cr_expect_eq(b.check.received, COUNT);
	cr_expect_eq(losses.lost + losses.in_outage, 0);
	cr_expect_eq(b.check.duplicated + b.check.reordered + b.check.misrouted, 0);
	cr_expect_eq(b.check.latency.count, COUNT);
	cr_expect_eq(b.check.latency.max_ns, 1000);
	fini(&b);
}

Test(perf_load_check, losses_are_counted_and_placed)
{
	struct load_losses losses;
	struct bench b;

	init(&b);
	/* 100 to 102 and 500 are lost, 500 in a change; 700 was not even sent. */
	cr_assert_eq(load_timeline_request(&b.timeline, load_plan_due_ns(&b.plan, 500) - 10), 0);
	load_timeline_confirm(&b.timeline, load_plan_due_ns(&b.plan, 500) + 10);
	b.sent.words[700 / 64] &= ~(UINT64_C(1) << 700 % 64);
	for (uint64_t i = 0; i < COUNT; i++)
		if ((i < 100 || i > 102) && i != 500 && i != 700)
			deliver(&b, i);
	load_check_losses(&b.check, &b.sent, NULL, 0, &losses);
	cr_expect_eq(losses.lost, 4);
	cr_expect_eq(losses.longest, 3);
	cr_expect_eq(losses.in_change, 1);
	fini(&b);
}

Test(perf_load_check, duplicates_on_one_side_and_on_both)
{
	struct load_losses losses;
	struct bench b;

	init(&b);
	for (uint64_t i = 0; i < COUNT; i++)
		deliver(&b, i);
	deliver(&b, 30);
	capture(&b, LOAD_STAYS_LEFT, LOAD_RIGHT, 1);
	load_check_losses(&b.check, &b.sent, NULL, 0, &losses);
	cr_expect_eq(b.check.duplicated, 2);
	cr_expect_eq(b.check.reordered, 0);
	cr_expect_eq(b.check.misrouted, 1);
	fini(&b);
}

Test(perf_load_check, order_is_that_of_a_flow)
{
	struct bench b;

	init(&b);
	deliver(&b, 3);
	deliver(&b, 2); /* another flow */
	deliver(&b, 3 + 2 * FLOWS);
	cr_expect_eq(b.check.reordered, 0);
	deliver(&b, 3 + FLOWS);
	cr_expect_eq(b.check.reordered, 1);
	cr_expect_eq(b.check.duplicated, 0);
	fini(&b);
}

/* The left is down from 500 ms to 600 ms: what is lost there by 700 ms is excused. */
Test(perf_load_check, outages_excuse_losses_of_their_side)
{
	const struct load_outage outages[] = {
		{{true, false}, START_NS + 500 * GAP_NS, START_NS + 600 * GAP_NS}};
	struct load_losses losses;
	uint64_t excused = 0;
	struct bench b;

	init(&b);
	for (uint64_t i = 0; i < COUNT; i++) {
		bool left = load_side(b.classes[i % FLOWS], 1) == LOAD_LEFT;

		if (i >= 500 && i <= 700 && left)
			excused++;
		else if (i != 505) /* class 1 of flow 1: on the right */
			deliver(&b, i);
	}
	load_check_losses(&b.check, &b.sent, outages, 1, &losses);
	cr_expect_eq(losses.in_outage, excused, "expected %lu, actual %lu", (unsigned long)excused,
		     (unsigned long)losses.in_outage);
	cr_expect_eq(losses.lost, 1);
	cr_expect(losses.recover_ns > 90 * UINT64_C(1000000) &&
			  losses.recover_ns <= 100 * UINT64_C(1000000),
		  "actual %lu", (unsigned long)losses.recover_ns);
	fini(&b);
}
