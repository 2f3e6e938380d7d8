/*
 * One busy peer under ThreadSanitizer: a stream of super-packets from a dataplane with one worker
 * to one with four, of which the three that are idle help the session's own. Another thread
 * meanwhile takes the peer away, gives it back, and stops the workers with jobs in their hands.
 *
 * Watched: what comes out is in order and comes once, nothing was opened twice; others did help.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/dataplane.h"
#include "dataplane/packet.h"
#include "dataplane/wire.h"
#include "dataplane/wireguard/crypto.h"
#include "dataplane/wireguard/tunnel.h"
#include "tests/model/packets.h"
#include "tun/tun_mem.h"

enum {
	HELPED_WORKERS = 4,
	CHANGES = 24,
	CHANGE_MS = 50,
	BURST = 12, /* super-packets that are sent together */
	SEGMENT = 1200,
	SEGMENTS = 40,
	HEAD = 40,
};

struct end {
	struct tun *tun;
	struct wg_tunnel *tunnel;
	struct dataplane *dataplane;
	uint8_t private_key[WG_KEY];
	uint8_t public_key[WG_KEY];
};

struct race {
	struct end ends[2];
	bool stop;
	uint32_t next; /* segment that may come */
	unsigned wrong;
	unsigned came;
};

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "race_spread: %s\n", what);
	abort();
}

static void set_peer(struct race *race, unsigned i, bool there)
{
	static const struct wg_allowed_change all = {.prefix = {.addr = {.version = 4}}};
	struct wg_peer_change peer = {
		.set = there ? WG_PEER_ENDPOINT : WG_PEER_REMOVE,
		.endpoint = {.addr = {127, 0, 0, 1},
			     .port = udp_port(wg_tunnel_udp(race->ends[1 - i].tunnel)),
			     .version = 4},
		.allowed = &all,
		.allowed_count = there ? 1 : 0,
	};
	struct wg_changes changes = {.set = WG_DEVICE_PRIVATE_KEY, .peers = &peer, .peer_count = 1};

	memcpy(peer.public_key, race->ends[1 - i].public_key, WG_KEY);
	memcpy(changes.private_key, race->ends[i].private_key, WG_KEY);
	must(wg_device_apply(wg_tunnel_device(race->ends[i].tunnel), &changes,
			     wg_device_now_ns()) == 0,
	     "apply");
}

static void open_end(struct end *e, unsigned i, unsigned workers)
{
	struct tun_options tun = {.queues = workers, .fd = -1};
	struct wg_tunnel_options options = {
		.queues = workers, .mtu = 1420, .aead = WG_AEAD_LIBCRYPTO};
	struct egress_options egress = {.type = EGRESS_WIREGUARD};
	struct dataplane_options dataplane = {
		.egresses = &egress, .egress_count = 1, .flows = 1024, .straight = true};

	must(tun_open(&tun, &e->tun) == 0, "tun_open");
	must(wg_tunnel_open(&options, &e->tunnel) == 0, "wg_tunnel_open");
	memset(e->private_key, (int)i + 1, WG_KEY);
	wg_crypto_clamp(e->private_key);
	must(wg_crypto_public(e->private_key, e->public_key), "a key");
	egress.tunnel = e->tunnel;
	dataplane.tun = e->tun;
	must(dataplane_create(&dataplane, &e->dataplane, NULL) == 0, "dataplane_create");
}

/* Look at all that has come out. Some may be missing, none may be older than what came before. */
static void take_all(struct race *race, struct buf *buf)
{
	for (unsigned q = 0; q < HELPED_WORKERS; q++) {
		while ((buf->len = (uint32_t)tun_mem_take(race->ends[1].tun, q, buf->data, BUF_SIZE,
							  &buf->offload)) > 0) {
			struct buf segment = {.data = buf->data + BUF_SIZE};

			for (unsigned i = 0; packets_segment(buf, i, &segment); i++) {
				uint32_t number =
					wire_get32(segment.data + IP4_SIZE + TCP_SEQ) / SEGMENT;

				if (segment.len != SEGMENT + HEAD || packets_check(&segment) ||
				    number < race->next)
					race->wrong++;
				race->next = number + 1;
				race->came++;
			}
		}
	}
}

static void *send_until_stopped(void *argument)
{
	struct race *race = argument;
	struct buf buf = {.data = malloc(2 * (size_t)BUF_SIZE)};
	struct packets_spec spec = {.version = 4,
				    .proto = PROTO_TCP,
				    .tcp_flags = TCP_ACK,
				    .src = {10, 0, 0, 1},
				    .dst = {10, 0, 0, 2},
				    .needs_csum = true,
				    .gso_size = SEGMENT,
				    .payload = SEGMENT * SEGMENTS};

	must(buf.data, "memory");
	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		for (unsigned i = 0; i < BURST; i++) {
			packets_build(&spec, &buf);
			spec.seq += spec.payload;
			tun_mem_inject(race->ends[0].tun, 0, buf.data, buf.len, &buf.offload);
		}
		take_all(race, &buf);
	}
	usleep(CHANGE_MS * 1000);
	take_all(race, &buf);
	free(buf.data);
	return NULL;
}

static void change(struct race *race, unsigned round)
{
	struct dataplane *d = race->ends[1].dataplane;

	if (round % 3 == 0) {
		set_peer(race, 1, false);
		set_peer(race, 1, true);
		/* The other end has no reason to begin anew yet. */
		set_peer(race, 0, false);
		set_peer(race, 0, true);
	} else {
		dataplane_stop(d);
		must(dataplane_start(d) == 0, "start");
	}
	usleep(CHANGE_MS * 1000);
}

static uint64_t helped(const struct race *race, uint64_t *not_authentic)
{
	struct worker_counters c;
	uint64_t sum = 0;

	*not_authentic = 0;
	for (unsigned i = 0; i < HELPED_WORKERS; i++) {
		dataplane_read_counters(race->ends[1].dataplane, i, &c);
		sum += c.helped;
		*not_authentic += c.drops[REASON_NOT_AUTHENTIC];
	}
	return sum;
}

int main(void)
{
	struct race *race = calloc(1, sizeof(*race));
	pthread_t sender;
	uint64_t help, bad;
	bool wrong;

	must(race, "memory");
	open_end(&race->ends[0], 0, 1);
	open_end(&race->ends[1], 1, HELPED_WORKERS);
	for (unsigned i = 0; i < 2; i++)
		set_peer(race, i, true);
	for (unsigned i = 0; i < 2; i++)
		must(dataplane_start(race->ends[i].dataplane) == 0, "start");
	must(pthread_create(&sender, NULL, send_until_stopped, race) == 0, "a thread");
	for (unsigned i = 0; i < CHANGES; i++)
		change(race, i);
	__atomic_store_n(&race->stop, true, __ATOMIC_RELAXED);
	pthread_join(sender, NULL);
	help = helped(race, &bad);
	wrong = race->came <= 100 || race->wrong != 0 || help == 0 || bad != 0;
	printf("race_spread: %d changes, %u segments came, %u wrong; %llu opened by others\n",
	       CHANGES, race->came, race->wrong, (unsigned long long)help);
	for (unsigned i = 0; i < 2; i++)
		dataplane_destroy(race->ends[i].dataplane);
	for (unsigned i = 0; i < 2; i++)
		wg_tunnel_close(race->ends[i].tunnel);
	free(race);
	return wrong;
}
