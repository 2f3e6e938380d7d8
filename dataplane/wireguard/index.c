/* Local indices: who has them, and which keypair workers find by them. See state.h. */
#include "dataplane/wireguard/state.h"

static struct index_owner *owner_at(const struct wg_device *device, uint32_t index)
{
	return &device->owners[index % INDEX_SLOTS];
}

uint32_t wg_index_take(struct wg_device *device, struct wg_member *member)
{
	uint32_t workers = device->options.workers;
	struct index_owner *owner;
	uint32_t index;

	do {
		uint32_t random;

		wg_random_bytes(device, &random, sizeof(random));
		index = random / workers;
		/* The last few do not make a whole round. */
		index = (index < UINT32_MAX / workers ? index : 0) * workers + member->peer.home;
		owner = owner_at(device, index);
	} while (owner->member);
	*owner = (struct index_owner){.index = index, .member = member};
	return index;
}

void wg_index_release(struct wg_device *device, uint32_t index)
{
	*owner_at(device, index) = (struct index_owner){0};
}

struct wg_member *wg_index_owner(const struct wg_device *device, uint32_t index)
{
	const struct index_owner *owner = owner_at(device, index);

	return owner->member && owner->index == index ? owner->member : NULL;
}

static struct wg_keypair **slot(const struct wg_device *device, uint32_t index)
{
	return &device->keypairs[index % INDEX_SLOTS];
}

void wg_index_publish(struct wg_device *device, struct wg_keypair *keypair)
{
	/* [wg-pub-1] The keys before the pointer; pairs with [wg-pub-2]. Else keys of zero. */
	__atomic_store_n(slot(device, keypair->local_index), keypair, __ATOMIC_RELEASE);
}

void wg_index_unpublish(struct wg_device *device, const struct wg_keypair *keypair)
{
	__atomic_store_n(slot(device, keypair->local_index), NULL, __ATOMIC_RELAXED);
}

struct wg_keypair *wg_device_keypair(const struct wg_device *device, uint32_t local_index)
{
	/* [wg-pub-2] The pointer before the keys; pairs with [wg-pub-1]. */
	struct wg_keypair *keypair = __atomic_load_n(slot(device, local_index), __ATOMIC_ACQUIRE);

	return keypair && keypair->local_index == local_index ? keypair : NULL;
}
