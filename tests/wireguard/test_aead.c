/* Sealing and opening: each library against known answers, and both against each other. */
#include "dataplane/wireguard/aead.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/wireguard/pair.h"
#include "tests/wireguard/vectors.h"

enum {
	LENGTH_MAX = 2048,
	KINDS = 2,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const enum wg_aead_kind kinds[KINDS] = {WG_AEAD_LIBCRYPTO, WG_AEAD_IPSEC_MB};

/* Leaves out what this machine has not. Returns: how many there are */
static unsigned create_all(struct wg_aead *out[KINDS])
{
	unsigned n = 0;

	for (unsigned i = 0; i < KINDS; i++) {
		int rc = wg_aead_create(kinds[i], &out[n]);

		cr_assert(rc == 0 || (rc == -ENOTSUP && kinds[i] == WG_AEAD_IPSEC_MB),
			  "kind %d: %s", (int)kinds[i], strerror(-rc));
		n += rc == 0;
	}
	return n;
}

static void destroy_all(struct wg_aead *all[KINDS], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		wg_aead_destroy(all[i]);
}

Test(wireguard_aead, known_answers)
{
	struct wg_aead *all[KINDS];
	unsigned n = create_all(all);

	for (unsigned k = 0; k < n; k++)
		for (size_t i = 0; i < COUNT(aead_vectors); i++) {
			const struct aead_vector *v = &aead_vectors[i];
			uint8_t key[WG_KEY];
			uint8_t plain[256];
			uint8_t expected[256];
			uint8_t out[256];
			size_t len = pair_hex(v->plain, plain, sizeof(plain));

			pair_hex(v->key, key, WG_KEY);
			pair_hex(v->sealed, expected, sizeof(expected));
			wg_aead_seal(all[k], key, v->counter, plain, len, out);
			cr_assert_eq(memcmp(out, expected, len + WG_TAG), 0,
				     "kind %d, %zu bytes, counter %llu", (int)wg_aead_kind(all[k]),
				     len, (unsigned long long)v->counter);
		}
	destroy_all(all, n);
}

/* Each length, in place and not, with the memory behind untouched. */
Test(wireguard_aead, all_lengths_are_equal_in_both)
{
	static uint8_t plain[LENGTH_MAX];
	static uint8_t sealed[KINDS][LENGTH_MAX + WG_TAG + 1];
	static uint8_t opened[LENGTH_MAX + WG_TAG];
	struct wg_aead *all[KINDS];
	unsigned n = create_all(all);
	uint8_t key[WG_KEY];

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t len = 0; len <= LENGTH_MAX; len++) {
		memset(key, (int)len, sizeof(key));
		for (unsigned k = 0; k < n; k++) {
			sealed[k][len + WG_TAG] = 0xa5;
			if (len % 2 == 0) {
				memcpy(sealed[k], plain, len);
				wg_aead_seal(all[k], key, len << 20, sealed[k], len, sealed[k]);
			} else {
				wg_aead_seal(all[k], key, len << 20, plain, len, sealed[k]);
			}
			cr_assert_eq(sealed[k][len + WG_TAG], 0xa5, "%zu bytes", len);
			cr_assert_eq(memcmp(sealed[0], sealed[k], len + WG_TAG), 0, "%zu bytes",
				     len);
		}
		for (unsigned k = 0; k < n; k++) {
			const uint8_t *in = sealed[k];

			if (len % 4 < 2) {
				memcpy(opened, in, len + WG_TAG);
				in = opened;
			}
			cr_assert(wg_aead_open(all[k], key, len << 20, in, len + WG_TAG, opened),
				  "kind %u, %zu bytes", k, len);
			cr_assert_eq(memcmp(opened, plain, len), 0, "kind %u, %zu bytes", k, len);
		}
	}
	destroy_all(all, n);
}

Test(wireguard_aead, what_was_changed_does_not_open)
{
	struct wg_aead *all[KINDS];
	unsigned n = create_all(all);
	const size_t len = 80;

	for (unsigned k = 0; k < n; k++) {
		uint8_t key[WG_KEY] = {3};
		uint8_t sealed[96] = {0};
		uint8_t out[96];

		wg_aead_seal(all[k], key, 9, sealed, len, sealed);
		for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
			sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
			cr_assert(!wg_aead_open(all[k], key, 9, sealed, sizeof(sealed), out),
				  "kind %u, bit %zu", k, bit);
			sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (size_t cut = WG_TAG; cut < sizeof(sealed); cut++)
			cr_assert(!wg_aead_open(all[k], key, 9, sealed, cut, out), "%zu bytes",
				  cut);
		cr_assert(!wg_aead_open(all[k], key, 8, sealed, sizeof(sealed), out));
		key[31] ^= 1;
		cr_assert(!wg_aead_open(all[k], key, 9, sealed, sizeof(sealed), out));
		key[31] ^= 1;
		wg_aead_forget(all[k]);
		cr_assert(wg_aead_open(all[k], key, 9, sealed, sizeof(sealed), out));
	}
	destroy_all(all, n);
}

Test(wireguard_aead, the_fastest_is_one_of_them)
{
	struct wg_aead *aead;

	cr_assert_eq(wg_aead_create(WG_AEAD_FASTEST, &aead), 0);
	cr_assert(wg_aead_kind(aead) == WG_AEAD_LIBCRYPTO ||
		  wg_aead_kind(aead) == WG_AEAD_IPSEC_MB);
	wg_aead_destroy(aead);
}
