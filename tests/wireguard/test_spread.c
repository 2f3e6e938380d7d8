/*
 * One worker's messages opened by another, both turned by hand: ports of their own on the queues of
 * a tunnel's end, whose own workers stand still.
 */
#include "dataplane/wireguard/spread.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/wire.h"
#include "dataplane/wireguard/inward.h"
#include "tests/wireguard/tunnels.h"
#include "tests/wireguard/workers.h"
#include "tun/tun_mem.h"
#include "tun/udp_mem.h"

TestSuite(wireguard_spread, .timeout = 60);

enum {
	SEGMENT = 1000,
	SEGMENTS = 40, /* of a message */
	CAUGHT_MAX = 64,
	BURST = 5, /* messages that fill a worker */
	FLIPPED = WG_DATA_HEADER + 20,
};

struct spread {
	struct tunnels t;
	struct worker *workers[WORKERS];
	struct wg_port *ports[WORKERS];
	unsigned home;
	struct udp_message caught[CAUGHT_MAX]; /* on the way to end 1 */
	unsigned count;
	uint8_t *next; /* of end 1's TUN: the segment that is to come out */
};

/* Messages with data go no further, but are kept. */
static unsigned catch (struct tunnels *t, unsigned to, struct udp_message *m)
{
	struct spread *s = t->context;
	struct udp_message *kept = &s->caught[s->count];

	if (to == 0 || m->len < SEGMENT)
		return 1;
	cr_assert_lt(s->count++, CAUGHT_MAX);
	*kept = *m;
	kept->data = malloc(m->len);
	cr_assert(kept->data);
	memcpy(kept->data, m->data, m->len);
	return 0;
}

/* Seal n messages, each of a super-packet that goes on where the one before ends. */
static void seal(struct spread *s, unsigned n)
{
	struct packets_spec spec = tunnels_spec(4, PROTO_TCP, 0);

	s->count = 0;
	spec.needs_csum = true;
	spec.gso_size = SEGMENT;
	spec.payload = SEGMENT * SEGMENTS;
	for (unsigned i = 0; i < n; i++) {
		spec.seq = i * spec.payload;
		tunnels_send(&s->t, 0, &spec);
	}
	cr_assert_eq(s->count, n);
	s->home = wg_get32(s->caught[0].data + UDP_INDEX) % WORKERS;
}

static void inject(struct spread *s, unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++)
		cr_assert_eq(udp_mem_inject(wg_tunnel_udp(s->t.ends[1].tunnel), &s->caught[i]), 0);
}

static void open_spread(struct spread *s)
{
	struct packets_spec hello = tunnels_spec(4, PROTO_UDP, 0);

	memset(s, 0, sizeof(*s));
	tunnels_open(&s->t, &(struct tunnels_options){.queues = WORKERS});
	tunnels_send(&s->t, 0, &hello);
	cr_assert(tunnels_take(&s->t, 1));
	s->t.look = catch;
	s->t.context = s;
	workers_open(s->workers, s->ports, &s->t, 1);
}

static void close_spread(struct spread *s)
{
	workers_close(s->workers, s->ports);
	for (unsigned i = 0; i < CAUGHT_MAX; i++)
		free(s->caught[i].data);
	tunnels_close(&s->t);
}

static struct worker *home(struct spread *s)
{
	return s->workers[s->home];
}

static struct worker *other(struct spread *s)
{
	return s->workers[1 - s->home];
}

/* One turn of the home worker. Returns: messages under way */
static unsigned turn(struct spread *s)
{
	struct wg_port *port = s->ports[s->home];
	unsigned n = wg_inward_receive(home(s), port);

	while (n && wg_inward_round(home(s), port))
		wg_inward_deliver(home(s), port);
	return n;
}

static unsigned help(struct spread *s, unsigned jobs)
{
	unsigned n = 0;

	while (n < jobs && wg_spread_help(other(s), s->ports[1 - s->home]))
		n++;
	return n;
}

/* Bytes of the stream that came out, in order, from `at` on. Returns: where it ends */
static uint32_t take_stream(struct spread *s, uint32_t at)
{
	struct packet packet;

	while (tunnels_take(&s->t, 1)) {
		cr_assert_eq(packet_parse(&s->t.out, &packet), REASON_NONE);
		cr_assert_eq(wire_get32(s->t.out.data + packet.l4_offset + TCP_SEQ), at);
		at += s->t.out.len - packet.payload;
	}
	return at;
}

static uint64_t drops(struct spread *s, enum reason reason)
{
	return home(s)->counters.drops[reason];
}

/* A worker that has been filled once, so that the next burst is offered to the other. */
static void fill(struct spread *s, unsigned n)
{
	seal(s, n);
	inject(s, 0, BURST);
	cr_assert_eq(turn(s), BURST);
	cr_assert_eq(take_stream(s, 0), BURST * SEGMENT * SEGMENTS);
	cr_assert_eq(help(s, 1), 0, "one full burst is nothing yet");
	other(s)->inbox.asleep = true;
}

Test(wireguard_spread, others_open_and_the_order_stays)
{
	for (unsigned jobs = 0; jobs <= BURST; jobs++) {
		uint32_t at = BURST * SEGMENT * SEGMENTS;
		struct spread s;

		open_spread(&s);
		fill(&s, 3 * BURST);
		inject(&s, BURST, BURST);
		cr_assert_eq(turn(&s), BURST);
		cr_assert_eq(other(&s)->inbox.asleep, false, "it was woken");
		cr_assert_eq(take_stream(&s, at), at, "nothing yet");
		cr_assert_eq(help(&s, jobs), jobs);
		/* The next burst is offered before this one is delivered. */
		inject(&s, 2 * BURST, BURST);
		cr_assert_eq(turn(&s), BURST + 1);
		at = take_stream(&s, at);
		cr_assert_eq(at, 2 * BURST * SEGMENT * SEGMENTS, "%u jobs: %u", jobs, at);
		cr_assert_eq(other(&s)->counters.helped, jobs * SEGMENTS);
		cr_assert_eq(help(&s, 1), 1, "what was taken back is passed over");
		cr_assert_eq(turn(&s), 1);
		cr_assert_eq(turn(&s), 0, "it may sleep");
		at = take_stream(&s, at);
		cr_assert_eq(at, 3 * BURST * SEGMENT * SEGMENTS, "%u jobs: %u", jobs, at);
		close_spread(&s);
	}
}

Test(wireguard_spread, what_others_opened_is_checked_as_ever)
{
	struct spread s;

	open_spread(&s);
	fill(&s, 2 * BURST);
	/* Again what came before, and one that was changed on the way. */
	inject(&s, 0, BURST - 1);
	s.caught[BURST].data[FLIPPED] ^= 1;
	inject(&s, BURST, 1);
	turn(&s);
	cr_assert_eq(help(&s, BURST), BURST);
	turn(&s);
	cr_assert_eq(drops(&s, REASON_REPLAYED), (BURST - 1) * SEGMENTS);
	cr_assert_eq(drops(&s, REASON_NOT_AUTHENTIC), 1);
	cr_assert(tunnels_take(&s.t, 1));
	close_spread(&s);
}

Test(wireguard_spread, a_session_that_ends_meanwhile_lets_nothing_in)
{
	struct wg_peer_change peer = {.set = WG_PEER_REMOVE};
	struct wg_changes changes = {.peers = &peer, .peer_count = 1};
	struct spread s;

	open_spread(&s);
	fill(&s, 2 * BURST);
	inject(&s, BURST, BURST);
	turn(&s);
	cr_assert_eq(help(&s, 3), 3);
	memcpy(peer.public_key, s.t.ends[0].public_key, WG_KEY);
	cr_assert_eq(wg_device_apply(wg_tunnel_device(s.t.ends[1].tunnel), &changes,
				     s.t.now_ms * 1000000),
		     0);
	cr_assert_eq(help(&s, 1), 1);
	turn(&s);
	cr_assert_eq(drops(&s, REASON_UNKNOWN_SESSION), BURST * SEGMENTS);
	cr_assert_not(tunnels_take(&s.t, 1));
	close_spread(&s);
}

/* Its index may be another's by then. */
Test(wireguard_spread, what_another_session_opened_is_not_let_in)
{
	struct wg_port *port;
	struct spread s;

	open_spread(&s);
	fill(&s, 2 * BURST);
	inject(&s, BURST, BURST);
	turn(&s);
	cr_assert_eq(help(&s, BURST), BURST);
	port = s.ports[s.home];
	cr_assert(port->pending);
	port->pending->jobs[1].keypair++;
	turn(&s);
	cr_assert_eq(drops(&s, REASON_UNKNOWN_SESSION), SEGMENTS);
	close_spread(&s);
}

Test(wireguard_spread, who_gets_no_help_stops_asking)
{
	unsigned offered = 0;
	struct spread s;

	open_spread(&s);
	fill(&s, CAUGHT_MAX);
	for (unsigned i = 1; i < CAUGHT_MAX / BURST; i++) {
		inject(&s, i * BURST, BURST);
		other(&s)->inbox.asleep = true;
		turn(&s);
		offered += s.ports[s.home]->pending != NULL;
	}
	turn(&s);
	cr_assert_gt(offered, 1);
	cr_assert_lt(offered, 8);
	cr_assert_eq(take_stream(&s, BURST * SEGMENT * SEGMENTS),
		     CAUGHT_MAX / BURST * BURST * SEGMENT * SEGMENTS);
	close_spread(&s);
}
