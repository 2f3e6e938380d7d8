/*
 * Every kind of packet that comes from outside, for who sorts them by the port in them: answers,
 * errors, what is no answer, extension headers, options.
 */
#ifndef SLUICE_TESTS_MODEL_OUTSIDE_H
#define SLUICE_TESTS_MODEL_OUTSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/model/packets.h"

struct outside_kind {
	const char *name;
	struct packets_spec outer;
	struct packets_spec quoted; /* version 0: the packet quotes none */
	bool accepted;              /* when its port is in the range */
};

extern const struct outside_kind outside_kinds[];
extern const size_t outside_kind_count;

/*
 * Build one about a port: the destination, the identifier of an echo, the source of what is
 * quoted. Whoever reads another 16 bits of the payload instead finds the port there as well.
 *
 * bytes:   BUF_SIZE of them
 * Returns: its length
 */
size_t outside_build(const struct outside_kind *kind, uint16_t port, uint8_t *bytes);

#endif
