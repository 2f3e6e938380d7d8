/*
 * What workers are told of peers and keypairs, by the names of what the protocol asks for; see
 * test_handshake.c. What they do with packets themselves is tested beside the data path.
 *
 * wg_d1   no counter is taken twice, and none past the last
 * wg_d2   the replay window: test_replay.c
 * wg_d4   an endpoint moves with authentic packets
 * wg_d7   a prefix is one peer's, and moves
 * wg_d10  nothing inside: a keepalive
 */
#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/wireguard/state.h"
#include "tests/wireguard/forge.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(wireguard_data, wg_d1_counters)
{
	static const uint64_t last = WG_REJECT_AFTER_MESSAGES;
	static const struct {
		uint64_t next;
		unsigned n;
		unsigned granted;
	} cases[] = {{0, 1, 1},         {0, 64, 64},   {last - 64, 64, 64}, {last - 63, 64, 63},
		     {last - 1, 64, 1}, {last, 64, 0}, {UINT64_MAX, 1, 0},  {last + 1, 64, 0}};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct wg_keypair keypair = {.next = cases[i].next};
		uint64_t first = 12345;

		cr_assert_eq(wg_keypair_take(&keypair, cases[i].n, &first), cases[i].granted,
			     "case %zu", i);
		cr_assert_eq(first, cases[i].granted ? cases[i].next : 12345, "case %zu", i);
		cr_assert_eq(keypair.next, cases[i].next + cases[i].granted, "case %zu", i);
	}
}

Test(wireguard_data, wg_d1_a_used_up_session_sends_no_more)
{
	struct pair *p = pair_create();
	struct wg_keypair *keypair;

	pair_meet(p);
	keypair = wg_peer_sending(pair_peer(p, 0), p->now_ns);
	keypair->next = WG_REJECT_AFTER_MESSAGES - 1;
	cr_assert(pair_send(p, 0, "x", 1));
	cr_assert(!pair_send(p, 0, "x", 1));
	pair_destroy(p);
}

static void expect_endpoint(struct pair *p, unsigned end, const struct udp_endpoint *expected)
{
	struct udp_endpoint e;

	cr_assert(wg_peer_endpoint(pair_peer(p, end), &e));
	cr_assert_eq(memcmp(e.addr, expected->addr, sizeof(e.addr)), 0);
	cr_assert_eq(e.port, expected->port);
	cr_assert_eq(e.version, expected->version);
}

Test(wireguard_data, wg_d4_roaming)
{
	struct pair *p = pair_create();
	struct udp_endpoint six = {.addr = {0xfd, [15] = 7}, .port = 77, .version = 6};
	const struct udp_endpoint old = p->ends[0].at;
	struct pair_datagram d;

	pair_meet(p);
	expect_endpoint(p, 1, &old);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert(pair_send(p, 0, "x", 1));
		d = forge_take(p, 0);
		d.data[20] ^= 1; /* not authentic */
		p->ends[0].at.port = 4000;
		pair_receive(p, 1, &d);
		expect_endpoint(p, 1, &old);
		d.data[20] ^= 1;
		p->ends[0].at = old;
		pair_receive(p, 1, &d);
		p->ends[0].at.port = 4000;
		pair_receive(p, 1, &d); /* seen already */
		expect_endpoint(p, 1, &old);
		p->ends[0].at = old;
	}
	/* To another family, and back. */
	cr_assert(pair_send(p, 0, "x", 1));
	d = forge_take(p, 0);
	memcpy(d.to.source, six.addr, sizeof(six.addr));
	p->ends[0].at = six;
	pair_receive(p, 1, &d);
	expect_endpoint(p, 1, &six);
	cr_assert(pair_send(p, 1, "x", 1));
	d = forge_take(p, 1);
	cr_assert_eq(d.to.version, 6);
	p->ends[0].at = old;
	cr_assert(pair_send(p, 0, "x", 1));
	pair_settle(p);
	expect_endpoint(p, 1, &old);
	pair_destroy(p);
}

Test(wireguard_data, wg_d4_a_source_is_forgotten)
{
	struct pair *p = pair_create();
	struct udp_endpoint e;
	uint8_t source[16];

	pair_meet(p);
	cr_assert(wg_peer_endpoint(pair_peer(p, 0), &e));
	memcpy(source, e.source, sizeof(source));
	cr_assert_eq(source[0], 192);
	source[0]++;
	wg_peer_forget_source(pair_peer(p, 0), source);
	cr_assert(wg_peer_endpoint(pair_peer(p, 0), &e));
	cr_assert_eq(e.source[0], 192, "another's");
	/* The device's own, when the system says so. */
	p->now_ns += 130 * WG_NS;
	p->ends[0].source_gone = true;
	cr_assert(pair_send(p, 0, "x", 1));
	p->ends[0].source_gone = true;
	pair_serve(p, 0);
	cr_assert(wg_peer_endpoint(pair_peer(p, 0), &e));
	cr_assert_eq(e.source[0], 0);
	cr_assert_eq(e.addr[0], 192);
	pair_destroy(p);
}

static bool never(void *context, const struct udp_endpoint *endpoint, uint32_t mark)
{
	unsigned *asked = context;

	(void)mark;
	*asked += endpoint->link;
	return false;
}

static void set_allowed(struct pair *p, uint8_t key, unsigned set, const char *text, bool remove);

/* All peers that are somewhere, whatever the family of those before. */
Test(wireguard_data, wg_d4_sources_of_all_peers_are_reviewed)
{
	struct udp_endpoint e = {.addr = {0xfd}, .source = {0xfd}, .port = 7, .version = 6};
	struct pair *p = pair_create();
	unsigned asked = 0;
	const struct wg_ways ways = {.stands = never, .context = &asked};
	struct wg_roster *roster;

	for (uint8_t key = 2; key < 6; key++)
		set_allowed(p, key, 0, NULL, false);
	roster = p->ends[0].device->roster;
	cr_assert_eq(roster->count, 5);
	for (unsigned i = 1; i < roster->count; i++) {
		e.version = i % 2 ? 6 : 4;
		e.link = 1U << i;
		wg_peer_set_endpoint(&roster->members[i]->peer, &e);
	}
	wg_device_review_sources(p->ends[0].device, &ways);
	cr_assert_eq(asked, 2 + 4 + 8 + 16);
	pair_destroy(p);
}

/* Only who was heard by some interface, and answered from an address of ours, is looked at. */
Test(wireguard_data, wg_d4_sources_are_reviewed)
{
	struct pair *p = pair_create();
	struct udp_endpoint e;
	unsigned asked = 0;
	const struct wg_ways ways = {.stands = never, .context = &asked};

	pair_meet(p);
	wg_device_review_sources(p->ends[0].device, &ways);
	cr_assert_eq(asked, 0);
	cr_assert(wg_peer_endpoint(pair_peer(p, 0), &e));
	cr_assert_eq(e.source[0], 192);
	e.link = 7;
	wg_peer_set_endpoint(pair_peer(p, 0), &e);
	for (unsigned i = 0; i < 2; i++) {
		wg_device_review_sources(p->ends[0].device, &ways);
		cr_assert_eq(asked, 7, "once, while there is a source");
		cr_assert(wg_peer_endpoint(pair_peer(p, 0), &e));
		cr_assert_eq(e.source[0], 0);
		cr_assert_eq(e.addr[0], 192);
	}
	pair_destroy(p);
}

Test(wireguard_data, wg_d10_keepalives)
{
	struct pair *p = pair_create();

	pair_meet(p);
	pair_run(p, 20 * WG_NS, WG_NS);
	cr_assert(pair_send(p, 0, NULL, 0));
	pair_settle(p);
	cr_assert_eq(p->ends[1].received_len, 0);
	cr_assert_eq(pair_peer(p, 1)->unacknowledged_ns, 0, "it wants no answer");
	cr_assert_eq(pair_peer(p, 0)->unanswered_ns, 0);
	pair_destroy(p);
}

/* Who has an address of end 0's device, by first byte of the public key; 0: nobody. */
static unsigned owner(struct pair *p, const char *text)
{
	struct prefix prefix = pair_prefix(text);
	const struct wg_peer *peer =
		wg_allowed_peer(wg_device_allowed(p->ends[0].device), &prefix.addr);

	return peer ? peer->public_key[0] : 0;
}

static void set_allowed(struct pair *p, uint8_t key, unsigned set, const char *text, bool remove)
{
	struct wg_allowed_change allowed = {.remove = remove};
	const struct wg_peer_change peer = {
		.set = set,
		.public_key = {key},
		.allowed = &allowed,
		.allowed_count = text ? 1 : 0,
	};

	if (text)
		allowed.prefix = pair_prefix(text);
	pair_apply(p, 0, &(struct wg_changes){.peers = &peer, .peer_count = 1});
}

Test(wireguard_data, wg_d7_allowed_addresses)
{
	struct pair *p = pair_create();

	set_allowed(p, 2, 0, "10.1.0.0/16", false);
	set_allowed(p, 3, 0, "10.1.2.0/24", false);
	cr_assert_eq(owner(p, "10.1.1.1"), 2);
	cr_assert_eq(owner(p, "10.1.2.1"), 3);
	cr_assert_eq(owner(p, "10.2.0.1"), 0);
	set_allowed(p, 3, 0, "10.1.0.0/16", false);
	cr_assert_eq(owner(p, "10.1.1.1"), 3, "it moves");
	set_allowed(p, 2, 0, "10.1.0.0/16", true);
	cr_assert_eq(owner(p, "10.1.1.1"), 3, "another's stays");
	set_allowed(p, 3, 0, "10.1.0.0/16", true);
	cr_assert_eq(owner(p, "10.1.1.1"), 0);
	cr_assert_eq(owner(p, "10.1.2.1"), 3);
	set_allowed(p, 3, WG_PEER_REPLACE_ALLOWED, "::/0", false);
	cr_assert_eq(owner(p, "10.1.2.1"), 0);
	cr_assert_eq(owner(p, "2001:db8::1"), 3);
	set_allowed(p, 2, 0, "2001:db8::1/128", false);
	cr_assert_eq(owner(p, "2001:db8::1"), 2);
	set_allowed(p, 2, WG_PEER_REMOVE, NULL, false);
	cr_assert_eq(owner(p, "2001:db8::1"), 3);
	set_allowed(p, 7, WG_PEER_UPDATE_ONLY, "10.7.0.0/16", false);
	cr_assert_eq(owner(p, "10.7.0.1"), 0, "such a peer is not there");
	pair_destroy(p);
}
