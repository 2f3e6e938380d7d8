/*
 * Two dataplanes with threads of their own and a tunnel between them, on devices and sockets in
 * memory. What cannot be done ends the program.
 */
#ifndef SLUICE_TESTS_MODEL_ENDS_H
#define SLUICE_TESTS_MODEL_ENDS_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/dataplane.h"
#include "dataplane/wireguard/tunnel.h"
#include "tun/tun.h"

struct ends_end {
	struct tun *tun;
	struct wg_tunnel *tunnel;
	struct dataplane *dataplane;
	uint8_t private_key[WG_KEY];
	uint8_t public_key[WG_KEY];
};

/* Ends the program if it is not so. */
void ends_must(bool good, const char *what);

/* Open both, with so many workers each, which know each other; then dataplane_start. */
void ends_open(struct ends_end ends[2], const unsigned workers[2]);
void ends_close(struct ends_end ends[2]);

/* Give an end the other as its peer, to which all addresses lead; or take it away. */
void ends_set_peer(struct ends_end ends[2], unsigned end, bool there);

#endif
