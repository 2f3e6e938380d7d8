/*
 * The packet path between two devices in memory: what goes into the TUN, what comes out of the
 * interfaces, and the way back. Every packet that comes out is checked by the model.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/dataplane.h"
#include "dataplane/packet.h"
#include "dataplane/reject.h"
#include "dataplane/rewrite.h"
#include "tests/model/packets.h"
#include "tun/nic_mem.h"
#include "tun/tun_mem.h"

enum { DIRECT, VPN, DROP, REJECT, EGRESSES };

enum {
	PORT_FIRST = 40000,
	PORT_LAST = 40999,
	WAIT_MS = 2000,
};

static const uint8_t gateway_mac[6] = {2, 0, 0, 0, 0, 1};

/* One dataplane under test, its devices, and a buffer for what comes out. */
struct bench {
	struct dataplane *dataplane;
	struct tun *tun;
	struct nic *nic[2];
	struct buf out;
	uint8_t out_data[BUF_SIZE];
	uint8_t in_data[BUF_SIZE];
	uint8_t next_hop[6];
	unsigned queue; /* on which the last packet came out */
};

static struct addr address(const char *text)
{
	struct addr a;

	cr_assert_eq(addr_parse(text, strlen(text), &a), 0, "%s", text);
	return a;
}

static struct table *table_of(const char *direct, const char *drop, const char *reject,
			      uint32_t generation)
{
	const char *texts[] = {direct, drop, reject};
	const uint16_t egresses[] = {DIRECT, DROP, REJECT};
	struct table_rule rules[3];
	struct list_error err;
	struct table *table;

	for (int i = 0; i < 3; i++) {
		rules[i].egress = egresses[i];
		cr_assert_eq(
			list_parse("l", "l", texts[i], strlen(texts[i]), 0, &rules[i].list, &err),
			0, "%s", err.text);
	}
	cr_assert_eq(table_build(rules, 3, VPN, generation, &table), 0);
	for (int i = 0; i < 3; i++)
		list_unref(rules[i].list);
	return table;
}

#define DIRECT_LIST "198.51.0.0/16\n2001:db8:51::/48\n"

static void fill_link(struct link *l, const char *a4, const char *a6, bool ethernet, bool resolved)
{
	*l = (struct link){.ifindex = 1, .up = true, .ethernet = ethernet, .mtu = 1500};
	l->address4 = address(a4);
	l->address6 = address(a6);
	l->gateway4 = address("192.0.2.254");
	l->gateway6 = address("2001:db8:2::fe");
	l->subnets[0] = (struct prefix){address("192.0.2.0"), 24};
	l->subnet_count = 1;
	if (!resolved)
		return;
	l->neighbours = calloc(2, sizeof(*l->neighbours));
	l->neighbour_count = 2;
	l->neighbours[0].addr = l->gateway4;
	l->neighbours[1].addr = l->gateway6;
	for (int i = 0; i < 2; i++)
		memcpy(l->neighbours[i].mac, gateway_mac, 6);
	link_sort_neighbours(l);
}

static struct links *links_of(bool resolved)
{
	struct links *links = links_create(EGRESSES);

	fill_link(&links->link[DIRECT], "192.0.2.1", "2001:db8:2::1", true, resolved);
	fill_link(&links->link[VPN], "192.0.3.1", "2001:db8:3::1", false, false);
	return links;
}

static void open_bench_ports(struct bench *b, unsigned queues, enum on_change on_change,
			     bool resolved, uint16_t port_last)
{
	struct egress_options egresses[EGRESSES] = {
		[DIRECT] = {.type = EGRESS_INTERFACE,
			    .interface = "eth0",
			    .nat = true,
			    .port_first = PORT_FIRST,
			    .port_last = port_last,
			    .on_down = ON_DOWN_DROP},
		[VPN] = {.type = EGRESS_INTERFACE,
			 .interface = "tun9",
			 .nat = true,
			 .port_first = PORT_FIRST,
			 .port_last = PORT_LAST,
			 .on_down = ON_DOWN_DROP},
		[DROP] = {.type = EGRESS_DROP},
		[REJECT] = {.type = EGRESS_REJECT},
	};
	struct tun_options tun = {.name = "sluice0", .queues = queues, .fd = -1};
	struct dataplane_options options = {
		.egresses = egresses,
		.egress_count = EGRESSES,
		.on_change = on_change,
		.flows = 1024,
	};

	memset(b, 0, sizeof(*b));
	cr_assert_eq(tun_open(&tun, &b->tun), 0);
	options.tun = b->tun;
	cr_assert_eq(dataplane_create(&options, &b->dataplane, NULL), 0);
	b->nic[DIRECT] = nic_mem_find("eth0");
	b->nic[VPN] = nic_mem_find("tun9");
	b->out.data = b->out_data;
	dataplane_publish_table(b->dataplane, table_of(DIRECT_LIST, "203.0.113.0/25\n",
						       "203.0.113.128/25\n2001:db8:bad::/48\n", 1));
	dataplane_publish_links(b->dataplane, links_of(resolved));
	cr_assert_eq(dataplane_start(b->dataplane), 0);
}

static void open_bench(struct bench *b, unsigned queues, enum on_change on_change, bool resolved)
{
	open_bench_ports(b, queues, on_change, resolved, PORT_LAST);
}

static void close_bench(struct bench *b)
{
	dataplane_destroy(b->dataplane);
}

static void pause_ms(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

/* The sum of a counter over the workers. */
static uint64_t drops(const struct bench *b, enum reason reason)
{
	struct worker_counters c;
	uint64_t sum = 0;

	for (unsigned i = 0; i < dataplane_worker_count(b->dataplane); i++) {
		dataplane_read_counters(b->dataplane, i, &c);
		sum += c.drops[reason];
	}
	return sum;
}

static void expect_drop(const struct bench *b, enum reason reason, uint64_t count)
{
	for (unsigned ms = 0; drops(b, reason) != count && ms < WAIT_MS; ms++)
		pause_ms(1);
	cr_assert_eq(drops(b, reason), count, "%s: %llu, not %llu", reason_name(reason),
		     (unsigned long long)drops(b, reason), (unsigned long long)count);
}

static void check_out(struct bench *b, struct packet *p)
{
	const char *wrong = packets_check(&b->out);

	cr_assert_null(wrong, "what came out: %s", wrong);
	cr_assert_eq(packet_parse(&b->out, p), REASON_NONE);
}

static bool take_nic(struct bench *b, int egress, struct packet *p)
{
	for (unsigned ms = 0; ms < WAIT_MS; ms++) {
		for (b->queue = 0; b->queue < tun_queue_count(b->tun); b->queue++) {
			b->out.len = (uint32_t)nic_mem_take(b->nic[egress], b->queue, b->out_data,
							    BUF_SIZE, &b->out.offload, b->next_hop);
			if (b->out.len == 0)
				continue;
			check_out(b, p);
			return true;
		}
		pause_ms(1);
	}
	return false;
}

static bool take_tun(struct bench *b, struct packet *p)
{
	for (unsigned ms = 0; ms < WAIT_MS; ms++) {
		for (unsigned q = 0; q < tun_queue_count(b->tun); q++) {
			b->out.len = (uint32_t)tun_mem_take(b->tun, q, b->out_data, BUF_SIZE,
							    &b->out.offload);
			if (b->out.len == 0)
				continue;
			check_out(b, p);
			return true;
		}
		pause_ms(1);
	}
	return false;
}

static struct packets_spec spec_of(uint8_t proto, const char *src, const char *dst)
{
	struct addr s = address(src), d = address(dst);
	struct packets_spec spec = {.version = s.version,
				    .proto = proto,
				    .src_port = 1234,
				    .dst_port = 80,
				    .payload = 100};

	addr_to_bytes(&s, spec.src);
	addr_to_bytes(&d, spec.dst);
	if (proto == PROTO_TCP)
		spec.tcp_flags = TCP_SYN;
	if (proto == PROTO_ICMP)
		spec.icmp_type = 8;
	if (proto == PROTO_ICMP6)
		spec.icmp_type = 128;
	return spec;
}

static void inject_tun(struct bench *b, const struct packets_spec *spec, unsigned queue)
{
	struct buf in = {.data = b->in_data};

	packets_build(spec, &in);
	cr_assert_eq(tun_mem_inject(b->tun, queue, in.data, in.len, &in.offload), 0);
}

static void inject_nic(struct bench *b, int egress, const struct packets_spec *spec)
{
	struct buf in = {.data = b->in_data};

	packets_build(spec, &in);
	cr_assert_eq(nic_mem_inject(b->nic[egress], b->queue, in.data, in.len, &in.offload), 0);
}

/* The answer to a packet that came out of an interface. */
static struct packets_spec answer_to(const struct packet *p, uint8_t tcp_flags)
{
	const struct flow_key *k = &p->key;
	struct packets_spec spec = {.version = k->version,
				    .proto = k->proto,
				    .src_port = k->dst_port,
				    .dst_port = k->src_port,
				    .tcp_flags = tcp_flags,
				    .payload = 50};

	memcpy(spec.src, k->dst, 16);
	memcpy(spec.dst, k->src, 16);
	if (k->proto == PROTO_ICMP6)
		spec.icmp_type = 129;
	return spec;
}

static void expect_text(const struct addr *got, const char *want)
{
	char text[ADDR_TEXT_MAX];

	cr_assert_str_eq(addr_format(got, text), want);
}

static const struct {
	const char *src, *dst;
	uint8_t proto;
	int egress;
	const char *outer;
} ways[] = {
	{"10.0.0.2", "198.51.100.7", PROTO_TCP, DIRECT, "192.0.2.1"},
	{"10.0.0.2", "198.51.100.7", PROTO_UDP, DIRECT, "192.0.2.1"},
	{"10.0.0.2", "198.51.100.7", PROTO_ICMP, DIRECT, "192.0.2.1"},
	{"10.0.0.2", "8.8.8.8", PROTO_TCP, VPN, "192.0.3.1"},
	{"10.0.0.2", "8.8.8.8", PROTO_UDP, VPN, "192.0.3.1"},
	{"fd00::2", "2001:db8:51::9", PROTO_TCP, DIRECT, "2001:db8:2::1"},
	{"fd00::2", "2001:db8:51::9", PROTO_UDP, DIRECT, "2001:db8:2::1"},
	{"fd00::2", "2001:db8:51::9", PROTO_ICMP6, DIRECT, "2001:db8:2::1"},
	{"fd00::2", "2a00::1", PROTO_UDP, VPN, "2001:db8:3::1"},
};

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static void there_and_back(unsigned queues)
{
	struct bench b;

	open_bench(&b, queues, ON_CHANGE_RESET, true);
	for (unsigned i = 0; i < WAYS; i++) {
		struct packets_spec spec = spec_of(ways[i].proto, ways[i].src, ways[i].dst), answer;
		unsigned queue = i % queues, slice = (PORT_LAST - PORT_FIRST + 1) / queues;
		struct addr got;
		struct packet p;

		inject_tun(&b, &spec, queue);
		cr_assert(take_nic(&b, ways[i].egress, &p), "way %u: nothing came out", i);
		got = key_src(&p.key);
		expect_text(&got, ways[i].outer);
		got = key_dst(&p.key);
		expect_text(&got, ways[i].dst);
		cr_assert_eq((p.key.src_port - PORT_FIRST) / slice, queue,
			     "way %u: port %u is not of queue %u", i, p.key.src_port, queue);
		if (ways[i].egress == DIRECT)
			cr_assert_arr_eq(b.next_hop, gateway_mac, 6);

		answer = answer_to(&p, TCP_SYN | TCP_ACK);
		inject_nic(&b, ways[i].egress, &answer);
		cr_assert(take_tun(&b, &p), "way %u: no answer", i);
		got = key_dst(&p.key);
		expect_text(&got, ways[i].src);
		got = key_src(&p.key);
		expect_text(&got, ways[i].dst);
		cr_assert_eq(p.key.dst_port, 1234, "way %u: port %u", i, p.key.dst_port);
	}
	close_bench(&b);
}

Test(dataplane_worker, there_and_back_by_one_queue)
{
	there_and_back(1);
}

Test(dataplane_worker, there_and_back_by_two_queues)
{
	there_and_back(2);
}

Test(dataplane_worker, there_and_back_by_four_queues)
{
	there_and_back(4);
}

Test(dataplane_worker, super_packets_stay_whole)
{
	struct packets_spec spec = spec_of(PROTO_TCP, "10.0.0.2", "198.51.100.7");
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	spec.tcp_flags = TCP_ACK;
	spec.payload = 60000;
	spec.needs_csum = true;
	spec.gso_size = 1400;
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, DIRECT, &p));
	cr_assert_eq(b.out.len, 60040, "%u bytes", b.out.len);
	cr_assert_eq(b.out.offload.gso_size, 1400);
	cr_assert_eq(packet_segments(&p), 43, "%u segments", packet_segments(&p));
	close_bench(&b);
}

Test(dataplane_worker, drop_and_reject)
{
	struct packets_spec spec = spec_of(PROTO_TCP, "10.0.0.2", "203.0.113.1");
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	inject_tun(&b, &spec, 0);
	expect_drop(&b, REASON_RULE, 1);

	spec = spec_of(PROTO_TCP, "10.0.0.2", "203.0.113.200");
	inject_tun(&b, &spec, 0);
	cr_assert(take_tun(&b, &p), "no answer");
	cr_assert_eq(p.tcp_flags & TCP_RST, TCP_RST);
	expect_drop(&b, REASON_REJECTED, 1);

	spec = spec_of(PROTO_UDP, "fd00::2", "2001:db8:bad::1");
	inject_tun(&b, &spec, 0);
	cr_assert(take_tun(&b, &p), "no answer");
	cr_assert_eq(p.kind, PACKET_ICMP_ERROR);
	close_bench(&b);
}

static const char *const nowhere[][2] = {
	{"10.0.0.2", "224.0.0.251"}, {"10.0.0.2", "127.0.0.1"}, {"10.0.0.2", "255.255.255.255"},
	{"10.0.0.2", "169.254.1.1"}, {"127.0.0.1", "8.8.8.8"},  {"10.0.0.2", "0.0.0.1"},
	{"fd00::2", "ff02::fb"},     {"fd00::2", "fe80::1"},    {"fe80::1", "2a00::1"},
	{"fd00::2", "::1"},          {"::1", "2a00::1"},
};

Test(dataplane_worker, what_no_egress_may_carry)
{
	enum { COUNT = sizeof(nowhere) / sizeof(nowhere[0]) };
	struct bench b;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	for (unsigned i = 0; i < COUNT; i++) {
		struct packets_spec spec = spec_of(PROTO_UDP, nowhere[i][0], nowhere[i][1]);

		inject_tun(&b, &spec, 0);
		expect_drop(&b, REASON_LINK_LOCAL, i + 1);
	}
	close_bench(&b);
}

Test(dataplane_worker, nobody_comes_in_unasked)
{
	struct packets_spec spec = spec_of(PROTO_UDP, "10.0.0.2", "198.51.100.7"), stranger;
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, DIRECT, &p));

	stranger = answer_to(&p, 0);
	stranger.src[3]++;
	inject_nic(&b, DIRECT, &stranger); /* another address */
	expect_drop(&b, REASON_UNSOLICITED, 1);
	stranger = answer_to(&p, 0);
	stranger.src_port++;
	inject_nic(&b, DIRECT, &stranger); /* another port */
	expect_drop(&b, REASON_UNSOLICITED, 2);
	stranger = answer_to(&p, 0);
	stranger.dst[3]++;
	inject_nic(&b, DIRECT, &stranger); /* not our address */
	expect_drop(&b, REASON_UNSOLICITED, 3);
	stranger = answer_to(&p, 0);
	stranger.dst_port++;
	inject_nic(&b, DIRECT, &stranger); /* no such translation */
	expect_drop(&b, REASON_UNSOLICITED, 4);
	stranger = answer_to(&p, 0);
	inject_nic(&b, VPN, &stranger); /* by the other interface */
	expect_drop(&b, REASON_UNSOLICITED, 5);
	stranger = answer_to(&p, 0);
	inject_nic(&b, DIRECT, &stranger);
	cr_assert(take_tun(&b, &p), "the right answer comes in");
	close_bench(&b);
}

Test(dataplane_worker, an_answer_comes_by_the_egress_of_its_flow)
{
	struct packets_spec direct = spec_of(PROTO_UDP, "10.0.0.2", "198.51.100.7"), astray;
	struct packets_spec vpn = spec_of(PROTO_UDP, "10.0.0.2", "8.8.8.8");
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	inject_tun(&b, &vpn, 0);
	cr_assert(take_nic(&b, VPN, &p));
	inject_tun(&b, &direct, 0);
	cr_assert(take_nic(&b, DIRECT, &p));
	astray = answer_to(&p, 0); /* to a port of DIRECT's, from whom VPN's flow asked */
	memcpy(astray.src, vpn.dst, sizeof(astray.src));
	inject_nic(&b, DIRECT, &astray);
	expect_drop(&b, REASON_UNSOLICITED, 1);
	close_bench(&b);
}

Test(dataplane_worker, without_a_port_the_sender_is_told)
{
	struct packets_spec first = spec_of(PROTO_UDP, "10.0.0.2", "198.51.100.7"), answer;
	struct packets_spec second = first;
	struct bench b;
	struct packet p;

	open_bench_ports(&b, 1, ON_CHANGE_RESET, true, PORT_FIRST);
	inject_tun(&b, &first, 0);
	cr_assert(take_nic(&b, DIRECT, &p));
	answer = answer_to(&p, 0);
	inject_nic(&b, DIRECT, &answer);
	cr_assert(take_tun(&b, &p));
	second.src[3]++;
	inject_tun(&b, &second, 0);
	cr_assert(take_tun(&b, &p), "no answer");
	cr_assert_eq(p.kind, PACKET_ICMP_ERROR);
	expect_drop(&b, REASON_NO_PORT, 1);
	inject_tun(&b, &first, 0);
	cr_assert(take_nic(&b, DIRECT, &p), "the flow that was answered keeps its port");
	close_bench(&b);
}

Test(dataplane_worker, waits_for_the_neighbour)
{
	struct packets_spec spec = spec_of(PROTO_UDP, "10.0.0.2", "198.51.100.7");
	struct addr via = {0};
	unsigned egress = 99;
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, false);
	inject_tun(&b, &spec, 0);
	for (unsigned ms = 0; ms < WAIT_MS; ms++) {
		if (dataplane_resolve_next(b.dataplane, &egress, &via))
			break;
		pause_ms(1);
	}
	cr_assert_eq(egress, DIRECT, "no wish came");
	expect_text(&via, "192.0.2.254");
	dataplane_publish_links(b.dataplane, links_of(true));
	cr_assert(take_nic(&b, DIRECT, &p), "the packet that waited");
	cr_assert_arr_eq(b.next_hop, gateway_mac, 6);
	close_bench(&b);
}

/* Publishes a table in which 198.51.0.0/16 has gone over to the VPN. */
static void move_to_vpn(struct bench *b)
{
	dataplane_publish_table(b->dataplane, table_of("192.0.77.0/24\n", "", "", 2));
}

Test(dataplane_worker, a_reload_resets_tcp_that_moves)
{
	struct packets_spec spec = spec_of(PROTO_TCP, "10.0.0.2", "198.51.100.7");
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, DIRECT, &p));
	move_to_vpn(&b);
	spec.tcp_flags = TCP_ACK;
	spec.seq = 1000;
	spec.ack = 5000;
	inject_tun(&b, &spec, 0);
	cr_assert(take_tun(&b, &p), "no RST");
	cr_assert_eq(p.tcp_flags & TCP_RST, TCP_RST);
	expect_drop(&b, REASON_EGRESS_CHANGED, 1);
	spec.tcp_flags = TCP_SYN;
	spec.src_port++;
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, VPN, &p), "the next connection takes the new way");
	close_bench(&b);
}

Test(dataplane_worker, an_answer_that_meets_a_reload_resets_too)
{
	struct packets_spec spec = spec_of(PROTO_TCP, "10.0.0.2", "198.51.100.7"), answer;
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, DIRECT, &p));
	answer = answer_to(&p, TCP_ACK);
	move_to_vpn(&b);
	inject_nic(&b, DIRECT, &answer);
	cr_assert(take_tun(&b, &p), "no RST");
	cr_assert_eq(p.tcp_flags & TCP_RST, TCP_RST);
	cr_assert_eq(p.key.dst_port, 1234);
	close_bench(&b);
}

Test(dataplane_worker, a_datagram_that_meets_a_reload_comes_in)
{
	struct packets_spec spec = spec_of(PROTO_UDP, "10.0.0.2", "198.51.100.7"), answer;
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, DIRECT, &p));
	answer = answer_to(&p, 0);
	move_to_vpn(&b);
	inject_nic(&b, DIRECT, &answer);
	cr_assert(take_tun(&b, &p), "the answer was lost");
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, VPN, &p), "the next question goes the new way");
	close_bench(&b);
}

Test(dataplane_worker, a_reload_moves_udp_and_keeps_what_stays)
{
	struct packets_spec moves = spec_of(PROTO_UDP, "10.0.0.2", "198.51.100.7");
	struct packets_spec stays = spec_of(PROTO_UDP, "10.0.0.2", "8.8.8.8");
	uint16_t port;
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	inject_tun(&b, &moves, 0);
	cr_assert(take_nic(&b, DIRECT, &p));
	inject_tun(&b, &stays, 0);
	cr_assert(take_nic(&b, VPN, &p));
	port = p.key.src_port;
	move_to_vpn(&b);
	inject_tun(&b, &stays, 0);
	cr_assert(take_nic(&b, VPN, &p));
	cr_assert_eq(p.key.src_port, port, "the flow that stays keeps its port");
	inject_tun(&b, &moves, 0);
	cr_assert(take_nic(&b, VPN, &p), "the flow that moves has moved");
	close_bench(&b);
}

Test(dataplane_worker, keep_drains_on_the_old_egress)
{
	struct packets_spec spec = spec_of(PROTO_TCP, "10.0.0.2", "198.51.100.7");
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_KEEP, true);
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, DIRECT, &p));
	move_to_vpn(&b);
	spec.tcp_flags = TCP_ACK;
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, DIRECT, &p), "the old flow stays");
	spec.tcp_flags = TCP_SYN;
	spec.src_port++;
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, VPN, &p), "a new one does not");
	spec.src_port--;
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, VPN, &p), "nor does one from the old one's port");
	close_bench(&b);
}

Test(dataplane_worker, fragments_follow_their_first)
{
	struct packets_spec spec = spec_of(PROTO_UDP, "10.0.0.2", "198.51.100.7");
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	spec.payload = 1600;
	spec.id = 7;
	spec.fragment = true;
	spec.fragment_from = 800;
	inject_tun(&b, &spec, 0);
	expect_drop(&b, REASON_FRAGMENT, 1); /* its first has not been seen */
	spec.fragment_from = 0;
	spec.fragment_size = 800;
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, DIRECT, &p));
	cr_assert(p.first_fragment);
	spec.fragment_from = 800;
	spec.fragment_size = 0;
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, DIRECT, &p));
	cr_assert_eq(p.kind, PACKET_FRAGMENT);
	struct addr got = key_src(&p.key);
	expect_text(&got, "192.0.2.1");
	close_bench(&b);
}

/* The refusal of the packet that came out last, as whoever got it would send it. */
static void refuse_last(const struct packet *p, struct buf *error, uint8_t data[REJECT_SIZE_MAX])
{
	*error = (struct buf){.data = data};
	cr_assert(reject_build(p, NULL, error));
}

static void expect_quote(struct bench *b, const struct packet *p, bool source, const char *addr,
			 uint16_t port)
{
	const char *wrong = packets_check_quote(&b->out);
	uint16_t quoted_offset, l4_offset;
	struct flow_key quoted;
	struct addr got;

	cr_assert_null(wrong, "the quote: %s", wrong);
	cr_assert_eq(packet_quoted(p, &quoted, &quoted_offset, &l4_offset), REASON_NONE);
	got = source ? key_src(&quoted) : key_dst(&quoted);
	expect_text(&got, addr);
	cr_assert_eq(source ? quoted.src_port : quoted.dst_port, port);
}

static void errors_both_ways(const char *inner, const char *remote, const char *outer)
{
	struct packets_spec spec = spec_of(PROTO_UDP, inner, remote), answer;
	uint8_t data[REJECT_SIZE_MAX];
	struct buf error;
	struct addr got;
	uint16_t port;
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, DIRECT, &p));
	port = p.key.src_port;
	answer = answer_to(&p, 0);
	refuse_last(&p, &error, data); /* from outside, about what left */
	cr_assert_eq(nic_mem_inject(b.nic[DIRECT], 0, error.data, error.len, NULL), 0);
	cr_assert(take_tun(&b, &p), "the error did not come in");
	got = key_dst(&p.key);
	expect_text(&got, inner);
	expect_quote(&b, &p, true, inner, 1234);

	inject_nic(&b, DIRECT, &answer);
	cr_assert(take_tun(&b, &p));
	refuse_last(&p, &error, data); /* from inside, about the answer */
	cr_assert_eq(tun_mem_inject(b.tun, 0, error.data, error.len, NULL), 0);
	cr_assert(take_nic(&b, DIRECT, &p), "the error did not go out");
	got = key_src(&p.key);
	expect_text(&got, outer);
	expect_quote(&b, &p, false, outer, port);
	close_bench(&b);
}

Test(dataplane_worker, an_error_must_quote_what_left_us)
{
	struct packets_spec spec = spec_of(PROTO_UDP, "10.0.0.2", "198.51.100.7"), forged;
	uint8_t data[REJECT_SIZE_MAX], copy[BUF_SIZE];
	struct buf built = {.data = copy}, error = {.data = data};
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	inject_tun(&b, &spec, 0);
	cr_assert(take_nic(&b, DIRECT, &p));
	forged = spec; /* from another address, to the same peer, from the translated port */
	forged.src_port = p.key.src_port;
	packets_build(&forged, &built);
	cr_assert_eq(packet_parse(&built, &p), REASON_NONE);
	cr_assert(reject_build(&p, NULL, &error));
	cr_assert_eq(packet_parse(&error, &p), REASON_NONE);
	rewrite_destination(&p, (const uint8_t[]){192, 0, 2, 1}, 0);
	cr_assert_eq(nic_mem_inject(b.nic[DIRECT], 0, error.data, error.len, NULL), 0);
	expect_drop(&b, REASON_UNSOLICITED, 1);
	close_bench(&b);
}

Test(dataplane_worker, icmp_errors_both_ways)
{
	errors_both_ways("10.0.0.2", "198.51.100.7", "192.0.2.1");
}

Test(dataplane_worker, icmp6_errors_both_ways)
{
	errors_both_ways("fd00::2", "2001:db8:51::9", "2001:db8:2::1");
}

Test(dataplane_worker, what_is_too_big_is_answered)
{
	struct packets_spec spec = spec_of(PROTO_UDP, "10.0.0.2", "198.51.100.7");
	struct bench b;
	struct packet p;

	open_bench(&b, 1, ON_CHANGE_RESET, true);
	spec.payload = 1600;
	spec.dont_fragment = true;
	inject_tun(&b, &spec, 0);
	cr_assert(take_tun(&b, &p), "no answer");
	cr_assert_eq(p.kind, PACKET_ICMP_ERROR);
	expect_drop(&b, REASON_TOO_BIG, 1);
	close_bench(&b);
}

Test(dataplane_worker, flows_are_shown)
{
	struct packets_spec spec = spec_of(PROTO_UDP, "10.0.0.2", "198.51.100.7");
	struct flow_filter dst = {address("198.51.100.7"), -1};
	struct flow_filter other = {address("198.51.100.8"), -1};
	struct flow_filter all = {.egress = -1}, by_vpn = {.egress = VPN};
	struct flow_info info[4];
	size_t total;
	struct bench b;
	struct packet p;

	open_bench(&b, 2, ON_CHANGE_RESET, true);
	inject_tun(&b, &spec, 1);
	cr_assert(take_nic(&b, DIRECT, &p));
	cr_assert_eq(dataplane_flows(b.dataplane, &dst, info, 4, &total), 1);
	cr_assert_eq(total, 1);
	cr_assert_eq(info[0].worker, 1);
	cr_assert_eq(info[0].outer_port, p.key.src_port);
	cr_assert_eq(info[0].counters.packets_out, 1);
	cr_assert_eq(dataplane_flows(b.dataplane, &other, info, 4, &total), 0);
	cr_assert_eq(dataplane_flows(b.dataplane, &by_vpn, info, 4, &total), 0);
	cr_assert_eq(dataplane_flows(b.dataplane, &all, info, 0, &total), 0);
	cr_assert_eq(total, 1, "counted though there is no room");
	close_bench(&b);
}

Test(dataplane_worker, wrong_options_are_refused)
{
	struct egress_options egress = {.type = EGRESS_INTERFACE,
					.interface = "eth0",
					.nat = true,
					.port_first = 50000,
					.port_last = 49999,
					.on_down = ON_DOWN_DROP};
	struct tun_options tun = {.name = "sluice0", .queues = 1, .fd = -1};
	struct dataplane_options options = {.egresses = &egress, .egress_count = 1};
	struct dataplane *d;

	cr_assert_eq(tun_open(&tun, &options.tun), 0);
	cr_assert_eq(dataplane_create(&options, &d, NULL), -EINVAL);
	egress.port_last = 50000;
	options.egress_count = 0;
	cr_assert_eq(dataplane_create(&options, &d, NULL), -EINVAL);
	tun_close(options.tun);
}
