/* The list of peers, see state.h. */
#include "dataplane/wireguard/state.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/check.h"

void wg_roster_copy(const struct wg_roster *from, struct wg_roster *to)
{
	memcpy(to, from, sizeof(*to));
}

static unsigned first_bucket(const struct wg_device *device, const uint8_t *public_key)
{
	return XXH3_64bits_withSeed(public_key, WG_KEY, device->seed) % ROSTER_BUCKETS;
}

struct wg_member *wg_roster_find(const struct wg_device *device, const struct wg_roster *roster,
				 const uint8_t public_key[WG_KEY])
{
	unsigned b = first_bucket(device, public_key);

	for (; roster->buckets[b] != 0; b = (b + 1) % ROSTER_BUCKETS) {
		struct wg_member *m = roster->members[roster->buckets[b] - 1];

		if (memcmp(m->remote.public_key, public_key, WG_KEY) == 0)
			return m;
	}
	return NULL;
}

static void enter(const struct wg_device *device, struct wg_roster *roster, unsigned i)
{
	unsigned b = first_bucket(device, roster->members[i]->remote.public_key);

	while (roster->buckets[b] != 0)
		b = (b + 1) % ROSTER_BUCKETS;
	roster->buckets[b] = (uint16_t)(i + 1);
}

void wg_roster_add(const struct wg_device *device, struct wg_roster *roster,
		   struct wg_member *member)
{
	CHECK(roster->count < WG_PEERS_MAX);
	roster->members[roster->count] = member;
	enter(device, roster, roster->count++);
}

void wg_roster_remove(const struct wg_device *device, struct wg_roster *roster,
		      const struct wg_member *member)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < roster->count; i++)
		if (roster->members[i] != member)
			roster->members[kept++] = roster->members[i];
	roster->count = kept;
	memset(roster->buckets, 0, sizeof(roster->buckets));
	for (unsigned i = 0; i < kept; i++)
		enter(device, roster, i);
}
