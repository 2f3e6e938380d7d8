/*
 * The window of counters that a session has seen: RFC 6479, 8192 bits. A counter may be up to 8128
 * behind the highest.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_REPLAY_H
#define SLUICE_DATAPLANE_WIREGUARD_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

enum {
	WG_REPLAY_BITS = 8192,
	WG_REPLAY_WINDOW = WG_REPLAY_BITS - 64,
};

/* All zero: nothing has been seen. */
struct wg_replay {
	uint64_t top; /* the highest counter that was accepted, plus one */
	uint64_t bits[WG_REPLAY_BITS / 64];
};

/*
 * Accept a counter once. Only for packets that are authentic.
 *
 * Returns: false if it was seen, is too old, or is WG_REJECT_AFTER_MESSAGES or more
 */
bool wg_replay_accept(struct wg_replay *replay, uint64_t counter);

#endif
