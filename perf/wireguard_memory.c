/*
 * See wireguard_memory.h. The near end is turned by this thread, and fills the sockets of the far
 * one; then the far end's workers start, and their time counts until all has come out. The TUN is
 * emptied when they have stopped. On the way out it is the near end whose workers start, on packets
 * that wait in its TUN; this thread then has the far end open all of it.
 *
 * Worker i is pinned to core i modulo the cores of its case, so that cores can be told from
 * threads.
 */
#include "perf/wireguard_memory.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "dataplane/cksum.h"
#include "dataplane/dataplane.h"
#include "dataplane/wire.h"
#include "dataplane/wireguard/crypto.h"
#include "dataplane/wireguard/tunnel.h"
#include "perf/options.h"
#include "perf/pace.h"
#include "perf/report.h"
#include "tun/tun_mem.h"
#include "tun/udp_mem.h"

enum {
	WORKERS_MAX = 64,
	SIZES_MAX = 7, /* powers of two up to WORKERS_MAX */
	CASES_MAX = 3 * SIZES_MAX + 2,
	HEAD = IP4_SIZE + TCP_SIZE,
	SEGMENT = 1380,
	SEGMENTS = 45,    /* of a super-packet: they fill a message */
	PACKETS = 160,    /* super-packets of a run; they must fit the queues in memory */
	ROUNDS = 8,       /* of a sample: the median counts */
	PATIENCE = 20000, /* looks, 50 us apart */
};

enum way {
	WAY_IN,
	WAY_OUT,          /* a flow for each queue */
	WAY_OUT_ONE_FLOW, /* one for all */
};

/* What a case measures: an end's workers, on so many cores. */
struct memory_case {
	enum way way;
	unsigned workers;
	unsigned cores;
	struct wgmemory *made;
	struct samples samples;
};

struct end {
	struct tun *tun;
	struct wg_tunnel *tunnel;
	struct dataplane *dataplane;
	uint8_t private[WG_KEY];
	uint8_t public[WG_KEY];
	unsigned cores;
};

struct wgmemory {
	struct end ends[2];
	struct buf packet;
	uint32_t seq;
};

static void pin(void *context, unsigned worker)
{
	const struct end *e = context;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(worker % e->cores, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int open_end(struct end *e, unsigned number, unsigned workers, unsigned cores)
{
	struct tun_options tun = {.queues = workers, .fd = -1};
	struct wg_tunnel_options options = {.queues = workers, .mtu = SEGMENT + HEAD};
	struct egress_options egress = {.type = EGRESS_WIREGUARD};
	struct dataplane_options dataplane = {
		.egresses = &egress,
		.egress_count = 1,
		.flows = 1024,
		.straight = true,
		.thread_begin = pin,
		.context = e,
	};
	int rc = tun_open(&tun, &e->tun);

	e->cores = cores;
	if (rc < 0)
		return rc;
	rc = wg_tunnel_open(&options, &e->tunnel);
	if (rc < 0)
		goto close_tun;
	memset(e->private, (int)number + 1, WG_KEY);
	wg_crypto_clamp(e->private);
	wg_crypto_public(e->private, e->public);
	egress.tunnel = e->tunnel;
	dataplane.tun = e->tun;
	rc = dataplane_create(&dataplane, &e->dataplane, NULL);
	if (rc == 0)
		return 0;
	wg_tunnel_close(e->tunnel);
	e->tunnel = NULL;
close_tun:
	tun_close(e->tun);
	return rc;
}

static int introduce(const struct wgmemory *m, unsigned i)
{
	static const struct wg_allowed_change all = {.prefix = {.addr = {.version = 4}}};
	struct wg_peer_change peer = {
		.set = WG_PEER_ENDPOINT,
		.endpoint = {.addr = {127, 0, 0, 1},
			     .port = udp_port(wg_tunnel_udp(m->ends[1 - i].tunnel)),
			     .version = 4},
		.allowed = &all,
		.allowed_count = 1,
	};
	struct wg_changes changes = {.set = WG_DEVICE_PRIVATE_KEY, .peers = &peer, .peer_count = 1};

	memcpy(peer.public_key, m->ends[1 - i].public, WG_KEY);
	memcpy(changes.private_key, m->ends[i].private, WG_KEY);
	return wg_device_apply(wg_tunnel_device(m->ends[i].tunnel), &changes, wg_device_now_ns());
}

static void close_all(struct wgmemory *m)
{
	for (unsigned i = 0; i < 2; i++) {
		dataplane_destroy(m->ends[i].dataplane);
		wg_tunnel_close(m->ends[i].tunnel);
	}
	free(m->packet.data);
	free(m);
}

/* A TCP super-packet of a flow; the next one goes on where it ends. */
static void build(struct wgmemory *m, unsigned flow)
{
	uint8_t *ip = m->packet.data, *tcp = ip + IP4_SIZE;
	uint32_t payload = SEGMENT * SEGMENTS;
	uint16_t sum;

	m->packet.len = HEAD + payload;
	m->packet.offload = (struct offload){.flags = OFFLOAD_NEEDS_CSUM,
					     .gso_type = OFFLOAD_GSO_TCPV4,
					     .hdr_len = HEAD,
					     .gso_size = SEGMENT,
					     .csum_start = IP4_SIZE,
					     .csum_offset = TCP_CSUM};
	memset(ip, 0, HEAD);
	ip[0] = 0x45;
	wire_put16(ip + IP4_TOTAL, (uint16_t)m->packet.len);
	wire_put16(ip + IP4_FRAGMENT, 0x4000);
	ip[IP4_TTL] = 64;
	ip[IP4_PROTO] = PROTO_TCP;
	wire_put32(ip + IP4_SRC, 0x0a000001);
	wire_put32(ip + IP4_DST, 0x0a000002);
	sum = (uint16_t)~cksum_fold(cksum_add(0, ip, IP4_SIZE));
	memcpy(ip + IP4_CSUM, &sum, sizeof(sum));
	wire_put16(tcp, (uint16_t)(1234 + flow));
	wire_put16(tcp + 2, 80);
	wire_put32(tcp + TCP_SEQ, m->seq);
	tcp[TCP_OFFSET] = TCP_SIZE / 4 << 4;
	tcp[TCP_FLAGS] = TCP_ACK;
	sum = cksum_fold(
		cksum_pseudo(4, ip + IP4_SRC, ip + IP4_DST, PROTO_TCP, TCP_SIZE + payload));
	memcpy(tcp + TCP_CSUM, &sum, sizeof(sum));
	m->seq += payload;
}

/* One round of an end, by this thread. */
static unsigned turn(const struct end *e)
{
	uint64_t now_ns = wg_device_now_ns();
	unsigned n = 0;

	for (unsigned q = 0; q < tun_queue_count(e->tun); q++)
		n += dataplane_turn(e->dataplane, q, now_ns / 1000000);
	wg_device_serve(wg_tunnel_device(e->tunnel), now_ns);
	return n;
}

/* Packets that an end has brought into its TUN. */
static uint64_t arrived(const struct end *e)
{
	struct worker_counters c;
	uint64_t sum = 0;

	for (unsigned i = 0; i < dataplane_worker_count(e->dataplane); i++) {
		dataplane_read_counters(e->dataplane, i, &c);
		sum += c.packets_out;
	}
	return sum;
}

/* Take all that came out. */
static void empty(struct wgmemory *m, const struct end *e)
{
	for (unsigned q = 0; q < tun_queue_count(e->tun); q++)
		while (tun_mem_take(e->tun, q, m->packet.data, BUF_SIZE, &m->packet.offload))
			;
}

static int inject(struct wgmemory *m, unsigned queue)
{
	build(m, queue);
	return tun_mem_inject(m->ends[0].tun, queue, m->packet.data, m->packet.len,
			      &m->packet.offload);
}

static int send_packets(struct wgmemory *m, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int rc = inject(m, 0);

		if (rc < 0)
			return rc;
		while (turn(&m->ends[0]))
			;
	}
	return 0;
}

/* A session, and one packet through it. */
static int meet(struct wgmemory *m)
{
	int rc = send_packets(m, 1);

	for (unsigned i = 0; rc == 0 && i < 1000 && arrived(&m->ends[1]) == 0; i++)
		turn(&m->ends[i % 2]);
	if (rc == 0 && arrived(&m->ends[1]) == 0)
		rc = -ETIMEDOUT;
	while (rc == 0 && turn(&m->ends[0]) + turn(&m->ends[1]))
		;
	empty(m, &m->ends[1]);
	return rc;
}

static int open_all(const struct memory_case *c, struct wgmemory **out)
{
	bool in = c->way == WAY_IN;
	struct wgmemory *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return -ENOMEM;
	m->packet.data = calloc(1, BUF_SIZE);
	rc = m->packet.data ? open_end(&m->ends[0], 0, in ? 1 : c->workers, c->cores) : -ENOMEM;
	if (rc == 0)
		rc = open_end(&m->ends[1], 1, in ? c->workers : 1, c->cores);
	for (unsigned i = 0; rc == 0 && i < 2; i++)
		rc = introduce(m, i);
	if (rc == 0)
		rc = meet(m);
	if (rc < 0) {
		close_all(m);
		return rc;
	}
	*out = m;
	return 0;
}

/* Whether all has come into the far end's TUN, or, on the way out, into its sockets. */
static bool is_done(const struct wgmemory *m, bool out, uint64_t want)
{
	return out ? udp_mem_count_racy(wg_tunnel_udp(m->ends[1].tunnel)) >= PACKETS
		   : arrived(&m->ends[1]) >= want;
}

/* Have an end's workers do all that waits for them. Returns: bits a nanosecond; 0: not all came */
static double work(struct wgmemory *m, bool out, uint64_t want)
{
	const struct timespec nap = {.tv_nsec = 50000};
	const struct end *e = &m->ends[!out];
	uint64_t began = pace_now_ns();
	double value;

	if (dataplane_start(e->dataplane) < 0)
		return 0;
	for (unsigned i = 0; i < PATIENCE && !is_done(m, out, want); i++)
		nanosleep(&nap, NULL);
	value = (double)PACKETS * SEGMENTS * (SEGMENT + HEAD) * 8 / (double)(pace_now_ns() - began);
	dataplane_stop(e->dataplane);
	while (out && turn(&m->ends[1]))
		empty(m, &m->ends[1]);
	empty(m, &m->ends[1]);
	return arrived(&m->ends[1]) == want ? value : 0;
}

static double run(struct wgmemory *m, enum way way)
{
	unsigned queues = way == WAY_OUT ? tun_queue_count(m->ends[0].tun) : 1;
	uint64_t want = arrived(&m->ends[1]) + PACKETS * SEGMENTS;
	int rc = 0;

	if (way == WAY_IN)
		rc = send_packets(m, PACKETS);
	for (unsigned i = 0; rc == 0 && way != WAY_IN && i < PACKETS; i++)
		rc = inject(m, i % queues);
	return rc < 0 ? 0 : work(m, way != WAY_IN, want);
}

static int sample(struct memory_case *c)
{
	struct samples rounds = {0};

	for (unsigned i = 0; i < ROUNDS; i++) {
		double value = run(c->made, c->way);

		if (value == 0)
			return -EIO;
		samples_add(&rounds, value);
	}
	samples_add(&c->samples, samples_median(&rounds));
	return 0;
}

static const char *const way_names[] = {
	[WAY_IN] = "",
	[WAY_OUT] = " out",
	[WAY_OUT_ONE_FLOW] = " out one flow",
};

static void name_case(const struct memory_case *c, char *out, size_t size)
{
	snprintf(out, size, "in memory%s workers %u%s", way_names[c->way], c->workers,
		 c->cores < c->workers ? " one core" : "");
}

/* Those that are wanted; each way's first has one worker. */
static unsigned list_cases(const char *only, struct memory_case cases[CASES_MAX])
{
	unsigned cores = (unsigned)get_nprocs(), count = 0;
	char name[64];

	for (enum way way = WAY_IN; way <= WAY_OUT_ONE_FLOW; way++) {
		for (unsigned n = 1; n <= cores && n <= WORKERS_MAX; n *= 2) {
			for (unsigned on = n == 2 && way != WAY_OUT_ONE_FLOW ? 1 : n; on <= n;
			     on++) {
				struct memory_case c = {.way = way, .workers = n, .cores = on};

				name_case(&c, name, sizeof(name));
				if (options_wanted(only, name))
					cases[count++] = c;
			}
		}
	}
	return count;
}

int wgmemory_run(bool json, unsigned runs, const char *only)
{
	struct memory_case cases[CASES_MAX];
	unsigned count = list_cases(only, cases);
	const struct memory_case *first = NULL;
	char name[64];
	int rc = 0;

	for (unsigned c = 0; rc == 0 && c < count; c++)
		rc = open_all(&cases[c], &cases[c].made);
	for (unsigned i = 0; rc == 0 && i < runs; i++)
		for (unsigned c = 0; rc == 0 && c < count; c++)
			rc = sample(&cases[c]);
	for (unsigned c = 0; rc == 0 && c < count; c++) {
		if (cases[c].workers == 1)
			first = &cases[c];
		name_case(&cases[c], name, sizeof(name));
		report_line(json,
			    &(struct report_case){name, "Gb/s", true, &cases[c].samples,
						  first && first != &cases[c] ? "1 worker" : NULL,
						  first ? &first->samples : NULL});
	}
	for (unsigned c = 0; c < count; c++)
		if (cases[c].made)
			close_all(cases[c].made);
	return rc;
}
