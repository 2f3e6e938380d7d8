/* See merge.h. */
#include "dataplane/wireguard/merge.h"

#include <string.h>

#include "dataplane/cksum.h"
#include "dataplane/packet.h"
#include "dataplane/wire.h"

enum {
	IP4_NO_OPTIONS = 0x45,
	IP4_DF = 0x4000,
	IP4_PLAIN_MASK = 0xbfff, /* of the fragment word: all but DF */
	TCP_WINDOW = 14,
	TCP_URGENT = 18,
};

/* What is read of a packet that could be put together with others. */
struct view {
	uint8_t *data;
	uint32_t len;
	uint8_t version;
	uint8_t proto;
	uint16_t l4;
	uint16_t head;
	uint32_t hash;
};

/*
 * Read a packet. False if it is none to be put together with others, ever: another protocol, a
 * fragment, options or extension headers.
 */
static bool read_view(uint8_t *data, uint32_t len, struct view *v)
{
	v->data = data;
	v->len = len;
	v->version = data[0] >> 4;
	if (v->version == 4) {
		if (len < IP4_SIZE || data[0] != IP4_NO_OPTIONS ||
		    (wire_get16(data + IP4_FRAGMENT) & IP4_PLAIN_MASK) != 0)
			return false;
		v->l4 = IP4_SIZE;
		v->proto = data[IP4_PROTO];
	} else {
		if (len < IP6_SIZE)
			return false;
		v->l4 = IP6_SIZE;
		v->proto = data[IP6_NEXT];
	}
	if (v->proto == PROTO_TCP) {
		if (len < v->l4 + (uint32_t)TCP_SIZE)
			return false;
		v->head = (uint16_t)(v->l4 + (data[v->l4 + TCP_OFFSET] >> 4) * 4);
		return v->head >= v->l4 + TCP_SIZE && v->head <= len;
	}
	v->head = (uint16_t)(v->l4 + UDP_SIZE);
	return v->proto == PROTO_UDP && len >= v->head &&
	       wire_get16(data + v->l4 + UDP_LENGTH) == len - v->l4;
}

/* Of addresses and ports; a bad one costs time only. */
static uint32_t hash_of(const struct view *v)
{
	const uint8_t *addrs = v->data + (v->version == 4 ? IP4_SRC : IP6_SRC);
	unsigned words = v->version == 4 ? 2 : 8;
	uint32_t hash, word;

	memcpy(&hash, v->data + v->l4, sizeof(hash));
	hash ^= v->proto;
	for (unsigned i = 0; i < words; i++) {
		memcpy(&word, addrs + i * sizeof(word), sizeof(word));
		hash = (hash ^ word) * UINT32_C(0x9e3779b1);
	}
	return hash ^ hash >> 15;
}

static bool same_flow(const struct wg_merged *m, const struct view *v)
{
	const uint8_t *first = m->pieces[1].iov_base;

	if (m->version != v->version || m->proto != v->proto || m->l4 != v->l4)
		return false;
	if (memcmp(first + m->l4, v->data + v->l4, 4) != 0)
		return false;
	return v->version == 4 ? memcmp(first + IP4_SRC, v->data + IP4_SRC, 8) == 0
			       : memcmp(first + IP6_SRC, v->data + IP6_SRC, 32) == 0;
}

/* Whether all that a segmenter copies is the same, and all that it counts goes on. */
static bool same_ip(const struct wg_merged *m, const struct view *v)
{
	const uint8_t *first = m->pieces[1].iov_base;
	const uint8_t *ip = v->data;

	if (v->version == 6) /* class, flow label; hop limit */
		return memcmp(first, ip, 4) == 0 && first[IP6_HOPS] == ip[IP6_HOPS];
	if (first[1] != ip[1] || first[IP4_TTL] != ip[IP4_TTL] ||
	    memcmp(first + IP4_FRAGMENT, ip + IP4_FRAGMENT, 2) != 0)
		return false;
	/* What may not be fragmented needs no identification (RFC 6864). */
	return (wire_get16(ip + IP4_FRAGMENT) & IP4_DF) ||
	       wire_get16(ip + IP4_ID) == (uint16_t)(m->id + 1);
}

static bool same_tcp(const struct wg_merged *m, const struct view *v)
{
	const uint8_t *first = (const uint8_t *)m->pieces[1].iov_base + m->l4;
	const uint8_t *tcp = v->data + v->l4;

	/* Acknowledgement, offset; window; options. The urgent pointer is 0 in both. */
	return m->head == v->head && memcmp(first + TCP_ACKED, tcp + TCP_ACKED, 5) == 0 &&
	       memcmp(first + TCP_WINDOW, tcp + TCP_WINDOW, 2) == 0 &&
	       memcmp(first + TCP_SIZE, tcp + TCP_SIZE, m->head - m->l4 - TCP_SIZE) == 0 &&
	       wire_get32(tcp + TCP_SEQ) == m->next;
}

/* Segments with nothing but data to say: CWR must be in the first only, FIN in the last. */
static bool is_plain_tcp(const struct view *v)
{
	const uint8_t *tcp = v->data + v->l4;

	return (tcp[TCP_FLAGS] & ~TCP_PSH) == TCP_ACK && wire_get16(tcp + TCP_URGENT) == 0 &&
	       (tcp[TCP_OFFSET] & 0xf) == 0;
}

/* UDP without a checksum (IPv4) would get one. */
static bool is_plain(const struct view *v)
{
	const uint8_t *l4 = v->data + v->l4;

	if (v->len == v->head)
		return false;
	return v->proto == PROTO_TCP ? is_plain_tcp(v) : l4[UDP_CSUM] != 0 || l4[UDP_CSUM + 1] != 0;
}

static bool append(struct wg_merged *m, const struct view *v)
{
	uint32_t payload = v->len - v->head;

	if (!m->open || m->count == WG_MERGE_PACKETS_MAX || m->len + payload > WG_MERGE_LEN_MAX ||
	    payload > m->offload.gso_size || m->head != v->head || !same_ip(m, v))
		return false;
	if (v->proto == PROTO_TCP) {
		if (!same_tcp(m, v))
			return false;
		m->next += payload;
		m->pushed = v->data[v->l4 + TCP_FLAGS] & TCP_PSH;
	}
	if (v->version == 4)
		m->id++;
	m->count++;
	m->pieces[m->count].iov_base = v->data + v->head;
	m->pieces[m->count].iov_len = payload;
	m->len += payload;
	m->open = payload == m->offload.gso_size && !m->pushed;
	return true;
}

static struct wg_merged *new_item(struct wg_merge *merge, uint8_t *data, uint32_t len)
{
	struct wg_merged *m = &merge->items[merge->count++];

	m->offload = (struct offload){0};
	m->len = len;
	m->count = 1;
	m->chained = WG_MERGE_NONE;
	m->open = m->pushed = false;
	m->version = m->proto = 0;
	m->pieces[1] = (struct iovec){.iov_base = data, .iov_len = len};
	return m;
}

/* What cannot be read may be of any flow: nothing may overtake it. */
static void close_all(struct wg_merge *merge)
{
	for (unsigned i = 0; i < merge->count; i++)
		merge->items[i].open = false;
}

void wg_merge_add(struct wg_merge *merge, uint8_t *data, uint32_t len)
{
	struct wg_merged *m = NULL;
	struct view v;
	uint16_t *bucket;
	uint16_t at;

	if (!read_view(data, len, &v)) {
		close_all(merge);
		new_item(merge, data, len);
		return;
	}
	if (v.proto == PROTO_UDP && !merge->udp) {
		new_item(merge, data, len);
		return;
	}
	bucket = &merge->buckets[hash_of(&v) % WG_MERGE_BUCKETS];
	for (at = *bucket; at != WG_MERGE_NONE; at = merge->items[at].chained) {
		m = &merge->items[at];
		if (same_flow(m, &v))
			break;
	}
	if (at != WG_MERGE_NONE && is_plain(&v) && append(m, &v))
		return;
	/* The flow's newest item now: later ones cannot overtake it. */
	at = merge->count;
	m = new_item(merge, data, len);
	m->chained = *bucket;
	*bucket = at;
	m->version = v.version;
	m->proto = v.proto;
	m->l4 = v.l4;
	m->head = v.head;
	m->id = v.version == 4 ? wire_get16(data + IP4_ID) : 0;
	m->offload.gso_size = (uint16_t)(len - v.head);
	if (v.proto == PROTO_TCP) {
		m->next = wire_get32(data + v.l4 + TCP_SEQ) + (len - v.head);
		m->pushed = data[v.l4 + TCP_FLAGS] & TCP_PSH;
	}
	m->open = is_plain(&v) && !m->pushed;
}

static void store(uint8_t *at, uint16_t sum)
{
	memcpy(at, &sum, sizeof(sum));
}

/* The header of the first packet becomes that of all, with a sum of the pseudo-header alone. */
static void finish_headers(struct wg_merged *m)
{
	uint8_t *ip = m->pieces[1].iov_base;
	uint8_t *l4 = ip + m->l4;
	uint32_t l4_len = m->len - m->l4;
	uint16_t sum;

	if (m->version == 4) {
		wire_put16(ip + IP4_TOTAL, (uint16_t)m->len);
		store(ip + IP4_CSUM, 0);
		store(ip + IP4_CSUM, (uint16_t)~cksum_fold(cksum_add(0, ip, IP4_SIZE)));
		sum = cksum_fold(cksum_pseudo(4, ip + IP4_SRC, ip + IP4_DST, m->proto, l4_len));
	} else {
		wire_put16(ip + IP6_PAYLOAD, (uint16_t)(m->len - IP6_SIZE));
		sum = cksum_fold(cksum_pseudo(6, ip + IP6_SRC, ip + IP6_DST, m->proto, l4_len));
	}
	if (m->proto == PROTO_TCP) {
		if (m->pushed)
			l4[TCP_FLAGS] |= TCP_PSH;
		store(l4 + TCP_CSUM, sum);
	} else {
		wire_put16(l4 + UDP_LENGTH, (uint16_t)l4_len);
		store(l4 + UDP_CSUM, sum);
	}
}

static uint8_t gso_type(const struct wg_merged *m)
{
	if (m->proto == PROTO_UDP)
		return OFFLOAD_GSO_UDP_L4;
	return m->version == 4 ? OFFLOAD_GSO_TCPV4 : OFFLOAD_GSO_TCPV6;
}

void wg_merge_finish(struct wg_merge *merge)
{
	for (unsigned i = 0; i < merge->count; i++) {
		struct wg_merged *m = &merge->items[i];

		if (m->count == 1) {
			m->offload.gso_size = 0;
			continue;
		}
		m->offload.flags = OFFLOAD_NEEDS_CSUM;
		m->offload.gso_type = gso_type(m);
		m->offload.hdr_len = m->head;
		m->offload.csum_start = m->l4;
		m->offload.csum_offset = m->proto == PROTO_TCP ? TCP_CSUM : UDP_CSUM;
		finish_headers(m);
	}
}

void wg_merge_reset(struct wg_merge *merge)
{
	merge->count = 0;
	memset(merge->buckets, 0xff, sizeof(merge->buckets));
}

void wg_merge_init(struct wg_merge *merge, bool udp)
{
	merge->udp = udp;
	wg_merge_reset(merge);
}
