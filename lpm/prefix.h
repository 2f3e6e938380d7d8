/* Addresses and prefixes of both families, their text form and their arithmetic. */
#ifndef SLUICE_LPM_PREFIX_H
#define SLUICE_LPM_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An IPv6 address in host byte order: hi holds the network's half. */
struct addr6 {
	uint64_t hi;
	uint64_t lo;
};

/*
 * An address of either family. v4 is in host byte order and only valid for version 4, v6 only
 * for version 6.
 */
struct addr {
	uint8_t version; /* 4 or 6 */
	uint32_t v4;
	struct addr6 v6;
};

/* An address whose host bits are zero, and a length: 0..32 for version 4, 0..128 for 6. */
struct prefix {
	struct addr addr;
	uint8_t len;
};

enum {
	ADDR_TEXT_MAX = 46,   /* longest IPv6 text with its terminator */
	PREFIX_TEXT_MAX = 50, /* the same with "/128" */
};

/*
 * Parse an address without length, scope or blanks: dotted quad of four decimal parts, or RFC 4291.
 *
 * text, size: not terminated; every byte must belong to the address
 * Errors:     -EINVAL
 */
int addr_parse(const char *text, size_t size, struct addr *out);

/*
 * Read a dotted quad at the start of a text.
 *
 * Returns how many bytes it took, at most size; 0 if the text does not start with one.
 */
size_t addr4_scan(const char *text, size_t size, uint32_t *out);

/*
 * Parse "address/length", or a bare address as a host prefix. Host bits are cleared.
 *
 * masked: set to whether host bits had been set; may be NULL
 * Errors: -EINVAL (text), -ERANGE (length past the family's)
 */
int prefix_parse(const char *text, size_t size, struct prefix *out, bool *masked);

/* Write the canonical text (RFC 5952 for IPv6) with its terminator; returns out. */
char *addr_format(const struct addr *addr, char out[ADDR_TEXT_MAX]);
char *prefix_format(const struct prefix *prefix, char out[PREFIX_TEXT_MAX]);

/* From and to network byte order bytes: 4 of them for version 4, 16 for version 6. */
struct addr addr_from_bytes(uint8_t version, const uint8_t *bytes);
void addr_to_bytes(const struct addr *addr, uint8_t *bytes);

bool prefix_contains(const struct prefix *prefix, const struct addr *addr);

/* The bits of the network: len 0..32, 0..128. */
uint32_t mask4(unsigned len);
struct addr6 mask6(unsigned len);

#endif
