/*
 * What is behind device.h and peer.h: the device's own state, and what its files ask of each other.
 * For dataplane/wireguard alone.
 *
 * What orders what, by tags:
 *
 *   device                                        worker
 *   make keys, tables; publish the pointer  [wg-pub-1]  ->  load the pointer  [wg-pub-2]
 *   (wait for readers: dataplane/route.c), wipe, free
 *
 *   mark a peer, set its bit, write to the pipe  [wg-mark-1]: worker
 *   read the pipe, take the bits, look at the marks  [wg-mark-2]: device
 *
 *   post a message, set the flag; write to the pipe if it was not set  [wg-post-1]: worker
 *   read the pipe, reset the flag, look at the messages  [wg-post-2]: device
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_STATE_H
#define SLUICE_DATAPLANE_WIREGUARD_STATE_H

#include <pthread.h>

#include "dataplane/wireguard/claims.h"
#include "dataplane/wireguard/cookie.h"
#include "dataplane/wireguard/device.h"
#include "dataplane/wireguard/noise.h"
#include "dataplane/wireguard/secret.h"

#define NEVER UINT64_MAX

enum {
	/* Four indices a peer (three keypairs and a handshake) fill half of it. */
	INDEX_SLOTS = 32768,
	ROSTER_BUCKETS = 8192,
	MARK_WORDS = (WG_PEERS_MAX + 64) / 64,
	SERVE_MAX = 32, /* messages a turn: about 10 ms of handshakes */
	POST_SOURCES = 256,
	ATTEMPTS_MAX = WG_REKEY_ATTEMPT_TIME / WG_REKEY_TIMEOUT,
	SILENT_AFTER = 2, /* initiations */
};

_Static_assert(INDEX_SLOTS >= 2 * 4 * WG_PEERS_MAX, "free slots are found by a few tries");
_Static_assert(ROSTER_BUCKETS >= 2 * WG_PEERS_MAX, "chains of probes stay short");

#define INITIATION_GAP_MIN (20 * WG_NS / 1000) /* of one peer: 50 a second */
#define UNDER_LOAD_TIME WG_NS
#define ZERO_TIME (3 * WG_REJECT_AFTER_TIME)
#define STAMP_STEP (UINT64_C(1) << 24) /* nanoseconds: how far TAI64N stamps are rounded down */

/* A peer with what is the device's alone. */
struct wg_member {
	struct wg_peer peer; /* first */
	struct wg_remote remote;
	struct wg_handshake handshake;
	bool handshake_indexed; /* handshake.local_index is ours, and no keypair's */
	struct wg_cookie_jar jar;
	uint16_t keepalive_s;
	bool heard;                    /* an initiation, whose stamp and time these are */
	uint8_t heard_stamp[WG_STAMP]; /* the latest */
	uint64_t heard_ns;
	uint64_t stamped_ns; /* the last that was sent, as wall clock */
	uint64_t handshake_wall_ns;
	bool greeted;        /* an initiation or response was sent, */
	uint64_t greeted_ns; /* then */
	unsigned attempts;   /* since something wanted a session */
	unsigned unanswered; /* initiations since the last session began */
	uint64_t jitter_ns;
	/* Timers; NEVER: off. Those of data come from the marks in struct wg_peer. */
	uint64_t retransmit_ns;
	uint64_t initiate_ns; /* wanted, but too early */
	uint64_t zero_ns;
	uint64_t keepalive_ns; /* when the last persistent one went out */
	struct wg_member *retired_next;
};

/* All peers in the order in which they were added, found by key. */
struct wg_roster {
	unsigned count;
	struct wg_member *members[WG_PEERS_MAX];
	uint16_t buckets[ROSTER_BUCKETS]; /* index + 1, open addressing; 0: free */
};

struct index_owner {
	uint32_t index;
	struct wg_member *member; /* NULL: the slot is free */
};

struct wg_post;

/* Messages go round between two rings: those that wait, and room for more. */
struct wg_posts {
	struct ring *waiting;
	struct ring *room;
	struct wg_post *memory;
	uint32_t source_max;            /* so many of one bucket may wait */
	uint32_t sources[POST_SOURCES]; /* that do, by the hash of their source; relaxed */
};

struct wg_device {
	struct wg_device_options options;
	int pipe[2]; /* workers write */

	/* Read by workers. */
	struct wg_allowed *allowed;
	struct wg_keypair **keypairs; /* INDEX_SLOTS of them */

	/* Written by workers. */
	_Alignas(64) uint64_t marked[MARK_WORDS]; /* by number: look at this peer */
	_Alignas(64) uint64_t posts_lost;
	struct wg_posts posts[2]; /* by whether they have a second MAC */
	uint32_t posted;          /* bool: the device will look; [wg-post-1] */

	/* The lock guards all that follows; nothing else is taken inside but the callbacks' own. */
	_Alignas(64) pthread_mutex_t lock;
	struct wg_crypto *crypto;
	struct wg_aead *aead;
	struct wg_identity identity;
	struct wg_cookie_checker checker;
	struct wg_limiter *limiter;
	struct wg_roster *roster;
	struct claims *claims;
	struct index_owner *owners;   /* INDEX_SLOTS */
	uint64_t numbers[MARK_WORDS]; /* taken */
	uint64_t next_id;
	uint64_t next_keypair; /* the id of the last one */
	uint64_t seed;
	struct secret_pool member_pool;
	struct secret_pool keypair_pool;
	struct wg_keypair *retired; /* nobody new can find them */
	uint64_t due_ns;            /* no timer before */
	bool loaded;                /* was under load, last */
	uint64_t loaded_ns;         /* then */
	uint64_t wall_floor_ns;     /* read without it, relaxed */
	uint16_t port;
	uint32_t mark;
	struct wg_device_counters counters;

	pthread_t thread;
	bool started;
	int stop; /* atomic */
};

static inline struct wg_member *member_of(struct wg_peer *peer)
{
	return (struct wg_member *)peer;
}

/* peer.c */

/* Look at a peer soon. Thread: any */
void wg_peer_mark(struct wg_peer *peer);

void wg_peer_set_endpoint(struct wg_peer *peer, const struct udp_endpoint *endpoint);
void wg_peer_mark_sent(struct wg_peer *peer, uint64_t now_ns, uint64_t bytes);
void wg_peer_mark_received(struct wg_peer *peer, uint64_t now_ns, uint64_t bytes);

/* Whether it is time for another keypair before sending with this one. */
bool wg_keypair_is_worn(const struct wg_keypair *keypair, uint64_t now_ns);

/* index.c */

/* Take a free local index whose home is a worker. Thread: device, as all below */
uint32_t wg_index_take(struct wg_device *device, struct wg_member *member);
void wg_index_release(struct wg_device *device, uint32_t index);

/* NULL: nobody's. */
struct wg_member *wg_index_owner(const struct wg_device *device, uint32_t index);

/* Let workers find a keypair, or not any more. */
void wg_index_publish(struct wg_device *device, struct wg_keypair *keypair);
void wg_index_unpublish(struct wg_device *device, const struct wg_keypair *keypair);

/* session.c */

/*
 * Begin the session that the member's handshake has agreed on.
 *
 * Returns: false if memory is short; the handshake is then lost
 */
bool wg_session_begin(struct wg_device *device, struct wg_member *member, uint64_t now_ns);

/* If the next keypair has been confirmed, it becomes the current one. */
void wg_session_rotate(struct wg_device *device, struct wg_member *member, uint64_t now_ns);

/* Forget all keys of sessions, and the handshake. */
void wg_session_zero(struct wg_device *device, struct wg_member *member);

/* Send nothing more with what there is, and begin anew when there is something to send. */
void wg_session_expire(struct wg_device *device, struct wg_member *member);

/* Forget the handshake. */
void wg_handshake_drop(struct wg_device *device, struct wg_member *member);

/* Wait until no worker can see what is retired, then wipe it. */
void wg_session_reclaim(struct wg_device *device);

/* Wake all workers. */
void wg_wake_workers(struct wg_device *device);

/* send.c */

/* Send an initiation, unless it is too early: then later. retry: not a new beginning */
void wg_send_initiation(struct wg_device *device, struct wg_member *member, uint64_t now_ns,
			bool retry);
void wg_send_response(struct wg_device *device, struct wg_member *member, uint64_t now_ns);
void wg_send_cookie(struct wg_device *device, const uint8_t *message, size_t size,
		    const struct udp_endpoint *to, uint64_t now_ns);

/* Without a session it begins one. */
void wg_send_keepalive(struct wg_device *device, struct wg_member *member, uint64_t now_ns);

/* receive.c */

void wg_receive(struct wg_device *device, const uint8_t *data, size_t len,
		const struct udp_endpoint *from, bool under_load, uint64_t now_ns);

/* timers.c */

/* Do what is due for a member. Returns: when to look again */
uint64_t wg_timers_run(struct wg_device *device, struct wg_member *member, uint64_t now_ns);

/* Look at a member's marks, then its timers; keeps the device's due time. */
void wg_member_attend(struct wg_device *device, struct wg_member *member, uint64_t now_ns);

/* A random time up to the jitter of handshakes. */
uint64_t wg_jitter(struct wg_device *device);

/* roster.c */

void wg_roster_copy(const struct wg_roster *from, struct wg_roster *to);
struct wg_member *wg_roster_find(const struct wg_device *device, const struct wg_roster *roster,
				 const uint8_t public_key[WG_KEY]);
void wg_roster_add(const struct wg_device *device, struct wg_roster *roster,
		   struct wg_member *member); /* there must be room */
void wg_roster_remove(const struct wg_device *device, struct wg_roster *roster,
		      const struct wg_member *member);

/* device.c */

void wg_random_bytes(struct wg_device *device, void *out, size_t size);
uint64_t wg_wall_ns(struct wg_device *device);

#endif
