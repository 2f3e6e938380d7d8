/* See uapi.h. */
#include "ctl/wireguard/uapi.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/wireguard/text.h"
#include "dataplane/wireguard/crypto.h"

/* A line in hand. */
struct pair {
	const char *key;
	size_t key_size;
	const char *value;
	size_t size;
};

static bool is_key(const struct pair *p, const char *name)
{
	return p->key_size == strlen(name) && memcmp(p->key, name, p->key_size) == 0;
}

/* Grow an array that may hold keys: what it was is wiped. */
static int reserve(void **array, size_t *room, size_t used, size_t item)
{
	size_t more = *room ? 2 * *room : 16;
	void *grown;

	if (used < *room)
		return 0;
	grown = calloc(more, item);
	if (!grown)
		return -ENOMEM;
	if (*array) {
		memcpy(grown, *array, used * item);
		wg_crypto_wipe(*array, used * item);
	}
	free(*array);
	*array = grown;
	*room = more;
	return 0;
}

static int parse_number(const struct pair *p, uint64_t max, uint64_t *out)
{
	return wg_number_parse(p->value, p->size, max, out) ? 0 : -EINVAL;
}

/* Flags know one value. */
static int parse_true(const struct pair *p, unsigned flag, unsigned *set)
{
	if (p->size != 4 || memcmp(p->value, "true", 4) != 0)
		return -EINVAL;
	*set |= flag;
	return 0;
}

static int parse_key(const struct pair *p, unsigned flag, unsigned *set, uint8_t key[WG_KEY])
{
	if (!wg_hex_parse(p->value, p->size, key))
		return -EINVAL;
	*set |= flag;
	return 0;
}

static int take_device(struct wg_changes *c, const struct pair *p)
{
	uint64_t number = 0;
	int rc;

	if (is_key(p, "private_key"))
		return parse_key(p, WG_DEVICE_PRIVATE_KEY, &c->set, c->private_key);
	if (is_key(p, "replace_peers"))
		return parse_true(p, WG_DEVICE_REPLACE_PEERS, &c->set);
	if (is_key(p, "listen_port")) {
		rc = parse_number(p, UINT16_MAX, &number);
		c->port = (uint16_t)number;
		c->set |= WG_DEVICE_PORT;
		return rc;
	}
	if (is_key(p, "fwmark")) {
		rc = parse_number(p, UINT32_MAX, &number);
		c->mark = (uint32_t)number;
		c->set |= WG_DEVICE_MARK;
		return rc;
	}
	return -EINVAL;
}

static int take_allowed(struct wg_uapi_set *s, const struct pair *p)
{
	struct wg_peer_change *peer = &s->peers[s->changes.peer_count - 1];
	const bool remove = p->size > 0 && p->value[0] == '-';
	struct wg_allowed_change change = {.remove = remove};
	int rc;

	if (prefix_parse(p->value + remove, p->size - remove, &change.prefix, NULL) < 0)
		return -EINVAL;
	rc = reserve((void **)&s->allowed, &s->allowed_room, s->allowed_count, sizeof(change));
	if (rc < 0)
		return rc;
	s->allowed[s->allowed_count++] = change;
	peer->allowed_count++;
	return 0;
}

static int take_peer(struct wg_uapi_set *s, const struct pair *p)
{
	struct wg_peer_change *peer = &s->peers[s->changes.peer_count - 1];
	uint64_t number = 0;
	int rc;

	if (is_key(p, "allowed_ip"))
		return take_allowed(s, p);
	if (is_key(p, "preshared_key"))
		return parse_key(p, WG_PEER_PRESHARED_KEY, &peer->set, peer->preshared_key);
	if (is_key(p, "remove"))
		return parse_true(p, WG_PEER_REMOVE, &peer->set);
	if (is_key(p, "update_only"))
		return parse_true(p, WG_PEER_UPDATE_ONLY, &peer->set);
	if (is_key(p, "replace_allowed_ips"))
		return parse_true(p, WG_PEER_REPLACE_ALLOWED, &peer->set);
	if (is_key(p, "endpoint")) {
		peer->set |= WG_PEER_ENDPOINT;
		return wg_endpoint_parse(p->value, p->size, &peer->endpoint) < 0 ? -EINVAL : 0;
	}
	if (is_key(p, "persistent_keepalive_interval")) {
		rc = parse_number(p, UINT16_MAX, &number);
		peer->keepalive_s = (uint16_t)number;
		peer->set |= WG_PEER_KEEPALIVE;
		return rc;
	}
	if (is_key(p, "protocol_version"))
		return parse_number(p, 1, &number) < 0 || number != 1 ? -EINVAL : 0;
	return -EINVAL;
}

static int begin_peer(struct wg_uapi_set *s, const struct pair *p)
{
	int rc = reserve((void **)&s->peers, &s->peer_room, s->changes.peer_count,
			 sizeof(s->peers[0]));

	if (rc < 0)
		return rc;
	if (!wg_hex_parse(p->value, p->size, s->peers[s->changes.peer_count].public_key))
		return -EINVAL;
	s->changes.peer_count++;
	return 0;
}

static int take_line(struct wg_uapi_set *s, const char *line, size_t size)
{
	const char *equals = memchr(line, '=', size);
	struct pair p = {.key = line};

	if (!equals)
		return -EPROTO;
	p.key_size = (size_t)(equals - line);
	p.value = equals + 1;
	p.size = size - p.key_size - 1;
	if (is_key(&p, "public_key"))
		return begin_peer(s, &p);
	return s->changes.peer_count ? take_peer(s, &p) : take_device(&s->changes, &p);
}

/* The arrays stand still now. */
static void link_arrays(struct wg_uapi_set *s)
{
	const struct wg_allowed_change *next = s->allowed;

	for (size_t i = 0; i < s->changes.peer_count; i++) {
		s->peers[i].allowed = next;
		if (next)
			next += s->peers[i].allowed_count;
	}
	s->changes.peers = s->peers;
}

int wg_uapi_parse(const char *text, size_t size, struct wg_uapi_set *out, unsigned *line)
{
	struct wg_uapi_set s = {0};
	unsigned count = 0;

	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		const size_t n = end ? (size_t)(end - text) : size;
		int rc = take_line(&s, text, n);

		count++;
		if (rc < 0) {
			*line = count;
			wg_uapi_free(&s);
			return rc;
		}
		text += n + (end != NULL);
		size -= n + (end != NULL);
	}
	link_arrays(&s);
	*out = s;
	return 0;
}

void wg_uapi_free(struct wg_uapi_set *s)
{
	if (s->peers)
		wg_crypto_wipe(s->peers, s->peer_room * sizeof(s->peers[0]));
	free(s->peers);
	free(s->allowed);
	wg_crypto_wipe(s, sizeof(*s));
}

static bool is_zero(const uint8_t key[WG_KEY])
{
	static const uint8_t zero[WG_KEY];

	return memcmp(key, zero, WG_KEY) == 0;
}

static void print_key(const char *name, const uint8_t key[WG_KEY], FILE *out)
{
	char text[WG_HEX_MAX];

	fprintf(out, "%s=%s\n", name, wg_hex_format(key, text));
	wg_crypto_wipe(text, sizeof(text));
}

static void print_peer(const struct wg_peer_state *p, FILE *out)
{
	char endpoint[WG_ENDPOINT_MAX], prefix[PREFIX_TEXT_MAX];

	print_key("public_key", p->public_key, out);
	print_key("preshared_key", p->preshared_key, out);
	fputs("protocol_version=1\n", out);
	if (p->endpoint.version)
		fprintf(out, "endpoint=%s\n", wg_endpoint_format(&p->endpoint, endpoint));
	fprintf(out, "last_handshake_time_sec=%" PRIu64 "\n", p->handshake_ns / WG_NS);
	fprintf(out, "last_handshake_time_nsec=%" PRIu64 "\n", p->handshake_ns % WG_NS);
	fprintf(out, "tx_bytes=%" PRIu64 "\nrx_bytes=%" PRIu64 "\n", p->tx_bytes, p->rx_bytes);
	fprintf(out, "persistent_keepalive_interval=%u\n", p->keepalive_s);
	for (size_t i = 0; i < p->allowed_count; i++)
		fprintf(out, "allowed_ip=%s\n", prefix_format(&p->allowed[i], prefix));
}

void wg_uapi_print(const struct wg_snapshot *device, FILE *out)
{
	if (!is_zero(device->private_key))
		print_key("private_key", device->private_key, out);
	if (device->port)
		fprintf(out, "listen_port=%u\n", device->port);
	if (device->mark)
		fprintf(out, "fwmark=%u\n", device->mark);
	for (size_t i = 0; i < device->peer_count; i++)
		print_peer(&device->peers[i], out);
}
