/* See stage.h. A packet is a chain of blocks; a peer has a list of packets. */
#include "dataplane/wireguard/stage.h"

#include <stdlib.h>
#include <string.h>

enum {
	NONE = UINT16_MAX,
};

struct packet_entry {
	uint16_t next;  /* of the peer's, or free */
	uint16_t first; /* block */
	uint16_t blocks;
	uint32_t len;
	struct offload offload;
};

struct list {
	struct wg_stage_peer peer;
	uint16_t head;
	uint16_t tail;
	uint16_t packets;
	uint16_t blocks;
};

struct wg_stage {
	unsigned list_count;
	uint16_t free_packet;
	uint16_t free_block;
	uint16_t free_blocks;
	struct list lists[WG_STAGE_PEERS_MAX];
	struct packet_entry packets[WG_STAGE_PACKETS_MAX];
	uint16_t next_block[WG_STAGE_BLOCKS];
	uint8_t blocks[WG_STAGE_BLOCKS][WG_STAGE_BLOCK];
};

struct wg_stage *wg_stage_create(void)
{
	struct wg_stage *s = malloc(sizeof(*s));

	if (!s)
		return NULL;
	s->list_count = 0;
	s->free_packet = s->free_block = 0;
	s->free_blocks = WG_STAGE_BLOCKS;
	for (unsigned i = 0; i < WG_STAGE_PACKETS_MAX; i++)
		s->packets[i].next = (uint16_t)(i + 1 < WG_STAGE_PACKETS_MAX ? i + 1 : NONE);
	for (unsigned i = 0; i < WG_STAGE_BLOCKS; i++)
		s->next_block[i] = (uint16_t)(i + 1 < WG_STAGE_BLOCKS ? i + 1 : NONE);
	return s;
}

void wg_stage_destroy(struct wg_stage *stage)
{
	free(stage);
}

static struct list *find(struct wg_stage *s, uint64_t id)
{
	for (unsigned i = 0; i < s->list_count; i++)
		if (s->lists[i].peer.id == id)
			return &s->lists[i];
	return NULL;
}

/* Give a list's oldest packet back. */
static void pop(struct wg_stage *s, struct list *l)
{
	uint16_t at = l->head;
	struct packet_entry *p = &s->packets[at];
	uint16_t last = p->first;

	while (s->next_block[last] != NONE)
		last = s->next_block[last];
	s->next_block[last] = s->free_block;
	s->free_block = p->first;
	s->free_blocks = (uint16_t)(s->free_blocks + p->blocks);
	l->blocks = (uint16_t)(l->blocks - p->blocks);
	l->packets--;
	l->head = p->next;
	p->next = s->free_packet;
	s->free_packet = at;
}

static void remove_list(struct wg_stage *s, struct list *l)
{
	*l = s->lists[--s->list_count];
}

static void copy_in(struct wg_stage *s, struct packet_entry *p, const struct buf *buf)
{
	uint16_t *link = &p->first;

	for (uint32_t at = 0; at < buf->len; at += WG_STAGE_BLOCK) {
		uint32_t left = buf->len - at;
		uint16_t block = s->free_block;

		s->free_block = s->next_block[block];
		memcpy(s->blocks[block], buf->data + at,
		       left < WG_STAGE_BLOCK ? left : WG_STAGE_BLOCK);
		*link = block;
		link = &s->next_block[block];
	}
	*link = NONE;
	s->free_blocks = (uint16_t)(s->free_blocks - p->blocks);
}

unsigned wg_stage_add(struct wg_stage *s, const struct wg_stage_peer *peer, const struct buf *buf)
{
	uint32_t blocks = (buf->len + WG_STAGE_BLOCK - 1) / WG_STAGE_BLOCK;
	struct list *l = find(s, peer->id);
	struct packet_entry *p;
	unsigned gone = 0;
	uint16_t at;

	if (blocks == 0 || blocks > WG_STAGE_PEER_BLOCKS)
		return 1;
	if (!l && s->list_count == WG_STAGE_PEERS_MAX)
		return 1;
	while (l && l->packets &&
	       (l->packets == WG_STAGE_PEER_MAX || l->blocks + blocks > WG_STAGE_PEER_BLOCKS ||
		s->free_blocks < blocks || s->free_packet == NONE)) {
		pop(s, l);
		gone++;
	}
	if (s->free_blocks < blocks || s->free_packet == NONE) {
		if (l && l->packets == 0)
			remove_list(s, l);
		return gone + 1; /* others have it all */
	}
	if (!l) {
		l = &s->lists[s->list_count++];
		*l = (struct list){.peer = *peer};
	}
	at = s->free_packet;
	p = &s->packets[at];
	s->free_packet = p->next;
	p->next = NONE;
	p->blocks = (uint16_t)blocks;
	p->len = buf->len;
	p->offload = buf->offload;
	copy_in(s, p, buf);
	if (l->packets == 0)
		l->head = at;
	else
		s->packets[l->tail].next = at;
	l->tail = at;
	l->packets++;
	l->blocks = (uint16_t)(l->blocks + blocks);
	return gone;
}

unsigned wg_stage_count(const struct wg_stage *s)
{
	return s->list_count;
}

const struct wg_stage_peer *wg_stage_at(const struct wg_stage *s, unsigned at)
{
	return &s->lists[at].peer;
}

bool wg_stage_take(struct wg_stage *s, unsigned at, struct buf *out)
{
	struct list *l = &s->lists[at];
	const struct packet_entry *p;
	uint16_t block;

	if (l->packets == 0) {
		remove_list(s, l);
		return false;
	}
	p = &s->packets[l->head];
	block = p->first;
	out->len = p->len;
	out->offload = p->offload;
	for (uint32_t i = 0; i < p->len; i += WG_STAGE_BLOCK, block = s->next_block[block])
		memcpy(out->data + i, s->blocks[block],
		       p->len - i < WG_STAGE_BLOCK ? p->len - i : WG_STAGE_BLOCK);
	pop(s, l);
	return true;
}

unsigned wg_stage_drop(struct wg_stage *s, unsigned at)
{
	struct list *l = &s->lists[at];
	unsigned gone = l->packets;

	while (l->packets)
		pop(s, l);
	remove_list(s, l);
	return gone;
}
