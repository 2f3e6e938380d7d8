/*
 * Steady traffic between two namespaces, for hours if need be: numbered datagrams both ways and a
 * TCP connection from the first to the second, every byte of which is checked.
 *
 * Threads: one at a time for one stream.
 */
#ifndef SLUICE_PERF_STEADY_H
#define SLUICE_PERF_STEADY_H

#include <stdint.h>

struct steady_options {
	int ns[2];
	const char *address[2]; /* IPv4, of this end */
	uint64_t most;          /* datagrams each way */
};

/* What became of one way's datagrams. */
struct steady_way {
	uint64_t sent;
	uint64_t received; /* each counted once */
	uint64_t duplicated;
	uint64_t reordered;  /* came after a later one */
	uint64_t spoiled;    /* not as it was sent */
	uint64_t longest_ns; /* that one was under way, until it was taken */
};

struct steady;

/* Open all sockets, and connect. out: the caller's, until steady_close. Errors: -errno */
int steady_open(const struct steady_options *options, struct steady **out);
void steady_close(struct steady *steady); /* NULL does nothing */

/* Send one datagram each way. One that the system does not take counts as not sent. */
void steady_send(struct steady *steady);

/* Send some of the TCP stream, what there is room for. Errors: -errno: the connection is over */
int steady_write(struct steady *steady);

/* Take all that has come. Errors: -errno; -EBADMSG: TCP brought other bytes than were sent */
int steady_receive(struct steady *steady);

/* end: 0, what the first sent; 1, what the second did. Stays the stream's. */
const struct steady_way *steady_way_at(const struct steady *steady, unsigned end);

/* Bytes that came by TCP. */
uint64_t steady_bytes(const struct steady *steady);

#endif
