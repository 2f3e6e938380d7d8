/*
 * A dataplane between devices in memory, turned by hand with a clock of the test's own, on one
 * thread: what goes in has come out when a call returns.
 *
 *   inside (TUN)  10.0.0.x, fd00::x      the host's own: 10.66.0.2, fd66::2
 *   DIRECT        192.0.2.1, 2001:db8:2::1 to 198.51.0.0/16 and 2001:db8:51::/48, Ethernet
 *   VPN           192.0.3.1, 2001:db8:3::1 to all else
 */
#ifndef SLUICE_TESTS_DATAPLANE_BENCH_H
#define SLUICE_TESTS_DATAPLANE_BENCH_H

#include "dataplane/dataplane.h"
#include "tests/model/packets.h"
#include "tun/nic.h"
#include "tun/tun.h"

enum { BENCH_DIRECT, BENCH_VPN, BENCH_EGRESSES };

enum {
	BENCH_PORT_FIRST = 40000,
};

/* All zero: one queue, 1000 ports, MTU 1500, and the dataplane's defaults. */
struct bench_options {
	unsigned queues;
	bool unsteered; /* packets from inside may come by any queue */
	unsigned ports;
	unsigned mtu; /* of DIRECT */
	enum on_change on_change;
	unsigned source_ports;
	unsigned source_flows;
	size_t flows;
	bool untranslated;       /* DIRECT */
	uint16_t direct_on_down; /* ON_DOWN_* */
	uint16_t vpn_on_down;
};

struct bench {
	struct dataplane *dataplane;
	struct tun *tun;
	struct nic *nic[BENCH_EGRESSES];
	uint64_t now_ms;
	unsigned mtu;
	bool down[BENCH_EGRESSES];
	bool bare[BENCH_EGRESSES]; /* without addresses */
	unsigned queue;            /* where the next packet goes in; on which the last came out */
	struct packet packet;      /* the last that came out, parsed */
	struct buf out;            /* its bytes */
	uint8_t *memory;
};

void bench_open(struct bench *bench, const struct bench_options *options);
void bench_close(struct bench *bench);

/* Each worker goes round once. */
void bench_turn(struct bench *bench);

/* Time passes. */
void bench_wait(struct bench *bench, uint64_t ms);

/* A packet comes from the inner side, or from outside by an egress. */
void bench_send(struct bench *bench, const struct packets_spec *spec);
void bench_queue(struct bench *bench, const struct packets_spec *spec); /* without a turn */
void bench_receive(struct bench *bench, int egress, const struct packets_spec *spec);
void bench_send_bytes(struct bench *bench, const struct buf *buf);
void bench_receive_bytes(struct bench *bench, int egress, const struct buf *buf);

/*
 * Take the oldest packet that came out by an egress, or into the TUN, into bench->packet; checks
 * its checksums. Returns: false if there is none
 */
bool bench_take_nic(struct bench *bench, int egress);
bool bench_take_tun(struct bench *bench);

/* The interface of an egress goes up or down. */
void bench_set_up(struct bench *bench, int egress, bool up);

/* Its addresses go or come back. */
void bench_set_addresses(struct bench *bench, int egress, bool there);

/* Replaces the table: 198.51.0.0/16 goes by the VPN, too. */
void bench_reload_moved(struct bench *bench);

/* A packet of 100 bytes from port 1234 to 80: a SYN, a datagram, or an echo request. */
struct packets_spec bench_spec(uint8_t proto, const char *src, const char *dst);

/* The answer to the last packet that came out. */
struct packets_spec bench_answer(const struct bench *bench, uint8_t tcp_flags);

/* Drops for that reason, of all workers. */
uint64_t bench_drops(const struct bench *bench, enum reason reason);

/* Flows that live. */
size_t bench_flows(const struct bench *bench);

/* All workers' counters, added. */
struct worker_counters bench_counters(const struct bench *bench);

/* Whether an address of a key is this one. */
bool bench_is(const uint8_t *bytes, const char *address);

#endif
