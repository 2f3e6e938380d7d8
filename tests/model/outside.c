/* See outside.h. */
#include "tests/model/outside.h"

#include <netinet/in.h>

enum {
	TCP = IPPROTO_TCP,
	UDP = IPPROTO_UDP,
	ICMP = IPPROTO_ICMP,
	ICMP6 = IPPROTO_ICMPV6,
};

/* `src_port` stands for an echo's identifier; the port under test is put in by outside_build. */
const struct outside_kind outside_kinds[] = {
	{"v4 tcp", {.version = 4, .proto = TCP}, {0}, true},
	{"v4 tcp, options", {.version = 4, .proto = TCP, .ip_options = 40}, {0}, true},
	{"v4 udp", {.version = 4, .proto = UDP}, {0}, true},
	{"v4 udp, options, data",
	 {.version = 4, .proto = UDP, .ip_options = 4, .payload = 1400},
	 {0},
	 true},
	{"v4 echo reply", {.version = 4, .proto = ICMP, .icmp_type = 0}, {0}, true},
	{"v4 echo request", {.version = 4, .proto = ICMP, .icmp_type = 8}, {0}, false},
	{"v4 timestamp reply", {.version = 4, .proto = ICMP, .icmp_type = 14}, {0}, false},
	{"v4 other protocol", {.version = 4, .proto = 47, .payload = 40}, {0}, false},
	{"v4 first fragment",
	 {.version = 4, .proto = UDP, .payload = 64, .fragment = true, .fragment_size = 32},
	 {0},
	 true},
	{"v4 later fragment",
	 {.version = 4, .proto = UDP, .payload = 64, .fragment = true, .fragment_from = 8},
	 {0},
	 false},
	{"v4 unreachable, tcp",
	 {.version = 4, .proto = ICMP, .icmp_type = 3},
	 {.version = 4, .proto = TCP},
	 true},
	{"v4 time exceeded, udp, options in both",
	 {.version = 4, .proto = ICMP, .icmp_type = 11, .ip_options = 8},
	 {.version = 4, .proto = UDP, .ip_options = 16},
	 true},
	{"v4 parameter problem, echo",
	 {.version = 4, .proto = ICMP, .icmp_type = 12},
	 {.version = 4, .proto = ICMP, .icmp_type = 8},
	 true},
	{"v4 unreachable, echo reply",
	 {.version = 4, .proto = ICMP, .icmp_type = 3},
	 {.version = 4, .proto = ICMP, .icmp_type = 0},
	 false},
	{"v4 redirect, udp",
	 {.version = 4, .proto = ICMP, .icmp_type = 5},
	 {.version = 4, .proto = UDP},
	 false},
	{"v4 unreachable, later fragment",
	 {.version = 4, .proto = ICMP, .icmp_type = 3},
	 {.version = 4, .proto = UDP, .payload = 64, .fragment = true, .fragment_from = 8},
	 false},
	{"v4 unreachable, other protocol",
	 {.version = 4, .proto = ICMP, .icmp_type = 3},
	 {.version = 4, .proto = 47, .payload = 16},
	 false},
	{"v6 tcp", {.version = 6, .proto = TCP}, {0}, true},
	{"v6 udp", {.version = 6, .proto = UDP, .payload = 9}, {0}, true},
	{"v6 echo reply", {.version = 6, .proto = ICMP6, .icmp_type = 129}, {0}, true},
	{"v6 echo request", {.version = 6, .proto = ICMP6, .icmp_type = 128}, {0}, false},
	{"v6 neighbour solicitation", {.version = 6, .proto = ICMP6, .icmp_type = 135}, {0}, false},
	{"v6 destination options",
	 {.version = 6, .proto = UDP, .ext = {60}, .ext_count = 1},
	 {0},
	 true},
	{"v6 long destination options",
	 {.version = 6, .proto = UDP, .ext = {60, 60}, .ext_count = 2, .ext_more = 24},
	 {0},
	 true},
	{"v6 unreachable, long options",
	 {.version = 6, .proto = ICMP6, .icmp_type = 1, .ext = {60}, .ext_count = 1, .ext_more = 8},
	 {.version = 6, .proto = UDP, .ext = {60}, .ext_count = 1, .ext_more = 16},
	 true},
	{"v6 all extensions, tcp",
	 {.version = 6, .proto = TCP, .ext = {0, 43, 60}, .ext_count = 3, .payload = 30},
	 {0},
	 true},
	{"v6 an atomic fragment",
	 {.version = 6, .proto = UDP, .ext = {44, 60}, .ext_count = 2, .id = 77},
	 {0},
	 true},
	{"v6 echo reply, options",
	 {.version = 6, .proto = ICMP6, .icmp_type = 129, .ext = {60, 60}, .ext_count = 2},
	 {0},
	 true},
	{"v6 echo request, options",
	 {.version = 6, .proto = ICMP6, .icmp_type = 128, .ext = {60, 60}, .ext_count = 2},
	 {0},
	 false},
	{"v6 too many extensions",
	 {.version = 6, .proto = UDP, .ext = {60, 60, 60, 60}, .ext_count = 4},
	 {0},
	 false},
	{"v6 other protocol, options",
	 {.version = 6, .proto = 47, .payload = 40, .ext = {60}, .ext_count = 1},
	 {0},
	 false},
	{"v6 unreachable, options in both",
	 {.version = 6, .proto = ICMP6, .icmp_type = 1, .ext = {60}, .ext_count = 1},
	 {.version = 6, .proto = UDP, .ext = {60, 43}, .ext_count = 2},
	 true},
	{"v6 time exceeded, all extensions, echo",
	 {.version = 6, .proto = ICMP6, .icmp_type = 3, .ext = {0, 43, 60}, .ext_count = 3},
	 {.version = 6, .proto = ICMP6, .icmp_type = 128, .ext = {60}, .ext_count = 1},
	 true},
	{"v6 too big, first fragment",
	 {.version = 6, .proto = ICMP6, .icmp_type = 2},
	 {.version = 6,
	  .proto = UDP,
	  .payload = 64,
	  .fragment = true,
	  .fragment_size = 32,
	  .ext = {60},
	  .ext_count = 1},
	 true},
	{"v6 unreachable, later fragment",
	 {.version = 6, .proto = ICMP6, .icmp_type = 1},
	 {.version = 6, .proto = UDP, .payload = 64, .fragment = true, .fragment_from = 8},
	 false},
	{"v6 unreachable, too many extensions",
	 {.version = 6, .proto = ICMP6, .icmp_type = 1},
	 {.version = 6, .proto = UDP, .ext = {60, 60, 60}, .ext_count = 3},
	 false},
	{"v6 unreachable, v4 in it",
	 {.version = 6, .proto = ICMP6, .icmp_type = 1},
	 {.version = 4, .proto = UDP, .payload = 30},
	 false},
	{"v6 unreachable, tcp",
	 {.version = 6, .proto = ICMP6, .icmp_type = 1},
	 {.version = 6, .proto = TCP},
	 true},
	{"v6 too big, udp",
	 {.version = 6, .proto = ICMP6, .icmp_type = 2},
	 {.version = 6, .proto = UDP, .payload = 1100},
	 true},
	{"v6 time exceeded, echo",
	 {.version = 6, .proto = ICMP6, .icmp_type = 3},
	 {.version = 6, .proto = ICMP6, .icmp_type = 128},
	 true},
	{"v6 parameter problem, udp",
	 {.version = 6, .proto = ICMP6, .icmp_type = 4},
	 {.version = 6, .proto = UDP},
	 true},
	{"v6 error 5, udp",
	 {.version = 6, .proto = ICMP6, .icmp_type = 5},
	 {.version = 6, .proto = UDP},
	 false},
	{"v6 unreachable, echo reply",
	 {.version = 6, .proto = ICMP6, .icmp_type = 1},
	 {.version = 6, .proto = ICMP6, .icmp_type = 129},
	 false},
};

const size_t outside_kind_count = sizeof(outside_kinds) / sizeof(outside_kinds[0]);

static bool is_echo(const struct packets_spec *spec)
{
	return spec->proto == ICMP || spec->proto == ICMP6;
}

/* A payload that is nothing but the port, so that who reads it there by mistake finds it. */
static void fill_with_port(struct packets_spec *spec, uint8_t *bytes, uint16_t port)
{
	for (unsigned i = 0; i < spec->payload; i++)
		bytes[i] = (uint8_t)(i % 2 == 0 ? port >> 8 : port);
	spec->payload_bytes = bytes;
}

size_t outside_build(const struct outside_kind *kind, uint16_t port, uint8_t *bytes)
{
	static uint8_t quoted_bytes[BUF_SIZE];
	static uint8_t payload[2048];
	struct packets_spec outer = kind->outer;
	struct packets_spec quoted = kind->quoted;
	struct buf quoted_buf = {.data = quoted_bytes};
	struct buf buf = {.data = bytes};

	outer.src_port = is_echo(&outer) ? port : 80;
	outer.dst_port = port;
	fill_with_port(&outer, payload, port);
	if (quoted.version != 0) {
		quoted.src_port = port;
		quoted.dst_port = 80;
		fill_with_port(&quoted, payload, port);
		packets_build(&quoted, &quoted_buf);
		outer.src_port = 0;
		outer.payload = quoted_buf.len;
		outer.payload_bytes = quoted_bytes;
	}
	packets_build(&outer, &buf);
	return buf.len;
}
