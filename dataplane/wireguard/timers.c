/*
 * Timers of a peer, see state.h. Those of data are derived from the marks that workers leave
 * (peer.h): a worker never arms anything. Each is due at most once a look, however late that is, so
 * that nothing bursts after the machine has slept.
 *
 *   unanswered_ns + 15 s and jitter   data was sent and nothing came back: begin anew
 *   unacknowledged_ns + 10 s          data came in and nothing was sent: a keepalive
 *   keepalive_s after anything        a persistent keepalive
 *   retransmit_ns                     an initiation was not answered: again, or give up
 *   initiate_ns                       an initiation was wanted too early
 *   zero_ns                           the last session is long over: wipe all keys
 */
#include "dataplane/wireguard/state.h"

#define UNANSWERED_TIME (WG_KEEPALIVE_TIMEOUT + WG_REKEY_TIMEOUT)

static uint64_t get(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t wg_jitter(struct wg_device *device)
{
	uint64_t random;

	wg_random_bytes(device, &random, sizeof(random));
	return random % WG_REKEY_JITTER;
}

/* A source address that does not answer may be the reason. */
static void forget_source(struct wg_member *member)
{
	struct udp_endpoint endpoint;

	if (wg_peer_endpoint(&member->peer, &endpoint))
		wg_peer_forget_source(&member->peer, endpoint.source);
}

static void give_up(struct wg_device *device, struct wg_member *member, uint64_t now_ns)
{
	struct wg_peer *peer = &member->peer;

	wg_handshake_drop(device, member);
	member->retransmit_ns = NEVER;
	__atomic_store_n(&peer->unacknowledged_ns, 0, __ATOMIC_RELAXED);
	__atomic_fetch_add(&peer->give_ups, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&peer->wanted, 0, __ATOMIC_RELAXED);
	if (member->zero_ns == NEVER)
		member->zero_ns = now_ns + ZERO_TIME;
	wg_wake_workers(device);
}

static void retransmit(struct wg_device *device, struct wg_member *member, uint64_t now_ns)
{
	if (now_ns < member->retransmit_ns)
		return;
	if (member->attempts >= ATTEMPTS_MAX) {
		give_up(device, member, now_ns);
		return;
	}
	member->attempts++;
	member->retransmit_ns = NEVER; /* unless it is sent */
	forget_source(member);
	wg_send_initiation(device, member, now_ns, true);
}

static void unanswered(struct wg_device *device, struct wg_member *member, uint64_t now_ns)
{
	uint64_t since_ns = get(&member->peer.unanswered_ns);

	if (!since_ns || now_ns < since_ns + UNANSWERED_TIME + member->jitter_ns)
		return;
	__atomic_store_n(&member->peer.unanswered_ns, 0, __ATOMIC_RELAXED);
	member->jitter_ns = wg_jitter(device);
	forget_source(member);
	wg_send_initiation(device, member, now_ns, false);
}

static void unacknowledged(struct wg_device *device, struct wg_member *member, uint64_t now_ns)
{
	struct wg_peer *peer = &member->peer;
	uint64_t since_ns = get(&peer->unacknowledged_ns);

	if (!since_ns || now_ns < since_ns + WG_KEEPALIVE_TIMEOUT)
		return;
	__atomic_store_n(&peer->unacknowledged_ns, 0, __ATOMIC_RELAXED);
	wg_send_keepalive(device, member, now_ns);
	/* More has come in since: the other side may wait for another. */
	if (__atomic_exchange_n(&peer->more_received, 0, __ATOMIC_RELAXED))
		__atomic_store_n(&peer->unacknowledged_ns, now_ns, __ATOMIC_RELAXED);
}

static uint64_t persistent_due(const struct wg_member *member)
{
	const struct wg_peer *peer = &member->peer;
	uint64_t last_ns =
		later(later(get(&peer->sent_ns), get(&peer->received_ns)), member->keepalive_ns);

	return member->keepalive_s > 0 ? last_ns + member->keepalive_s * WG_NS : NEVER;
}

static void persistent(struct wg_device *device, struct wg_member *member, uint64_t now_ns)
{
	if (now_ns < persistent_due(member))
		return;
	member->keepalive_ns = now_ns;
	wg_send_keepalive(device, member, now_ns);
}

static uint64_t next_due(const struct wg_member *member, uint64_t now_ns)
{
	const struct wg_peer *peer = &member->peer;
	uint64_t unanswered_ns = get(&peer->unanswered_ns);
	uint64_t unacknowledged_ns = get(&peer->unacknowledged_ns);
	uint64_t due = earlier(member->retransmit_ns, member->initiate_ns);

	due = earlier(due, earlier(member->zero_ns, persistent_due(member)));
	if (unanswered_ns)
		due = earlier(due, unanswered_ns + UNANSWERED_TIME + member->jitter_ns);
	if (unacknowledged_ns)
		due = earlier(due, unacknowledged_ns + WG_KEEPALIVE_TIMEOUT);
	/* What is marked from now on is due in 10 s at the earliest. */
	if (peer->current || peer->next)
		due = earlier(due, now_ns + WG_KEEPALIVE_TIMEOUT);
	return due;
}

uint64_t wg_timers_run(struct wg_device *device, struct wg_member *member, uint64_t now_ns)
{
	retransmit(device, member, now_ns);
	unanswered(device, member, now_ns);
	unacknowledged(device, member, now_ns);
	persistent(device, member, now_ns);
	if (now_ns >= member->initiate_ns) {
		member->initiate_ns = NEVER;
		if (__atomic_load_n(&member->peer.wanted, __ATOMIC_RELAXED))
			wg_send_initiation(device, member, now_ns, false);
	}
	if (now_ns >= member->zero_ns)
		wg_session_zero(device, member);
	return next_due(member, now_ns);
}

void wg_member_attend(struct wg_device *device, struct wg_member *member, uint64_t now_ns)
{
	struct wg_peer *peer = &member->peer;

	wg_session_rotate(device, member, now_ns);
	if (__atomic_load_n(&peer->wanted, __ATOMIC_RELAXED)) {
		const struct wg_keypair *keypair = wg_peer_sending(peer, now_ns);

		if (keypair && !wg_keypair_is_worn(keypair, now_ns))
			__atomic_store_n(&peer->wanted, 0, __ATOMIC_RELAXED);
		else if (member->retransmit_ns == NEVER)
			wg_send_initiation(device, member, now_ns, false);
	}
	device->due_ns = earlier(device->due_ns, wg_timers_run(device, member, now_ns));
}
