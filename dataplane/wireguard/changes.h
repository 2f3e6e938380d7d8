/*
 * What a control program asks of a device: plain data, filled in by parsers, the caller's.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_CHANGES_H
#define SLUICE_DATAPLANE_WIREGUARD_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/wireguard/message.h"
#include "lpm/prefix.h"
#include "tun/udp.h"

/* Which fields of a change of a peer hold something, and what else it says. */
enum {
	WG_PEER_REMOVE = 1 << 0,
	WG_PEER_UPDATE_ONLY = 1 << 1, /* nothing happens unless the peer is there */
	WG_PEER_PRESHARED_KEY = 1 << 2,
	WG_PEER_ENDPOINT = 1 << 3,
	WG_PEER_KEEPALIVE = 1 << 4,
	WG_PEER_REPLACE_ALLOWED = 1 << 5, /* take all its addresses from it first */
};

/* Which fields of a change of the device hold something, and what else it says. */
enum {
	WG_DEVICE_PRIVATE_KEY = 1 << 0,
	WG_DEVICE_PORT = 1 << 1,
	WG_DEVICE_MARK = 1 << 2,
	WG_DEVICE_REPLACE_PEERS = 1 << 3, /* remove all others first */
};

struct wg_allowed_change {
	struct prefix prefix; /* host bits zero */
	bool remove;          /* from this peer; nothing happens if it is another's */
};

struct wg_peer_change {
	unsigned set; /* WG_PEER_* */
	uint8_t public_key[WG_KEY];
	uint8_t preshared_key[WG_KEY]; /* zero: none */
	struct udp_endpoint endpoint;  /* source zero */
	uint16_t keepalive_s;          /* 0: off */
	const struct wg_allowed_change *allowed;
	size_t allowed_count;
};

/* Applied in this order: the device's own, then peer by peer; a peer may be named repeatedly. */
struct wg_changes {
	unsigned set;                /* WG_DEVICE_* */
	uint8_t private_key[WG_KEY]; /* zero: none */
	uint16_t port;               /* 0: any */
	uint32_t mark;               /* 0: none */
	const struct wg_peer_change *peers;
	size_t peer_count;
};

/* A device as it is. */
struct wg_peer_state {
	uint8_t public_key[WG_KEY];
	uint8_t preshared_key[WG_KEY];
	struct udp_endpoint endpoint; /* version 0: none */
	uint16_t keepalive_s;
	uint64_t handshake_ns; /* wall clock, since 1970; 0: never */
	uint64_t rx_bytes;
	uint64_t tx_bytes;
	const struct prefix *allowed; /* in the order in which they were given */
	size_t allowed_count;
};

struct wg_snapshot {
	uint8_t private_key[WG_KEY]; /* zero: none */
	uint8_t public_key[WG_KEY];
	uint16_t port;
	uint32_t mark;
	const struct wg_peer_state *peers; /* in the order in which they were added */
	size_t peer_count;
};

#endif
