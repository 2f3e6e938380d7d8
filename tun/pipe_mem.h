/*
 * A bounded queue of packets between two threads, which the in-memory devices are made of. It
 * copies on both sides, as a kernel does.
 */
#ifndef SLUICE_TUN_PIPE_MEM_H
#define SLUICE_TUN_PIPE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tun/buf.h"

struct pipe_mem;

/*
 * Make an empty queue.
 *
 * depth:  packets it holds, a power of two
 * out:    the caller's, until pipe_mem_destroy
 * Errors: -ENOMEM
 */
int pipe_mem_create(unsigned depth, struct pipe_mem **out);
void pipe_mem_destroy(struct pipe_mem *pipe); /* NULL does nothing */

/*
 * Make a descriptor that polls readable while packets wait (and once more after the last was
 * taken); before the first packet. The queue closes it.
 *
 * Errors: the system's, -ENOTSUP where there is no eventfd
 */
int pipe_mem_watch(struct pipe_mem *pipe);
int pipe_mem_fd(const struct pipe_mem *pipe); /* -1: none was made */

/*
 * Put in a copy of a packet. It is seen with all its bytes by the thread that takes it.
 *
 * offload, next_hop: NULL for zeros
 * Errors: -ENOBUFS when the queue is full, -EMSGSIZE above BUF_SIZE, -ENOMEM
 * Thread: one at a time
 */
int pipe_mem_put(struct pipe_mem *pipe, const void *packet, size_t len,
		 const struct offload *offload, const uint8_t next_hop[6]);

/*
 * Take the oldest packet out.
 *
 * out:               gets at most capacity bytes
 * offload, next_hop: may be NULL
 * Returns:           the packet's length, 0 when there is none
 * Thread:            one at a time, not the one that puts, unless it does both
 */
size_t pipe_mem_take(struct pipe_mem *pipe, void *out, size_t capacity, struct offload *offload,
		     uint8_t next_hop[6]);

/*
 * Take a burst, by the rules of tun_recv_burst. The descriptor of pipe_mem_watch stops being
 * readable only by a call that finds nothing.
 *
 * Thread: as pipe_mem_take
 */
unsigned pipe_mem_take_burst(struct pipe_mem *pipe, struct buf *bufs, unsigned n, size_t bytes_max);

/* How many packets wait; a guess while others put or take. Thread: any */
unsigned pipe_mem_count_racy(const struct pipe_mem *pipe);

/* Packets refused with -ENOBUFS since the last call. Thread: the one that takes. */
uint64_t pipe_mem_lost(struct pipe_mem *pipe);

#endif
