/* Packets that wait for their next hop's link-layer address. */
#include "dataplane/pending.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/links.h"

struct slot {
	bool used;
	unsigned egress;
	struct addr via;
	uint64_t expires_ms;
	struct buf buf;
	uint8_t data[PENDING_SIZE_MAX];
};

struct pending {
	size_t count;
	struct slot slot[PENDING_MAX]; /* in order of arrival from slot 0, with holes */
};

struct pending *pending_create(void)
{
	return calloc(1, sizeof(struct pending));
}

void pending_destroy(struct pending *p)
{
	free(p);
}

/* Close the holes, so that a new packet goes behind the older ones. */
static unsigned compact(struct pending *p)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < PENDING_MAX; i++) {
		if (!p->slot[i].used)
			continue;
		if (kept != i) {
			p->slot[kept] = p->slot[i];
			p->slot[kept].buf.data = p->slot[kept].data;
			p->slot[i].used = false;
		}
		kept++;
	}
	return kept;
}

bool pending_add(struct pending *p, const struct buf *buf, unsigned egress, const struct addr *via,
		 uint64_t now_ms, bool *first)
{
	unsigned same = 0, end;
	struct slot *s;

	if (buf->len > PENDING_SIZE_MAX)
		return false;
	end = compact(p);
	if (end == PENDING_MAX)
		return false;
	for (unsigned i = 0; i < end; i++)
		same += p->slot[i].egress == egress && link_addr_compare(&p->slot[i].via, via) == 0;
	if (same == PENDING_PER_HOP_MAX)
		return false;

	s = &p->slot[end];
	s->used = true;
	s->egress = egress;
	s->via = *via;
	s->expires_ms = now_ms + PENDING_MS;
	s->buf = *buf;
	s->buf.data = s->data;
	memcpy(s->data, buf->data, buf->len);
	p->count++;
	*first = same == 0;
	return true;
}

bool pending_next(struct pending *p, unsigned *cursor, struct buf **buf, unsigned *egress,
		  struct addr *via, bool *expired, uint64_t now_ms)
{
	while (*cursor < PENDING_MAX) {
		struct slot *s = &p->slot[(*cursor)++];

		if (!s->used)
			continue;
		*buf = &s->buf;
		*egress = s->egress;
		*via = s->via;
		*expired = s->expires_ms <= now_ms;
		return true;
	}
	return false;
}

void pending_remove(struct pending *p, unsigned cursor)
{
	if (cursor > 0 && p->slot[cursor - 1].used) {
		p->slot[cursor - 1].used = false;
		p->count--;
	}
}

size_t pending_count(const struct pending *p)
{
	return p->count;
}
