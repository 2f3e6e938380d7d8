/*
 * How keys and endpoints of WireGuard are written: keys as 64 hexadecimal digits (control socket)
 * or in base64 (files), endpoints as 192.0.2.1:51820 or [2001:db8::1]:51820, a link-local address
 * with its interface behind a "%".
 */
#ifndef SLUICE_CTL_WIREGUARD_TEXT_H
#define SLUICE_CTL_WIREGUARD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/wireguard/message.h"
#include "tun/udp.h"

enum {
	WG_HEX_MAX = 2 * WG_KEY + 1,
	WG_BASE64_MAX = 45,
	WG_ENDPOINT_MAX = 80,
};

/* Texts are not terminated; every byte must belong to them. Returns: false if it is no key */
bool wg_hex_parse(const char *text, size_t size, uint8_t key[WG_KEY]);
bool wg_base64_parse(const char *text, size_t size, uint8_t key[WG_KEY]);

/* Return out. */
char *wg_hex_format(const uint8_t key[WG_KEY], char out[WG_HEX_MAX]);
char *wg_base64_format(const uint8_t key[WG_KEY], char out[WG_BASE64_MAX]);

/*
 * An unsigned decimal number without sign or blanks.
 *
 * Returns: false if it is none, or above max
 */
bool wg_number_parse(const char *text, size_t size, uint64_t max, uint64_t *out);

/*
 * Cut "host:port" or "[host]:port" up; the host may be a name.
 *
 * Errors: -EINVAL
 */
int wg_endpoint_split(const char *text, size_t size, const char **host, size_t *host_size,
		      uint16_t *port);

/* An endpoint by address. Errors: -EINVAL; -ENODEV (no such interface) */
int wg_endpoint_parse(const char *text, size_t size, struct udp_endpoint *out);
char *wg_endpoint_format(const struct udp_endpoint *endpoint, char out[WG_ENDPOINT_MAX]);

#endif
