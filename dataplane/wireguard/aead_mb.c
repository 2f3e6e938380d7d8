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

enum {
	NONCE = 12,
	STACK = 4096, /* more than the library takes of it */
};

struct mb {
	void *library;
	IMB_MGR *manager;
	void (*manager_free)(IMB_MGR *manager);
};

static void mb_destroy(void *state)
{
	struct mb *mb = state;

	if (mb->manager)
		mb->manager_free(mb->manager);
	dlclose(mb->library);
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
	struct mb *mb = malloc(sizeof(*mb));
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

/*
 * As a job, which makes the tag's key and the first 15 blocks in one go: a third faster than the
 * library's direct calls. It is done when the call returns: none is queued for this cipher.
 */
static void run(struct mb *mb, IMB_CIPHER_DIRECTION direction, const uint8_t key[WG_KEY],
		uint64_t counter, const uint8_t *in, size_t len, uint8_t *out, uint8_t *tag)
{
	IMB_JOB *job = IMB_GET_NEXT_JOB(mb->manager);
	uint8_t nonce[NONCE];

	wg_put32(nonce, 0);
	wg_put64(nonce + 4, counter);
	*job = (IMB_JOB){
		.cipher_mode = IMB_CIPHER_CHACHA20_POLY1305,
		.hash_alg = IMB_AUTH_CHACHA20_POLY1305,
		.cipher_direction = direction,
		.chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH
							    : IMB_ORDER_HASH_CIPHER,
		.enc_keys = key,
		.dec_keys = key,
		.key_len_in_bytes = WG_KEY,
		.iv = nonce,
		.iv_len_in_bytes = sizeof(nonce),
		.src = in,
		.dst = out,
		.msg_len_to_cipher_in_bytes = len,
		.msg_len_to_hash_in_bytes = len,
		.auth_tag_output = tag,
		.auth_tag_output_len_in_bytes = WG_TAG,
	};
	job = IMB_SUBMIT_JOB_NOCHECK(mb->manager);
	CHECK(job && job->status == IMB_STATUS_COMPLETED);
}

static void mb_seal(void *state, const uint8_t key[WG_KEY], uint64_t counter, const uint8_t *in,
		    size_t len, uint8_t *out)
{
	run(state, IMB_DIR_ENCRYPT, key, counter, in, len, out, out + len);
}

static bool mb_open(void *state, const uint8_t key[WG_KEY], uint64_t counter, const uint8_t *in,
		    size_t len, uint8_t *out)
{
	uint8_t tag[WG_TAG];

	len -= WG_TAG;
	run(state, IMB_DIR_DECRYPT, key, counter, in, len, out, tag);
	return wg_crypto_equal(tag, in + len, WG_TAG);
}

/* The manager has had pointers only, but the library's stack a packet's tag key and key stream. */
static void mb_forget(void *state)
{
	uint8_t stack[STACK];

	(void)state;
	wg_crypto_wipe(stack, sizeof(stack));
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
