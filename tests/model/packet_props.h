/* What must hold of any bytes that dataplane/packet.h reads: for unit tests and for the fuzzer. */
#ifndef SLUICE_TESTS_MODEL_PACKET_PROPS_H
#define SLUICE_TESTS_MODEL_PACKET_PROPS_H

#include "tun/buf.h"

/*
 * Parse, rewrite and reject a packet.
 *
 * An accepted packet has its offsets within its length; translated it parses to its key, and its
 * checksums are right if they were; translated back it is what it was; all answers to it are right.
 *
 * buf:     data may be just len bytes
 * Returns: NULL, or what does not hold
 */
const char *packet_props_check(struct buf *buf);

#endif
