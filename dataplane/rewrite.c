/*
 * See rewrite.h. Every change of bytes is summed up as a delta, and the checksums that cover those
 * bytes take the delta (RFC 1624). A checksum left to offload holds the pseudo-header's sum only,
 * so it takes what changes the pseudo-header, which is the addresses, and nothing else.
 */
#include "dataplane/rewrite.h"

#include <arpa/inet.h>
#include <string.h>

#include "dataplane/cksum.h"
#include "dataplane/wire.h"

enum {
	DONT_FRAGMENT = 0x4000,
};

enum end {
	END_SOURCE,
	END_DESTINATION,
};

static uint16_t load_field(const uint8_t *at)
{
	uint16_t field;

	memcpy(&field, at, sizeof(field));
	return field;
}

static void store_field(uint8_t *at, uint16_t field)
{
	memcpy(at, &field, sizeof(field));
}

/* Put size bytes into a place; returns the delta that this made. */
static uint64_t replace(uint8_t *at, const void *bytes, size_t size)
{
	uint64_t delta = cksum_delta(at, bytes, size);

	memcpy(at, bytes, size);
	return delta;
}

static uint64_t replace_word(uint8_t *at, const uint8_t bytes[4])
{
	uint32_t old_word, new_word;

	memcpy(&old_word, at, sizeof(old_word));
	memcpy(&new_word, bytes, sizeof(new_word));
	memcpy(at, &new_word, sizeof(new_word));
	return cksum_delta32(old_word, new_word);
}

static uint64_t replace16(uint8_t *at, uint16_t value)
{
	uint16_t word = htons(value), old_word = load_field(at);

	store_field(at, word);
	return cksum_delta16(old_word, word);
}

/* Put an address into an IP header and its checksum; returns the delta of the address alone. */
static uint64_t replace_address(uint8_t *ip, uint8_t version, enum end end, const uint8_t *addr)
{
	uint64_t delta;

	if (version == 6)
		return replace(ip + (end == END_SOURCE ? IP6_SRC : IP6_DST), addr, 16);
	delta = replace_word(ip + (end == END_SOURCE ? IP4_SRC : IP4_DST), addr);
	store_field(ip + IP4_CSUM, cksum_update(load_field(ip + IP4_CSUM), delta));
	return delta;
}

/* Put a port or an identifier into a transport header; returns its delta. */
static uint64_t replace_port(uint8_t *l4, uint8_t proto, enum end end, uint16_t port)
{
	if (proto == PROTO_ICMP || proto == PROTO_ICMP6)
		return replace16(l4 + ICMP_ID, port);
	return replace16(l4 + (end == END_SOURCE ? 0 : 2), port);
}

static uint8_t *csum_field(uint8_t *l4, uint8_t proto)
{
	if (proto == PROTO_TCP)
		return l4 + TCP_CSUM;
	return l4 + (proto == PROTO_UDP ? UDP_CSUM : ICMP_CSUM);
}

/* Let a complete transport checksum follow. */
static void update_csum(uint8_t *l4, uint8_t proto, uint64_t delta)
{
	uint8_t *at = csum_field(l4, proto);
	uint16_t field = load_field(at);

	if (proto == PROTO_UDP && field == 0)
		return; /* the sender made none */
	field = cksum_update(field, delta);
	if (proto == PROTO_UDP && field == 0)
		field = 0xffff; /* RFC 768: the other zero */
	store_field(at, field);
}

static void follow_key(struct flow_key *key, enum end end, const uint8_t *addr)
{
	memcpy(end == END_SOURCE ? key->src : key->dst, addr, key->version == 4 ? 4 : 16);
}

/*
 * To differences the two zeros are one, and to whoever sums a message of nothing but zeros they are
 * not: its checksum is the other. Only an echo answer can be such a message.
 */
static void mend_zeros(uint8_t *l4, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (l4[i] != 0)
			return;
	store_field(l4 + ICMP_CSUM, 0xffff);
}

/*
 * Let the transport checksum of the packet follow.
 *
 * addr_delta: of the addresses of its IP header
 * data_delta: of what stands behind that
 */
static void follow_csum(struct packet *packet, uint64_t addr_delta, uint64_t data_delta)
{
	uint8_t *l4 = packet->buf->data + packet->l4_offset;
	uint8_t proto = packet->key.proto;
	uint8_t *at = csum_field(l4, proto);

	if (proto == PROTO_ICMP)
		addr_delta = 0; /* it has no pseudo-header */
	if (packet->buf->offload.flags & OFFLOAD_NEEDS_CSUM) {
		store_field(at, cksum_update_partial(load_field(at), addr_delta));
		return;
	}
	update_csum(l4, proto, addr_delta + data_delta);
	if (proto == PROTO_ICMP && load_field(at) == 0)
		mend_zeros(l4, packet->buf->len - packet->l4_offset);
}

static void rewrite(struct packet *packet, enum end end, const uint8_t *addr, uint16_t port)
{
	struct flow_key *key = &packet->key;
	uint8_t *data = packet->buf->data;
	uint8_t *l4 = data + packet->l4_offset;
	uint64_t addr_delta = replace_address(data, key->version, end, addr);
	uint64_t port_delta = 0;

	follow_key(key, end, addr);
	if (packet->kind == PACKET_TRANSPORT) {
		port_delta = replace_port(l4, key->proto, end, port);
		if (end == END_SOURCE || key->proto == PROTO_ICMP || key->proto == PROTO_ICMP6)
			key->src_port = port;
		if (end == END_DESTINATION || key->proto == PROTO_ICMP || key->proto == PROTO_ICMP6)
			key->dst_port = port;
		follow_csum(packet, addr_delta, port_delta);
	} else if (packet->kind != PACKET_FRAGMENT && key->version == 6 &&
		   key->proto == PROTO_ICMP6) {
		follow_csum(packet, addr_delta, 0); /* other messages have the pseudo-header too */
	}
}

void rewrite_source(struct packet *packet, const uint8_t *addr, uint16_t port)
{
	rewrite(packet, END_SOURCE, addr, port);
}

void rewrite_destination(struct packet *packet, const uint8_t *addr, uint16_t port)
{
	rewrite(packet, END_DESTINATION, addr, port);
}

/* Whether the quote is long enough to hold the checksum of its transport header. */
static bool has_csum(const struct packet *packet, uint16_t l4_offset, uint8_t proto)
{
	uint32_t end = (uint32_t)l4_offset + (proto == PROTO_TCP ? TCP_CSUM : UDP_CSUM) + 2;

	return end <= packet->buf->len;
}

/*
 * Translate the quoted packet.
 *
 * Returns: what it does to the sum of the ICMP message
 */
static uint64_t rewrite_quote(struct packet *packet, uint16_t quoted_offset, uint16_t l4_offset,
			      enum end end, const uint8_t *addr, uint16_t port, uint8_t proto)
{
	uint8_t *quoted = packet->buf->data + quoted_offset;
	uint8_t *l4 = packet->buf->data + l4_offset;
	uint8_t version = packet->key.version;
	uint64_t addr_delta;
	uint64_t port_delta;
	uint64_t delta = 0;
	uint16_t field = 0;

	if (version == 4)
		field = load_field(quoted + IP4_CSUM);
	addr_delta = replace_address(quoted, version, end, addr);
	delta += addr_delta;
	if (version == 4)
		delta += cksum_delta(&field, quoted + IP4_CSUM, sizeof(field));

	port_delta = replace_port(l4, proto, end, port);
	delta += port_delta;
	if (has_csum(packet, l4_offset, proto)) {
		field = load_field(csum_field(l4, proto));
		update_csum(l4, proto, port_delta + (proto == PROTO_ICMP ? 0 : addr_delta));
		delta += cksum_delta(&field, csum_field(l4, proto), sizeof(field));
	}
	return delta;
}

static void rewrite_error(struct packet *packet, enum end end, uint16_t quoted_offset,
			  uint16_t l4_offset, const uint8_t *addr, uint16_t port)
{
	uint8_t version = packet->key.version;
	enum end quoted_end = end == END_SOURCE ? END_DESTINATION : END_SOURCE;
	struct flow_key quoted;
	uint64_t addr_delta;
	uint64_t data_delta;
	uint16_t at_quoted;
	uint16_t at_l4;

	/* Only the quote's protocol is wanted; in version 6 it may stand behind extension headers.
	 */
	if (packet_quoted(packet, &quoted, &at_quoted, &at_l4) != REASON_NONE ||
	    at_quoted != quoted_offset || at_l4 != l4_offset)
		return;
	addr_delta = replace_address(packet->buf->data, version, end, addr);
	follow_key(&packet->key, end, addr);
	data_delta = rewrite_quote(packet, quoted_offset, l4_offset, quoted_end, addr, port,
				   quoted.proto);
	follow_csum(packet, addr_delta, data_delta);
}

void rewrite_icmp_error(struct packet *packet, uint16_t quoted_offset, uint16_t l4_offset,
			const uint8_t *inner_addr, uint16_t inner_port)
{
	rewrite_error(packet, END_DESTINATION, quoted_offset, l4_offset, inner_addr, inner_port);
}

void rewrite_icmp_error_out(struct packet *packet, uint16_t quoted_offset, uint16_t l4_offset,
			    const uint8_t *outer_addr, uint16_t outer_port)
{
	rewrite_error(packet, END_SOURCE, quoted_offset, l4_offset, outer_addr, outer_port);
}

/*
 * The option with the maximum segment size, or NULL.
 *
 * size: of the TCP header
 */
static uint8_t *find_mss(uint8_t *tcp, uint32_t size)
{
	uint32_t at = TCP_SIZE;

	while (at < size && tcp[at] != TCP_OPTION_END) {
		if (tcp[at] == TCP_OPTION_NOP) {
			at++;
			continue;
		}
		if (size - at < 2 || tcp[at + 1] < 2 || tcp[at + 1] > size - at)
			return NULL;
		if (tcp[at] == TCP_OPTION_MSS)
			return tcp[at + 1] == TCP_OPTION_MSS_SIZE ? tcp + at : NULL;
		at += tcp[at + 1];
	}
	return NULL;
}

void rewrite_mss(struct packet *packet, uint16_t max)
{
	uint8_t *tcp = packet->buf->data + packet->l4_offset;
	uint8_t *mss, words[4];
	uint32_t even, size;

	if (packet->kind != PACKET_TRANSPORT || packet->key.proto != PROTO_TCP ||
	    !(packet->tcp_flags & TCP_SYN))
		return;
	mss = find_mss(tcp, packet->payload - packet->l4_offset);
	if (!mss || wire_get16(mss + 2) <= max)
		return;
	/*
	 * It may stand at any byte, but sums are over even ones. What follows an odd one is header,
	 * too; an even one may end the packet.
	 */
	even = (uint32_t)(mss + 2 - tcp) & ~1u;
	size = mss + 2 - tcp == even ? 2 : 4;
	memcpy(words, tcp + even, size);
	wire_put16(words + (mss + 2 - tcp - even), max);
	follow_csum(packet, 0, replace(tcp + even, words, size));
}

void rewrite_may_fragment(struct packet *packet)
{
	uint8_t *data = packet->buf->data;
	uint64_t delta = replace16(data + IP4_FRAGMENT,
				   (uint16_t)(wire_get16(data + IP4_FRAGMENT) & ~DONT_FRAGMENT));

	store_field(data + IP4_CSUM, cksum_update(load_field(data + IP4_CSUM), delta));
	packet->dont_fragment = false;
}

bool rewrite_hop_limit(struct packet *packet)
{
	uint8_t *data = packet->buf->data;
	uint64_t delta;

	if (packet->key.version == 6) {
		if (data[IP6_HOPS] <= 1)
			return false;
		data[IP6_HOPS]--;
		return true;
	}
	if (data[IP4_TTL] <= 1)
		return false;
	delta = replace16(data + IP4_TTL, (uint16_t)((data[IP4_TTL] - 1) << 8 | data[IP4_PROTO]));
	store_field(data + IP4_CSUM, cksum_update(load_field(data + IP4_CSUM), delta));
	return true;
}
