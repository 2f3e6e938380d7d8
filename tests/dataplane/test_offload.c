/* dataplane/packet.h: offload words, believed only where they fit the headers. */
#include "dataplane/packet.h"

#include <criterion/criterion.h>

#include <string.h>

#include "tests/model/packets.h"

TestSuite(dataplane_offload);

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static uint8_t data[BUF_SIZE];

struct offload_case {
	const char *name;
	struct packets_spec spec;
	struct offload given; /* flags, gso_type, hdr_len, gso_size, csum_start, csum_offset */
	enum reason reason;
	struct offload want;
	unsigned segments;
};

#define TCP4(bytes)                                                                                \
	{                                                                                          \
		.version = 4, .proto = 6, .payload = (bytes)                                       \
	}
#define TCP6(bytes)                                                                                \
	{                                                                                          \
		.version = 6, .proto = 6, .payload = (bytes)                                       \
	}
#define UDP4(bytes)                                                                                \
	{                                                                                          \
		.version = 4, .proto = 17, .payload = (bytes)                                      \
	}
#define UDP6(bytes)                                                                                \
	{                                                                                          \
		.version = 6, .proto = 17, .payload = (bytes)                                      \
	}
#define REFUSED REASON_BAD_OFFLOAD, {0, 0, 0, 0, 0, 0}, 0

static const struct offload_case offloads[] = {
	{"none", TCP4(9), {0, 0, 0, 0, 0, 0}, REASON_NONE, {0, 0, 40, 0, 0, 0}, 1},
	{"rubbish that means nothing",
	 TCP4(9),
	 {0xf0, 0, 65535, 99, 77, 55},
	 REASON_NONE,
	 {0, 0, 40, 0, 0, 0},
	 1},
	{"valid data", TCP4(9), {2, 0, 0, 0, 0, 0}, REASON_NONE, {2, 0, 40, 0, 0, 0}, 1},
	{"coalescing information",
	 TCP4(9),
	 {4 | 2, 0, 0, 0, 2, 3},
	 REASON_NONE,
	 {2, 0, 40, 0, 0, 0},
	 1},
	{"checksum TCP4", TCP4(9), {1, 0, 0, 0, 20, 16}, REASON_NONE, {1, 0, 40, 0, 20, 16}, 1},
	{"checksum UDP6", UDP6(9), {1, 0, 0, 0, 40, 6}, REASON_NONE, {1, 0, 48, 0, 40, 6}, 1},
	{"checksum ICMPv6",
	 {.version = 6, .proto = 58, .icmp_type = 128},
	 {1, 0, 0, 0, 40, 2},
	 REASON_NONE,
	 {1, 0, 48, 0, 40, 2},
	 1},
	{"wrong start", TCP4(9), {1, 0, 0, 0, 21, 16}, REFUSED},
	{"start past the packet", TCP4(9), {1, 0, 0, 0, 65535, 16}, REFUSED},
	{"wrong offset", TCP4(9), {1, 0, 0, 0, 20, 6}, REFUSED},
	{"offset past the packet", UDP4(9), {1, 0, 0, 0, 20, 65535}, REFUSED},
	{"sum that wraps", UDP4(9), {1, 0, 0, 0, 65530, 32}, REFUSED},
	{"checksum GRE", {.version = 4, .proto = 47, .payload = 9}, {1, 0, 0, 0, 20, 4}, REFUSED},
	{"checksum of a later fragment",
	 {.version = 4, .proto = 17, .payload = 100, PACKETS_CUT(32, 0)},
	 {1, 0, 0, 0, 20, 6},
	 REFUSED},
	{"checksum of a first fragment",
	 {.version = 4, .proto = 17, .payload = 100, PACKETS_CUT(0, 32)},
	 {1, 0, 0, 0, 20, 6},
	 REFUSED},
	{"TSO4", TCP4(1000), {1, 1, 0, 100, 20, 16}, REASON_NONE, {1, 1, 40, 100, 20, 16}, 10},
	{"TSO4 with a short tail",
	 TCP4(1001),
	 {1, 1, 9999, 100, 20, 16},
	 REASON_NONE,
	 {1, 1, 40, 100, 20, 16},
	 11},
	{"TSO6 with ECN",
	 TCP6(60000),
	 {3, 0x84, 0, 1440, 40, 16},
	 REASON_NONE,
	 {3, 0x84, 60, 1440, 40, 16},
	 42},
	{"USO4", UDP4(300), {1, 5, 0, 299, 20, 6}, REASON_NONE, {1, 5, 28, 299, 20, 6}, 2},
	{"USO6", UDP6(300), {1, 5, 0, 1, 40, 6}, REASON_NONE, {1, 5, 48, 1, 40, 6}, 300},
	{"one segment", TCP4(100), {1, 1, 0, 100, 20, 16}, REASON_NONE, {1, 0, 40, 0, 20, 16}, 1},
	{"no payload", TCP4(0), {1, 1, 0, 100, 20, 16}, REASON_NONE, {1, 0, 40, 0, 20, 16}, 1},
	{"one datagram", UDP4(9), {1, 5, 0, 65535, 20, 6}, REASON_NONE, {1, 0, 28, 0, 20, 6}, 1},
	{"TSO4 without checksum", TCP4(1000), {0, 1, 0, 100, 20, 16}, REFUSED},
	{"TSO4 without size", TCP4(1000), {1, 1, 0, 0, 20, 16}, REFUSED},
	{"TSO6 of version 4", TCP4(1000), {1, 4, 0, 100, 20, 16}, REFUSED},
	{"TSO4 of version 6", TCP6(1000), {1, 1, 0, 100, 40, 16}, REFUSED},
	{"TSO4 of UDP", UDP4(1000), {1, 1, 0, 100, 20, 6}, REFUSED},
	{"USO of TCP", TCP4(1000), {1, 5, 0, 100, 20, 16}, REFUSED},
	{"UFO", UDP4(1000), {1, 3, 0, 100, 20, 6}, REFUSED},
	{"unknown type 2", TCP4(1000), {1, 2, 0, 100, 20, 16}, REFUSED},
	{"unknown type 0x21", TCP4(1000), {1, 0x21, 0, 100, 20, 16}, REFUSED},
	{"ECN alone", TCP4(1000), {1, 0x80, 0, 100, 20, 16}, REFUSED},
	{"ECN of UDP", UDP4(1000), {1, 0x85, 0, 100, 20, 6}, REFUSED},
	{"GSO of ICMP",
	 {.version = 4, .proto = 1, .icmp_type = 8, .payload = 1000},
	 {1, 1, 0, 100, 20, 2},
	 REFUSED},
	{"GSO of a fragment",
	 {.version = 4, .proto = 17, .payload = 1000, PACKETS_CUT(0, 512)},
	 {0, 5, 0, 100, 20, 6},
	 REFUSED},
};

Test(dataplane_offload, offload_words)
{
	for (size_t i = 0; i < COUNT(offloads); i++) {
		const struct offload_case *c = &offloads[i];
		struct buf buf = {.data = data};
		const struct offload *o = &buf.offload;
		struct packet p;
		enum reason got;

		packets_build(&c->spec, &buf);
		buf.offload = c->given;
		got = packet_parse(&buf, &p);
		cr_expect(got == c->reason, "%s: %s, want %s", c->name, reason_name(got),
			  reason_name(c->reason));
		if (got != REASON_NONE) {
			cr_expect(memcmp(o, &c->given, sizeof(*o)) == 0, "%s: changed", c->name);
			continue;
		}
		cr_expect(memcmp(o, &c->want, sizeof(*o)) == 0, "%s: got {%u, %u, %u, %u, %u, %u}",
			  c->name, o->flags, o->gso_type, o->hdr_len, o->gso_size, o->csum_start,
			  o->csum_offset);
		cr_expect(packet_segments(&p) == c->segments, "%s: %u segments, want %u", c->name,
			  packet_segments(&p), c->segments);
	}
}
