/* dataplane/packet.h: the packet that an ICMP error quotes. */
#include "dataplane/packet.h"

#include <criterion/criterion.h>

#include <string.h>

#include "tests/model/packets.h"

TestSuite(dataplane_quoted);

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static uint8_t data[BUF_SIZE];

struct quote_case {
	const char *name;
	struct packets_spec about;
	uint8_t version; /* of the error */
	unsigned size;   /* of the quote, 0: whole */
	enum reason want;
	uint16_t src_port;
	uint16_t dst_port;
	uint16_t l4_offset;
};

#define ABOUT4(p) .version = 4, .proto = (p), .src_port = 7, .dst_port = 8, .payload = 99
#define ABOUT6(p) .version = 6, .proto = (p), .src_port = 7, .dst_port = 8, .payload = 99

static const struct quote_case quotes[] = {
	{"TCP4", {ABOUT4(6)}, 4, 0, REASON_NONE, 7, 8, 48},
	{"TCP4, 8 bytes", {ABOUT4(6)}, 4, 28, REASON_NONE, 7, 8, 48},
	{"TCP4, 7 bytes", {ABOUT4(6)}, 4, 27, REASON_MALFORMED, 0, 0, 0},
	{"TCP4, options", {ABOUT4(6), .ip_options = 8}, 4, 36, REASON_NONE, 7, 8, 56},
	{"UDP6", {ABOUT6(17)}, 6, 0, REASON_NONE, 7, 8, 88},
	{"UDP6, 8 bytes", {ABOUT6(17)}, 6, 48, REASON_NONE, 7, 8, 88},
	{"UDP6, 7 bytes", {ABOUT6(17)}, 6, 47, REASON_MALFORMED, 0, 0, 0},
	{"UDP6, behind options",
	 {ABOUT6(17), .ext = {0, 60}, .ext_count = 2},
	 6,
	 64,
	 REASON_NONE,
	 7,
	 8,
	 104},
	{"options cut",
	 {ABOUT6(17), .ext = {0, 60}, .ext_count = 2},
	 6,
	 55,
	 REASON_MALFORMED,
	 0,
	 0,
	 0},
	{"echo4", {ABOUT4(1), .icmp_type = 8}, 4, 28, REASON_NONE, 7, 7, 48},
	{"echo6", {ABOUT6(58), .icmp_type = 128}, 6, 48, REASON_NONE, 7, 7, 88},
	{"an error", {ABOUT4(1), .icmp_type = 3}, 4, 0, REASON_PROTOCOL, 0, 0, 0},
	{"GRE", {ABOUT4(47)}, 4, 0, REASON_PROTOCOL, 0, 0, 0},
	{"first fragment", {ABOUT4(17), PACKETS_CUT(0, 64)}, 4, 0, REASON_NONE, 7, 8, 48},
	{"later fragment", {ABOUT4(17), PACKETS_CUT(64, 0)}, 4, 0, REASON_FRAGMENT, 0, 0, 0},
	{"later fragment 6", {ABOUT6(17), PACKETS_CUT(64, 0)}, 6, 0, REASON_FRAGMENT, 0, 0, 0},
	{"another version", {ABOUT6(17)}, 4, 0, REASON_MALFORMED, 0, 0, 0},
	{"nothing", {ABOUT4(17)}, 4, 1, REASON_MALFORMED, 0, 0, 0},
};

static void check_quote(const struct quote_case *c)
{
	static uint8_t quote_data[BUF_SIZE];
	struct buf quote = {.data = quote_data};
	struct buf buf = {.data = data};
	struct packets_spec error = {.version = c->version,
				     .proto = c->version == 4 ? PROTO_ICMP : PROTO_ICMP6,
				     .icmp_type = 3,
				     .payload_bytes = quote_data};
	bool v4 = c->about.version == 4;
	struct flow_key key = {.version = c->about.version,
			       .proto = c->about.proto,
			       .src_port = c->src_port,
			       .dst_port = c->dst_port};
	struct flow_key got_key;
	uint16_t quoted, l4;
	struct packet p;
	enum reason got;

	packets_build(&c->about, &quote);
	memcpy(key.src, quote_data + (v4 ? 12 : 8), v4 ? 4 : 16);
	memcpy(key.dst, quote_data + (v4 ? 16 : 24), v4 ? 4 : 16);
	error.payload = c->size ? c->size : quote.len;
	packets_build(&error, &buf);
	/* Behind the packet is what must not be read. */
	memset(data + buf.len, 0xee, 100);
	cr_assert(packet_parse(&buf, &p) == REASON_NONE, "%s", c->name);
	got = packet_quoted(&p, &got_key, &quoted, &l4);
	cr_expect(got == c->want, "%s: %s, want %s", c->name, reason_name(got),
		  reason_name(c->want));
	if (got != REASON_NONE || c->want != REASON_NONE)
		return;
	cr_expect(memcmp(&got_key, &key, sizeof(key)) == 0, "%s: key (ports %u, %u)", c->name,
		  got_key.src_port, got_key.dst_port);
	cr_expect(quoted == p.payload, "%s: quoted_offset %u", c->name, quoted);
	cr_expect(l4 == c->l4_offset, "%s: l4_offset %u, want %u", c->name, l4, c->l4_offset);
}

Test(dataplane_quoted, quoted_packets)
{
	for (size_t i = 0; i < COUNT(quotes); i++)
		check_quote(&quotes[i]);
}

/* Parse an error that quotes 100 bytes of UDP, one byte of whose IP header is changed. */
static enum reason quote_changed(unsigned at, uint8_t value, bool fix)
{
	static uint8_t quote_data[BUF_SIZE];
	struct packets_spec spec = {ABOUT4(17)};
	struct packets_spec error = {.version = 4, .proto = PROTO_ICMP, .icmp_type = 3};
	struct buf quote = {.data = quote_data};
	struct buf buf = {.data = data};
	struct flow_key key;
	uint16_t quoted, l4;
	struct packet p;

	packets_build(&spec, &quote);
	quote_data[at] = value;
	if (fix)
		packets_fix_ip(&quote);
	error.payload = quote.len;
	error.payload_bytes = quote_data;
	packets_build(&error, &buf);
	cr_assert(packet_parse(&buf, &p) == REASON_NONE);
	return packet_quoted(&p, &key, &quoted, &l4);
}

/* RFC 5508, REQ-3: a bad checksum of the quoted IP header drops the error. */
Test(dataplane_quoted, ip_checksum)
{
	cr_expect(quote_changed(8, 99, false) == REASON_BAD_CHECKSUM);
	cr_expect(quote_changed(8, 99, true) == REASON_NONE);
}

/* What follows the quoted packet, such as extensions (RFC 4884), is none of it. */
Test(dataplane_quoted, ends_with_its_ip_length)
{
	cr_expect(quote_changed(3, 28, true) == REASON_NONE);
	cr_expect(quote_changed(3, 27, true) == REASON_MALFORMED);
	cr_expect(quote_changed(3, 19, true) == REASON_MALFORMED);
}

Test(dataplane_quoted, only_errors_quote)
{
	struct packets_spec spec = {ABOUT4(17)};
	struct buf buf = {.data = data};
	struct flow_key key;
	uint16_t quoted, l4;
	struct packet p;

	packets_build(&spec, &buf);
	cr_assert(packet_parse(&buf, &p) == REASON_NONE);
	cr_expect(packet_quoted(&p, &key, &quoted, &l4) == REASON_PROTOCOL);
}
