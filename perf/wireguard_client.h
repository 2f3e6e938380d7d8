/*
 * The other side of a tunnel, in as few words as will do: it begins sessions and seals what it
 * sends. For traffic of many peers, and for traffic that no honest program sends.
 */
#ifndef SLUICE_PERF_WIREGUARD_CLIENT_H
#define SLUICE_PERF_WIREGUARD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/wireguard/aead.h"
#include "dataplane/wireguard/cookie.h"
#include "dataplane/wireguard/noise.h"
#include "perf/wireguard.h"

struct wgclient {
	struct wg_identity identity;
	struct wg_remote remote;
	struct wg_cookie_jar jar;
	struct wg_handshake handshake;
	uint8_t send_key[WG_KEY];
	uint8_t receive_key[WG_KEY];
	uint32_t index;        /* ours */
	uint32_t remote_index; /* of the session */
	uint64_t counter;      /* of what is sealed next */
	bool ready;            /* there is a session */
};

/* Of a key to who has a public one. index: ours in all sessions. Errors: -ENOMEM */
int wgclient_init(struct wgclient *client, struct wg_crypto *crypto, const struct wgbench_key *key,
		  const uint8_t remote[WG_KEY], uint32_t index);

/* Write the first message. Errors: -EIO */
int wgclient_begin(struct wgclient *client, struct wg_crypto *crypto,
		   uint8_t out[WG_INITIATION_SIZE]);

/* Take the second. Returns: whether there is a session now */
bool wgclient_answer(struct wgclient *client, struct wg_crypto *crypto,
		     const uint8_t message[WG_RESPONSE_SIZE]);

/* Write a data message. size: of a packet, a multiple of 16. Returns: bytes in out */
size_t wgclient_seal(struct wgclient *client, struct wg_aead *aead, const uint8_t *packet,
		     size_t size, uint8_t *out);

#endif
