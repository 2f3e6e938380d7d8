/*
 * The workers' side of a device, see peer.h.
 *
 * Who writes what of struct wg_peer:
 *
 *   current, previous, next   the device, under its lock; old ones are wiped after a grace period
 *   endpoint                  whoever holds endpoint_turn: the home worker, which gives way, and
 * the device and others, which wait the marks                 anybody, relaxed. Two that meet may
 * lose one of their words: a timer is then late by one packet byte counters             anybody,
 * added to
 */
#include "dataplane/wireguard/peer.h"

#include <sched.h>
#include <unistd.h>

#include "dataplane/check.h"
#include "dataplane/wireguard/state.h"

enum {
	ENDPOINT_WORDS = sizeof(struct udp_endpoint) / 8,
	PATH_WISH =
		1440,   /* above, an MTU is a wish: to be cut up, where it does not pass Ethernet */
	PATH_MIN = 576, /* below, packets are cut up outside, whoever says that it must be */
};

#define PATH_TIME (600 * WG_NS) /* it may have become wider; the kernel forgets likewise */
#define PATH_GAP WG_NS

_Static_assert(sizeof(struct udp_endpoint) % 8 == 0, "it is copied by words");

static uint64_t get(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void set(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static uint32_t get32(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

const struct wg_allowed *wg_device_allowed(const struct wg_device *device)
{
	/* [wg-pub-2] The pointer before the tables; pairs with [wg-pub-1] in apply.c. */
	return __atomic_load_n(&device->allowed, __ATOMIC_ACQUIRE);
}

struct wg_peer *wg_allowed_peer(const struct wg_allowed *allowed, const struct addr *addr)
{
	if (addr->version == 4)
		return allowed->v4 ? allowed->peers[lpm4_lookup(allowed->v4, addr->v4)] : NULL;
	return allowed->v6 ? allowed->peers[lpm6_lookup(allowed->v6, &addr->v6)] : NULL;
}

struct wg_peer *wg_allowed_at(const struct wg_allowed *allowed, uint16_t number, uint64_t id)
{
	struct wg_peer *peer = allowed->peers[number];

	return peer && peer->id == id ? peer : NULL;
}

/* Bits of the others may be there already: then the pipe has been written to. */
void wg_peer_mark(struct wg_peer *peer)
{
	struct wg_device *device = peer->device;
	uint64_t bit = UINT64_C(1) << (peer->number % 64);
	/*
	 * [wg-mark-1] What was marked before the bit, and the bit before the pipe's byte; pairs
	 * with [wg-mark-2]. Otherwise the device could take the bit, see no mark and sleep.
	 */
	uint64_t before =
		__atomic_fetch_or(&device->marked[peer->number / 64], bit, __ATOMIC_RELEASE);

	/* A full pipe wakes as well. */
	if (before == 0 && write(device->pipe[1], "", 1) < 0)
		return;
}

void wg_peer_want_session(struct wg_peer *peer)
{
	if (get32(&peer->wanted) || __atomic_exchange_n(&peer->wanted, 1, __ATOMIC_RELAXED))
		return;
	wg_peer_mark(peer);
}

uint32_t wg_peer_give_ups(const struct wg_peer *peer)
{
	return get32(&peer->give_ups);
}

bool wg_keypair_accepts(const struct wg_keypair *keypair, uint64_t now_ns)
{
	return now_ns < keypair->born_ns + WG_REJECT_AFTER_TIME;
}

static bool can_send(const struct wg_keypair *keypair, uint64_t now_ns)
{
	return keypair && !get32(&keypair->no_sending) &&
	       get(&keypair->next) < WG_REJECT_AFTER_MESSAGES &&
	       wg_keypair_accepts(keypair, now_ns);
}

struct wg_keypair *wg_peer_sending(const struct wg_peer *peer, uint64_t now_ns)
{
	/* [wg-pub-2] The pointer before the keys; pairs with [wg-pub-1] in session.c. */
	struct wg_keypair *keypair = __atomic_load_n(&peer->next, __ATOMIC_ACQUIRE);

	if (keypair && get32(&keypair->confirmed) && can_send(keypair, now_ns))
		return keypair;
	/* [wg-pub-2] As above. */
	keypair = __atomic_load_n(&peer->current, __ATOMIC_ACQUIRE);
	return can_send(keypair, now_ns) ? keypair : NULL;
}

unsigned wg_keypair_take(struct wg_keypair *keypair, unsigned n, uint64_t *first)
{
	uint64_t at = get(&keypair->next);

	/* Compared before and not after: the counter never passes the limit, and cannot wrap. */
	do {
		if (at >= WG_REJECT_AFTER_MESSAGES)
			return 0;
		if (n > WG_REJECT_AFTER_MESSAGES - at)
			n = (unsigned)(WG_REJECT_AFTER_MESSAGES - at);
	} while (!__atomic_compare_exchange_n(&keypair->next, &at, at + n, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	*first = at;
	return n;
}

bool wg_peer_endpoint(const struct wg_peer *peer, struct udp_endpoint *out)
{
	uint64_t words[ENDPOINT_WORDS];
	struct udp_endpoint endpoint;
	uint32_t turn;

	for (;;) {
		/* [wg-end-2] The turn before the words; pairs with [wg-end-1]. */
		turn = __atomic_load_n(&peer->endpoint_turn, __ATOMIC_ACQUIRE);
		for (unsigned i = 0; i < ENDPOINT_WORDS; i++)
			words[i] = __atomic_load_n(&peer->endpoint[i], __ATOMIC_ACQUIRE);
		/* [wg-end-2] The words, by their own loads, before the turn is read again. */
		if (turn % 2 == 0 && get32(&peer->endpoint_turn) == turn)
			break;
		sched_yield();
	}
	memcpy(&endpoint, words, sizeof(endpoint));
	if (endpoint.version == 0)
		return false;
	*out = endpoint;
	return true;
}

/* Another far end: what was known of the way is of no use. With the odd turn. */
static void forget_path(struct wg_peer *peer, const struct udp_endpoint *next)
{
	struct udp_endpoint before;

	memcpy(&before, peer->endpoint, sizeof(before));
	if (before.version == next->version &&
	    memcmp(before.addr, next->addr, sizeof(before.addr)) == 0)
		return;
	__atomic_store_n(&peer->path_mtu, 0, __ATOMIC_RELAXED);
	set(&peer->path_ns, 0);
}

static bool try_write_endpoint(struct wg_peer *peer, const struct udp_endpoint *endpoint,
			       uint32_t turn)
{
	uint64_t words[ENDPOINT_WORDS];

	if (turn % 2 == 1)
		return false;
	/* [wg-end-1] The odd turn before the words, and the words of the last writer before ours.
	 */
	if (!__atomic_compare_exchange_n(&peer->endpoint_turn, &turn, turn + 1, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	forget_path(peer, endpoint);
	memcpy(words, endpoint, sizeof(words));
	/*
	 * [wg-end-1] Each word after the odd turn: who reads one sees that turn, too, or a later
	 * one; pairs with [wg-end-2]. Otherwise a reader could mix two endpoints.
	 */
	for (unsigned i = 0; i < ENDPOINT_WORDS; i++)
		__atomic_store_n(&peer->endpoint[i], words[i], __ATOMIC_RELEASE);
	/* [wg-end-1] The words before the even turn; pairs with [wg-end-2]. */
	__atomic_store_n(&peer->endpoint_turn, turn + 2, __ATOMIC_RELEASE);
	return true;
}

void wg_peer_set_endpoint(struct wg_peer *peer, const struct udp_endpoint *endpoint)
{
	while (!try_write_endpoint(peer, endpoint, get32(&peer->endpoint_turn)))
		sched_yield();
}

bool wg_peer_path_is_fresh(const struct wg_peer *peer, uint64_t now_ns)
{
	uint64_t path_ns = get(&peer->path_ns);

	return path_ns && now_ns < path_ns + PATH_GAP;
}

unsigned wg_peer_mtu(const struct wg_peer *peer, unsigned mtu, uint64_t now_ns)
{
	unsigned path = get32(&peer->path_mtu);

	if (path == 0 || path >= mtu || mtu > PATH_WISH ||
	    now_ns >= get(&peer->path_ns) + PATH_TIME)
		return mtu;
	return path;
}

void wg_peer_note_path(struct wg_peer *peer, unsigned outer, uint8_t version, uint64_t now_ns)
{
	unsigned headers = (version == 4 ? 28 : 48) + WG_DATA_OVERHEAD;
	unsigned inner = outer > headers + PATH_MIN ? outer - headers : PATH_MIN;

	__atomic_store_n(&peer->path_mtu, outer ? inner : 0, __ATOMIC_RELAXED);
	set(&peer->path_ns, now_ns);
}

void wg_peer_forget_source(struct wg_peer *peer, const uint8_t source[16])
{
	struct udp_endpoint endpoint;
	uint32_t turn;

	do {
		turn = get32(&peer->endpoint_turn);
		if (!wg_peer_endpoint(peer, &endpoint) ||
		    memcmp(endpoint.source, source, sizeof(endpoint.source)) != 0)
			return;
		memset(endpoint.source, 0, sizeof(endpoint.source));
	} while (!try_write_endpoint(peer, &endpoint, turn));
}

/* Who else writes it is as new. */
static void roam(struct wg_peer *peer, const struct udp_endpoint *from)
{
	uint32_t turn = get32(&peer->endpoint_turn);
	struct udp_endpoint endpoint;

	if (wg_peer_endpoint(peer, &endpoint) && memcmp(&endpoint, from, sizeof(endpoint)) == 0)
		return;
	(void)try_write_endpoint(peer, from, turn);
}

void wg_peer_mark_sent(struct wg_peer *peer, uint64_t now_ns, uint64_t bytes)
{
	__atomic_fetch_add(&peer->tx_bytes, bytes, __ATOMIC_RELAXED);
	set(&peer->sent_ns, now_ns);
	if (get(&peer->unacknowledged_ns))
		set(&peer->unacknowledged_ns, 0);
}

void wg_peer_mark_received(struct wg_peer *peer, uint64_t now_ns, uint64_t bytes)
{
	__atomic_fetch_add(&peer->rx_bytes, bytes, __ATOMIC_RELAXED);
	set(&peer->received_ns, now_ns);
	if (get(&peer->unanswered_ns))
		set(&peer->unanswered_ns, 0);
}

bool wg_keypair_is_worn(const struct wg_keypair *keypair, uint64_t now_ns)
{
	return get(&keypair->next) > WG_REKEY_AFTER_MESSAGES ||
	       (keypair->initiator && now_ns >= keypair->born_ns + WG_REKEY_AFTER_TIME);
}

void wg_peer_note_sent(struct wg_peer *peer, struct wg_keypair *keypair, uint64_t now_ns,
		       uint64_t bytes, bool data)
{
	wg_peer_mark_sent(peer, now_ns, bytes);
	if (data && !get(&peer->unanswered_ns))
		set(&peer->unanswered_ns, now_ns);
	if (wg_keypair_is_worn(keypair, now_ns))
		wg_peer_want_session(peer);
}

/* Receiving alone keeps a session alive as well, if there is just time for another handshake. */
static bool receives_late(const struct wg_keypair *keypair, uint64_t now_ns)
{
	return keypair->initiator && now_ns >= keypair->born_ns + WG_REJECT_AFTER_TIME -
						       WG_KEEPALIVE_TIMEOUT - WG_REKEY_TIMEOUT;
}

void wg_peer_note_received(struct wg_peer *peer, struct wg_keypair *keypair, uint64_t now_ns,
			   uint64_t bytes, bool data, const struct udp_endpoint *from)
{
	wg_peer_mark_received(peer, now_ns, bytes);
	if (data && !get(&peer->unacknowledged_ns))
		set(&peer->unacknowledged_ns, now_ns);
	else if (data && !get32(&peer->more_received))
		__atomic_store_n(&peer->more_received, 1, __ATOMIC_RELAXED);
	roam(peer, from);
	if (!get32(&keypair->confirmed)) {
		__atomic_store_n(&keypair->confirmed, 1, __ATOMIC_RELAXED);
		wg_peer_mark(peer);
	}
	if (!get32(&keypair->rekeying) && receives_late(keypair, now_ns)) {
		__atomic_store_n(&keypair->rekeying, 1, __ATOMIC_RELAXED);
		wg_peer_want_session(peer);
	}
}
