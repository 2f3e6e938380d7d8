/* See crypto.h. */
#include "dataplane/wireguard/crypto.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

#include "dataplane/check.h"

enum {
	BLOCK = 64, /* of BLAKE2s */
	NONCE = 12,
};

struct wg_crypto {
	EVP_MD *blake2s;
	EVP_MD_CTX *hash;
	EVP_MAC *blake2s_mac;
	EVP_MAC_CTX *mac;
	EVP_CIPHER *chacha;
	EVP_CIPHER_CTX *sealing;
	EVP_CIPHER_CTX *opening;
};

static bool all_there(const struct wg_crypto *c)
{
	return c->hash && c->mac && c->sealing && c->opening &&
	       EVP_EncryptInit_ex2(c->sealing, c->chacha, NULL, NULL, NULL) == 1 &&
	       EVP_DecryptInit_ex2(c->opening, c->chacha, NULL, NULL, NULL) == 1;
}

int wg_crypto_create(struct wg_crypto **out)
{
	struct wg_crypto *c = calloc(1, sizeof(*c));
	int rc = -ENOTSUP;

	if (!c)
		return -ENOMEM;
	c->blake2s = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
	c->blake2s_mac = EVP_MAC_fetch(NULL, "BLAKE2SMAC", NULL);
	c->chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	if (!c->blake2s || !c->blake2s_mac || !c->chacha)
		goto destroy;
	rc = -ENOMEM;
	c->hash = EVP_MD_CTX_new();
	c->mac = EVP_MAC_CTX_new(c->blake2s_mac);
	c->sealing = EVP_CIPHER_CTX_new();
	c->opening = EVP_CIPHER_CTX_new();
	if (!all_there(c))
		goto destroy;
	*out = c;
	return 0;
destroy:
	wg_crypto_destroy(c);
	return rc;
}

void wg_crypto_destroy(struct wg_crypto *c)
{
	if (!c)
		return;
	EVP_CIPHER_CTX_free(c->opening);
	EVP_CIPHER_CTX_free(c->sealing);
	EVP_MAC_CTX_free(c->mac);
	EVP_MD_CTX_free(c->hash);
	EVP_CIPHER_free(c->chacha);
	EVP_MAC_free(c->blake2s_mac);
	EVP_MD_free(c->blake2s);
	free(c);
}

/* What is made once does not fail later: memory is taken by the first use at the latest. */
void wg_crypto_hash(struct wg_crypto *c, const void *a, size_t a_size, const void *b, size_t b_size,
		    uint8_t out[WG_KEY])
{
	CHECK(EVP_DigestInit_ex2(c->hash, c->blake2s, NULL) == 1);
	CHECK(EVP_DigestUpdate(c->hash, a, a_size) == 1);
	CHECK(EVP_DigestUpdate(c->hash, b, b_size) == 1);
	CHECK(EVP_DigestFinal_ex(c->hash, out, NULL) == 1);
}

void wg_crypto_hmac(struct wg_crypto *c, const uint8_t *key, size_t key_size, const void *data,
		    size_t size, uint8_t out[WG_KEY])
{
	uint8_t pad[BLOCK] = {0};
	uint8_t inner[WG_KEY];

	CHECK(key_size <= BLOCK);
	memcpy(pad, key, key_size);
	for (int i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36;
	wg_crypto_hash(c, pad, sizeof(pad), data, size, inner);
	for (int i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	wg_crypto_hash(c, pad, sizeof(pad), inner, sizeof(inner), out);
	wg_crypto_wipe(pad, sizeof(pad));
	wg_crypto_wipe(inner, sizeof(inner));
}

void wg_crypto_mac(struct wg_crypto *c, const uint8_t *key, size_t key_size, const void *data,
		   size_t size, uint8_t out[WG_COOKIE])
{
	size_t length = WG_COOKIE;
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &length),
		OSSL_PARAM_construct_end(),
	};

	CHECK(EVP_MAC_init(c->mac, key, key_size, params) == 1);
	CHECK(EVP_MAC_update(c->mac, data, size) == 1);
	CHECK(EVP_MAC_final(c->mac, out, &length, WG_COOKIE) == 1);
}

void wg_crypto_kdf(struct wg_crypto *c, const uint8_t key[WG_KEY], const void *data, size_t size,
		   unsigned n, uint8_t *out)
{
	uint8_t secret[WG_KEY];
	uint8_t text[WG_KEY + 1];

	CHECK(n >= 1 && n <= 3);
	wg_crypto_hmac(c, key, WG_KEY, data, size, secret);
	for (unsigned i = 0; i < n; i++) {
		size_t before = i > 0 ? WG_KEY : 0;

		text[before] = (uint8_t)(i + 1);
		wg_crypto_hmac(c, secret, WG_KEY, text, before + 1, text);
		memcpy(out + (size_t)i * WG_KEY, text, WG_KEY);
	}
	wg_crypto_wipe(secret, sizeof(secret));
	wg_crypto_wipe(text, sizeof(text));
}

bool wg_crypto_dh(const uint8_t private_key[WG_KEY], const uint8_t public_key[WG_KEY],
		  uint8_t out[WG_KEY])
{
	EVP_PKEY *ours = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, WG_KEY);
	EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public_key, WG_KEY);
	EVP_PKEY_CTX *c = ours ? EVP_PKEY_CTX_new(ours, NULL) : NULL;
	static const uint8_t zero[WG_KEY];
	size_t size = WG_KEY;
	bool done;

	memset(out, 0, WG_KEY);
	done = c && theirs && EVP_PKEY_derive_init(c) == 1 &&
	       EVP_PKEY_derive_set_peer_ex(c, theirs, 0) == 1 &&
	       EVP_PKEY_derive(c, out, &size) == 1 && size == WG_KEY &&
	       !wg_crypto_equal(out, zero, WG_KEY);
	if (!done)
		wg_crypto_wipe(out, WG_KEY);
	EVP_PKEY_CTX_free(c);
	EVP_PKEY_free(theirs);
	EVP_PKEY_free(ours);
	return done;
}

bool wg_crypto_public(const uint8_t private_key[WG_KEY], uint8_t out[WG_KEY])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, WG_KEY);
	size_t size = WG_KEY;
	bool done = key && EVP_PKEY_get_raw_public_key(key, out, &size) == 1;

	EVP_PKEY_free(key);
	return done;
}

void wg_crypto_clamp(uint8_t key[WG_KEY])
{
	key[0] &= 248;
	key[31] = (key[31] & 127) | 64;
}

static void seal(struct wg_crypto *c, const uint8_t key[WG_KEY], const uint8_t nonce[NONCE],
		 const uint8_t *ad, size_t ad_size, const uint8_t *in, size_t size, uint8_t *out)
{
	EVP_CIPHER_CTX *x = c->sealing;
	int n;

	CHECK(EVP_EncryptInit_ex2(x, NULL, key, nonce, NULL) == 1);
	CHECK(ad_size == 0 || EVP_EncryptUpdate(x, NULL, &n, ad, (int)ad_size) == 1);
	CHECK(size == 0 || EVP_EncryptUpdate(x, out, &n, in, (int)size) == 1);
	CHECK(EVP_EncryptFinal_ex(x, out + size, &n) == 1);
	CHECK(EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_GET_TAG, WG_TAG, out + size) == 1);
}

static bool open_sealed(struct wg_crypto *c, const uint8_t key[WG_KEY], const uint8_t nonce[NONCE],
			const uint8_t *ad, size_t ad_size, const uint8_t *in, size_t size,
			uint8_t *out)
{
	EVP_CIPHER_CTX *x = c->opening;
	uint8_t tag[WG_TAG];
	uint8_t rest[WG_TAG];
	int n;

	size -= WG_TAG;
	memcpy(tag, in + size, WG_TAG);
	CHECK(EVP_DecryptInit_ex2(x, NULL, key, nonce, NULL) == 1);
	CHECK(EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_SET_TAG, WG_TAG, tag) == 1);
	CHECK(ad_size == 0 || EVP_DecryptUpdate(x, NULL, &n, ad, (int)ad_size) == 1);
	CHECK(size == 0 || EVP_DecryptUpdate(x, out, &n, in, (int)size) == 1);
	return EVP_DecryptFinal_ex(x, rest, &n) == 1;
}

static const uint8_t nonce_zero[NONCE];

void wg_crypto_seal(struct wg_crypto *c, const uint8_t key[WG_KEY], const uint8_t *ad,
		    size_t ad_size, const uint8_t *in, size_t size, uint8_t *out)
{
	seal(c, key, nonce_zero, ad, ad_size, in, size, out);
}

bool wg_crypto_open(struct wg_crypto *c, const uint8_t key[WG_KEY], const uint8_t *ad,
		    size_t ad_size, const uint8_t *in, size_t size, uint8_t *out)
{
	return open_sealed(c, key, nonce_zero, ad, ad_size, in, size, out);
}

static uint32_t rotate(uint32_t word, unsigned bits)
{
	return word << bits | word >> (32 - bits);
}

static void quarter(uint32_t *x, int a, int b, int c, int d)
{
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 7);
}

void wg_crypto_hchacha(const uint8_t key[WG_KEY], const uint8_t nonce[16], uint8_t out[WG_KEY])
{
	uint32_t x[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

	for (int i = 0; i < 8; i++)
		x[4 + i] = wg_get32(key + (size_t)4 * i);
	for (int i = 0; i < 4; i++)
		x[12 + i] = wg_get32(nonce + (size_t)4 * i);
	for (int i = 0; i < 10; i++) {
		quarter(x, 0, 4, 8, 12);
		quarter(x, 1, 5, 9, 13);
		quarter(x, 2, 6, 10, 14);
		quarter(x, 3, 7, 11, 15);
		quarter(x, 0, 5, 10, 15);
		quarter(x, 1, 6, 11, 12);
		quarter(x, 2, 7, 8, 13);
		quarter(x, 3, 4, 9, 14);
	}
	for (int i = 0; i < 4; i++) {
		wg_put32(out + (size_t)4 * i, x[i]);
		wg_put32(out + 16 + (size_t)4 * i, x[12 + i]);
	}
	wg_crypto_wipe(x, sizeof(x));
}

/* The nonce of the inner cipher: what HChaCha20 has not used. */
static void inner_nonce(const uint8_t nonce[WG_NONCE24], uint8_t out[NONCE])
{
	memset(out, 0, 4);
	memcpy(out + 4, nonce + 16, 8);
}

void wg_crypto_xseal(struct wg_crypto *c, const uint8_t key[WG_KEY],
		     const uint8_t nonce[WG_NONCE24], const uint8_t *ad, size_t ad_size,
		     const uint8_t *in, size_t size, uint8_t *out)
{
	uint8_t inner[WG_KEY];
	uint8_t rest[NONCE];

	wg_crypto_hchacha(key, nonce, inner);
	inner_nonce(nonce, rest);
	seal(c, inner, rest, ad, ad_size, in, size, out);
	wg_crypto_wipe(inner, sizeof(inner));
}

bool wg_crypto_xopen(struct wg_crypto *c, const uint8_t key[WG_KEY],
		     const uint8_t nonce[WG_NONCE24], const uint8_t *ad, size_t ad_size,
		     const uint8_t *in, size_t size, uint8_t *out)
{
	uint8_t inner[WG_KEY];
	uint8_t rest[NONCE];
	bool authentic;

	wg_crypto_hchacha(key, nonce, inner);
	inner_nonce(nonce, rest);
	authentic = open_sealed(c, inner, rest, ad, ad_size, in, size, out);
	wg_crypto_wipe(inner, sizeof(inner));
	return authentic;
}

bool wg_crypto_equal(const void *a, const void *b, size_t size)
{
	return CRYPTO_memcmp(a, b, size) == 0;
}

void wg_crypto_wipe(void *secret, size_t size)
{
	OPENSSL_cleanse(secret, size);
}
