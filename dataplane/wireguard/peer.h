/*
 * What workers and the device share, without a lock: peers, their keypairs, allowed addresses.
 *
 * Overview: the device (device.h) makes and retires keypairs, peers and tables; workers find them
 * by the functions here and leave marks behind: when they sent and received what, that a session
 * is wanted. From the marks the device derives all timers.
 *
 * Threads: "worker" below is any thread that is a reader of dataplane/route.h (or, in tests, the
 * device's own). What it finds is good until its next quiescent state: who keeps a peer longer
 * (packets that wait for a session) keeps its number and id, and asks wg_allowed_at. A keypair's
 * home worker, which alone calls what says so, is that of wg_keypair_home.
 *
 * The times are nanoseconds of CLOCK_BOOTTIME.
 *
 * Sending: wg_device_allowed -> wg_allowed_peer -> wg_peer_endpoint, wg_peer_sending ->
 * wg_keypair_take -> seal -> wg_peer_note_sent. Without a keypair: keep the packet,
 * wg_peer_want_session.
 *
 * Receiving: wg_device_keypair -> wg_keypair_accepts -> open -> wg_replay_accept ->
 * wg_peer_note_received (also if the packet inside is refused afterwards).
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_PEER_H
#define SLUICE_DATAPLANE_WIREGUARD_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/wireguard/message.h"
#include "dataplane/wireguard/replay.h"
#include "lpm/lpm.h"
#include "tun/udp.h"

struct wg_device;
struct wg_peer;

enum {
	WG_PEERS_MAX = LPM_VERDICT_MAX,
};

/* The keys of one session. */
struct wg_keypair {
	/* Written once, before anybody sees it. */
	struct wg_peer *peer;
	uint64_t id; /* never given twice */
	uint8_t send_key[WG_KEY];
	uint8_t receive_key[WG_KEY];
	uint32_t local_index;  /* in what is received */
	uint32_t remote_index; /* in what is sent */
	uint64_t born_ns;
	bool initiator; /* we began the handshake */

	/* Workers'. */
	_Alignas(64) uint64_t next; /* counter: wg_keypair_take */
	uint32_t no_sending;        /* the device says: do not send with it any more */
	uint32_t confirmed;         /* something authentic came in by it */
	uint32_t rekeying;          /* receiving has asked for the next session, once */

	/* The home worker's. */
	_Alignas(64) struct wg_replay replay;

	/* The device's. */
	struct wg_keypair *retired_next;
};

/* The addresses of the peers: an immutable snapshot. */
struct wg_allowed {
	struct lpm4 *v4; /* verdict: number of the peer; NULL: no peer has any such address */
	struct lpm6 *v6; /* likewise */
	struct wg_peer *peers[WG_PEERS_MAX + 1]; /* by number, from 1; NULL: none */
};

/* What a worker sees of a peer. All atomic; see peer.c for who writes what. */
struct wg_peer {
	struct wg_device *device;
	uint64_t id;     /* never given twice */
	uint16_t number; /* 1..WG_PEERS_MAX; given again when the peer is gone */
	uint16_t home;   /* the worker that its packets should meet in */
	uint8_t public_key[WG_KEY];

	_Alignas(64) struct wg_keypair *current; /* the device's to change, as the two below */
	struct wg_keypair *previous;
	struct wg_keypair *next;
	uint32_t endpoint_turn; /* odd: being written */
	uint32_t give_ups;      /* wg_peer_give_ups */
	uint32_t path_mtu;      /* wg_peer_mtu; 0: not known */
	uint64_t path_ns;       /* when it was heard of */
	uint64_t endpoint[sizeof(struct udp_endpoint) / 8];

	_Alignas(64) uint64_t unanswered_ns; /* first data sent since anything came in; 0: none */
	uint64_t unacknowledged_ns;          /* first data that came in since anything was sent */
	uint64_t sent_ns;                    /* last of anything authentic, and so below */
	uint64_t received_ns;
	uint32_t more_received; /* data came in while unacknowledged_ns was set */
	uint32_t wanted;        /* a session is */

	_Alignas(64) uint64_t tx_bytes;
	_Alignas(64) uint64_t rx_bytes;
};

/* The snapshot of now; never NULL. Good until the worker's next quiescent state. */
const struct wg_allowed *wg_device_allowed(const struct wg_device *device);

/*
 * Whose an address is.
 *
 * address: of either family
 * Returns: NULL if nobody's. A burst of look-ups: lpm4_lookup_burst and wg_allowed.peers
 * Thread:  worker
 */
struct wg_peer *wg_allowed_peer(const struct wg_allowed *allowed, const struct addr *addr);

/* The peer of a number and an id, NULL if it is gone. Thread: worker */
struct wg_peer *wg_allowed_at(const struct wg_allowed *allowed, uint16_t number, uint64_t id);

/* The worker that holds a session's replay window: of what is received under this local index. */
static inline unsigned wg_keypair_home(uint32_t local_index, unsigned workers)
{
	return local_index % workers;
}

/* The keypair of a local index; NULL if there is none. Thread: worker */
struct wg_keypair *wg_device_keypair(const struct wg_device *device, uint32_t local_index);

/* Whether what comes in by it is still to be opened. Thread: worker */
bool wg_keypair_accepts(const struct wg_keypair *keypair, uint64_t now_ns);

/*
 * What to send a peer data with: a keypair that is confirmed and young enough.
 *
 * Returns: NULL if there is none: then wg_peer_want_session
 * Thread:  worker
 */
struct wg_keypair *wg_peer_sending(const struct wg_peer *peer, uint64_t now_ns);

/*
 * Take counters, which nobody else then gets.
 *
 * first:   set to the first of them, unless 0 is returned
 * Returns: how many of the n there are: fewer, or 0, when the session is used up
 * Thread:  any
 */
unsigned wg_keypair_take(struct wg_keypair *keypair, unsigned n, uint64_t *first);

/*
 * Where to send to.
 *
 * out:     written if there is an endpoint
 * Returns: false if none is known
 * Thread:  any
 */
bool wg_peer_endpoint(const struct wg_peer *peer, struct udp_endpoint *out);

/*
 * The longest packet inside for a peer: the tunnel's MTU, or less if the way to where it is takes
 * less, as was heard in the last ten minutes. An MTU that no Ethernet could take is kept.
 *
 * mtu:    the tunnel's; 0: no limit
 * Thread: any
 */
unsigned wg_peer_mtu(const struct wg_peer *peer, unsigned mtu, uint64_t now_ns);

/* Whether the way was asked about so lately that there is nothing new. Thread: any */
bool wg_peer_path_is_fresh(const struct wg_peer *peer, uint64_t now_ns);

/*
 * Say what the way to a peer takes.
 *
 * outer:   the longest packet, with the headers of IP and UDP; 0: not known
 * version: of IP outside
 * Thread:  any
 */
void wg_peer_note_path(struct wg_peer *peer, unsigned outer, uint8_t version, uint64_t now_ns);

/*
 * Forget from which address of ours to send, for it is none any more.
 *
 * source: only if it is this one still; the 16 bytes of udp_endpoint
 * Thread: any
 */
void wg_peer_forget_source(struct wg_peer *peer, const uint8_t source[16]);

/*
 * Say that there are packets and no session. Cheap when said already; wakes the device's thread.
 *
 * Thread: any
 */
void wg_peer_want_session(struct wg_peer *peer);

/*
 * How often the device has given up on this peer. When it changes while packets wait, drop them.
 *
 * Thread: any
 */
uint32_t wg_peer_give_ups(const struct wg_peer *peer);

/*
 * Say that packets of one keypair went out. Asks for the next session when it is time.
 *
 * bytes:  of the datagrams, from the message header on
 * data:   whether any of them was more than a keepalive
 * Thread: any
 */
void wg_peer_note_sent(struct wg_peer *peer, struct wg_keypair *keypair, uint64_t now_ns,
		       uint64_t bytes, bool data);

/*
 * Say that packets came in: authentic, and new to the replay window. Makes from the peer's
 * endpoint, confirms the keypair, asks for the next session when it is time.
 *
 * from:   where the last of them came from, and (source) the address of ours that it came to
 * bytes:  of the datagrams, from the message header on
 * data:   whether any of them was more than a keepalive
 * Thread: the keypair's home worker
 */
void wg_peer_note_received(struct wg_peer *peer, struct wg_keypair *keypair, uint64_t now_ns,
			   uint64_t bytes, bool data, const struct udp_endpoint *from);

#endif
