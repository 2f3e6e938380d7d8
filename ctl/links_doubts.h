/*
 * Next hops that are sent to and silent: whether they are still there, and by which address.
 *
 * Overview
 *   The kernel believes in a neighbour for 15 to 45 s after it was heard, waits 5 s more and asks
 *   the address that it knows for 3 s before it asks everybody. Where a gateway's address moved
 *   to another card in silence (a standby took over), all of that would be an outage. A doubted
 *   neighbour is asked at once by the address that is known, and if that does not answer,
 *   everybody is asked. The kernel hears the answers and changes its table, which stays the only
 *   source of what is used; nothing that it believes is taken away from it.
 *
 *   IPv4 keeps an entry for a second after its last change, whatever is answered (locktime), so
 *   the questions go on for longer than that.
 *
 * Threads: one.
 */
#ifndef SLUICE_CTL_LINKS_DOUBTS_H
#define SLUICE_CTL_LINKS_DOUBTS_H

#include <stdint.h>

#include "ctl/links_neighbours.h"
#include "ctl/netlink_linux.h"

enum {
	DOUBTS_MAX = 32,          /* others are doubted again when there is room */
	DOUBT_CONFIRMED_MS = 500, /* who was heard by the kernel since is not asked */
	DOUBT_ALONE_MS = 150,     /* for an answer from the address that is known */
	DOUBT_ALL_MS = 300,       /* for one from anybody */
	DOUBT_QUESTIONS = 6,
	DOUBT_REST_MS = 1000, /* after questions in vain */
};

struct doubt {
	unsigned ifindex;
	struct addr addr;
	struct addr source;
	uint8_t mac[6];
	unsigned asked; /* questions */
	uint64_t since_ms;
	uint64_t due_ms;
};

struct doubts {
	int fd; /* from solicit_open */
	unsigned count;
	struct doubt items[DOUBTS_MAX];
};

/*
 * Ask whether a neighbour is still there, unless it was heard lately or is being asked.
 *
 * source: an address of the interface
 * Errors: the kernel's; doubts of neighbours that are not known, or known by decree, are none
 */
int doubts_begin(struct doubts *doubts, struct neighbours *neighbours, struct netlink *netlink,
		 const struct neighbour *neighbour, const struct addr *source, uint64_t now_ms);

/* Ask on where answers are due, and forget what is settled. */
void doubts_turn(struct doubts *doubts, const struct neighbours *neighbours,
		 struct netlink *netlink, uint64_t now_ms);

/* How long until doubts_turn has something to do; -1: nothing. */
int doubts_wait_ms(const struct doubts *doubts, uint64_t now_ms);

#endif
