/*
 * A worker's side of a tunnel: its sockets, buffers, and packets that wait for a session.
 *
 * Threads: owned by one worker.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_PORT_H
#define SLUICE_DATAPLANE_WIREGUARD_PORT_H

#include "dataplane/wireguard/merge.h"
#include "dataplane/wireguard/spread.h"
#include "dataplane/wireguard/stage.h"
#include "dataplane/wireguard/tunnel.h"
#include "dataplane/worker.h"

enum {
	WG_ARRIVALS = 2, /* bursts that are under way at a time */
	WG_DEPARTURES = 2,

	WG_ARENA = 512 * 1024, /* what one call sends, at most */
	/* Received at a time: the more, the more of a flow is put together again. */
	WG_BURST_BYTES = 512 * 1024,
	/* Not a power of two: small messages would all meet in the same lines of the caches. */
	WG_SLOT = UDP_MESSAGE_ROOM + 4096 + 64,
};

/* A packet on its way out, until the burst ends. */
struct wg_outgoing {
	struct packet *packet;
	struct wg_peer *peer; /* NULL: it has been seen to */
};

/* What has been received, until all of it has been delivered. */
struct wg_arrival {
	struct udp_message messages[UDP_BURST_MAX]; /* data is in slots of WG_SLOT bytes */
	struct wg_job jobs[UDP_BURST_MAX];
	unsigned count;
	unsigned at;       /* the message in hand ... */
	uint32_t at_bytes; /* ... and the datagram */
	bool offered;      /* by its jobs, to other workers */
	bool handed_over;  /* by another worker */
};

/* What is sent together. */
struct wg_departure {
	struct udp_message messages[UDP_BURST_MAX]; /* data is in the arena */
	struct wg_job jobs[UDP_BURST_MAX];          /* whose session they are of, too */
	struct wg_peer *peers[UDP_BURST_MAX];       /* whose they are; for this turn */
	unsigned count;
	unsigned segments; /* of the last message */
	bool closed;       /* it takes no more */
	bool offered;      /* to other workers, by its jobs: it is not sealed yet */
	uint8_t *arena;    /* WG_ARENA bytes */
	uint32_t used;     /* of it */
};

struct wg_port {
	struct wg_tunnel *tunnel;
	struct wg_device *device;
	struct udp_queue *queue;
	struct wg_aead *aead;
	unsigned egress;
	unsigned worker;
	unsigned workers;

	/* Out. */
	struct wg_outgoing outgoing[BURST_MAX];
	unsigned outgoing_count;
	struct wg_departure departures[WG_DEPARTURES]; /* one only beside one that is offered */
	struct wg_departure *filling;
	struct wg_departure *left; /* to others, to be sent next time; NULL: none is */
	uint32_t left_turn;
	struct wg_spread sealing;
	uint8_t *arena; /* of all departures */
	struct wg_stage *stage;
	uint64_t retried_ms;
	struct buf retry; /* a packet out of the stage */

	/* In. */
	struct wg_arrival arrivals[WG_ARRIVALS]; /* the second only beside one that is offered */
	struct wg_arrival *due[WG_ARRIVALS];     /* to be delivered now, */
	unsigned due_count;
	unsigned due_at;            /* in hand */
	struct wg_arrival *pending; /* and next time; NULL: none is */
	struct wg_arrival taken;    /* over from another worker */
	struct wg_spread opening;
	uint8_t *slots; /* of all arrivals */
	struct wg_merge merge;
	struct buf flat[BURST_MAX]; /* what is merged, in one piece, for a gateway */
	uint8_t *flat_data;         /* BURST_MAX * BUF_SIZE bytes, touched as needed */
};

struct wg_port_options {
	struct wg_tunnel *tunnel;
	unsigned egress;
	unsigned worker;
	unsigned workers;
	bool udp; /* the TUN takes super-packets of UDP */
};

/*
 * Make a worker's side.
 *
 * out:    the caller's, until wg_port_destroy
 * Errors: -ENOMEM, -ENOTSUP
 */
int wg_port_create(const struct wg_port_options *options, struct wg_port **out);
void wg_port_destroy(struct wg_port *port); /* NULL does nothing */

/* The worker is about to sleep: no key may lie about. */
void wg_port_rest(struct wg_port *port);

/* The device's clock, to the millisecond: that of the worker's turn. */
static inline uint64_t wg_port_now_ns(const struct worker *worker)
{
	return worker->now_ms * 1000000;
}

#endif
