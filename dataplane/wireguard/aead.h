/*
 * ChaCha20-Poly1305 of data messages: no associated data, and the message's counter as nonce.
 *
 * By libcrypto, or by libipsec-mb where it is there and a short race at creation says that it is
 * faster. Both give the same bytes.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_AEAD_H
#define SLUICE_DATAPLANE_WIREGUARD_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/wireguard/message.h"

struct wg_aead;

enum wg_aead_kind {
	WG_AEAD_FASTEST,
	WG_AEAD_LIBCRYPTO,
	WG_AEAD_IPSEC_MB,
};

/*
 * Make what one thread seals and opens with.
 *
 * out:    the caller's, until wg_aead_destroy
 * Errors: -ENOMEM; -ENOTSUP (this kind is not there)
 */
int wg_aead_create(enum wg_aead_kind kind, struct wg_aead **out);
void wg_aead_destroy(struct wg_aead *aead); /* wipes it; NULL does nothing */

/* WG_AEAD_LIBCRYPTO or WG_AEAD_IPSEC_MB. */
enum wg_aead_kind wg_aead_kind(const struct wg_aead *aead);

/*
 * Seal a packet.
 *
 * in:     len bytes
 * out:    len + WG_TAG bytes; may be in itself, else they must not overlap
 * Thread: the one that owns aead
 */
void wg_aead_seal(struct wg_aead *aead, const uint8_t key[WG_KEY], uint64_t counter,
		  const uint8_t *in, size_t len, uint8_t *out);

/*
 * Open a packet.
 *
 * in:      len bytes, the tag at the end; len is at least WG_TAG
 * out:     len - WG_TAG bytes; may be in itself, else they must not overlap. Undefined, but
 *          written, if the packet is not authentic
 * Returns: whether it is authentic
 * Thread:  the one that owns aead
 */
bool wg_aead_open(struct wg_aead *aead, const uint8_t key[WG_KEY], uint64_t counter,
		  const uint8_t *in, size_t len, uint8_t *out);

/* Wipe what is left of keys in it. To be called before its thread sleeps. */
void wg_aead_forget(struct wg_aead *aead);

#endif
