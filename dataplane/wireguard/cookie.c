/* See cookie.h. */
#include "dataplane/wireguard/cookie.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	LABEL_SIZE = 8,
	ADDRESS_MAX = 16 + 2,
	NONE = 0,
	BUCKETS = WG_LIMIT_MAX, /* a power of two */
};

#define COST (WG_NS / WG_LIMIT_RATE)
#define FULL (COST * WG_LIMIT_BURST)
#define SWEEP WG_NS

void wg_mac_keys_set(struct wg_crypto *c, const uint8_t public_key[WG_KEY], struct wg_mac_keys *out)
{
	wg_crypto_hash(c, "mac1----", LABEL_SIZE, public_key, WG_KEY, out->mac1);
	wg_crypto_hash(c, "cookie--", LABEL_SIZE, public_key, WG_KEY, out->cookie);
}

bool wg_cookie_check_mac1(struct wg_crypto *c, const struct wg_cookie_checker *checker,
			  const uint8_t *message, size_t size)
{
	size_t before = size - sizeof(struct wg_macs);
	uint8_t mac[WG_COOKIE];

	wg_crypto_mac(c, checker->keys.mac1, WG_KEY, message, before, mac);
	return wg_crypto_equal(mac, message + before, WG_COOKIE);
}

/* The cookie of an address and port: bound to both. */
static void make_cookie(struct wg_crypto *c, const struct wg_cookie_checker *checker,
			const struct udp_endpoint *from, uint8_t out[WG_COOKIE])
{
	size_t size = from->version == 4 ? 4 : 16;
	uint8_t text[ADDRESS_MAX];

	memcpy(text, from->addr, size);
	text[size] = (uint8_t)(from->port >> 8);
	text[size + 1] = (uint8_t)from->port;
	wg_crypto_mac(c, checker->secret, WG_KEY, text, size + 2, out);
}

static bool secret_is_good(const struct wg_cookie_checker *checker, uint64_t now_ns)
{
	return checker->has_secret && now_ns - checker->secret_ns < WG_COOKIE_SECRET_LIFE;
}

bool wg_cookie_check_mac2(struct wg_crypto *c, const struct wg_cookie_checker *checker,
			  const uint8_t *message, size_t size, const struct udp_endpoint *from,
			  uint64_t now_ns)
{
	static const uint8_t none[WG_COOKIE];
	size_t before = size - WG_COOKIE;
	uint8_t cookie[WG_COOKIE];
	uint8_t mac[WG_COOKIE];
	bool good;

	/* Who has no cookie says so: that is most of a flood. */
	if (!secret_is_good(checker, now_ns) || memcmp(message + before, none, WG_COOKIE) == 0)
		return false;
	make_cookie(c, checker, from, cookie);
	wg_crypto_mac(c, cookie, WG_COOKIE, message, before, mac);
	good = wg_crypto_equal(mac, message + before, WG_COOKIE);
	wg_crypto_wipe(cookie, sizeof(cookie));
	return good;
}

void wg_cookie_reply(struct wg_crypto *c, struct wg_cookie_checker *checker, const uint8_t *message,
		     size_t size, const struct udp_endpoint *from, uint64_t now_ns,
		     wg_random *random, void *context, struct wg_cookie_reply *out)
{
	uint8_t cookie[WG_COOKIE];

	if (!secret_is_good(checker, now_ns)) {
		random(context, checker->secret, WG_KEY);
		checker->secret_ns = now_ns;
		checker->has_secret = true;
	}
	wg_put32(out->type, WG_COOKIE_REPLY);
	memcpy(out->receiver, message + 4, 4); /* the sender, in both messages */
	random(context, out->nonce, WG_NONCE24);
	make_cookie(c, checker, from, cookie);
	wg_crypto_xseal(c, checker->keys.cookie, out->nonce,
			message + size - sizeof(struct wg_macs), WG_COOKIE, cookie, WG_COOKIE,
			out->sealed_cookie);
	wg_crypto_wipe(cookie, sizeof(cookie));
}

void wg_cookie_add_macs(struct wg_crypto *c, struct wg_cookie_jar *jar, uint8_t *message,
			size_t size, uint64_t now_ns)
{
	uint8_t *mac1 = message + size - sizeof(struct wg_macs);
	uint8_t *mac2 = message + size - WG_COOKIE;

	wg_crypto_mac(c, jar->keys.mac1, WG_KEY, message, (size_t)(mac1 - message), mac1);
	memcpy(jar->mac1, mac1, WG_COOKIE);
	jar->sent_mac1 = true;
	if (jar->has_cookie && now_ns - jar->cookie_ns < WG_COOKIE_SECRET_LIFE - WG_COOKIE_LATENCY)
		wg_crypto_mac(c, jar->cookie, WG_COOKIE, message, (size_t)(mac2 - message), mac2);
	else
		memset(mac2, 0, WG_COOKIE);
}

bool wg_cookie_take(struct wg_crypto *c, struct wg_cookie_jar *jar,
		    const struct wg_cookie_reply *reply, uint64_t now_ns)
{
	uint8_t cookie[WG_COOKIE];

	if (!jar->sent_mac1 ||
	    !wg_crypto_xopen(c, jar->keys.cookie, reply->nonce, jar->mac1, WG_COOKIE,
			     reply->sealed_cookie, sizeof(reply->sealed_cookie), cookie))
		return false;
	memcpy(jar->cookie, cookie, WG_COOKIE);
	jar->cookie_ns = now_ns;
	jar->has_cookie = true;
	jar->sent_mac1 = false;
	wg_crypto_wipe(cookie, sizeof(cookie));
	return true;
}

/* A source that was heard of: a bucket of tokens, in nanoseconds. */
struct limited {
	uint64_t source;
	uint64_t seen_ns;
	uint64_t tokens_ns;
	uint32_t chain;
	uint8_t version;
};

struct wg_limiter {
	uint64_t seed;
	uint64_t swept_ns;
	uint32_t free; /* chain of those given back */
	uint32_t used; /* that ever were; index i is entries[i - 1] */
	uint32_t buckets[BUCKETS];
	struct limited entries[WG_LIMIT_MAX]; /* those past used cost no memory yet */
};

struct wg_limiter *wg_limiter_create(uint64_t seed)
{
	struct wg_limiter *l = calloc(1, sizeof(*l));

	if (l)
		l->seed = seed;
	return l;
}

void wg_limiter_destroy(struct wg_limiter *l)
{
	free(l);
}

/* Forgets those whose bucket is full again. */
static void sweep(struct wg_limiter *l, uint64_t now_ns)
{
	l->swept_ns = now_ns;
	for (uint32_t b = 0; b < BUCKETS; b++) {
		uint32_t *link = &l->buckets[b];

		while (*link != NONE) {
			struct limited *e = &l->entries[*link - 1];
			uint32_t index = *link;

			if (now_ns - e->seen_ns < SWEEP) {
				link = &e->chain;
				continue;
			}
			*link = e->chain;
			e->chain = l->free;
			l->free = index;
		}
	}
}

static struct limited *add(struct wg_limiter *l, uint32_t *bucket)
{
	uint32_t index = l->free;
	struct limited *e;

	if (index != NONE)
		l->free = l->entries[index - 1].chain;
	else if (l->used < WG_LIMIT_MAX)
		index = ++l->used;
	else
		return NULL;
	e = &l->entries[index - 1];
	e->chain = *bucket;
	*bucket = index;
	return e;
}

static bool take(struct limited *e, uint64_t now_ns)
{
	uint64_t tokens_ns = e->tokens_ns + (now_ns - e->seen_ns);

	tokens_ns = tokens_ns < FULL ? tokens_ns : FULL;
	e->seen_ns = now_ns;
	e->tokens_ns = tokens_ns >= COST ? tokens_ns - COST : tokens_ns;
	return tokens_ns >= COST;
}

/* An IPv4 address, or the /64 of an IPv6 one. */
static uint64_t source_of(const struct udp_endpoint *from)
{
	return from->version == 4 ? wg_get32(from->addr) : wg_get64(from->addr);
}

uint64_t wg_source_hash(const struct udp_endpoint *from, uint64_t seed)
{
	uint64_t source = source_of(from);

	return XXH3_64bits_withSeed(&source, sizeof(source), seed + from->version);
}

bool wg_limiter_allow(struct wg_limiter *l, const struct udp_endpoint *from, uint64_t now_ns)
{
	uint64_t source = source_of(from);
	uint32_t *bucket = &l->buckets[wg_source_hash(from, l->seed) % BUCKETS];
	struct limited *e;

	if (now_ns - l->swept_ns >= SWEEP)
		sweep(l, now_ns);
	for (uint32_t i = *bucket; i != NONE; i = e->chain) {
		e = &l->entries[i - 1];
		if (e->source == source && e->version == from->version)
			return take(e, now_ns);
	}
	e = add(l, bucket);
	if (!e)
		return false;
	e->source = source;
	e->version = from->version;
	e->seen_ns = now_ns;
	e->tokens_ns = FULL - COST;
	return true;
}
