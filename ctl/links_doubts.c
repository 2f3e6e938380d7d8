/* See links_doubts.h. */
#include "ctl/links_doubts.h"

#include <errno.h>
#include <string.h>

#include "ctl/links_solicit.h"

/* Whether the kernel has heard a neighbour in the last so many ms; failures are a no. */
static bool heard(struct netlink *netlink, const struct doubt *d, uint64_t within_ms)
{
	uint64_t ago_ms;

	return neighbours_heard(netlink, d->ifindex, &d->addr, &ago_ms) == 0 && ago_ms <= within_ms;
}

static void ask(const struct doubts *doubts, struct doubt *d, uint64_t now_ms)
{
	bool alone = d->asked++ == 0;

	(void)solicit_send(doubts->fd, d->ifindex, &d->source, &d->addr, alone ? d->mac : NULL);
	d->due_ms = now_ms + (alone ? DOUBT_ALONE_MS : DOUBT_ALL_MS);
}

static bool is_doubted(const struct doubts *doubts, const struct neighbour *neighbour)
{
	for (unsigned i = 0; i < doubts->count; i++)
		if (doubts->items[i].ifindex == neighbour->ifindex &&
		    link_addr_compare(&doubts->items[i].addr, &neighbour->addr) == 0)
			return true;
	return false;
}

int doubts_begin(struct doubts *doubts, struct neighbours *neighbours, struct netlink *netlink,
		 const struct neighbour *neighbour, const struct addr *source, uint64_t now_ms)
{
	struct doubt d = {
		.ifindex = neighbour->ifindex,
		.addr = neighbour->addr,
		.source = *source,
		.since_ms = now_ms,
	};

	if (doubts->count == DOUBTS_MAX || is_doubted(doubts, neighbour) ||
	    heard(netlink, &d, DOUBT_CONFIRMED_MS))
		return 0;
	memcpy(d.mac, neighbour->mac, sizeof d.mac);
	ask(doubts, &d, now_ms);
	doubts->items[doubts->count++] = d;
	/* It is in use: where nobody answers, the kernel comes to that end in its own time. */
	return neighbours_ask(neighbours, netlink, d.ifindex, &d.addr);
}

/* Whether a neighbour answered, by whatever address, or is no longer believed in. */
static bool is_settled(const struct doubt *d, const struct neighbours *neighbours,
		       struct netlink *netlink, uint64_t now_ms)
{
	const struct neighbour *known = neighbours_find_usable(neighbours, d->ifindex, &d->addr);

	return !known || memcmp(known->mac, d->mac, sizeof d->mac) != 0 ||
	       heard(netlink, d, now_ms - d->since_ms);
}

void doubts_turn(struct doubts *doubts, const struct neighbours *neighbours,
		 struct netlink *netlink, uint64_t now_ms)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < doubts->count; i++) {
		struct doubt d = doubts->items[i];

		if (d.due_ms <= now_ms) {
			if (d.asked > DOUBT_QUESTIONS ||
			    is_settled(&d, neighbours, netlink, now_ms))
				continue;
			ask(doubts, &d, now_ms);
			if (d.asked > DOUBT_QUESTIONS)
				d.due_ms = now_ms + DOUBT_REST_MS;
		}
		doubts->items[kept++] = d;
	}
	doubts->count = kept;
}

int doubts_wait_ms(const struct doubts *doubts, uint64_t now_ms)
{
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < doubts->count; i++)
		if (doubts->items[i].due_ms < first)
			first = doubts->items[i].due_ms;
	if (first == UINT64_MAX)
		return -1;
	return first <= now_ms ? 0 : (int)(first - now_ms);
}
