/* The far side of the in-memory interface, for tests and benchmarks: what a network would do. */
#ifndef SLUICE_TUN_NIC_MEM_H
#define SLUICE_TUN_NIC_MEM_H

#include "tun/nic.h"

/* As tun_mem_inject; the packet goes to queue `index` whatever its port. */
int nic_mem_inject(struct nic *nic, unsigned index, const void *packet, size_t len,
		   const struct offload *offload);

/* As tun_mem_take; next_hop may be NULL. */
size_t nic_mem_take(struct nic *nic, unsigned index, void *out, size_t capacity,
		    struct offload *offload, uint8_t next_hop[6]);

/*
 * The open nic of that interface name, or NULL: lets a test reach what the dataplane opened.
 * Interfaces whose name starts with "tun" have no Ethernet header, all others have one.
 */
struct nic *nic_mem_find(const char *name);

enum {
	NIC_MEM_DEPTH = 256,
};

#endif
