/*
 * libsluice: split decisions for a program that has its packets already, such as a packet-tunnel
 * provider that owns its utun. It asks for each packet which egress the lists want, and sends the
 * packet there itself. Lists are replaced while packets flow.
 *
 * Threads: one control thread creates, loads and destroys. Any number of readers ask; a reader is
 * a thread between sluice_enter and sluice_exit, calls sluice_quiescent after each burst, and
 * sluice_offline and sluice_online round anything that may block. A load waits for all readers.
 *
 * Link with liburcu-qsbr.
 */
#ifndef SLUICE_H
#define SLUICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sluice;

enum {
	SLUICE_UNDECIDED = 0xffff, /* no packet, or nothing loaded: send it nowhere */
	SLUICE_EGRESS_MAX = 0xfffe,
	SLUICE_BURST_MAX = 256,
};

/* One list: prefixes as text (CIDR, addresses, ranges, netmasks, # comments). */
struct sluice_list {
	const char *name;
	const char *text; /* need not be terminated; not kept */
	size_t size;
	uint16_t egress; /* 0..SLUICE_EGRESS_MAX: what it means is the caller's business */
};

struct sluice_error {
	const char *list; /* name of the list at fault, the caller's own string; NULL: none */
	size_t line;      /* from 1; 0: no place */
	size_t column;
	char text[160];
};

/* NULL when memory is short. Decides nothing until the first load. */
struct sluice *sluice_create(void);

/* No reader may be left. NULL does nothing. */
void sluice_destroy(struct sluice *sluice);

/*
 * Replace all lists, atomically; the longest prefix wins, of equal ones that of the first list.
 *
 * default_egress: for what no list names
 * Errors: -EINVAL (a list does not parse; too many lists), -ENOMEM: *err is filled and what was
 *         loaded stays
 */
int sluice_load(struct sluice *sluice, const struct sluice_list *lists, unsigned count,
		uint16_t default_egress, struct sluice_error *err);

/* How many loads have succeeded. */
uint32_t sluice_generation(const struct sluice *sluice);

/*
 * The egress of each packet, by its destination.
 *
 * packets: IPv4 or IPv6, from the IP header on; sizes in bytes
 * egress:  n results; SLUICE_UNDECIDED for what is no IP packet
 * n:       1..SLUICE_BURST_MAX
 * Thread:  a reader, online
 */
void sluice_decide(const struct sluice *sluice, const uint8_t *const *packets, const size_t *sizes,
		   uint16_t *egress, unsigned n);

void sluice_enter(void);
void sluice_exit(void);
void sluice_quiescent(void);
void sluice_offline(void);
void sluice_online(void);

#ifdef __cplusplus
}
#endif

#endif
