/*
 * What `sluice-perf load` holds against the dataplane: which side a datagram may have left by, and
 * what became of each.
 *
 * Overview: prefixes belong to classes, and a class is on one side or the other, left or right, by
 * the number of the generation alone: each generation moves one class of four, and two never move.
 * A datagram carries its number and the newest generation that the daemon had confirmed when it was
 * sent; any generation from that one to the newest that had been asked for when it was captured may
 * have decided it, and one of these must account for its side.
 *
 * Threads: one changes generations (load_timeline_request, load_timeline_confirm), one sends, one
 * checks.
 */
#ifndef SLUICE_PERF_LOAD_CHECK_H
#define SLUICE_PERF_LOAD_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "perf/latency.h"

enum { LOAD_LEFT, LOAD_RIGHT, LOAD_SIDES };

enum {
	LOAD_MOVING = 4, /* classes 0 to 3 move, one a generation */
	LOAD_STAYS_LEFT = LOAD_MOVING,
	LOAD_STAYS_RIGHT,
	LOAD_CLASSES,
	LOAD_PERIOD = 2 * LOAD_MOVING, /* generations until all is where it was */
};

/* The side of a class in a generation, which counts from 1. */
unsigned load_side(unsigned class, uint32_t generation);

/* The class that the next generation moves. */
unsigned load_class_moved_next(uint32_t generation);

struct load_generation {
	uint64_t requested_ns;
	uint64_t confirmed_ns; /* 0: not yet */
};

/* When each generation was asked for, and when the daemon said that it was in force. */
struct load_timeline {
	struct load_generation *generation; /* by number; 0 is not used */
	uint32_t room;
	uint32_t requested;
	uint32_t confirmed;
};

/* Starts in generation 1. Errors: -ENOMEM */
int load_timeline_init(struct load_timeline *timeline, uint32_t room);
void load_timeline_fini(struct load_timeline *timeline);

/* Just before the daemon is asked for the next generation. Errors: -ENOSPC */
int load_timeline_request(struct load_timeline *timeline, uint64_t now_ns);

/* When it has answered. */
void load_timeline_confirm(struct load_timeline *timeline, uint64_t now_ns);

/* What a sender stamps. */
uint32_t load_timeline_confirmed(const struct load_timeline *timeline);

/* What each datagram carries: host byte order, since both ends are one program. */
struct load_packet {
	uint64_t due_ns;
	uint64_t sent_ns;
	uint64_t sequence; /* of its flow, from 0 */
	uint32_t flow;
	uint32_t generation;
	uint32_t run;
	uint32_t zero;
};

/* Which of a run's packets something is true of. */
struct load_bits {
	uint64_t *words;
	uint64_t count;
};

/* Errors: -ENOMEM */
int load_bits_init(struct load_bits *bits, uint64_t count);
void load_bits_fini(struct load_bits *bits);
bool load_bits_get(const struct load_bits *bits, uint64_t index);
void load_bits_set(struct load_bits *bits, uint64_t index);

/* Set what is set in another of the same count. */
void load_bits_merge(struct load_bits *to, const struct load_bits *from);

/* A run as it was planned; packet i is of flow i % flows and due at start_ns + i * gap_ns. */
struct load_plan {
	uint32_t run; /* random */
	unsigned flows;
	const uint8_t *classes; /* of each flow's destination */
	uint64_t count;
	uint64_t start_ns;
	double gap_ns;
};

uint64_t load_plan_due_ns(const struct load_plan *plan, uint64_t index);

/* What a sink has seen of a run. */
struct load_check {
	const struct load_plan *plan;
	const struct load_timeline *timeline;
	struct load_bits seen[LOAD_SIDES];
	uint64_t *next[LOAD_SIDES]; /* by flow: one past its newest */
	uint64_t received;
	uint64_t duplicated;
	uint64_t reordered; /* came after a later one of their flow, on the same side */
	uint64_t misrouted;
	uint64_t certain;       /* whose side only one answer was right for */
	struct latency latency; /* from due to captured */
	struct latency late;    /* of which the sender: from due to sent */
};

/* Errors: -ENOMEM */
int load_check_init(struct load_check *check, const struct load_plan *plan,
		    const struct load_timeline *timeline);
void load_check_fini(struct load_check *check);

/*
 * A datagram was captured on a side.
 *
 * altered: its addresses are not those that it should have there
 */
void load_check_packet(struct load_check *check, unsigned side, const struct load_packet *packet,
		       uint64_t captured_ns, bool altered);

/* A time in which a side, or both, could not carry anything, and when it was mended. */
struct load_outage {
	bool side[LOAD_SIDES];
	uint64_t from_ns;
	uint64_t to_ns; /* 0: not yet */
};

enum {
	LOAD_OUTAGE_BEFORE_MS = 50,  /* what was under way when it began is lost with it */
	LOAD_OUTAGE_AFTER_MS = 1000, /* until it must have recovered */
};

struct load_losses {
	uint64_t lost;
	uint64_t in_change;  /* of these, due while the daemon was at a new generation */
	uint64_t in_outage;  /* lost besides, but for a reason */
	uint64_t longest;    /* most that were lost in a row */
	uint64_t recover_ns; /* the longest from the end of an outage to its last loss */
};

/*
 * What was sent and not seen; counts as duplicated, too, what was seen on both sides.
 *
 * sent:    bits of the plan's count
 * outages: in the order of their beginnings
 */
void load_check_losses(struct load_check *check, const struct load_bits *sent,
		       const struct load_outage *outages, unsigned outage_count,
		       struct load_losses *out);

#endif
