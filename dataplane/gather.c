/* See gather.h. */
#include "dataplane/gather.h"

#include <string.h>

#include "dataplane/worker.h"

/* Of WAY_OUT, WAY_OUT_PART, and so of WAY_IN. */
static enum way part_of(enum way way)
{
	return way == WAY_OUT ? WAY_OUT_PART : WAY_IN_PART;
}

static void forget(struct gather *g, unsigned at)
{
	g->held_count--;
	memmove(&g->held[at], &g->held[at + 1], (g->held_count - at) * sizeof(g->held[0]));
}

static void drop(struct worker *w, struct gather *g, unsigned at)
{
	worker_drop(w, REASON_FRAGMENT, 1);
	inbox_give_back(&g->held[at].message, 1);
	forget(g, at);
}

/* A source has room for so many, and gives up its oldest; so do all if they are too many. */
static enum reason hold(struct worker *w, struct gather *g, const struct packet *p, enum way way,
			unsigned egress)
{
	const struct fragment_key k = fragment_key_of(p);
	unsigned own = 0, oldest = 0;
	struct message *m;

	for (unsigned i = g->held_count; i-- > 0;) {
		if (memcmp(g->held[i].key.src, k.src, sizeof(k.src)) != 0)
			continue;
		own++;
		oldest = i;
	}
	if (own == GATHER_HELD_SOURCE_MAX)
		drop(w, g, oldest);
	else if (g->held_count == GATHER_HELD_MAX)
		drop(w, g, 0);
	m = inbox_wrap(&w->inbox, p, part_of(way), egress);
	if (!m)
		return REASON_INBOX_FULL;
	g->held[g->held_count++] =
		(struct held){.key = k, .message = m, .expires_ms = w->now_ms + GATHER_HELD_MS};
	return REASON_HANDED_OVER;
}

/* Whether a held fragment may go on to another worker; its own notes it itself. */
static bool goes_on(struct worker *w, struct gather *g, struct message *m, unsigned owner)
{
	struct fragment_aim aim;
	struct packet p;

	if (owner == w->index)
		return true;
	return packet_parse(&m->buf, &p) == REASON_NONE &&
	       fragment_follow(&g->fragments, &p, w->now_ms, &aim);
}

void gather_release(struct worker *w, struct gather *g, const struct packet *p, unsigned owner)
{
	struct fragment_key k;
	unsigned i = 0;

	if (g->held_count == 0)
		return;
	k = fragment_key_of(p);
	while (i < g->held_count) {
		struct message *m = g->held[i].message;

		if (memcmp(&g->held[i].key, &k, sizeof(k)) != 0) {
			i++;
		} else if (goes_on(w, g, m, owner)) {
			inbox_send(w, owner, m);
			forget(g, i);
		} else {
			drop(w, g, i);
		}
	}
}

enum reason gather_first(struct worker *w, struct gather *g, const struct packet *p, unsigned owner,
			 enum way way, unsigned egress)
{
	const struct fragment_aim aim = {.worker = (uint16_t)owner};
	enum reason reason;

	if (owner == w->index) {
		if (g->led_count < GATHER_LED_MAX)
			g->led[g->led_count++] = fragment_key_of(p);
		return REASON_NONE;
	}
	if (!fragment_note(&g->fragments, p, &aim, w->now_ms))
		return REASON_FRAGMENT;
	reason = inbox_hand_over(w, owner, p, part_of(way), egress);
	gather_release(w, g, p, owner);
	return reason;
}

static bool is_led(const struct gather *g, const struct packet *p)
{
	const struct fragment_key k = fragment_key_of(p);

	for (unsigned i = 0; i < g->led_count; i++)
		if (memcmp(&g->led[i], &k, sizeof(k)) == 0)
			return true;
	return false;
}

enum reason gather_later(struct worker *w, struct gather *g, const struct packet *p, enum way way,
			 unsigned egress)
{
	struct fragment_aim aim;

	if (!fragment_find(&g->fragments, p, w->now_ms, &aim))
		return is_led(g, p) ? REASON_NONE : hold(w, g, p, way, egress);
	if (aim.worker == w->index)
		return REASON_NONE;
	if (!fragment_follow(&g->fragments, p, w->now_ms, &aim))
		return REASON_FRAGMENT;
	return inbox_hand_over(w, aim.worker, p, part_of(way), egress);
}

void gather_expire(struct worker *w, struct gather *g)
{
	while (g->held_count && g->held[0].expires_ms <= w->now_ms)
		drop(w, g, 0);
}
