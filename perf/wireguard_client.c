/* See wireguard_client.h. */
#include "perf/wireguard_client.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
	STAMP_SECONDS = 10, /* TAI is ahead of UTC by so many at 1970 */
};

int wgclient_init(struct wgclient *c, struct wg_crypto *crypto, const struct wgbench_key *key,
		  const uint8_t remote[WG_KEY], uint32_t index)
{
	int rc;

	*c = (struct wgclient){.index = index};
	rc = wg_identity_set(&c->identity, key->private);
	if (rc < 0)
		return rc;
	memcpy(c->remote.public_key, remote, WG_KEY);
	wg_remote_set(&c->remote, &c->identity);
	wg_mac_keys_set(crypto, remote, &c->jar.keys);
	return 0;
}

int wgclient_begin(struct wgclient *c, struct wg_crypto *crypto, uint8_t out[WG_INITIATION_SIZE])
{
	uint8_t ephemeral[WG_KEY], stamp[WG_STAMP];
	struct wg_initiation message;
	struct timespec now;
	uint64_t seconds;

	if (getrandom(ephemeral, sizeof(ephemeral), 0) != sizeof(ephemeral))
		return -EIO;
	wg_crypto_clamp(ephemeral);
	clock_gettime(CLOCK_REALTIME, &now);
	seconds = (UINT64_C(1) << 62) + STAMP_SECONDS + (uint64_t)now.tv_sec;
	for (unsigned i = 0; i < 8; i++)
		stamp[i] = (uint8_t)(seconds >> (56 - 8 * i));
	for (unsigned i = 0; i < 4; i++)
		stamp[8 + i] = (uint8_t)((uint64_t)now.tv_nsec >> (24 - 8 * i));
	if (!wg_noise_create_initiation(crypto, &c->identity, &c->remote, ephemeral, stamp,
					c->index, &c->handshake, &message))
		return -EIO;
	memcpy(out, &message, sizeof(message));
	wg_cookie_add_macs(crypto, &c->jar, out, sizeof(message), 0);
	return 0;
}

bool wgclient_answer(struct wgclient *c, struct wg_crypto *crypto,
		     const uint8_t bytes[WG_RESPONSE_SIZE])
{
	struct wg_response message;

	memcpy(&message, bytes, sizeof(message));
	if (wg_get32(message.receiver) != c->index ||
	    c->handshake.state != WG_HANDSHAKE_INITIATION_CREATED ||
	    !wg_noise_accept_response(crypto, &c->identity, &c->remote, &message, &c->handshake))
		return false;
	wg_noise_derive(crypto, &c->handshake, c->send_key, c->receive_key);
	c->remote_index = wg_get32(message.sender);
	c->counter = 0;
	c->ready = true;
	return true;
}

size_t wgclient_seal(struct wgclient *c, struct wg_aead *aead, const uint8_t *packet, size_t size,
		     uint8_t *out)
{
	wg_data_header(out, c->remote_index, c->counter);
	wg_aead_seal(aead, c->send_key, c->counter++, packet, size, out + WG_DATA_HEADER);
	return WG_DATA_OVERHEAD + size;
}
