/*
 * A device: private key, peers, handshakes, cookies, timers. One an egress.
 *
 * Life-cycle: create -> apply -> start, or serve again and again -> stop -> destroy.
 *
 * Threads: the functions take the device's lock, except where they say otherwise, and may be called
 * by any thread that is no online reader of dataplane/route.h. Workers take no lock: see peer.h for
 * what they share with the device.
 *
 * The device has no clock, no sockets and no threads of its own but the one of wg_device_start:
 * times are arguments (nanoseconds of CLOCK_BOOTTIME), and the rest is asked for by the functions
 * of the options, which are called with the lock held and must not call the device.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_DEVICE_H
#define SLUICE_DATAPLANE_WIREGUARD_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/wireguard/aead.h"
#include "dataplane/wireguard/changes.h"
#include "dataplane/wireguard/message.h"
#include "dataplane/wireguard/peer.h"

enum {
	WG_POST_MAX = 1024,              /* messages that wait for the device */
	WG_POST_COOKIE_MAX = 256,        /* and those that claim a cookie, in places of their own */
	WG_UNDER_LOAD = WG_POST_MAX / 8, /* so many: cookies are asked for */
	WG_MESSAGE_MAX = WG_INITIATION_SIZE, /* bytes of what is posted */
};

struct wg_device_options {
	unsigned workers;       /* 1 or more */
	enum wg_aead_kind aead; /* of keepalives */
	uint16_t port;          /* what the sockets have, for wg_device_read */
	uint32_t mark;
	uint64_t wall_floor_ns; /* the last TAI64N stamp of an earlier life, as wall clock; or 0 */
	void *context;

	/*
	 * Send one datagram. NULL: there are no sockets.
	 *
	 * Returns: false if its source is no address of ours any more: the system chose another
	 */
	bool (*send)(void *context, const struct udp_endpoint *to, const uint8_t *data, size_t len,
		     uint8_t tos);

	/* Wake a worker: a session began, or packets that wait are to be dropped. */
	void (*wake)(void *context, unsigned worker);

	/* Return when every worker has passed a quiescent state. NULL: there are no workers. */
	void (*wait)(void *context);

	/*
	 * Change the sockets' port or mark; NULL: there are no sockets.
	 *
	 * port:   0 for any; set to what it became
	 * Errors: as udp_set_port and udp_set_mark; all is then as it was
	 */
	int (*set_port)(void *context, uint16_t *port);
	int (*set_mark)(void *context, uint32_t mark);

	/* For tests. NULL: the system's random bytes and wall clock (ns since 1970). */
	void (*random)(void *context, uint8_t *out, size_t size);
	uint64_t (*wall_ns)(void *context);
};

/*
 * Make a device without a key and peers. options are copied.
 *
 * out:    the caller's, until wg_device_destroy
 * Errors: -EINVAL, -ENOMEM, -ENOTSUP (libcrypto lacks an algorithm), -EMFILE
 */
int wg_device_create(const struct wg_device_options *options, struct wg_device **out);

/* Wipe and free all. No worker may use it any more. NULL does nothing. */
void wg_device_destroy(struct wg_device *device);

/*
 * Do what changes say, all of it or nothing. Returns when no worker can see what is gone.
 *
 * changes: the caller's; not kept
 * Errors:  -EINVAL (a prefix, an endpoint), -ENOSPC (more than WG_PEERS_MAX peers), -ENOMEM, or
 * those of set_port and set_mark
 */
int wg_device_apply(struct wg_device *device, const struct wg_changes *changes, uint64_t now_ns);

/*
 * Copy out what there is.
 *
 * out:    the caller's, until wg_snapshot_free
 * Errors: -ENOMEM
 */
int wg_device_read(struct wg_device *device, struct wg_snapshot **out);
void wg_snapshot_free(struct wg_snapshot *snapshot); /* wipes it; NULL does nothing */

/*
 * Give the device a datagram that is not data, to be looked at in its own thread. Takes no lock.
 *
 * endpoint: where it came from; source: the address of ours that it came to
 * Returns:  false if too many wait, of all or of its source, or it is longer than any message: it
 * is dropped Thread:   any, readers too
 */
bool wg_device_post(struct wg_device *device, const uint8_t *data, size_t len,
		    const struct udp_endpoint *endpoint);

/* Look at a datagram at once: what wg_device_serve does with those that were posted. */
void wg_device_receive(struct wg_device *device, const uint8_t *data, size_t len,
		       const struct udp_endpoint *endpoint, uint64_t now_ns);

/*
 * Do all that is due: look at posted messages, begin sessions that are wanted, timers.
 *
 * Returns: when to be called again if nothing is posted or wanted before; UINT64_MAX: never
 */
uint64_t wg_device_serve(struct wg_device *device, uint64_t now_ns);

/* The clock of the times that are arguments here. Any thread */
uint64_t wg_device_now_ns(void);

/* Who knows the ways out of this host. */
struct wg_ways {
	/* Whether the way to that far end still leaves by endpoint->link. mark: of our sockets */
	bool (*stands)(void *context, const struct udp_endpoint *endpoint, uint32_t mark);
	void *context;
};

/*
 * Look at the addresses of ours that peers are spoken to from. One whose way does not stand is
 * forgotten: the system chooses, until the peer is heard again.
 */
void wg_device_review_sources(struct wg_device *device, const struct wg_ways *ways);

/* Readable when wg_device_serve has something to do; it then resets it. Stays the device's. */
int wg_device_fd(const struct wg_device *device);

/* Serve by a thread of its own, from now to stop. Errors: -EAGAIN, -ENOMEM */
int wg_device_start(struct wg_device *device);
void wg_device_stop(struct wg_device *device); /* may be called when not started */

/*
 * The last TAI64N stamp that was sent, as wall clock: wall_floor_ns of the next life. Takes no
 * lock.
 */
uint64_t wg_device_wall_floor(struct wg_device *device);

/*
 * Whether a peer is not found where it is sought: it has no endpoint, or several initiations in a
 * row began no session. false: it answers, nobody asked, or there is no such peer.
 */
bool wg_device_is_silent(struct wg_device *device, const uint8_t public_key[WG_KEY]);

struct wg_device_counters {
	uint64_t initiations_sent;
	uint64_t responses_sent;
	uint64_t cookies_sent;
	uint64_t keepalives_sent;
	uint64_t handshakes; /* that became sessions */
	uint64_t malformed;  /* dropped, as all below: length, type, not for us */
	uint64_t bad_mac;
	uint64_t limited;       /* by the limiter of source addresses */
	uint64_t bad_handshake; /* not authentic, unknown peer, no handshake of ours */
	uint64_t replayed;      /* initiations with an old stamp */
	uint64_t flooded;       /* initiations of one peer that came too fast */
	uint64_t clock_behind;  /* stamps for which the clock was 5 s or more too early */
	uint64_t posts_lost;
};

void wg_device_read_counters(struct wg_device *device, struct wg_device_counters *out);

#endif
