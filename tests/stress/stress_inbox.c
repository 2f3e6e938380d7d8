/*
 * Workers in threads, on devices in memory, whose packets nearly all come to the wrong one: from
 * inside as without a steering program, answers by a queue that is not the port's. Between rounds
 * the workers fall asleep.
 *
 * Invariants: every packet comes out, once, with its bytes, behind those of its flow that were
 * sent before; none waits until its worker wakes by itself.
 *
 * usage: stress_inbox [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/cksum.h"
#include "dataplane/dataplane.h"
#include "dataplane/links.h"
#include "dataplane/wire.h"
#include "tun/nic_mem.h"
#include "tun/tun_mem.h"

#ifndef STRESS_INBOX_ROUNDS
#define STRESS_INBOX_ROUNDS 3000
#endif

enum {
	QUEUES = 3,
	FLOWS = 12,
	ROUNDS = STRESS_INBOX_ROUNDS,
	ROUND_MAX = 64,          /* packets of a round */
	DATA_MAX = 1200,         /* bytes behind the UDP header */
	PAUSE_NS_MAX = 200000,   /* past what a worker waits awake */
	WAIT_NS_MAX = 800000000, /* a worker wakes by itself after a second */
	HEADERS = IP4_SIZE + UDP_SIZE,
};

struct flow_state {
	uint32_t sent, left, back; /* packets: the next one's number */
	uint16_t outer_port;
};

struct stress {
	struct dataplane *dataplane;
	struct tun *tun;
	struct nic *nic;
	struct flow_state flows[FLOWS];
	uint64_t random;
	uint64_t longest_ns;
	uint8_t packet[BUF_SIZE];
};

static void fail(const char *what, unsigned flow, uint64_t got, uint64_t expected)
{
	fprintf(stderr, "stress_inbox: flow %u: %s: %llu, expected %llu\n", flow, what,
		(unsigned long long)got, (unsigned long long)expected);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned draw(struct stress *s, unsigned n)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (unsigned)(s->random >> 33) % n;
}

static const uint8_t inside[4] = {10, 0, 0, 2}, outside[4] = {198, 51, 100, 7},
		     outer[4] = {192, 0, 3, 1};

/* A datagram without checksum, whose bytes tell its number. Returns: its length */
static size_t build(uint8_t *p, const uint8_t *src, const uint8_t *dst, uint16_t src_port,
		    uint16_t dst_port, uint32_t number)
{
	size_t len = HEADERS + 4 + (number * 7919 + src_port) % DATA_MAX;
	uint16_t sum;

	memset(p, 0, HEADERS);
	p[0] = 0x45;
	wire_put16(p + IP4_TOTAL, (uint16_t)len);
	p[IP4_TTL] = 64;
	p[IP4_PROTO] = 17;
	memcpy(p + IP4_SRC, src, 4);
	memcpy(p + IP4_DST, dst, 4);
	sum = (uint16_t)~cksum_fold(cksum_add(0, p, IP4_SIZE));
	memcpy(p + IP4_CSUM, &sum, sizeof(sum));
	wire_put16(p + IP4_SIZE, src_port);
	wire_put16(p + IP4_SIZE + 2, dst_port);
	wire_put16(p + IP4_SIZE + UDP_LENGTH, (uint16_t)(len - IP4_SIZE));
	for (size_t i = HEADERS; i < len; i++)
		p[i] = (uint8_t)(number >> (8 * (i % 4)));
	return len;
}

/* Whether it has the bytes of that number, but for its length. */
static void expect(const uint8_t *p, size_t len, unsigned flow, uint32_t number)
{
	for (size_t i = HEADERS; i < len; i++) {
		uint8_t want = (uint8_t)(number >> (8 * (i % 4)));

		if (p[i] != want)
			fail(i < HEADERS + 4 ? "packet out of order" : "torn packet", flow, p[i],
			     want);
	}
}

static void send_out(struct stress *s, unsigned flow)
{
	struct flow_state *f = &s->flows[flow];
	size_t len = build(s->packet, inside, outside, (uint16_t)(1000 + flow),
			   (uint16_t)(2000 + flow), f->sent++);

	if (tun_mem_inject(s->tun, flow % QUEUES, s->packet, len, NULL) < 0)
		fail("the TUN is full", flow, 0, 1);
}

/* Take what left, and answer it. Returns: packets */
static unsigned take_out(struct stress *s)
{
	unsigned n = 0;
	size_t len;

	for (unsigned q = 0; q < QUEUES; q++) {
		while ((len = nic_mem_take(s->nic, q, s->packet, BUF_SIZE, NULL, NULL)) > 0) {
			unsigned flow = wire_get16(s->packet + IP4_SIZE + 2) - 2000U;
			uint16_t port = wire_get16(s->packet + IP4_SIZE);
			struct flow_state *f = &s->flows[flow % FLOWS];

			expect(s->packet, len, flow, f->left++);
			if (f->outer_port && f->outer_port != port)
				fail("another port", flow, port, f->outer_port);
			f->outer_port = port;
			len = build(s->packet, outside, outer, (uint16_t)(2000 + flow), port,
				    f->left - 1);
			if (nic_mem_inject(s->nic, (flow + 1) % QUEUES, s->packet, len, NULL) < 0)
				fail("the interface is full", flow, 0, 1);
			n++;
		}
	}
	return n;
}

static unsigned take_back(struct stress *s)
{
	unsigned n = 0;
	size_t len;

	for (unsigned q = 0; q < QUEUES; q++) {
		while ((len = tun_mem_take(s->tun, q, s->packet, BUF_SIZE, NULL)) > 0) {
			unsigned flow = wire_get16(s->packet + IP4_SIZE + 2) - 1000U;

			expect(s->packet, len, flow, s->flows[flow % FLOWS].back++);
			n++;
		}
	}
	return n;
}

static void play_round(struct stress *s)
{
	unsigned n = 1 + draw(s, draw(s, 4) ? 3 : ROUND_MAX), out = 0, back = 0;
	struct timespec pause = {.tv_nsec = draw(s, PAUSE_NS_MAX)};
	uint64_t began = now_ns(), took;

	for (unsigned i = 0; i < n; i++)
		send_out(s, draw(s, FLOWS));
	while (out < n || back < n) {
		out += take_out(s);
		back += take_back(s);
		took = now_ns() - began;
		if (took > WAIT_NS_MAX)
			fail("packets are missing", 0, out + back, (uint64_t)n * 2);
		if (took > s->longest_ns)
			s->longest_ns = took;
		nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL);
	}
	nanosleep(&pause, NULL);
	if (take_out(s) + take_back(s))
		fail("packets came twice", 0, 1, 0);
}

static void open_all(struct stress *s)
{
	const struct egress_options egress = {
		.type = EGRESS_INTERFACE,
		.interface = "tun9",
		.nat = true,
		.port_first = 40000,
		.port_last = 40000 + QUEUES * 500 - 1,
	};
	const struct tun_options tun = {.name = "sluice0", .queues = QUEUES, .fd = -1};
	struct dataplane_options options = {.egresses = &egress, .egress_count = 1, .flows = 1024};
	struct links *links = links_create(1);
	struct table *table;

	if (!links || tun_open(&tun, &s->tun) < 0)
		abort();
	tun_mem_set_unsteered(s->tun);
	options.tun = s->tun;
	if (dataplane_create(&options, &s->dataplane, NULL) < 0 ||
	    table_build(NULL, 0, 0, 1, &table) < 0)
		abort();
	s->nic = nic_mem_find("tun9");
	links->link[0] = (struct link){.ifindex = 1, .up = true, .mtu = 1500};
	links->link[0].address4 = addr_from_bytes(4, outer);
	links->link[0].gateway4 = addr_from_bytes(4, outside);
	dataplane_publish_table(s->dataplane, table);
	dataplane_publish_links(s->dataplane, links);
	if (dataplane_start(s->dataplane) < 0)
		abort();
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
	static struct stress s = {.random = 88172645463325252u};
	uint64_t over = 0, taken = 0, full = 0, sleeps = 0;
	struct worker_counters c;

	open_all(&s);
	for (unsigned long i = 0; i < rounds; i++)
		play_round(&s);
	dataplane_stop(s.dataplane);
	for (unsigned i = 0; i < QUEUES; i++) {
		dataplane_read_counters(s.dataplane, i, &c);
		over += c.handed_over;
		taken += c.taken_over;
		full += c.drops[REASON_INBOX_FULL];
		sleeps += c.sleeps;
	}
	dataplane_destroy(s.dataplane);
	printf("stress_inbox: %llu packets handed over, %llu sleeps, longest round %.1f ms\n",
	       (unsigned long long)over, (unsigned long long)sleeps, (double)s.longest_ns / 1e6);
	if (over != taken || over < rounds || sleeps < rounds / 2 || full)
		fail("handed over, taken over", 0, taken, over);
	return 0;
}
