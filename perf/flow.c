/* The route cache and the translation: what one packet of a flow, or a new flow, costs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/flow.h"
#include "dataplane/nat.h"
#include "perf/options.h"
#include "perf/perf.h"
#include "perf/report.h"

enum {
	RUNS = 5,
	BURST = 32,
	OPERATIONS = 1 << 19, /* a run; a multiple of BURST */
	CAPACITY = 65536,
	PORTS = 20000,
};

/* What the cases work on. Known keys are drawn at random from the first `known` numbers. */
struct bench {
	struct flow_table *table;
	struct nat *nat;
	struct packet packet;
	struct buf buf;
	uint32_t known;
	uint32_t fresh; /* of the next new key */
	uint64_t random;
	uintptr_t result; /* keeps the compiler from dropping the work */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Of a number, without work to speak of. */
static struct flow_key key_of(uint32_t n)
{
	struct flow_key key = {
		.src_port = (uint16_t)n, .dst_port = 443, .proto = PROTO_UDP, .version = 4};

	key.src[0] = 10;
	key.src[2] = (uint8_t)(n >> 24);
	key.src[3] = (uint8_t)(n >> 16);
	memcpy(key.dst, &n, sizeof(n));
	return key;
}

static uint32_t draw(struct bench *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return (uint32_t)(((b->random >> 32) * b->known) >> 32);
}

static uint32_t draw_new(struct bench *b)
{
	return b->fresh++;
}

/* As a worker does: hash and prefetch the burst, then find, create, note. */
static void pass_burst(struct bench *b, uint32_t (*number)(struct bench *b), bool create)
{
	struct flow_key keys[BURST];
	uint64_t hashes[BURST];

	for (unsigned i = 0; i < BURST; i++) {
		keys[i] = key_of(number(b));
		hashes[i] = flow_hash(b->table, &keys[i]);
		flow_prefetch(b->table, hashes[i]);
	}
	for (unsigned i = 0; i < BURST; i++) {
		struct flow *flow = flow_find(b->table, &keys[i], hashes[i], 1);

		if (!flow && create)
			flow = flow_create(b->table, &keys[i], hashes[i], 1);
		if (flow)
			flow_note_out(b->table, flow, &b->packet, 1, 1);
		b->result += (uintptr_t)flow;
	}
}

static void hit(struct bench *b)
{
	pass_burst(b, draw, false);
}

static void miss(struct bench *b)
{
	pass_burst(b, draw_new, false);
}

/* Every packet a new flow. */
static void create(struct bench *b)
{
	pass_burst(b, draw_new, true);
}

/* As many mappings go as come; a new one takes a millisecond. */
static void map_burst(struct bench *b, uint32_t (*number)(struct bench *b))
{
	uint32_t map[BURST];

	for (unsigned i = 0; i < BURST; i++) {
		struct flow_key key = key_of(number(b));

		map[i] = nat_acquire(b->nat, &key, b->fresh);
	}
	for (unsigned i = 0; i < BURST; i++)
		if (map[i])
			nat_release(b->nat, map[i], b->fresh);
}

static void map_new(struct bench *b)
{
	map_burst(b, draw_new);
}

static void map_known(struct bench *b)
{
	map_burst(b, draw);
}

static const struct {
	const char *name;
	void (*burst)(struct bench *b);
	uint32_t flows; /* or mappings that are there before */
	uint32_t operations;
} cases[] = {
	{"hit flows1k", hit, 1024, OPERATIONS},
	{"hit flows32k", hit, 32768, OPERATIONS},
	{"miss flows1k", miss, 1024, OPERATIONS},
	{"miss flows32k", miss, 32768, OPERATIONS},
	{"create free", create, 0, CAPACITY / 2},
	{"create evict", create, 4 * CAPACITY, OPERATIONS},
	{"map known16k", map_known, 16384, OPERATIONS},
	{"map new ports10%", map_new, PORTS / 10, OPERATIONS},
	{"map new ports99%", map_new, PORTS / 100 * 99, OPERATIONS},
};

/* Tables in the state that the case asks for; what does not fit any more evicts. */
static void prepare(struct bench *b, uint32_t flows, uint64_t seed)
{
	b->table = flow_table_create(CAPACITY, seed, NULL, NULL);
	b->nat = nat_create(40000, PORTS, NULL, 0, seed);
	if (!b->table || !b->nat)
		abort();
	b->known = flows;
	b->fresh = 1U << 24;
	for (uint32_t i = 0; i < flows; i++) {
		struct flow_key key = key_of(i);

		flow_create(b->table, &key, flow_hash(b->table, &key), 0);
		nat_acquire(b->nat, &key, 0);
	}
}

static double run(struct bench *b, size_t c, uint64_t seed)
{
	double ns;

	prepare(b, cases[c].flows, seed);
	ns = -(double)now_ns();
	for (uint32_t i = 0; i < cases[c].operations / BURST; i++)
		cases[c].burst(b);
	ns += (double)now_ns();
	flow_table_destroy(b->table);
	nat_destroy(b->nat);
	return ns / cases[c].operations;
}

int perf_flow(int argc, char **argv)
{
	struct bench b = {.random = 88172645463325252ULL, .buf = {.len = 1000}};
	bool json = false;
	const struct options_entry entries[] = {{"json", .flag = &json, .set = true}};
	int rc = options_parse(entries, 1, argc, argv);

	if (rc != 0) {
		fputs("usage: sluice-perf flow [--json]\n", rc > 0 ? stdout : stderr);
		return rc < 0;
	}
	b.packet.buf = &b.buf;
	report_head(json);
	for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
		struct samples samples = {0};

		for (uint64_t r = 0; r < RUNS; r++)
			samples_add(&samples, run(&b, c, r));
		report_line(json, &(struct report_case){
					  .name = cases[c].name, .unit = "ns", .own = &samples});
	}
	return b.result == 1;
}
