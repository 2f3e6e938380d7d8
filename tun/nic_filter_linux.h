/*
 * The classic BPF programs of nic_linux.c: which packets a queue's socket accepts, and which
 * queue of a fan-out group a packet goes to. Both read the translated port with the same code.
 * Nothing here talks to the kernel.
 */
#ifndef SLUICE_TUN_NIC_FILTER_LINUX_H
#define SLUICE_TUN_NIC_FILTER_LINUX_H

#include <linux/filter.h>
#include <stdint.h>

enum {
	NIC_FILTER_MAX = 224, /* instructions; a jump reaches 255 */
};

/*
 * Build the filter of one socket. It accepts whole what was sent to this host, carries no VLAN
 * number, and has its port in the range: the destination port of TCP and UDP, the identifier of
 * an echo reply, the source port or echo identifier that an ICMP error quotes. IPv4 options are
 * understood, and some IPv6 extension headers (fanout.h). Later fragments of IPv4, which the kernel
 * puts together, are not accepted; those of IPv6 are, whatever they belong to, and a first one by
 * its port.
 *
 * link_len:    bytes before the IP header in what the socket sees: 14 on Ethernet, else 0
 * port_first:  host byte order
 * port_count:  of the range, at least 1
 * Returns:     number of instructions
 */
unsigned nic_filter_accept(struct sock_filter out[NIC_FILTER_MAX], unsigned link_len,
			   uint16_t port_first, unsigned port_count);

/*
 * Build the program of a fan-out group: (port - port_first) / slice, fanout_of_fragment for
 * fragments of IPv6, and 0 for all that no queue's filter accepts. bpf/fanout.c does the same. It
 * runs on incoming packets, which start with the IP header there.
 *
 * slice:   ports a queue, not 0
 * Returns: number of instructions
 */
unsigned nic_filter_fanout(struct sock_filter out[NIC_FILTER_MAX], uint16_t port_first,
			   uint16_t slice, unsigned queues);

#endif
