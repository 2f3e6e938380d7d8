/* Making rings; the rest is inline. */
#include "dataplane/ring.h"

#include <errno.h>
#include <sched.h>

enum {
	LAG_SHARE = 8, /* of the size: DPDK's choice too */
};

_Static_assert(sizeof(struct ring) % RING_LINE == 0, "slots have lines of their own");
_Static_assert(__atomic_always_lock_free(sizeof(uint64_t), 0), "a word is written whole");

size_t ring_size_bytes(uint32_t size)
{
	size_t bytes;

	if (size < RING_SIZE_MIN || size > RING_SIZE_MAX || (size & (size - 1)) != 0)
		return 0;
	bytes = sizeof(struct ring) + size * sizeof(void *);
	return (bytes + RING_LINE - 1) / RING_LINE * RING_LINE;
}

int ring_init(struct ring *ring, uint32_t size, enum ring_sync in, enum ring_sync out)
{
	if (ring_size_bytes(size) == 0 || (uintptr_t)ring % RING_LINE != 0)
		return -EINVAL;
	memset(ring, 0, ring_size_bytes(size));
	ring->size = size;
	ring->mask = size - 1;
	ring->lag_max = size / LAG_SHARE;
	ring->in_sync = in;
	ring->out_sync = out;
	return 0;
}

void ring_yield(void)
{
	sched_yield();
}
