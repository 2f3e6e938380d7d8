/*
 * A tunnel: a device, its sockets, and what workers and device have to tell each other. One an
 * egress of type EGRESS_WIREGUARD.
 *
 * Life-cycle: open -> dataplane_create with it -> dataplane_start, which also starts the device's
 * thread -> dataplane_stop -> dataplane_destroy -> close. Peers and keys may be set at any time
 * between open and close, by wg_device_apply of wg_tunnel_device().
 *
 * Threads: the owner's, but for what says otherwise.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_TUNNEL_H
#define SLUICE_DATAPLANE_WIREGUARD_TUNNEL_H

#include <stdint.h>

#include "dataplane/wireguard/device.h"
#include "tun/udp.h"

struct wg_tunnel;

struct wg_tunnel_options {
	unsigned queues;        /* of the TUN: workers */
	uint16_t port;          /* 0: any that is free */
	uint32_t mark;          /* on the tunnel's datagrams; 0: none */
	unsigned mtu;           /* of packets inside; 0: no limit */
	enum wg_aead_kind aead; /* WG_AEAD_FASTEST, if not for a test */
	uint64_t wall_floor_ns; /* see device.h */

	/* For tests; NULL: the system's. See device.h. */
	void (*random)(void *context, uint8_t *out, size_t size);
	uint64_t (*wall_ns)(void *context);
	void *context;
};

/*
 * Open the sockets and make the device.
 *
 * out:    the caller's, until wg_tunnel_close
 * Errors: as udp_open and wg_device_create
 */
int wg_tunnel_open(const struct wg_tunnel_options *options, struct wg_tunnel **out);

/* After dataplane_destroy. Wipes what was secret. NULL does nothing. */
void wg_tunnel_close(struct wg_tunnel *tunnel);

struct wg_device *wg_tunnel_device(struct wg_tunnel *tunnel);
struct udp *wg_tunnel_udp(struct wg_tunnel *tunnel);
enum wg_aead_kind wg_tunnel_aead(const struct wg_tunnel *tunnel);

/* Messages that any worker may open: see spread.h. */
struct ring *wg_tunnel_jobs(struct wg_tunnel *tunnel);

unsigned wg_tunnel_queues(const struct wg_tunnel *tunnel);

/* The MTU inside has changed. Any thread. */
void wg_tunnel_set_mtu(struct wg_tunnel *tunnel, unsigned mtu);
unsigned wg_tunnel_mtu(const struct wg_tunnel *tunnel);

/* Whether the way to some peer takes less than the MTU, or once did: wg_peer_mtu. Any thread. */
void wg_tunnel_set_narrow(struct wg_tunnel *tunnel);
bool wg_tunnel_is_narrow(const struct wg_tunnel *tunnel);

/* Whom to tell when a worker must look round. */
struct wg_tunnel_wake {
	void (*wake)(void *context, unsigned worker); /* NULL: nobody */
	void *context;
};

/*
 * Before the threads start, and after they have ended: the dataplane's. Whoever wakes meanwhile, by
 * wg_device_apply, has then done so.
 */
void wg_tunnel_join(struct wg_tunnel *tunnel, const struct wg_tunnel_wake *wake);

#endif
