/*
 * WireGuard's devices under ThreadSanitizer.
 *
 * Counters: 16 threads take those of one keypair up to its end; each is taken once.
 *
 * Changes: two devices with their threads, two workers each that send and receive all the time,
 * and a thread that meanwhile removes peers, adds them, changes keys and addresses and reads.
 * Watched: what is opened says what was sealed, sessions come about, and keys that workers use are
 * neither wiped nor freed.
 */
#include <openssl/rand.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/ring.h"
#include "dataplane/route.h"
#include "dataplane/wireguard/crypto.h"
#include "dataplane/wireguard/device.h"

enum {
	TAKERS = 16,
	TAKEN = 200000,
	ENDS = 2,
	WORKERS = 2,
	WIRE = 256, /* datagrams to a worker */
	ROUNDS = 60,
	ROUNDS_MOST = 1000,
	TEXT = 64,
};

struct datagram {
	struct udp_endpoint from;
	size_t len;
	uint8_t data[256];
};

struct end {
	struct race *race;
	unsigned number;
	struct wg_device *device;
	struct udp_endpoint at;
	uint8_t private_key[WG_KEY];
	uint8_t public_key[WG_KEY];
	struct ring *wire[WORKERS];
};

struct race {
	struct end ends[ENDS];
	struct routes *routes;
	int stop;
	int wrong;
	unsigned opened;
};

struct worker_of {
	struct end *end;
	unsigned index;
	pthread_t thread;
};

struct takers {
	struct wg_keypair keypair;
	uint8_t taken[TAKEN];
	int wrong;
};

static void *take(void *argument)
{
	struct takers *t = argument;
	uint64_t base = WG_REJECT_AFTER_MESSAGES - TAKEN;
	unsigned n = 1;
	uint64_t first;
	unsigned got;

	while ((got = wg_keypair_take(&t->keypair, n, &first)) > 0) {
		for (unsigned i = 0; i < got; i++)
			if (first + i < base || first + i >= WG_REJECT_AFTER_MESSAGES ||
			    __atomic_fetch_add(&t->taken[first + i - base], 1, __ATOMIC_RELAXED))
				__atomic_store_n(&t->wrong, 1, __ATOMIC_RELAXED);
		n = n % 64 + 1;
	}
	return NULL;
}

static bool take_all(void)
{
	struct takers *t = aligned_alloc(64, (sizeof(*t) + 63) / 64 * 64);
	pthread_t threads[TAKERS];
	bool right;

	if (!t)
		abort();
	memset(t, 0, sizeof(*t));
	t->keypair.next = WG_REJECT_AFTER_MESSAGES - TAKEN;
	for (unsigned i = 0; i < TAKERS; i++)
		if (pthread_create(&threads[i], NULL, take, t))
			abort();
	for (unsigned i = 0; i < TAKERS; i++)
		pthread_join(threads[i], NULL);
	right = !t->wrong && t->keypair.next == WG_REJECT_AFTER_MESSAGES;
	for (unsigned i = 0; i < TAKEN; i++)
		right = right && t->taken[i] == 1;
	free(t);
	return right;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * WG_NS + (uint64_t)now.tv_nsec;
}

/* What does not fit is lost, as on a wire. */
static bool transmit(struct end *end, const uint8_t *data, size_t len)
{
	struct end *other = &end->race->ends[1 - end->number];
	struct datagram *d = malloc(sizeof(*d));
	unsigned worker = udp_select(data, len, WORKERS) % WORKERS;
	void *object = d;

	if (!d || len > sizeof(d->data))
		abort();
	d->from = end->at;
	d->len = len;
	memcpy(d->data, data, len);
	if (ring_enqueue_burst(other->wire[worker], &object, 1) == 0)
		free(d);
	return true;
}

static bool send_by_device(void *end, const struct udp_endpoint *to, const uint8_t *data,
			   size_t len, uint8_t tos)
{
	(void)to;
	(void)tos;
	return transmit(end, data, len);
}

static void wait_for_readers(void *context)
{
	(void)context;
	route_wait();
}

static void send_one(struct end *end, struct wg_aead *aead)
{
	const struct wg_allowed *allowed = wg_device_allowed(end->device);
	struct wg_peer *peer =
		wg_allowed_peer(allowed, &(struct addr){.version = 4, .v4 = 0x0a000001});
	uint8_t out[TEXT + WG_DATA_OVERHEAD];
	struct wg_keypair *keypair;
	struct udp_endpoint to;
	uint64_t counter;

	if (!peer || !wg_peer_endpoint(peer, &to))
		return;
	keypair = wg_peer_sending(peer, now_ns());
	if (!keypair || wg_keypair_take(keypair, 1, &counter) == 0) {
		wg_peer_want_session(peer);
		return;
	}
	wg_data_header(out, keypair->remote_index, counter);
	memset(out + WG_DATA_HEADER, (int)(counter & 0xff), TEXT);
	wg_aead_seal(aead, keypair->send_key, counter, out + WG_DATA_HEADER, TEXT,
		     out + WG_DATA_HEADER);
	transmit(end, out, sizeof(out));
	wg_peer_note_sent(peer, keypair, now_ns(), sizeof(out), true);
}

static void receive_data(struct end *end, struct wg_aead *aead, struct datagram *d)
{
	struct wg_keypair *keypair = wg_device_keypair(end->device, wg_get32(d->data + 4));
	uint64_t counter = wg_get64(d->data + 8);
	uint8_t *text = d->data + WG_DATA_HEADER;

	if (!keypair || !wg_keypair_accepts(keypair, now_ns()) ||
	    !wg_aead_open(aead, keypair->receive_key, counter, text, d->len - WG_DATA_HEADER,
			  text) ||
	    !wg_replay_accept(&keypair->replay, counter))
		return;
	if (d->len == TEXT + WG_DATA_OVERHEAD)
		for (unsigned i = 0; i < TEXT; i++)
			if (text[i] != (counter & 0xff))
				__atomic_store_n(&end->race->wrong, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&end->race->opened, 1, __ATOMIC_RELAXED);
	wg_peer_note_received(keypair->peer, keypair, now_ns(), d->len, d->len > WG_DATA_OVERHEAD,
			      &d->from);
}

static void *work(void *argument)
{
	struct worker_of *w = argument;
	struct end *end = w->end;
	struct wg_aead *aead;
	void *object;

	if (wg_aead_create(WG_AEAD_LIBCRYPTO, &aead) < 0)
		abort();
	route_enter();
	while (!__atomic_load_n(&end->race->stop, __ATOMIC_RELAXED)) {
		send_one(end, aead);
		while (ring_dequeue_burst(end->wire[w->index], &object, 1) == 1) {
			struct datagram *d = object;

			if (d->data[0] == WG_DATA)
				receive_data(end, aead, d);
			else
				wg_device_post(end->device, d->data, d->len, &d->from);
			free(d);
		}
		route_quiescent();
		route_offline();
		usleep(100);
		route_online();
	}
	route_exit();
	wg_aead_destroy(aead);
	return NULL;
}

static void end_init(struct race *race, unsigned number)
{
	struct end *end = &race->ends[number];
	const struct wg_device_options options = {
		.workers = WORKERS,
		.context = end,
		.send = send_by_device,
		.wait = wait_for_readers,
	};

	end->race = race;
	end->number = number;
	end->at = (struct udp_endpoint){
		.addr = {192, 0, 2, (uint8_t)number}, .port = 1, .version = 4};
	RAND_bytes(end->private_key, WG_KEY);
	wg_crypto_clamp(end->private_key);
	if (!wg_crypto_public(end->private_key, end->public_key) ||
	    wg_device_create(&options, &end->device) < 0)
		abort();
	for (unsigned i = 0; i < WORKERS; i++) {
		end->wire[i] = aligned_alloc(RING_LINE, ring_size_bytes(WIRE));
		if (!end->wire[i] || ring_init(end->wire[i], WIRE, RING_MULTI, RING_SINGLE) < 0)
			abort();
	}
}

/* Makes the other the only peer of an end, by a change that varies. */
static void change(struct race *race, unsigned number, unsigned round)
{
	struct end *end = &race->ends[number];
	struct end *other = &race->ends[1 - number];
	const struct wg_allowed_change allowed[] = {
		{.prefix = {.addr = {.version = 4, .v4 = 0x0a000000}, .len = 8}},
		{.prefix = {.addr = {.version = 6}, .len = (uint8_t)(round % 128)}},
	};
	struct wg_peer_change peer = {
		.set = WG_PEER_ENDPOINT | WG_PEER_PRESHARED_KEY,
		.preshared_key = {(uint8_t)(round / 2)},
		.endpoint = other->at,
		.allowed = allowed,
		.allowed_count = 2,
	};
	struct wg_changes changes = {
		.set = WG_DEVICE_PRIVATE_KEY | (round % 2 ? WG_DEVICE_REPLACE_PEERS : 0),
		.peers = &peer,
		.peer_count = 1,
	};
	struct wg_snapshot *snapshot;

	memcpy(peer.public_key, other->public_key, WG_KEY);
	memcpy(changes.private_key, end->private_key, WG_KEY);
	if (wg_device_apply(end->device, &changes, now_ns()) < 0 ||
	    wg_device_read(end->device, &snapshot) < 0)
		abort();
	wg_snapshot_free(snapshot);
}

static void drain(struct end *end)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		void *object;

		while (ring_dequeue_burst(end->wire[i], &object, 1) == 1)
			free(object);
		free(end->wire[i]);
	}
}

static uint64_t sessions_of(const struct race *race)
{
	struct wg_device_counters counters;
	uint64_t sessions = 0;

	for (unsigned i = 0; i < ENDS; i++) {
		wg_device_read_counters(race->ends[i].device, &counters);
		sessions += counters.handshakes;
	}
	return sessions;
}

static bool have_talked(const struct race *race)
{
	return sessions_of(race) >= 4 && __atomic_load_n(&race->opened, __ATOMIC_RELAXED) >= 100;
}

static bool change_while_they_talk(void)
{
	struct race *race = calloc(1, sizeof(*race));
	struct worker_of workers[ENDS * WORKERS];
	bool right;

	if (!race)
		abort();
	for (unsigned i = 0; i < ENDS; i++)
		end_init(race, i);
	for (unsigned i = 0; i < ENDS; i++)
		if (wg_device_start(race->ends[i].device) < 0)
			abort();
	for (unsigned i = 0; i < ENDS * WORKERS; i++) {
		workers[i] =
			(struct worker_of){.end = &race->ends[i / WORKERS], .index = i % WORKERS};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			abort();
	}
	/* Where others keep the cores busy it takes longer until enough has happened. */
	for (unsigned round = 0; round < ROUNDS || (!have_talked(race) && round < ROUNDS_MOST);
	     round++) {
		for (unsigned i = 0; i < ENDS; i++)
			change(race, i, round);
		usleep(40000);
	}
	__atomic_store_n(&race->stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < ENDS * WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	printf("%llu sessions, %u packets opened\n", (unsigned long long)sessions_of(race),
	       race->opened);
	right = !race->wrong && have_talked(race);
	for (unsigned i = 0; i < ENDS; i++)
		wg_device_destroy(race->ends[i].device);
	for (unsigned i = 0; i < ENDS; i++)
		drain(&race->ends[i]);
	free(race);
	return right;
}

int main(void)
{
	if (!take_all()) {
		printf("counters were taken twice, or not at all\n");
		return 1;
	}
	if (!change_while_they_talk()) {
		printf("sessions failed, or what was opened is not what was sealed\n");
		return 1;
	}
	return 0;
}
