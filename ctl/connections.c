/* Ports and connections of this host's sockets, from tables like /proc/net/tcp. */
#include "ctl/connections.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ESTABLISHED = 1, LISTEN = 10 };

void connections_fini(struct connections *connections)
{
	free(connections->items);
	*connections = (struct connections){0};
}

/* Exactly this many hexadecimal digits; NULL when there are not. */
static const char *read_hex(const char *at, const char *end, unsigned digits, uint32_t *out)
{
	uint32_t value = 0;

	if (!at || end - at < (ptrdiff_t)digits)
		return NULL;
	for (unsigned i = 0; i < digits; i++, at++) {
		if (*at >= '0' && *at <= '9')
			value = value * 16 + (uint32_t)(*at - '0');
		else if (*at >= 'A' && *at <= 'F')
			value = value * 16 + (uint32_t)(*at - 'A') + 10;
		else
			return NULL;
	}
	*out = value;
	return at;
}

static const char *skip(const char *at, const char *end, char which)
{
	return at && at < end && *at == which ? at + 1 : NULL;
}

/* "0100007F:1F90": the words of the address as this machine holds them, then the port. */
static const char *read_endpoint(const char *at, const char *end, struct addr *addr, uint16_t *port)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const char *colon = at ? memchr(at, ':', (size_t)(end - at)) : NULL;
	unsigned words = colon && colon - at == 32 ? 4 : 1;
	uint8_t bytes[16] = {0};
	uint32_t value;

	for (unsigned i = 0; i < words; i++) {
		at = read_hex(at, end, 8, &value);
		if (!at)
			return NULL;
		memcpy(bytes + 4 * i, &value, sizeof value);
	}
	at = read_hex(skip(at, end, ':'), end, 4, &value);
	if (!at)
		return NULL;
	if (words == 1)
		*addr = addr_from_bytes(4, bytes);
	else if (memcmp(bytes, mapped, sizeof mapped) == 0)
		*addr = addr_from_bytes(4, bytes + sizeof mapped);
	else
		*addr = addr_from_bytes(6, bytes);
	*port = (uint16_t)value;
	return at;
}

/* "   0: LOCAL REMOTE STATE ..." */
static bool read_line(const char *at, const char *end, struct connection *out, uint32_t *state)
{
	at = memchr(at, ':', (size_t)(end - at));
	at = skip(at ? at + 1 : NULL, end, ' ');
	at = read_endpoint(at, end, &out->local, &out->local_port);
	at = read_endpoint(skip(at, end, ' '), end, &out->remote, &out->remote_port);
	return read_hex(skip(at, end, ' '), end, 2, state) != NULL;
}

static bool is_loopback(const struct addr *addr)
{
	if (addr->version == 4)
		return addr->v4 >> 24 == 127;
	return addr->v6.hi == 0 && addr->v6.lo == 1;
}

static int add(struct connections *into, const struct connection *connection)
{
	if (into->count == into->room) {
		size_t room = into->room ? 2 * into->room : 64;
		struct connection *items = reallocarray(into->items, room, sizeof *items);

		if (!items)
			return -ENOMEM;
		into->items = items;
		into->room = room;
	}
	into->items[into->count++] = *connection;
	return 0;
}

/* The line at *at, without its end; *at moves to the next. NULL after the last. */
static const char *next_line(const char **at, const char *end, const char **stop)
{
	const char *line = *at, *newline;

	if (line >= end)
		return NULL;
	newline = memchr(line, '\n', (size_t)(end - line));
	*stop = newline ? newline : end;
	*at = *stop + 1;
	return line;
}

void connections_ports(const char *text, size_t size, const struct ports *within, unsigned state,
		       struct ports *into)
{
	const char *at = text, *end = text + size, *line, *stop;

	while ((line = next_line(&at, end, &stop))) {
		struct connection socket;
		uint32_t found;

		if (read_line(line, stop, &socket, &found) && (state == 0 || found != state) &&
		    ports_has(within, socket.local_port))
			ports_add(into, socket.local_port, socket.local_port);
	}
}

void connections_listeners(const char *text, size_t size, struct ports *into)
{
	const char *at = text, *end = text + size, *line, *stop;

	while ((line = next_line(&at, end, &stop))) {
		struct connection socket;
		uint32_t state;

		if (read_line(line, stop, &socket, &state) && state == LISTEN)
			ports_add(into, socket.local_port, socket.local_port);
	}
}

int connections_collect(const char *text, size_t size, const struct ports *listening,
			struct connections *into)
{
	const char *at = text, *end = text + size, *line, *stop;

	while ((line = next_line(&at, end, &stop))) {
		struct connection socket;
		uint32_t state;
		int rc;

		if (!read_line(line, stop, &socket, &state) || state != ESTABLISHED ||
		    !ports_has(listening, socket.local_port) || is_loopback(&socket.local))
			continue;
		rc = add(into, &socket);
		if (rc != 0)
			return rc;
	}
	return 0;
}
