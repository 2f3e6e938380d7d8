/* Messages that a peer's device would not send: for tests. */
#ifndef SLUICE_TESTS_WIREGUARD_FORGE_H
#define SLUICE_TESTS_WIREGUARD_FORGE_H

#include "dataplane/wireguard/cookie.h"
#include "dataplane/wireguard/noise.h"
#include "tests/wireguard/pair.h"

/* An initiation from a private key to the device of an end, as good as any. */
struct pair_datagram forge_initiation(struct pair *pair, unsigned to,
				      const uint8_t private_key[WG_KEY], uint64_t stamp_ns);

/* Make the MACs right after a change. cookie: NULL if there is none */
void forge_macs(struct pair *pair, unsigned to, struct pair_datagram *datagram,
		const uint8_t *cookie);

/* What an end's device has sent first of what is not delivered; the test fails if there is none. */
struct pair_datagram forge_take(struct pair *pair, unsigned end);

/* Put a device under load for the next second. */
void forge_load(struct pair *pair, unsigned end);

struct wg_device_counters forge_counters(struct pair *pair, unsigned end);

/* Datagrams of all types that a device ever sent. */
unsigned forge_sent(const struct pair *pair, unsigned end);

#endif
