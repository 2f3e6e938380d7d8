/*
 * Fragments find the worker of their datagram.
 *
 * Overview: only the first fragment has ports, and with them an owner. All of a datagram's come to
 * one worker, by addresses and identification, whichever that is; it sends them on to the owner in
 * their order, once the first one has named it. Later ones that come before the first are held: a
 * few, and not for long. What is held for a datagram that turns out to be this worker's own takes
 * the same way, by its own inbox.
 *
 * One for each direction: what floods from outside takes nothing from the inside.
 *
 * Threads: the worker's own.
 */
#ifndef SLUICE_DATAPLANE_GATHER_H
#define SLUICE_DATAPLANE_GATHER_H

#include "dataplane/fragment.h"
#include "dataplane/inbox.h"

enum {
	GATHER_HELD_MAX = 32,       /* fragments */
	GATHER_HELD_SOURCE_MAX = 8, /* of one source */
	GATHER_HELD_MS = 2000,
	GATHER_LED_MAX = 16, /* datagrams whose first fragment is in the burst in hand */
};

/* A fragment that waits for the first one of its datagram. */
struct held {
	struct fragment_key key;
	struct message *message;
	uint64_t expires_ms;
};

struct gather {
	struct fragments fragments;        /* of this worker's datagrams, and of those that go on */
	struct held held[GATHER_HELD_MAX]; /* in order of arrival */
	unsigned held_count;
	/* Their first fragments come before the others in the burst, but are not noted yet. */
	struct fragment_key led[GATHER_LED_MAX];
	unsigned led_count;
};

/* A burst begins. */
static inline void gather_begin(struct gather *gather)
{
	gather->led_count = 0;
}

/*
 * Sort a first fragment.
 *
 * owner:   the worker that its ports name
 * Returns: REASON_NONE if it is this one: it notes the fragment, and calls gather_release then;
 *          REASON_HANDED_OVER, or why it was dropped
 */
enum reason gather_first(struct worker *worker, struct gather *gather, const struct packet *packet,
			 unsigned owner, enum way way, unsigned egress);

/*
 * Sort a later one.
 *
 * way:     WAY_OUT or WAY_IN
 * Returns: REASON_NONE if its datagram is this worker's; REASON_HANDED_OVER also if it is held now
 */
enum reason gather_later(struct worker *worker, struct gather *gather, const struct packet *packet,
			 enum way way, unsigned egress);

/* The first fragment of a datagram was noted: let go what is held for it. */
void gather_release(struct worker *worker, struct gather *gather, const struct packet *packet,
		    unsigned owner);

/* Drop what was held too long. */
void gather_expire(struct worker *worker, struct gather *gather);

#endif
