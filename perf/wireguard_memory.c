/*
 * See wireguard_memory.h. The near end is turned by this thread, and fills the sockets of the far
 * one; then the far end's workers start, and their time counts until all has come out. The TUN is
 * emptied when they have stopped.
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

enum {
	WORKERS_MAX = 64,
	CASES_MAX = 7,
	HEAD = IP4_SIZE + TCP_SIZE,
	SEGMENT = 1380,
	SEGMENTS = 45,    /* of a super-packet: they fill a message */
	PACKETS = 160,    /* super-packets of a run; they must fit the queues in memory */
	ROUNDS = 8,       /* of a sample: the median counts */
	PATIENCE = 20000, /* looks, 50 us apart */
};

struct end {
	struct tun *tun;
	struct wg_tunnel *tunnel;
	struct dataplane *dataplane;
	uint8_t private[WG_KEY];
	uint8_t public[WG_KEY];
};

struct wgmemory {
	struct end ends[2];
	struct buf packet;
	uint32_t seq;
};

static int open_end(struct end *e, unsigned number, unsigned workers)
{
	struct tun_options tun = {.queues = workers, .fd = -1};
	struct wg_tunnel_options options = {.queues = workers, .mtu = SEGMENT + HEAD};
	struct egress_options egress = {.type = EGRESS_WIREGUARD};
	struct dataplane_options dataplane = {
		.egresses = &egress, .egress_count = 1, .flows = 1024, .straight = true};
	int rc = tun_open(&tun, &e->tun);

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

/* A TCP super-packet; the next one goes on where it ends. */
static void build(struct wgmemory *m)
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
	wire_put16(tcp, 1234);
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

static int send_packets(struct wgmemory *m, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int rc;

		build(m);
		rc = tun_mem_inject(m->ends[0].tun, 0, m->packet.data, m->packet.len,
				    &m->packet.offload);
		if (rc < 0)
			return rc;
		while (dataplane_turn(m->ends[0].dataplane, 0, wg_device_now_ns() / 1000000))
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

static int open_all(unsigned workers, struct wgmemory **out)
{
	struct wgmemory *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return -ENOMEM;
	m->packet.data = calloc(1, BUF_SIZE);
	rc = m->packet.data ? open_end(&m->ends[0], 0, 1) : -ENOMEM;
	if (rc == 0)
		rc = open_end(&m->ends[1], 1, workers);
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

/* Time for what has been sealed to come out, in bits a nanosecond. */
static int run_once(struct wgmemory *m, double *out)
{
	const struct timespec nap = {.tv_nsec = 50000};
	uint64_t before = arrived(&m->ends[1]), want = before + PACKETS * SEGMENTS, began;
	int rc = send_packets(m, PACKETS);

	if (rc < 0)
		return rc;
	began = pace_now_ns();
	rc = dataplane_start(m->ends[1].dataplane);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < PATIENCE && arrived(&m->ends[1]) < want; i++)
		nanosleep(&nap, NULL);
	*out = (double)PACKETS * SEGMENTS * (SEGMENT + HEAD) * 8 / (double)(pace_now_ns() - began);
	dataplane_stop(m->ends[1].dataplane);
	empty(m, &m->ends[1]);
	return arrived(&m->ends[1]) == want ? 0 : -EIO;
}

static int sample(struct wgmemory *m, struct samples *samples)
{
	struct samples rounds = {0};
	double value = 0;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < ROUNDS; i++) {
		rc = run_once(m, &value);
		samples_add(&rounds, value);
	}
	if (rc == 0)
		samples_add(samples, samples_median(&rounds));
	return rc;
}

int wgmemory_run(bool json, unsigned runs, const char *only)
{
	struct wgmemory *made[CASES_MAX] = {0};
	struct samples samples[CASES_MAX] = {0};
	unsigned cores = (unsigned)get_nprocs(), cases = 0;
	char name[32];
	int rc = 0;

	if (!options_wanted(only, "in memory workers"))
		return 0;
	for (unsigned n = 1; rc == 0 && n <= cores && n <= WORKERS_MAX; n *= 2)
		rc = open_all(n, &made[cases++]);
	for (unsigned i = 0; rc == 0 && i < runs; i++)
		for (unsigned c = 0; rc == 0 && c < cases; c++)
			rc = sample(made[c], &samples[c]);
	for (unsigned c = 0; rc == 0 && c < cases; c++) {
		snprintf(name, sizeof(name), "in memory workers %u", 1u << c);
		report_line(json, &(struct report_case){name, "Gb/s", true, &samples[c],
							c ? "1 worker" : NULL, &samples[0]});
	}
	for (unsigned c = 0; c < cases; c++)
		if (made[c])
			close_all(made[c]);
	return rc;
}
