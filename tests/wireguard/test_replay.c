/* The replay window at its edges, and against a naive model. */
#include "dataplane/wireguard/replay.h"

#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/wireguard/message.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIMIT ((uint64_t)WG_REPLAY_WINDOW + 1) /* the first that is out of counter 0's sight */
#define REJECT WG_REJECT_AFTER_MESSAGES

struct step {
	uint64_t counter;
	bool accepted;
};

static const struct step steps[] = {
	{0, true},
	{1, true},
	{1, false},
	{9, true},
	{8, true},
	{7, true},
	{7, false},
	{LIMIT, true},
	{LIMIT - 1, true},
	{LIMIT - 1, false},
	{LIMIT - 2, true},
	{2, true},
	{2, false},
	{LIMIT + 16, true},
	{3, false},
	{LIMIT + 16, false},
	{LIMIT * 4, true},
	{LIMIT * 4 - (LIMIT - 1), true},
	{10, false},
	{LIMIT * 4 - LIMIT, false},
	{LIMIT * 4 - (LIMIT + 1), false},
	{LIMIT * 4 - (LIMIT - 2), true},
	{LIMIT * 4 + 1 - LIMIT, false},
	{0, false},
	{REJECT, false},
	{REJECT - 1, true},
	{REJECT, false},
	{REJECT - 1, false},
	{REJECT - 2, true},
	{REJECT + 1, false},
	{REJECT + 2, false},
	{REJECT - 2, false},
	{REJECT - 3, true},
	{0, false},
};

static void check(struct wg_replay *r, uint64_t counter, bool accepted, size_t step)
{
	cr_assert_eq(wg_replay_accept(r, counter), accepted, "step %zu: %llu, expected %d", step,
		     (unsigned long long)counter, accepted);
}

Test(wireguard_replay, wg_d2_edges)
{
	struct wg_replay r = {0};

	for (size_t i = 0; i < COUNT(steps); i++)
		check(&r, steps[i].counter, steps[i].accepted, i);
}

/* A run of counters up or down, each accepted, and what follows it. */
static const struct {
	uint64_t first;
	uint64_t last;
	struct step after[2];
} runs[] = {
	{1, WG_REPLAY_WINDOW, {{0, true}, {0, false}}},
	{2, LIMIT, {{1, true}, {0, false}}},
	{WG_REPLAY_WINDOW, 0, {{0, false}, {LIMIT, true}}},
	{LIMIT, 1, {{0, false}, {0, false}}},
	{WG_REPLAY_WINDOW, 1, {{LIMIT, true}, {0, false}}},
	{WG_REPLAY_WINDOW, 1, {{0, true}, {LIMIT, true}}},
};

Test(wireguard_replay, wg_d2_runs)
{
	for (size_t i = 0; i < COUNT(runs); i++) {
		bool up = runs[i].first < runs[i].last;
		struct wg_replay r = {0};

		for (uint64_t c = runs[i].first;; c += up ? 1 : (uint64_t)-1) {
			check(&r, c, true, i);
			if (c == runs[i].last)
				break;
		}
		for (size_t j = 0; j < COUNT(runs[i].after); j++)
			check(&r, runs[i].after[j].counter, runs[i].after[j].accepted, i);
	}
}

enum {
	MODEL_MAX = 65536,
};

/* All counters of a walk with leaps of all sizes, as a flag each would have them. */
Test(wireguard_replay, wg_d2_model)
{
	static bool seen[MODEL_MAX];
	struct wg_replay r = {0};
	uint32_t random = 12345;
	uint64_t highest = 0;

	for (unsigned i = 0; i < 400000; i++) {
		uint64_t counter;
		bool expected;

		random = random * 1664525 + 1013904223;
		counter = highest + (random >> 20) % (i % 1000 == 0 ? 300 : 3);
		if (random >> 31 && i % 2 == 0)
			counter = highest > 0 ? (random >> 8) % (highest + 1) : 0;
		if (counter >= MODEL_MAX)
			break;
		expected = !seen[counter] && counter + WG_REPLAY_WINDOW >= highest;
		check(&r, counter, expected, i);
		seen[counter] |= expected;
		highest = counter > highest ? counter : highest;
	}
	cr_assert_gt(highest, MODEL_MAX / 2);
}
