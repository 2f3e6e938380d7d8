/*
 * Devices that talk over arrays and a clock that stands still until it is told: for tests. Each end
 * has one worker, which is the test's own thread.
 */
#ifndef SLUICE_TESTS_WIREGUARD_PAIR_H
#define SLUICE_TESTS_WIREGUARD_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/wireguard/aead.h"
#include "dataplane/wireguard/device.h"

enum {
	PAIR_WIRE_MAX = 256,
	PAIR_BYTES_MAX = 2048,
	PAIR_ENDS = 2,
};

struct pair_datagram {
	struct udp_endpoint to; /* source: whom it is from */
	uint8_t tos;
	size_t len;
	uint8_t data[PAIR_BYTES_MAX];
};

struct pair_end {
	struct pair *pair;
	struct wg_device *device;
	struct wg_aead *aead;
	struct udp_endpoint at;
	uint8_t private_key[WG_KEY];
	uint8_t public_key[WG_KEY];
	struct pair_datagram wire[PAIR_WIRE_MAX]; /* sent, not delivered */
	unsigned wire_count;
	unsigned sent_by_type[5]; /* of all that were ever sent; by first byte */
	unsigned received;        /* packets of data that were good, keepalives too */
	unsigned keepalives;      /* of them */
	size_t received_len;      /* the last, with padding */
	uint8_t received_data[PAIR_BYTES_MAX];
	unsigned wakes;
	unsigned waits;
	bool source_gone; /* what is sent loses its source */
};

struct pair {
	uint64_t now_ns;
	uint64_t wall_ns;
	uint64_t random;
	const uint8_t *fixed; /* random bytes for keys; NULL: of a generator */
	size_t fixed_size;
	struct pair_end ends[PAIR_ENDS];
};

/* Two devices that know each other: 10.0.0.1 and 10.0.0.2, at 192.0.2.1:1 and 192.0.2.2:2. */
struct pair *pair_create(void);
void pair_destroy(struct pair *pair);

/* Change an end; the test fails unless it is taken. */
void pair_apply(struct pair *pair, unsigned end, const struct wg_changes *changes);

/* One change of the other end's peer. */
void pair_change_peer(struct pair *pair, unsigned end, const struct wg_peer_change *change);

/* The peer of an end that stands for the other; NULL if it is gone. */
struct wg_peer *pair_peer(struct pair *pair, unsigned end);

/* Send a packet as a worker would. Returns: false if there is no session, which is then wanted */
bool pair_send(struct pair *pair, unsigned end, const void *data, size_t len);

/* Give an end a datagram, data or handshake. */
void pair_receive(struct pair *pair, unsigned end, const struct pair_datagram *datagram);

/* Let both ends do what is due, and deliver all that they send, until nothing moves. */
void pair_settle(struct pair *pair);

/* The same for one end, without delivering. */
void pair_serve(struct pair *pair, unsigned end);

/* Lose what was sent. Returns: how many datagrams */
unsigned pair_lose(struct pair *pair, unsigned end);

/* Move the clock on, a step at a time, settling each time. */
void pair_run(struct pair *pair, uint64_t ns, uint64_t step_ns);

/* A session of both, begun by end 0, which has been confirmed. */
void pair_meet(struct pair *pair);

struct udp_endpoint pair_endpoint4(unsigned last, uint16_t port);
struct prefix pair_prefix(const char *text);

/* Bytes of hexadecimal digits. Returns: how many */
size_t pair_hex(const char *text, uint8_t *out, size_t size);

#endif
