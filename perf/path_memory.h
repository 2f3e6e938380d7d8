/*
 * A worker between devices in memory: what the packet path itself costs, without a system call. One
 * worker, turned by the caller's thread; only its turns are timed.
 *
 *   TUN  --- worker --- eth0 (Ethernet, gateway), tun9 (none): both translate
 *
 * The table is made up, with as many prefixes as the Internet's; listed ones go by tun9.
 */
#ifndef SLUICE_PERF_PATH_MEMORY_H
#define SLUICE_PERF_PATH_MEMORY_H

#include "dataplane/dataplane.h"
#include "lpm/list.h"
#include "tun/nic.h"
#include "tun/tun.h"

enum {
	MEMORY_BURST = 64,
	MEMORY_SIZE = 64, /* bytes of a packet, from its IP header on */
	MEMORY_HOST = 64, /* endpoints that one inner host has */
	MEMORY_NICS = 2,
};

struct memory_packet {
	uint8_t bytes[MEMORY_SIZE];
};

struct memory {
	struct dataplane *dataplane;
	struct tun *tun;
	struct nic *nic[MEMORY_NICS];
	uint64_t now_ns;    /* of the worker's clock, which goes while it is turned */
	uint64_t turned_ns; /* how long that has been; the caller may set it to 0 */
	struct memory_packet out[MEMORY_BURST]; /* what the last turn sent */
	uint8_t by[MEMORY_BURST];               /* by which nic; MEMORY_NICS: the TUN */
	unsigned out_count;
};

/* list: of the table; kept. Errors: -errno */
int memory_open(struct memory *memory, struct list *list);
void memory_close(struct memory *memory);

/*
 * The packet of a flow from the inner side.
 *
 * endpoint: number of an inner address and port
 * remote:   number of a destination
 * proto:    PROTO_TCP: a SYN; PROTO_UDP
 */
void memory_build(struct memory_packet *packet, uint32_t endpoint, uint32_t remote, uint8_t proto);

/* Queue a packet for the next turn, at most MEMORY_BURST of them: from the TUN, or by a nic. */
void memory_send(struct memory *memory, const struct memory_packet *packet);
void memory_receive(struct memory *memory, unsigned nic, const struct memory_packet *packet);

/* One turn, and its time added to turned_ns. What came out is in `out`. */
void memory_turn(struct memory *memory);

/* Time passes until all flows have expired and their ports have rested. */
void memory_expire(struct memory *memory);

/* Make the answer of what came out. */
void memory_answer(struct memory_packet *packet);

#endif
