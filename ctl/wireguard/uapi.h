/*
 * The configuration protocol of userspace WireGuard as text, as the program wg speaks it
 * (https://www.wireguard.com/xplatform/): what a "set" asks, and the answer to a "get".
 *
 * Errors are those that wg shows: -EINVAL, -EPROTO.
 */
#ifndef SLUICE_CTL_WIREGUARD_UAPI_H
#define SLUICE_CTL_WIREGUARD_UAPI_H

#include <stddef.h>
#include <stdio.h>

#include "dataplane/wireguard/changes.h"

struct wg_uapi_set {
	struct wg_changes changes; /* points into what follows */
	struct wg_peer_change *peers;
	struct wg_allowed_change *allowed;
	size_t peer_room;
	size_t allowed_count;
	size_t allowed_room;
};

/*
 * Read the lines after "set=1", without the empty line that ends them.
 *
 * out:    the caller's, until wg_uapi_free
 * line:   on error, which one is wrong, from 1; else untouched
 * Errors: -EPROTO (no "key=value"), -EINVAL (a key, a value, or out of place), -ENOMEM; nothing is
 *         then left behind
 */
int wg_uapi_parse(const char *text, size_t size, struct wg_uapi_set *out, unsigned *line);

/* Wipes the keys. A set that is all zero is nothing to free. */
void wg_uapi_free(struct wg_uapi_set *set);

/* Print a device as the answer to "get=1", up to the line of its errno. */
void wg_uapi_print(const struct wg_snapshot *device, FILE *out);

#endif
