/*
 * Datagrams of a tunnel: a pair of UDP sockets (IPv4 and IPv6, the same port) a worker. Implemented
 * by udp_linux.c (UDP_SEGMENT, UDP_GRO, SO_REUSEPORT) and udp_mem.c (memory, for tests and
 * benchmarks; see udp_mem.h): the linker chooses.
 *
 * Which queue gets a datagram is udp_select()'s to say, so that all of a session meet in one
 * worker.
 */
#ifndef SLUICE_TUN_UDP_H
#define SLUICE_TUN_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct udp;
struct udp_queue;

enum {
	UDP_SEGMENTS_MAX = 64,   /* datagrams of a message: the kernel's limit before 6.9 */
	UDP_MESSAGE_MAX = 65507, /* bytes of a message, less the headers of IPv4 and UDP */
	UDP_MESSAGE_ROOM = 65536,
	UDP_BURST_MAX = 64, /* messages of one call */

	UDP_TYPE_SESSION = 4, /* first byte of datagrams that carry their session's index */
	UDP_INDEX = 4,        /* where: 4 bytes, little endian */
};

/* A far end, and the address of ours that it is spoken to from. */
struct udp_endpoint {
	uint8_t addr[16];   /* wire order; IPv4 in the first 4 bytes, the others 0 */
	uint8_t source[16]; /* ours; all zero: the system chooses */
	uint32_t scope;     /* interface of a link-local IPv6 address, else 0 */
	uint32_t link;      /* interface that it was heard by; 0: not heard yet. Not for sending */
	uint16_t port;      /* host byte order */
	uint8_t version;    /* 4 or 6; 0: none */
	uint8_t zero[5];
};

/* Datagrams of one far end and traffic class, back to back; all but the last are equally long. */
struct udp_message {
	uint8_t *data;
	uint32_t len;     /* of all */
	uint32_t segment; /* of each but the last; len if there is one only */
	struct udp_endpoint endpoint;
	uint8_t tos; /* traffic class: DSCP and ECN */
	/*
	 * Sent: the source was no address of ours any more, and the system chose another. The owner
	 * of the endpoint must forget it.
	 */
	bool source_gone;
	bool too_long;     /* sent: the way takes no such datagrams whole: see udp_path_mtu() */
	uint32_t fragment; /* received: the longest packet that it was cut up into; 0: it was not */
};

struct udp_options {
	unsigned queues; /* 1..TUN_QUEUES_MAX */
	uint16_t port;   /* host byte order; 0: any that is free for all */
	uint32_t mark;   /* SO_MARK; 0: none */
};

/*
 * Open the sockets. A family that the system lacks is left out.
 *
 * out:    the caller's, until udp_close
 * Errors: -EADDRINUSE, -EACCES (low port), -EPERM (mark), -EINVAL, -EAFNOSUPPORT, -ENOMEM, or the
 *         system's
 */
int udp_open(const struct udp_options *options, struct udp **out);
void udp_close(struct udp *udp); /* NULL does nothing */

/*
 * Change the port, or nothing. What waits in the old sockets is lost. Workers may use the queues
 * meanwhile; those that sleep on the descriptors must be woken.
 *
 * port:   as in the options; the same again changes nothing
 * Errors: as udp_open; all is then as it was
 * Thread: as udp_open
 */
int udp_set_port(struct udp *udp, uint16_t port);

/* Change the mark. Errors: -EPERM, or the system's */
int udp_set_mark(struct udp *udp, uint32_t mark);

uint16_t udp_port(const struct udp *udp);

/* index: below the number of queues; or that number: a queue that only sends, for one thread more
 */
struct udp_queue *udp_queue_at(struct udp *udp, unsigned index);

/* What to wait on for datagrams, of IPv4 and of IPv6; stay the queue's. -1: nothing to wait on. */
void udp_queue_fds(const struct udp_queue *queue, int fds[2]);

/*
 * Receive what is there, without blocking.
 *
 * messages: n of them, at most UDP_BURST_MAX; data set by the caller, UDP_MESSAGE_ROOM bytes each.
 *           All else is filled in: endpoint.source is where they were sent to
 * bytes:    about how many are wanted at most, so that a burst stays in the cache
 * Returns:  how many; 0 when nothing waits. Errors of the network are nobody's matter
 * Thread:   the queue's one worker
 */
unsigned udp_recv_burst(struct udp_queue *queue, struct udp_message *messages, unsigned n,
			size_t bytes);

/*
 * Send messages, those to one far end in order. What the system does not segment is sent datagram
 * by datagram.
 *
 * messages: n of them, at most UDP_BURST_MAX; at most UDP_SEGMENTS_MAX datagrams and
 *           UDP_MESSAGE_MAX bytes each, a datagram has at least one byte; source_gone is filled in
 * Returns:  how many datagrams were refused (queue full, no route)
 * Thread:   the queue's one worker; others by a queue of their own
 */
unsigned udp_send_burst(struct udp_queue *queue, struct udp_message *messages, unsigned n);

/*
 * The longest IP packet that the whole way to a far end takes, as far as the system has heard of
 * it. Some system calls: to be asked when something was too long, not for each packet.
 *
 * Returns: 0 if it does not know
 * Thread:  any
 */
unsigned udp_path_mtu(const struct udp *udp, const struct udp_endpoint *to);

/* How many datagrams a message holds. */
static inline unsigned udp_segments(const struct udp_message *message)
{
	return message->len <= message->segment
		       ? 1
		       : (message->len + message->segment - 1) / message->segment;
}

/*
 * The queue that gets a datagram: that of its session's index, modulo their number.
 *
 * Returns: queues for one without an index: the system may choose
 */
static inline unsigned udp_select(const uint8_t *data, size_t len, unsigned queues)
{
	uint32_t index;

	if (len < UDP_INDEX + sizeof(index) || data[0] != UDP_TYPE_SESSION)
		return queues;
	index = (uint32_t)data[UDP_INDEX] | (uint32_t)data[UDP_INDEX + 1] << 8 |
		(uint32_t)data[UDP_INDEX + 2] << 16 | (uint32_t)data[UDP_INDEX + 3] << 24;
	return index % queues;
}

#endif
