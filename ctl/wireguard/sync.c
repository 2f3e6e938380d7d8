/* See sync.h. */
#include "ctl/wireguard/sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/wireguard/crypto.h"

/* A device as it should be: what is not named here goes. */
struct wish {
	struct wg_changes changes;
	struct wg_peer_change *peers; /* those that are wanted, then those that go */
	struct wg_allowed_change *allowed;
	size_t room; /* of peers */
};

static const struct wg_peer_change *find(const struct wg_peer_change *peers, size_t count,
					 const uint8_t public_key[WG_KEY])
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(peers[i].public_key, public_key, WG_KEY) == 0)
			return &peers[i];
	return NULL;
}

static int wish_memory(struct wish *w, size_t peers, size_t allowed)
{
	w->room = peers;
	w->peers = calloc(peers + 1, sizeof(*w->peers));
	w->allowed = calloc(allowed + 1, sizeof(*w->allowed));
	return w->peers && w->allowed ? 0 : -ENOMEM;
}

static void wish_free(struct wish *w)
{
	if (w->peers)
		wg_crypto_wipe(w->peers, w->room * sizeof(*w->peers));
	free(w->peers);
	free(w->allowed);
	wg_crypto_wipe(w, sizeof(*w));
}

/* Ask for it, and that all other peers of now go. */
static int fulfil(struct wg_device *device, struct wish *w, const struct wg_snapshot *now,
		  uint64_t now_ns)
{
	size_t wanted = w->changes.peer_count;

	for (size_t i = 0; i < now->peer_count; i++) {
		struct wg_peer_change *peer = &w->peers[w->changes.peer_count];

		if (find(w->peers, wanted, now->peers[i].public_key))
			continue;
		peer->set = WG_PEER_REMOVE;
		memcpy(peer->public_key, now->peers[i].public_key, WG_KEY);
		w->changes.peer_count++;
	}
	w->changes.peers = w->peers;
	return wg_device_apply(device, &w->changes, now_ns);
}

/* Whether a file says of a peer what it said before: the peer may have moved on its own since. */
static bool same_host(const struct wg_quick *was, const struct wg_quick *want, size_t i)
{
	const struct wg_peer_change *before =
		find(was->peers, was->changes.peer_count, want->peers[i].public_key);
	const struct wg_quick_host *host;

	if (!before)
		return false;
	host = &was->hosts[before - was->peers];
	return host->port == want->hosts[i].port && strcmp(host->name, want->hosts[i].name) == 0;
}

static void wish_for_file(struct wish *w, const struct wg_quick *was, const struct wg_quick *want,
			  const struct wg_snapshot *now)
{
	w->changes = want->changes;
	if (was->changes.set & WG_DEVICE_PORT && was->changes.port == want->changes.port)
		w->changes.set &= ~(unsigned)WG_DEVICE_PORT;
	for (size_t i = 0; i < want->changes.peer_count; i++) {
		struct wg_peer_change *peer = &w->peers[i];
		bool is_there = false;

		*peer = want->peers[i];
		for (size_t k = 0; k < now->peer_count; k++)
			is_there |= memcmp(now->peers[k].public_key, peer->public_key, WG_KEY) == 0;
		peer->set |= WG_PEER_PRESHARED_KEY | WG_PEER_KEEPALIVE | WG_PEER_REPLACE_ALLOWED;
		if (is_there && same_host(was, want, i))
			peer->set &= ~(unsigned)WG_PEER_ENDPOINT;
	}
}

int wg_sync_to_file(struct wg_device *device, const struct wg_quick *was,
		    const struct wg_quick *want, uint64_t now_ns)
{
	struct wish w = {0};
	struct wg_snapshot *now;
	int rc = wg_device_read(device, &now);

	if (rc < 0)
		return rc;
	rc = wish_memory(&w, now->peer_count + want->changes.peer_count, 0);
	if (rc == 0) {
		wish_for_file(&w, was, want, now);
		rc = fulfil(device, &w, now, now_ns);
	}
	wish_free(&w);
	wg_snapshot_free(now);
	return rc;
}

static void wish_for_state(struct wish *w, const struct wg_snapshot *was)
{
	struct wg_allowed_change *allowed = w->allowed;

	w->changes = (struct wg_changes){
		.set = WG_DEVICE_PRIVATE_KEY | WG_DEVICE_PORT | WG_DEVICE_MARK,
		.port = was->port,
		.mark = was->mark,
		.peer_count = was->peer_count,
	};
	memcpy(w->changes.private_key, was->private_key, WG_KEY);
	for (size_t i = 0; i < was->peer_count; i++) {
		const struct wg_peer_state *state = &was->peers[i];
		struct wg_peer_change *peer = &w->peers[i];

		*peer = (struct wg_peer_change){
			.set = WG_PEER_PRESHARED_KEY | WG_PEER_KEEPALIVE | WG_PEER_REPLACE_ALLOWED,
			.endpoint = state->endpoint,
			.keepalive_s = state->keepalive_s,
			.allowed = allowed,
			.allowed_count = state->allowed_count,
		};
		memset(peer->endpoint.source, 0, sizeof(peer->endpoint.source));
		if (state->endpoint.version)
			peer->set |= WG_PEER_ENDPOINT;
		memcpy(peer->public_key, state->public_key, WG_KEY);
		memcpy(peer->preshared_key, state->preshared_key, WG_KEY);
		for (size_t k = 0; k < state->allowed_count; k++)
			allowed++->prefix = state->allowed[k];
	}
}

int wg_sync_back(struct wg_device *device, const struct wg_snapshot *was, uint64_t now_ns)
{
	struct wish w = {0};
	struct wg_snapshot *now;
	size_t allowed = 0;
	int rc = wg_device_read(device, &now);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < was->peer_count; i++)
		allowed += was->peers[i].allowed_count;
	rc = wish_memory(&w, now->peer_count + was->peer_count, allowed);
	if (rc == 0) {
		wish_for_state(&w, was);
		rc = fulfil(device, &w, now, now_ns);
	}
	wish_free(&w);
	wg_snapshot_free(now);
	return rc;
}
