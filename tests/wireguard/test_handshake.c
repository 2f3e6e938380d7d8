/*
 * What the protocol asks of handshakes, each under its own name; tests/tidy checks that every line
 * here has a test whose name begins so.
 *
 * wg_h1   messages have exactly their lengths
 * wg_h2   the first MAC is checked before anything else
 * wg_h3   a shared secret of zero is refused, in initiations and responses
 * wg_h4   an initiation's stamp is newer than all before, for the peer's whole life
 * wg_h5   50 initiations a second of one peer are enough
 * wg_h6   an unknown key meets silence
 * wg_h7   a response is for an index of ours, and taken once
 * wg_h8   a responder waits for the first packet, an initiator sends one at once
 * wg_h9   three keypairs, and how they move
 * wg_h10  preshared keys
 * wg_h11  every handshake has a new index, and old ones are gone
 * wg_h12  keys of low order send nothing
 * wg_s1   the unauthenticated get no answer
 */
#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/wireguard/state.h"
#include "tests/wireguard/forge.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* An initiation of end 0's device, taken from the wire. */
static struct pair_datagram initiation(struct pair *p)
{
	cr_assert(!pair_send(p, 0, "x", 1));
	pair_serve(p, 0);
	return forge_take(p, 0);
}

static unsigned responses(const struct pair *p)
{
	return p->ends[1].sent_by_type[WG_RESPONSE];
}

Test(wireguard_handshake, wg_h1_lengths)
{
	static const uint8_t types[] = {WG_INITIATION, WG_RESPONSE, WG_COOKIE_REPLY, 0, 5, 255};
	struct pair *p = pair_create();
	struct pair_datagram good = initiation(p);
	struct pair_datagram d = good;

	for (size_t t = 0; t < COUNT(types); t++)
		for (d.len = 0; d.len < 300; d.len++) {
			memcpy(d.data, good.data, sizeof(d.data));
			d.data[0] = types[t];
			if (types[t] == WG_INITIATION && d.len == good.len)
				continue;
			pair_receive(p, 1, &d);
			cr_assert_eq(forge_sent(p, 1), 0, "type %u, %zu bytes", types[t], d.len);
		}
	for (unsigned i = 1; i < 4; i++) {
		d = good;
		d.data[i] = 1; /* what is reserved is zero */
		pair_receive(p, 1, &d);
		cr_assert_eq(forge_sent(p, 1), 0, "byte %u", i);
	}
	pair_receive(p, 1, &good);
	cr_assert_eq(responses(p), 1);
	pair_destroy(p);
}

Test(wireguard_handshake, wg_h2_first_mac)
{
	struct pair *p = pair_create();
	struct pair_datagram good = initiation(p);
	size_t mac1 = good.len - sizeof(struct wg_macs);

	for (size_t i = 0; i < good.len - WG_COOKIE; i++) {
		struct pair_datagram d = good;

		d.data[i] ^= 0x10;
		pair_receive(p, 1, &d);
		cr_assert_eq(forge_sent(p, 1), 0, "byte %zu", i);
		if (i >= 4)
			cr_assert_eq(forge_counters(p, 1).bad_mac, i - 3, "byte %zu of %zu", i,
				     mac1);
		cr_assert_eq(forge_counters(p, 1).bad_handshake, 0, "byte %zu", i);
	}
	pair_receive(p, 1, &good);
	cr_assert_eq(responses(p), 1);
	pair_destroy(p);
}

Test(wireguard_handshake, wg_h3_zero_secrets)
{
	struct pair *p = pair_create();
	struct pair_datagram d = initiation(p);
	struct pair_datagram bad = d;

	memset(bad.data + 8, 0, WG_KEY);
	forge_macs(p, 1, &bad, NULL);
	pair_receive(p, 1, &bad);
	cr_assert_eq(forge_counters(p, 1).bad_handshake, 1);
	cr_assert_eq(forge_sent(p, 1), 0);
	pair_receive(p, 1, &d);
	d = forge_take(p, 1);
	bad = d;
	memset(bad.data + 12, 0, WG_KEY);
	forge_macs(p, 0, &bad, NULL);
	pair_receive(p, 0, &bad);
	cr_assert_eq(forge_counters(p, 0).bad_handshake, 1);
	cr_assert_null(wg_peer_sending(pair_peer(p, 0), p->now_ns));
	pair_receive(p, 0, &d);
	cr_assert(wg_peer_sending(pair_peer(p, 0), p->now_ns), "the handshake goes on");
	pair_destroy(p);
}

Test(wireguard_handshake, wg_h4_stamps)
{
	struct pair *p = pair_create();
	struct pair_datagram d = initiation(p);
	struct pair_datagram older =
		forge_initiation(p, 1, p->ends[0].private_key, p->wall_ns / WG_NS - 1000);

	pair_receive(p, 1, &d);
	cr_assert_eq(responses(p), 1);
	cr_assert_eq(d.tos, 0x88);
	cr_assert_eq(forge_take(p, 1).tos, 0x88, "as important as WireGuard's messages are");
	/* Long after, when its session is forgotten. */
	for (unsigned i = 0; i < 3; i++) {
		pair_lose(p, 0);
		pair_lose(p, 1);
		p->now_ns += 300 * WG_NS;
		pair_serve(p, 1);
		pair_receive(p, 1, &d);
		pair_receive(p, 1, &older);
		cr_assert_eq(responses(p), 1, "after %u times 300 s", i + 1);
	}
	cr_assert_eq(forge_counters(p, 1).replayed, 6);
	pair_destroy(p);
}

Test(wireguard_handshake, wg_h5_flood)
{
	struct pair *p = pair_create();
	unsigned answered = 0;

	/* A thousand a second for a second. */
	for (unsigned i = 0; i < 1000; i++) {
		struct pair_datagram d =
			forge_initiation(p, 1, p->ends[0].private_key, UINT64_C(7) << 60 | i);

		pair_receive(p, 1, &d);
		answered += pair_lose(p, 1);
		p->now_ns += WG_NS / 1000;
	}
	cr_assert_eq(answered, 50);
	cr_assert_eq(forge_counters(p, 1).flooded, 950);
	pair_destroy(p);
}

Test(wireguard_handshake, wg_h6_unknown_key)
{
	struct pair *p = pair_create();
	const uint8_t stranger[WG_KEY] = {8, 1, 2, 3, [31] = 64};
	struct pair_datagram d = forge_initiation(p, 1, stranger, UINT64_C(7) << 60);

	pair_receive(p, 1, &d);
	cr_assert_eq(forge_sent(p, 1), 0);
	cr_assert_eq(forge_counters(p, 1).bad_handshake, 1);
	pair_destroy(p);
}

Test(wireguard_handshake, wg_h7_responses)
{
	struct pair *p = pair_create();
	struct pair_datagram d = initiation(p);
	struct pair_datagram other;
	struct wg_keypair *keypair;

	pair_receive(p, 1, &d);
	d = forge_take(p, 1);
	other = d;
	other.data[8] ^= 1; /* another receiver */
	forge_macs(p, 0, &other, NULL);
	pair_receive(p, 0, &other);
	cr_assert_null(wg_peer_sending(pair_peer(p, 0), p->now_ns));
	pair_receive(p, 1, &d); /* not the initiator's */
	cr_assert_eq(forge_counters(p, 1).bad_mac, 1);
	pair_receive(p, 0, &d);
	keypair = wg_peer_sending(pair_peer(p, 0), p->now_ns);
	cr_assert(keypair);
	pair_lose(p, 0);
	pair_receive(p, 0, &d);
	cr_assert_eq(wg_peer_sending(pair_peer(p, 0), p->now_ns), keypair);
	cr_assert_eq(pair_lose(p, 0), 0, "a response that was taken is answered");
	cr_assert_eq(forge_counters(p, 0).handshakes, 1);
	pair_destroy(p);
}

Test(wireguard_handshake, wg_h8_confirmation)
{
	struct pair *p = pair_create();
	struct pair_datagram d = initiation(p);

	pair_receive(p, 1, &d);
	d = forge_take(p, 1);
	cr_assert(!pair_send(p, 1, "early", 5), "sent before anything was received");
	pair_receive(p, 0, &d);
	d = forge_take(p, 0);
	cr_assert_eq(d.data[0], WG_DATA);
	cr_assert_eq(d.len, WG_DATA_OVERHEAD);
	pair_receive(p, 1, &d);
	/* At once, before the device has looked. */
	cr_assert(pair_send(p, 1, "now", 3));
	pair_destroy(p);
}

/* The local indices of a peer's three keypairs; 0: none. */
struct slots {
	uint32_t previous;
	uint32_t current;
	uint32_t next;
};

static uint32_t index_of(const struct wg_keypair *keypair)
{
	return keypair ? keypair->local_index : 0;
}

static struct slots slots_of(struct pair *p, unsigned end)
{
	const struct wg_peer *peer = pair_peer(p, end);

	return (struct slots){index_of(peer->previous), index_of(peer->current),
			      index_of(peer->next)};
}

static void expect_slots(struct pair *p, unsigned end, struct slots expected, const char *when)
{
	struct slots s = slots_of(p, end);

	cr_assert_eq(memcmp(&s, &expected, sizeof(s)), 0,
		     "%s: end %u has %x %x %x, expected %x %x %x", when, end, s.previous, s.current,
		     s.next, expected.previous, expected.current, expected.next);
}

/* A handshake of end 0 without the packet that confirms it. */
static void begin_again(struct pair *p)
{
	struct pair_datagram d;

	p->now_ns += 130 * WG_NS;
	p->wall_ns += 130 * WG_NS;
	wg_peer_want_session(pair_peer(p, 0));
	pair_serve(p, 0);
	d = forge_take(p, 0);
	while (d.data[0] != WG_INITIATION)
		d = forge_take(p, 0);
	pair_lose(p, 1);
	pair_receive(p, 1, &d);
	d = forge_take(p, 1);
	pair_receive(p, 0, &d);
	pair_lose(p, 0);
}

Test(wireguard_handshake, wg_h9_rotation)
{
	struct pair *p = pair_create();
	struct slots a;
	struct slots b;

	begin_again(p);
	a = slots_of(p, 0);
	b = slots_of(p, 1);
	expect_slots(p, 0, (struct slots){0, a.current, 0}, "begun");
	expect_slots(p, 1, (struct slots){0, 0, b.next}, "begun");
	cr_assert(pair_send(p, 0, "x", 1));
	pair_settle(p);
	expect_slots(p, 1, (struct slots){0, b.next, 0}, "confirmed");
	b = slots_of(p, 1);

	begin_again(p);
	expect_slots(p, 0, (struct slots){a.current, slots_of(p, 0).current, 0}, "again");
	expect_slots(p, 1, (struct slots){0, b.current, slots_of(p, 1).next}, "again");
	/* Not confirmed, and another comes: the first is dropped. */
	b.next = slots_of(p, 1).next;
	begin_again(p);
	cr_assert_neq(slots_of(p, 1).next, b.next);
	cr_assert_null(wg_device_keypair(p->ends[1].device, b.next));
	expect_slots(p, 1, (struct slots){0, b.current, slots_of(p, 1).next}, "third");
	/* Now the other end begins one: what was unconfirmed is the previous one. */
	b = slots_of(p, 1);
	wg_peer_want_session(pair_peer(p, 1));
	p->now_ns += 60 * WG_NS;
	p->wall_ns += 60 * WG_NS;
	pair_settle(p);
	expect_slots(p, 1, (struct slots){b.next, slots_of(p, 1).current, 0}, "other way");
	cr_assert_null(wg_device_keypair(p->ends[1].device, b.current));
	/* And end 0 again: a responder that waits keeps no previous one. */
	b = slots_of(p, 1);
	p->now_ns += 60 * WG_NS; /* not its session: it waits until that is too old */
	p->wall_ns += 60 * WG_NS;
	begin_again(p);
	expect_slots(p, 1, (struct slots){0, b.current, slots_of(p, 1).next}, "back");
	cr_assert_null(pair_peer(p, 1)->previous, "what is wiped looks like none");
	cr_assert_null(wg_device_keypair(p->ends[1].device, b.previous));
	pair_destroy(p);
}

Test(wireguard_handshake, wg_h10_preshared_keys)
{
	static const struct {
		uint8_t key[PAIR_ENDS]; /* first byte */
		bool session;
	} cases[] = {
		{{1, 1}, true}, {{1, 0}, false}, {{0, 2}, false}, {{1, 2}, false}, {{0, 0}, true}};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct pair *p = pair_create();

		for (unsigned end = 0; end < PAIR_ENDS; end++)
			pair_change_peer(p, end,
					 &(struct wg_peer_change){
						 .set = WG_PEER_PRESHARED_KEY,
						 .preshared_key = {cases[i].key[end]},
					 });
		cr_assert(!pair_send(p, 0, "x", 1));
		pair_settle(p);
		cr_assert_eq(!!wg_peer_sending(pair_peer(p, 0), p->now_ns), cases[i].session,
			     "case %zu", i);
		cr_assert_eq(p->ends[0].sent_by_type[WG_DATA] > 0, cases[i].session, "case %zu", i);
		pair_destroy(p);
	}
}

Test(wireguard_handshake, wg_h11_indices)
{
	struct pair *p = pair_create();
	uint32_t seen[20], differ = 0;

	for (unsigned i = 0; i < COUNT(seen); i++) {
		begin_again(p);
		cr_assert(pair_send(p, 0, "x", 1));
		pair_settle(p);
		seen[i] = slots_of(p, 0).current;
		for (unsigned j = 0; j < i; j++)
			cr_assert_neq(seen[j], seen[i], "handshakes %u and %u", j, i);
		differ |= seen[i] ^ seen[0];
	}
	cr_assert_geq(__builtin_popcount(differ), 24, "it is random: %08x", differ);
	for (unsigned i = 0; i + 2 < COUNT(seen); i++)
		cr_assert_null(wg_device_keypair(p->ends[0].device, seen[i]), "handshake %u", i);
	cr_assert(wg_device_keypair(p->ends[0].device, seen[COUNT(seen) - 1]));
	for (unsigned i = 0; i + 2 < COUNT(seen); i++)
		cr_assert_null(wg_index_owner(p->ends[0].device, seen[i]), "handshake %u", i);
	pair_destroy(p);
}

Test(wireguard_handshake, wg_h12_keys_of_low_order)
{
	struct pair *p = pair_create();
	const struct wg_allowed_change allowed = {.prefix = pair_prefix("10.9.0.0/16")};
	const struct wg_peer_change peer = {
		.set = WG_PEER_ENDPOINT | WG_PEER_KEEPALIVE,
		.public_key = {1},
		.endpoint = pair_endpoint4(9, 9),
		.keepalive_s = 1,
		.allowed = &allowed,
		.allowed_count = 1,
	};

	pair_apply(p, 0, &(struct wg_changes){.peers = &peer, .peer_count = 1});
	wg_peer_want_session(wg_allowed_peer(wg_device_allowed(p->ends[0].device),
					     &(struct addr){.version = 4, .v4 = 0x0a090001}));
	for (unsigned i = 0; i < 100; i++) {
		p->now_ns += WG_NS;
		pair_serve(p, 0);
	}
	cr_assert_eq(forge_sent(p, 0), 0);
	pair_destroy(p);
}

/* Of all types and lengths, with a right first MAC or not; before, in and after a handshake. */
Test(wireguard_handshake, wg_s1_silence)
{
	struct pair *p = pair_create();
	uint32_t random = 1;

	for (unsigned i = 0; i < 20000; i++) {
		struct pair_datagram d = {.to = p->ends[1].at};
		unsigned sent;

		if (i == 10000)
			pair_meet(p);
		sent = forge_sent(p, 1);
		for (size_t j = 0; j < sizeof(d.data); j++) {
			random = random * 1664525 + 1013904223;
			d.data[j] = (uint8_t)(random >> 24);
		}
		random = random * 1664525 + 1013904223;
		wg_put32(d.data, i % 8 == 7 ? random : i % 8);
		d.len = (random >> 8) % (PAIR_BYTES_MAX + 1);
		if (i % 3 == 0)
			d.len = (const size_t[]){148, 92, 64, 32}[i / 3 % 4];
		if (i % 5 == 0 && d.len >= sizeof(struct wg_macs))
			forge_macs(p, 1, &d, NULL);
		pair_receive(p, 1, &d);
		pair_serve(p, 1);
		cr_assert_eq(forge_sent(p, 1), sent, "datagram %u: type %u, %zu bytes", i,
			     d.data[0], d.len);
	}
	pair_destroy(p);
}
