/* Keypairs of a peer: made, rotated, expired, wiped. See state.h. */
#include "dataplane/wireguard/state.h"

static void publish(struct wg_keypair **slot, struct wg_keypair *keypair)
{
	/* [wg-pub-1] The keys before the pointer; pairs with [wg-pub-2]. Else keys of zero. */
	__atomic_store_n(slot, keypair, __ATOMIC_RELEASE);
}

/* Nobody finds it any more; its memory waits for those who did. */
static void retire(struct wg_device *device, struct wg_keypair *keypair)
{
	if (!keypair)
		return;
	wg_index_unpublish(device, keypair);
	wg_index_release(device, keypair->local_index);
	keypair->retired_next = device->retired;
	device->retired = keypair;
}

void wg_session_reclaim(struct wg_device *device)
{
	if (!device->retired)
		return;
	if (device->options.wait)
		device->options.wait(device->options.context);
	while (device->retired) {
		struct wg_keypair *next = device->retired->retired_next;

		secret_free(&device->keypair_pool, device->retired);
		device->retired = next;
	}
}

void wg_wake_workers(struct wg_device *device)
{
	for (unsigned i = 0; device->options.wake && i < device->options.workers; i++)
		device->options.wake(device->options.context, i);
}

void wg_handshake_drop(struct wg_device *device, struct wg_member *member)
{
	if (member->handshake_indexed)
		wg_index_release(device, member->handshake.local_index);
	member->handshake_indexed = false;
	wg_crypto_wipe(&member->handshake, sizeof(member->handshake));
}

/* What a handshake's success means, to whoever can send now. */
static void complete(struct wg_device *device, struct wg_member *member)
{
	member->retransmit_ns = NEVER;
	member->initiate_ns = NEVER;
	member->attempts = 0;
	member->unanswered = 0;
	member->handshake_wall_ns = wg_wall_ns(device);
	device->counters.handshakes++;
	__atomic_store_n(&member->peer.wanted, 0, __ATOMIC_RELAXED);
	wg_wake_workers(device);
}

/* An initiator may send with a new keypair at once; a responder when it is confirmed. */
static void add(struct wg_device *device, struct wg_member *member, struct wg_keypair *made)
{
	struct wg_peer *peer = &member->peer;
	struct wg_keypair *previous = peer->previous;
	struct wg_keypair *current = peer->current;
	struct wg_keypair *next = peer->next;

	retire(device, previous);
	if (made->initiator) {
		/* A session that the other side began, and we never heard of again. */
		publish(&peer->previous, next ? next : current);
		publish(&peer->current, made);
		publish(&peer->next, NULL);
		if (next)
			retire(device, current);
	} else {
		publish(&peer->next, made);
		publish(&peer->previous, NULL);
		retire(device, next);
	}
}

bool wg_session_begin(struct wg_device *device, struct wg_member *member, uint64_t now_ns)
{
	struct wg_handshake *h = &member->handshake;
	struct wg_keypair *made = secret_alloc(&device->keypair_pool);

	if (!made) {
		wg_handshake_drop(device, member);
		return false;
	}
	wg_session_rotate(device, member, now_ns);
	made->peer = &member->peer;
	made->id = ++device->next_keypair;
	made->local_index = h->local_index;
	made->remote_index = h->remote_index;
	made->born_ns = now_ns;
	made->initiator = h->state == WG_HANDSHAKE_RESPONSE_CONSUMED;
	made->confirmed = made->initiator;
	wg_noise_derive(device->crypto, h, made->send_key, made->receive_key);
	member->handshake_indexed = false; /* the index is the keypair's now */
	wg_index_publish(device, made);
	add(device, member, made);
	member->zero_ns = now_ns + ZERO_TIME;
	if (made->initiator)
		complete(device, member);
	return true;
}

void wg_session_rotate(struct wg_device *device, struct wg_member *member, uint64_t now_ns)
{
	struct wg_peer *peer = &member->peer;
	struct wg_keypair *next = peer->next;

	(void)now_ns;
	if (!next || !__atomic_load_n(&next->confirmed, __ATOMIC_RELAXED))
		return;
	retire(device, peer->previous);
	publish(&peer->previous, peer->current);
	publish(&peer->current, next);
	publish(&peer->next, NULL);
	complete(device, member);
}

void wg_session_zero(struct wg_device *device, struct wg_member *member)
{
	struct wg_peer *peer = &member->peer;

	wg_handshake_drop(device, member);
	retire(device, peer->previous);
	retire(device, peer->current);
	retire(device, peer->next);
	publish(&peer->previous, NULL);
	publish(&peer->current, NULL);
	publish(&peer->next, NULL);
	member->zero_ns = NEVER;
}

void wg_session_expire(struct wg_device *device, struct wg_member *member)
{
	struct wg_peer *peer = &member->peer;

	wg_handshake_drop(device, member);
	if (peer->current)
		__atomic_store_n(&peer->current->no_sending, 1, __ATOMIC_RELAXED);
	if (peer->next)
		__atomic_store_n(&peer->next->no_sending, 1, __ATOMIC_RELAXED);
	member->greeted = false;
	member->retransmit_ns = NEVER;
}
