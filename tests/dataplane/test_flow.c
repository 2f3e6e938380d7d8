#include "dataplane/flow.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "tests/model/flow_model.h"

enum {
	WAYS = 8,
	GONE_MAX = 4096,
};

/* What the release function was called for, oldest first. */
struct gone {
	size_t count;
	struct flow_key keys[GONE_MAX];
};

static void note_gone(void *context, const struct flow *flow)
{
	struct gone *gone = context;

	cr_assert_lt(gone->count, GONE_MAX);
	gone->keys[gone->count++] = flow->key;
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static struct flow_key key_of(unsigned id, uint8_t proto)
{
	struct flow_key key = {.proto = proto, .version = id & 1 ? 6 : 4};

	key.src[0] = 10;
	key.src[3] = (uint8_t)id;
	key.dst[0] = 192;
	memcpy(key.dst, &id, key.version == 4 ? 4 : sizeof(id));
	key.src_port = (uint16_t)(1000 + id);
	key.dst_port = 443;
	return key;
}

/* A hash of the tester's choice: set and tag are what the table takes from its ends. */
static uint64_t hash_of(unsigned set, uint16_t tag)
{
	return (uint64_t)tag << 48 | set;
}

struct event {
	char direction; /* 'o' from inside, 'i' from outside; 0 ends */
	uint8_t flags;
};

static void apply(struct flow_table *table, struct flow *flow, const struct event *event,
		  uint64_t now_ms)
{
	struct buf buf = {.len = 100};
	struct packet packet = {.buf = &buf, .tcp_flags = event->flags};

	if (event->direction == 'o')
		flow_note_out(table, flow, &packet, 1, now_ms);
	else
		flow_note_in(table, flow, &packet, 1, now_ms);
}

#define S TCP_SYN
#define A TCP_ACK
#define F TCP_FIN
#define R TCP_RST
#define OPEN                                                                                       \
	{'o', S}, {'i', S | A},                                                                    \
	{                                                                                          \
		'o', A                                                                             \
	}

static const struct {
	const char *name;
	uint8_t proto;
	struct event events[8];
	const char *state;
	uint32_t limit_ms; /* counted from the last event that may refresh */
	unsigned stale;    /* events at the end that do not refresh */
} states[] = {
	{"nothing", PROTO_TCP, {{0}}, "new", 240000, 0},
	{"SYN", PROTO_TCP, {{'o', S}}, "new", 240000, 0},
	{"SYN, SYN ACK", PROTO_TCP, {{'o', S}, {'i', S | A}}, "opening", 240000, 0},
	{"three-way", PROTO_TCP, {OPEN}, "established", 7440000, 0},
	{"simultaneous open",
	 PROTO_TCP,
	 {{'o', S}, {'i', S}, {'o', S | A}},
	 "established",
	 7440000,
	 0},
	{"ACK before any answer", PROTO_TCP, {{'o', A}}, "new", 240000, 0},
	{"half closed by us", PROTO_TCP, {OPEN, {'o', F | A}}, "established", 7440000, 0},
	{"half closed by them", PROTO_TCP, {OPEN, {'i', F | A}}, "established", 7440000, 0},
	{"closed", PROTO_TCP, {OPEN, {'o', F | A}, {'i', F | A}, {'o', A}}, "closing", 240000, 0},
	{"refused", PROTO_TCP, {{'o', S}, {'i', R | A}}, "closing", 240000, 1},
	{"reset by us", PROTO_TCP, {OPEN, {'o', R}}, "closing", 240000, 0},
	{"reset by them", PROTO_TCP, {OPEN, {'i', R}}, "closing", 240000, 0},
	{"data after a reset", PROTO_TCP, {OPEN, {'o', R}, {'i', A}}, "closing", 240000, 1},
	{"resets answered", PROTO_TCP, {OPEN, {'o', R}, {'i', A}, {'o', R}}, "closing", 240000, 2},
	{"a forged reset", PROTO_TCP, {OPEN, {'i', R}, {'o', A}}, "established", 7440000, 0},
	{"opened anew after a reset", PROTO_TCP, {OPEN, {'i', R}, {'o', S}}, "new", 240000, 0},
	{"opened anew after FINs",
	 PROTO_TCP,
	 {OPEN, {'o', F}, {'i', F}, {'o', S}},
	 "new",
	 240000,
	 0},
	{"answered again", PROTO_TCP, {OPEN, {'i', R}, OPEN}, "established", 7440000, 0},
	{"SYN once more", PROTO_TCP, {OPEN, {'o', S}}, "established", 7440000, 0},
	{"UDP out", PROTO_UDP, {{'o', 0}}, "one-way", 300000, 0},
	{"UDP both", PROTO_UDP, {{'o', 0}, {'i', 0}}, "established", 300000, 0},
	{"UDP with TCP's flags",
	 PROTO_UDP,
	 {{'o', R}, {'i', F}, {'o', F}},
	 "established",
	 300000,
	 0},
	{"ICMP", PROTO_ICMP, {{'o', 0}, {'i', 0}}, "established", 60000, 0},
	{"ICMPv6", PROTO_ICMP6, {{'o', 0}}, "one-way", 60000, 0},
	{"another", 132, {{'o', 0}}, "one-way", 60000, 0},
};

static unsigned walked(struct flow_table *table, uint64_t now_ms)
{
	unsigned n = 0;

	for (size_t i = 0; i < flow_capacity(table) + 1; i++)
		n += flow_at(table, i, now_ms) != NULL;
	return n;
}

/* Name and idle time of each state; to the millisecond, and past the end of 32 bits. */
Test(dataplane_flow, states_and_expiry)
{
	static const uint64_t starts[] = {0, 5000, UINT32_MAX - 10, UINT32_MAX - 100000,
					  1ULL << 40};

	for (size_t i = 0; i < sizeof(states) / sizeof(*states) * 5; i++) {
		size_t c = i / 5;
		struct flow_table *table = flow_table_create(WAYS, 1, NULL, NULL);
		struct flow_key key = key_of(1, states[c].proto);
		uint64_t hash = flow_hash(table, &key), now = starts[i % 5], last;
		struct flow *flow = flow_create(table, &key, hash, now);
		unsigned n = 0;

		while (n < 8 && states[c].events[n].direction)
			n++;
		last = now;
		for (unsigned e = 0; e < n; e++) {
			now += 7;
			apply(table, flow, &states[c].events[e], now);
			last = e + states[c].stale < n ? now : last;
		}
		cr_expect_str_eq(flow_state_name(flow), states[c].state, "%s: is %s, not %s",
				 states[c].name, flow_state_name(flow), states[c].state);
		last += states[c].limit_ms;
		cr_expect(!flow_expired(flow, last), "%s: expired too early", states[c].name);
		cr_expect_eq(flow_find(table, &key, hash, last), flow, "%s", states[c].name);
		cr_expect(flow_expired(flow, last + 1), "%s: still there", states[c].name);
		cr_expect_eq(walked(table, last), 1, "%s", states[c].name);
		cr_expect_eq(walked(table, last + 1), 0, "%s", states[c].name);
		cr_expect_null(flow_find(table, &key, hash, last + 1), "%s", states[c].name);
		cr_expect_eq(flow_count(table), 0, "%s: not removed when found", states[c].name);
		flow_table_destroy(table);
	}
}

/* In the order in which they must go from one full set. */
Test(dataplane_flow, eviction_order)
{
	static const struct {
		const char *name;
		uint8_t proto;
		uint64_t at_ms;
		struct event events[6];
	} order[WAYS] = {
		{"expired long ago", PROTO_ICMP, 1000, {{'o', 0}, {'i', 0}}},
		{"expired", PROTO_UDP, 2000, {{'o', 0}, {'i', 0}}},
		{"closing, idler", PROTO_TCP, 200000, {OPEN, {'o', F}, {'i', F}}},
		{"closing", PROTO_TCP, 300000, {OPEN, {'i', R}}},
		{"unanswered, idler", PROTO_UDP, 100000, {{'o', 0}}},
		{"unanswered", PROTO_TCP, 310000, {{'o', S}}},
		{"answered, idler", PROTO_TCP, 50000, {OPEN}},
		{"answered", PROTO_UDP, 60000, {{'o', 0}, {'i', 0}}},
	};
	struct gone *gone = calloc(1, sizeof(*gone));
	uint64_t seed = 7;

	for (unsigned round = 0; round < 20; round++) {
		struct flow_table *table = flow_table_create(WAYS, round, note_gone, gone);
		unsigned at[WAYS] = {0, 1, 2, 3, 4, 5, 6, 7};

		gone->count = 0;
		for (unsigned i = WAYS - 1; i > 0; i--) {
			unsigned j = (unsigned)(random_next(&seed) % (i + 1)), swap = at[i];

			at[i] = at[j];
			at[j] = swap;
		}
		for (unsigned i = 0; i < WAYS; i++) {
			struct flow_key key = key_of(at[i], order[at[i]].proto);
			struct flow *flow = flow_create(table, &key, flow_hash(table, &key),
							order[at[i]].at_ms);

			for (const struct event *e = order[at[i]].events; e->direction; e++)
				apply(table, flow, e, order[at[i]].at_ms);
		}
		for (unsigned i = 0; i < WAYS; i++) {
			struct flow_key old = key_of(i, order[i].proto), key = key_of(100 + i, 6);
			struct flow *flow =
				flow_create(table, &key, flow_hash(table, &key), 350000);

			/* What comes in must not be the next to go. */
			apply(table, flow, &(struct event){'i', A}, 350000);
			cr_assert_eq(gone->count, i + 1, "%s: nothing went", order[i].name);
			cr_expect_arr_eq(&gone->keys[i], &old, sizeof(old),
					 "round %u: instead of \"%s\" went the one from port %u",
					 round, order[i].name, gone->keys[i].src_port);
			cr_expect_eq(flow_count(table), WAYS);
		}
		flow_table_destroy(table);
	}
	free(gone);
}

Test(dataplane_flow, capacity_is_rounded_up)
{
	static const struct {
		size_t asked, capacity;
	} cases[] = {{0, 8},       {1, 8},         {8, 8},         {9, 16},
		     {1000, 1024}, {65536, 65536}, {65537, 131072}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct flow_table *table = flow_table_create(cases[i].asked, 1, NULL, NULL);

		cr_assert_not_null(table);
		cr_expect_eq(flow_capacity(table), cases[i].capacity, "%zu: %zu, not %zu",
			     cases[i].asked, flow_capacity(table), cases[i].capacity);
		cr_expect_eq(flow_set_count(table) * WAYS, cases[i].capacity);
		flow_table_destroy(table);
	}
	cr_expect_null(flow_table_create(SIZE_MAX, 1, NULL, NULL));
	flow_table_destroy(NULL);
}

/* The key decides, not the hash: also where set and tag are equal, and for the tag of nothing. */
Test(dataplane_flow, equal_hashes)
{
	static const uint16_t tags[] = {0, 1, 0x8000, 0xffff};

	for (size_t t = 0; t < sizeof(tags) / sizeof(*tags); t++) {
		struct flow_table *table = flow_table_create(64, 1, NULL, NULL);
		uint64_t hash = hash_of(3, tags[t]);
		struct flow *flows[WAYS];

		for (unsigned i = 0; i < WAYS; i++) {
			struct flow_key key = key_of(i, PROTO_UDP);

			cr_expect_null(flow_find(table, &key, hash, 10));
			flows[i] = flow_create(table, &key, hash, 10);
			cr_expect_eq((uintptr_t)flows[i] % 64, 0);
		}
		for (unsigned i = 0; i < WAYS; i++) {
			struct flow_key key = key_of(i, PROTO_UDP);

			cr_expect_eq(flow_find(table, &key, hash, 10), flows[i], "tag %x, key %u",
				     tags[t], i);
			cr_expect_null(flow_find(table, &key, hash_of(4, tags[t]), 10));
		}
		cr_expect_eq(flow_count(table), WAYS);
		flow_remove(table, flows[5]);
		for (unsigned i = 0; i < WAYS; i++) {
			struct flow_key key = key_of(i, PROTO_UDP);

			cr_expect_eq(flow_find(table, &key, hash, 10), i == 5 ? NULL : flows[i]);
		}
		flow_table_destroy(table);
	}
}

/* Every byte of a key counts, for the hash and for the comparison. */
Test(dataplane_flow, every_byte_of_the_key)
{
	struct flow_table *table = flow_table_create(WAYS, 1, NULL, NULL);
	struct flow_key key = key_of(1, PROTO_UDP);
	uint64_t hash = flow_hash(table, &key);

	flow_create(table, &key, hash, 0);
	for (size_t i = 0; i < sizeof(key); i++) {
		struct flow_key other = key;

		((uint8_t *)&other)[i] ^= 1;
		cr_expect_neq(flow_hash(table, &other), hash, "byte %zu is not hashed", i);
		cr_expect_null(flow_find(table, &other, hash, 0), "byte %zu is not compared", i);
	}
	cr_expect_not_null(flow_find(table, &key, hash, 0));
	flow_table_destroy(table);
}

/* Another seed puts other flows together, so that nobody outside can aim at one set. */
Test(dataplane_flow, seed_moves_flows)
{
	enum { KEYS = 4096, SETS = 512 };
	struct flow_table *one = flow_table_create(SETS * WAYS, 1, NULL, NULL);
	struct flow_table *two = flow_table_create(SETS * WAYS, 2, NULL, NULL);
	unsigned used[SETS] = {0}, same = 0, most = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		struct flow_key key = key_of(i, PROTO_TCP);
		uint64_t a = flow_hash(one, &key) % SETS, b = flow_hash(two, &key) % SETS;

		same += a == b;
		used[a]++;
		most = used[a] > most ? used[a] : most;
	}
	/* Expected: KEYS / SETS = 8 in each, Poisson; 8 of 4096 equal by chance. */
	cr_expect_lt(same, 30, "%u of %u keys stay in their set", same, KEYS);
	cr_expect_lt(most, 28, "%u keys in one set of %u", most, SETS);
	flow_table_destroy(one);
	flow_table_destroy(two);
}

Test(dataplane_flow, new_flow_is_zero_and_counts)
{
	struct flow_table *table = flow_table_create(WAYS, 1, NULL, NULL);
	struct flow_key key = key_of(1, PROTO_UDP);
	struct flow want = {.key = key, .last_ms = 77};
	struct buf buf = {.len = 64000};
	struct packet packet = {.buf = &buf};
	struct flow *flow;

	for (unsigned i = 0; i < 2; i++) { /* the second time in a used entry */
		flow = flow_create(table, &key, flow_hash(table, &key), (5ULL << 32) + 77);
		cr_expect_arr_eq(flow, &want, sizeof(want));
		cr_expect_eq(flow_counters(table, flow)->created_ms, (5ULL << 32) + 77);
		cr_expect_eq(flow_counters(table, flow)->packets_out, 0);
		flow->nat = flow->generation = flow->verdict = flow->egress = 9;
		flow_note_out(table, flow, &packet, 45, 100);
		buf.len = 100;
		flow_note_out(table, flow, &packet, 1, 100);
		flow_note_in(table, flow, &packet, 2, 100);
		cr_expect_eq(flow_counters(table, flow)->packets_out, 46);
		cr_expect_eq(flow_counters(table, flow)->bytes_out, 64100);
		cr_expect_eq(flow_counters(table, flow)->packets_in, 2);
		cr_expect_eq(flow_counters(table, flow)->bytes_in, 100);
		buf.len = 64000;
		flow_remove(table, flow);
	}
	flow_table_destroy(table);
}

/* A sweep of a few sets at a time goes round, takes what expired, and only that. */
Test(dataplane_flow, sweep_and_release)
{
	enum { FLOWS = 200 };
	struct gone *gone = calloc(1, sizeof(*gone));
	struct flow_table *table = flow_table_create(1024, 1, note_gone, gone);
	unsigned sets = flow_set_count(table);

	for (unsigned i = 0; i < FLOWS; i++) {
		struct flow_key key = key_of(i, i % 2 ? PROTO_UDP : PROTO_ICMP);

		flow_create(table, &key, flow_hash(table, &key), 0);
	}
	cr_assert_eq(flow_count(table), FLOWS);
	flow_sweep(table, sets, FLOW_IDLE_ICMP_MS);
	cr_expect_eq(gone->count, 0);
	for (unsigned i = 0; i < sets / 2; i++)
		flow_sweep(table, 1, FLOW_IDLE_ICMP_MS + 1);
	cr_expect(gone->count > 0 && gone->count < FLOWS / 2, "%zu", gone->count);
	flow_sweep(table, sets - sets / 2, FLOW_IDLE_ICMP_MS + 1);
	cr_expect_eq(gone->count, FLOWS / 2, "%zu", gone->count);
	for (size_t i = 0; i < gone->count; i++)
		cr_expect_eq(gone->keys[i].proto, PROTO_ICMP);
	flow_table_destroy(table);
	cr_expect_eq(gone->count, FLOWS, "%zu released of %u", gone->count, FLOWS);
	free(gone);
}

/* ---- Random operations against the model ---- */

struct pair {
	struct flow_table *table;
	struct flow_model *model;
	struct gone gone;
	uint64_t now_ms;
	uint64_t random;
	size_t step;
};

static size_t set_of(struct pair *p, const struct flow *flow)
{
	for (size_t i = 0; i < flow_capacity(p->table); i++) {
		if (flow_at(p->table, i, p->now_ms) == flow)
			return i / WAYS;
	}
	cr_assert_fail("step %zu: the walk does not find a flow", p->step);
	return 0;
}

/* Everything that was released must have expired, or be the one that may make room. */
static void settle_gone(struct pair *p, const struct flow *created)
{
	for (size_t i = 0; i < p->gone.count; i++) {
		struct flow_model_entry *e = flow_model_get(p->model, &p->gone.keys[i]);

		cr_assert_not_null(e, "step %zu: released what was not there", p->step);
		if (created) {
			cr_assert_eq(e->set, set_of(p, created), "step %zu: other set", p->step);
			cr_assert(flow_model_may_evict(p->model, e, p->now_ms),
				  "step %zu: evicted port %u, last at %llu, before others", p->step,
				  e->key.src_port, (unsigned long long)e->last_ms);
		} else {
			cr_assert(flow_model_expired(e, p->now_ms), "step %zu: not expired",
				  p->step);
		}
		flow_model_remove(p->model, &p->gone.keys[i]);
	}
	p->gone.count = 0;
}

static void compare_flow(struct pair *p, struct flow *flow)
{
	struct flow_model_entry *e = flow_model_get(p->model, &flow->key);
	struct flow_counters *c = flow_counters(p->table, flow);

	cr_assert_not_null(e, "step %zu: unknown flow", p->step);
	cr_assert_eq(flow->seen, flow_model_seen(e), "step %zu: seen %02x, not %02x", p->step,
		     flow->seen, flow_model_seen(e));
	cr_assert_eq(flow->last_ms, (uint32_t)e->last_ms, "step %zu", p->step);
	cr_assert(c->packets_out == e->packets_out && c->bytes_out == e->bytes_out &&
			  c->packets_in == e->packets_in && c->bytes_in == e->bytes_in &&
			  c->created_ms == e->created_ms,
		  "step %zu: counters", p->step);
}

static void compare_all(struct pair *p)
{
	size_t live = 0, want = 0;

	cr_assert_eq(flow_count(p->table), flow_model_count(p->model), "step %zu: %zu, not %zu",
		     p->step, flow_count(p->table), flow_model_count(p->model));
	for (size_t i = 0; i < flow_capacity(p->table); i++) {
		struct flow *flow = flow_at(p->table, i, p->now_ms);

		if (flow) {
			compare_flow(p, flow);
			live++;
		}
	}
	for (size_t i = 0; i < flow_model_count(p->model); i++)
		want += !flow_model_expired(flow_model_at(p->model, i), p->now_ms);
	cr_assert_eq(live, want, "step %zu: %zu live, not %zu", p->step, live, want);
}

static struct flow *find(struct pair *p, const struct flow_key *key)
{
	struct flow_model_entry *e = flow_model_get(p->model, key);
	bool want = e && !flow_model_expired(e, p->now_ms);
	struct flow *flow = flow_find(p->table, key, flow_hash(p->table, key), p->now_ms);

	cr_assert_eq(flow != NULL, want, "step %zu: port %u found %d, not %d", p->step,
		     key->src_port, flow != NULL, want);
	settle_gone(p, NULL);
	return flow;
}

static struct flow *create(struct pair *p, const struct flow_key *key)
{
	struct flow *flow = flow_create(p->table, key, flow_hash(p->table, key), p->now_ms);
	size_t set = set_of(p, flow);

	cr_assert_eq(p->gone.count, flow_model_full(p->model, set), "step %zu: %zu evicted",
		     p->step, p->gone.count);
	settle_gone(p, flow);
	flow_model_add(p->model, key, set, p->now_ms);
	return flow;
}

static void packet(struct pair *p, const struct flow_key *key, bool out)
{
	static const uint8_t flags[] = {S, S | A, A, A, A, A | TCP_PSH, F | A, R, R | A, 0};
	struct flow *flow = find(p, key);
	struct buf buf = {.len = 40 + (uint32_t)(random_next(&p->random) % 1400)};
	struct packet packet = {.buf = &buf, .tcp_flags = flags[random_next(&p->random) % 10]};
	unsigned packets = 1 + (unsigned)(random_next(&p->random) % 44);

	if (!flow && !out)
		return;
	if (!flow)
		flow = create(p, key);
	if (out) {
		flow_note_out(p->table, flow, &packet, packets, p->now_ms);
		flow_model_out(flow_model_get(p->model, key), packet.tcp_flags, packets, buf.len,
			       p->now_ms);
	} else {
		flow_note_in(p->table, flow, &packet, packets, p->now_ms);
		flow_model_in(flow_model_get(p->model, key), packet.tcp_flags, packets, buf.len,
			      p->now_ms);
	}
	compare_flow(p, flow);
}

static void random_step(struct pair *p, unsigned keys)
{
	static const uint8_t protos[] = {PROTO_TCP, PROTO_TCP, PROTO_UDP, PROTO_ICMP, 132};
	static const uint32_t jumps[] = {1,      20,     3000,   60000,  60001,
					 240000, 240001, 300001, 7440001};
	unsigned id = (unsigned)(random_next(&p->random) % keys);
	struct flow_key key = key_of(id, protos[id % 5]);
	unsigned what = (unsigned)(random_next(&p->random) % 100);
	struct flow *flow;

	if (what < 50) {
		packet(p, &key, true);
	} else if (what < 75) {
		packet(p, &key, false);
	} else if (what < 80) {
		flow = find(p, &key);
		if (flow) {
			flow_remove(p->table, flow);
			cr_assert_eq(p->gone.count, 1);
			p->gone.count = 0;
			flow_model_remove(p->model, &key);
		}
	} else if (what < 96) {
		unsigned most = random_next(&p->random) % 8 ? 3 : 9;

		p->now_ms += random_next(&p->random) % (jumps[random_next(&p->random) % most] + 1);
	} else if (what < 99) {
		flow_sweep(p->table, 2, p->now_ms);
		settle_gone(p, NULL);
	} else {
		flow_sweep(p->table, flow_set_count(p->table), p->now_ms);
		settle_gone(p, NULL);
		for (size_t i = 0; i < flow_model_count(p->model); i++)
			cr_assert(!flow_model_expired(flow_model_at(p->model, i), p->now_ms));
	}
}

Test(dataplane_flow, random_operations_match_model)
{
	static const struct {
		size_t capacity;
		unsigned keys;
		uint64_t start_ms;
	} cases[] = {
		{8, 5, 0},
		{8, 12, 1000},
		{64, 60, UINT32_MAX - 100000},
		{64, 200, UINT32_MAX - 1000000},
		{128, 400, (7ULL << 32) - 5},
	};

	for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
		struct pair *p = calloc(1, sizeof(*p));

		p->table = flow_table_create(cases[c].capacity, c, note_gone, &p->gone);
		p->model = flow_model_create(WAYS);
		p->now_ms = cases[c].start_ms;
		p->random = 88172645463325252ULL + c;
		for (p->step = 0; p->step < 30000; p->step++) {
			random_step(p, cases[c].keys);
			if (p->step % 16 == 0)
				compare_all(p);
		}
		p->gone.count = 0;
		flow_table_destroy(p->table);
		cr_expect_eq(p->gone.count, flow_model_count(p->model), "case %zu", c);
		flow_model_destroy(p->model);
		free(p);
	}
}
