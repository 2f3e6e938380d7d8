/* See pair.h. */
#include "tests/wireguard/pair.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/wireguard/crypto.h"
#include "lpm/prefix.h"

static bool record(void *context, const struct udp_endpoint *to, const uint8_t *data, size_t len,
		   uint8_t tos)
{
	struct pair_end *e = context;
	struct pair_datagram *d = &e->wire[e->wire_count];
	bool gone = e->source_gone;

	cr_assert_lt(e->wire_count, PAIR_WIRE_MAX);
	cr_assert_leq(len, PAIR_BYTES_MAX);
	*d = (struct pair_datagram){.to = *to, .tos = tos, .len = len};
	memcpy(d->to.source, e->at.addr, sizeof(d->to.source));
	memcpy(d->data, data, len);
	e->wire_count++;
	e->sent_by_type[data[0] < 5 ? data[0] : 0]++;
	e->source_gone = false;
	return !gone;
}

static void count_wake(void *context, unsigned worker)
{
	struct pair_end *e = context;

	(void)worker;
	e->wakes++;
}

static void count_wait(void *context)
{
	((struct pair_end *)context)->waits++;
}

/* xorshift64*: enough for indices and keys of tests. */
static void make_random(void *context, uint8_t *out, size_t size)
{
	struct pair *p = ((struct pair_end *)context)->pair;

	if (size == WG_KEY && p->fixed && p->fixed_size >= size) {
		memcpy(out, p->fixed, size);
		p->fixed += size;
		p->fixed_size -= size;
		return;
	}
	for (size_t i = 0; i < size; i++) {
		p->random ^= p->random >> 12;
		p->random ^= p->random << 25;
		p->random ^= p->random >> 27;
		out[i] = (uint8_t)(p->random * UINT64_C(0x2545f4914f6cdd1d) >> 56);
	}
}

static uint64_t tell_wall(void *context)
{
	return ((struct pair_end *)context)->pair->wall_ns;
}

struct udp_endpoint pair_endpoint4(unsigned last, uint16_t port)
{
	return (struct udp_endpoint){
		.addr = {192, 0, 2, (uint8_t)last}, .port = port, .version = 4};
}

struct prefix pair_prefix(const char *text)
{
	struct prefix prefix;

	cr_assert_eq(prefix_parse(text, strlen(text), &prefix, NULL), 0, "%s", text);
	return prefix;
}

size_t pair_hex(const char *text, uint8_t *out, size_t size)
{
	size_t n = strlen(text) / 2;

	cr_assert_leq(n, size, "%s", text);
	for (size_t i = 0; i < n; i++) {
		char byte[3] = {text[2 * i], text[2 * i + 1], 0};

		out[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return n;
}

static void end_init(struct pair *p, unsigned i)
{
	struct pair_end *e = &p->ends[i];
	const struct wg_device_options options = {
		.workers = 1,
		.aead = WG_AEAD_LIBCRYPTO,
		.context = e,
		.send = record,
		.wake = count_wake,
		.wait = count_wait,
		.random = make_random,
		.wall_ns = tell_wall,
	};

	e->pair = p;
	e->at = pair_endpoint4(i + 1, (uint16_t)(i + 1));
	make_random(e, e->private_key, WG_KEY);
	wg_crypto_clamp(e->private_key);
	cr_assert(wg_crypto_public(e->private_key, e->public_key));
	cr_assert_eq(wg_aead_create(WG_AEAD_LIBCRYPTO, &e->aead), 0);
	cr_assert_eq(wg_device_create(&options, &e->device), 0);
}

struct pair *pair_create(void)
{
	struct pair *p = calloc(1, sizeof(*p));

	cr_assert(p);
	p->now_ns = 1000 * WG_NS;
	p->wall_ns = 1700000000 * WG_NS;
	p->random = 88172645463325252;
	for (unsigned i = 0; i < PAIR_ENDS; i++)
		end_init(p, i);
	for (unsigned i = 0; i < PAIR_ENDS; i++) {
		const struct wg_allowed_change allowed[] = {
			{.prefix = pair_prefix(i == 0 ? "10.0.0.2/32" : "10.0.0.1/32")},
			{.prefix = pair_prefix(i == 0 ? "fd00::2/128" : "fd00::1/128")},
		};
		struct wg_peer_change peer = {
			.set = WG_PEER_ENDPOINT,
			.endpoint = p->ends[1 - i].at,
			.allowed = allowed,
			.allowed_count = 2,
		};
		struct wg_changes changes = {
			.set = WG_DEVICE_PRIVATE_KEY,
			.peers = &peer,
			.peer_count = 1,
		};

		memcpy(peer.public_key, p->ends[1 - i].public_key, WG_KEY);
		memcpy(changes.private_key, p->ends[i].private_key, WG_KEY);
		pair_apply(p, i, &changes);
	}
	return p;
}

void pair_destroy(struct pair *p)
{
	for (unsigned i = 0; i < PAIR_ENDS; i++) {
		wg_device_destroy(p->ends[i].device);
		wg_aead_destroy(p->ends[i].aead);
	}
	free(p);
}

void pair_apply(struct pair *p, unsigned end, const struct wg_changes *changes)
{
	int rc = wg_device_apply(p->ends[end].device, changes, p->now_ns);

	cr_assert_eq(rc, 0, "%s", strerror(-rc));
}

void pair_change_peer(struct pair *p, unsigned end, const struct wg_peer_change *change)
{
	struct wg_peer_change peer = *change;
	const struct wg_changes changes = {.peers = &peer, .peer_count = 1};

	memcpy(peer.public_key, p->ends[1 - end].public_key, WG_KEY);
	pair_apply(p, end, &changes);
}

struct wg_peer *pair_peer(struct pair *p, unsigned end)
{
	const struct wg_allowed *allowed = wg_device_allowed(p->ends[end].device);

	for (unsigned i = 1; i <= WG_PEERS_MAX; i++)
		if (allowed->peers[i] &&
		    memcmp(allowed->peers[i]->public_key, p->ends[1 - end].public_key, WG_KEY) == 0)
			return allowed->peers[i];
	return NULL;
}

bool pair_send(struct pair *p, unsigned end, const void *data, size_t len)
{
	struct pair_end *e = &p->ends[end];
	struct wg_peer *peer = pair_peer(p, end);
	struct wg_keypair *keypair = wg_peer_sending(peer, p->now_ns);
	uint8_t out[PAIR_BYTES_MAX] = {0};
	size_t padded = (len + WG_PADDING - 1) / WG_PADDING * WG_PADDING;
	struct udp_endpoint to;
	uint64_t counter;

	if (!keypair || wg_keypair_take(keypair, 1, &counter) == 0) {
		wg_peer_want_session(peer);
		return false;
	}
	if (!wg_peer_endpoint(peer, &to))
		return false;
	wg_data_header(out, keypair->remote_index, counter);
	if (len > 0)
		memcpy(out + WG_DATA_HEADER, data, len);
	wg_aead_seal(e->aead, keypair->send_key, counter, out + WG_DATA_HEADER, padded,
		     out + WG_DATA_HEADER);
	record(e, &to, out, padded + WG_DATA_OVERHEAD, 0);
	wg_peer_note_sent(peer, keypair, p->now_ns, padded + WG_DATA_OVERHEAD, len > 0);
	return true;
}

static void receive_data(struct pair *p, struct pair_end *e, const struct pair_datagram *d,
			 const struct udp_endpoint *from)
{
	struct wg_keypair *keypair;
	uint64_t counter;

	if (d->len < WG_DATA_OVERHEAD)
		return;
	keypair = wg_device_keypair(e->device, wg_get32(d->data + 4));
	counter = wg_get64(d->data + 8);
	if (!keypair || !wg_keypair_accepts(keypair, p->now_ns) ||
	    !wg_aead_open(e->aead, keypair->receive_key, counter, d->data + WG_DATA_HEADER,
			  d->len - WG_DATA_HEADER, e->received_data) ||
	    !wg_replay_accept(&keypair->replay, counter))
		return;
	e->received_len = d->len - WG_DATA_OVERHEAD;
	e->received++;
	e->keepalives += e->received_len == 0;
	wg_peer_note_received(keypair->peer, keypair, p->now_ns, d->len, e->received_len > 0, from);
}

void pair_receive(struct pair *p, unsigned end, const struct pair_datagram *d)
{
	struct pair_end *e = &p->ends[end];
	/* As it would look from there: the other end's address, and ours as source. */
	struct udp_endpoint from = p->ends[1 - end].at;

	memcpy(from.addr, d->to.source, sizeof(from.addr));
	memcpy(from.source, d->to.addr, sizeof(from.source));
	if (d->len > 0 && d->data[0] == WG_DATA)
		receive_data(p, e, d, &from);
	else
		wg_device_receive(e->device, d->data, d->len, &from, p->now_ns);
}

void pair_serve(struct pair *p, unsigned end)
{
	wg_device_serve(p->ends[end].device, p->now_ns);
}

static bool deliver(struct pair *p, unsigned end)
{
	struct pair_end *e = &p->ends[end];
	unsigned n = e->wire_count;
	struct pair_datagram *copies = malloc((n + 1) * sizeof(*copies));

	cr_assert(copies);
	memcpy(copies, e->wire, n * sizeof(*copies));
	e->wire_count = 0;
	for (unsigned i = 0; i < n; i++)
		pair_receive(p, 1 - end, &copies[i]);
	free(copies);
	return n > 0;
}

void pair_settle(struct pair *p)
{
	bool moved = true;

	while (moved) {
		pair_serve(p, 0);
		pair_serve(p, 1);
		moved = deliver(p, 0);
		moved |= deliver(p, 1);
	}
}

unsigned pair_lose(struct pair *p, unsigned end)
{
	unsigned n = p->ends[end].wire_count;

	p->ends[end].wire_count = 0;
	return n;
}

void pair_run(struct pair *p, uint64_t ns, uint64_t step_ns)
{
	for (uint64_t end_ns = p->now_ns + ns; p->now_ns < end_ns;) {
		p->now_ns += step_ns;
		p->wall_ns += step_ns;
		pair_settle(p);
	}
}

void pair_meet(struct pair *p)
{
	cr_assert(!pair_send(p, 0, "first", 5));
	pair_settle(p);
	cr_assert(wg_peer_sending(pair_peer(p, 0), p->now_ns));
	cr_assert(wg_peer_sending(pair_peer(p, 1), p->now_ns));
}
