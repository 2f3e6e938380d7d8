/* See wireguard_props.h. */
#include "tests/model/wireguard_props.h"

#include <string.h>

#include "dataplane/check.h"
#include "dataplane/wireguard/state.h"

/* Made by the first call, for all. */
static struct wg_device *device;
static struct wg_crypto *crypto;
static size_t sent_len;
static unsigned sent_count;
static uint64_t now_ns = 1000 * WG_NS;

static const uint8_t private_key[WG_KEY] = {8, 1, [31] = 64};
static const uint8_t peer_private[WG_KEY] = {16, 2, [31] = 64};
static const struct udp_endpoint from = {.addr = {192, 0, 2, 1}, .port = 7, .version = 4};

static bool record(void *context, const struct udp_endpoint *to, const uint8_t *data, size_t len,
		   uint8_t tos)
{
	(void)context;
	(void)to;
	(void)data;
	(void)tos;
	sent_len = len;
	sent_count++;
	return true;
}

static void create(void)
{
	const struct wg_device_options options = {
		.workers = 1, .aead = WG_AEAD_LIBCRYPTO, .send = record};
	struct wg_peer_change peer = {.set = WG_PEER_ENDPOINT, .endpoint = from};
	struct wg_changes changes = {.set = WG_DEVICE_PRIVATE_KEY, .peers = &peer, .peer_count = 1};

	memcpy(changes.private_key, private_key, WG_KEY);
	CHECK(wg_crypto_public(peer_private, peer.public_key));
	CHECK(wg_crypto_create(&crypto) == 0);
	CHECK(wg_device_create(&options, &device) == 0);
	CHECK(wg_device_apply(device, &changes, now_ns) == 0);
}

/* Who knows our public key can come this far: all of an initiation but what proves who sends it. */
static void make_greeting(uint8_t *data)
{
	struct wg_identity identity;
	struct wg_remote remote = {0};
	struct wg_handshake handshake;
	struct wg_initiation message;
	uint8_t ephemeral[WG_KEY];

	memcpy(ephemeral, data + 8, WG_KEY);
	wg_crypto_clamp(ephemeral);
	CHECK(wg_identity_set(&identity, peer_private) == 0);
	memcpy(remote.public_key, device->identity.public_key, WG_KEY);
	remote.usable = true;
	memcpy(remote.shared, data + 40, WG_KEY); /* not the one of the peer's key */
	if (!wg_noise_create_initiation(crypto, &identity, &remote, ephemeral, data + 72,
					wg_get32(data + 4), &handshake, &message))
		return;
	memcpy(data, &message, sizeof(message) - sizeof(struct wg_macs));
}

static void make_mac(uint8_t *data, size_t size)
{
	uint8_t *mac1 = data + size - sizeof(struct wg_macs);

	wg_crypto_mac(crypto, device->checker.keys.mac1, WG_KEY, data, (size_t)(mac1 - data), mac1);
}

void wireguard_props_hold(uint8_t flags, const uint8_t *data, size_t size)
{
	static const size_t sizes[] = {0, WG_INITIATION_SIZE, WG_RESPONSE_SIZE,
				       WG_COOKIE_REPLY_SIZE};
	uint8_t message[2048] = {0};
	bool load = flags & WIREGUARD_PROPS_LOAD;
	bool asks;

	if (!device)
		create();
	size = size < sizeof(message) ? size : sizeof(message);
	memcpy(message, data, size);
	if (flags & WIREGUARD_PROPS_TYPE) {
		uint32_t type = message[0] % 3 + 1;

		wg_put32(message, type);
		size = sizes[type];
	}
	if (flags & WIREGUARD_PROPS_NOISE && size == WG_INITIATION_SIZE)
		make_greeting(message);
	if (flags & WIREGUARD_PROPS_MAC && size >= sizeof(struct wg_macs))
		make_mac(message, size);
	sent_count = 0;
	now_ns += WG_NS / 1000;
	wg_receive(device, message, size, &from, load, now_ns);
	asks = load && (size == WG_INITIATION_SIZE || size == WG_RESPONSE_SIZE) &&
	       wg_get32(message) == (size == WG_INITIATION_SIZE ? WG_INITIATION : WG_RESPONSE) &&
	       wg_cookie_check_mac1(crypto, &device->checker, message, size);
	CHECK(sent_count == (asks ? 1 : 0));
	CHECK(!asks || (sent_len == WG_COOKIE_REPLY_SIZE && sent_len < size));
	CHECK(device->counters.handshakes == 0 && device->counters.responses_sent == 0);
	CHECK(device->counters.initiations_sent == 0);
}
