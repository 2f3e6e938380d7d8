#include "dataplane/nat.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "tests/model/nat_model.h"

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static struct flow_key key_of(unsigned host, uint16_t port, uint8_t version, uint8_t proto)
{
	struct flow_key key = {
		.src_port = port, .dst_port = 53, .version = version, .proto = proto};

	memcpy(key.src, &host, sizeof(host));
	key.dst[0] = 8;
	return key;
}

static struct flow_key udp(unsigned host, uint16_t port)
{
	return key_of(host, port, 4, PROTO_UDP);
}

static uint16_t outer(const struct nat *nat, uint32_t index)
{
	return index ? nat_at(nat, index)->outer_port : 0;
}

/* RFC 4787 REQ-1: whatever the destination, the same port; REQ-3: never one port for two. */
Test(dataplane_nat, endpoint_independent)
{
	struct nat *nat = nat_create(40000, 1000, NULL, 0, 1);
	struct flow_key a = udp(1, 5000), b = udp(2, 5000), c = udp(1, 5001);
	uint32_t first = nat_acquire(nat, &a, 0);

	for (uint16_t i = 0; i < 100; i++) {
		a.dst[3] = (uint8_t)i;
		a.dst_port = i;
		cr_expect_eq(nat_acquire(nat, &a, i), first, "destination %u", i);
	}
	cr_expect_eq(nat_at(nat, first)->flows, 101);
	cr_expect_eq(nat_count(nat), 1);
	cr_expect_neq(nat_acquire(nat, &b, 0), first);
	cr_expect_neq(nat_acquire(nat, &c, 0), first);
	cr_expect_eq(nat_count(nat), 3);
	nat_destroy(nat);
}

static const struct {
	uint8_t version, proto;
	bool mapped;
} kinds[] = {
	{4, PROTO_TCP, true},    {4, PROTO_UDP, true},   {4, PROTO_ICMP, true},
	{6, PROTO_TCP, true},    {6, PROTO_UDP, true},   {6, PROTO_ICMP6, true},
	{4, PROTO_ICMP6, false}, {6, PROTO_ICMP, false}, {4, 47, false},
	{6, 132, false},         {5, PROTO_UDP, false},  {0, 0, false},
};

/* Each kind has the whole slice for itself; other protocols have nothing. */
Test(dataplane_nat, protocols_apart)
{
	enum { COUNT = 10 };
	struct nat *nat = nat_create(40000, COUNT, NULL, 0, 1);
	size_t mapped = 0;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		uint32_t map[COUNT + 1];

		for (unsigned i = 0; i < COUNT + 1; i++) {
			struct flow_key key = key_of(i, 7, kinds[k].version, kinds[k].proto);

			map[i] = nat_acquire(nat, &key, 0);
			cr_expect_eq(map[i] != 0, kinds[k].mapped && i < COUNT,
				     "IPv%u protocol %u, mapping %u is %u", kinds[k].version,
				     kinds[k].proto, i, map[i]);
			mapped += map[i] != 0;
		}
		for (unsigned i = 0; i < COUNT && kinds[k].mapped; i++) {
			cr_expect_eq(nat_find_outer(nat, kinds[k].version, kinds[k].proto,
						    outer(nat, map[i])),
				     nat_at(nat, map[i]));
		}
		cr_expect_null(nat_find_outer(nat, kinds[k].version, kinds[k].proto, 39999));
		cr_expect_null(
			nat_find_outer(nat, kinds[k].version, kinds[k].proto, 40000 + COUNT));
	}
	cr_expect_eq(nat_count(nat), mapped);
	cr_expect_null(nat_at(nat, 0));
	cr_expect_null(nat_at(nat, 6 * COUNT + 1));
	nat_destroy(nat);
}

/* Slices at the ends of the port space, and of odd sizes: all is used, nothing else, once. */
Test(dataplane_nat, whole_slice)
{
	static const struct {
		uint16_t first;
		unsigned count;
		uint16_t busy[4];
		unsigned usable;
	} cases[] = {
		{40000, 64, {0}, 64},
		{40000, 63, {40000, 40062, 40010, 40010}, 60},
		{40000, 65, {39999, 40065, 1, 0}, 65},
		{1, 1, {0}, 1},
		{1, 1, {1}, 0},
		{0, 10, {5, 5}, 8},
		{65535, 1, {0}, 1},
		{65535, 100, {0}, 1},
		{65000, 700, {65535}, 535},
		{0, 65536, {1, 2, 3, 4}, 65531},
		{5000, 0, {0}, 0},
	};

	for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
		struct nat *nat = nat_create(cases[c].first, cases[c].count, cases[c].busy, 4, c);
		bool *used = calloc(65536, sizeof(*used));
		unsigned got = 0;

		for (unsigned i = 0; i < 65537; i++) {
			struct flow_key key = udp(i, 9);
			uint32_t index = nat_acquire(nat, &key, 0);
			uint16_t port = outer(nat, index);

			if (!index)
				break;
			got++;
			cr_expect(port != 0 && port >= cases[c].first &&
					  port < cases[c].first + cases[c].count && !used[port],
				  "slice %u+%u: port %u", cases[c].first, cases[c].count, port);
			for (unsigned b = 0; b < 4; b++)
				cr_expect_neq(port, cases[c].busy[b]);
			used[port] = true;
		}
		cr_expect_eq(got, cases[c].usable, "slice %u+%u: %u ports, not %u", cases[c].first,
			     cases[c].count, got, cases[c].usable);
		free(used);
		nat_destroy(nat);
	}
	nat_destroy(NULL);
}

/* RFC 6888 REQ-8: who gets the only port, t ms after it was released. */
Test(dataplane_nat, hold)
{
	static const struct {
		const char *name;
		unsigned ports;
		uint64_t after_ms;
		bool other; /* another endpoint asks */
		bool same_port;
	} cases[] = {
		{"its own endpoint, at once", 100, 0, false, true},
		{"its own endpoint, late", 100, NAT_HOLD_MS - 1, false, true},
		{"another, ports left, at once", 2, 0, true, false},
		{"another, ports left, late", 2, NAT_HOLD_MS - 1, true, false},
		{"another, ports short", 1, 5, true, true},
		{"another, after the rest", 1, NAT_HOLD_MS, true, true},
	};

	for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
		for (uint64_t seed = 0; seed < 50; seed++) {
			struct nat *nat = nat_create(40000, cases[c].ports, NULL, 0, seed);
			struct flow_key a = udp(1, 1), b = udp(cases[c].other ? 2 : 1, 1);
			uint32_t index = nat_acquire(nat, &a, 1000);
			uint16_t port = outer(nat, index);

			nat_release(nat, index, 2000);
			cr_expect_null(nat_find_outer(nat, 4, PROTO_UDP, port));
			cr_expect_eq(nat_count(nat), 0);
			index = nat_acquire(nat, &b, 2000 + cases[c].after_ms);
			cr_expect_eq(outer(nat, index) == port, cases[c].same_port,
				     "%s: had %u, got %u", cases[c].name, port, outer(nat, index));
			cr_expect_not_null(nat_find_outer(nat, 4, PROTO_UDP, outer(nat, index)));
			nat_destroy(nat);
		}
	}
}

/* After its rest a port is as good as any: of two, both are then given. */
Test(dataplane_nat, rested_ports_return)
{
	unsigned again = 0;

	for (uint64_t seed = 0; seed < 100; seed++) {
		struct nat *nat = nat_create(40000, 2, NULL, 0, seed);
		struct flow_key a = key_of(1, 1, 4, PROTO_TCP), b = key_of(2, 1, 4, PROTO_TCP);
		uint32_t index = nat_acquire(nat, &a, 0);
		uint16_t port = outer(nat, index);

		nat_release(nat, index, 0);
		again += outer(nat, nat_acquire(nat, &b, NAT_HOLD_MS)) == port;
		nat_destroy(nat);
	}
	cr_expect(again > 20 && again < 80, "%u of 100", again);
}

/* When ports are short the one that rested longest goes first. */
Test(dataplane_nat, shortest_rest_last)
{
	enum { COUNT = 50 };
	struct nat *nat = nat_create(40000, COUNT, NULL, 0, 3);
	uint32_t map[COUNT];
	uint16_t port[COUNT];

	for (unsigned i = 0; i < COUNT; i++) {
		struct flow_key key = udp(i, 1);

		map[i] = nat_acquire(nat, &key, 0);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		unsigned at = (i * 7) % COUNT;

		port[i] = outer(nat, map[at]);
		nat_release(nat, map[at], 100 + i);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		struct flow_key key = udp(1000 + i, 1);
		uint16_t got = outer(nat, nat_acquire(nat, &key, 200));

		cr_expect_eq(got, port[i], "%u: got %u, not %u", i, got, port[i]);
	}
	nat_destroy(nat);
}

/*
 * RFC 6056: ports are spread evenly and do not follow one another. 64 cells of 1000 expected: the
 * sum of squared deviations over the expectation is 63 +- 11 for a fair choice.
 */
Test(dataplane_nat, ports_are_spread)
{
	enum { CELLS = 64, EACH = 1000, COUNT = 6400 };
	unsigned cell[CELLS] = {0}, near = 0, draws = 0;
	uint16_t before = 0;
	double chi2 = 0;

	for (uint64_t seed = 0; draws < CELLS * EACH; seed++) {
		struct nat *nat = nat_create(30000, COUNT, NULL, 0, seed * 77777);

		for (unsigned i = 0; i < COUNT / 2; i++, draws++) {
			struct flow_key key = udp(i, 1);
			uint16_t port = outer(nat, nat_acquire(nat, &key, 0));
			unsigned gap = port > before ? port - before : before - port;

			cell[(port - 30000) / (COUNT / CELLS)]++;
			near += gap <= 2;
			before = port;
		}
		nat_destroy(nat);
	}
	for (unsigned i = 0; i < CELLS; i++)
		chi2 += ((double)cell[i] - EACH) * ((double)cell[i] - EACH) / EACH;
	cr_expect_lt(chi2, 130, "chi squared %.0f of 63 degrees", chi2);
	/* 4 of 6400 neighbours: 40 of 64000 expected. */
	cr_expect_lt(near, 100, "%u of %u next to the one before", near, draws);
}

/* The same seed chooses the same ports, another seed others: nothing but the seed decides. */
Test(dataplane_nat, seed_decides)
{
	unsigned same = 0, equal = 0;
	struct nat *a = nat_create(30000, 10000, NULL, 0, 5);
	struct nat *b = nat_create(30000, 10000, NULL, 0, 5);
	struct nat *c = nat_create(30000, 10000, NULL, 0, 6);

	for (unsigned i = 0; i < 1000; i++) {
		struct flow_key key = udp(i, 1);
		uint16_t port = outer(a, nat_acquire(a, &key, 0));

		same += port == outer(b, nat_acquire(b, &key, 0));
		equal += port == outer(c, nat_acquire(c, &key, 0));
	}
	cr_expect_eq(same, 1000);
	cr_expect_lt(equal, 10, "%u of 1000 ports equal", equal);
	nat_destroy(a);
	nat_destroy(b);
	nat_destroy(c);
}

/* ---- Random operations against the model ---- */

struct run {
	uint16_t first;
	unsigned count;
	unsigned hosts; /* endpoints of each kind */
	uint64_t now_ms;
};

static void compare(const struct nat *nat, const struct nat_model *model, const struct run *run,
		    size_t step)
{
	cr_assert_eq(nat_count(nat), nat_model_live(model), "step %zu: %zu live, not %zu", step,
		     nat_count(nat), nat_model_live(model));
	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		for (unsigned i = 0; i < run->count + 2; i++) {
			uint16_t port = (uint16_t)(run->first - 1 + i);
			uint32_t want =
				nat_model_outer(model, kinds[k].version, kinds[k].proto, port);
			const struct nat_map *map =
				nat_find_outer(nat, kinds[k].version, kinds[k].proto, port);

			cr_assert_eq(map, nat_at(nat, want), "step %zu: port %u of IPv%u/%u", step,
				     port, kinds[k].version, kinds[k].proto);
			cr_assert(!map || map->flows == nat_model_flows(model, want), "step %zu",
				  step);
		}
	}
}

static void random_run(struct run run, const uint16_t *busy, size_t busy_count, uint64_t seed)
{
	struct nat *nat = nat_create(run.first, run.count, busy, busy_count, seed);
	struct nat_model *model = nat_model_create(run.first, run.count, busy, busy_count);
	uint64_t random = 88172645463325252ULL + seed;

	for (size_t step = 0; step < 10000; step++) {
		unsigned what = (unsigned)(random_next(&random) % 100);
		size_t live = nat_model_live(model);

		/* The tide: mostly taking, then mostly giving back. */
		if (what < (step / 1000 % 2 ? 35U : 55U)) {
			size_t k = random_next(&random) % (step / 500 % 2 ? 2 : 8);
			unsigned host = (unsigned)(random_next(&random) % run.hosts);
			struct flow_key key = key_of(host, (uint16_t)(host / 3), kinds[k].version,
						     kinds[k].proto);
			uint32_t index = nat_acquire(nat, &key, run.now_ms);
			const char *broken = nat_model_acquire(model, &key, index,
							       nat_at(nat, index), run.now_ms);

			cr_assert_null(broken, "step %zu: endpoint %u of kind %zu was given %s",
				       step, host, k, broken);
		} else if (what < 90 && live) {
			uint32_t index = nat_model_live_index(model, random_next(&random) % live);

			nat_release(nat, index, run.now_ms);
			nat_model_release(model, index, run.now_ms);
		} else {
			run.now_ms += random_next(&random) % (what == 99 ? 130000 : 5000);
		}
		if (step % 256 == 0)
			compare(nat, model, &run, step);
	}
	nat_model_destroy(model);
	nat_destroy(nat);
}

Test(dataplane_nat, random_operations_match_model)
{
	static const uint16_t busy[] = {40000, 40003, 40019, 40063, 40064, 41000};
	static const struct run runs[] = {
		{40000, 20, 15, 0},    {40000, 20, 200, 0}, {40000, 1, 5, 5000},
		{40000, 100, 150, 99}, {65500, 36, 80, 0},  {40000, 70, 2000, 1ULL << 33},
	};

	for (size_t i = 0; i < sizeof(runs) / sizeof(*runs); i++) {
		random_run(runs[i], busy, sizeof(busy) / sizeof(*busy), i);
		random_run(runs[i], NULL, 0, 1000 + i);
	}
}

/* RFC 4787 REQ-4: of UDP, an even port for an even one, as long as there are such. */
Test(dataplane_nat, parity)
{
	static const uint16_t firsts[] = {40000, 40001};

	for (unsigned i = 0; i < 4; i++) {
		uint16_t inner = (uint16_t)(5000 + i / 2), step = 2;
		struct nat *nat = nat_create(firsts[i % 2], 201, NULL, 0, i);
		unsigned same = 0, odd;

		for (unsigned n = 0; n < 201; n++) {
			struct flow_key key = udp(1, (uint16_t)(inner + n * step));
			uint16_t port = outer(nat, nat_acquire(nat, &key, 0));

			cr_assert_neq(port, 0);
			odd = (port ^ inner) & 1;
			same += !odd;
			if (same < 100)
				cr_assert_not(odd, "%u for %u after %u", port, inner, n);
		}
		cr_expect(same == 100 || same == 101);
		nat_destroy(nat);
	}
}
