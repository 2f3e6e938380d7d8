/* See path_memory.h. */
#include "perf/path_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/cksum.h"
#include "dataplane/nat.h"
#include "dataplane/wire.h"
#include "perf/pace.h"
#include "tun/nic_mem.h"
#include "tun/tun_mem.h"

enum {
	PORT_FIRST = 40000,
	PORT_LAST = 59999,
	DIRECT = 0,
	TUNNEL = 1,
};

#define START_NS UINT64_C(1000000000000)

static struct addr address4(uint32_t v4)
{
	return (struct addr){.version = 4, .v4 = v4};
}

static struct links *make_links(void)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct links *links = links_create(MEMORY_NICS);

	for (unsigned i = 0; links && i < MEMORY_NICS; i++) {
		struct link *l = &links->link[i];

		*l = (struct link){.ifindex = i + 1, .up = true, .mtu = 1500};
		l->address4 = address4(0xc0000201 + (i << 8)); /* 192.0.2.1 */
		l->ethernet = i == DIRECT;
		if (!l->ethernet)
			continue;
		l->gateway4 = address4(0xc00002fe);
		l->subnets[0] = (struct prefix){address4(0xc0000200), 24};
		l->subnet_count = 1;
		l->neighbours = calloc(1, sizeof(*l->neighbours));
		if (!l->neighbours) {
			links_destroy(links);
			return NULL;
		}
		l->neighbours[0].addr = l->gateway4;
		memcpy(l->neighbours[0].mac, mac, sizeof(mac));
		l->neighbour_count = 1;
	}
	return links;
}

static int publish(struct memory *m, struct list *list)
{
	const struct table_rule rule = {.list = list, .egress = TUNNEL};
	struct links *links = make_links();
	struct table *table;
	int rc;

	if (!links)
		return -ENOMEM;
	rc = table_build(&rule, 1, DIRECT, 1, &table);
	if (rc < 0) {
		links_destroy(links);
		return rc;
	}
	dataplane_publish_table(m->dataplane, table);
	dataplane_publish_links(m->dataplane, links);
	return 0;
}

int memory_open(struct memory *m, struct list *list)
{
	static const char *const names[MEMORY_NICS] = {"eth0", "tun9"};
	struct egress_options egresses[MEMORY_NICS];
	struct tun_options tun = {.name = "sluice0", .queues = 1, .fd = -1};
	struct dataplane_options options = {.egresses = egresses, .egress_count = MEMORY_NICS};
	int rc;

	*m = (struct memory){.now_ns = START_NS};
	for (unsigned i = 0; i < MEMORY_NICS; i++)
		egresses[i] = (struct egress_options){.type = EGRESS_INTERFACE,
						      .interface = names[i],
						      .nat = true,
						      .port_first = PORT_FIRST,
						      .port_last = PORT_LAST};
	rc = tun_open(&tun, &m->tun);
	if (rc < 0)
		return rc;
	options.tun = m->tun;
	rc = dataplane_create(&options, &m->dataplane, NULL);
	if (rc < 0) {
		tun_close(m->tun);
		return rc;
	}
	for (unsigned i = 0; i < MEMORY_NICS; i++)
		m->nic[i] = nic_mem_find(names[i]);
	rc = publish(m, list);
	if (rc < 0)
		memory_close(m);
	return rc;
}

void memory_close(struct memory *m)
{
	dataplane_destroy(m->dataplane);
	m->dataplane = NULL;
}

/* A number that tells nothing of the one that it is made of. */
static uint32_t mix(uint32_t n)
{
	n = (n ^ n >> 16) * 0x7feb352d;
	n = (n ^ n >> 15) * 0x846ca68b;
	return n ^ n >> 16;
}

void memory_build(struct memory_packet *packet, uint32_t endpoint, uint32_t remote, uint8_t proto)
{
	uint8_t *ip = packet->bytes, *l4 = ip + IP4_SIZE;
	uint32_t to = mix(remote);
	uint16_t sum;

	memset(packet, 0, sizeof(*packet));
	ip[0] = 0x45;
	wire_put16(ip + IP4_TOTAL, MEMORY_SIZE);
	wire_put16(ip + IP4_FRAGMENT, 0x4000);
	ip[IP4_TTL] = 64;
	ip[IP4_PROTO] = proto;
	wire_put32(ip + IP4_SRC, 0x0a000000 | (endpoint / MEMORY_HOST & 0xffffff));
	/* 11 to 100: addresses that may be sent to, and that no egress has. */
	wire_put32(ip + IP4_DST, (11 + (to >> 24) % 90) << 24 | (to & 0xffffff));
	sum = (uint16_t)~cksum_fold(cksum_add(0, ip, IP4_SIZE));
	memcpy(ip + IP4_CSUM, &sum, sizeof(sum));
	wire_put16(l4, (uint16_t)(1024 + endpoint % MEMORY_HOST));
	wire_put16(l4 + 2, 443);
	/* Nobody on the way checks the transport's checksum: any that is there must be kept right.
	 */
	if (proto == PROTO_TCP) {
		l4[TCP_OFFSET] = 5 << 4;
		l4[TCP_FLAGS] = TCP_SYN;
		wire_put16(l4 + TCP_CSUM, 0x1234);
	} else {
		wire_put16(l4 + UDP_LENGTH, MEMORY_SIZE - IP4_SIZE);
		wire_put16(l4 + UDP_CSUM, 0x1234);
	}
}

void memory_answer(struct memory_packet *packet)
{
	uint8_t *ip = packet->bytes, *l4 = ip + IP4_SIZE, word[4];

	memcpy(word, ip + IP4_SRC, 4);
	memcpy(ip + IP4_SRC, ip + IP4_DST, 4);
	memcpy(ip + IP4_DST, word, 4);
	memcpy(word, l4, 2);
	memcpy(l4, l4 + 2, 2);
	memcpy(l4 + 2, word, 2);
}

void memory_send(struct memory *m, const struct memory_packet *packet)
{
	tun_mem_inject(m->tun, 0, packet->bytes, MEMORY_SIZE, NULL);
}

void memory_receive(struct memory *m, unsigned nic, const struct memory_packet *packet)
{
	nic_mem_inject(m->nic[nic], 0, packet->bytes, MEMORY_SIZE, NULL);
}

static void take(struct memory *m)
{
	m->out_count = 0;
	for (unsigned i = 0; i < MEMORY_NICS; i++)
		while (m->out_count < MEMORY_BURST &&
		       nic_mem_take(m->nic[i], 0, &m->out[m->out_count], MEMORY_SIZE, NULL, NULL))
			m->by[m->out_count++] = (uint8_t)i;
	while (m->out_count < MEMORY_BURST &&
	       tun_mem_take(m->tun, 0, &m->out[m->out_count], MEMORY_SIZE, NULL))
		m->by[m->out_count++] = MEMORY_NICS;
}

void memory_turn(struct memory *m)
{
	uint64_t began = pace_now_ns();

	dataplane_turn(m->dataplane, 0, m->now_ns / 1000000);
	began = pace_now_ns() - began;
	m->turned_ns += began;
	m->now_ns += began;
	take(m);
}

void memory_expire(struct memory *m)
{
	uint64_t turned = m->turned_ns;

	m->now_ns += 3 * FLOW_IDLE_TCP_MS * UINT64_C(1000000); /* swept in the next turn */
	memory_turn(m);
	m->now_ns += 2 * NAT_HOLD_MS * UINT64_C(1000000);
	m->turned_ns = turned;
}
