/* Primitives: published vectors, those of another implementation, and edge cases. */
#include "dataplane/wireguard/crypto.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/wireguard/pair.h"
#include "tests/wireguard/vectors.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct wg_crypto *create(void)
{
	struct wg_crypto *c;

	cr_assert_eq(wg_crypto_create(&c), 0);
	return c;
}

static void expect(const char *what, const uint8_t *actual, const char *hex)
{
	uint8_t expected[2048];
	size_t n = pair_hex(hex, expected, sizeof(expected));

	for (size_t i = 0; i < n; i++)
		cr_assert_eq(actual[i], expected[i], "%s: byte %zu is %02x, expected %02x of %s",
			     what, i, actual[i], expected[i], hex);
}

Test(wireguard_crypto, hash_of_rfc7693)
{
	struct wg_crypto *c = create();
	uint8_t out[WG_KEY];

	wg_crypto_hash(c, "a", 1, "bc", 2, out);
	expect("abc", out, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
	wg_crypto_destroy(c);
}

Test(wireguard_crypto, key_derivation)
{
	struct wg_crypto *c = create();

	for (size_t i = 0; i < COUNT(kdf_vectors); i++) {
		const struct kdf_vector *v = &kdf_vectors[i];
		uint8_t key[WG_KEY] = {0}; /* a shorter key is one with zeros behind */
		uint8_t data[128];
		size_t size = pair_hex(v->data, data, sizeof(data));

		pair_hex(v->key, key, sizeof(key));
		for (unsigned n = 1; n <= 3; n++) {
			uint8_t out[3 * WG_KEY];
			char hex[2 * sizeof(out) + 1] = {0};

			memcpy(hex, v->out, (size_t)2 * n * WG_KEY);
			wg_crypto_kdf(c, key, data, size, n, out);
			expect(v->data, out, hex);
		}
	}
	wg_crypto_destroy(c);
}

Test(wireguard_crypto, keyed_mac)
{
	struct wg_crypto *c = create();

	for (size_t i = 0; i < COUNT(mac_vectors); i++) {
		const struct mac_vector *v = &mac_vectors[i];
		uint8_t key[WG_KEY];
		uint8_t data[256];
		uint8_t out[WG_COOKIE];
		size_t key_size = pair_hex(v->key, key, sizeof(key));
		size_t size = pair_hex(v->data, data, sizeof(data));

		wg_crypto_mac(c, key, key_size, data, size, out);
		expect(v->data, out, v->out);
	}
	wg_crypto_destroy(c);
}

/* RFC 7748, section 5.2. */
static const struct {
	const char *private_key;
	const char *public_key;
	const char *shared;
} dh_vectors[] = {
	{"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
	 "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
	 "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
	{"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
	 "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
	 "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
};

Test(wireguard_crypto, x25519)
{
	for (size_t i = 0; i < COUNT(dh_vectors); i++) {
		uint8_t private_key[WG_KEY];
		uint8_t public_key[WG_KEY];
		uint8_t out[WG_KEY];

		pair_hex(dh_vectors[i].private_key, private_key, WG_KEY);
		pair_hex(dh_vectors[i].public_key, public_key, WG_KEY);
		cr_assert(wg_crypto_dh(private_key, public_key, out), "case %zu", i);
		expect(dh_vectors[i].public_key, out, dh_vectors[i].shared);
	}
}

/* The points whose order divides 8, p and p + 1 among them; the uppermost bit does not count. */
static const char *const low_order[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

Test(wireguard_crypto, x25519_refuses_points_of_low_order)
{
	static const uint8_t zero[WG_KEY];

	for (size_t i = 0; i < 2 * COUNT(low_order); i++) {
		uint8_t private_key[WG_KEY] = {8, [31] = 64};
		uint8_t public_key[WG_KEY];
		uint8_t out[WG_KEY] = {1};

		pair_hex(low_order[i / 2], public_key, WG_KEY);
		if (i % 2 == 1)
			public_key[31] |= 128;
		cr_assert(!wg_crypto_dh(private_key, public_key, out), "%s", low_order[i / 2]);
		cr_assert_eq(memcmp(out, zero, WG_KEY), 0, "%s", low_order[i / 2]);
	}
}

/* draft-irtf-cfrg-xchacha-03, section 2.2.1. */
Test(wireguard_crypto, hchacha20)
{
	uint8_t key[WG_KEY];
	uint8_t nonce[16];
	uint8_t out[WG_KEY];

	pair_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", key, WG_KEY);
	pair_hex("000000090000004a0000000031415927", nonce, sizeof(nonce));
	wg_crypto_hchacha(key, nonce, out);
	expect("hchacha20", out,
	       "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc");
}

/* The same draft, appendix A.3.1. */
Test(wireguard_crypto, xchacha20_poly1305)
{
	static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
				   "only one tip for the future, sunscreen would be it.";
	struct wg_crypto *c = create();
	uint8_t key[WG_KEY];
	uint8_t nonce[WG_NONCE24];
	uint8_t ad[12];
	uint8_t sealed[sizeof(text) - 1 + WG_TAG];
	uint8_t opened[sizeof(text)];

	pair_hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", key, WG_KEY);
	pair_hex("404142434445464748494a4b4c4d4e4f5051525354555657", nonce, WG_NONCE24);
	pair_hex("50515253c0c1c2c3c4c5c6c7", ad, sizeof(ad));
	wg_crypto_xseal(c, key, nonce, ad, sizeof(ad), (const uint8_t *)text, sizeof(text) - 1,
			sealed);
	expect("sealed", sealed,
	       "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
	       "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
	       "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
	       "21f9664c97637da9768812f615c68b13b52e"
	       "c0875924c1c7987947deafd8780acf49");
	cr_assert(wg_crypto_xopen(c, key, nonce, ad, sizeof(ad), sealed, sizeof(sealed), opened));
	cr_assert_eq(memcmp(opened, text, sizeof(text) - 1), 0);
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit += 5) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert(!wg_crypto_xopen(c, key, nonce, ad, sizeof(ad), sealed, sizeof(sealed),
					   opened),
			  "bit %zu", bit);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	ad[0] ^= 1;
	cr_assert(!wg_crypto_xopen(c, key, nonce, ad, sizeof(ad), sealed, sizeof(sealed), opened));
	wg_crypto_destroy(c);
}
