/*
 * A device brought to what a file says, in one step: what `wg syncconf` does. Sessions of peers
 * that stay go on.
 */
#ifndef SLUICE_CTL_WIREGUARD_SYNC_H
#define SLUICE_CTL_WIREGUARD_SYNC_H

#include "ctl/wireguard/quick.h"
#include "dataplane/wireguard/device.h"

/*
 * Make keys, peers, their addresses and their settings those of a file. Its port, and where a peer
 * is, count only if it says something else than before: a peer may have moved since.
 *
 * was:    what the file said before; endpoints of both by wg_quick_resolve
 * Errors: as wg_device_apply; nothing has then changed
 */
int wg_sync_to_file(struct wg_device *device, const struct wg_quick *was,
		    const struct wg_quick *want, uint64_t now_ns);

/* Make a device what it was when it was read. Errors: as wg_device_apply */
int wg_sync_back(struct wg_device *device, const struct wg_snapshot *was, uint64_t now_ns);

#endif
