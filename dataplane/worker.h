/* A worker: one TUN queue, the one thread that serves it, and all that the thread owns. */
#ifndef SLUICE_DATAPLANE_WORKER_H
#define SLUICE_DATAPLANE_WORKER_H

#include <pthread.h>

#include "dataplane/dataplane.h"
#include "dataplane/gather.h"
#include "dataplane/inbox.h"
#include "dataplane/links.h"
#include "dataplane/nap.h"
#include "dataplane/nat.h"
#include "dataplane/packet.h"
#include "dataplane/pending.h"
#include "dataplane/progress.h"
#include "dataplane/source.h"
#include "tun/nic.h"

enum {
	BURST_MAX = 64,
	BURST_BYTES_MAX = 256 * 1024, /* what fits a second-level cache beside the rest */
	REPLY_SIZE_MAX = 2048,
	WISHES_MAX = 64,  /* power of two */
	STAGE_TURNS = 17, /* one of so many is timed; prime, so as not to keep step with traffic */
};

_Static_assert((int)INBOX_TAKE_MAX <= (int)BURST_MAX, "what is taken over is a burst");
_Static_assert((int)BURST_MAX <= (int)LPM_BURST_MAX, "a burst of packets is a burst of look-ups");

/* The worker's side of an egress. */
struct worker_egress {
	enum egress_type type;
	struct nic_queue *nic; /* of EGRESS_INTERFACE */
	struct nat *nat;       /* NULL: not translated */
	uint16_t port_first;   /* translated ports of all workers, inclusive */
	uint16_t port_last;
	uint16_t slice;        /* of them, a worker */
	unsigned source_ports; /* that one inner address may have */
	uint16_t on_down;      /* ON_DOWN_* */
	bool ethernet;
	bool gateway;               /* of EGRESS_WIREGUARD, as port */
	struct wg_port *port;       /* NULL: another type */
	struct buf *out[BURST_MAX]; /* what this burst sends by it */
	unsigned out_count;
	unsigned out_packets; /* that they are on the wire; counted when they are sent */
	uint64_t out_bytes;
};

/* One packet of the burst in hand. */
struct item {
	struct packet packet;
	uint64_t hash;
	struct flow *flow;  /* found before any flow of the burst came or went; then settled */
	struct flow *giver; /* of a port, chosen for one that will be made; or NULL */
	uint16_t verdict;   /* valid if decided */
	bool decided;
	bool done; /* it has been seen to */
	enum reason reason;
	unsigned segments; /* that it is on the wire */
	/* What was settled, if no reason speaks against it. */
	bool hit;            /* the route cache answered */
	bool hairpin;        /* its flow comes back in */
	uint16_t egress;     /* by which it goes */
	uint16_t outer_port; /* of its flow; 0: none */
};

/* Pieces of what was too long for an egress, until they are sent. */
struct pieces {
	struct buf bufs[BURST_MAX];
	unsigned count;
	uint32_t used; /* bytes */
	uint8_t *data; /* BUF_SIZE bytes */
	struct buf segment;
};

/* A neighbour that a worker wants resolved, or asked whether it is still there. */
struct wish {
	unsigned egress;
	struct addr via;
};

struct wg_port;

/* A turn that is timed inside: see stages.h. */
struct stages_inside {
	bool asked;
	uint64_t ns[STAGE_COUNT];
	uint64_t packets_in; /* of the first egress, before it */
	uint64_t packets_out;
	long switches;
};

struct worker {
	unsigned index;
	pthread_t thread;
	const struct routes *routes;
	enum on_change on_change;
	bool diverts;  /* an egress that is down may have another in its place */
	bool gateway;  /* some tunnel's peers are on the inner side */
	bool straight; /* the only egress is a tunnel, which takes all as it is */
	void (*thread_begin)(void *context, unsigned worker);
	void (*thread_review)(void *context, unsigned worker);
	void *context;
	struct tun_queue *tun;
	const struct tun *device;    /* whose queue that is */
	bool steered;                /* endpoints come to their worker by themselves */
	struct worker *const *peers; /* all workers, by index */
	unsigned peer_count;
	struct worker_egress egress[EGRESSES_MAX];
	unsigned egress_count;
	struct addr own[OWN_MAX]; /* the host's, on the TUN */
	unsigned own_count;
	struct flow_table *flows;
	struct sources *sources;  /* of the flows */
	unsigned source_flows;    /* that one inner address may have */
	struct gather gather_out; /* fragments from the TUN */
	struct gather gather_in;
	struct inbox inbox;
	struct pending *pending;
	struct progress progress;
	uint8_t hop; /* of the packet that was queued last */
	int wake[2]; /* pipe; wake[1] is the control thread's */
	int wish_fd; /* the dataplane's pipe: tells it that there are wishes */
	uint64_t now_ms;
	uint64_t swept_ms;
	uint32_t turns;
	uint64_t stage_ns; /* when the stage in hand began; 0: this turn is not timed */
	struct stages_inside inside;
	struct nap nap;
	uint64_t spin_ns;      /* how long to look again before sleeping; adapts */
	uint64_t reply_tokens; /* answers that may still be given this tick */
	uint64_t reply_ms;
	unsigned to_tun_count;
	unsigned reply_count;
	struct item items[BURST_MAX];
	struct buf bufs[BURST_MAX];
	struct buf replies[BURST_MAX];
	struct pieces pieces;
	struct buf *to_tun[2 * BURST_MAX];
	uint8_t *storage; /* behind bufs, replies and pieces */
	struct worker_counters counters;

	/* Shared with the control thread, each on a line of its own. */
	_Alignas(64) int stop;
	_Alignas(64) struct flow_request *request; /* see inspect.c */
	_Alignas(64) uint32_t wish_head;           /* worker's; [wish-1] */
	_Alignas(64) uint32_t wish_tail;           /* control's; [wish-2] */
	struct wish wishes[WISHES_MAX];
};

/* Counters have one writer; the control thread reads them racily, each whole. */
static inline void worker_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline void worker_set(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

/* Nothing is dropped for REASON_HANDED_OVER. */
static inline void worker_drop(struct worker *worker, enum reason reason, unsigned packets)
{
	if (reason < REASON_COUNT)
		worker_count(&worker->counters.drops[reason], packets);
}

/* Memory for the worker: buffers, flow table, pending packets. -ENOMEM leaves nothing behind. */
int worker_init(struct worker *worker, size_t flows, uint64_t seed);
void worker_fini(struct worker *worker);

/* The thread's function; argument is the worker. */
void *worker_main(void *worker);

/* What the table says of a key's destination: an index into its verdicts. */
uint16_t worker_verdict(const struct table *table, const struct flow_key *key);

/* Where a verdict sends packets now: an egress that is down may have another in its place. */
uint16_t worker_way(const struct worker *worker, const struct table *table,
		    const struct links *links, uint16_t verdict);

/*
 * A flow that an older table decided, or whose egress went down or came up, gets a new verdict.
 *
 * Returns: the flow, or NULL if its egress changed and it had to go
 */
struct flow *worker_renew(struct worker *worker, const struct table *table,
			  const struct links *links, struct flow *flow, uint16_t verdict);

/* The flow whose answer an ICMP error from the inner side is about, or NULL. */
struct flow *worker_flow_of_error(struct worker *worker, const struct packet *packet);

/* What an egress takes; 0: no limit. */
unsigned worker_mtu(const struct worker *worker, const struct links *links, unsigned egress);

/*
 * For what passes through, take a hop off; a packet without one left is answered.
 *
 * Returns: REASON_NONE or REASON_HOP_LIMIT
 */
enum reason worker_take_hop(struct worker *worker, const struct links *links,
			    struct packet *packet);

/*
 * Take the verdicts of the first n items, those without a reason and not done, and send each its
 * way; flushes.
 */
void worker_burst(struct worker *worker, const struct table *table, const struct links *links,
		  unsigned n);

/* Send what is queued for egresses, the TUN and other workers. */
void worker_flush(struct worker *worker);

/* Make a sleeping worker look round. Any thread. */
void worker_wake(struct worker *worker);

/* One round of the loop without sleeping. Returns: how much there was to do */
unsigned worker_turn(struct worker *worker, uint64_t now_ms);

/* Whether an address is the host's own, so that no hop lies between it and Sluice. */
bool worker_owns(const struct worker *worker, const struct links *links, const struct addr *addr);

#endif
