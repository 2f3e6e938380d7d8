#include "tests/dataplane/bench.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/packet.h"
#include "tun/nic_mem.h"
#include "tun/tun_mem.h"

enum {
	START_MS = 1000000,
};

static const uint8_t gateway_mac[6] = {2, 0, 0, 0, 0, 1};

static struct addr address(const char *text)
{
	struct addr a;

	cr_assert_eq(addr_parse(text, strlen(text), &a), 0, "%s", text);
	return a;
}

static struct table *table_of(const char *direct, uint32_t generation)
{
	struct table_rule rule = {.egress = BENCH_DIRECT};
	struct list_error err;
	struct table *table;

	cr_assert_eq(list_parse("l", "l", direct, strlen(direct), 0, &rule.list, &err), 0, "%s",
		     err.text);
	cr_assert_eq(table_build(&rule, 1, BENCH_VPN, generation, &table), 0);
	list_unref(rule.list);
	return table;
}

static void fill_link(struct link *l, const char *a4, const char *a6, bool ethernet, unsigned mtu)
{
	*l = (struct link){.ifindex = 1, .up = true, .ethernet = ethernet, .mtu = mtu};
	l->address4 = address(a4);
	l->address6 = address(a6);
	l->gateway4 = address("192.0.2.254");
	l->gateway6 = address("2001:db8:2::fe");
	if (!ethernet)
		return;
	l->neighbours = calloc(2, sizeof(*l->neighbours));
	cr_assert(l->neighbours);
	l->neighbour_count = 2;
	l->neighbours[0].addr = l->gateway4;
	l->neighbours[1].addr = l->gateway6;
	for (int i = 0; i < 2; i++)
		memcpy(l->neighbours[i].mac, gateway_mac, 6);
	link_sort_neighbours(l);
}

static void publish_links(struct bench *b)
{
	struct links *links = links_create(BENCH_EGRESSES);

	cr_assert(links);
	fill_link(&links->link[BENCH_DIRECT], "192.0.2.1", "2001:db8:2::1", true, b->mtu);
	fill_link(&links->link[BENCH_VPN], "192.0.3.1", "2001:db8:3::1", false, 1420);
	for (unsigned i = 0; i < BENCH_EGRESSES; i++) {
		links->link[i].up = !b->down[i];
		if (b->bare[i])
			links->link[i].address4 = links->link[i].address6 = (struct addr){0};
	}
	dataplane_publish_links(b->dataplane, links);
}

void bench_set_addresses(struct bench *b, int egress, bool there)
{
	b->bare[egress] = !there;
	publish_links(b);
}

void bench_set_up(struct bench *b, int egress, bool up)
{
	b->down[egress] = !up;
	publish_links(b);
}

void bench_open(struct bench *b, const struct bench_options *o)
{
	uint16_t last = (uint16_t)(BENCH_PORT_FIRST + (o->ports ? o->ports : 1000) - 1);
	const struct addr own[] = {address("10.66.0.2"), address("fd66::2")};
	struct egress_options egresses[BENCH_EGRESSES] = {
		[BENCH_DIRECT] = {.type = EGRESS_INTERFACE,
				  .interface = "eth0",
				  .nat = true,
				  .port_first = BENCH_PORT_FIRST,
				  .port_last = last,
				  .on_down = ON_DOWN_DROP},
		[BENCH_VPN] = {.type = EGRESS_INTERFACE,
			       .interface = "tun9",
			       .nat = true,
			       .port_first = BENCH_PORT_FIRST,
			       .port_last = last,
			       .on_down = ON_DOWN_DROP},
	};
	egresses[BENCH_DIRECT].nat = !o->untranslated;
	egresses[BENCH_DIRECT].on_down = o->direct_on_down;
	egresses[BENCH_VPN].on_down = o->vpn_on_down;
	struct tun_options tun = {.name = "sluice0", .queues = o->queues ? o->queues : 1, .fd = -1};
	struct dataplane_options options = {
		.egresses = egresses,
		.egress_count = BENCH_EGRESSES,
		.on_change = o->on_change,
		.flows = o->flows ? o->flows : 4096,
		.own = own,
		.own_count = 2,
		.source_ports = o->source_ports,
		.source_flows = o->source_flows,
	};

	memset(b, 0, sizeof(*b));
	b->now_ms = START_MS;
	b->mtu = o->mtu ? o->mtu : 1500;
	b->memory = malloc(2 * (size_t)BUF_SIZE);
	cr_assert(b->memory);
	b->out.data = b->memory;
	cr_assert_eq(tun_open(&tun, &b->tun), 0);
	if (o->unsteered)
		tun_mem_set_unsteered(b->tun);
	options.tun = b->tun;
	cr_assert_eq(dataplane_create(&options, &b->dataplane, NULL), 0);
	b->nic[BENCH_DIRECT] = nic_mem_find("eth0");
	b->nic[BENCH_VPN] = nic_mem_find("tun9");
	dataplane_publish_table(b->dataplane, table_of("198.51.0.0/16\n2001:db8:51::/48\n", 1));
	publish_links(b);
}

void bench_close(struct bench *b)
{
	dataplane_destroy(b->dataplane);
	free(b->memory);
}

void bench_reload_moved(struct bench *b)
{
	dataplane_publish_table(b->dataplane, table_of("192.0.77.0/24\n", 2));
}

void bench_turn(struct bench *b)
{
	unsigned work;

	do { /* what one hands over, another still has to do */
		work = 0;
		for (unsigned i = 0; i < tun_queue_count(b->tun); i++)
			work += dataplane_turn(b->dataplane, i, b->now_ms);
	} while (work);
}

void bench_wait(struct bench *b, uint64_t ms)
{
	b->now_ms += ms;
	bench_turn(b);
}

void bench_send_bytes(struct bench *b, const struct buf *buf)
{
	cr_assert_eq(tun_mem_inject(b->tun, b->queue, buf->data, buf->len, &buf->offload), 0);
	bench_turn(b);
}

void bench_receive_bytes(struct bench *b, int egress, const struct buf *buf)
{
	cr_assert_eq(nic_mem_inject(b->nic[egress], b->queue, buf->data, buf->len, &buf->offload),
		     0);
	bench_turn(b);
}

void bench_queue(struct bench *b, const struct packets_spec *spec)
{
	struct buf in = {.data = b->memory + BUF_SIZE};

	packets_build(spec, &in);
	cr_assert_eq(tun_mem_inject(b->tun, b->queue, in.data, in.len, &in.offload), 0);
}

void bench_send(struct bench *b, const struct packets_spec *spec)
{
	struct buf in = {.data = b->memory + BUF_SIZE};

	packets_build(spec, &in);
	bench_send_bytes(b, &in);
}

void bench_receive(struct bench *b, int egress, const struct packets_spec *spec)
{
	struct buf in = {.data = b->memory + BUF_SIZE};

	packets_build(spec, &in);
	bench_receive_bytes(b, egress, &in);
}

static bool took(struct bench *b)
{
	const char *wrong;

	if (b->out.len == 0)
		return false;
	wrong = packets_check(&b->out);
	cr_assert_null(wrong, "what came out: %s", wrong);
	cr_assert_eq(packet_parse(&b->out, &b->packet), REASON_NONE);
	return true;
}

bool bench_take_nic(struct bench *b, int egress)
{
	uint8_t next_hop[6];

	for (unsigned q = 0; q < tun_queue_count(b->tun); q++) {
		b->out.len = (uint32_t)nic_mem_take(b->nic[egress], q, b->out.data, BUF_SIZE,
						    &b->out.offload, next_hop);
		if (!took(b))
			continue;
		b->queue = q;
		return true;
	}
	return false;
}

bool bench_take_tun(struct bench *b)
{
	for (unsigned q = 0; q < tun_queue_count(b->tun); q++) {
		b->out.len =
			(uint32_t)tun_mem_take(b->tun, q, b->out.data, BUF_SIZE, &b->out.offload);
		if (took(b))
			return true;
	}
	return false;
}

struct packets_spec bench_spec(uint8_t proto, const char *src, const char *dst)
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

struct packets_spec bench_answer(const struct bench *b, uint8_t tcp_flags)
{
	const struct flow_key *k = &b->packet.key;
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

struct worker_counters bench_counters(const struct bench *b)
{
	struct worker_counters c, sum = {0};
	uint64_t *to = (uint64_t *)&sum;

	for (unsigned i = 0; i < dataplane_worker_count(b->dataplane); i++) {
		dataplane_read_counters(b->dataplane, i, &c);
		for (size_t n = 0; n < sizeof(c) / sizeof(*to); n++)
			to[n] += ((const uint64_t *)&c)[n];
	}
	return sum;
}

uint64_t bench_drops(const struct bench *b, enum reason reason)
{
	return bench_counters(b).drops[reason];
}

size_t bench_flows(const struct bench *b)
{
	return bench_counters(b).flows;
}

bool bench_is(const uint8_t *bytes, const char *text)
{
	struct addr want = address(text);
	uint8_t raw[16];

	addr_to_bytes(&want, raw);
	return memcmp(bytes, raw, want.version == 4 ? 4 : 16) == 0;
}
