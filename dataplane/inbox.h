/*
 * Hand-over: packets that reached the wrong worker go to the right one.
 *
 * Overview: each worker has an inbox, a ring that all may put into and it alone takes from, of
 * messages: a packet, and where it stands on its way. Messages belong to a worker for good, a fixed
 * number each; who takes one gives it back by a second ring of its owner's. A packet is not copied:
 * message and receive buffer change their memory, and the burst goes on with what the message had.
 * Memory that no packet has been in yet is not touched. What is handed over in a burst goes out
 * with its end, in order and in bulk.
 *
 * Bounds: INBOX_MESSAGES buffers a worker, 8.4 MB of address space, as much of it in use as was
 * ever full at a time. A worker without a message, or a full inbox, drops: REASON_INBOX_FULL.
 *
 * Sleep: the owner is woken only if it sleeps. `asleep` is changed by read-modify-write alone, also
 * where a store would do. All of those have one order:
 *
 *   sender                                     owner
 *   puts messages in                           says that it sleeps          [doze-1]
 *   says that it does not    [doze-2]          looks into the inbox, then waits
 *   wakes it if it did
 *
 * If the sender is first, the owner's [doze-1] reads what [doze-2] wrote, or what was made of it,
 * and sees the messages. If the owner is, the sender reads that it sleeps.
 *
 * Threads: the worker's own, but for inbox_put and inbox_rouse.
 */
#ifndef SLUICE_DATAPLANE_INBOX_H
#define SLUICE_DATAPLANE_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/reason.h"
#include "dataplane/ring.h"
#include "tun/buf.h"
#include "tun/udp.h"

struct packet;
struct worker;

enum {
	INBOX_SIZE = 256,     /* messages that wait for a worker; power of two */
	INBOX_MESSAGES = 128, /* of each worker; power of two */
	INBOX_OUT_MAX = 64,   /* that leave together */
	INBOX_TAKE_MAX = 64,  /* that are taken together */
};

/* Where a packet stands on its way. */
enum way {
	WAY_OUT,      /* from the TUN */
	WAY_OUT_PART, /* a fragment from the TUN: its datagram is the taker's, whatever it says */
	WAY_IN,       /* from an egress */
	WAY_IN_PART,
	WAY_BACK,   /* a hairpin: translated as if it had left, and not yet as if it came in */
	WAY_SEALED, /* a tunnel's datagrams, as they were received */
};

struct message {
	struct buf buf;
	struct inbox *home; /* whose it is */
	uint16_t to;        /* worker */
	uint16_t egress;    /* of WAY_IN and after */
	uint16_t packets;   /* on the wire */
	uint8_t way;
	struct udp_message sealed; /* of WAY_SEALED, in buf */
};

struct inbox {
	struct ring *in;   /* for this worker */
	struct ring *home; /* its own messages that come back */
	struct message *messages;
	uint8_t *storage;
	struct message *spare[INBOX_MESSAGES]; /* last in, first out: what is in the cache */
	unsigned spare_count;
	struct message *out[INBOX_OUT_MAX]; /* of this burst */
	unsigned out_count;
	struct message *taken[INBOX_TAKE_MAX]; /* by inbox_take */
	_Alignas(RING_LINE) uint64_t asleep;   /* [doze-1], [doze-2] */
};

/* Errors: -ENOMEM leaves nothing behind */
int inbox_init(struct inbox *inbox);
void inbox_fini(struct inbox *inbox); /* no other worker may still run */

/*
 * Take a packet out of the burst, into a message, to be kept (and given back) or sent. Its buffer
 * has other memory afterwards.
 *
 * Returns: NULL if all messages are under way
 */
struct message *inbox_wrap(struct inbox *inbox, const struct packet *packet, enum way way,
			   unsigned egress);

/*
 * Hand a packet over to another worker, with the end of the burst; the packet must not be used
 * after.
 *
 * egress:  of WAY_IN and after
 * Returns: REASON_HANDED_OVER, or REASON_INBOX_FULL
 */
enum reason inbox_hand_over(struct worker *worker, unsigned to, const struct packet *packet,
			    enum way way, unsigned egress);

/* The same with datagrams of a tunnel, which are copied. */
enum reason inbox_hand_over_sealed(struct worker *worker, unsigned to,
				   const struct udp_message *datagrams, unsigned egress);

/* The same with what inbox_wrap made; `to` may be the worker itself. */
void inbox_send(struct worker *worker, unsigned to, struct message *message);

/* Let go what was handed over since the last time, and wake who sleeps. */
void inbox_flush(struct worker *worker);

/*
 * Take messages out into inbox->taken, the oldest first; for each worker in the order in which it
 * sent them. From an empty inbox that is one load, of a line that nobody writes.
 *
 * Returns: how many; they must be given back
 */
static inline unsigned inbox_take(struct inbox *inbox)
{
	return ring_dequeue_burst_as(inbox->in, RING_SINGLE, (void **)inbox->taken, INBOX_TAKE_MAX);
}

/* Give messages back to their owners. */
void inbox_give_back(struct message *const *messages, unsigned n);

/*
 * Say that the owner is about to sleep.
 *
 * Returns: whether it may; if not, there is something in the inbox
 */
static inline bool inbox_doze(const struct ring *in, uint64_t *asleep);

/*
 * Say that the owner does not sleep: itself when it has woken, others when they have put something
 * in.
 *
 * Returns: whether it slept; others must wake it then
 */
static inline bool inbox_rouse(uint64_t *asleep);

/* ---- How ---- */

RING_INLINE uint64_t inbox_exchange(uint64_t *asleep, uint64_t value)
{
	uint64_t was = false;

	while (!RING_CAS(asleep, &was, value, __ATOMIC_ACQ_REL))
		;
	return was;
}

static inline bool inbox_rouse(uint64_t *asleep)
{
	/*
	 * [doze-2] Orders what was put in before this; pairs with [doze-1]. By the owner itself: a
	 * store would hide what others wrote, and with it what they put in.
	 */
	return inbox_exchange(asleep, false);
}

static inline bool inbox_doze(const struct ring *in, uint64_t *asleep)
{
	/*
	 * [doze-1] Orders this before the look into the inbox; pairs with [doze-2]. Otherwise a
	 * sender could read that the owner is awake, and the owner that nothing has come.
	 */
	inbox_exchange(asleep, true);
	if (ring_count_racy(in) == 0)
		return true;
	inbox_rouse(asleep);
	return false;
}

#endif
