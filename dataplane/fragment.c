/* Following the first fragment of a datagram. */
#include "dataplane/fragment.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct fragment_key {
	uint8_t src[16];
	uint8_t dst[16];
	uint32_t id;
	uint8_t proto;
	uint8_t version;
	uint8_t zero[2];
};

/* IPv6 fragments belong together whatever their next headers say (RFC 8200, section 4.5). */
static uint8_t datagram_proto(const struct packet *p)
{
	return p->key.version == 4 ? p->key.proto : 0;
}

static unsigned slot_of(const struct fragments *f, const struct packet *p)
{
	struct fragment_key k = {
		.id = p->fragment_id, .proto = datagram_proto(p), .version = p->key.version};

	memcpy(k.src, p->key.src, sizeof(k.src));
	memcpy(k.dst, p->key.dst, sizeof(k.dst));
	return (unsigned)(XXH3_64bits_withSeed(&k, sizeof(k), f->seed) % FRAGMENTS_MAX);
}

void fragment_note(struct fragments *f, const struct packet *p, uint16_t egress,
		   uint32_t generation, uint64_t now_ms)
{
	struct fragment *s = &f->slot[slot_of(f, p)];

	memcpy(s->src, p->key.src, sizeof(s->src));
	memcpy(s->dst, p->key.dst, sizeof(s->dst));
	s->id = p->fragment_id;
	s->proto = datagram_proto(p);
	s->version = p->key.version;
	s->egress = egress;
	s->generation = generation;
	s->expires_ms = now_ms + FRAGMENT_MS;
}

bool fragment_follow(const struct fragments *f, const struct packet *p, uint32_t generation,
		     uint64_t now_ms, uint16_t *egress)
{
	const struct fragment *s = &f->slot[slot_of(f, p)];

	if (s->expires_ms <= now_ms || s->generation != generation || s->id != p->fragment_id ||
	    s->proto != datagram_proto(p) || s->version != p->key.version ||
	    memcmp(s->src, p->key.src, sizeof(s->src)) != 0 ||
	    memcmp(s->dst, p->key.dst, sizeof(s->dst)) != 0)
		return false;
	*egress = s->egress;
	return true;
}
