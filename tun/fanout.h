/*
 * Which queue of an interface, and so which worker, gets a packet from outside: the one whose
 * slice of the translated ports holds the packet's. Later fragments of IPv6 have no port, so all
 * fragments of a datagram go by addresses and identification; the worker that they meet in hands
 * them on. (Those of IPv4 are put together by the kernel first.)
 *
 * The same for the programs that do it in the kernel: bpf/fanout.c, and nic_filter_linux.c where
 * no BPF may be loaded. Only <stdint.h>, since BPF has no libc.
 */
#ifndef SLUICE_TUN_FANOUT_H
#define SLUICE_TUN_FANOUT_H

#include <stdint.h>

enum {
	FANOUT_EXTENSIONS_MAX = 3, /* IPv6 extension headers that are passed over... */
	FANOUT_QUOTED_MAX = 2,     /* ...and in what an ICMP error quotes */
};

#define FANOUT_MULTIPLIER UINT32_C(0x9e3779b1) /* odd, of well spread bits */

/* Host byte order. */
struct fanout_slices {
	uint32_t port_first;
	uint32_t slice; /* ports a queue */
	uint32_t queues;
};

/* words: the exclusive or of identification and addresses, as 9 words in host byte order */
static inline uint32_t fanout_of_fragment(uint32_t words, uint32_t queues)
{
	return (words * FANOUT_MULTIPLIER >> 16) % queues;
}

#endif
