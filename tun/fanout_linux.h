/* Loads the program that chooses queues for what comes in. Used inside tun/ only. */
#ifndef SLUICE_TUN_FANOUT_LINUX_H
#define SLUICE_TUN_FANOUT_LINUX_H

#include "tun/fanout.h"

struct bpf_object;

/*
 * Load bpf/fanout.c into the kernel.
 *
 * out:     the caller's, by bpf_unload; a group that has it keeps it
 * Returns: its descriptor, or -errno as bpf_load
 */
int fanout_load(const struct fanout_slices *slices, struct bpf_object **out);

#endif
