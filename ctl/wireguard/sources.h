/*
 * Whether peers are still spoken to from the right address. An answer leaves from the address that
 * was spoken to, as long as the way to the peer leaves by the interface where the peer was heard:
 * if routes change (a cable is plugged in while the radio stays), the old address would go out by
 * the new interface, where nobody lets it through.
 *
 * Threads: one at a time.
 */
#ifndef SLUICE_CTL_WIREGUARD_SOURCES_H
#define SLUICE_CTL_WIREGUARD_SOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/wireguard/device.h"

struct wg_sources;

/*
 * Watch the routes of this network namespace.
 *
 * out:    the caller's, until wg_sources_close
 * Errors: -ENOMEM, or the system's
 */
int wg_sources_open(struct wg_sources **out);
void wg_sources_close(struct wg_sources *sources); /* NULL does nothing */

/* Readable when routes have changed. */
int wg_sources_fd(const struct wg_sources *sources);

/*
 * Take the news; to be called once a second, too. After the last change a few more looks are due, a
 * second apart: what was on its way brings an old address back.
 *
 * Returns: whether wg_sources_review of all devices is due
 */
bool wg_sources_due(struct wg_sources *sources, uint64_t now_ms);

void wg_sources_review(struct wg_sources *sources, struct wg_device *device);

#endif
