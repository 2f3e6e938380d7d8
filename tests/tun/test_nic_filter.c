/* The socket filters and the fan-out program, run over packets by an interpreter of BPF. */
#include "tun/nic_filter_linux.h"

#include "tests/model/bpf.h"
#include "tests/model/packets.h"

#include <criterion/criterion.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>

TestSuite(tun_nic_filter);

enum {
	QUEUES = 4,
	FIRST = 40000,
	SLICE = 5000,
	END = FIRST + QUEUES * SLICE,
	NONE = -1, /* accepted by no queue */
	LINK_MAX = ETH_HLEN,

	TCP = IPPROTO_TCP,
	UDP = IPPROTO_UDP,
	ICMP = IPPROTO_ICMP,
	ICMP6 = IPPROTO_ICMPV6,
};

/* One packet, and where its port stands. */
struct layout {
	const char *name;
	struct packets_spec outer;
	struct packets_spec quoted; /* version 0: the packet quotes none */
	bool accepted;              /* when its port is in the range */
};

/* `src_port` stands for an echo's identifier; the port under test is put in by build(). */
static const struct layout layouts[] = {
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

/* A port, and the queue whose slice it is in. */
static const struct {
	uint16_t port;
	int queue;
} ports[] = {
	{0, NONE},
	{53, NONE},
	{FIRST - 1, NONE},
	{FIRST, 0},
	{FIRST + 1, 0},
	{FIRST + SLICE - 1, 0},
	{FIRST + SLICE, 1},
	{FIRST + 3 * SLICE - 1, 2},
	{FIRST + 3 * SLICE, 3},
	{END - 1, 3},
	{END, NONE},
	{65535, NONE},
};

struct program {
	struct sock_filter code[NIC_FILTER_MAX];
	unsigned count;
};

static uint8_t frame[LINK_MAX + BUF_SIZE];

/* The programs of a group of QUEUES, and of its sockets on a device with or without Ethernet. */
static void make_programs(unsigned link_len, struct program accept[QUEUES], struct program *fanout)
{
	for (unsigned i = 0; i < QUEUES; i++) {
		accept[i].count = nic_filter_accept(accept[i].code, link_len,
						    (uint16_t)(FIRST + i * SLICE), SLICE);
	}
	fanout->count = nic_filter_fanout(fanout->code, FIRST, SLICE, QUEUES);
}

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

/* The IP packet, behind room for an Ethernet header, in `frame`. */
static struct bpf_packet build(const struct layout *layout, uint16_t port)
{
	static uint8_t quoted_bytes[BUF_SIZE];
	static uint8_t payload[2048];
	struct packets_spec outer = layout->outer;
	struct packets_spec quoted = layout->quoted;
	struct buf quoted_buf = {.data = quoted_bytes};
	struct buf buf = {.data = frame + LINK_MAX};

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
	memset(frame, 0xee, LINK_MAX);
	return (struct bpf_packet){
		.bytes = buf.data,
		.len = buf.len,
		.protocol = outer.version == 4 ? ETH_P_IP : ETH_P_IPV6,
		.type = PACKET_HOST,
	};
}

/* Which queue gets a packet: the one of the fan-out, if its socket accepts it. No other may. */
static int deliver(const struct program *accept, const struct program *fanout, unsigned link_len,
		   const struct bpf_packet *packet)
{
	const uint32_t queue = bpf_run(fanout->code, fanout->count, packet);
	struct bpf_packet seen = *packet;
	int got = NONE;

	cr_assert_lt(queue, QUEUES, "the fan-out program chose queue %u", queue);
	seen.bytes -= link_len;
	seen.len += link_len;
	for (unsigned i = 0; i < QUEUES; i++) {
		if (bpf_run(accept[i].code, accept[i].count, &seen) == 0)
			continue;
		cr_expect_eq(i, queue, "queue %u accepts what goes to %u", i, queue);
		got = (int)i;
	}
	return got;
}

static void check_layouts(unsigned link_len)
{
	struct program accept[QUEUES];
	struct program fanout;

	make_programs(link_len, accept, &fanout);
	for (size_t l = 0; l < sizeof(layouts) / sizeof(layouts[0]); l++) {
		for (size_t p = 0; p < sizeof(ports) / sizeof(ports[0]); p++) {
			struct bpf_packet packet = build(&layouts[l], ports[p].port);
			int want = layouts[l].accepted ? ports[p].queue : NONE;
			int got = deliver(accept, &fanout, link_len, &packet);

			cr_expect_eq(got, want, "%s, port %u, link %u: queue %d, expected %d",
				     layouts[l].name, ports[p].port, link_len, got, want);
		}
	}
}

Test(tun_nic_filter, ports_on_ethernet)
{
	check_layouts(ETH_HLEN);
}

Test(tun_nic_filter, ports_without_link_header)
{
	check_layouts(0);
}

Test(tun_nic_filter, only_packets_to_this_host)
{
	static const struct {
		const char *name;
		uint8_t type;
		uint16_t vlan_tag;
		uint16_t protocol;
		int queue;
	} cases[] = {
		{"to this host", PACKET_HOST, 0, ETH_P_IP, 1},
		{"priority tag only", PACKET_HOST, 0xe000, ETH_P_IP, 1},
		{"VLAN 5", PACKET_HOST, 0x0005, ETH_P_IP, NONE},
		{"VLAN 2048", PACKET_HOST, 0x0800, ETH_P_IP, NONE},
		{"broadcast", PACKET_BROADCAST, 0, ETH_P_IP, NONE},
		{"multicast", PACKET_MULTICAST, 0, ETH_P_IP, NONE},
		{"to another host", PACKET_OTHERHOST, 0, ETH_P_IP, NONE},
		{"from this host", PACKET_OUTGOING, 0, ETH_P_IP, NONE},
		{"ARP", PACKET_HOST, 0, ETH_P_ARP, NONE},
		{"PPPoE", PACKET_HOST, 0, ETH_P_PPP_SES, NONE},
	};
	struct program accept[QUEUES];
	struct program fanout;

	make_programs(0, accept, &fanout);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bpf_packet packet = build(&layouts[0], FIRST + SLICE);
		int got;

		packet.type = cases[i].type;
		packet.vlan_tag = cases[i].vlan_tag;
		packet.protocol = cases[i].protocol;
		got = deliver(accept, &fanout, 0, &packet);
		cr_expect_eq(got, cases[i].queue, "%s: queue %d, expected %d", cases[i].name, got,
			     cases[i].queue);
	}
}

/* All of a datagram go to one queue, by its identification; each socket of a group takes them. */
Test(tun_nic_filter, fragments_of_ipv6)
{
	static const struct {
		const char *name;
		uint8_t proto, icmp_type;
		unsigned from;
		bool by_port; /* else accepted whatever it is */
		bool accepted;
	} cases[] = {
		{"first of UDP", UDP, 0, 0, true, true},
		{"first of TCP", TCP, 0, 0, true, true},
		{"first of an echo reply", ICMP6, 129, 0, true, true},
		{"first of an echo request", ICMP6, 128, 0, true, false},
		{"first of another protocol", 47, 0, 0, true, false},
		{"later", UDP, 0, 64, false, true},
		{"later of another protocol", 47, 0, 64, false, true},
	};
	struct program wide, fanout;
	unsigned used = 0;

	wide.count = nic_filter_accept(wide.code, 0, FIRST, QUEUES * SLICE);
	fanout.count = nic_filter_fanout(fanout.code, FIRST, SLICE, QUEUES);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t p = 0; p < sizeof(ports) / sizeof(ports[0]); p++) {
			struct layout layout = {.outer = {.version = 6,
							  .proto = cases[i].proto,
							  .icmp_type = cases[i].icmp_type,
							  .payload = 256,
							  .id = (uint16_t)(1000 + p),
							  .fragment = true,
							  .fragment_from = cases[i].from,
							  .fragment_size = 64}};
			struct bpf_packet packet = build(&layout, ports[p].port);
			bool want =
				cases[i].accepted && (!cases[i].by_port || ports[p].queue != NONE);
			uint32_t queue = bpf_run(fanout.code, fanout.count, &packet);

			cr_expect_eq(bpf_run(wide.code, wide.count, &packet) != 0, want,
				     "%s, port %u: expected %d", cases[i].name, ports[p].port,
				     want);
			cr_expect_eq(queue, (1000 + p) % QUEUES, "%s, number %zu: queue %u",
				     cases[i].name, 1000 + p, queue);
			used |= 1U << queue;
		}
	}
	cr_expect_eq(used, (1U << QUEUES) - 1, "all queues have some");
}

/* A packet cut anywhere before its port must not be accepted, nor read beyond its end. */
Test(tun_nic_filter, cut_packets)
{
	struct program accept[QUEUES];
	struct program fanout;

	make_programs(0, accept, &fanout);
	for (size_t l = 0; l < sizeof(layouts) / sizeof(layouts[0]); l++) {
		struct bpf_packet packet = build(&layouts[l], FIRST);
		const size_t whole = packet.len;
		bool accepted = false;

		for (packet.len = 0; packet.len <= whole; packet.len++) {
			bool now = deliver(accept, &fanout, 0, &packet) != NONE;

			cr_expect(now || !accepted, "%s: %zu bytes accepted, %zu not",
				  layouts[l].name, packet.len - 1, packet.len);
			cr_expect(!now || packet.len > 21, "%s: %zu bytes accepted",
				  layouts[l].name, packet.len);
			accepted = now;
		}
		cr_expect_eq(accepted, layouts[l].accepted, "%s whole: %d", layouts[l].name,
			     accepted);
	}
}

Test(tun_nic_filter, the_kernel_would_load_them)
{
	static const struct {
		uint16_t first;
		uint16_t slice;
		unsigned queues;
	} cases[] = {
		{1, 1, 1},     {1024, 64, 64},   {40000, 20000, 1}, {1, 65535, 1},
		{65535, 1, 1}, {1024, 1008, 64}, {32768, 512, 64},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct program accept;
		struct program fanout;

		accept.count =
			nic_filter_accept(accept.code, ETH_HLEN, cases[i].first, cases[i].slice);
		fanout.count = nic_filter_fanout(fanout.code, cases[i].first, cases[i].slice,
						 cases[i].queues);
		cr_expect(accept.count <= NIC_FILTER_MAX && fanout.count <= NIC_FILTER_MAX);
		cr_expect(bpf_is_valid(accept.code, accept.count), "filter of %u+%u",
			  cases[i].first, cases[i].slice);
		cr_expect(bpf_is_valid(fanout.code, fanout.count), "fan-out of %u+%ux%u",
			  cases[i].first, cases[i].slice, cases[i].queues);
	}
}
