/* The far side of the in-memory TUN, for tests and benchmarks: what a kernel would do. */
#ifndef SLUICE_TUN_TUN_MEM_H
#define SLUICE_TUN_TUN_MEM_H

#include "tun/tun.h"

/*
 * Queue a copy of a packet for the worker of queue `index`.
 *
 * offload: NULL for none
 * Errors:  -ENOBUFS when the queue holds TUN_MEM_DEPTH packets, -EINVAL for an empty packet,
 *          -EMSGSIZE above BUF_SIZE, -ENOMEM
 * Thread:  one; may differ from the worker's
 */
int tun_mem_inject(struct tun *tun, unsigned index, const void *packet, size_t len,
		   const struct offload *offload);

/*
 * Take the oldest packet that the worker of queue `index` sent.
 *
 * out:     gets at most capacity bytes; offload may be NULL
 * Returns: its whole length, or 0 when there is none
 * Thread:  as tun_mem_inject
 */
size_t tun_mem_take(struct tun *tun, unsigned index, void *out, size_t capacity,
		    struct offload *offload);

/* tun_steered() says no from now on, as without a steering program; before there are workers. */
void tun_mem_set_unsteered(struct tun *tun);

enum {
	TUN_MEM_DEPTH = 256,
};

#endif
