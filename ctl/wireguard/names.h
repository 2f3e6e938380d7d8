/*
 * Endpoints that are names: looked up when they are new, and again when their peer is silent, by a
 * thread of their own, so that nobody else waits for who answers such questions.
 *
 * Threads: any but that one, and none that is a reader of dataplane/route.h.
 */
#ifndef SLUICE_CTL_WIREGUARD_NAMES_H
#define SLUICE_CTL_WIREGUARD_NAMES_H

#include <stdint.h>

#include "ctl/wireguard/quick.h"
#include "dataplane/wireguard/device.h"

struct wg_names;

struct wg_names_options {
	/* As wg_quick_look_up, which it is if NULL. Called without any lock. */
	int (*look_up)(void *context, const struct wg_quick_host *host, struct udp_endpoint *out);
	void *context;

	/* How long from one look at a peer to the next; it doubles while nothing comes of it. */
	uint64_t missing_ns; /* of a name that was not found. 0: 1 s */
	uint64_t silent_ns;  /* of one that was. 0: 30 s */
	uint64_t most_ns;    /* 0: 120 s */
};

/*
 * Begin with no names, and no thread before there is one.
 *
 * out:    the caller's, until wg_names_destroy
 * Errors: -ENOMEM
 */
int wg_names_create(const struct wg_names_options *options, struct wg_names **out);

/*
 * Nothing is done to any device from now on. A look-up that goes on is not waited for: its thread
 * ends when it comes back. NULL does nothing.
 */
void wg_names_destroy(struct wg_names *names);

/*
 * The names of a device are those of this file now, for peers whose endpoint wg_quick_resolve has
 * left open. What was known of a name that stays is kept.
 *
 * device: must outlive names
 * quick:  copied
 * Errors: -ENOMEM, -EAGAIN (no thread); nothing has then changed
 */
int wg_names_set(struct wg_names *names, struct wg_device *device, const struct wg_quick *quick);

/* Somebody else says now where a peer is; public_key NULL: all of the device's. */
void wg_names_forget(struct wg_names *names, const struct wg_device *device,
		     const uint8_t *public_key);

/*
 * Wait until every name has been looked up once, but not for longer than that.
 *
 * missing: the first that has not been found by now, if there is one; or NULL
 * Returns: how many there are
 */
unsigned wg_names_wait(struct wg_names *names, unsigned ms, struct wg_quick_host *missing);

#endif
