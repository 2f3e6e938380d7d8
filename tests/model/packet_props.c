/* See packet_props.h. */
#include "tests/model/packet_props.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/packet.h"
#include "dataplane/reject.h"
#include "dataplane/rewrite.h"
#include "tests/model/packets.h"

static const uint8_t other_addr[16] = {203, 0, 113, 7, 0xde, 0xad, 0xbe, 0xef, 9, 8, 7, 6, 5, 4};

enum {
	OTHER_PORT = 54321,
};

static bool has_ports(const struct packet *p)
{
	return p->kind == PACKET_TRANSPORT;
}

static const char *check_bounds(const struct packet *p, uint32_t given_len)
{
	const struct offload *o = &p->buf->offload;

	if (p->buf->len > given_len)
		return "the packet grew";
	if (p->l4_offset < 20 || p->l4_offset > p->payload || p->payload > p->buf->len)
		return "offsets";
	if (o->hdr_len != p->payload)
		return "hdr_len";
	if (o->flags & ~(OFFLOAD_NEEDS_CSUM | OFFLOAD_DATA_VALID))
		return "flags";
	if ((o->flags & OFFLOAD_NEEDS_CSUM) && o->csum_start + o->csum_offset + 2 > p->payload)
		return "csum_offset";
	if ((o->gso_type == OFFLOAD_GSO_NONE) != (packet_segments(p) == 1))
		return "segments";
	return NULL;
}

/* 0x0000 and 0xffff are the same sum; a translation makes the usual one of them. */
static void set_usual_zero(uint8_t *data, uint32_t len, uint32_t at)
{
	if (at + 2 <= len && data[at] == 0xff && data[at + 1] == 0xff)
		memset(data + at, 0, 2);
}

static void set_usual_zeros(uint8_t *data, uint32_t len, uint32_t ip, uint32_t l4, uint8_t proto)
{
	if (data[ip] >> 4 == 4)
		set_usual_zero(data, len, ip + 10);
	if (proto == PROTO_TCP || proto == PROTO_UDP)
		set_usual_zero(data, len, l4 + (proto == PROTO_TCP ? 16 : 6));
	else if (proto == PROTO_ICMP || proto == PROTO_ICMP6)
		set_usual_zero(data, len, l4 + 2);
}

static bool is_restored(const struct packet *p, uint8_t *before)
{
	uint8_t *now = malloc(p->buf->len);
	bool same;

	if (!now)
		abort();
	memcpy(now, p->buf->data, p->buf->len);
	if (p->kind != PACKET_FRAGMENT) {
		set_usual_zeros(now, p->buf->len, 0, p->l4_offset, p->key.proto);
		set_usual_zeros(before, p->buf->len, 0, p->l4_offset, p->key.proto);
	} else if (p->key.version == 4) {
		set_usual_zero(now, p->buf->len, 10);
		set_usual_zero(before, p->buf->len, 10);
	}
	same = memcmp(now, before, p->buf->len) == 0;
	free(now);
	return same;
}

static const char *check_translated(struct packet *p, bool was_right)
{
	struct packet again;

	if (packet_parse(p->buf, &again) != REASON_NONE)
		return "translated packet refused";
	if (memcmp(&again.key, &p->key, sizeof(again.key)) != 0)
		return "key does not follow";
	if (was_right && packets_check(p->buf))
		return packets_check(p->buf);
	return NULL;
}

static const char *check_rewrite(struct packet *p, bool source)
{
	void (*rewrite)(struct packet *, const uint8_t *, uint16_t) =
		source ? rewrite_source : rewrite_destination;
	bool was_right = !packets_check(p->buf);
	uint8_t *before = malloc(p->buf->len);
	const char *wrong;
	struct flow_key key = p->key;

	if (!before)
		abort();
	memcpy(before, p->buf->data, p->buf->len);
	rewrite(p, other_addr, OTHER_PORT);
	wrong = check_translated(p, was_right);
	if (!wrong &&
	    memcmp(source ? p->key.src : p->key.dst, other_addr, p->key.version == 4 ? 4 : 16) != 0)
		wrong = "address not in the key";
	if (!wrong && has_ports(p) && (source ? p->key.src_port : p->key.dst_port) != OTHER_PORT)
		wrong = "port not in the key";
	rewrite(p, source ? key.src : key.dst, source ? key.src_port : key.dst_port);
	if (!wrong && memcmp(&key, &p->key, sizeof(key)) != 0)
		wrong = "key not restored";
	if (!wrong && !is_restored(p, before))
		wrong = "bytes not restored";
	free(before);
	return wrong;
}

static const char *check_quote(struct packet *p, bool from_outside)
{
	bool was_right = !packets_check(p->buf);
	bool quote_was_right = !packets_check_quote(p->buf);
	struct flow_key key;
	struct flow_key again;
	uint16_t quoted;
	uint16_t l4;
	const char *wrong;

	if (packet_quoted(p, &key, &quoted, &l4) != REASON_NONE)
		return NULL;
	if (quoted != p->payload || l4 < quoted + 20 || l4 + 8u > p->buf->len)
		return "offsets of the quote";
	if (from_outside)
		rewrite_icmp_error(p, quoted, l4, other_addr, OTHER_PORT);
	else
		rewrite_icmp_error_out(p, quoted, l4, other_addr, OTHER_PORT);
	wrong = check_translated(p, was_right);
	if (wrong)
		return wrong;
	if (quote_was_right && packets_check_quote(p->buf))
		return packets_check_quote(p->buf);
	if (packet_quoted(p, &again, &quoted, &l4) != REASON_NONE)
		return "translated quote refused";
	memset(from_outside ? key.src : key.dst, 0, 16);
	memcpy(from_outside ? key.src : key.dst, other_addr, key.version == 4 ? 4 : 16);
	if (from_outside || key.proto == PROTO_ICMP || key.proto == PROTO_ICMP6)
		key.src_port = OTHER_PORT;
	if (!from_outside || key.proto == PROTO_ICMP || key.proto == PROTO_ICMP6)
		key.dst_port = OTHER_PORT;
	return memcmp(&key, &again, sizeof(key)) == 0 ? NULL : "key of the quote";
}

static const char *check_answer(const struct buf *answer, unsigned which)
{
	static const char *const names[] = {"refusal", "too big", "time exceeded", "reset outwards",
					    "reset inwards"};
	struct buf copy = *answer;
	struct packet p;

	if (answer->len > REJECT_SIZE_MAX || packet_parse(&copy, &p) != REASON_NONE)
		return names[which];
	if (p.kind != PACKET_ICMP_ERROR && !(p.tcp_flags & TCP_RST))
		return names[which];
	return packets_check(answer);
}

static const char *check_answers(const struct packet *p)
{
	struct buf answer = {.data = malloc(REJECT_SIZE_MAX)};
	const char *wrong = NULL;
	bool made;

	if (!answer.data)
		abort();
	for (unsigned i = 0; i < 5 && !wrong; i++) {
		if (i == 0)
			made = reject_build(p, NULL, &answer);
		else if (i == 1)
			made = reject_too_big(p, other_addr, 1300, &answer);
		else if (i == 2)
			made = reject_time_exceeded(p, other_addr, &answer);
		else
			made = reject_reset_inner(p, i == 3, &answer);
		if (made)
			wrong = check_answer(&answer, i);
	}
	free(answer.data);
	return wrong;
}

const char *packet_props_check(struct buf *buf)
{
	const struct buf given = *buf;
	const char *wrong;
	bool was_right;
	struct packet p;

	if (packet_parse(buf, &p) != REASON_NONE) {
		if (memcmp(&given.offload, &buf->offload, sizeof(given.offload)) != 0 ||
		    given.len != buf->len)
			return "a refused packet changed";
		return NULL;
	}
	wrong = check_bounds(&p, given.len);
	if (!wrong)
		wrong = check_answers(&p);
	if (!wrong)
		wrong = check_rewrite(&p, true);
	if (!wrong)
		wrong = check_rewrite(&p, false);
	if (!wrong && p.kind == PACKET_ICMP_ERROR)
		wrong = check_quote(&p, true);
	if (!wrong && p.kind == PACKET_ICMP_ERROR)
		wrong = check_quote(&p, false);
	was_right = !packets_check(buf);
	if (!wrong && rewrite_hop_limit(&p))
		wrong = check_translated(&p, was_right);
	return wrong;
}
