/* See cut.h. */
#include "dataplane/cut.h"

#include <string.h>

#include "dataplane/cksum.h"
#include "dataplane/wire.h"

enum {
	MORE = 0x2000,
	OFFSET = 0x1fff,      /* in units of 8 bytes */
	OPTION_COPIED = 0x80, /* in every fragment, not only in the first */
	OPTION_END = 0,
	OPTION_NOP = 1,
};

static void store_csum(uint8_t *at, uint64_t sum)
{
	uint16_t field = (uint16_t)~cksum_fold(sum);

	memcpy(at, &field, sizeof(field));
}

static void finish_ip4(uint8_t *ip, uint32_t total)
{
	wire_put16(ip + IP4_TOTAL, (uint16_t)total);
	wire_put16(ip + IP4_CSUM, 0);
	store_csum(ip + IP4_CSUM, cksum_add(0, ip, (uint32_t)(ip[0] & 0xf) * 4));
}

static void store_udp_csum(uint8_t *at, uint64_t sum)
{
	store_csum(at, sum);
	if (at[0] == 0 && at[1] == 0)
		memset(at, 0xff, 2); /* RFC 768: the other zero */
}

void cut_complete(struct buf *buf)
{
	uint8_t *l4 = buf->data + buf->offload.csum_start;
	uint8_t *field = l4 + buf->offload.csum_offset;
	uint64_t sum;

	if (!(buf->offload.flags & OFFLOAD_NEEDS_CSUM))
		return;
	/* The field holds the pseudo-header's sum. */
	sum = cksum_add(0, l4, buf->len - buf->offload.csum_start);
	if (buf->offload.csum_offset == UDP_CSUM)
		store_udp_csum(field, sum);
	else
		store_csum(field, sum);
	memset(&buf->offload, 0, sizeof(buf->offload));
}

/* What differs in a TCP header from one segment to the next. */
static void finish_tcp(uint8_t *tcp, uint32_t offset, bool first, bool last)
{
	wire_put32(tcp + TCP_SEQ, wire_get32(tcp + TCP_SEQ) + offset);
	if (!first)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	if (!last)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
}

void cut_segment(const struct packet *packet, unsigned index, struct buf *out)
{
	const struct buf *buf = packet->buf;
	uint32_t offset = index * buf->offload.gso_size;
	uint32_t left = buf->len - packet->payload - offset;
	bool last = left <= buf->offload.gso_size;
	uint32_t size = last ? left : buf->offload.gso_size;
	uint32_t l4_size = packet->payload - packet->l4_offset + size;
	const struct flow_key *key = &packet->key;
	uint8_t *ip = out->data;
	uint8_t *l4 = ip + packet->l4_offset;
	uint64_t sum = cksum_pseudo(key->version, key->src, key->dst, key->proto, l4_size);

	memcpy(ip, buf->data, packet->payload);
	memcpy(ip + packet->payload, buf->data + packet->payload + offset, size);
	memset(&out->offload, 0, sizeof(out->offload));
	out->len = packet->payload + size;
	if (key->version == 4) {
		wire_put16(ip + IP4_ID, (uint16_t)(wire_get16(ip + IP4_ID) + index));
		finish_ip4(ip, out->len);
	} else {
		wire_put16(ip + IP6_PAYLOAD, (uint16_t)(out->len - IP6_SIZE));
	}
	if (key->proto == PROTO_TCP) {
		finish_tcp(l4, offset, index == 0, last);
		wire_put16(l4 + TCP_CSUM, 0);
		store_csum(l4 + TCP_CSUM, cksum_add(sum, l4, l4_size));
	} else {
		wire_put16(l4 + UDP_LENGTH, (uint16_t)l4_size);
		wire_put16(l4 + UDP_CSUM, 0);
		store_udp_csum(l4 + UDP_CSUM, cksum_add(sum, l4, l4_size));
	}
}

/* The header of a fragment that is not the first. Options are well-formed. Returns its size. */
static uint32_t put_later_header(const uint8_t *ip, uint32_t header_size, uint8_t *out)
{
	uint32_t size = IP4_SIZE;

	memcpy(out, ip, IP4_SIZE);
	for (uint32_t at = IP4_SIZE; at < header_size && ip[at] != OPTION_END;) {
		uint32_t option = ip[at] == OPTION_NOP ? 1 : ip[at + 1];

		if (ip[at] & OPTION_COPIED) {
			memcpy(out + size, ip + at, option);
			size += option;
		}
		at += option;
	}
	while (size % 4 != 0)
		out[size++] = OPTION_END;
	out[0] = (uint8_t)(0x40 | size / 4);
	return size;
}

bool cut_fragment(const struct buf *buf, uint16_t l4_offset, unsigned mtu, uint32_t *at,
		  struct buf *out)
{
	const uint8_t *ip = buf->data;
	uint16_t fragment = wire_get16(ip + IP4_FRAGMENT);
	uint32_t left = buf->len - l4_offset - *at;
	uint32_t header_size = l4_offset;
	uint32_t size;

	if (left == 0)
		return false;
	if (*at == 0)
		memcpy(out->data, ip, header_size);
	else
		header_size = put_later_header(ip, header_size, out->data);
	size = left <= mtu - header_size ? left : (mtu - header_size) / 8 * 8;
	memcpy(out->data + header_size, ip + l4_offset + *at, size);
	memset(&out->offload, 0, sizeof(out->offload));
	out->len = header_size + size;
	if (size < left)
		fragment |= MORE;
	wire_put16(out->data + IP4_FRAGMENT,
		   (uint16_t)((fragment & ~OFFSET) | ((fragment & OFFSET) + *at / 8)));
	finish_ip4(out->data, out->len);
	*at += size;
	return true;
}
