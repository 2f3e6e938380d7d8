/*
 * The primitives of handshakes and cookies, by libcrypto: X25519, BLAKE2s, HMAC, key derivation,
 * ChaCha20-Poly1305 with associated data, XChaCha20-Poly1305. Bulk data is aead.h's.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_CRYPTO_H
#define SLUICE_DATAPLANE_WIREGUARD_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/wireguard/message.h"

/* Contexts that are made once. One thread at a time. */
struct wg_crypto;

/* Errors: -ENOMEM, -ENOTSUP (libcrypto lacks an algorithm) */
int wg_crypto_create(struct wg_crypto **out);
void wg_crypto_destroy(struct wg_crypto *crypto); /* NULL does nothing */

/* BLAKE2s of a and b, one after the other. out may be in either. */
void wg_crypto_hash(struct wg_crypto *crypto, const void *a, size_t a_size, const void *b,
		    size_t b_size, uint8_t out[WG_KEY]);

/* HMAC-BLAKE2s. key_size: at most 64 */
void wg_crypto_hmac(struct wg_crypto *crypto, const uint8_t *key, size_t key_size, const void *data,
		    size_t size, uint8_t out[WG_KEY]);

/* BLAKE2s with a key and 16 bytes of output. key_size: 1..32 */
void wg_crypto_mac(struct wg_crypto *crypto, const uint8_t *key, size_t key_size, const void *data,
		   size_t size, uint8_t out[WG_COOKIE]);

/* HKDF with HMAC-BLAKE2s. n: 1..3 keys; out: one after the other, may be key */
void wg_crypto_kdf(struct wg_crypto *crypto, const uint8_t key[WG_KEY], const void *data,
		   size_t size, unsigned n, uint8_t *out);

/*
 * X25519.
 *
 * Returns: false if the result is zero, which a public key of low order makes it, or memory is
 *          short; out is then zero
 */
bool wg_crypto_dh(const uint8_t private_key[WG_KEY], const uint8_t public_key[WG_KEY],
		  uint8_t out[WG_KEY]);

/* The public key of a private one. Returns: false if memory is short */
bool wg_crypto_public(const uint8_t private_key[WG_KEY], uint8_t out[WG_KEY]);

/* Make random bytes a private key. */
void wg_crypto_clamp(uint8_t key[WG_KEY]);

/* ChaCha20-Poly1305 with counter 0. out: size + WG_TAG bytes */
void wg_crypto_seal(struct wg_crypto *crypto, const uint8_t key[WG_KEY], const uint8_t *ad,
		    size_t ad_size, const uint8_t *in, size_t size, uint8_t *out);

/*
 * The opposite. size: with the tag, at least WG_TAG; out: size - WG_TAG bytes.
 *
 * Returns: whether it is authentic
 */
bool wg_crypto_open(struct wg_crypto *crypto, const uint8_t key[WG_KEY], const uint8_t *ad,
		    size_t ad_size, const uint8_t *in, size_t size, uint8_t *out);

/* The same by XChaCha20-Poly1305. */
void wg_crypto_xseal(struct wg_crypto *crypto, const uint8_t key[WG_KEY],
		     const uint8_t nonce[WG_NONCE24], const uint8_t *ad, size_t ad_size,
		     const uint8_t *in, size_t size, uint8_t *out);
bool wg_crypto_xopen(struct wg_crypto *crypto, const uint8_t key[WG_KEY],
		     const uint8_t nonce[WG_NONCE24], const uint8_t *ad, size_t ad_size,
		     const uint8_t *in, size_t size, uint8_t *out);

/* HChaCha20: the key that the first 16 bytes of a long nonce make. */
void wg_crypto_hchacha(const uint8_t key[WG_KEY], const uint8_t nonce[16], uint8_t out[WG_KEY]);

/* Compare in a time that does not depend on the contents. */
bool wg_crypto_equal(const void *a, const void *b, size_t size);

/* Overwrite, whatever the compiler thinks. */
void wg_crypto_wipe(void *secret, size_t size);

#endif
