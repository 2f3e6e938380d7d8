/*
 * What must hold of all that a dataplane sends, whatever it was given: a dataplane between devices
 * in memory, and a checker at every way out.
 *
 *   inside (TUN)  the host's own: 10.66.0.2, fd66::2
 *   direct        192.0.2.1, 2001:db8:2::1 to 198.51.0.0/16, 2001:db8:51::/48; Ethernet, MTU 1300
 *   vpn           192.0.3.1, 2001:db8:3::1 to all else; MTU 1420
 *   plain         untranslated, to 203.0.113.0/24, 2001:db8:77::/48
 *   none, no      dropped, rejected: 100.64.0.0/16, 100.65.0.0/16, 2001:db8:64::/48, ...65::/48
 *
 * A translated port is 40000: there is one, for each family and protocol.
 */
#ifndef SLUICE_TESTS_MODEL_WORKER_PROPS_H
#define SLUICE_TESTS_MODEL_WORKER_PROPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tun/buf.h"

enum {
	WORKER_PROPS_INSIDE = -1, /* from where a packet comes; else an egress */
	WORKER_PROPS_DIRECT = 0,
	WORKER_PROPS_VPN = 1,
};

/*
 * Forget all flows, by letting hours pass. Made at the first call; aborts when memory is short.
 *
 * flows: whether there then are some, from 10.0.0.5 and fd00::5 port 1234 to 198.51.100.7 and
 *        2001:db8:51::7 port 80 by direct, of TCP, UDP and echoes
 */
void worker_props_begin(bool flows);

/*
 * Let a packet come in and look at all that goes out.
 *
 * Returns: NULL, or what is wrong
 */
const char *worker_props_play(const struct buf *buf, int from);

/* The same for a fuzzer: says what is wrong, and aborts. */
void worker_props_hold(const struct buf *buf, int from);

/*
 * For a fuzzer: a buffer that holds offload words and a packet, just as large as the packet, so
 * that AddressSanitizer sees a read past it. Most changes would end at a wrong checksum: the flags
 * 0x80 (all) and 0x40 (that of IPv4), which have no other meaning, put them right.
 *
 * Returns: false if the input is none; buf->data is the caller's, by free()
 */
bool worker_props_input(const uint8_t *input, size_t size, struct buf *buf);

/*
 * Make source and destination of a packet that comes to direct's address, or leaves by direct:
 * those of the flows of worker_props_begin.
 */
void worker_props_ends(uint8_t version, int from, uint8_t src[16], uint8_t dst[16]);

#endif
