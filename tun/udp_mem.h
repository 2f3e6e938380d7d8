/*
 * The far side of the in-memory sockets, for tests and benchmarks. All that are open in the process
 * are on one network: a message goes to those of its port, or to udp_mem_take() if there are none.
 */
#ifndef SLUICE_TUN_UDP_MEM_H
#define SLUICE_TUN_UDP_MEM_H

#include "tun/udp.h"

/*
 * The address that the others see messages of these sockets come from, and their own look of where
 * they were sent to. At first 127.0.0.1 and ::1.
 */
void udp_mem_set_address(struct udp *udp, uint8_t version, const uint8_t addr[16]);

/*
 * Put a copy of a message into a queue, that of udp_select() or, for one without an index, the
 * first. endpoint is whom it comes from.
 *
 * Errors: -ENOBUFS when UDP_MEM_DEPTH wait, -EMSGSIZE, -ENOMEM
 */
int udp_mem_inject(struct udp *udp, const struct udp_message *message);

/*
 * Take the oldest message that went to a port which is nobody's.
 *
 * message: data set by the caller, UDP_MESSAGE_ROOM bytes; all else is filled in
 * Returns: false if there is none
 */
bool udp_mem_take(struct udp *udp, struct udp_message *message);

/* How many messages wait in the queues; a guess while others put or take. */
unsigned udp_mem_count_racy(const struct udp *udp);

/* All that is injected or sent to these sockets goes to that queue, whatever udp_select() says. */
void udp_mem_misdirect(struct udp *udp, unsigned queue);

/*
 * The way to all others takes IP packets up to this; longer ones arrive all the same. 0: any. What
 * arrives is as much cut up as message.fragment of what is sent says.
 */
void udp_mem_set_path(struct udp *udp, unsigned mtu);

/* The next n messages that are sent are lost on the way. */
void udp_mem_lose(struct udp *udp, unsigned n);

enum {
	UDP_MEM_DEPTH = 256,
	UDP_MEM_PORT = 40000, /* the first that is given to whom has no wish */
};

#endif
