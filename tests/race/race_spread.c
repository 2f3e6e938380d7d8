/*
 * One busy peer under ThreadSanitizer: a stream of super-packets from one queue of a dataplane with
 * three workers to another such, at each of which the idle ones help the one that is busy. Another
 * thread meanwhile takes the peer away, gives it back, and stops the workers with jobs in their
 * hands.
 *
 * Watched: what comes out is in order and comes once, nothing was sealed or opened twice; others
 * did help, on both sides.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/dataplane.h"
#include "dataplane/packet.h"
#include "dataplane/wire.h"
#include "dataplane/wireguard/tunnel.h"
#include "tests/model/ends.h"
#include "tests/model/packets.h"
#include "tun/tun_mem.h"

enum {
	WORKERS = 3,
	CHANGES = 32,
	CHANGE_MS = 50,
	BURST = 12, /* super-packets that are sent together */
	SEGMENT = 1200,
	SEGMENTS = 40,
	HEAD = 40,
};

struct race {
	struct ends_end ends[2];
	bool stop;
	uint32_t next; /* segment that may come */
	unsigned wrong;
	unsigned came;
};

/* Look at all that has come out. Some may be missing, none may be older than what came before. */
static void take_all(struct race *race, struct buf *buf)
{
	for (unsigned q = 0; q < WORKERS; q++) {
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

	ends_must(buf.data, "memory");
	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		for (unsigned i = 0; i < BURST; i++) {
			packets_build(&spec, &buf);
			/* What does not fit comes again: the numbers must not begin anew. */
			if (tun_mem_inject(race->ends[0].tun, 0, buf.data, buf.len, &buf.offload) ==
			    0)
				spec.seq += spec.payload;
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
	struct dataplane *d = race->ends[round % 2].dataplane;

	if (round % 4 == 0) {
		ends_set_peer(race->ends, 1, false);
		ends_set_peer(race->ends, 1, true);
		/* The other end has no reason to begin anew yet. */
		ends_set_peer(race->ends, 0, false);
		ends_set_peer(race->ends, 0, true);
	} else {
		dataplane_stop(d);
		ends_must(dataplane_start(d) == 0, "start");
	}
	usleep(CHANGE_MS * 1000);
}

static uint64_t helped(const struct race *race, unsigned end, uint64_t *not_authentic)
{
	struct worker_counters c;
	uint64_t sum = 0;

	*not_authentic = 0;
	for (unsigned i = 0; i < WORKERS; i++) {
		dataplane_read_counters(race->ends[end].dataplane, i, &c);
		sum += c.helped;
		*not_authentic += c.drops[REASON_NOT_AUTHENTIC];
	}
	return sum;
}

int main(void)
{
	struct race *race = calloc(1, sizeof(*race));
	pthread_t sender;
	uint64_t sealed, opened, bad;
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
	sealed = helped(race, 0, &bad);
	opened = helped(race, 1, &bad);
	wrong = race->came <= 100 || race->wrong != 0 || sealed == 0 || opened == 0 || bad != 0;
	printf("race_spread: %d changes, %u segments came, %u wrong; by others %llu sealed, "
	       "%llu opened\n",
	       CHANGES, race->came, race->wrong, (unsigned long long)sealed,
	       (unsigned long long)opened);
	ends_close(race->ends);
	free(race);
	return wrong;
}
