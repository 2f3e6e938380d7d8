/* Handshakes against those of another implementation, byte by byte, and what must not work. */
#include "dataplane/wireguard/noise.h"

#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/wireguard/aead.h"
#include "dataplane/wireguard/cookie.h"
#include "tests/wireguard/pair.h"
#include "tests/wireguard/vectors.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Both sides of a handshake. */
struct side {
	struct wg_identity identity;
	struct wg_remote remote;
	struct wg_handshake handshake;
	uint8_t ephemeral[WG_KEY];
	uint8_t send_key[WG_KEY];
	uint8_t receive_key[WG_KEY];
};

struct talk {
	struct wg_crypto *crypto;
	struct side initiator;
	struct side responder;
	struct wg_initiation initiation;
	struct wg_response response;
};

static void side_init(struct side *s, const char *private_key, const char *ephemeral,
		      const char *psk)
{
	uint8_t key[WG_KEY];

	pair_hex(private_key, key, WG_KEY);
	cr_assert_eq(wg_identity_set(&s->identity, key), 0);
	pair_hex(ephemeral, s->ephemeral, WG_KEY);
	pair_hex(psk, s->remote.preshared_key, WG_KEY);
}

static void meet(struct side *a, struct side *b)
{
	memcpy(a->remote.public_key, b->identity.public_key, WG_KEY);
	memcpy(b->remote.public_key, a->identity.public_key, WG_KEY);
	wg_remote_set(&a->remote, &a->identity);
	wg_remote_set(&b->remote, &b->identity);
}

static struct talk begin(const struct handshake_vector *v)
{
	struct talk t = {0};

	cr_assert_eq(wg_crypto_create(&t.crypto), 0);
	side_init(&t.initiator, v->initiator, v->ephemeral_initiator, v->preshared_key);
	side_init(&t.responder, v->responder, v->ephemeral_responder, v->preshared_key);
	meet(&t.initiator, &t.responder);
	return t;
}

static void stamp_of(uint64_t wall_ns, uint8_t out[WG_STAMP])
{
	uint64_t seconds = UINT64_C(0x400000000000000a) + wall_ns / WG_NS;

	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(seconds >> (56 - 8 * i));
	for (int i = 0; i < 4; i++)
		out[8 + i] = (uint8_t)(wall_ns % WG_NS >> (24 - 8 * i));
}

static void initiate(struct talk *t, const struct handshake_vector *v)
{
	uint8_t stamp[WG_STAMP];

	stamp_of(v->wall_ns, stamp);
	cr_assert(wg_noise_create_initiation(
		t->crypto, &t->initiator.identity, &t->initiator.remote, t->initiator.ephemeral,
		stamp, v->index_initiator, &t->initiator.handshake, &t->initiation));
}

static bool respond(struct talk *t, const struct handshake_vector *v)
{
	struct wg_greeting greeting;

	if (!wg_noise_read_initiation(t->crypto, &t->responder.identity, &t->initiation,
				      &greeting) ||
	    !wg_noise_accept_initiation(t->crypto, &t->responder.remote, &t->initiation, &greeting))
		return false;
	cr_assert_eq(memcmp(greeting.remote_static, t->initiator.identity.public_key, WG_KEY), 0);
	t->responder.handshake = greeting.handshake;
	return wg_noise_create_response(t->crypto, &t->responder.remote, t->responder.ephemeral,
					v->index_responder, &t->responder.handshake, &t->response);
}

static bool finish(struct talk *t)
{
	return wg_noise_accept_response(t->crypto, &t->initiator.identity, &t->initiator.remote,
					&t->response, &t->initiator.handshake);
}

static void expect(const char *name, const char *what, const void *actual, const char *hex)
{
	uint8_t expected[256];
	size_t n = pair_hex(hex, expected, sizeof(expected));

	for (size_t i = 0; i < n; i++)
		cr_assert_eq(((const uint8_t *)actual)[i], expected[i], "%s, %s: byte %zu", name,
			     what, i);
}

static void add_macs(struct wg_crypto *c, const struct wg_remote *to, void *message, size_t size)
{
	struct wg_cookie_jar jar = {0};

	wg_mac_keys_set(c, to->public_key, &jar.keys);
	wg_cookie_add_macs(c, &jar, message, size, 0);
}

Test(wireguard_noise, seeds)
{
	struct wg_crypto *c;
	uint8_t out[WG_KEY];

	cr_assert_eq(wg_crypto_create(&c), 0);
	wg_crypto_hash(c, "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s", 37, NULL, 0, out);
	expect("seed", "chain", out, VECTOR_CHAIN_SEED);
	wg_crypto_hash(c, out, WG_KEY, "WireGuard v1 zx2c4 Jason@zx2c4.com", 34, out);
	expect("seed", "hash", out, VECTOR_HASH_SEED);
	wg_crypto_destroy(c);
}

Test(wireguard_noise, handshakes_to_the_byte)
{
	for (size_t i = 0; i < COUNT(handshake_vectors); i++) {
		const struct handshake_vector *v = &handshake_vectors[i];
		struct talk t = begin(v);

		initiate(&t, v);
		add_macs(t.crypto, &t.initiator.remote, &t.initiation, sizeof(t.initiation));
		expect(v->name, "initiation", &t.initiation, v->initiation);
		cr_assert(respond(&t, v), "%s", v->name);
		add_macs(t.crypto, &t.responder.remote, &t.response, sizeof(t.response));
		expect(v->name, "response", &t.response, v->response);
		cr_assert(finish(&t), "%s", v->name);
		wg_noise_derive(t.crypto, &t.initiator.handshake, t.initiator.send_key,
				t.initiator.receive_key);
		wg_noise_derive(t.crypto, &t.responder.handshake, t.responder.send_key,
				t.responder.receive_key);
		expect(v->name, "key there", t.initiator.send_key, v->key_there);
		expect(v->name, "key there", t.responder.receive_key, v->key_there);
		expect(v->name, "key back", t.initiator.receive_key, v->key_back);
		expect(v->name, "key back", t.responder.send_key, v->key_back);
		wg_crypto_destroy(t.crypto);
	}
}

static void expect_data(const struct handshake_vector *v, const char *key_hex, uint32_t receiver,
			uint64_t counter, const char *data)
{
	struct wg_aead *aead;
	uint8_t key[WG_KEY];
	uint8_t plain[64];
	uint8_t out[128];
	size_t len = pair_hex(v->plain, plain, sizeof(plain));

	cr_assert_eq(wg_aead_create(WG_AEAD_FASTEST, &aead), 0);
	pair_hex(key_hex, key, WG_KEY);
	wg_data_header(out, receiver, counter);
	wg_aead_seal(aead, key, counter, plain, len, out + WG_DATA_HEADER);
	expect(v->name, "data", out, data);
	wg_aead_destroy(aead);
}

Test(wireguard_noise, data_to_the_byte)
{
	for (size_t i = 0; i < COUNT(handshake_vectors); i++) {
		const struct handshake_vector *v = &handshake_vectors[i];

		expect_data(v, v->key_there, v->index_responder, 0, v->data_there);
		expect_data(v, v->key_back, v->index_initiator, UINT64_C(1) << 40, v->data_back);
	}
}

/* Any bit of what is authenticated, in both messages; types and indices are the device's matter. */
Test(wireguard_noise, changed_messages_are_refused)
{
	const struct handshake_vector *v = &handshake_vectors[0];
	const size_t first = 8;
	const size_t end = sizeof(struct wg_initiation) - sizeof(struct wg_macs);
	struct talk t = begin(v);

	initiate(&t, v);
	for (size_t bit = 8 * first; bit < 8 * end; bit += 3) {
		uint8_t *byte = (uint8_t *)&t.initiation + bit / 8;

		/* The uppermost bit of a public key is not looked at by X25519, but hashed. */
		*byte ^= (uint8_t)(1 << bit % 8);
		cr_assert(!respond(&t, v), "bit %zu", bit);
		*byte ^= (uint8_t)(1 << bit % 8);
	}
	cr_assert(respond(&t, v));
	for (size_t bit = 8 * 12; bit < 8 * (sizeof(t.response) - sizeof(struct wg_macs)); bit++) {
		uint8_t *byte = (uint8_t *)&t.response + bit / 8;
		struct wg_handshake before = t.initiator.handshake;

		*byte ^= (uint8_t)(1 << bit % 8);
		cr_assert(!finish(&t), "bit %zu", bit);
		cr_assert_eq(memcmp(&before, &t.initiator.handshake, sizeof(before)), 0);
		*byte ^= (uint8_t)(1 << bit % 8);
	}
	cr_assert(finish(&t));
	cr_assert(!finish(&t), "a response is taken once");
	wg_crypto_destroy(t.crypto);
}

Test(wireguard_noise, ephemeral_keys_of_low_order_are_refused)
{
	const struct handshake_vector *v = &handshake_vectors[0];
	struct talk t = begin(v);

	initiate(&t, v);
	cr_assert(respond(&t, v));
	memset(t.response.ephemeral, 0, WG_KEY);
	cr_assert(!finish(&t));
	memset(t.initiation.ephemeral, 0, WG_KEY);
	t.initiation.ephemeral[0] = 1;
	cr_assert(!respond(&t, v));
	wg_crypto_destroy(t.crypto);
}
