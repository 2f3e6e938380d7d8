/*
 * One worker's messages sealed by another, both turned by hand: ports of their own on the queues of
 * a tunnel's end, whose own workers stand still while anything is in their hands.
 */
#include "dataplane/wireguard/spread.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/wire.h"
#include "dataplane/wireguard/outward.h"
#include "tests/wireguard/tunnels.h"
#include "tests/wireguard/workers.h"
#include "tun/tun_mem.h"

TestSuite(wireguard_spread_seal, .timeout = 60);

enum {
	SEGMENT = 1000,
	SEGMENTS = 61, /* of a packet: as many as a message takes */
	BURST = 5,     /* packets that fill a worker */
	BYTES = BURST * SEGMENTS * SEGMENT,
};

struct seal {
	struct tunnels t;
	struct worker *workers[WORKERS];
	struct wg_port *ports[WORKERS];
	struct buf bufs[BURST];
	struct packet packets[BURST];
	uint32_t seq;     /* of the next packet */
	uint32_t index;   /* the session of what passed last */
	uint64_t counter; /* and the counter that must be next */
	unsigned passed;  /* datagrams */
};

/* On the wire counters go up one by one, and never to the last. */
static unsigned look(struct tunnels *t, unsigned to, struct udp_message *m)
{
	struct seal *s = t->context;

	if (to == 0 || m->data[0] != WG_DATA)
		return 1;
	for (uint32_t at = 0; at < m->len; at += m->segment) {
		uint64_t counter = wg_get64(m->data + at + WG_COUNTER);
		uint32_t index = wg_get32(m->data + at + UDP_INDEX);

		if (index == s->index)
			cr_assert_eq(counter, s->counter, "%llu after %llu",
				     (unsigned long long)counter, (unsigned long long)s->counter);
		cr_assert_lt(counter, WG_REJECT_AFTER_MESSAGES);
		s->index = index;
		s->counter = counter + 1;
		s->passed++;
	}
	return 1;
}

static void open_seal(struct seal *s)
{
	struct packets_spec hello = tunnels_spec(4, PROTO_UDP, 0);

	memset(s, 0, sizeof(*s));
	tunnels_open(&s->t, &(struct tunnels_options){.queues = WORKERS});
	s->t.look = look;
	s->t.context = s;
	tunnels_send(&s->t, 0, &hello);
	cr_assert(tunnels_take(&s->t, 1));
	s->passed = 0;
	workers_open(s->workers, s->ports, &s->t, 0);
	for (unsigned i = 0; i < BURST; i++)
		cr_assert(s->bufs[i].data = malloc(BUF_SIZE));
}

static void close_seal(struct seal *s)
{
	for (unsigned i = 0; i < BURST; i++)
		free(s->bufs[i].data);
	workers_close(s->workers, s->ports);
	tunnels_close(&s->t);
}

/* A burst of n packets of a stream, each of so many segments; what they were is forgotten. */
static void burst(struct seal *s, unsigned n, unsigned segments)
{
	struct packets_spec spec = tunnels_spec(4, PROTO_TCP, 0);

	spec.needs_csum = true;
	spec.gso_size = SEGMENT;
	spec.payload = SEGMENT * segments;
	s->workers[0]->now_ms = s->workers[1]->now_ms = s->t.now_ms;
	for (unsigned i = 0; i < n; i++) {
		spec.seq = s->seq;
		s->seq += spec.payload;
		packets_build(&spec, &s->bufs[i]);
		cr_assert_eq(wg_outward_parse(&s->bufs[i], &s->packets[i]), REASON_NONE);
		cr_assert_eq(wg_outward_packet(s->workers[0], s->ports[0], &s->packets[i]),
			     REASON_NONE);
	}
	wg_outward_flush(s->workers[0], s->ports[0]);
	for (unsigned i = 0; i < n; i++)
		memset(s->bufs[i].data, 0xa5, s->bufs[i].len);
}

static bool is_left(const struct seal *s)
{
	return s->ports[0]->left != NULL;
}

/* A turn in which the TUN is empty. */
static void idle(struct seal *s)
{
	bool left = is_left(s);

	wg_outward_settle(s->workers[0], s->ports[0]);
	cr_assert_eq(is_left(s), left, "not in the turn that left it");
	s->workers[0]->turns++;
	wg_outward_settle(s->workers[0], s->ports[0]);
}

static unsigned help(struct seal *s, unsigned jobs)
{
	unsigned n = 0;

	while (n < jobs && wg_spread_help(s->workers[1], s->ports[1]))
		n++;
	return n;
}

/* Bytes of the stream that came out of the far end, in order, from `at` on. Returns: its end */
static uint32_t take_stream(struct seal *s, uint32_t at)
{
	struct packet packet;

	tunnels_turn(&s->t);
	while (tunnels_take(&s->t, 1)) {
		cr_assert_eq(packet_parse(&s->t.out, &packet), REASON_NONE);
		cr_assert_eq(wire_get32(s->t.out.data + packet.l4_offset + TCP_SEQ), at);
		at += s->t.out.len - packet.payload;
	}
	cr_assert_eq(tunnels_drops(&s->t, 1, REASON_NOT_AUTHENTIC), 0);
	return at;
}

/* A worker that has been filled once, so that the next burst is offered to the other. */
static void fill(struct seal *s)
{
	burst(s, BURST, SEGMENTS);
	cr_assert(!is_left(s), "one full burst is nothing yet");
	cr_assert_eq(take_stream(s, 0), BYTES);
	s->workers[1]->inbox.asleep = true;
}

Test(wireguard_spread_seal, others_seal_and_the_order_stays)
{
	for (unsigned jobs = 0; jobs <= BURST; jobs++) {
		struct seal s;

		open_seal(&s);
		fill(&s);
		burst(&s, BURST, SEGMENTS);
		cr_assert(is_left(&s));
		cr_assert_eq(s.workers[1]->inbox.asleep, false, "it was woken");
		cr_assert_eq(help(&s, jobs), jobs);
		cr_assert_eq(s.workers[1]->counters.helped, jobs * SEGMENTS);
		/* The next burst is offered before this one goes. */
		burst(&s, BURST, SEGMENTS);
		cr_assert(is_left(&s));
		cr_assert_eq(help(&s, jobs), jobs, "what was taken back is passed over");
		/* A packet by itself waits for nobody, and goes after what was before it. */
		burst(&s, 1, 1);
		cr_assert(!is_left(&s));
		burst(&s, 1, 1);
		cr_assert_eq(take_stream(&s, BYTES), 3 * BYTES + 2 * SEGMENT, "%u jobs", jobs);
		cr_assert_eq(s.passed, 3 * BURST * SEGMENTS + 2);
		cr_assert_eq(help(&s, 1), 0);
		close_seal(&s);
	}
}

Test(wireguard_spread_seal, what_is_left_goes_when_nothing_follows)
{
	struct seal s;

	open_seal(&s);
	fill(&s);
	burst(&s, BURST, SEGMENTS);
	cr_assert_eq(help(&s, 2), 2);
	idle(&s);
	cr_assert(!is_left(&s));
	cr_assert_eq(take_stream(&s, BYTES), 2 * BYTES);
	close_seal(&s);
}

Test(wireguard_spread_seal, nothing_is_offered_to_nobody)
{
	struct seal s;

	open_seal(&s);
	fill(&s);
	s.workers[1]->inbox.asleep = false; /* awake, and busy */
	burst(&s, BURST, SEGMENTS);
	cr_assert(!is_left(&s));
	s.workers[1]->inbox.asleep = true;
	s.workers[0]->peer_count = 1;
	burst(&s, BURST, SEGMENTS);
	cr_assert(!is_left(&s));
	cr_assert_eq(take_stream(&s, BYTES), 3 * BYTES);
	close_seal(&s);
}

Test(wireguard_spread_seal, who_gets_no_help_stops_asking)
{
	unsigned offered = 0;
	struct seal s;

	open_seal(&s);
	fill(&s);
	for (unsigned i = 1; i < 12; i++) {
		s.workers[1]->inbox.asleep = true;
		burst(&s, BURST, SEGMENTS);
		offered += is_left(&s);
	}
	cr_assert_gt(offered, 1);
	cr_assert_lt(offered, 8);
	idle(&s);
	cr_assert_eq(take_stream(&s, BYTES), 12 * BYTES);
	close_seal(&s);
}

/* The near end's own workers help here, as they turn: everything that is left is in their ring. */
Test(wireguard_spread_seal, a_new_session_takes_over_from_the_next_burst_on)
{
	struct packets_spec hello = tunnels_spec(4, PROTO_UDP, 0);
	uint32_t index;
	uint64_t counter;
	struct seal s;

	open_seal(&s);
	fill(&s);
	index = s.index;
	counter = s.counter;
	burst(&s, BURST, SEGMENTS);
	cr_assert(is_left(&s));
	cr_assert_eq(help(&s, 1), 1);
	/* Old enough that what is sent asks for the next session, which begins. */
	s.t.now_ms += WG_REKEY_AFTER_TIME / 1000000;
	s.counter += BURST * SEGMENTS; /* these are overtaken */
	tunnels_send(&s.t, 0, &hello);
	cr_assert(tunnels_take(&s.t, 1));
	s.workers[0]->now_ms = s.t.now_ms;
	s.index = index;
	s.counter = counter;
	idle(&s);
	cr_assert_eq(take_stream(&s, BYTES), 2 * BYTES);
	cr_assert_eq(s.index, index);
	burst(&s, BURST, SEGMENTS);
	idle(&s);
	cr_assert_eq(take_stream(&s, 2 * BYTES), 3 * BYTES);
	cr_assert_neq(s.index, index);
	close_seal(&s);
}

Test(wireguard_spread_seal, a_session_that_ends_meanwhile_sends_nothing)
{
	for (unsigned jobs = 0; jobs <= BURST; jobs++) {
		struct wg_peer_change peer = {.set = WG_PEER_REMOVE};
		struct wg_changes changes = {.peers = &peer, .peer_count = 1};
		struct seal s;

		open_seal(&s);
		fill(&s);
		s.passed = 0;
		burst(&s, BURST, SEGMENTS);
		cr_assert_eq(help(&s, jobs / 2), jobs / 2);
		memcpy(peer.public_key, s.t.ends[1].public_key, WG_KEY);
		cr_assert_eq(wg_device_apply(wg_tunnel_device(s.t.ends[0].tunnel), &changes,
					     s.t.now_ms * 1000000),
			     0);
		cr_assert_eq(help(&s, jobs - jobs / 2), jobs - jobs / 2);
		idle(&s);
		tunnels_turn(&s.t);
		cr_assert_eq(s.passed, 0);
		cr_assert_eq(s.workers[0]->counters.drops[REASON_NO_SESSION], BURST * SEGMENTS);
		close_seal(&s);
	}
}

/* It is as old as a session may be by the time that they are to go. */
Test(wireguard_spread_seal, a_session_that_grows_too_old_meanwhile_sends_nothing)
{
	struct seal s;

	open_seal(&s);
	fill(&s);
	s.passed = 0;
	burst(&s, BURST, SEGMENTS);
	cr_assert_eq(help(&s, 1), 1);
	s.workers[0]->now_ms = s.workers[1]->now_ms += WG_REJECT_AFTER_TIME / 1000000;
	cr_assert_eq(help(&s, 1), 1);
	idle(&s);
	tunnels_turn(&s.t);
	cr_assert_eq(s.passed, 0);
	cr_assert_eq(s.workers[0]->counters.drops[REASON_NO_SESSION], BURST * SEGMENTS);
	close_seal(&s);
}

/* Its index may be another's by then. */
Test(wireguard_spread_seal, nothing_is_sealed_by_another_session)
{
	struct seal s;

	open_seal(&s);
	fill(&s);
	burst(&s, BURST, SEGMENTS);
	cr_assert(is_left(&s));
	s.ports[0]->left->jobs[BURST - 1].keypair++;
	s.ports[0]->left->jobs[BURST - 2].keypair++;
	cr_assert_eq(help(&s, BURST - 1), BURST - 1);
	idle(&s);
	cr_assert_eq(take_stream(&s, BYTES), 2 * BYTES - 2 * SEGMENTS * SEGMENT);
	cr_assert_eq(s.workers[0]->counters.drops[REASON_NO_SESSION], 2 * SEGMENTS);
	close_seal(&s);
}

/* What a packet needs more than there are is never sent, by whomever. */
Test(wireguard_spread_seal, the_last_counters_are_used_once)
{
	struct wg_keypair *keypair;
	const struct wg_peer *peer;
	struct addr far = {.version = 4, .v4 = 0x0a000002};
	struct seal s;

	open_seal(&s);
	fill(&s);
	peer = wg_allowed_peer(wg_device_allowed(wg_tunnel_device(s.t.ends[0].tunnel)), &far);
	keypair = wg_peer_sending(peer, s.t.now_ms * 1000000);
	cr_assert(keypair);
	s.counter = keypair->next =
		WG_REJECT_AFTER_MESSAGES - (2 * BURST - 2) * SEGMENTS - SEGMENTS / 2;
	s.passed = 0;
	burst(&s, BURST, SEGMENTS);
	cr_assert(is_left(&s));
	cr_assert_eq(help(&s, 2), 2);
	burst(&s, BURST, SEGMENTS); /* the fourth has too few; it waits, and the fifth */
	cr_assert_eq(keypair->next, WG_REJECT_AFTER_MESSAGES);
	cr_assert_eq(help(&s, 1), 1);
	idle(&s);
	cr_assert_eq(take_stream(&s, BYTES), 3 * BYTES - 2 * SEGMENT * SEGMENTS);
	cr_assert_geq(s.passed, (2 * BURST - 2) * SEGMENTS);
	cr_assert_eq(wg_stage_count(s.ports[0]->stage), 1);
	close_seal(&s);
}
