/* Sets of ports in the kernel's text form, "22,40000-59999", and their arithmetic. */
#ifndef SLUICE_CTL_PORTS_H
#define SLUICE_CTL_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PORTS_COUNT = 65536,
	PORTS_TEXT_MAX = PORTS_COUNT / 2 * 6 + 1, /* every other port, each with a comma */
};

/* A set of ports; all bits zero is the empty one. */
struct ports {
	uint64_t bits[PORTS_COUNT / 64];
};

void ports_add(struct ports *ports, uint16_t first, uint16_t last);
bool ports_has(const struct ports *ports, uint16_t port);
bool ports_empty(const struct ports *ports);

/* into = into + other; into = into - other. */
void ports_merge(struct ports *into, const struct ports *other);
void ports_subtract(struct ports *into, const struct ports *other);

/*
 * Parse "A,B-C,...", blanks and a newline at the end allowed; an empty text is the empty set.
 *
 * Errors: -EINVAL
 */
int ports_parse(const char *text, size_t size, struct ports *out);

/*
 * Write the canonical text with its terminator: ascending, neighbours joined.
 *
 * Returns: its length; when that is size or more, the text was cut after a whole item
 */
size_t ports_format(const struct ports *ports, char *out, size_t size);

#endif
