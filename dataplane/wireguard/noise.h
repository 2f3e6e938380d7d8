/*
 * The handshake, Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s: the messages' contents, without their MACs
 * (cookie.h), and the keys that come of them. Knows no peers, indices or clocks.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_NOISE_H
#define SLUICE_DATAPLANE_WIREGUARD_NOISE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/wireguard/crypto.h"
#include "dataplane/wireguard/message.h"

/* Ours. */
struct wg_identity {
	uint8_t private_key[WG_KEY];
	uint8_t public_key[WG_KEY];
	bool present;
};

/* The other side, as configuration knows it. */
struct wg_remote {
	uint8_t public_key[WG_KEY];
	uint8_t preshared_key[WG_KEY];
	uint8_t shared[WG_KEY]; /* of both static keys */
	bool usable;            /* shared is not zero: its key is not of low order */
};

enum wg_handshake_state {
	WG_HANDSHAKE_NONE,
	WG_HANDSHAKE_INITIATION_CREATED,
	WG_HANDSHAKE_INITIATION_CONSUMED,
	WG_HANDSHAKE_RESPONSE_CREATED,
	WG_HANDSHAKE_RESPONSE_CONSUMED,
};

struct wg_handshake {
	enum wg_handshake_state state;
	uint8_t ephemeral[WG_KEY]; /* private, ours */
	uint8_t remote_ephemeral[WG_KEY];
	uint8_t hash[WG_KEY];
	uint8_t chain[WG_KEY];
	uint32_t local_index;
	uint32_t remote_index;
};

/* An initiation of which the sender is known, but not yet whether it really is it. */
struct wg_greeting {
	struct wg_handshake handshake;
	uint8_t remote_static[WG_KEY];
	uint8_t stamp[WG_STAMP]; /* filled in by wg_noise_accept_initiation */
};

/* Make ours from a private key, which is clamped; a zero one makes none. -ENOMEM */
int wg_identity_set(struct wg_identity *identity, const uint8_t private_key[WG_KEY]);

/* Compute what both static keys share, anew when either changed. */
void wg_remote_set(struct wg_remote *remote, const struct wg_identity *identity);

/*
 * Write an initiation, but for its MACs.
 *
 * ephemeral: private, clamped
 * handshake: what was there is lost; on success INITIATION_CREATED
 * Returns:   false if the remote key is unusable
 */
bool wg_noise_create_initiation(struct wg_crypto *crypto, const struct wg_identity *identity,
				const struct wg_remote *remote, const uint8_t ephemeral[WG_KEY],
				const uint8_t stamp[WG_STAMP], uint32_t local_index,
				struct wg_handshake *handshake, struct wg_initiation *out);

/* Find who an initiation says that it is from. Returns: false if it is not for us */
bool wg_noise_read_initiation(struct wg_crypto *crypto, const struct wg_identity *identity,
			      const struct wg_initiation *message, struct wg_greeting *out);

/* Prove that it is from remote, and read its stamp. On success INITIATION_CONSUMED. */
bool wg_noise_accept_initiation(struct wg_crypto *crypto, const struct wg_remote *remote,
				const struct wg_initiation *message, struct wg_greeting *greeting);

/*
 * Write a response, but for its MACs.
 *
 * handshake: INITIATION_CONSUMED; on success RESPONSE_CREATED
 * Returns:   false if the other side's keys are of low order
 */
bool wg_noise_create_response(struct wg_crypto *crypto, const struct wg_remote *remote,
			      const uint8_t ephemeral[WG_KEY], uint32_t local_index,
			      struct wg_handshake *handshake, struct wg_response *out);

/*
 * Read a response.
 *
 * handshake: INITIATION_CREATED; on success RESPONSE_CONSUMED, else as it was
 * Returns:   whether it is authentic
 */
bool wg_noise_accept_response(struct wg_crypto *crypto, const struct wg_identity *identity,
			      const struct wg_remote *remote, const struct wg_response *message,
			      struct wg_handshake *handshake);

/* The session's keys. handshake: RESPONSE_CREATED or RESPONSE_CONSUMED; wiped */
void wg_noise_derive(struct wg_crypto *crypto, struct wg_handshake *handshake,
		     uint8_t send_key[WG_KEY], uint8_t receive_key[WG_KEY]);

#endif
