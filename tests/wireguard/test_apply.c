/* Changes of a device: all or nothing, against a naive model, and what a reader is told. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/wireguard/state.h"
#include "tests/wireguard/forge.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct wg_snapshot *read_device(struct wg_device *d)
{
	struct wg_snapshot *s;

	cr_assert_eq(wg_device_read(d, &s), 0);
	return s;
}

/* Sockets that take all marks but 13, and all ports but 22. */
static int set_port(void *context, uint16_t *port)
{
	if (*port == 22)
		return -EADDRINUSE;
	*port = *port ? *port : 50000;
	*(uint16_t *)context = *port;
	return 0;
}

static int set_mark(void *context, uint32_t mark)
{
	((uint32_t *)context)[1] = mark;
	return mark == 13 ? -EPERM : 0;
}

static struct wg_device *create(uint32_t sockets[2])
{
	const struct wg_device_options options = {
		.workers = 3,
		.aead = WG_AEAD_LIBCRYPTO,
		.context = sockets,
		.set_port = set_port,
		.set_mark = set_mark,
	};
	struct wg_device *d;

	cr_assert_eq(wg_device_create(&options, &d), 0);
	return d;
}

Test(wireguard_apply, all_or_nothing)
{
	uint32_t sockets[2] = {0};
	struct wg_device *d = create(sockets);
	struct wg_allowed_change allowed[] = {{.prefix = pair_prefix("10.0.0.0/8")},
					      {.prefix = pair_prefix("10.0.0.0/8")}};
	struct wg_peer_change peers[] = {
		{.public_key = {1}, .allowed = allowed, .allowed_count = 1},
		{.public_key = {2}, .allowed = allowed, .allowed_count = 2},
	};
	struct wg_changes changes = {
		.set = WG_DEVICE_PRIVATE_KEY | WG_DEVICE_PORT | WG_DEVICE_MARK,
		.private_key = {8, [31] = 64},
		.port = 51820,
		.mark = 5,
		.peers = peers,
		.peer_count = 2,
	};
	struct wg_snapshot *s;

	allowed[1].prefix.len = 33;
	cr_assert_eq(wg_device_apply(d, &changes, 1), -EINVAL);
	allowed[1].prefix.len = 8;
	peers[1].set = WG_PEER_ENDPOINT;
	cr_assert_eq(wg_device_apply(d, &changes, 1), -EINVAL);
	peers[1].set = 0;
	changes.mark = 13;
	cr_assert_eq(wg_device_apply(d, &changes, 1), -EPERM);
	changes.mark = 5;
	changes.port = 22;
	cr_assert_eq(wg_device_apply(d, &changes, 1), -EADDRINUSE);
	cr_assert_eq(sockets[1], 0, "the mark was not put back");
	s = read_device(d);
	cr_assert_eq(s->peer_count, 0);
	cr_assert_eq(s->port, 0);
	cr_assert_eq(s->mark, 0);
	cr_assert_eq(s->private_key[31], 0);
	wg_snapshot_free(s);

	changes.port = 0;
	cr_assert_eq(wg_device_apply(d, &changes, 1), 0);
	s = read_device(d);
	cr_assert_eq(s->peer_count, 2);
	cr_assert_eq(s->port, 50000);
	cr_assert_eq(s->mark, 5);
	cr_assert_eq(s->private_key[31], 64);
	cr_assert_eq(s->peers[0].allowed_count, 0, "it moved within one change");
	cr_assert_eq(s->peers[1].allowed_count, 1);
	wg_snapshot_free(s);
	wg_device_destroy(d);
}

Test(wireguard_apply, own_keys)
{
	uint32_t sockets[2] = {0};
	struct wg_device *d = create(sockets);
	struct wg_changes changes = {
		.set = WG_DEVICE_PRIVATE_KEY, .private_key = {8, [31] = 64}, .peer_count = 1};
	struct wg_peer_change peer = {0};
	struct wg_snapshot *s;

	changes.peers = &peer;
	cr_assert(wg_crypto_public(changes.private_key, peer.public_key));
	cr_assert_eq(wg_device_apply(d, &changes, 1), 0);
	s = read_device(d);
	cr_assert_eq(s->peer_count, 0, "we are no peer of ours");
	cr_assert_eq(memcmp(s->public_key, peer.public_key, WG_KEY), 0);
	wg_snapshot_free(s);
	changes.private_key[0] = 16;
	cr_assert_eq(wg_device_apply(d, &changes, 1), 0);
	s = read_device(d);
	cr_assert_eq(s->peer_count, 1);
	wg_snapshot_free(s);
	changes.private_key[0] = 8;
	changes.peer_count = 0;
	cr_assert_eq(wg_device_apply(d, &changes, 1), 0);
	s = read_device(d);
	cr_assert_eq(s->peer_count, 0, "a peer whose key becomes ours goes");
	wg_snapshot_free(s);
	wg_device_destroy(d);
}

static void number_key(unsigned number, uint8_t key[WG_KEY])
{
	memset(key, 0, WG_KEY);
	wg_put32(key, number + 2);
}

Test(wireguard_apply, as_many_peers_as_there_are_numbers)
{
	uint32_t sockets[2] = {0};
	struct wg_device *d = create(sockets);
	struct wg_peer_change *peers = calloc(WG_PEERS_MAX, sizeof(*peers));
	struct wg_changes changes = {.peers = peers, .peer_count = WG_PEERS_MAX};
	struct wg_peer_change more = {.public_key = {[31] = 1}};
	struct wg_snapshot *s;

	cr_assert(peers);
	for (unsigned i = 0; i < WG_PEERS_MAX; i++)
		number_key(i, peers[i].public_key);
	cr_assert_eq(wg_device_apply(d, &changes, 1), 0);
	changes = (struct wg_changes){.peers = &more, .peer_count = 1};
	cr_assert_eq(wg_device_apply(d, &changes, 1), -ENOSPC);
	peers[0].set = WG_PEER_REMOVE;
	changes = (struct wg_changes){.peers = peers, .peer_count = 1};
	cr_assert_eq(wg_device_apply(d, &changes, 1), 0);
	changes = (struct wg_changes){.peers = &more, .peer_count = 1};
	cr_assert_eq(wg_device_apply(d, &changes, 1), 0);
	s = read_device(d);
	cr_assert_eq(s->peer_count, WG_PEERS_MAX);
	cr_assert_eq(memcmp(s->peers[0].public_key, peers[1].public_key, WG_KEY), 0, "in order");
	cr_assert_eq(s->peers[WG_PEERS_MAX - 1].public_key[31], 1);
	wg_snapshot_free(s);
	free(peers);
	wg_device_destroy(d);
}

/* A number may be given again, an id not. */
Test(wireguard_apply, who_is_gone_is_not_found)
{
	struct pair *p = pair_create();
	struct wg_device *d = p->ends[0].device;
	uint16_t number = pair_peer(p, 0)->number;
	uint64_t id = pair_peer(p, 0)->id;
	const struct wg_peer_change other = {.public_key = {5}};

	cr_assert_eq(wg_allowed_at(wg_device_allowed(d), number, id), pair_peer(p, 0));
	pair_meet(p);
	pair_change_peer(p, 0, &(struct wg_peer_change){.set = WG_PEER_REMOVE});
	cr_assert_null(wg_allowed_at(wg_device_allowed(d), number, id));
	pair_apply(p, 0, &(struct wg_changes){.peers = &other, .peer_count = 1});
	cr_assert(wg_device_allowed(d)->peers[number]);
	cr_assert_null(wg_allowed_at(wg_device_allowed(d), number, id));
	pair_destroy(p);
}

/* What comes in by an index is for the worker that the peer calls home. */
Test(wireguard_apply, indices_lead_home)
{
	uint32_t sockets[2] = {0};
	struct wg_device *d = create(sockets);
	struct wg_peer_change peers[6] = {0};
	const struct wg_changes changes = {.peers = peers, .peer_count = COUNT(peers)};
	unsigned homes = 0;

	for (unsigned i = 0; i < COUNT(peers); i++)
		number_key(i, peers[i].public_key);
	cr_assert_eq(wg_device_apply(d, &changes, 1), 0);
	for (unsigned i = 0; i < 100 * COUNT(peers); i++) {
		struct wg_member *m = d->roster->members[i % COUNT(peers)];
		uint32_t index = wg_index_take(d, m);

		cr_assert_eq(wg_keypair_home(index, 3), m->peer.home, "index %x", index);
		cr_assert_eq(wg_index_owner(d, index), m);
		homes |= 1U << m->peer.home;
		wg_index_release(d, index);
	}
	cr_assert_eq(homes, 7, "all workers are somebody's");
	wg_device_destroy(d);
}

enum {
	MODEL_PEERS = 5,
	MODEL_PREFIXES = 40,
	MODEL_ROUNDS = 100, /* 10 ms each: tables are built */
};

/* Which peer has each of a few prefixes, and which peers there are; -1: nobody. */
struct model {
	int owners[MODEL_PREFIXES];
	bool present[MODEL_PEERS];
};

static struct prefix model_prefix(unsigned i)
{
	struct prefix p = {.addr = {.version = i % 2 ? 6 : 4}};

	p.len = (uint8_t)(i / 2 % 10 + 1);
	if (i % 2)
		p.addr.v6.hi = (uint64_t)(i / 20) << 63;
	else
		p.addr.v4 = (uint32_t)(i / 20) << 31;
	return p;
}

static unsigned draw(uint32_t *random, unsigned n)
{
	*random = *random * 1664525 + 1013904223;
	return (*random >> 16) % n;
}

static void model_clear(struct model *m, int peer)
{
	for (unsigned i = 0; i < MODEL_PREFIXES; i++)
		if (m->owners[i] == peer)
			m->owners[i] = -1;
}

/* One random change of a peer, done to the model at once. */
static void model_change(struct model *m, uint32_t *random, struct wg_peer_change *change,
			 struct wg_allowed_change *allowed)
{
	int peer = (int)draw(random, MODEL_PEERS);

	*change = (struct wg_peer_change){.allowed = allowed};
	number_key((unsigned)peer, change->public_key);
	if (draw(random, 8) == 0) {
		change->set = WG_PEER_REMOVE;
		m->present[peer] = false;
		model_clear(m, peer);
		return;
	}
	change->set = draw(random, 4) == 0 ? WG_PEER_UPDATE_ONLY : 0;
	change->set |= draw(random, 6) == 0 ? WG_PEER_REPLACE_ALLOWED : 0;
	change->allowed_count = draw(random, 5);
	if (change->set & WG_PEER_UPDATE_ONLY && !m->present[peer]) {
		for (size_t i = 0; i < change->allowed_count; i++)
			allowed[i] = (struct wg_allowed_change){.prefix = model_prefix(0)};
		return;
	}
	m->present[peer] = true;
	if (change->set & WG_PEER_REPLACE_ALLOWED)
		model_clear(m, peer);
	for (size_t i = 0; i < change->allowed_count; i++) {
		unsigned at = draw(random, MODEL_PREFIXES);

		allowed[i] = (struct wg_allowed_change){.prefix = model_prefix(at),
							.remove = draw(random, 4) == 0};
		if (!allowed[i].remove)
			m->owners[at] = peer;
		else if (m->owners[at] == peer)
			m->owners[at] = -1;
	}
}

static int model_look_up(const struct model *m, const struct addr *addr)
{
	int best = -1;
	unsigned best_len = 0;

	for (unsigned i = 0; i < MODEL_PREFIXES; i++) {
		struct prefix p = model_prefix(i);

		if (m->owners[i] >= 0 && p.len > best_len && prefix_contains(&p, addr)) {
			best = m->owners[i];
			best_len = p.len;
		}
	}
	return best;
}

static void compare(struct wg_device *d, const struct model *m, uint32_t *random, unsigned round)
{
	const struct wg_allowed *allowed = wg_device_allowed(d);
	struct wg_snapshot *s = read_device(d);
	size_t present = 0;
	size_t owned = 0;
	size_t counted = 0;

	for (unsigned i = 0; i < MODEL_PEERS; i++)
		present += m->present[i];
	for (unsigned i = 0; i < MODEL_PREFIXES; i++)
		owned += m->owners[i] >= 0;
	for (size_t i = 0; i < s->peer_count; i++)
		counted += s->peers[i].allowed_count;
	cr_assert_eq(s->peer_count, present, "round %u", round);
	cr_assert_eq(counted, owned, "round %u: %zu prefixes, expected %zu", round, counted, owned);
	for (unsigned i = 0; i < 40; i++) {
		struct addr addr = {.version = i % 2 ? 6 : 4};
		uint32_t bits = draw(random, 1 << 11) << 21;
		const struct wg_peer *peer;
		uint8_t key[WG_KEY];
		int expected;

		addr.v4 = addr.version == 4 ? bits : 0;
		addr.v6.hi = addr.version == 6 ? (uint64_t)bits << 32 : 0;
		expected = model_look_up(m, &addr);
		peer = wg_allowed_peer(allowed, &addr);
		cr_assert_eq(!!peer, expected >= 0, "round %u, bits %x", round, bits);
		if (!peer)
			continue;
		number_key((unsigned)expected, key);
		cr_assert_eq(memcmp(peer->public_key, key, WG_KEY), 0, "round %u, bits %x", round,
			     bits);
	}
	wg_snapshot_free(s);
}

Test(wireguard_apply, random_changes_as_the_model_does_them)
{
	uint32_t sockets[2] = {0};
	struct wg_device *d = create(sockets);
	struct model m;
	uint32_t random = 7;

	memset(&m, 0, sizeof(m));
	for (unsigned i = 0; i < MODEL_PREFIXES; i++)
		m.owners[i] = -1;
	for (unsigned round = 0; round < MODEL_ROUNDS; round++) {
		struct wg_allowed_change allowed[3][4];
		struct wg_peer_change peers[3];
		struct wg_changes changes = {.peers = peers, .peer_count = draw(&random, 4)};

		if (draw(&random, 50) == 0) {
			changes.set = WG_DEVICE_REPLACE_PEERS;
			memset(m.present, 0, sizeof(m.present));
			for (int i = 0; i < MODEL_PEERS; i++)
				model_clear(&m, i);
		}
		for (size_t i = 0; i < changes.peer_count; i++)
			model_change(&m, &random, &peers[i], allowed[i]);
		cr_assert_eq(wg_device_apply(d, &changes, round), 0);
		compare(d, &m, &random, round);
	}
	wg_device_destroy(d);
}
