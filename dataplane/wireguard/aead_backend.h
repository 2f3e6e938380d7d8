/* How the libraries that seal and open come under one roof. For aead*.c alone. */
#ifndef SLUICE_DATAPLANE_WIREGUARD_AEAD_BACKEND_H
#define SLUICE_DATAPLANE_WIREGUARD_AEAD_BACKEND_H

#include "dataplane/wireguard/aead.h"

/* As the functions of aead.h; state is what create made. */
struct wg_aead_backend {
	enum wg_aead_kind kind;
	int (*create)(void **state);
	void (*destroy)(void *state);
	void (*seal)(void *state, const uint8_t key[WG_KEY], uint64_t counter, const uint8_t *in,
		     size_t len, uint8_t *out);
	bool (*open)(void *state, const uint8_t key[WG_KEY], uint64_t counter, const uint8_t *in,
		     size_t len, uint8_t *out);
	void (*forget)(void *state);
};

extern const struct wg_aead_backend wg_aead_libcrypto;
extern const struct wg_aead_backend wg_aead_ipsec_mb; /* create may say -ENOTSUP */

#endif
