/* See ends.h. */
#include "tests/model/ends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/wireguard/crypto.h"

void ends_must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

void ends_set_peer(struct ends_end ends[2], unsigned end, bool there)
{
	static const struct wg_allowed_change all = {.prefix = {.addr = {.version = 4}}};
	const struct ends_end *other = &ends[1 - end];
	struct wg_peer_change peer = {
		.set = there ? WG_PEER_ENDPOINT : WG_PEER_REMOVE,
		.endpoint = {.addr = {127, 0, 0, 1},
			     .port = udp_port(wg_tunnel_udp(other->tunnel)),
			     .version = 4},
		.allowed = &all,
		.allowed_count = there ? 1 : 0,
	};
	struct wg_changes changes = {.set = WG_DEVICE_PRIVATE_KEY, .peers = &peer, .peer_count = 1};

	memcpy(peer.public_key, other->public_key, WG_KEY);
	memcpy(changes.private_key, ends[end].private_key, WG_KEY);
	ends_must(wg_device_apply(wg_tunnel_device(ends[end].tunnel), &changes,
				  wg_device_now_ns()) == 0,
		  "apply");
}

static void open_end(struct ends_end *e, unsigned number, unsigned workers)
{
	struct tun_options tun = {.queues = workers, .fd = -1};
	struct wg_tunnel_options options = {
		.queues = workers, .mtu = 1420, .aead = WG_AEAD_LIBCRYPTO};
	struct egress_options egress = {.type = EGRESS_WIREGUARD};
	struct dataplane_options dataplane = {
		.egresses = &egress, .egress_count = 1, .flows = 1024, .straight = true};

	ends_must(tun_open(&tun, &e->tun) == 0, "tun_open");
	ends_must(wg_tunnel_open(&options, &e->tunnel) == 0, "wg_tunnel_open");
	memset(e->private_key, (int)number + 1, WG_KEY);
	wg_crypto_clamp(e->private_key);
	ends_must(wg_crypto_public(e->private_key, e->public_key), "a key");
	egress.tunnel = e->tunnel;
	dataplane.tun = e->tun;
	ends_must(dataplane_create(&dataplane, &e->dataplane, NULL) == 0, "dataplane_create");
}

void ends_open(struct ends_end ends[2], const unsigned workers[2])
{
	for (unsigned i = 0; i < 2; i++)
		open_end(&ends[i], i, workers[i]);
	for (unsigned i = 0; i < 2; i++)
		ends_set_peer(ends, i, true);
}

void ends_close(struct ends_end ends[2])
{
	for (unsigned i = 0; i < 2; i++)
		dataplane_destroy(ends[i].dataplane);
	for (unsigned i = 0; i < 2; i++)
		wg_tunnel_close(ends[i].tunnel);
}
