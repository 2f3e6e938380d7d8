/*
 * The data path of tunnels under ThreadSanitizer: two dataplanes with two workers each, and their
 * devices' threads, on devices and sockets in memory. One thread sends packets through them both
 * ways, another meanwhile takes peers away, gives them back, and changes ports and the MTU.
 *
 * Watched: packets that come out are those that went in, each once; packets do come out.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/dataplane.h"
#include "dataplane/wireguard/tunnel.h"
#include "tests/model/ends.h"
#include "tests/model/packets.h"
#include "tun/tun_mem.h"

enum {
	WORKERS = 2,
	CHANGES = 40,
	PACKETS_MAX = 1 << 20,
	PEER_LOST_MS = 20,
	ICMP = 1,
};

struct race {
	struct ends_end ends[2];
	bool stop;
	unsigned wrong;
	unsigned came;
	uint8_t seen[2][PACKETS_MAX];
};

/* Look at all that has come out at an end. */
static void take_all(struct race *race, unsigned end, struct buf *buf)
{
	for (unsigned q = 0; q < WORKERS; q++) {
		while ((buf->len = (uint32_t)tun_mem_take(race->ends[end].tun, q, buf->data,
							  BUF_SIZE, &buf->offload)) > 0) {
			struct buf segment = {.data = buf->data + BUF_SIZE};

			for (unsigned i = 0; packets_segment(buf, i, &segment); i++) {
				uint32_t number;

				if (segment.data[9] == ICMP)
					continue; /* there is no peer just now */
				memcpy(&number, segment.data + 28, sizeof(number));
				if (segment.len != 128 || packets_check(&segment) ||
				    number >= PACKETS_MAX || race->seen[end][number]++)
					race->wrong++;
				race->came++;
			}
		}
	}
}

static void *send_until_stopped(void *argument)
{
	struct race *race = argument;
	struct buf buf = {.data = malloc(2 * (size_t)BUF_SIZE)};
	uint8_t payload[100] = {0};

	ends_must(buf.data, "memory");
	for (uint32_t number = 0; number < PACKETS_MAX; number++) {
		struct packets_spec spec = {.version = 4,
					    .proto = 17,
					    .src_port = (uint16_t)(number % 4),
					    .payload = sizeof(payload),
					    .payload_bytes = payload};

		if (__atomic_load_n(&race->stop, __ATOMIC_RELAXED))
			break;
		memcpy(payload, &number, sizeof(number));
		packets_build(&spec, &buf);
		for (unsigned end = 0; end < 2; end++)
			tun_mem_inject(race->ends[end].tun, number % WORKERS, buf.data, buf.len,
				       &buf.offload);
		for (unsigned end = 0; end < 2; end++)
			take_all(race, end, &buf);
		if (number % 8 == 0)
			usleep(200);
	}
	free(buf.data);
	return NULL;
}

static void change(struct race *race, unsigned round)
{
	unsigned end = round % 2;

	switch (round % 4) {
	case 0:
		ends_set_peer(race->ends, end, false);
		usleep(PEER_LOST_MS * 1000);
		break;
	case 1:
		ends_must(udp_set_port(wg_tunnel_udp(race->ends[end].tunnel), 0) == 0, "a port");
		break;
	case 2:
		wg_tunnel_set_mtu(race->ends[end].tunnel, 1280 + round);
		break;
	default:
		dataplane_stop(race->ends[end].dataplane);
		ends_must(dataplane_start(race->ends[end].dataplane) == 0, "start");
		break;
	}
	for (unsigned i = 0; i < 2; i++)
		ends_set_peer(race->ends, i, true);
	usleep(PEER_LOST_MS * 1000);
}

int main(void)
{
	struct race *race = calloc(1, sizeof(*race));
	pthread_t sender;
	bool wrong;

	ends_must(race, "memory");
	ends_open(race->ends, (const unsigned[2]){WORKERS, WORKERS});
	for (unsigned i = 0; i < 2; i++)
		ends_must(dataplane_start(race->ends[i].dataplane) == 0, "start");
	ends_must(pthread_create(&sender, NULL, send_until_stopped, race) == 0, "a thread");
	for (unsigned i = 0; i < CHANGES; i++)
		change(race, i);
	__atomic_store_n(&race->stop, true, __ATOMIC_RELAXED);
	pthread_join(sender, NULL);
	ends_close(race->ends);
	wrong = race->came <= 100 || race->wrong != 0;
	printf("race_tunnel: %d changes, %u packets came, %u wrong\n", CHANGES, race->came,
	       race->wrong);
	free(race);
	return wrong;
}
