/* See replay.h: a ring of words; those between the old top and a new one are cleared. */
#include "dataplane/wireguard/replay.h"

#include "dataplane/wireguard/message.h"

enum {
	WORDS = WG_REPLAY_BITS / 64,
};

bool wg_replay_accept(struct wg_replay *r, uint64_t counter)
{
	uint64_t bit = UINT64_C(1) << (counter % 64);
	uint64_t word = counter / 64;

	if (counter >= WG_REJECT_AFTER_MESSAGES || counter + 1 + WG_REPLAY_WINDOW < r->top)
		return false;
	if (counter >= r->top) {
		/* Position -1, from which nothing was seen, is in no word: word 0 is clear then. */
		uint64_t last = r->top > 0 ? (r->top - 1) / 64 : 0;

		if (word - last >= WORDS)
			memset(r->bits, 0, sizeof(r->bits));
		else
			for (uint64_t w = last + 1; w <= word; w++)
				r->bits[w % WORDS] = 0;
		r->top = counter + 1;
	} else if (r->bits[word % WORDS] & bit) {
		return false;
	}
	r->bits[word % WORDS] |= bit;
	return true;
}
