/*
 * A bounded queue of packets between one thread that puts and one that takes.
 *
 * Slots are allocated once: 2 KiB within the slot, and 64 KiB more for a slot that has once held
 * a longer packet. `tail` counts packets put, `head` packets taken; both only grow, and each side
 * keeps a copy of the other's counter, so that they touch each other's cache lines rarely.
 *
 * The descriptor stays readable from the first packet until a taker comes that finds nothing: a
 * busy queue costs no system call.
 */
#include "tun/pipe_mem.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif
#endif

enum {
	SLOT_INLINE = 2048, /* bytes; a full frame of an Ethernet network, with room */
	CACHE_LINE = 64,
};

struct slot {
	struct offload offload;
	uint8_t next_hop[6];
	uint32_t len;
	uint8_t *large; /* BUF_SIZE bytes, NULL until needed */
	uint8_t small[SLOT_INLINE];
};

struct pipe_mem {
	struct slot *slots;
	unsigned mask;
	int fd;

	/* The side that puts. */
	_Alignas(CACHE_LINE) atomic_ulong tail;
	unsigned long head_seen;
	atomic_ulong lost;
	atomic_bool signalled;

	/* The side that takes. */
	_Alignas(CACHE_LINE) atomic_ulong head;
	unsigned long tail_seen;
};

int pipe_mem_create(unsigned depth, struct pipe_mem **out)
{
	struct pipe_mem *pipe = aligned_alloc(CACHE_LINE, sizeof(*pipe));

	if (!pipe)
		return -ENOMEM;
	memset(pipe, 0, sizeof(*pipe));
	pipe->mask = depth - 1;
	pipe->fd = -1;
	pipe->slots = calloc(depth, sizeof(pipe->slots[0]));
	if (!pipe->slots) {
		free(pipe);
		return -ENOMEM;
	}
	*out = pipe;
	return 0;
}

void pipe_mem_destroy(struct pipe_mem *pipe)
{
	if (!pipe)
		return;
	for (unsigned i = 0; i <= pipe->mask; i++)
		free(pipe->slots[i].large);
	free(pipe->slots);
	if (pipe->fd >= 0)
		close(pipe->fd);
	free(pipe);
}

#ifdef __linux__
int pipe_mem_watch(struct pipe_mem *pipe)
{
	pipe->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return pipe->fd < 0 ? -errno : 0;
}
#else
int pipe_mem_watch(struct pipe_mem *pipe)
{
	(void)pipe;
	return -ENOTSUP;
}
#endif

int pipe_mem_fd(const struct pipe_mem *pipe)
{
	return pipe->fd;
}

/* After a packet was put: make the descriptor readable, unless it is. */
static void signal_taker(struct pipe_mem *pipe)
{
	const uint64_t one = 1;

	if (pipe->fd < 0)
		return;
	/*
	 * [mem-wake-1] The put of tail comes before this exchange. The two exchanges on `signalled`
	 * have an order: if this one is first, the taker's sees the new tail [mem-wake-2]; if it is
	 * second, it reads false and writes the descriptor. Otherwise the taker would sleep on a
	 * packet.
	 */
	if (atomic_exchange_explicit(&pipe->signalled, true, memory_order_acq_rel))
		return;
	if (write(pipe->fd, &one, sizeof(one)) < 0)
		return; /* the counter cannot overflow by ones */
}

static uint8_t *slot_data(struct slot *slot, size_t len)
{
	if (len <= SLOT_INLINE)
		return slot->small;
	if (!slot->large)
		slot->large = malloc(BUF_SIZE);
	return slot->large;
}

int pipe_mem_put(struct pipe_mem *pipe, const void *packet, size_t len,
		 const struct offload *offload, const uint8_t next_hop[6])
{
	const unsigned long tail = atomic_load_explicit(&pipe->tail, memory_order_relaxed);
	struct slot *slot = &pipe->slots[tail & pipe->mask];
	uint8_t *data;

	if (len > BUF_SIZE)
		return -EMSGSIZE;
	if (tail - pipe->head_seen > pipe->mask) {
		/* [mem-free-2] The taker has read the slot before it is written again; pairs with
		 * [mem-free-1]. */
		pipe->head_seen = atomic_load_explicit(&pipe->head, memory_order_acquire);
		if (tail - pipe->head_seen > pipe->mask) {
			atomic_fetch_add_explicit(&pipe->lost, 1, memory_order_relaxed);
			return -ENOBUFS;
		}
	}
	data = slot_data(slot, len);
	if (!data)
		return -ENOMEM;
	memcpy(data, packet, len);
	slot->len = (uint32_t)len;
	slot->offload = offload ? *offload : (struct offload){0};
	if (next_hop)
		memcpy(slot->next_hop, next_hop, sizeof(slot->next_hop));
	else
		memset(slot->next_hop, 0, sizeof(slot->next_hop));

	/* [mem-put-1] The slot is whole before tail passes it; pairs with [mem-put-2]. */
	atomic_store_explicit(&pipe->tail, tail + 1, memory_order_release);
	signal_taker(pipe);
	return 0;
}

static bool is_empty(struct pipe_mem *pipe)
{
	const unsigned long head = atomic_load_explicit(&pipe->head, memory_order_relaxed);

	if (head != pipe->tail_seen)
		return false;
	/* [mem-put-2] A slot is read only after tail has passed it; pairs with [mem-put-1]. */
	pipe->tail_seen = atomic_load_explicit(&pipe->tail, memory_order_acquire);
	return head == pipe->tail_seen;
}

size_t pipe_mem_take(struct pipe_mem *pipe, void *out, size_t capacity, struct offload *offload,
		     uint8_t next_hop[6])
{
	const unsigned long head = atomic_load_explicit(&pipe->head, memory_order_relaxed);
	const struct slot *slot = &pipe->slots[head & pipe->mask];
	size_t len;

	if (is_empty(pipe))
		return 0;
	len = slot->len;
	memcpy(out, len <= SLOT_INLINE ? slot->small : slot->large,
	       len < capacity ? len : capacity);
	if (offload)
		*offload = slot->offload;
	if (next_hop)
		memcpy(next_hop, slot->next_hop, sizeof(slot->next_hop));

	/* [mem-free-1] The slot has been read before head passes it; pairs with [mem-free-2]. */
	atomic_store_explicit(&pipe->head, head + 1, memory_order_release);
	return len;
}

/* Nothing was found: let the descriptor sleep, then look again for what came meanwhile. */
static bool disarm(struct pipe_mem *pipe)
{
	uint64_t count;

	/* Also when nothing was signalled: a write may come after the exchange that announced it.
	 */
	if (pipe->fd < 0 || (read(pipe->fd, &count, sizeof(count)) < 0 && errno != EAGAIN))
		return true;
	/* [mem-wake-2] The look at tail comes after this exchange; pairs with [mem-wake-1]. */
	atomic_exchange_explicit(&pipe->signalled, false, memory_order_acq_rel);
	if (is_empty(pipe))
		return true;
	signal_taker(pipe);
	return false;
}

/* Buffers are of one size: AddressSanitizer is told where in them the packet ends. */
static void fence(const struct buf *buf)
{
#ifdef ASAN_POISON_MEMORY_REGION
	ASAN_POISON_MEMORY_REGION(buf->data + buf->len, BUF_SIZE - buf->len);
#else
	(void)buf;
#endif
}

static void unfence(const struct buf *buf)
{
#ifdef ASAN_POISON_MEMORY_REGION
	ASAN_UNPOISON_MEMORY_REGION(buf->data, BUF_SIZE);
#else
	(void)buf;
#endif
}

unsigned pipe_mem_take_burst(struct pipe_mem *pipe, struct buf *bufs, unsigned n, size_t bytes_max)
{
	size_t bytes = 0;
	unsigned got = 0;

	if (is_empty(pipe) && disarm(pipe))
		return 0;
	while (got < n && bytes <= bytes_max) {
		struct buf *b = &bufs[got];

		unfence(b);
		b->len = (uint32_t)pipe_mem_take(pipe, b->data, BUF_SIZE, &b->offload, NULL);
		fence(b);
		if (b->len == 0)
			break;
		bytes += b->len;
		got++;
	}
	return got;
}

unsigned pipe_mem_count_racy(const struct pipe_mem *pipe)
{
	unsigned long head = atomic_load_explicit(&pipe->head, memory_order_relaxed);

	return (unsigned)(atomic_load_explicit(&pipe->tail, memory_order_relaxed) - head);
}

uint64_t pipe_mem_lost(struct pipe_mem *pipe)
{
	return atomic_exchange_explicit(&pipe->lost, 0, memory_order_relaxed);
}
