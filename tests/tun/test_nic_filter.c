/* The socket filters and the fan-out program, run over packets by an interpreter of BPF. */
#include "tun/nic_filter_linux.h"

#include "tests/model/bpf.h"
#include "tests/model/outside.h"
#include "tun/fanout.h"

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

/* The IP packet, behind room for an Ethernet header, in `frame`. */
static struct bpf_packet build(const struct outside_kind *kind, uint16_t port)
{
	size_t len = outside_build(kind, port, frame + LINK_MAX);

	memset(frame, 0xee, LINK_MAX);
	return (struct bpf_packet){
		.bytes = frame + LINK_MAX,
		.len = len,
		.protocol = kind->outer.version == 4 ? ETH_P_IP : ETH_P_IPV6,
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
	for (size_t l = 0; l < outside_kind_count; l++) {
		for (size_t p = 0; p < sizeof(ports) / sizeof(ports[0]); p++) {
			struct bpf_packet packet = build(&outside_kinds[l], ports[p].port);
			int want = outside_kinds[l].accepted ? ports[p].queue : NONE;
			int got = deliver(accept, &fanout, link_len, &packet);

			cr_expect_eq(got, want, "%s, port %u, link %u: queue %d, expected %d",
				     outside_kinds[l].name, ports[p].port, link_len, got, want);
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
		struct bpf_packet packet = build(&outside_kinds[0], FIRST + SLICE);
		int got;

		packet.type = cases[i].type;
		packet.vlan_tag = cases[i].vlan_tag;
		packet.protocol = cases[i].protocol;
		got = deliver(accept, &fanout, 0, &packet);
		cr_expect_eq(got, cases[i].queue, "%s: queue %d, expected %d", cases[i].name, got,
			     cases[i].queue);
	}
}

/*
 * All IPv6 fragments of a datagram go to one queue, whatever its port, and datagrams are spread by
 * identification and addresses. Each socket of a group takes them.
 */
Test(tun_nic_filter, fragments_of_ipv6)
{
	static const struct {
		const char *name;
		uint8_t proto, icmp_type;
		bool accepted; /* the first, if its port is in the range; later ones always */
	} cases[] = {
		{"UDP", IPPROTO_UDP, 0, true},
		{"TCP", IPPROTO_TCP, 0, true},
		{"an echo reply", IPPROTO_ICMPV6, 129, true},
		{"an echo request", IPPROTO_ICMPV6, 128, false},
		{"another protocol", 47, 0, false},
	};
	unsigned used[QUEUES] = {0};
	struct program wide, fanout;

	wide.count = nic_filter_accept(wide.code, 0, FIRST, QUEUES * SLICE);
	fanout.count = nic_filter_fanout(fanout.code, FIRST, SLICE, QUEUES);
	for (size_t n = 0; n < 200 * sizeof(cases) / sizeof(cases[0]); n++) {
		size_t i = n / 200, p = n % (sizeof(ports) / sizeof(ports[0]));
		struct outside_kind kind = {.outer = {.version = 6,
						      .proto = cases[i].proto,
						      .icmp_type = cases[i].icmp_type,
						      .payload = 256,
						      .id = (uint16_t)(n * 257),
						      .ext = {60},
						      .ext_count = n % 2,
						      .fragment = true,
						      .fragment_size = 64}};
		uint32_t first = QUEUES;

		for (unsigned from = 0; from < 256; from += 64) {
			struct bpf_packet packet;
			uint32_t queue;
			bool want = from > 0 || (cases[i].accepted && ports[p].queue != NONE);

			kind.outer.fragment_from = from;
			packet = build(&kind, ports[p].port);
			queue = bpf_run(fanout.code, fanout.count, &packet);
			cr_assert_lt(queue, QUEUES);
			first = from == 0 ? queue : first;
			cr_expect_eq(queue, first, "%s, number %zu is parted", cases[i].name, n);
			cr_expect_eq(bpf_run(wide.code, wide.count, &packet) != 0, want,
				     "%s from %u, port %u: expected %d", cases[i].name, from,
				     ports[p].port, want);
			packet.type = PACKET_OTHERHOST;
			cr_expect_not(bpf_run(wide.code, wide.count, &packet));
		}
		used[first]++;
	}
	for (unsigned i = 0; i < QUEUES; i++)
		cr_expect_gt(used[i], 100, "queue %u gets %u datagrams of 1000", i, used[i]);
}

/* A packet cut anywhere before its port must not be accepted, nor read beyond its end. */
Test(tun_nic_filter, cut_packets)
{
	struct program accept[QUEUES];
	struct program fanout;

	make_programs(0, accept, &fanout);
	for (size_t l = 0; l < outside_kind_count; l++) {
		struct bpf_packet packet = build(&outside_kinds[l], FIRST);
		const size_t whole = packet.len;
		bool accepted = false;

		for (packet.len = 0; packet.len <= whole; packet.len++) {
			bool now = deliver(accept, &fanout, 0, &packet) != NONE;

			cr_expect(now || !accepted, "%s: %zu bytes accepted, %zu not",
				  outside_kinds[l].name, packet.len - 1, packet.len);
			cr_expect(!now || packet.len > 21, "%s: %zu bytes accepted",
				  outside_kinds[l].name, packet.len);
			accepted = now;
		}
		cr_expect_eq(accepted, outside_kinds[l].accepted, "%s whole: %d",
			     outside_kinds[l].name, accepted);
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
