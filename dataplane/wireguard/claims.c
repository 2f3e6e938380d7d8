/* See claims.h. A chained hash of entries, each also in its owner's list. */
#include "dataplane/wireguard/claims.h"

#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/check.h"

enum {
	NONE = 0, /* no index */
};

/* Index i is entries[i - 1]. */
struct claim {
	struct addr6 addr; /* IPv4 in hi */
	uint8_t version;
	uint8_t len;
	uint16_t owner;
	uint32_t chain;
	uint32_t before; /* in the owner's list */
	uint32_t after;
};

struct owner {
	uint32_t first;
	uint32_t last;
	uint32_t count;
};

struct claims {
	size_t capacity;
	size_t used;
	uint32_t free; /* chain */
	size_t bucket_mask;
	uint32_t *buckets;
	struct claim *entries;
	struct owner owners[WG_PEERS_MAX + 1];
};

static struct claim *at(const struct claims *c, uint32_t index)
{
	return &c->entries[index - 1];
}

static struct addr6 key_of(const struct prefix *prefix)
{
	return prefix->addr.version == 4 ? (struct addr6){.hi = prefix->addr.v4} : prefix->addr.v6;
}

/* Prefixes are the administrator's: nobody chooses them to collide. */
static uint32_t *bucket_of(const struct claims *c, struct addr6 addr, uint8_t version, uint8_t len)
{
	uint64_t seed = (uint64_t)version << 8 | len;

	return &c->buckets[XXH3_64bits_withSeed(&addr, sizeof(addr), seed) & c->bucket_mask];
}

void claims_destroy(struct claims *c)
{
	if (!c)
		return;
	free(c->entries);
	free(c->buckets);
	free(c);
}

static size_t total(const struct claims *c)
{
	size_t n = 0;

	for (unsigned i = 1; c && i <= WG_PEERS_MAX; i++)
		n += c->owners[i].count;
	return n;
}

static void link_last(struct claims *c, uint32_t index, uint16_t number)
{
	struct owner *owner = &c->owners[number];
	struct claim *e = at(c, index);

	e->owner = number;
	e->after = NONE;
	e->before = owner->last;
	if (owner->last != NONE)
		at(c, owner->last)->after = index;
	else
		owner->first = index;
	owner->last = index;
	owner->count++;
}

static void unlink_owner(struct claims *c, uint32_t index)
{
	struct claim *e = at(c, index);
	struct owner *owner = &c->owners[e->owner];

	if (e->before != NONE)
		at(c, e->before)->after = e->after;
	else
		owner->first = e->after;
	if (e->after != NONE)
		at(c, e->after)->before = e->before;
	else
		owner->last = e->before;
	owner->count--;
}

/* The place that holds the prefix's index, or the end of its chain. */
static uint32_t *find(struct claims *c, const struct prefix *prefix)
{
	struct addr6 addr = key_of(prefix);
	uint32_t *link = bucket_of(c, addr, prefix->addr.version, prefix->len);

	while (*link != NONE) {
		struct claim *e = at(c, *link);

		if (e->addr.hi == addr.hi && e->addr.lo == addr.lo && e->len == prefix->len &&
		    e->version == prefix->addr.version)
			break;
		link = &e->chain;
	}
	return link;
}

void claims_set(struct claims *c, const struct prefix *prefix, uint16_t owner)
{
	uint32_t *link = find(c, prefix);
	uint32_t index = *link;

	if (index != NONE) {
		if (at(c, index)->owner == owner)
			return;
		unlink_owner(c, index);
	} else {
		if (c->free != NONE) {
			index = c->free;
			c->free = at(c, index)->chain;
		} else {
			CHECK(c->used < c->capacity);
			index = (uint32_t)++c->used;
		}
		*at(c, index) = (struct claim){
			.addr = key_of(prefix),
			.version = prefix->addr.version,
			.len = prefix->len,
		};
		*link = index;
	}
	link_last(c, index, owner);
}

static void drop(struct claims *c, uint32_t *link)
{
	uint32_t index = *link;
	struct claim *e = at(c, index);

	unlink_owner(c, index);
	*link = e->chain;
	e->chain = c->free;
	c->free = index;
}

void claims_unset(struct claims *c, const struct prefix *prefix, uint16_t owner)
{
	uint32_t *link = find(c, prefix);

	if (*link != NONE && at(c, *link)->owner == owner)
		drop(c, link);
}

static struct prefix prefix_of(const struct claim *e)
{
	struct prefix p = {.addr = {.version = e->version}, .len = e->len};

	if (e->version == 4)
		p.addr.v4 = (uint32_t)e->addr.hi;
	else
		p.addr.v6 = e->addr;
	return p;
}

void claims_clear(struct claims *c, uint16_t owner)
{
	while (c->owners[owner].first != NONE) {
		struct prefix p = prefix_of(at(c, c->owners[owner].first));

		drop(c, find(c, &p));
	}
}

size_t claims_count(const struct claims *c, uint16_t owner)
{
	return c->owners[owner].count;
}

void claims_list(const struct claims *c, uint16_t owner, struct prefix *out)
{
	for (uint32_t i = c->owners[owner].first; i != NONE; i = at(c, i)->after)
		*out++ = prefix_of(at(c, i));
}

int claims_copy(const struct claims *from, size_t extra, struct claims **out)
{
	struct claims *c = calloc(1, sizeof(*c));
	size_t buckets = 16;

	if (!c)
		return -ENOMEM;
	c->capacity = total(from) + extra;
	if (c->capacity > UINT32_MAX / 2)
		goto destroy;
	while (buckets < c->capacity)
		buckets *= 2;
	c->bucket_mask = buckets - 1;
	c->buckets = calloc(buckets, sizeof(*c->buckets));
	c->entries = malloc((c->capacity + 1) * sizeof(*c->entries));
	if (!c->buckets || !c->entries)
		goto destroy;
	for (unsigned owner = 1; from && owner <= WG_PEERS_MAX; owner++)
		for (uint32_t i = from->owners[owner].first; i != NONE; i = at(from, i)->after) {
			struct prefix p = prefix_of(at(from, i));

			claims_set(c, &p, (uint16_t)owner);
		}
	*out = c;
	return 0;
destroy:
	claims_destroy(c);
	return -ENOMEM;
}

static int compare4(const void *x, const void *y)
{
	const struct lpm4_route *a = x;
	const struct lpm4_route *b = y;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return (int)a->len - (int)b->len;
}

static int compare6(const void *x, const void *y)
{
	const struct lpm6_route *a = x;
	const struct lpm6_route *b = y;

	if (a->addr.hi != b->addr.hi)
		return a->addr.hi < b->addr.hi ? -1 : 1;
	if (a->addr.lo != b->addr.lo)
		return a->addr.lo < b->addr.lo ? -1 : 1;
	return (int)a->len - (int)b->len;
}

struct routes_of {
	struct lpm4_route *v4;
	struct lpm6_route *v6;
	size_t count4;
	size_t count6;
};

static void gather(const struct claims *c, struct routes_of *r)
{
	for (unsigned owner = 1; owner <= WG_PEERS_MAX; owner++)
		for (uint32_t i = c->owners[owner].first; i != NONE; i = at(c, i)->after) {
			const struct claim *e = at(c, i);

			if (e->version == 4)
				r->v4[r->count4++] = (struct lpm4_route){
					.addr = (uint32_t)e->addr.hi,
					.len = e->len,
					.verdict = (uint16_t)owner,
				};
			else
				r->v6[r->count6++] = (struct lpm6_route){
					.addr = e->addr,
					.len = e->len,
					.verdict = (uint16_t)owner,
				};
		}
	qsort(r->v4, r->count4, sizeof(*r->v4), compare4);
	qsort(r->v6, r->count6, sizeof(*r->v6), compare6);
}

int claims_build(const struct claims *c, struct wg_allowed **out)
{
	size_t room = total(c) + 1;
	struct wg_allowed *allowed = calloc(1, sizeof(*allowed));
	struct routes_of r = {
		.v4 = malloc(room * sizeof(*r.v4)),
		.v6 = malloc(room * sizeof(*r.v6)),
	};
	int rc = -ENOMEM;

	if (!allowed || !r.v4 || !r.v6)
		goto free_routes;
	gather(c, &r);
	rc = r.count4 > 0 ? lpm4_build(r.v4, r.count4, NULL, &allowed->v4) : 0;
	if (rc == 0 && r.count6 > 0)
		rc = lpm6_build(r.v6, r.count6, NULL, &allowed->v6);
	if (rc == 0) {
		*out = allowed;
		allowed = NULL;
	}
free_routes:
	wg_allowed_destroy(allowed);
	free(r.v6);
	free(r.v4);
	return rc;
}

void wg_allowed_destroy(struct wg_allowed *allowed)
{
	if (!allowed)
		return;
	lpm4_destroy(allowed->v4);
	lpm6_destroy(allowed->v6);
	free(allowed);
}
