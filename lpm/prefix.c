/* Text and arithmetic of prefixes, by hand: the same answers on every platform, and no locale. */
#include "lpm/prefix.h"

#include <errno.h>
#include <string.h>

#include "lpm/addr6.h"

enum {
	GROUPS6 = 8, /* groups of 16 bits in an IPv6 address */
};

uint32_t mask4(unsigned len)
{
	return len == 0 ? 0 : UINT32_MAX << (32 - len);
}

struct addr6 mask6(unsigned len)
{
	struct addr6 host = addr6_host_mask(len);

	return (struct addr6){.hi = ~host.hi, .lo = ~host.lo};
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Returns how many digits made up the octet, 0 if there is none. */
static inline size_t scan_octet(const char *text, size_t size, uint32_t *out)
{
	size_t count = 0;
	uint32_t value = 0;

	while (count < size && count < 3 && is_digit(text[count])) {
		value = value * 10 + (uint32_t)(text[count] - '0');
		count++;
	}
	/* Some read a leading zero as octal, so it is not taken at all. */
	if (count == 0 || value > 255 || (count > 1 && text[0] == '0'))
		return 0;
	*out = value;
	return count;
}

size_t addr4_scan(const char *text, size_t size, uint32_t *out)
{
	uint32_t addr = 0;
	size_t at = 0;

	for (unsigned part = 0; part < 4; part++) {
		uint32_t octet;
		size_t count;

		if (part > 0 && (at == size || text[at++] != '.'))
			return 0;
		count = scan_octet(text + at, size - at, &octet);
		if (count == 0)
			return 0;
		at += count;
		addr = addr << 8 | octet;
	}
	*out = addr;
	return at;
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Returns how many digits made up the group, 0 if there is none. */
static size_t scan_group(const char *text, size_t size, uint16_t *out)
{
	size_t count = 0;
	unsigned value = 0;

	while (count < size && count < 4 && hex_value(text[count]) >= 0)
		value = value << 4 | (unsigned)hex_value(text[count++]);
	*out = (uint16_t)value;
	return count;
}

/* Groups as they stand in the text; gap is where "::" stood among them, or -1. */
struct groups {
	uint16_t value[GROUPS6];
	int count;
	int gap;
};

/* The last two groups, written as a dotted quad. */
static int scan_quad(const char *text, size_t size, struct groups *groups)
{
	uint32_t quad;

	if (groups->count > GROUPS6 - 2 || addr4_scan(text, size, &quad) != size)
		return -EINVAL;
	groups->value[groups->count++] = (uint16_t)(quad >> 16);
	groups->value[groups->count++] = (uint16_t)quad;
	return 0;
}

static int scan_groups(const char *text, size_t size, struct groups *groups)
{
	size_t at = 0;

	if (size >= 2 && text[0] == ':' && text[1] == ':') {
		groups->gap = 0;
		at = 2;
	}
	while (at < size) {
		uint16_t value;
		size_t count = scan_group(text + at, size - at, &value);

		if (count > 0 && at + count < size && text[at + count] == '.')
			return scan_quad(text + at, size - at, groups);
		if (count == 0 || groups->count == GROUPS6)
			return -EINVAL;
		groups->value[groups->count++] = value;
		at += count;
		if (at == size)
			break;
		if (text[at++] != ':' || at == size)
			return -EINVAL;
		if (text[at] != ':')
			continue;
		if (groups->gap >= 0)
			return -EINVAL;
		groups->gap = groups->count;
		at++;
	}
	return 0;
}

static int parse6(const char *text, size_t size, struct addr6 *out)
{
	struct groups groups = {.gap = -1};
	struct addr6 addr = {0};
	int zeros, rc;

	rc = scan_groups(text, size, &groups);
	if (rc != 0)
		return rc;
	zeros = GROUPS6 - groups.count;
	if ((groups.gap < 0) != (zeros == 0)) /* "::" stands for one group at least */
		return -EINVAL;
	for (int i = 0; i < GROUPS6; i++) {
		bool in_gap = groups.gap >= 0 && i >= groups.gap && i < groups.gap + zeros;
		int from = groups.gap >= 0 && i >= groups.gap ? i - zeros : i;

		addr.hi = addr.hi << 16 | addr.lo >> 48;
		addr.lo = addr.lo << 16 | (in_gap ? 0 : groups.value[from]);
	}
	*out = addr;
	return 0;
}

int addr_parse(const char *text, size_t size, struct addr *out)
{
	struct addr addr = {0};

	if (size == 0)
		return -EINVAL;
	if (memchr(text, ':', size) == NULL) {
		if (addr4_scan(text, size, &addr.v4) != size)
			return -EINVAL;
		addr.version = 4;
	} else {
		if (parse6(text, size, &addr.v6) != 0)
			return -EINVAL;
		addr.version = 6;
	}
	*out = addr;
	return 0;
}

static int parse_length(const char *text, size_t size, unsigned max, uint8_t *out)
{
	unsigned value = 0;

	if (size == 0 || (size > 1 && text[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		if (!is_digit(text[i]))
			return -EINVAL;
		if (value <= max) /* further digits are only looked at */
			value = value * 10 + (unsigned)(text[i] - '0');
	}
	if (value > max)
		return -ERANGE;
	*out = (uint8_t)value;
	return 0;
}

/* Returns whether there was anything to clear. */
static bool clear_host_bits(struct prefix *prefix)
{
	struct addr before = prefix->addr;
	struct addr6 mask;

	if (before.version == 4) {
		prefix->addr.v4 &= mask4(prefix->len);
		return prefix->addr.v4 != before.v4;
	}
	mask = mask6(prefix->len);
	prefix->addr.v6.hi &= mask.hi;
	prefix->addr.v6.lo &= mask.lo;
	return !addr6_equal(prefix->addr.v6, before.v6);
}

int prefix_parse(const char *text, size_t size, struct prefix *out, bool *masked)
{
	const char *slash = size > 0 ? memchr(text, '/', size) : NULL;
	size_t addr_size = slash != NULL ? (size_t)(slash - text) : size;
	struct prefix prefix = {0};
	unsigned max;
	bool cleared;
	int rc;

	rc = addr_parse(text, addr_size, &prefix.addr);
	if (rc != 0)
		return rc;
	max = prefix.addr.version == 4 ? 32 : 128;
	prefix.len = (uint8_t)max;
	if (slash != NULL) {
		rc = parse_length(slash + 1, size - addr_size - 1, max, &prefix.len);
		if (rc != 0)
			return rc;
	}
	cleared = clear_host_bits(&prefix);
	*out = prefix;
	if (masked != NULL)
		*masked = cleared;
	return 0;
}

static char *put_number(char *at, unsigned value, unsigned base)
{
	char digits[10]; /* of UINT_MAX in base 10 */
	unsigned count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	while (count > 0)
		*at++ = digits[--count];
	return at;
}

static char *put_quad(char *at, uint32_t addr)
{
	for (int shift = 24; shift >= 0; shift -= 8) {
		at = put_number(at, addr >> shift & 255, 10);
		if (shift > 0)
			*at++ = '.';
	}
	return at;
}

/* The longest run of zero groups, the first of equals; a run of one is not shortened. */
static int find_gap(const uint16_t groups[GROUPS6], int *length)
{
	int best = -1, best_length = 1;

	for (int i = 0; i < GROUPS6;) {
		int end = i;

		while (end < GROUPS6 && groups[end] == 0)
			end++;
		if (end - i > best_length) {
			best = i;
			best_length = end - i;
		}
		i = end > i ? end : i + 1;
	}
	*length = best_length;
	return best;
}

static char *put6(char *at, struct addr6 addr)
{
	uint16_t groups[GROUPS6];
	int gap, gap_length;

	if (addr.hi == 0 && addr.lo >> 32 == 0xffff) { /* an IPv4-mapped address */
		for (const char *c = "::ffff:"; *c != '\0'; c++)
			*at++ = *c;
		return put_quad(at, (uint32_t)addr.lo);
	}
	for (int i = 0; i < GROUPS6; i++)
		groups[i] = (uint16_t)((i < 4 ? addr.hi : addr.lo) >> (48 - 16 * (i % 4)));
	gap = find_gap(groups, &gap_length);
	for (int i = 0; i < GROUPS6; i++) {
		if (i == gap) {
			*at++ = ':';
			*at++ = ':';
			i += gap_length - 1;
			continue;
		}
		if (i > 0 && at[-1] != ':')
			*at++ = ':';
		at = put_number(at, groups[i], 16);
	}
	return at;
}

static char *put_addr(char *at, const struct addr *addr)
{
	return addr->version == 4 ? put_quad(at, addr->v4) : put6(at, addr->v6);
}

char *addr_format(const struct addr *addr, char out[ADDR_TEXT_MAX])
{
	*put_addr(out, addr) = '\0';
	return out;
}

char *prefix_format(const struct prefix *prefix, char out[PREFIX_TEXT_MAX])
{
	char *at = put_addr(out, &prefix->addr);

	*at++ = '/';
	*put_number(at, prefix->len, 10) = '\0';
	return out;
}

static uint64_t load_be(const uint8_t *bytes, unsigned count)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < count; i++)
		value = value << 8 | bytes[i];
	return value;
}

static void store_be(uint64_t value, uint8_t *bytes, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		bytes[i] = (uint8_t)(value >> (8 * (count - 1 - i)));
}

struct addr addr_from_bytes(uint8_t version, const uint8_t *bytes)
{
	struct addr addr = {.version = version};

	if (version == 4) {
		addr.v4 = (uint32_t)load_be(bytes, 4);
	} else {
		addr.v6.hi = load_be(bytes, 8);
		addr.v6.lo = load_be(bytes + 8, 8);
	}
	return addr;
}

void addr_to_bytes(const struct addr *addr, uint8_t *bytes)
{
	if (addr->version == 4) {
		store_be(addr->v4, bytes, 4);
	} else {
		store_be(addr->v6.hi, bytes, 8);
		store_be(addr->v6.lo, bytes + 8, 8);
	}
}

bool prefix_contains(const struct prefix *prefix, const struct addr *addr)
{
	if (prefix->addr.version != addr->version)
		return false;
	if (addr->version == 4)
		return ((prefix->addr.v4 ^ addr->v4) & mask4(prefix->len)) == 0;
	return addr6_common(prefix->addr.v6, addr->v6) >= prefix->len;
}
