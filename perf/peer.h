/*
 * The tables of others, holding the same prefixes: DPDK's rte_fib, rte_lpm and rte_fib6 where they
 * were there to build with (peer_dpdk.c), else none (peer_nodpdk.c). One thread uses them.
 */
#ifndef SLUICE_PERF_PEER_H
#define SLUICE_PERF_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lpm/lpm.h"

enum {
	PEERS_MAX = 24,
	PEER_NAME_MAX = 40,
	PEER_REMARKS_MAX = 8,
	PEER_REMARK_MAX = 160,
	PEER_ADDR6_BYTES = 16,
};

/* Peers of a kind compete: the fastest speaks for it. */
enum peer_kind {
	PEER_FIB, /* rte_fib and rte_fib6 */
	PEER_LPM, /* rte_lpm */
	PEER_KINDS,
};

/* Keys of one family. */
struct peer_keys {
	const uint32_t *v4;                    /* host byte order */
	const uint8_t (*v6)[PEER_ADDR6_BYTES]; /* network byte order */
	size_t count;
};

struct peer_ops;

/* One way to look up in one table. */
struct peer {
	char name[PEER_NAME_MAX];       /* "rte_fib 2B avx512" */
	char table_name[PEER_NAME_MAX]; /* "rte_fib 2B" */
	enum peer_kind kind;
	unsigned burst_min; /* what it is for */
	unsigned burst_max;
	double build_ms;   /* to create it and add all prefixes; 0: not as its users would */
	size_t size_bytes; /* of what look-ups read */
	/* peer_dpdk.c's own */
	const struct peer_ops *ops;
	void *table;
	int type;
	bool owner; /* of the table */
};

struct peer_set {
	struct peer peers[PEERS_MAX];
	unsigned count;
	char remarks[PEER_REMARKS_MAX][PEER_REMARK_MAX]; /* who could not hold the table, and why */
	unsigned remark_count;
};

/*
 * Get ready, once. May raise the kernel's limit of huge pages until peers_close, or the end of the
 * process if that comes first by exit or a signal.
 *
 * text: what the peers are and what their memory is, or why there are none
 * Returns whether there are any.
 */
bool peers_open(char text[PEER_REMARK_MAX]);
void peers_close(void);

/*
 * Put routes into every peer that can hold them; the others leave a remark.
 *
 * routes: n of them, sorted by (addr, len), each prefix once; verdicts to 127. Not kept.
 * set:    the caller's, until peer_set_fini
 */
void peer_set_init4(struct peer_set *set, const struct lpm4_route *routes, size_t n);
void peer_set_init6(struct peer_set *set, const struct lpm6_route *routes, size_t n);
void peer_set_fini(struct peer_set *set);

/* Look all keys up once, in bursts of 1, 8, 32 or 256 that divide their number. */
void peer_pass(const struct peer *peer, const struct peer_keys *keys, unsigned burst);

/* The same one by one, where each key waits for the verdict before it. */
void peer_pass_dependent(const struct peer *peer, const struct peer_keys *keys);

/* The verdicts of all keys; their number is a multiple of LPM_BURST_MAX. */
void peer_verdicts(const struct peer *peer, const struct peer_keys *keys, uint16_t *out);

#endif
