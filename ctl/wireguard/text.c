/* See text.h. */
#include "ctl/wireguard/text.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "lpm/prefix.h"

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool wg_hex_parse(const char *text, size_t size, uint8_t key[WG_KEY])
{
	uint8_t bytes[WG_KEY];

	if (size != sizeof(bytes) * 2)
		return false;
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(key, bytes, sizeof(bytes));
	return true;
}

char *wg_hex_format(const uint8_t key[WG_KEY], char out[WG_HEX_MAX])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < WG_KEY; i++) {
		out[2 * i] = digits[key[i] >> 4];
		out[2 * i + 1] = digits[key[i] & 15];
	}
	out[WG_HEX_MAX - 1] = '\0';
	return out;
}

/* 32 bytes are 10 groups of 4 digits, 3 digits more whose last 2 bits are 0, and one "=". */
bool wg_base64_parse(const char *text, size_t size, uint8_t key[WG_KEY])
{
	uint8_t bytes[WG_KEY + 1];
	uint32_t bits = 0;

	if (size != WG_BASE64_MAX - 1 || text[size - 1] != '=')
		return false;
	for (unsigned i = 0; i < WG_BASE64_MAX - 1; i++) {
		const char *digit = i + 1 < size ? strchr(base64_digits, text[i]) : base64_digits;

		if (text[i] == '\0' || digit == NULL)
			return false;
		bits = bits << 6 | (uint32_t)(digit - base64_digits);
		if (i % 4 == 3) {
			bytes[i / 4 * 3] = (uint8_t)(bits >> 16);
			bytes[i / 4 * 3 + 1] = (uint8_t)(bits >> 8);
			bytes[i / 4 * 3 + 2] = (uint8_t)bits;
		}
	}
	if (bytes[WG_KEY] != 0)
		return false;
	memcpy(key, bytes, WG_KEY);
	return true;
}

char *wg_base64_format(const uint8_t key[WG_KEY], char out[WG_BASE64_MAX])
{
	for (unsigned i = 0; i < WG_BASE64_MAX - 1; i += 4) {
		const uint8_t *b = key + i / 4 * 3;
		const uint8_t third = i / 4 * 3 + 2 < WG_KEY ? b[2] : 0;
		const uint32_t bits = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | third;

		for (unsigned j = 0; j < 4; j++)
			out[i + j] = base64_digits[bits >> (18 - 6 * j) & 63];
	}
	out[WG_BASE64_MAX - 2] = '=';
	out[WG_BASE64_MAX - 1] = '\0';
	return out;
}

bool wg_number_parse(const char *text, size_t size, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (size == 0)
		return false;
	for (size_t i = 0; i < size; i++) {
		const unsigned digit = (unsigned)text[i] - '0';

		if (digit > 9 || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

int wg_endpoint_split(const char *text, size_t size, const char **host, size_t *host_size,
		      uint16_t *port)
{
	const bool bracket = size > 0 && text[0] == '[';
	const char *colon = memrchr(text, ':', size);
	uint64_t number;
	size_t n;

	if (!colon)
		return -EINVAL;
	n = (size_t)(colon - text);
	if (!wg_number_parse(colon + 1, size - n - 1, UINT16_MAX, &number))
		return -EINVAL;
	if (bracket && (n < 3 || text[n - 1] != ']'))
		return -EINVAL;
	if (n == 0 || number == 0 || (!bracket && memchr(text, ':', n)))
		return -EINVAL;
	*host = text + bracket;
	*host_size = n - 2 * bracket;
	*port = (uint16_t)number;
	return 0;
}

/* An interface by number or by name. */
static int parse_scope(const char *text, size_t size, uint32_t *out)
{
	char name[IF_NAMESIZE] = "";
	uint64_t number;

	if (size == 0 || size >= sizeof(name))
		return -EINVAL;
	if (wg_number_parse(text, size, INT32_MAX, &number)) {
		*out = (uint32_t)number;
		return 0;
	}
	memcpy(name, text, size);
	*out = if_nametoindex(name);
	return *out ? 0 : -ENODEV;
}

int wg_endpoint_parse(const char *text, size_t size, struct udp_endpoint *out)
{
	struct udp_endpoint endpoint = {0};
	const char *host, *percent;
	struct addr addr;
	size_t host_size, n;
	int rc = wg_endpoint_split(text, size, &host, &host_size, &endpoint.port);

	if (rc < 0)
		return rc;
	percent = memchr(host, '%', host_size);
	n = percent ? (size_t)(percent - host) : host_size;
	rc = addr_parse(host, n, &addr);
	if (rc < 0)
		return rc;
	/* The brackets tell the families apart. */
	if ((addr.version == 6) != (text[0] == '[') || (percent && addr.version != 6))
		return -EINVAL;
	if (percent)
		rc = parse_scope(percent + 1, host_size - n - 1, &endpoint.scope);
	if (rc < 0)
		return rc;
	endpoint.version = addr.version;
	addr_to_bytes(&addr, endpoint.addr);
	*out = endpoint;
	return 0;
}

char *wg_endpoint_format(const struct udp_endpoint *endpoint, char out[WG_ENDPOINT_MAX])
{
	const struct addr addr = addr_from_bytes(endpoint->version, endpoint->addr);
	char host[ADDR_TEXT_MAX], name[IF_NAMESIZE], scope[IF_NAMESIZE + 1] = "";

	addr_format(&addr, host);
	if (endpoint->scope && if_indextoname(endpoint->scope, name))
		snprintf(scope, sizeof(scope), "%%%s", name);
	else if (endpoint->scope)
		snprintf(scope, sizeof(scope), "%%%u", endpoint->scope);
	snprintf(out, WG_ENDPOINT_MAX, endpoint->version == 6 ? "[%s%s]:%u" : "%s%s:%u", host,
		 scope, endpoint->port);
	return out;
}
