/*
 * Timers, by the names of what the protocol asks for; see test_handshake.c.
 *
 * wg_t1   an initiator that sends begins anew after 120 s, a responder does not
 * wg_t2   an initiator that only receives does so after 165 s, once
 * wg_t3   data without an answer for 15 s: a new handshake
 * wg_t4   data that nobody answers for 10 s is answered by a keepalive
 * wg_t5   an initiation is repeated every 5 s, for 90 s; new packets begin anew
 * wg_t6   persistent keepalives, only if they are asked for
 * wg_t7   after 180 s a keypair neither sends nor receives
 * wg_t8   all keys are wiped after 540 s, and when what had them goes
 * wg_t9   another private key ends all sessions, and they begin anew at once
 * wg_t10  no burst when the clock leaps
 * wg_t11  boot time for timers; the wall clock for stamps, which never go back
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/wireguard/state.h"
#include "tests/wireguard/forge.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static unsigned initiations(const struct pair *p, unsigned end)
{
	return p->ends[end].sent_by_type[WG_INITIATION];
}

static void pass(struct pair *p, uint64_t ns)
{
	p->now_ns += ns;
	p->wall_ns += ns;
}

/* Both talk once a second, so that nothing but the keypair's age is a reason to do anything. */
static void talk(struct pair *p, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		pass(p, WG_NS);
		cr_assert(pair_send(p, 0, "x", 1));
		cr_assert(pair_send(p, 1, "x", 1));
		pair_settle(p);
	}
}

Test(wireguard_timers, wg_t1_rekey_when_sending)
{
	struct pair *p = pair_create();

	pair_meet(p);
	talk(p, 119);
	cr_assert_eq(initiations(p, 0), 1);
	talk(p, 1);
	cr_assert_eq(initiations(p, 0), 2);
	cr_assert_eq(initiations(p, 1), 0);
	talk(p, 119);
	cr_assert_eq(initiations(p, 0), 2);
	talk(p, 1);
	cr_assert_eq(initiations(p, 0), 3);
	pair_destroy(p);
}

Test(wireguard_timers, wg_t1_responder_does_not)
{
	struct pair *p = pair_create();

	pair_meet(p);
	for (unsigned i = 0; i < 179; i++) {
		pass(p, WG_NS);
		cr_assert(pair_send(p, 1, "x", 1));
		pair_serve(p, 1);
		p->ends[1].device->due_ns = NEVER; /* it would hear of no answer */
		cr_assert_eq(initiations(p, 1), 0, "after %u s", i + 1);
		pair_lose(p, 1);
	}
	pair_destroy(p);
}

Test(wireguard_timers, wg_t1_used_up_counters)
{
	struct pair *p = pair_create();
	struct wg_keypair *keypair;

	pair_meet(p);
	pass(p, 10 * WG_NS);
	keypair = wg_peer_sending(pair_peer(p, 1), p->now_ns);
	keypair->next = WG_REKEY_AFTER_MESSAGES;
	cr_assert(pair_send(p, 1, "x", 1));
	pair_settle(p);
	cr_assert_eq(initiations(p, 1), 1, "a responder, too");
	pair_destroy(p);
}

Test(wireguard_timers, wg_t2_rekey_when_receiving)
{
	struct pair *p = pair_create();

	pair_meet(p);
	/* Neither end is to begin anything for want of an answer. */
	for (unsigned i = 0; i < 164; i++) {
		pass(p, WG_NS);
		pair_peer(p, 0)->unacknowledged_ns = 0;
		pair_peer(p, 1)->unanswered_ns = 0;
		cr_assert(pair_send(p, 1, "x", 1));
		pair_settle(p);
		cr_assert_eq(initiations(p, 0), 1, "after %u s", i + 1);
	}
	/* Once: its answers are lost, so that it stays the same keypair. */
	for (unsigned i = 0; i < 4; i++) {
		pass(p, WG_NS);
		cr_assert(pair_send(p, 1, "x", 1));
		cr_assert_eq(forge_take(p, 1).data[0], WG_DATA);
		cr_assert(pair_send(p, 1, "x", 1));
		pair_receive(p, 0, &p->ends[1].wire[0]);
		pair_lose(p, 1);
		pair_serve(p, 0);
		pair_lose(p, 0);
	}
	cr_assert_eq(initiations(p, 0), 2);
	pair_destroy(p);
}

Test(wireguard_timers, wg_t2_responder_does_not)
{
	struct pair *p = pair_create();
	struct pair_datagram d;

	pair_meet(p);
	pass(p, 166 * WG_NS);
	cr_assert(pair_send(p, 0, "x", 1));
	d = forge_take(p, 0);
	pair_receive(p, 1, &d);
	pair_serve(p, 1);
	cr_assert_eq(initiations(p, 1), 0);
	pair_destroy(p);
}

Test(wireguard_timers, wg_t3_no_answer)
{
	struct pair *p = pair_create();

	pair_meet(p);
	pass(p, 10 * WG_NS);
	cr_assert(pair_send(p, 0, "x", 1));
	for (unsigned i = 0; i < 15; i++) {
		pair_serve(p, 0);
		pair_lose(p, 0);
		cr_assert_eq(initiations(p, 0), 1, "after %u s", i);
		pass(p, WG_NS);
	}
	pass(p, WG_REKEY_JITTER);
	pair_serve(p, 0);
	cr_assert_eq(initiations(p, 0), 2);
	/* An answer, even without data, and there is none. */
	pair_settle(p);
	pass(p, 10 * WG_NS);
	cr_assert(pair_send(p, 0, "x", 1));
	pair_settle(p);
	pair_run(p, 60 * WG_NS, WG_NS / 2);
	cr_assert_eq(initiations(p, 0), 2);
	pair_destroy(p);
}

Test(wireguard_timers, wg_t3_forgets_the_source)
{
	struct pair *p = pair_create();
	struct udp_endpoint to;

	pair_meet(p);
	cr_assert(wg_peer_endpoint(pair_peer(p, 0), &to));
	cr_assert_eq(to.source[0], 192, "it is known");
	cr_assert(pair_send(p, 0, "x", 1));
	pass(p, 16 * WG_NS);
	pair_serve(p, 0);
	cr_assert(wg_peer_endpoint(pair_peer(p, 0), &to));
	cr_assert_eq(to.source[0], 0);
	pair_destroy(p);
}

Test(wireguard_timers, wg_t5_forgets_the_source)
{
	struct pair *p = pair_create();
	struct udp_endpoint to;

	pair_meet(p);
	pass(p, 200 * WG_NS);
	cr_assert(!pair_send(p, 0, "x", 1));
	pair_serve(p, 0);
	cr_assert(wg_peer_endpoint(pair_peer(p, 0), &to));
	cr_assert_eq(to.source[0], 192, "the first goes from where it was");
	pass(p, WG_REKEY_TIMEOUT + WG_REKEY_JITTER);
	pair_serve(p, 0);
	cr_assert(wg_peer_endpoint(pair_peer(p, 0), &to));
	cr_assert_eq(to.source[0], 0);
	pair_destroy(p);
}

Test(wireguard_timers, wg_t4_passive_keepalive)
{
	struct pair *p = pair_create();
	unsigned before;

	pair_meet(p);
	pass(p, 30 * WG_NS);
	pair_settle(p);
	before = p->ends[0].keepalives;
	cr_assert(pair_send(p, 0, "x", 1));
	pair_settle(p);
	pass(p, 9 * WG_NS);
	pair_settle(p);
	cr_assert_eq(p->ends[0].keepalives, before);
	pass(p, WG_NS);
	pair_settle(p);
	cr_assert_eq(p->ends[0].keepalives, before + 1);
	pair_run(p, 60 * WG_NS, WG_NS);
	cr_assert_eq(p->ends[0].keepalives, before + 1, "a keepalive was answered");
	/* More data after the first: one keepalive more, then none. */
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(pair_send(p, 0, "x", 1));
		pair_settle(p);
		pass(p, WG_NS);
	}
	pair_run(p, 40 * WG_NS, WG_NS);
	cr_assert_eq(p->ends[0].keepalives, before + 3);
	/* What is sent stands for it. */
	cr_assert(pair_send(p, 0, "x", 1));
	cr_assert(pair_send(p, 1, "x", 1));
	pair_settle(p);
	cr_assert(pair_send(p, 1, "x", 1));
	pair_settle(p);
	before = p->ends[0].keepalives;
	pair_run(p, 9 * WG_NS, WG_NS);
	cr_assert_eq(p->ends[0].keepalives, before);
	pair_destroy(p);
}

Test(wireguard_timers, wg_t5_retries)
{
	struct pair *p = pair_create();
	uint64_t start_ns = p->now_ns;
	uint64_t last_ns = 0, shortest_ns = UINT64_MAX, longest_ns = 0;
	unsigned n = 0;

	cr_assert(!pair_send(p, 0, "x", 1));
	for (; p->now_ns < start_ns + 300 * WG_NS; pass(p, WG_NS / 20)) {
		uint64_t gap_ns = p->now_ns - last_ns;

		pair_serve(p, 0);
		if (pair_lose(p, 0) == 0)
			continue;
		if (n++ > 0) {
			cr_assert_geq(gap_ns, WG_REKEY_TIMEOUT, "initiation %u", n);
			cr_assert_leq(gap_ns, WG_REKEY_TIMEOUT + WG_REKEY_JITTER + WG_NS / 20,
				      "initiation %u", n);
			shortest_ns = gap_ns < shortest_ns ? gap_ns : shortest_ns;
			longest_ns = gap_ns > longest_ns ? gap_ns : longest_ns;
		}
		last_ns = p->now_ns;
	}
	cr_assert_eq(n, 19, "%u initiations", n);
	cr_assert_geq(longest_ns - shortest_ns, WG_NS / 10, "all after the same time");
	cr_assert_geq(last_ns - start_ns, WG_REKEY_ATTEMPT_TIME);
	cr_assert_eq(wg_peer_give_ups(pair_peer(p, 0)), 1);
	cr_assert_gt(p->ends[0].wakes, 0);
	cr_assert(!pair_send(p, 0, "x", 1));
	pair_serve(p, 0);
	cr_assert_eq(pair_lose(p, 0), 1, "new packets begin anew");
	pair_destroy(p);
}

/* Both begin at once: neither handshake succeeds, until one end's jitter is over first. */
Test(wireguard_timers, wg_t5_both_at_once)
{
	struct pair *p = pair_create();

	cr_assert(!pair_send(p, 0, "x", 1));
	cr_assert(!pair_send(p, 1, "x", 1));
	pair_run(p, 40 * WG_NS, WG_NS / 100);
	cr_assert(wg_peer_sending(pair_peer(p, 0), p->now_ns));
	cr_assert(wg_peer_sending(pair_peer(p, 1), p->now_ns));
	cr_assert_leq(initiations(p, 0) + initiations(p, 1), 6);
	pair_destroy(p);
}

/* Wanted again too early, with nothing pending: it is begun when it may be. */
Test(wireguard_timers, wg_t5_early_wish)
{
	struct pair *p = pair_create();
	struct pair_datagram d;

	cr_assert(!pair_send(p, 0, "x", 1));
	pair_serve(p, 0);
	d = forge_take(p, 0);
	pair_receive(p, 1, &d);
	cr_assert(!pair_send(p, 1, "x", 1), "not confirmed");
	for (unsigned i = 0; i < 5; i++) {
		pair_serve(p, 1);
		cr_assert_eq(initiations(p, 1), 0, "%u s after the response", i);
		pass(p, WG_NS);
	}
	pair_serve(p, 1);
	cr_assert_eq(initiations(p, 1), 1);
	pair_destroy(p);
}

Test(wireguard_timers, wg_t6_persistent_keepalive)
{
	struct pair *p = pair_create();
	unsigned before;

	pair_run(p, 100 * WG_NS, WG_NS);
	cr_assert_eq(forge_sent(p, 0), 0, "nobody asked for any");
	pair_change_peer(p, 0,
			 &(struct wg_peer_change){.set = WG_PEER_KEEPALIVE, .keepalive_s = 25});
	pair_settle(p);
	cr_assert(wg_peer_sending(pair_peer(p, 0), p->now_ns), "it begins a session at once");
	before = p->ends[1].keepalives;
	for (unsigned i = 0; i < 4; i++) {
		pair_run(p, 24 * WG_NS, WG_NS);
		cr_assert_eq(p->ends[1].keepalives, before + i, "before the %u.", i + 1);
		pair_run(p, WG_NS, WG_NS);
		cr_assert_eq(p->ends[1].keepalives, before + i + 1, "the %u.", i + 1);
	}
	pair_change_peer(p, 0, &(struct wg_peer_change){.set = WG_PEER_KEEPALIVE});
	pair_run(p, 100 * WG_NS, WG_NS);
	cr_assert_eq(p->ends[1].keepalives, before + 4);
	pair_destroy(p);
}

/* What is received stands for one as well. */
Test(wireguard_timers, wg_t6_traffic_puts_it_off)
{
	struct pair *p = pair_create();
	unsigned before;

	pair_change_peer(p, 0,
			 &(struct wg_peer_change){.set = WG_PEER_KEEPALIVE, .keepalive_s = 15});
	pair_settle(p);
	before = p->ends[1].keepalives;
	for (unsigned i = 0; i < 10; i++) {
		cr_assert(pair_send(p, i % 2, "x", 1));
		pair_settle(p);
		pair_run(p, 9 * WG_NS, WG_NS); /* too short for an answer to it */
	}
	cr_assert_eq(p->ends[1].keepalives, before);
	pair_destroy(p);
}

Test(wireguard_timers, wg_t7_old_keypairs)
{
	struct pair *p = pair_create();
	struct wg_keypair *keypair;
	struct pair_datagram d;
	unsigned received;

	pair_meet(p);
	keypair = wg_peer_sending(pair_peer(p, 1), p->now_ns);
	cr_assert(pair_send(p, 0, "x", 1));
	d = forge_take(p, 0);
	received = p->ends[1].received;
	pass(p, 180 * WG_NS - 1);
	cr_assert(wg_peer_sending(pair_peer(p, 0), p->now_ns));
	cr_assert(wg_keypair_accepts(keypair, p->now_ns));
	pass(p, 1);
	cr_assert_null(wg_peer_sending(pair_peer(p, 0), p->now_ns));
	cr_assert_null(wg_peer_sending(pair_peer(p, 1), p->now_ns));
	cr_assert(!wg_keypair_accepts(keypair, p->now_ns));
	pair_receive(p, 1, &d);
	cr_assert_eq(p->ends[1].received, received);
	pair_destroy(p);
}

/* A secret that is looked for in memory, itself kept there in another form only. */
struct needle {
	uint8_t masked[WG_KEY];
	const char *name;
};

enum {
	MASK = 0x5a,
	WINDOW = 1 << 16,
	REGION_MAX = 1 << 28, /* beyond are reservations of sanitizers */
};

static struct needle needle(const char *name, const uint8_t key[WG_KEY])
{
	struct needle n = {.name = name};

	for (unsigned i = 0; i < WG_KEY; i++)
		n.masked[i] = key[i] ^ MASK;
	return n;
}

static bool is_here(const struct needle *n, const uint8_t *at)
{
	for (unsigned i = 0; i < WG_KEY; i++)
		if ((at[i] ^ MASK) != n->masked[i])
			return false;
	return true;
}

/* at: where the bytes were read; the window may have been read itself */
static unsigned count_in_window(const struct needle *n, const uint8_t *at, const uint8_t *window,
				size_t size)
{
	const uint8_t *end = window + size - WG_KEY + 1;
	const uint8_t *i = window;
	unsigned found = 0;

	for (; i < end && (i = memchr(i, n->masked[0] ^ MASK, (size_t)(end - i))); i++) {
		const uint8_t *was = at + (i - window);
		bool own = was + WG_KEY > window && was < window + WINDOW;

		found += !own && is_here(n, i);
	}
	return found;
}

/* How often a secret is in the process's writable memory. */
static unsigned count_in_memory(const struct needle *n)
{
	static uint8_t window[WINDOW];
	int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned found = 0;
	char line[512];

	cr_assert(maps && memory >= 0);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long first;
		unsigned long end;
		char rights[8];

		if (sscanf(line, "%lx-%lx %7s", &first, &end, rights) != 3 || rights[1] != 'w' ||
		    end - first > REGION_MAX)
			continue;
		while (first < end) {
			ssize_t got = pread(memory, window, sizeof(window), (off_t)first);

			if (got < (ssize_t)WG_KEY)
				break;
			found += count_in_window(n, (const uint8_t *)first, window, (size_t)got);
			first += (unsigned long)got - (got == sizeof(window) ? WG_KEY - 1 : 0);
			if (got < (ssize_t)sizeof(window))
				break;
		}
	}
	fclose(maps);
	close(memory);
	/* What was read last is a copy that the next search must not find. */
	memset(window, 0, sizeof(window));
	return found;
}

static void forget(struct pair *p)
{
	for (unsigned i = 0; i < PAIR_ENDS; i++)
		wg_aead_forget(p->ends[i].aead);
}

static void expect_gone(const struct needle *needles, size_t n, const char *when)
{
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(count_in_memory(&needles[i]), 0, "%s: %s is still there", when,
			     needles[i].name);
}

static bool has_handshake(struct pair *p, unsigned end)
{
	static const struct wg_handshake none;
	const struct wg_handshake *h = &member_of(pair_peer(p, end))->handshake;

	return memcmp(h, &none, sizeof(none)) != 0;
}

Test(wireguard_timers, wg_t8_handshakes)
{
	struct pair *p = pair_create();

	pair_meet(p);
	for (unsigned i = 0; i < PAIR_ENDS; i++)
		cr_assert(!has_handshake(p, i), "end %u keeps what made its session", i);
	pass(p, 200 * WG_NS);
	cr_assert(!pair_send(p, 0, "x", 1));
	pair_serve(p, 0);
	cr_assert(has_handshake(p, 0));
	for (unsigned i = 0; i < 120; i++) {
		pair_lose(p, 0);
		pass(p, WG_NS);
		pair_serve(p, 0);
	}
	cr_assert_eq(wg_peer_give_ups(pair_peer(p, 0)), 1);
	cr_assert(!has_handshake(p, 0), "given up");
	pair_destroy(p);
}

Test(wireguard_timers, wg_t8_zeroing)
{
	struct pair *p = pair_create();
	struct needle needles[4];
	struct wg_keypair *k;

	/* The second session counts. */
	pair_meet(p);
	pass(p, 130 * WG_NS);
	cr_assert(pair_send(p, 0, "x", 1));
	pair_settle(p);
	cr_assert_eq(initiations(p, 0), 2);
	k = wg_peer_sending(pair_peer(p, 0), p->now_ns);
	needles[0] = needle("send key", k->send_key);
	needles[1] = needle("receive key", k->receive_key);
	cr_assert_gt(count_in_memory(&needles[0]), 0, "the search finds nothing");
	forget(p);
	pass(p, 539 * WG_NS);
	pair_serve(p, 0);
	pair_serve(p, 1);
	cr_assert_gt(count_in_memory(&needles[0]), 0, "too early");
	pass(p, 2 * WG_NS);
	pair_serve(p, 0);
	pair_serve(p, 1);
	cr_assert_null(pair_peer(p, 0)->current);
	pair_lose(p, 0);
	pair_lose(p, 1);
	expect_gone(needles, 2, "after 540 s");
	pair_destroy(p);
}

Test(wireguard_timers, wg_t8_removal)
{
	struct pair *p = pair_create();
	struct wg_member *member;
	struct needle needles[6];
	struct wg_keypair *k;

	for (unsigned i = 0; i < PAIR_ENDS; i++)
		pair_change_peer(p, i,
				 &(struct wg_peer_change){
					 .set = WG_PEER_PRESHARED_KEY,
					 .preshared_key = {1, 2, 3, 4, 5, 6, 7, 8, [31] = 9},
				 });
	pair_meet(p);
	/* With a handshake that is not answered. */
	pass(p, 130 * WG_NS);
	cr_assert(pair_send(p, 0, "x", 1));
	pair_serve(p, 0);
	pair_lose(p, 0);
	member = member_of(pair_peer(p, 0));
	k = wg_peer_sending(&member->peer, p->now_ns);
	needles[0] = needle("send key", k->send_key);
	needles[1] = needle("receive key", k->receive_key);
	needles[2] = needle("ephemeral key", member->handshake.ephemeral);
	needles[3] = needle("chaining key", member->handshake.chain);
	needles[4] = needle("shared static secret", member->remote.shared);
	needles[5] = needle("private key", p->ends[0].device->identity.private_key);
	for (unsigned i = 0; i < COUNT(needles); i++)
		cr_assert_gt(count_in_memory(&needles[i]), 0, "%s", needles[i].name);
	forget(p);
	for (unsigned i = 0; i < PAIR_ENDS; i++)
		pair_change_peer(p, i, &(struct wg_peer_change){.set = WG_PEER_REMOVE});
	cr_assert_null(pair_peer(p, 0));
	expect_gone(needles, 5, "after the peers went");
	wg_crypto_wipe(p->ends[0].private_key, WG_KEY);
	for (unsigned i = 0; i < PAIR_ENDS; i++) {
		wg_device_destroy(p->ends[i].device);
		p->ends[i].device = NULL;
	}
	expect_gone(&needles[5], 1, "after the device went");
	pair_destroy(p);
}

Test(wireguard_timers, wg_t9_private_key)
{
	struct pair *p = pair_create();
	struct wg_changes key = {.set = WG_DEVICE_PRIVATE_KEY, .private_key = {8, 9, [31] = 65}};
	struct wg_peer_change peer = {0};
	unsigned before;

	pair_meet(p);
	before = initiations(p, 0);
	pair_apply(p, 0, &key);
	cr_assert_null(wg_peer_sending(pair_peer(p, 0), p->now_ns));
	/* The other end learns of it. */
	cr_assert(wg_crypto_public(key.private_key, p->ends[0].public_key));
	memcpy(peer.public_key, p->ends[0].public_key, WG_KEY);
	pair_apply(p, 1,
		   &(struct wg_changes){
			   .set = WG_DEVICE_REPLACE_PEERS, .peers = &peer, .peer_count = 1});
	cr_assert(!pair_send(p, 0, "x", 1));
	pair_settle(p);
	cr_assert_eq(initiations(p, 0), before + 1, "at once");
	cr_assert(wg_peer_sending(pair_peer(p, 0), p->now_ns));
	pair_apply(p, 0, &key);
	cr_assert(wg_peer_sending(pair_peer(p, 0), p->now_ns), "the same key changes nothing");
	pair_destroy(p);
}

/* What waits while there is no key, or while an initiation of the last one is not answered. */
Test(wireguard_timers, wg_t9_begins_what_was_wanted_before)
{
	struct pair *p = pair_create();
	struct wg_changes key = {.set = WG_DEVICE_PRIVATE_KEY};
	struct wg_peer_change peer = {0};

	pair_apply(p, 0, &key); /* none */
	cr_assert(!pair_send(p, 0, "x", 1));
	pair_serve(p, 0);
	cr_assert_eq(initiations(p, 0), 0);
	for (unsigned i = 1; i <= 2; i++) {
		key.private_key[0] = (uint8_t)(8 * i);
		key.private_key[31] = 64;
		pair_apply(p, 0, &key);
		cr_assert_eq(initiations(p, 0), i, "at once");
		pair_lose(p, 0);
	}
	cr_assert(wg_crypto_public(key.private_key, peer.public_key));
	pair_apply(p, 1, &(struct wg_changes){.peers = &peer, .peer_count = 1});
	memcpy(p->ends[0].public_key, peer.public_key, WG_KEY);
	pair_run(p, 6 * WG_NS, WG_NS);
	cr_assert(wg_peer_sending(pair_peer(p, 0), p->now_ns), "and again, if it is lost");
	pair_destroy(p);
}

Test(wireguard_timers, wg_t10_leaps)
{
	static const uint64_t leaps_s[] = {11, 26, 121, 181, 541, 36000};

	for (size_t i = 0; i < COUNT(leaps_s); i++) {
		struct pair *p = pair_create();
		unsigned sent[PAIR_ENDS];

		pair_meet(p);
		for (unsigned end = 0; end < PAIR_ENDS; end++)
			pair_change_peer(p, end,
					 &(struct wg_peer_change){.set = WG_PEER_KEEPALIVE,
								  .keepalive_s = 1});
		pair_settle(p);
		cr_assert(pair_send(p, 0, "x", 1));
		for (unsigned end = 0; end < PAIR_ENDS; end++)
			sent[end] = forge_sent(p, end);
		pass(p, leaps_s[i] * WG_NS);
		for (unsigned turn = 0; turn < 10; turn++)
			for (unsigned end = 0; end < PAIR_ENDS; end++)
				pair_serve(p, end);
		for (unsigned end = 0; end < PAIR_ENDS; end++)
			cr_assert_leq(forge_sent(p, end), sent[end] + 2, "%u datagrams after %u s",
				      forge_sent(p, end) - sent[end], (unsigned)leaps_s[i]);
		pair_destroy(p);
	}
}

/* Nothing is due for ten seconds at a time, and without a session never. */
Test(wireguard_timers, wg_t10_sleeps)
{
	struct pair *p = pair_create();
	unsigned turns = 0;
	uint64_t due_ns;

	cr_assert_eq(wg_device_serve(p->ends[0].device, p->now_ns), NEVER);
	pair_meet(p);
	for (due_ns = 0; due_ns != NEVER; turns++) {
		due_ns = wg_device_serve(p->ends[0].device, p->now_ns);
		cr_assert_gt(due_ns, p->now_ns);
		p->now_ns = due_ns != NEVER ? due_ns : p->now_ns;
	}
	cr_assert_leq(turns, 540 / 10 + 2, "%u turns", turns);
	cr_assert_null(pair_peer(p, 0)->current);
	pair_destroy(p);
}

static uint64_t stamp_seconds(const struct wg_member *m)
{
	uint64_t seconds = 0;

	for (unsigned i = 0; i < 8; i++)
		seconds = seconds << 8 | m->heard_stamp[i];
	return seconds - UINT64_C(0x400000000000000a);
}

Test(wireguard_timers, wg_t11_clocks)
{
	/* What the wall clock says at each handshake, and what the stamp must be. */
	static const uint64_t walls_s[] = {1700000000, 1700000100, 1900000000, 1600000000};
	static const uint64_t stamps_s[] = {1700000000, 1700000100, 1900000000, 1900000000};
	const struct wg_allowed_change again = {.prefix = pair_prefix("10.0.0.2/32")};
	struct pair *p = pair_create();
	uint8_t last[WG_STAMP] = {0};

	for (size_t i = 0; i < COUNT(walls_s); i++) {
		const struct wg_member *m = member_of(pair_peer(p, 1));
		unsigned before = initiations(p, 0);

		p->now_ns += 600 * WG_NS;
		p->wall_ns = walls_s[i] * WG_NS + 123456789;
		pair_serve(p, 0);
		cr_assert_eq(initiations(p, 0), before, "the wall clock moves no timer");
		cr_assert(!pair_send(p, 0, "x", 1));
		pair_settle(p);
		cr_assert_eq(stamp_seconds(m), stamps_s[i], "step %zu", i);
		cr_assert_eq(m->heard_stamp[11] & 0xff, 0, "it is rounded");
		cr_assert_gt(memcmp(m->heard_stamp, last, WG_STAMP), 0, "step %zu", i);
		memcpy(last, m->heard_stamp, WG_STAMP);
	}
	/* A peer that goes and comes again is the other end that remembers. */
	pair_change_peer(p, 0, &(struct wg_peer_change){.set = WG_PEER_REMOVE});
	pair_change_peer(p, 0,
			 &(struct wg_peer_change){.set = WG_PEER_ENDPOINT,
						  .endpoint = pair_endpoint4(2, 2),
						  .allowed = &again,
						  .allowed_count = 1});
	p->now_ns += 600 * WG_NS;
	cr_assert(!pair_send(p, 0, "x", 1));
	pair_settle(p);
	cr_assert(pair_send(p, 0, "x", 1), "it has a session");
	cr_assert_eq(forge_counters(p, 0).clock_behind, 2);
	cr_assert_eq(wg_device_wall_floor(p->ends[0].device) / WG_NS, 1900000000);
	pair_destroy(p);
}
