/* What must become of one packet on its way through, made anew instead of put right. */
#ifndef SLUICE_TESTS_MODEL_TRANSLATE_H
#define SLUICE_TESTS_MODEL_TRANSLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "tun/buf.h"

struct translate {
	bool source; /* or the destination */
	uint8_t addr[16];
	uint16_t port; /* or the identifier of an echo */
	bool hop;      /* it is forwarded */
	uint16_t mss;  /* the largest that a SYN may ask for */
	bool cut;      /* IPv4: it was put together, and may be cut again */
};

/* Change a whole packet with complete checksums that way, and nothing else in it. */
void translate_packet(const struct translate *change, struct buf *buf);

#endif
