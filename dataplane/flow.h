/*
 * The route cache: what a worker has decided of each 5-tuple, so that the next packet of a flow
 * costs one look-up instead of table, translation and state.
 *
 * Overview: set-associative; XXH3 with a random seed picks the set, 16-bit tags pick the way.
 * Bounded: created with a capacity, never grows, never allocates. When a set is full an entry is
 * evicted: an expired one first, then a closing one, then one that was never answered, then the
 * one idle longest. Entries carry the generation of the table that decided them; whoever
 * finds an old one asks the new table.
 *
 * Threads: owned by one worker; nobody else touches it.
 */
#ifndef SLUICE_DATAPLANE_FLOW_H
#define SLUICE_DATAPLANE_FLOW_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/packet.h"

struct flow_table;

/* What has been seen of a flow. Idle times follow RFC 4787, 5382, 5508 and 7857. */
enum flow_seen {
	FLOW_SEEN_OUT = 0x01,     /* packets from the inner side */
	FLOW_SEEN_IN = 0x02,      /* answers */
	FLOW_SEEN_FIN_OUT = 0x04, /* TCP */
	FLOW_SEEN_FIN_IN = 0x08,
	FLOW_SEEN_RST = 0x10,
	FLOW_SEEN_ACK_OUT = 0x20, /* an ACK from inside after an answer: established */
	FLOW_HAIRPIN = 0x80,      /* to an outer address of ours: it comes back in */
	FLOW_DRAINING = 0x40,     /* its egress changed; kept on the old one (OnChange = keep) */
};

enum {
	FLOW_IDLE_TCP_MS = 7440 * 1000,       /* established: 2 h 4 min (RFC 5382 REQ-5) */
	FLOW_IDLE_TCP_TRANSITORY_MS = 240000, /* opening, closing, after RST (RFC 5382, 7857) */
	FLOW_IDLE_UDP_MS = 300000,            /* RFC 4787 REQ-5 */
	FLOW_IDLE_ICMP_MS = 60000,            /* RFC 5508 REQ-2 */
	FLOW_IDLE_OTHER_MS = 60000,
	FLOW_NAT_NONE = 0,
};

struct flow {
	struct flow_key key; /* as the inner side sends it */
	uint32_t generation; /* of the table that decided */
	uint32_t last_ms;    /* low 32 bits of the worker's clock; 49 days are far past any timer */
	uint32_t nat;        /* the translation: nat_map index, FLOW_NAT_NONE for none */
	uint16_t verdict;    /* index into that generation's verdicts */
	uint16_t egress;
	uint8_t seen;        /* enum flow_seen */
	uint8_t hop;         /* see progress.h */
	uint16_t outer_port; /* of the translation, so that nobody need look it up */
	uint32_t source;     /* whose it is: see source.h; the owner's */
};

_Static_assert(sizeof(struct flow) == 64, "a flow is one cache line");

/* Beside the flow, not in its line: for people. */
struct flow_counters {
	uint64_t packets_out;
	uint64_t bytes_out;
	uint64_t packets_in;
	uint64_t bytes_in;
	uint64_t created_ms;
};

/* What to do with a flow that is evicted or expires, before its entry is used again. */
typedef void flow_release_fn(void *context, const struct flow *flow);

/*
 * capacity: flows, rounded up to a power of two
 * seed:     random; hash values never leave the machine
 * release:  called for every flow that goes, with context
 * Errors:   NULL when memory is short
 */
struct flow_table *flow_table_create(size_t capacity, uint64_t seed, flow_release_fn *release,
				     void *context);
void flow_table_destroy(struct flow_table *table); /* NULL does nothing; releases all flows */

uint64_t flow_hash(const struct flow_table *table, const struct flow_key *key);

/* Bring the lines of that hash's set towards the cache. */
void flow_prefetch(const struct flow_table *table, uint64_t hash);

/* The live flow of that key, or NULL; valid until the next flow_create, flow_remove or sweep. */
struct flow *flow_find(struct flow_table *table, const struct flow_key *key, uint64_t hash,
		       uint64_t now_ms);

/* How often flows have come or gone: as long as it stands, what flow_find said holds. */
uint64_t flow_changes(const struct flow_table *table);

/*
 * A new flow, zero but for key, last_ms and created_ms; evicts if its set is full. The key must
 * not be there.
 */
struct flow *flow_create(struct flow_table *table, const struct flow_key *key, uint64_t hash,
			 uint64_t now_ms);

/*
 * Give up a flow that nothing ever answered, of the protocol and family of `like`, with a
 * translation by an egress: ports are short. A few sets are looked at; the flow idle longest goes.
 *
 * source:  of this one alone, whatever its protocol and egress; 0: of any
 * Returns: whether there was one
 */
bool flow_evict_unanswered(struct flow_table *table, const struct flow_key *like, uint16_t egress,
			   uint32_t source, uint64_t now_ms);

/*
 * The two halves of that, so that what the flow refers to can be fetched between them.
 *
 * chosen:  may have gone meanwhile, or another may have its place
 * Returns: NULL for none; whether what is there now could go, and went
 */
struct flow *flow_choose_unanswered(struct flow_table *table, const struct flow_key *like,
				    uint16_t egress, uint32_t source, uint64_t now_ms);
bool flow_evict_chosen(struct flow_table *table, struct flow *chosen, const struct flow_key *like,
		       uint16_t egress);

void flow_remove(struct flow_table *table, struct flow *flow);

struct flow_counters *flow_counters(struct flow_table *table, const struct flow *flow);

/* Note a packet: state and time. len counts bytes on the wire of the inner side. */
void flow_note_out(struct flow_table *table, struct flow *flow, const struct packet *packet,
		   unsigned packets, uint64_t now_ms);
void flow_note_in(struct flow_table *table, struct flow *flow, const struct packet *packet,
		  unsigned packets, uint64_t now_ms);

/* Whether the flow has been idle for longer than its kind may. */
bool flow_expired(const struct flow *flow, uint64_t now_ms);

/* Expire idle flows in the next `sets` sets; goes round. Call it from time to time. */
void flow_sweep(struct flow_table *table, unsigned sets, uint64_t now_ms);

size_t flow_count(const struct flow_table *table);
size_t flow_capacity(const struct flow_table *table);
unsigned flow_set_count(const struct flow_table *table);

/*
 * Walk: the flow in slot `index` (0 .. flow_capacity() - 1), or NULL if it is empty or expired.
 */
struct flow *flow_at(struct flow_table *table, size_t index, uint64_t now_ms);

/* A word for people: "new", "established", "closing", "one-way", "draining"... */
const char *flow_state_name(const struct flow *flow);

#endif
