/* An interpreter of classic BPF, as plain as can be: what the kernel would do with a packet. */
#ifndef SLUICE_TESTS_MODEL_BPF_H
#define SLUICE_TESTS_MODEL_BPF_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_packet {
	const uint8_t *bytes; /* as the program sees them: from the link or from the IP header on */
	size_t len;
	uint16_t protocol; /* EtherType, host byte order */
	uint8_t type;      /* PACKET_HOST, ... */
	uint16_t vlan_tag; /* 0: none */
};

/* Whether the kernel would load the program: known instructions, jumps inside, a return last. */
bool bpf_is_valid(const struct sock_filter *code, unsigned count);

/* Run a valid program. A load beyond the packet ends it with 0, as in the kernel. */
uint32_t bpf_run(const struct sock_filter *code, unsigned count, const struct bpf_packet *packet);

#endif
