/*
 * ChaCha20-Poly1305 by libipsec-mb, see aead.h.
 *
 * The library is looked for at run time and not linked: it is there on x86-64 alone, and Sluice
 * runs without it.
 */
#include "dataplane/wireguard/aead_backend.h"

#include <errno.h>

#if defined(__linux__) && defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)

#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <stdlib.h>

#include "dataplane/check.h"
#include "dataplane/wireguard/crypto.h"

#define LIBRARY "libIPSec_MB.so.1"

struct mb {
	void *library;
	IMB_MGR *manager;
	void (*manager_free)(IMB_MGR *manager);
	struct chacha20_poly1305_context_data context;
};

static void mb_destroy(void *state)
{
	struct mb *mb = state;

	if (mb->manager)
		mb->manager_free(mb->manager);
	dlclose(mb->library);
	wg_crypto_wipe(mb, sizeof(*mb));
	free(mb);
}

/* ISO C knows no conversion from an object's pointer to a function's; POSIX wants this one. */
static bool find(void *library, const char *name, void *function)
{
	void *found = dlsym(library, name);

	memcpy(function, &found, sizeof(found));
	return found;
}

static int mb_create(void **out)
{
	struct mb *mb = aligned_alloc(64, (sizeof(*mb) + 63) / 64 * 64);
	IMB_MGR *(*manager_alloc)(uint64_t flags);
	void (*manager_init)(IMB_MGR * manager, IMB_ARCH * arch);
	int rc = -ENOTSUP;

	if (!mb)
		return -ENOMEM;
	*mb = (struct mb){.library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL)};
	if (!mb->library)
		goto free_mb;
	if (!find(mb->library, "alloc_mb_mgr", &manager_alloc) ||
	    !find(mb->library, "init_mb_mgr_auto", &manager_init) ||
	    !find(mb->library, "free_mb_mgr", &mb->manager_free))
		goto close;
	rc = -ENOMEM;
	mb->manager = manager_alloc(0);
	if (!mb->manager)
		goto close;
	manager_init(mb->manager, NULL);
	*out = mb;
	return 0;
close:
	dlclose(mb->library);
free_mb:
	free(mb);
	return rc;
}

static void begin(struct mb *mb, const uint8_t key[WG_KEY], uint64_t counter)
{
	uint8_t nonce[12];

	wg_put32(nonce, 0);
	wg_put64(nonce + 4, counter);
	IMB_CHACHA20_POLY1305_INIT(mb->manager, key, &mb->context, nonce, nonce, 0);
}

static void mb_seal(void *state, const uint8_t key[WG_KEY], uint64_t counter, const uint8_t *in,
		    size_t len, uint8_t *out)
{
	struct mb *mb = state;

	begin(mb, key, counter);
	if (len > 0)
		IMB_CHACHA20_POLY1305_ENC_UPDATE(mb->manager, key, &mb->context, out, in, len);
	IMB_CHACHA20_POLY1305_ENC_FINALIZE(mb->manager, &mb->context, out + len, WG_TAG);
}

static bool mb_open(void *state, const uint8_t key[WG_KEY], uint64_t counter, const uint8_t *in,
		    size_t len, uint8_t *out)
{
	struct mb *mb = state;
	uint8_t tag[WG_TAG];

	len -= WG_TAG;
	begin(mb, key, counter);
	if (len > 0)
		IMB_CHACHA20_POLY1305_DEC_UPDATE(mb->manager, key, &mb->context, out, in, len);
	IMB_CHACHA20_POLY1305_DEC_FINALIZE(mb->manager, &mb->context, tag, WG_TAG);
	return wg_crypto_equal(tag, in + len, WG_TAG);
}

static void mb_forget(void *state)
{
	struct mb *mb = state;

	wg_crypto_wipe(&mb->context, sizeof(mb->context));
}

const struct wg_aead_backend wg_aead_ipsec_mb = {
	.kind = WG_AEAD_IPSEC_MB,
	.create = mb_create,
	.destroy = mb_destroy,
	.seal = mb_seal,
	.open = mb_open,
	.forget = mb_forget,
};

#else

static int mb_create(void **out)
{
	(void)out;
	return -ENOTSUP;
}

const struct wg_aead_backend wg_aead_ipsec_mb = {.kind = WG_AEAD_IPSEC_MB, .create = mb_create};

#endif
