/* udp_select() as a classic BPF program for SO_ATTACH_REUSEPORT_CBPF, whose packets begin behind
 * the UDP header. */
#ifndef SLUICE_TUN_UDP_SELECT_LINUX_H
#define SLUICE_TUN_UDP_SELECT_LINUX_H

#include <linux/filter.h>

enum {
	UDP_SELECT_CODE_MAX = 24,
};

/* Write the program for that many queues. Returns: its length */
unsigned udp_select_build(unsigned queues, struct sock_filter code[UDP_SELECT_CODE_MAX]);

#endif
