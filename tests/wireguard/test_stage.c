/* Packets that wait for a session, against plain lists. */
#include "dataplane/wireguard/stage.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/packets.h"

TestSuite(wireguard_stage, .timeout = 60);

struct play {
	struct wg_stage *stage;
	struct buf in, out;
};

static void begin(struct play *p)
{
	memset(p, 0, sizeof(*p));
	p->stage = wg_stage_create();
	p->in.data = calloc(1, BUF_SIZE);
	p->out.data = malloc(BUF_SIZE);
	cr_assert(p->stage && p->in.data && p->out.data);
}

static void end(struct play *p)
{
	wg_stage_destroy(p->stage);
	free(p->in.data);
	free(p->out.data);
}

static unsigned add(struct play *p, uint64_t id, uint32_t len, uint32_t mark)
{
	struct wg_stage_peer peer = {.id = id, .number = (uint16_t)id, .give_ups = 3};

	p->in.len = len;
	p->in.offload.gso_size = (uint16_t)mark;
	memcpy(p->in.data, &mark, sizeof(mark));
	memcpy(p->in.data + len - sizeof(mark), &mark, sizeof(mark));
	return wg_stage_add(p->stage, &peer, &p->in);
}

static void take(struct play *p, unsigned at, uint32_t len, uint32_t mark)
{
	uint32_t first, last;

	cr_assert(wg_stage_take(p->stage, at, &p->out), "packet %u", mark);
	cr_assert_eq(p->out.len, len, "%u bytes, want %u", p->out.len, len);
	memcpy(&first, p->out.data, sizeof(first));
	memcpy(&last, p->out.data + len - sizeof(last), sizeof(last));
	cr_assert_eq(first, mark, "packet %u, want %u", first, mark);
	cr_assert_eq(last, mark);
	cr_assert_eq(p->out.offload.gso_size, (uint16_t)mark);
}

Test(wireguard_stage, packets_come_out_in_order_and_the_oldest_go)
{
	struct play p;

	begin(&p);
	cr_assert_eq(wg_stage_count(p.stage), 0);
	for (unsigned i = 0; i < 200; i++)
		cr_assert_eq(add(&p, 7, 100 + i, i), i < WG_STAGE_PEER_MAX ? 0 : 1);
	cr_assert_eq(wg_stage_count(p.stage), 1);
	cr_assert_eq(wg_stage_at(p.stage, 0)->id, 7);
	cr_assert_eq(wg_stage_at(p.stage, 0)->give_ups, 3);
	for (unsigned i = 200 - WG_STAGE_PEER_MAX; i < 200; i++)
		take(&p, 0, 100 + i, i);
	cr_assert_not(wg_stage_take(p.stage, 0, &p.out));
	cr_assert_eq(wg_stage_count(p.stage), 0);
	end(&p);
}

Test(wireguard_stage, no_peer_takes_the_room_of_all)
{
	struct play p;
	unsigned gone = 0;

	begin(&p);
	for (unsigned i = 0; i < 100; i++)
		gone += add(&p, 1, 65535, i);
	cr_assert_gt(gone, 80); /* of 64 KiB each */
	cr_assert_eq(add(&p, 2, 1400, 5), 0, "one peer's packets leave no room for another's");
	cr_assert_eq(wg_stage_count(p.stage), 2);
	take(&p, 1, 1400, 5);
	cr_assert_eq(wg_stage_drop(p.stage, 0), 100 - gone);
	cr_assert_eq(wg_stage_count(p.stage), 1);
	end(&p);
}

Test(wireguard_stage, many_peers_at_random)
{
	uint64_t seed = 9;
	uint32_t first[400] = {0}, next[400] = {0}; /* marks that each has */
	struct play p;
	unsigned total = 0;

	begin(&p);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned id = (unsigned)(packets_rand(&seed) >> 33) % 400;
		uint32_t len = 4 + (uint32_t)(packets_rand(&seed) >> 33) % 5000;
		unsigned count = wg_stage_count(p.stage);

		if (packets_rand(&seed) >> 63 || !count) {
			unsigned went = add(&p, id, len, next[id]);
			bool fresh = next[id] == first[id];

			if (went == 1 && fresh)
				continue; /* no room at all */
			next[id]++;
			first[id] += went;
			cr_assert_leq(first[id], next[id]);
			if (first[id] == next[id]) /* it went with those before it */
				continue;
			total++;
		} else {
			unsigned at = (unsigned)(packets_rand(&seed) >> 33) % count;
			uint64_t whose = wg_stage_at(p.stage, at)->id;

			if (packets_rand(&seed) % 4 == 0) {
				cr_assert_eq(wg_stage_drop(p.stage, at),
					     next[whose] - first[whose]);
				first[whose] = next[whose];
				continue;
			}
			if (!wg_stage_take(p.stage, at, &p.out)) {
				cr_assert_eq(first[whose], next[whose]);
				continue;
			}
			cr_assert_eq(p.out.offload.gso_size, (uint16_t)first[whose]);
			first[whose]++;
		}
	}
	cr_assert_gt(total, 3000);
	while (wg_stage_count(p.stage))
		wg_stage_drop(p.stage, 0);
	for (unsigned i = 0; i < WG_STAGE_BLOCKS / WG_STAGE_PEER_BLOCKS; i++)
		for (unsigned k = 0; k < 7; k++) /* all memory has come back */
			cr_assert_eq(add(&p, 1000 + i, 65535, k), 0);
	end(&p);
}
