/*
 * Two dataplanes with a tunnel between them, on devices and sockets in memory, turned by hand with
 * a clock of the test's own, on one thread:
 *
 *   end 0  inside 10.0.0.1, fd00::1      end 1  inside 10.0.0.2, fd00::2 and all else
 *
 * What they send meets a relay in the middle, which can look at it and change it.
 */
#ifndef SLUICE_TESTS_WIREGUARD_TUNNELS_H
#define SLUICE_TESTS_WIREGUARD_TUNNELS_H

#include "dataplane/dataplane.h"
#include "dataplane/wireguard/tunnel.h"
#include "tests/model/packets.h"
#include "tun/tun.h"
#include "tun/udp.h"

enum {
	TUNNELS_MTU = 1420,
};

struct tunnels_end {
	struct tun *tun;
	struct wg_tunnel *tunnel;
	struct dataplane *dataplane;
	uint8_t private_key[WG_KEY];
	uint8_t public_key[WG_KEY];
};

struct tunnels;

/* A look at a message on its way to an end. Returns: how often it is delivered */
typedef unsigned tunnels_look(struct tunnels *tunnels, unsigned to, struct udp_message *message);

struct tunnels {
	struct tunnels_end ends[2];
	struct udp *relay[2]; /* what the other end thinks end i is */
	uint64_t now_ms;
	tunnels_look *look; /* NULL: all goes on */
	void *context;
	unsigned looked; /* datagrams of data that passed the relay */
	unsigned messages;
	struct buf in, out; /* what goes in, what came out */
	uint8_t *memory;
};

struct tunnels_options {
	unsigned queues; /* 0: 1 */
	bool split;      /* the second end takes verdicts: not straight */
	bool gateway;
	bool no_endpoint; /* of the second end, at the first */
};

void tunnels_open(struct tunnels *tunnels, const struct tunnels_options *options);
void tunnels_close(struct tunnels *tunnels);

/* Everybody goes round until nothing moves. */
void tunnels_turn(struct tunnels *tunnels);

/* A packet comes from the inner side of an end. */
void tunnels_send(struct tunnels *tunnels, unsigned end, const struct packets_spec *spec);
void tunnels_queue(struct tunnels *tunnels, unsigned end, const struct packets_spec *spec);

/* Take the oldest packet that came out inside, into tunnels->out; its checksums are checked. */
bool tunnels_take(struct tunnels *tunnels, unsigned end);

/* A packet of 100 bytes from inside an end to inside the other. */
struct packets_spec tunnels_spec(uint8_t version, uint8_t proto, unsigned end);

/* Drops for that reason at an end. */
uint64_t tunnels_drops(const struct tunnels *tunnels, unsigned end, enum reason reason);

#endif
