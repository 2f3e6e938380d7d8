/* See progress.h. */
#include "dataplane/progress.h"

#include "dataplane/links.h"

static unsigned place_of(uint32_t egress, const struct addr *via)
{
	uint64_t bits = via->version == 4 ? via->v4 : via->v6.hi ^ via->v6.lo;

	bits = (bits + egress) * UINT64_C(0x9e3779b97f4a7c15);
	return 1 + (unsigned)((bits >> 32) % (PROGRESS_MAX - 1));
}

bool progress_sent(struct progress *progress, uint32_t egress, const struct addr *via,
		   uint64_t now_ms, uint8_t *hop)
{
	unsigned place = place_of(egress, via);
	struct hop *h = &progress->items[place];

	if (h->egress != egress || h->via.version == 0 || link_addr_compare(&h->via, via) != 0) {
		*hop = PROGRESS_NONE;
		if (h->via.version != 0 && now_ms - h->used_ms < PROGRESS_FORGET_MS)
			return false;
		*h = (struct hop){.via = *via, .egress = egress};
	}
	*hop = (uint8_t)place;
	h->used_ms = now_ms;
	if (!h->waiting) {
		h->waiting = true;
		h->since_ms = h->doubted_ms = now_ms;
		return false;
	}
	if (now_ms - h->since_ms < PROGRESS_SILENT_MS)
		return false;
	if (h->doubted_ms != h->since_ms && now_ms - h->doubted_ms < PROGRESS_REPEAT_MS)
		return false;
	h->doubted_ms = now_ms;
	return true;
}
