/*
 * When a worker does not wait to be woken. Each small packet that comes alone would wake it, and
 * take the core from who sends the next. Where they come fast, it sleeps for as long as some take
 * to come, as a network card holds back its interrupts (adaptive interrupt moderation). Packets
 * that are large on the average are super-packets, which are worth a wake-up each.
 *
 * Threads: one owner.
 */
#ifndef SLUICE_DATAPLANE_NAP_H
#define SLUICE_DATAPLANE_NAP_H

#include <stdint.h>

enum {
	NAP_RATE = 25000,      /* packets a second, from which on there are naps */
	NAP_RATE_STAY = 15000, /* as long as there are so many: naps let more come */
	NAP_PACKETS = 8,       /* that a nap is to bring */
	NAP_NS_MAX = 150000,
	NAP_SIZE = 2048,       /* bytes; packets are smaller */
	NAP_LOOK_NS = 1000000, /* how often the rate is looked at */
};

/* Zero at first. */
struct nap {
	uint64_t looked_ns;
	uint64_t packets; /* since then, from the TUN and interfaces; a tunnel's are not counted */
	uint64_t bytes;
	uint64_t length_ns;
};

void nap_count(struct nap *nap, unsigned packets, uint64_t bytes);

/* Returns: how long to sleep if there is nothing to do now, in ns; 0: wait to be woken */
uint64_t nap_length_ns(struct nap *nap, uint64_t now_ns);

#endif
