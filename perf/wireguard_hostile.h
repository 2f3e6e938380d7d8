/* Datagrams that no honest peer sends: of all types and lengths, made up or made of real ones. */
#ifndef SLUICE_PERF_WIREGUARD_HOSTILE_H
#define SLUICE_PERF_WIREGUARD_HOSTILE_H

#include <stdint.h>
#include <sys/uio.h>

#include "perf/wireguard_client.h"

enum {
	HOSTILE_SIZE_MAX = 2048,
	HOSTILE_POOL = 1 << 20, /* random bytes, of which tails are cut */
	HOSTILE_FORGED = 4096,  /* initiations whose first MAC is right */
	HOSTILE_REAL_DATA = 64,
};

struct hostile {
	uint64_t random;
	uint32_t session;                       /* index of the real one at the other side */
	uint8_t initiation[WG_INITIATION_SIZE]; /* taken already */
	uint8_t data[HOSTILE_REAL_DATA][WG_DATA_OVERHEAD + HOSTILE_SIZE_MAX / 2]; /* the same */
	uint8_t forged[HOSTILE_FORGED][WG_INITIATION_SIZE];
	uint8_t responses[HOSTILE_FORGED][WG_RESPONSE_SIZE];
	uint8_t pool[HOSTILE_POOL];
};

/*
 * Fill in what is forged, and seal real data.
 *
 * client: has a session
 * Errors: -EIO
 */
int hostile_init(struct hostile *hostile, struct wgclient *client, struct wg_crypto *crypto,
		 struct wg_aead *aead);

static inline uint64_t hostile_random(struct hostile *h)
{
	h->random ^= h->random << 13;
	h->random ^= h->random >> 7;
	h->random ^= h->random << 17;
	return h->random;
}

/*
 * Make one.
 *
 * head:  HOSTILE_SIZE_MAX bytes, for its beginning
 * parts: its beginning and its tail, which stays in the pool
 */
void hostile_next(struct hostile *hostile, uint8_t *head, struct iovec parts[2]);

#endif
