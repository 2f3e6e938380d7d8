/*
 * What the kernel makes of super-packets and of sums that are left to it, tried out before it is
 * relied upon: on a TUN device in a network namespace that nobody else sees, and that is gone
 * afterwards.
 *
 * For each offload a packet goes into the system by the TUN and out of it by AF_PACKET, as a
 * worker's do: once while the TUN takes it whole, once while the kernel must cut or sum it.
 */
#ifndef SLUICE_TUN_PROBE_H
#define SLUICE_TUN_PROBE_H

#include "tun/buf.h"

/* Tests' way to be a kernel that is wrong: changes what came out. */
struct probe_fault {
	void (*spoil)(void *context, unsigned offload, struct buf *out);
	void *context;
};

/*
 * Try each offload that the kernel offers. Takes a few milliseconds.
 *
 * fault:  NULL but in tests
 * wrong:  TUN_OFFLOAD_* that came out wrong or not at all
 * Errors: -EPERM (no namespace or device may be made), or the system's: nothing is known then
 */
int probe_offloads(const struct probe_fault *fault, unsigned *wrong);

#endif
