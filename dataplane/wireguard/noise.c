/* See noise.h. The names of the tokens (e, es, s, ss, ee, se, psk) are those of Noise. */
#include "dataplane/wireguard/noise.h"

#include <errno.h>

/* Of the names of protocol and construction: tests/wireguard computes them again. */
static const uint8_t chain_seed[WG_KEY] = {
	0x60, 0xe2, 0x6d, 0xae, 0xf3, 0x27, 0xef, 0xc0, 0x2e, 0xc3, 0x35,
	0xe2, 0xa0, 0x25, 0xd2, 0xd0, 0x16, 0xeb, 0x42, 0x06, 0xf8, 0x72,
	0x77, 0xf5, 0x2d, 0x38, 0xd1, 0x98, 0x8b, 0x78, 0xcd, 0x36,
};
static const uint8_t hash_seed[WG_KEY] = {
	0x22, 0x11, 0xb3, 0x61, 0x08, 0x1a, 0xc5, 0x66, 0x69, 0x12, 0x43,
	0xdb, 0x45, 0x8a, 0xd5, 0x32, 0x2d, 0x9c, 0x6c, 0x66, 0x22, 0x93,
	0xe8, 0xb7, 0x0e, 0xe1, 0x9c, 0x65, 0xba, 0x07, 0x9e, 0xf3,
};

int wg_identity_set(struct wg_identity *identity, const uint8_t private_key[WG_KEY])
{
	static const uint8_t zero[WG_KEY];
	struct wg_identity made = {.present = !wg_crypto_equal(private_key, zero, WG_KEY)};
	int rc = 0;

	if (made.present) {
		memcpy(made.private_key, private_key, WG_KEY);
		wg_crypto_clamp(made.private_key);
		if (!wg_crypto_public(made.private_key, made.public_key))
			rc = -ENOMEM;
	}
	if (rc == 0)
		*identity = made;
	wg_crypto_wipe(&made, sizeof(made));
	return rc;
}

void wg_remote_set(struct wg_remote *remote, const struct wg_identity *identity)
{
	memset(remote->shared, 0, WG_KEY);
	remote->usable = identity->present &&
			 wg_crypto_dh(identity->private_key, remote->public_key, remote->shared);
}

static void mix_hash(struct wg_crypto *c, struct wg_handshake *h, const uint8_t *data, size_t size)
{
	wg_crypto_hash(c, h->hash, WG_KEY, data, size, h->hash);
}

/* key: NULL if the token gives none */
static void mix_key(struct wg_crypto *c, struct wg_handshake *h, const uint8_t secret[WG_KEY],
		    uint8_t *key)
{
	uint8_t keys[2 * WG_KEY];

	wg_crypto_kdf(c, h->chain, secret, WG_KEY, key ? 2 : 1, keys);
	memcpy(h->chain, keys, WG_KEY);
	if (key)
		memcpy(key, keys + WG_KEY, WG_KEY);
	wg_crypto_wipe(keys, sizeof(keys));
}

static bool mix_dh(struct wg_crypto *c, struct wg_handshake *h, const uint8_t private_key[WG_KEY],
		   const uint8_t public_key[WG_KEY], uint8_t *key)
{
	uint8_t secret[WG_KEY];
	bool done = wg_crypto_dh(private_key, public_key, secret);

	if (done)
		mix_key(c, h, secret, key);
	wg_crypto_wipe(secret, sizeof(secret));
	return done;
}

static void mix_ephemeral(struct wg_crypto *c, struct wg_handshake *h,
			  const uint8_t public_key[WG_KEY])
{
	mix_hash(c, h, public_key, WG_KEY);
	mix_key(c, h, public_key, NULL);
}

static void mix_psk(struct wg_crypto *c, struct wg_handshake *h, const uint8_t psk[WG_KEY],
		    uint8_t key[WG_KEY])
{
	uint8_t keys[3 * WG_KEY];

	wg_crypto_kdf(c, h->chain, psk, WG_KEY, 3, keys);
	memcpy(h->chain, keys, WG_KEY);
	mix_hash(c, h, keys + WG_KEY, WG_KEY);
	memcpy(key, keys + (size_t)2 * WG_KEY, WG_KEY);
	wg_crypto_wipe(keys, sizeof(keys));
}

/* size: of the plain text; out: WG_TAG more */
static void seal_mixed(struct wg_crypto *c, struct wg_handshake *h, const uint8_t key[WG_KEY],
		       const uint8_t *in, size_t size, uint8_t *out)
{
	wg_crypto_seal(c, key, h->hash, WG_KEY, in, size, out);
	mix_hash(c, h, out, size + WG_TAG);
}

/* size: with the tag */
static bool open_mixed(struct wg_crypto *c, struct wg_handshake *h, const uint8_t key[WG_KEY],
		       const uint8_t *in, size_t size, uint8_t *out)
{
	if (!wg_crypto_open(c, key, h->hash, WG_KEY, in, size, out))
		return false;
	mix_hash(c, h, in, size);
	return true;
}

static void begin(struct wg_crypto *c, struct wg_handshake *h,
		  const uint8_t responder_public[WG_KEY])
{
	memset(h, 0, sizeof(*h));
	memcpy(h->chain, chain_seed, WG_KEY);
	memcpy(h->hash, hash_seed, WG_KEY);
	mix_hash(c, h, responder_public, WG_KEY);
}

bool wg_noise_create_initiation(struct wg_crypto *c, const struct wg_identity *identity,
				const struct wg_remote *remote, const uint8_t ephemeral[WG_KEY],
				const uint8_t stamp[WG_STAMP], uint32_t local_index,
				struct wg_handshake *h, struct wg_initiation *out)
{
	uint8_t key[WG_KEY];
	bool done = false;

	if (!identity->present || !remote->usable)
		return false;
	memset(out, 0, sizeof(*out));
	begin(c, h, remote->public_key);
	memcpy(h->ephemeral, ephemeral, WG_KEY);
	h->local_index = local_index;
	wg_put32(out->type, WG_INITIATION);
	wg_put32(out->sender, local_index);
	if (!wg_crypto_public(ephemeral, out->ephemeral))
		goto out;
	mix_ephemeral(c, h, out->ephemeral);                      /* e */
	if (!mix_dh(c, h, h->ephemeral, remote->public_key, key)) /* es */
		goto out;
	seal_mixed(c, h, key, identity->public_key, WG_KEY, out->sealed_static); /* s */
	mix_key(c, h, remote->shared, key);                                      /* ss */
	seal_mixed(c, h, key, stamp, WG_STAMP, out->sealed_stamp);
	h->state = WG_HANDSHAKE_INITIATION_CREATED;
	done = true;
out:
	wg_crypto_wipe(key, sizeof(key));
	if (!done)
		wg_crypto_wipe(h, sizeof(*h));
	return done;
}

bool wg_noise_read_initiation(struct wg_crypto *c, const struct wg_identity *identity,
			      const struct wg_initiation *message, struct wg_greeting *out)
{
	struct wg_greeting g = {0};
	struct wg_handshake *h = &g.handshake;
	uint8_t key[WG_KEY];
	bool done = false;

	if (!identity->present)
		return false;
	begin(c, h, identity->public_key);
	mix_ephemeral(c, h, message->ephemeral);
	if (mix_dh(c, h, identity->private_key, message->ephemeral, key) &&
	    open_mixed(c, h, key, message->sealed_static, sizeof(message->sealed_static),
		       g.remote_static)) {
		memcpy(h->remote_ephemeral, message->ephemeral, WG_KEY);
		h->remote_index = wg_get32(message->sender);
		*out = g;
		done = true;
	}
	wg_crypto_wipe(key, sizeof(key));
	wg_crypto_wipe(&g, sizeof(g));
	return done;
}

bool wg_noise_accept_initiation(struct wg_crypto *c, const struct wg_remote *remote,
				const struct wg_initiation *message, struct wg_greeting *greeting)
{
	struct wg_handshake *h = &greeting->handshake;
	uint8_t key[WG_KEY];
	bool done;

	if (!remote->usable)
		return false;
	mix_key(c, h, remote->shared, key);
	done = open_mixed(c, h, key, message->sealed_stamp, sizeof(message->sealed_stamp),
			  greeting->stamp);
	if (done)
		h->state = WG_HANDSHAKE_INITIATION_CONSUMED;
	wg_crypto_wipe(key, sizeof(key));
	return done;
}

bool wg_noise_create_response(struct wg_crypto *c, const struct wg_remote *remote,
			      const uint8_t ephemeral[WG_KEY], uint32_t local_index,
			      struct wg_handshake *h, struct wg_response *out)
{
	uint8_t key[WG_KEY];
	bool done = false;

	if (h->state != WG_HANDSHAKE_INITIATION_CONSUMED)
		return false;
	memset(out, 0, sizeof(*out));
	memcpy(h->ephemeral, ephemeral, WG_KEY);
	h->local_index = local_index;
	wg_put32(out->type, WG_RESPONSE);
	wg_put32(out->sender, local_index);
	wg_put32(out->receiver, h->remote_index);
	if (!wg_crypto_public(ephemeral, out->ephemeral))
		goto out;
	mix_ephemeral(c, h, out->ephemeral);                          /* e */
	if (!mix_dh(c, h, h->ephemeral, h->remote_ephemeral, NULL) || /* ee */
	    !mix_dh(c, h, h->ephemeral, remote->public_key, NULL))    /* se */
		goto out;
	mix_psk(c, h, remote->preshared_key, key);
	seal_mixed(c, h, key, NULL, 0, out->sealed_nothing);
	h->state = WG_HANDSHAKE_RESPONSE_CREATED;
	done = true;
out:
	wg_crypto_wipe(key, sizeof(key));
	return done;
}

bool wg_noise_accept_response(struct wg_crypto *c, const struct wg_identity *identity,
			      const struct wg_remote *remote, const struct wg_response *message,
			      struct wg_handshake *handshake)
{
	struct wg_handshake copy = *handshake;
	struct wg_handshake *h = &copy;
	uint8_t key[WG_KEY] = {0};
	uint8_t nothing[1];
	bool done = false;

	if (h->state != WG_HANDSHAKE_INITIATION_CREATED || !identity->present)
		goto out;
	mix_ephemeral(c, h, message->ephemeral);
	if (!mix_dh(c, h, h->ephemeral, message->ephemeral, NULL) ||
	    !mix_dh(c, h, identity->private_key, message->ephemeral, NULL))
		goto out;
	mix_psk(c, h, remote->preshared_key, key);
	if (!open_mixed(c, h, key, message->sealed_nothing, WG_TAG, nothing))
		goto out;
	memcpy(h->remote_ephemeral, message->ephemeral, WG_KEY);
	h->remote_index = wg_get32(message->sender);
	h->state = WG_HANDSHAKE_RESPONSE_CONSUMED;
	*handshake = copy;
	done = true;
out:
	wg_crypto_wipe(key, sizeof(key));
	wg_crypto_wipe(&copy, sizeof(copy));
	return done;
}

void wg_noise_derive(struct wg_crypto *c, struct wg_handshake *h, uint8_t send_key[WG_KEY],
		     uint8_t receive_key[WG_KEY])
{
	bool initiator = h->state == WG_HANDSHAKE_RESPONSE_CONSUMED;
	uint8_t keys[2 * WG_KEY];

	wg_crypto_kdf(c, h->chain, NULL, 0, 2, keys);
	memcpy(initiator ? send_key : receive_key, keys, WG_KEY);
	memcpy(initiator ? receive_key : send_key, keys + WG_KEY, WG_KEY);
	wg_crypto_wipe(keys, sizeof(keys));
	wg_crypto_wipe(h, sizeof(*h));
}
