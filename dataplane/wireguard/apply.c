/*
 * Changes of a device, all or nothing: what can fail is done first and aside, on copies of the list
 * of peers and of the book of prefixes; then the sockets are asked, which may refuse; what follows
 * cannot fail. See device.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/check.h"
#include "dataplane/wireguard/state.h"

struct plan {
	const struct wg_changes *changes;
	struct wg_identity identity;
	bool rekeyed; /* the identity is another */
	bool moved;   /* peers or prefixes are not as they were */
	struct wg_roster *roster;
	struct claims *claims;
	struct wg_allowed *allowed;
	struct wg_member **targets; /* of each change of a peer; NULL: nothing to do */
	struct wg_member **spares;  /* made, and not used */
	size_t spare_count;
};

static bool prefix_is_good(const struct prefix *prefix)
{
	return (prefix->addr.version == 4 && prefix->len <= 32) ||
	       (prefix->addr.version == 6 && prefix->len <= 128);
}

static int check_changes(const struct wg_changes *changes)
{
	for (size_t i = 0; i < changes->peer_count; i++) {
		const struct wg_peer_change *change = &changes->peers[i];
		const struct udp_endpoint *to = &change->endpoint;

		if (change->set & WG_PEER_ENDPOINT &&
		    ((to->version != 4 && to->version != 6) || to->port == 0))
			return -EINVAL;
		for (size_t j = 0; j < change->allowed_count; j++) {
			struct prefix p = change->allowed[j].prefix;

			if (!prefix_is_good(&p))
				return -EINVAL;
		}
	}
	return 0;
}

static struct wg_member *member_create(struct wg_device *d)
{
	struct wg_member *m = secret_alloc(&d->member_pool);

	if (!m)
		return NULL;
	m->peer.device = d;
	m->peer.id = ++d->next_id;
	m->stamped_ns = d->wall_floor_ns; /* it may have been a peer before */
	m->retransmit_ns = NEVER;
	m->initiate_ns = NEVER;
	m->zero_ns = NEVER;
	m->jitter_ns = wg_jitter(d);
	return m;
}

static void give_number(struct wg_device *d, struct wg_member *m)
{
	unsigned number = 1;

	while (d->numbers[number / 64] >> (number % 64) & 1)
		number++;
	CHECK(number <= WG_PEERS_MAX);
	d->numbers[number / 64] |= UINT64_C(1) << (number % 64);
	m->peer.number = (uint16_t)number;
	m->peer.home = (uint16_t)(number % d->options.workers);
}

static void free_number(struct wg_device *d, const struct wg_member *m)
{
	d->numbers[m->peer.number / 64] &= ~(UINT64_C(1) << (m->peer.number % 64));
}

static void plan_free(struct wg_device *d, struct plan *p)
{
	for (size_t i = 0; i < p->spare_count; i++) {
		if (p->spares[i] && p->spares[i]->peer.number)
			free_number(d, p->spares[i]);
		secret_free(&d->member_pool, p->spares[i]);
	}
	free(p->spares);
	free(p->targets);
	wg_allowed_destroy(p->allowed);
	claims_destroy(p->claims);
	free(p->roster);
	wg_crypto_wipe(&p->identity, sizeof(p->identity));
}

static size_t count_allowed(const struct wg_changes *changes)
{
	size_t n = 0;

	for (size_t i = 0; i < changes->peer_count; i++)
		n += changes->peers[i].allowed_count;
	return n;
}

/* Whether peers or prefixes come, go or move: what has none of it needs no new tables. */
static bool touches_peers(const struct wg_device *d, const struct wg_changes *changes)
{
	if (changes->set & (WG_DEVICE_PRIVATE_KEY | WG_DEVICE_REPLACE_PEERS))
		return true;
	for (size_t i = 0; i < changes->peer_count; i++) {
		const struct wg_peer_change *change = &changes->peers[i];

		if (change->allowed_count > 0 ||
		    change->set & (WG_PEER_REMOVE | WG_PEER_REPLACE_ALLOWED))
			return true;
		if (!(change->set & WG_PEER_UPDATE_ONLY) &&
		    !wg_roster_find(d, d->roster, change->public_key))
			return true;
	}
	return false;
}

static int plan_memory(struct wg_device *d, struct plan *p)
{
	size_t count = p->changes->peer_count;

	p->roster = malloc(sizeof(*p->roster));
	p->targets = calloc(count + 1, sizeof(struct wg_member *));
	p->spares = calloc(count + 1, sizeof(struct wg_member *));
	if (!p->roster || !p->targets || !p->spares)
		return -ENOMEM;
	wg_roster_copy(d->roster, p->roster);
	p->moved = touches_peers(d, p->changes);
	return p->moved ? claims_copy(d->claims, count_allowed(p->changes), &p->claims) : 0;
}

static int plan_identity(struct wg_device *d, struct plan *p)
{
	struct wg_member *self;
	int rc;

	p->identity = d->identity;
	if (!(p->changes->set & WG_DEVICE_PRIVATE_KEY))
		return 0;
	rc = wg_identity_set(&p->identity, p->changes->private_key);
	if (rc < 0)
		return rc;
	p->rekeyed = !wg_crypto_equal(p->identity.private_key, d->identity.private_key, WG_KEY);
	self = p->identity.present ? wg_roster_find(d, p->roster, p->identity.public_key) : NULL;
	if (self) {
		wg_roster_remove(d, p->roster, self);
		claims_clear(p->claims, self->peer.number);
	}
	return 0;
}

/* Numbers of peers that are being removed are not free yet. */
static int plan_member(struct wg_device *d, struct plan *p, const uint8_t public_key[WG_KEY],
		       struct wg_member **out)
{
	unsigned taken = 0;
	struct wg_member *m;

	for (unsigned w = 0; w < MARK_WORDS; w++)
		taken += (unsigned)__builtin_popcountll(d->numbers[w]);
	if (taken >= WG_PEERS_MAX)
		return -ENOSPC;
	m = member_create(d);
	if (!m)
		return -ENOMEM;
	p->spares[p->spare_count++] = m;
	memcpy(m->remote.public_key, public_key, WG_KEY);
	memcpy(m->peer.public_key, public_key, WG_KEY);
	give_number(d, m);
	wg_mac_keys_set(d->crypto, public_key, &m->jar.keys);
	wg_roster_add(d, p->roster, m);
	*out = m;
	return 0;
}

/* Without prefixes there may be no book, either. */
static void plan_allowed(struct plan *p, const struct wg_peer_change *change, uint16_t number)
{
	if (change->set & WG_PEER_REPLACE_ALLOWED)
		claims_clear(p->claims, number);
	for (size_t i = 0; i < change->allowed_count; i++) {
		const struct wg_allowed_change *a = &change->allowed[i];
		struct prefix masked = a->prefix;

		masked.addr.v4 &= mask4(masked.addr.version == 4 ? masked.len : 0);
		if (masked.addr.version == 6) {
			struct addr6 mask = mask6(masked.len);

			masked.addr.v6.hi &= mask.hi;
			masked.addr.v6.lo &= mask.lo;
		}
		if (a->remove)
			claims_unset(p->claims, &masked, number);
		else
			claims_set(p->claims, &masked, number);
	}
}

static int plan_peers(struct wg_device *d, struct plan *p)
{
	for (size_t i = 0; i < p->changes->peer_count; i++) {
		const struct wg_peer_change *change = &p->changes->peers[i];
		struct wg_member *m = wg_roster_find(d, p->roster, change->public_key);

		if (change->set & WG_PEER_REMOVE) {
			if (m) {
				wg_roster_remove(d, p->roster, m);
				claims_clear(p->claims, m->peer.number);
			}
			continue;
		}
		/* Ourselves: quietly nothing, as other implementations do. */
		if (p->identity.present &&
		    memcmp(p->identity.public_key, change->public_key, WG_KEY) == 0)
			continue;
		if (!m && !(change->set & WG_PEER_UPDATE_ONLY)) {
			int rc = plan_member(d, p, change->public_key, &m);

			if (rc < 0)
				return rc;
		}
		if (!m)
			continue;
		p->targets[i] = m;
		plan_allowed(p, change, m->peer.number);
	}
	return 0;
}

static int plan_make(struct wg_device *d, struct plan *p)
{
	int rc = plan_memory(d, p);

	if (rc < 0)
		return rc;
	if (p->changes->set & WG_DEVICE_REPLACE_PEERS) {
		for (unsigned i = 0; i < p->roster->count; i++)
			claims_clear(p->claims, p->roster->members[i]->peer.number);
		p->roster->count = 0;
		memset(p->roster->buckets, 0, sizeof(p->roster->buckets));
	}
	rc = plan_identity(d, p);
	if (rc == 0)
		rc = plan_peers(d, p);
	if (rc < 0 || !p->moved)
		return rc;
	rc = claims_build(p->claims, &p->allowed);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < p->roster->count; i++)
		p->allowed->peers[p->roster->members[i]->peer.number] =
			&p->roster->members[i]->peer;
	return 0;
}

/* The mark first: it is only refused for lack of rights, and can be put back. */
static int change_sockets(struct wg_device *d, const struct wg_changes *changes)
{
	const struct wg_device_options *o = &d->options;
	uint16_t port = changes->port;
	int rc = 0;

	if (changes->set & WG_DEVICE_MARK && o->set_mark && changes->mark != d->mark)
		rc = o->set_mark(o->context, changes->mark);
	if (rc < 0)
		return rc;
	if (changes->set & WG_DEVICE_PORT && o->set_port && (port != d->port || port == 0))
		rc = o->set_port(o->context, &port);
	if (rc < 0) {
		if (changes->set & WG_DEVICE_MARK && o->set_mark && changes->mark != d->mark)
			(void)o->set_mark(o->context, d->mark);
		return rc;
	}
	if (changes->set & WG_DEVICE_MARK)
		d->mark = changes->mark;
	if (changes->set & WG_DEVICE_PORT)
		d->port = port;
	return 0;
}

/* From here on nobody finds what is gone: unhook, wait, free. */
static void remove_members(struct wg_device *d, struct wg_roster *old)
{
	for (unsigned i = 0; i < old->count; i++) {
		struct wg_member *m = old->members[i];

		if (d->allowed->peers[m->peer.number] == &m->peer)
			old->members[i] = NULL;
		else
			wg_session_zero(d, m);
	}
}

static void free_members(struct wg_device *d, struct wg_roster *old)
{
	for (unsigned i = 0; i < old->count; i++) {
		if (!old->members[i])
			continue;
		free_number(d, old->members[i]);
		secret_free(&d->member_pool, old->members[i]);
	}
}

static void publish_allowed(struct wg_device *d, struct wg_allowed *allowed)
{
	/* [wg-pub-1] The tables before the pointer; pairs with [wg-pub-2] in peer.c. */
	__atomic_store_n(&d->allowed, allowed, __ATOMIC_RELEASE);
}

/* Swaps in what was planned; the plan is left with what was there before. */
static void commit_peers(struct wg_device *d, struct plan *p)
{
	struct wg_roster *roster = d->roster;
	struct wg_allowed *allowed = d->allowed;
	struct claims *claims = d->claims;

	if (!p->moved)
		return;
	/* Those that were added and removed at once stay spares. */
	for (size_t i = 0; i < p->spare_count; i++)
		if (p->allowed->peers[p->spares[i]->peer.number] == &p->spares[i]->peer)
			p->spares[i] = NULL;
	d->roster = p->roster;
	d->claims = p->claims;
	publish_allowed(d, p->allowed);
	p->roster = roster;
	p->claims = claims;
	p->allowed = allowed;
	remove_members(d, roster);
	if (d->options.wait)
		d->options.wait(d->options.context);
	free_members(d, roster);
}

static void commit_identity(struct wg_device *d, struct plan *p)
{
	if (!p->rekeyed)
		return;
	d->identity = p->identity;
	wg_mac_keys_set(d->crypto, d->identity.public_key, &d->checker.keys);
	d->checker.has_secret = false;
	for (unsigned i = 0; i < d->roster->count; i++) {
		wg_remote_set(&d->roster->members[i]->remote, &d->identity);
		wg_session_expire(d, d->roster->members[i]);
	}
}

static void commit_peer(struct wg_device *d, struct wg_member *m,
			const struct wg_peer_change *change, uint64_t now_ns)
{
	bool turned_on = false;

	if (change->set & WG_PEER_PRESHARED_KEY)
		memcpy(m->remote.preshared_key, change->preshared_key, WG_KEY);
	if (change->set & WG_PEER_ENDPOINT)
		wg_peer_set_endpoint(&m->peer, &change->endpoint);
	if (change->set & WG_PEER_KEEPALIVE) {
		turned_on = m->keepalive_s == 0 && change->keepalive_s > 0;
		m->keepalive_s = change->keepalive_s;
	}
	if (turned_on) {
		m->keepalive_ns = now_ns;
		wg_send_keepalive(d, m, now_ns);
	}
	wg_member_attend(d, m, now_ns);
}

int wg_device_apply(struct wg_device *d, const struct wg_changes *changes, uint64_t now_ns)
{
	struct plan p = {.changes = changes};
	int rc = check_changes(changes);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&d->lock);
	rc = plan_make(d, &p);
	if (rc == 0)
		rc = change_sockets(d, changes);
	if (rc < 0)
		goto free_plan;
	for (size_t i = 0; i < p.spare_count; i++)
		wg_remote_set(&p.spares[i]->remote, &p.identity);
	for (size_t i = 0; i < changes->peer_count; i++)
		if (wg_roster_find(d, p.roster, changes->peers[i].public_key) != p.targets[i])
			p.targets[i] = NULL; /* removed, or made anew, further on */
	commit_peers(d, &p);
	commit_identity(d, &p);
	for (size_t i = 0; i < changes->peer_count; i++)
		if (p.targets[i])
			commit_peer(d, p.targets[i], &changes->peers[i], now_ns);
	/* Whoever wants a session has said so, and will not say it again. */
	for (unsigned i = 0; p.rekeyed && i < d->roster->count; i++)
		wg_member_attend(d, d->roster->members[i], now_ns);
	wg_session_reclaim(d);
free_plan:
	plan_free(d, &p);
	pthread_mutex_unlock(&d->lock);
	wg_wake_workers(d);
	return rc;
}
