/*
 * A physical interface as a packet device: IP packets out of it and translated answers in from
 * it, past the system's routes. Implemented by nic_linux.c (AF_PACKET with PACKET_VNET_HDR) and
 * nic_mem.c (memory, for tests and benchmarks; see nic_mem.h): the linker chooses.
 *
 * A nic has one queue a worker. Each queue receives only packets to this host whose destination
 * port (TCP, UDP), identifier (ICMP echo reply) or quoted source port (ICMP error) lies in its
 * slice of the port range: slice i is [port_first + i * slice, port_first + (i + 1) * slice). IPv6
 * fragments come by addresses and identification, all of a datagram by one queue: first ones with a
 * port of the whole range, later ones whatever they belong to.
 */
#ifndef SLUICE_TUN_NIC_H
#define SLUICE_TUN_NIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tun/buf.h"

struct nic;
struct nic_queue;

struct nic_options {
	const char *name;    /* interface */
	unsigned queues;     /* 1..TUN_QUEUES_MAX */
	uint16_t port_first; /* host byte order */
	uint16_t slice; /* ports a queue; 0: only send (Nat = no: the system gets the answers) */
	uint32_t mark;  /* on every packet sent, for the kill switch to know; 0: none */
};

/*
 * Open an interface. Devices without an Ethernet header (another VPN client's TUN) are recognised.
 *
 * out:    the caller's, until nic_close
 * Errors: -ENODEV, -EPERM, -EINVAL, -ENOTSUP (a kind of link that is not known), or the system's
 */
int nic_open(const struct nic_options *options, struct nic **out);
void nic_close(struct nic *nic); /* NULL does nothing */

struct nic_queue *nic_queue_at(struct nic *nic, unsigned index);

/* What to wait on for packets; stays the queue's. -1: nothing to wait on. */
int nic_queue_fd(const struct nic_queue *queue);

/* Whether frames carry an Ethernet header, so that buf.next_hop is used. */
bool nic_is_ethernet(const struct nic *nic);

/*
 * Receive what is there, without blocking: as tun_recv_burst. The link header is gone, and so is
 * what is not plain IP (VLAN, ARP); IPv4 fragments arrive put together.
 *
 * Errors: -ENETDOWN once when the interface goes down, also beside packets received before. The
 *         queue serves on when it comes up again; one that is made anew needs a new nic_open
 */
unsigned nic_recv_burst(struct nic_queue *queue, struct buf *bufs, unsigned n, size_t bytes_max,
			int *error_out);

/*
 * Send packets, in order, to buf.next_hop.
 *
 * Returns: how many were taken; those refused (device busy or down, too long) are skipped
 * Thread:  the queue's one worker
 */
unsigned nic_send_burst(struct nic_queue *queue, struct buf *const *bufs, unsigned n);

/* Packets that the system dropped for want of room since the last call. */
uint64_t nic_queue_lost(struct nic_queue *queue);

#endif
