/* A device as it is, copied out: see device.h. One piece of memory, so that it is wiped whole. */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/wireguard/state.h"

struct snapshot {
	struct wg_snapshot out; /* first */
	size_t size;            /* of all */
};

static size_t total(const struct wg_device *d)
{
	size_t n = 0;

	for (unsigned i = 0; i < d->roster->count; i++)
		n += claims_count(d->claims, d->roster->members[i]->peer.number);
	return n;
}

static void copy_peer(const struct wg_member *m, struct wg_peer_state *out)
{
	memcpy(out->public_key, m->remote.public_key, WG_KEY);
	memcpy(out->preshared_key, m->remote.preshared_key, WG_KEY);
	(void)wg_peer_endpoint(&m->peer, &out->endpoint);
	out->keepalive_s = m->keepalive_s;
	out->handshake_ns = m->handshake_wall_ns;
	out->rx_bytes = __atomic_load_n(&m->peer.rx_bytes, __ATOMIC_RELAXED);
	out->tx_bytes = __atomic_load_n(&m->peer.tx_bytes, __ATOMIC_RELAXED);
}

int wg_device_read(struct wg_device *d, struct wg_snapshot **out)
{
	struct wg_peer_state *peers;
	struct prefix *prefixes;
	struct snapshot *s;
	size_t size;

	pthread_mutex_lock(&d->lock);
	size = sizeof(*s) + d->roster->count * sizeof(*peers) + total(d) * sizeof(*prefixes);
	s = secret_map(size);
	if (!s)
		goto unlock;
	s->size = size;
	peers = (struct wg_peer_state *)(s + 1);
	prefixes = (struct prefix *)(peers + d->roster->count);
	s->out = (struct wg_snapshot){
		.port = d->port,
		.mark = d->mark,
		.peers = peers,
		.peer_count = d->roster->count,
	};
	memcpy(s->out.private_key, d->identity.private_key, WG_KEY);
	memcpy(s->out.public_key, d->identity.public_key, WG_KEY);
	for (unsigned i = 0; i < d->roster->count; i++) {
		const struct wg_member *m = d->roster->members[i];

		copy_peer(m, &peers[i]);
		peers[i].allowed = prefixes;
		peers[i].allowed_count = claims_count(d->claims, m->peer.number);
		claims_list(d->claims, m->peer.number, prefixes);
		prefixes += peers[i].allowed_count;
	}
	*out = &s->out;
unlock:
	pthread_mutex_unlock(&d->lock);
	return s ? 0 : -ENOMEM;
}

void wg_snapshot_free(struct wg_snapshot *snapshot)
{
	struct snapshot *s = (struct snapshot *)snapshot;

	if (s)
		secret_unmap(s, s->size);
}
