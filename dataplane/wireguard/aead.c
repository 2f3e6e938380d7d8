/* See aead.h. Here the choice, and libcrypto; aead_mb.c has libipsec-mb. */
#include "dataplane/wireguard/aead.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <time.h>

#include "dataplane/check.h"
#include "dataplane/wireguard/aead_backend.h"
#include "dataplane/wireguard/crypto.h"

enum {
	NONCE = 12,
	RACE_ROUNDS = 9,
	RACE_PACKETS = 32, /* about 50 us, by the slower one */
	RACE_SIZE = 1424,
};

struct wg_aead {
	const struct wg_aead_backend *backend;
	void *state;
};

struct libcrypto {
	EVP_CIPHER *chacha;
	EVP_CIPHER_CTX *sealing;
	EVP_CIPHER_CTX *opening;
};

static void libcrypto_destroy(void *state)
{
	struct libcrypto *c = state;

	if (!c)
		return;
	EVP_CIPHER_CTX_free(c->opening);
	EVP_CIPHER_CTX_free(c->sealing);
	EVP_CIPHER_free(c->chacha);
	free(c);
}

static int libcrypto_create(void **out)
{
	struct libcrypto *c = calloc(1, sizeof(*c));
	int rc = -ENOTSUP;

	if (!c)
		return -ENOMEM;
	c->chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	if (!c->chacha)
		goto destroy;
	rc = -ENOMEM;
	c->sealing = EVP_CIPHER_CTX_new();
	c->opening = EVP_CIPHER_CTX_new();
	if (!c->sealing || !c->opening ||
	    EVP_EncryptInit_ex2(c->sealing, c->chacha, NULL, NULL, NULL) != 1 ||
	    EVP_DecryptInit_ex2(c->opening, c->chacha, NULL, NULL, NULL) != 1)
		goto destroy;
	*out = c;
	return 0;
destroy:
	libcrypto_destroy(c);
	return rc;
}

static void make_nonce(uint64_t counter, uint8_t nonce[NONCE])
{
	wg_put32(nonce, 0);
	wg_put64(nonce + 4, counter);
}

static void libcrypto_seal(void *state, const uint8_t key[WG_KEY], uint64_t counter,
			   const uint8_t *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *x = ((struct libcrypto *)state)->sealing;
	uint8_t nonce[NONCE];
	int n;

	make_nonce(counter, nonce);
	CHECK(EVP_EncryptInit_ex2(x, NULL, key, nonce, NULL) == 1);
	CHECK(len == 0 || EVP_EncryptUpdate(x, out, &n, in, (int)len) == 1);
	CHECK(EVP_EncryptFinal_ex(x, out + len, &n) == 1);
	CHECK(EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_GET_TAG, WG_TAG, out + len) == 1);
}

static bool libcrypto_open(void *state, const uint8_t key[WG_KEY], uint64_t counter,
			   const uint8_t *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *x = ((struct libcrypto *)state)->opening;
	uint8_t nonce[NONCE];
	uint8_t tag[WG_TAG];
	int n;

	len -= WG_TAG;
	memcpy(tag, in + len, WG_TAG);
	make_nonce(counter, nonce);
	CHECK(EVP_DecryptInit_ex2(x, NULL, key, nonce, NULL) == 1);
	CHECK(EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_SET_TAG, WG_TAG, tag) == 1);
	CHECK(len == 0 || EVP_DecryptUpdate(x, out, &n, in, (int)len) == 1);
	return EVP_DecryptFinal_ex(x, tag, &n) == 1;
}

/* Another key takes the place of the last, and what it makes that of the last block. */
static void libcrypto_forget(void *state)
{
	static const uint8_t zero[WG_KEY];
	uint8_t out[WG_TAG + 1];

	libcrypto_seal(state, zero, 0, zero, 1, out);
	(void)libcrypto_open(state, zero, 0, out, sizeof(out), out);
}

const struct wg_aead_backend wg_aead_libcrypto = {
	.kind = WG_AEAD_LIBCRYPTO,
	.create = libcrypto_create,
	.destroy = libcrypto_destroy,
	.seal = libcrypto_seal,
	.open = libcrypto_open,
	.forget = libcrypto_forget,
};

static int create_with(const struct wg_aead_backend *backend, struct wg_aead **out)
{
	struct wg_aead *aead = malloc(sizeof(*aead));
	int rc;

	if (!aead)
		return -ENOMEM;
	aead->backend = backend;
	rc = backend->create(&aead->state);
	if (rc < 0) {
		free(aead);
		return rc;
	}
	*out = aead;
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * WG_NS + (uint64_t)now.tv_nsec;
}

static uint64_t run(struct wg_aead *aead, uint8_t *packet)
{
	static const uint8_t key[WG_KEY];
	uint64_t start = now_ns();

	for (unsigned i = 0; i < RACE_PACKETS; i++)
		wg_aead_seal(aead, key, i, packet, RACE_SIZE, packet);
	return now_ns() - start;
}

/* The best round of each counts: the others were disturbed. */
static struct wg_aead *race(struct wg_aead *a, struct wg_aead *b)
{
	uint8_t packet[RACE_SIZE + WG_TAG] = {0};
	uint64_t best_a = UINT64_MAX;
	uint64_t best_b = UINT64_MAX;

	for (int i = 0; i < RACE_ROUNDS; i++) {
		uint64_t ns_a = run(a, packet);
		uint64_t ns_b = run(b, packet);

		best_a = ns_a < best_a ? ns_a : best_a;
		best_b = ns_b < best_b ? ns_b : best_b;
	}
	return best_a <= best_b ? a : b;
}

int wg_aead_create(enum wg_aead_kind kind, struct wg_aead **out)
{
	struct wg_aead *crypto;
	struct wg_aead *mb;
	int rc;

	if (kind == WG_AEAD_IPSEC_MB)
		return create_with(&wg_aead_ipsec_mb, out);
	rc = create_with(&wg_aead_libcrypto, &crypto);
	if (rc < 0)
		return rc;
	*out = crypto;
	if (kind == WG_AEAD_LIBCRYPTO || create_with(&wg_aead_ipsec_mb, &mb) < 0)
		return 0;
	*out = race(crypto, mb);
	wg_aead_destroy(*out == crypto ? mb : crypto);
	return 0;
}

void wg_aead_destroy(struct wg_aead *aead)
{
	if (!aead)
		return;
	wg_aead_forget(aead);
	aead->backend->destroy(aead->state);
	free(aead);
}

enum wg_aead_kind wg_aead_kind(const struct wg_aead *aead)
{
	return aead->backend->kind;
}

void wg_aead_seal(struct wg_aead *aead, const uint8_t key[WG_KEY], uint64_t counter,
		  const uint8_t *in, size_t len, uint8_t *out)
{
	aead->backend->seal(aead->state, key, counter, in, len, out);
}

bool wg_aead_open(struct wg_aead *aead, const uint8_t key[WG_KEY], uint64_t counter,
		  const uint8_t *in, size_t len, uint8_t *out)
{
	return aead->backend->open(aead->state, key, counter, in, len, out);
}

void wg_aead_forget(struct wg_aead *aead)
{
	aead->backend->forget(aead->state);
}
