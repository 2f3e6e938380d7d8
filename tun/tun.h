/*
 * The TUN device, a queue a worker. Implemented by tun_linux.c (multi-queue TUN), tun_utun.c
 * (macOS utun, one queue) and tun_mem.c (memory, for tests and benchmarks; see tun_mem.h): the
 * linker chooses.
 */
#ifndef SLUICE_TUN_TUN_H
#define SLUICE_TUN_TUN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "tun/buf.h"
#include "tun/steer.h"

struct tun;
struct tun_queue;

enum {
	TUN_QUEUES_MAX = 64,
	TUN_NAME_MAX = 16, /* with its terminator */

	/* Offloads, as bits. */
	TUN_OFFLOAD_CSUM = 1,
	TUN_OFFLOAD_TSO4 = 2,
	TUN_OFFLOAD_TSO6 = 4,
	TUN_OFFLOAD_USO4 = 8,
	TUN_OFFLOAD_USO6 = 16,
};

struct tun_options {
	const char *name; /* NULL or "": the system chooses */
	unsigned queues;  /* 1..TUN_QUEUES_MAX */
	bool persist;     /* outlives the process; an existing device of that name is taken over */
	unsigned without; /* TUN_OFFLOAD_* that stay off, with those that need them */
	int fd;           /* -1, or an open device that the caller passes on (queues must be 1);
			   * a failed tun_open leaves it the caller's */
};

/*
 * Open the device with all its queues, offloads on as far as the system has them.
 *
 * out:    the caller's, until tun_close
 * Errors: -EPERM, -EBUSY (in use by another), -EINVAL, -ENOTSUP, or the system's
 */
int tun_open(const struct tun_options *options, struct tun **out);

/* Close all queues; a persistent device stays. NULL does nothing. */
void tun_close(struct tun *tun);

/* Remove a persistent device for good: clears persistence; it goes when its last queue closes. */
int tun_unpersist(struct tun *tun);

const char *tun_name(const struct tun *tun);
unsigned tun_queue_count(const struct tun *tun);
struct tun_queue *tun_queue_at(struct tun *tun, unsigned index);

/* Which offloads are on, as words for status: "csum tso4 tso6 uso", or "none". */
const char *tun_offloads(const struct tun *tun);

/* The queue that serves an inner endpoint; any thread. */
unsigned tun_steer(const struct tun *tun, const struct steer_key *key);

/*
 * Whether the system gives packets to the queue that tun_steer() names. If not, it chooses by flow:
 * flows of one endpoint, fragments and ICMP errors may come by another queue.
 */
bool tun_steered(const struct tun *tun);

/* What to wait on with poll or epoll for packets; stays the queue's. -1: nothing to wait on. */
int tun_queue_fd(const struct tun_queue *queue);

/*
 * Receive what is there, without blocking.
 *
 * bufs:      n of them, data set by the caller; len and offload are filled in
 * bytes_max: stop after the packet that passes this many bytes, so that a burst stays in the cache
 * Returns:   how many; 0 when nothing waits
 * Errors:    a device that is gone reads as 0 and *error_out becomes -errno (else untouched)
 * Thread:    the queue's one worker
 */
unsigned tun_recv_burst(struct tun_queue *queue, struct buf *bufs, unsigned n, size_t bytes_max,
			int *error_out);

/*
 * Send packets into the system, in order.
 *
 * Returns: how many were taken; those refused (malformed, device down) are skipped
 * Thread:  the queue's one worker
 */
unsigned tun_send_burst(struct tun_queue *queue, struct buf *const *bufs, unsigned n);

/*
 * Send one packet that lies in pieces.
 *
 * pieces:  n of them, 2 or more; the first is the queue's to write
 * Returns: whether it was taken
 * Thread:  the queue's one worker
 */
bool tun_send_pieces(struct tun_queue *queue, const struct offload *offload, struct iovec *pieces,
		     unsigned n);

#endif
