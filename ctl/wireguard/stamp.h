/*
 * The last TAI64N stamp that a daemon's tunnels have sent, kept over restarts. A peer takes only
 * newer ones: if the clock went back in between, it would hear none of our initiations until the
 * clock has caught up, and if the clock is set by way of the tunnel, never.
 *
 * The file holds seconds since 1970, as a line. It is written when it is WG_STAMP_GAP behind and at
 * the end, so seldom; a life that ended without that is reckoned with by whoever finds the clock
 * behind the file.
 */
#ifndef SLUICE_CTL_WIREGUARD_STAMP_H
#define SLUICE_CTL_WIREGUARD_STAMP_H

#include <stdint.h>

#include "dataplane/wireguard/message.h"

#define WG_STAMP_GAP (180 * WG_NS)

enum {
	WG_STAMP_PATH_MAX = 256,
};

struct wg_stamp {
	char path[WG_STAMP_PATH_MAX]; /* "": none, it is too long */
	uint64_t kept_ns;             /* what the file holds; 0: nothing */
	uint64_t given_ns;            /* what devices began with */
};

/*
 * Find out what devices are to begin with: their wall_floor_ns, in given_ns.
 *
 * folder:  made if it is missing; its own folder is not
 * wall_ns: the clock of now, since 1970
 * Errors:  -ENAMETOOLONG, -EINVAL (no such line in the file), or those of reading it, but for
 *          -ENOENT; given_ns is then 0, and the rest as if there were no file
 */
int wg_stamp_open(struct wg_stamp *stamp, const char *folder, const char *name, uint64_t wall_ns);

/*
 * Write the file, all or nothing, if stamps were sent and it is as far behind as gap_ns.
 *
 * sent_ns: the last of all devices: wg_device_wall_floor
 * Errors:  those of writing; it is not tried again before the next gap
 */
int wg_stamp_keep(struct wg_stamp *stamp, uint64_t sent_ns, uint64_t gap_ns);

/* By how many seconds the clock is behind what was sent; 0: by none, or not worth a word. */
uint64_t wg_stamp_lag_s(uint64_t sent_ns, uint64_t wall_ns);

#endif
