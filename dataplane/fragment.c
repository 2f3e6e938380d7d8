/* Following the first fragment of a datagram. */
#include "dataplane/fragment.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* IPv6 fragments belong together whatever their next headers say (RFC 8200, section 4.5). */
static uint8_t datagram_proto(const struct packet *p)
{
	return p->key.version == 4 ? p->key.proto : 0;
}

struct fragment_key fragment_key_of(const struct packet *p)
{
	struct fragment_key k = {
		.id = p->fragment_id, .proto = datagram_proto(p), .version = p->key.version};

	memcpy(k.src, p->key.src, sizeof(k.src));
	memcpy(k.dst, p->key.dst, sizeof(k.dst));
	return k;
}

static struct fragment *set_of(struct fragments *f, const struct fragment_key *k)
{
	return f->set[XXH3_64bits_withSeed(k, sizeof(*k), f->seed) % FRAGMENT_SETS];
}

static struct fragment *find(struct fragment *set, const struct fragment_key *k, uint64_t now_ms)
{
	for (unsigned i = 0; i < FRAGMENT_WAYS; i++) {
		struct fragment *s = &set[i];

		if (s->expires_ms > now_ms && memcmp(&s->key, k, sizeof(*k)) == 0)
			return s;
	}
	return NULL;
}

/* The place for a new datagram: a free one, else the oldest of its source, else the oldest. */
static struct fragment *choose(struct fragment *set, const struct fragment_key *k, uint64_t now_ms)
{
	struct fragment *oldest = &set[0], *own = NULL;

	for (unsigned i = 0; i < FRAGMENT_WAYS; i++) {
		struct fragment *s = &set[i];

		if (s->expires_ms <= now_ms)
			return s;
		if (s->expires_ms < oldest->expires_ms)
			oldest = s;
		if (s->key.version == k->version &&
		    memcmp(s->key.src, k->src, sizeof(k->src)) == 0 &&
		    (!own || s->expires_ms < own->expires_ms))
			own = s;
	}
	return own ? own : oldest;
}

/* Add bytes to what was seen, next to which they may stand; false if some of them were seen. */
static bool add_range(struct fragment *s, struct fragment_range new)
{
	for (unsigned i = 0; i < s->range_count; i++)
		if (new.from < s->range[i].to && s->range[i].from < new.to)
			return false;
	for (unsigned i = 0; i < s->range_count;) {
		if (s->range[i].to != new.from && s->range[i].from != new.to) {
			i++;
			continue;
		}
		if (s->range[i].to == new.from)
			new.from = s->range[i].from;
		else
			new.to = s->range[i].to;
		s->range[i] = s->range[--s->range_count];
		i = 0;
	}
	if (s->range_count == FRAGMENT_RANGES_MAX)
		return false;
	/* By its fields: UBSan does not check the index of a struct that is assigned whole. */
	s->range[s->range_count].from = new.from;
	s->range[s->range_count++].to = new.to;
	return true;
}

/* Whether all of it was seen before, and it says nothing else of the end. */
static bool is_again(const struct fragment *s, struct fragment_range new, bool more)
{
	for (unsigned i = 0; i < s->range_count; i++)
		if (s->range[i].from <= new.from &&new.to <= s->range[i].to)
			return more || new.to == s->end;
	return false;
}

/*
 * Take in a fragment of a datagram; false if it must be dropped. Networks duplicate: what comes
 * again goes no further and spoils nothing (RFC 8200, section 4.5).
 */
static bool extend(struct fragment *s, const struct packet *p)
{
	struct fragment_range new = {.from = p->fragment_offset};

	new.to = new.from + p->buf->len - p->l4_offset;
	if (is_again(s, new, p->more_fragments))
		return false;
	if (!p->more_fragments && s->end != 0 && s->end != new.to)
		s->spoilt = true;
	if (!p->more_fragments)
		s->end = new.to;
	if (s->spoilt || (s->end != 0 && new.to > s->end) || !add_range(s, new)) {
		s->spoilt = true;
		return false;
	}
	if (s->range_count == 1 && s->range[0].from == 0 && s->range[0].to == s->end)
		s->expires_ms = 0; /* whole: the next one with this identification is another */
	return true;
}

bool fragment_note(struct fragments *f, const struct packet *p, const struct fragment_aim *aim,
		   uint64_t now_ms)
{
	const struct fragment_key k = fragment_key_of(p);
	struct fragment *set = set_of(f, &k);
	struct fragment *s = find(set, &k, now_ms);

	if (!s) {
		s = choose(set, &k, now_ms);
		memset(s, 0, sizeof(*s));
		s->key = k;
		s->aim = *aim;
		s->expires_ms = now_ms + FRAGMENT_MS;
	}
	return extend(s, p);
}

bool fragment_follow(struct fragments *f, const struct packet *p, uint64_t now_ms,
		     struct fragment_aim *aim)
{
	const struct fragment_key k = fragment_key_of(p);
	struct fragment *s = find(set_of(f, &k), &k, now_ms);

	if (!s || !extend(s, p))
		return false;
	*aim = s->aim;
	return true;
}

bool fragment_find(struct fragments *f, const struct packet *p, uint64_t now_ms,
		   struct fragment_aim *aim)
{
	const struct fragment_key k = fragment_key_of(p);
	const struct fragment *s = find(set_of(f, &k), &k, now_ms);

	if (s)
		*aim = s->aim;
	return s != NULL;
}
