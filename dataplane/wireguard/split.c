/* See split.h. */
#include "dataplane/wireguard/split.h"

#include <arpa/inet.h>
#include <string.h>

#include "dataplane/cksum.h"
#include "dataplane/cut.h"
#include "dataplane/wire.h"

static void store_csum(uint8_t *at, uint64_t sum)
{
	uint16_t field = (uint16_t)~cksum_fold(sum);

	memcpy(at, &field, sizeof(field));
}

static void store_udp_csum(uint8_t *at, uint64_t sum)
{
	store_csum(at, sum);
	if (at[0] == 0 && at[1] == 0)
		memset(at, 0xff, 2); /* RFC 768: the other zero */
}

/* The header of all segments, less what differs, and the sums of it. */
static void make_header(struct wg_split *s)
{
	const struct packet *p = s->packet;
	const struct flow_key *key = &p->key;
	uint8_t *ip = s->header;
	uint8_t *l4 = ip + p->l4_offset;

	memcpy(ip, p->buf->data, s->head);
	if (key->version == 4) {
		s->id = wire_get16(ip + IP4_ID);
		memset(ip + IP4_TOTAL, 0, 4); /* and the identification */
		memset(ip + IP4_CSUM, 0, 2);
		s->ip_sum = cksum_add(0, ip, p->l4_offset);
	}
	if (key->proto == PROTO_TCP) {
		s->seq = wire_get32(l4 + TCP_SEQ);
		memset(l4 + TCP_SEQ, 0, 4);
		memset(l4 + TCP_CSUM, 0, 2);
	} else {
		memset(l4 + UDP_LENGTH, 0, 4); /* and the checksum */
	}
	s->l4_sum = cksum_pseudo(key->version, key->src, key->dst, key->proto, 0);
	s->l4_sum = cksum_add(s->l4_sum, l4, s->head - p->l4_offset);
}

void wg_split_begin(struct wg_split *s, const struct packet *packet)
{
	const struct buf *buf = packet->buf;

	s->packet = packet;
	s->head = packet->payload;
	s->count = packet_segments(packet);
	s->size = buf->offload.gso_type ? buf->offload.gso_size : buf->len - s->head;
	if (buf->offload.gso_type && s->head <= WG_SPLIT_HEAD_MAX)
		make_header(s);
}

uint32_t wg_split_size(const struct wg_split *s, uint32_t index)
{
	if (index + 1 < s->count)
		return s->head + s->size;
	return s->packet->buf->len - index * s->size;
}

/* The IP header of segment `index`. */
static void finish_ip(const struct wg_split *s, uint32_t index, uint32_t size, uint8_t *ip)
{
	uint16_t words[2] = {htons((uint16_t)size), htons((uint16_t)(s->id + index))};

	if (s->packet->key.version == 6) {
		wire_put16(ip + IP6_PAYLOAD, (uint16_t)(size - IP6_SIZE));
		return;
	}
	memcpy(ip + IP4_TOTAL, words, sizeof(words));
	store_csum(ip + IP4_CSUM, s->ip_sum + words[0] + words[1]);
}

/* What differs in a TCP header from one segment to the next; returns the sum, less that. */
static uint64_t finish_tcp(const struct wg_split *s, uint32_t index, uint8_t *tcp)
{
	uint32_t seq = htonl(s->seq + index * s->size);
	uint8_t taken = 0;

	if (index > 0)
		taken |= tcp[TCP_FLAGS] & TCP_CWR;
	if (index + 1 < s->count)
		taken |= tcp[TCP_FLAGS] & (TCP_FIN | TCP_PSH);
	tcp[TCP_FLAGS] &= (uint8_t)~taken;
	memcpy(tcp + TCP_SEQ, &seq, sizeof(seq));
	/* One's complement: adding the complement takes away. */
	return s->l4_sum + seq + (uint16_t)~htons(taken);
}

/* A packet that is whole already, but for its checksum, or with headers past all measure. */
static uint32_t write_slowly(const struct wg_split *s, uint32_t index, uint8_t *out)
{
	const struct buf *from = s->packet->buf;
	struct buf to = {.data = out, .len = from->len, .offload = from->offload};

	if (from->offload.gso_type) {
		cut_segment(s->packet, index, &to);
		return to.len;
	}
	memcpy(out, from->data, from->len);
	cut_complete(&to);
	return from->len;
}

uint32_t wg_split_write(const struct wg_split *s, uint32_t index, uint8_t *out)
{
	const struct packet *p = s->packet;
	uint32_t size = wg_split_size(s, index);
	uint32_t payload = size - s->head;
	uint8_t *l4 = out + p->l4_offset;
	uint16_t length;
	uint64_t sum;

	if (!p->buf->offload.gso_type || s->head > WG_SPLIT_HEAD_MAX)
		return write_slowly(s, index, out);
	memcpy(out, s->header, s->head);
	finish_ip(s, index, size, out);
	length = htons((uint16_t)(size - p->l4_offset));
	if (p->key.proto == PROTO_TCP) {
		sum = finish_tcp(s, index, l4) + length;
	} else {
		memcpy(l4 + UDP_LENGTH, &length, sizeof(length));
		sum = s->l4_sum + 2 * (uint64_t)length; /* in the pseudo-header, too */
	}
	sum = cksum_copy(sum, out + s->head, p->buf->data + s->head + (size_t)index * s->size,
			 payload);
	if (p->key.proto == PROTO_TCP)
		store_csum(l4 + TCP_CSUM, sum);
	else
		store_udp_csum(l4 + UDP_CSUM, sum);
	return size;
}
