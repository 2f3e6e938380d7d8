/* Sets of ports in the kernel's text form, "22,40000-59999", and their arithmetic. */
#include "ctl/ports.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void ports_add(struct ports *ports, uint16_t first, uint16_t last)
{
	for (uint32_t port = first; port <= last; port++)
		ports->bits[port / 64] |= 1ULL << (port % 64);
}

bool ports_has(const struct ports *ports, uint16_t port)
{
	return (ports->bits[port / 64] >> (port % 64)) & 1;
}

bool ports_empty(const struct ports *ports)
{
	for (size_t i = 0; i < PORTS_COUNT / 64; i++)
		if (ports->bits[i] != 0)
			return false;
	return true;
}

void ports_merge(struct ports *into, const struct ports *other)
{
	for (size_t i = 0; i < PORTS_COUNT / 64; i++)
		into->bits[i] |= other->bits[i];
}

void ports_subtract(struct ports *into, const struct ports *other)
{
	for (size_t i = 0; i < PORTS_COUNT / 64; i++)
		into->bits[i] &= ~other->bits[i];
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n'))
		at++;
	return at;
}

/* A decimal port; NULL when there is none. */
static const char *read_port(const char *at, const char *end, uint16_t *out)
{
	const char *start = at;
	uint32_t value = 0;

	for (; at < end && *at >= '0' && *at <= '9'; at++) {
		value = value * 10 + (uint32_t)(*at - '0');
		if (value >= PORTS_COUNT)
			return NULL;
	}
	if (at == start)
		return NULL;
	*out = (uint16_t)value;
	return at;
}

int ports_parse(const char *text, size_t size, struct ports *out)
{
	const char *end = text + size, *at = skip_blanks(text, end);
	struct ports ports = {0};

	while (at < end) {
		uint16_t first, last;

		at = read_port(at, end, &first);
		if (!at)
			return -EINVAL;
		last = first;
		if (at < end && *at == '-') {
			at = read_port(at + 1, end, &last);
			if (!at || last < first)
				return -EINVAL;
		}
		ports_add(&ports, first, last);
		at = skip_blanks(at, end);
		if (at == end)
			break;
		if (*at++ != ',')
			return -EINVAL;
		at = skip_blanks(at, end);
	}
	*out = ports;
	return 0;
}

size_t ports_format(const struct ports *ports, char *out, size_t size)
{
	size_t length = 0;

	if (size > 0)
		out[0] = '\0';
	for (uint32_t port = 0; port < PORTS_COUNT; port++) {
		uint32_t first = port;
		char item[16];
		int n;

		if (!ports_has(ports, (uint16_t)port))
			continue;
		while (port + 1 < PORTS_COUNT && ports_has(ports, (uint16_t)(port + 1)))
			port++;
		n = snprintf(item, sizeof item, length ? ",%u" : "%u", first);
		if (port > first)
			n += snprintf(item + n, sizeof item - (size_t)n, "-%u", port);
		if (length + (size_t)n < size)
			memcpy(out + length, item, (size_t)n + 1);
		length += (size_t)n;
	}
	return length;
}
