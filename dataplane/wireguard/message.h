/*
 * The four messages on the wire, and the protocol's constants. All numbers are little endian.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_MESSAGE_H
#define SLUICE_DATAPLANE_WIREGUARD_MESSAGE_H

#include <stdint.h>
#include <string.h>

enum {
	WG_KEY = 32, /* bytes of any key, and of a hash */
	WG_TAG = 16,
	WG_COOKIE = 16,
	WG_NONCE24 = 24, /* of XChaCha20-Poly1305 */
	WG_STAMP = 12,   /* TAI64N */

	WG_INITIATION = 1,
	WG_RESPONSE = 2,
	WG_COOKIE_REPLY = 3,
	WG_DATA = 4,

	WG_INITIATION_SIZE = 148,
	WG_RESPONSE_SIZE = 92,
	WG_COOKIE_REPLY_SIZE = 64,
	WG_DATA_HEADER = 16,
	WG_COUNTER = 8,                             /* where it is in a data message */
	WG_DATA_OVERHEAD = WG_DATA_HEADER + WG_TAG, /* the size of a keepalive */
	WG_PADDING = 16,                            /* plain texts are filled up to a multiple */

	WG_TOS_HANDSHAKE = 0x88, /* AF41 */
};

#define WG_NS UINT64_C(1000000000) /* a second */

#define WG_REKEY_AFTER_MESSAGES (UINT64_C(1) << 60)
#define WG_REJECT_AFTER_MESSAGES (UINT64_MAX - (UINT64_C(1) << 13))
#define WG_REKEY_AFTER_TIME (120 * WG_NS)
#define WG_REJECT_AFTER_TIME (180 * WG_NS)
#define WG_REKEY_ATTEMPT_TIME (90 * WG_NS)
#define WG_REKEY_TIMEOUT (5 * WG_NS)
#define WG_REKEY_JITTER (333 * WG_NS / 1000)
#define WG_KEEPALIVE_TIMEOUT (10 * WG_NS)

struct wg_macs {
	uint8_t mac1[WG_COOKIE];
	uint8_t mac2[WG_COOKIE];
};

struct wg_initiation {
	uint8_t type[4];
	uint8_t sender[4];
	uint8_t ephemeral[WG_KEY];
	uint8_t sealed_static[WG_KEY + WG_TAG];
	uint8_t sealed_stamp[WG_STAMP + WG_TAG];
	struct wg_macs macs;
};

struct wg_response {
	uint8_t type[4];
	uint8_t sender[4];
	uint8_t receiver[4];
	uint8_t ephemeral[WG_KEY];
	uint8_t sealed_nothing[WG_TAG];
	struct wg_macs macs;
};

struct wg_cookie_reply {
	uint8_t type[4];
	uint8_t receiver[4];
	uint8_t nonce[WG_NONCE24];
	uint8_t sealed_cookie[WG_COOKIE + WG_TAG];
};

/* Followed by the sealed packet and its tag. */
struct wg_data {
	uint8_t type[4];
	uint8_t receiver[4];
	uint8_t counter[8];
};

_Static_assert(sizeof(struct wg_initiation) == WG_INITIATION_SIZE, "as on the wire");
_Static_assert(sizeof(struct wg_response) == WG_RESPONSE_SIZE, "as on the wire");
_Static_assert(sizeof(struct wg_cookie_reply) == WG_COOKIE_REPLY_SIZE, "as on the wire");
_Static_assert(sizeof(struct wg_data) == WG_DATA_HEADER, "as on the wire");

static inline uint32_t wg_get32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

static inline void wg_put32(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)value;
	bytes[1] = (uint8_t)(value >> 8);
	bytes[2] = (uint8_t)(value >> 16);
	bytes[3] = (uint8_t)(value >> 24);
}

static inline uint64_t wg_get64(const uint8_t *bytes)
{
	return wg_get32(bytes) | (uint64_t)wg_get32(bytes + 4) << 32;
}

static inline void wg_put64(uint8_t *bytes, uint64_t value)
{
	wg_put32(bytes, (uint32_t)value);
	wg_put32(bytes + 4, (uint32_t)(value >> 32));
}

/* Write the header of a data message. */
static inline void wg_data_header(uint8_t *out, uint32_t receiver, uint64_t counter)
{
	wg_put32(out, WG_DATA);
	wg_put32(out + 4, receiver);
	wg_put64(out + 8, counter);
}

#endif
