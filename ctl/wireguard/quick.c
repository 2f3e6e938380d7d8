/* See quick.h. */
#include "ctl/wireguard/quick.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ctl/conf_value.h"
#include "ctl/wireguard/text.h"
#include "dataplane/wireguard/crypto.h"

enum section { SECTION_NONE, SECTION_INTERFACE, SECTION_PEER };

struct parser {
	struct wg_quick quick;
	struct conf_error *err;
	enum section section;
	struct conf_span header;
	bool had_interface;
};

static int no_memory(struct parser *p, const struct conf_span *at)
{
	conf_fail(p->err, at, "out of memory");
	return -ENOMEM;
}

/* An array with room for one item more; what it was is wiped. It doubles when full. */
static int grow(struct parser *p, const struct conf_span *at, void *array, size_t count,
		size_t item)
{
	void *old, *bigger;

	if ((count & (count - 1)) != 0)
		return 0;
	memcpy(&old, array, sizeof(old));
	bigger = calloc(count ? 2 * count : 1, item);
	if (!bigger)
		return no_memory(p, at);
	if (count) {
		memcpy(bigger, old, count * item);
		wg_crypto_wipe(old, count * item);
	}
	free(old);
	memcpy(array, &bigger, sizeof(bigger));
	return 0;
}

static struct wg_peer_change *this_peer(struct parser *p)
{
	return &p->quick.peers[p->quick.changes.peer_count - 1];
}

static int take_key(struct parser *p, const struct conf_span *value, uint8_t key[WG_KEY])
{
	if (wg_base64_parse(value->text, value->size, key))
		return 0;
	return conf_fail(p->err, value, "expected a key: 32 bytes in base64");
}

static int take_number(struct parser *p, const struct conf_span *value, const char *what,
		       uint64_t max, uint64_t *out)
{
	*out = 0;
	if (conf_span_is(value, "off"))
		return 0;
	return conf_value_number(value, what, 0, max, out, p->err);
}

/* ---- [Interface] ---- */

static int set_private_key(struct parser *p, const struct conf_span *value)
{
	p->quick.changes.set |= WG_DEVICE_PRIVATE_KEY;
	return take_key(p, value, p->quick.changes.private_key);
}

static int set_listen_port(struct parser *p, const struct conf_span *value)
{
	uint64_t port;
	int rc = take_number(p, value, "port", UINT16_MAX, &port);

	p->quick.changes.port = (uint16_t)port;
	p->quick.changes.set |= WG_DEVICE_PORT;
	return rc;
}

/* Between commas or blanks. */
static bool next_word(const struct conf_span *value, size_t *at, struct conf_span *out)
{
	size_t first = *at, end;

	while (first < value->size && strchr(", \t", value->text[first]))
		first++;
	for (end = first; end < value->size && !strchr(", \t", value->text[end]);)
		end++;
	*out = conf_span_part(value, first, end - first);
	*at = end;
	return end > first;
}

static int set_address(struct parser *p, const struct conf_span *value)
{
	struct conf_span item;
	size_t at = 0;

	while (next_word(value, &at, &item)) {
		struct wg_quick *q = &p->quick;
		int rc;

		if (q->address_count == CONF_ADDRESSES_MAX)
			return conf_fail(p->err, &item, "more than %d addresses",
					 CONF_ADDRESSES_MAX);
		rc = conf_value_address(&item, &q->addresses[q->address_count], p->err);
		if (rc < 0)
			return rc;
		q->address_count++;
	}
	return 0;
}

static int set_mtu(struct parser *p, const struct conf_span *value)
{
	uint64_t mtu;
	int rc = conf_value_number(value, "MTU", CONF_MTU_MIN, UINT16_MAX, &mtu, p->err);

	if (rc == 0)
		p->quick.mtu = (unsigned)mtu;
	return rc;
}

static int ignore(struct parser *p, const struct conf_span *value)
{
	(void)p;
	(void)value;
	return 0;
}

static int add_hook(struct parser *p, const struct conf_span *value, enum wg_quick_hook hook)
{
	struct wg_quick *q = &p->quick;
	unsigned n = q->hook_count[hook];
	int rc = grow(p, value, &q->hooks[hook], n, sizeof(char *));

	if (rc < 0)
		return rc;
	q->hooks[hook][n] = strndup(value->text, value->size);
	if (!q->hooks[hook][n])
		return no_memory(p, value);
	q->hook_count[hook]++;
	return 0;
}

static int set_pre_up(struct parser *p, const struct conf_span *value)
{
	return add_hook(p, value, WG_PRE_UP);
}

static int set_post_up(struct parser *p, const struct conf_span *value)
{
	return add_hook(p, value, WG_POST_UP);
}

static int set_pre_down(struct parser *p, const struct conf_span *value)
{
	return add_hook(p, value, WG_PRE_DOWN);
}

static int set_post_down(struct parser *p, const struct conf_span *value)
{
	return add_hook(p, value, WG_POST_DOWN);
}

/* ---- [Peer] ---- */

static int set_public_key(struct parser *p, const struct conf_span *value)
{
	return take_key(p, value, this_peer(p)->public_key);
}

static int set_preshared_key(struct parser *p, const struct conf_span *value)
{
	this_peer(p)->set |= WG_PEER_PRESHARED_KEY;
	return take_key(p, value, this_peer(p)->preshared_key);
}

static int set_allowed(struct parser *p, const struct conf_span *value)
{
	struct conf_span rest = *value, item;
	struct wg_quick *q = &p->quick;

	while (conf_span_next(&rest, &item)) {
		struct wg_allowed_change change = {0};
		char word[CONF_QUOTE_MAX];
		int rc;

		if (item.size == 0 && value->size == 0)
			continue; /* none at all */
		if (prefix_parse(item.text, item.size, &change.prefix, NULL) < 0)
			return conf_fail(p->err, &item, "expected ADDRESS/LENGTH, not '%s'",
					 conf_span_quote(&item, word));
		rc = grow(p, &item, &q->allowed, q->allowed_count, sizeof(change));
		if (rc < 0)
			return rc;
		q->allowed[q->allowed_count++] = change;
		this_peer(p)->allowed_count++;
	}
	return 0;
}

static int set_endpoint(struct parser *p, const struct conf_span *value)
{
	struct wg_quick_host *host = &p->quick.hosts[p->quick.changes.peer_count - 1];
	char word[CONF_QUOTE_MAX];
	const char *name;
	size_t size;

	if (wg_endpoint_split(value->text, value->size, &name, &size, &host->port) < 0 ||
	    size >= WG_QUICK_HOST_MAX)
		return conf_fail(p->err, value, "expected HOST:PORT or [ADDRESS]:PORT, not '%s'",
				 conf_span_quote(value, word));
	memset(host->name, 0, sizeof(host->name));
	memcpy(host->name, name, size);
	return 0;
}

static int set_keepalive(struct parser *p, const struct conf_span *value)
{
	uint64_t seconds;
	int rc = take_number(p, value, "number of seconds", UINT16_MAX, &seconds);

	this_peer(p)->keepalive_s = (uint16_t)seconds;
	this_peer(p)->set |= WG_PEER_KEEPALIVE;
	return rc;
}

/* ---- Lines ---- */

static const struct {
	enum section section;
	const char *name;
	int (*set)(struct parser *p, const struct conf_span *value);
} keys[] = {
	{SECTION_INTERFACE, "PrivateKey", set_private_key},
	{SECTION_INTERFACE, "ListenPort", set_listen_port},
	{SECTION_INTERFACE, "FwMark", ignore},
	{SECTION_INTERFACE, "Address", set_address},
	{SECTION_INTERFACE, "DNS", ignore},
	{SECTION_INTERFACE, "MTU", set_mtu},
	{SECTION_INTERFACE, "Table", ignore},
	{SECTION_INTERFACE, "PreUp", set_pre_up},
	{SECTION_INTERFACE, "PostUp", set_post_up},
	{SECTION_INTERFACE, "PreDown", set_pre_down},
	{SECTION_INTERFACE, "PostDown", set_post_down},
	{SECTION_INTERFACE, "SaveConfig", ignore},
	{SECTION_PEER, "PublicKey", set_public_key},
	{SECTION_PEER, "PresharedKey", set_preshared_key},
	{SECTION_PEER, "AllowedIPs", set_allowed},
	{SECTION_PEER, "Endpoint", set_endpoint},
	{SECTION_PEER, "PersistentKeepalive", set_keepalive},
};

enum {
	KEY_COUNT = sizeof(keys) / sizeof(keys[0]),
};

static int take_value(struct parser *p, const struct conf_span *key, const struct conf_span *value)
{
	const char *names[KEY_COUNT];
	size_t count = 0;

	if (p->section == SECTION_NONE)
		return conf_fail(p->err, key, "expected [Interface] or [Peer] first");
	for (unsigned i = 0; i < KEY_COUNT; i++) {
		if (keys[i].section != p->section)
			continue;
		if (conf_span_is(key, keys[i].name))
			return keys[i].set(p, value);
		names[count++] = keys[i].name;
	}
	return conf_fail_unknown(p->err, key, "key", names, count);
}

static int finish_section(struct parser *p)
{
	static const uint8_t zero[WG_KEY];

	if (p->section == SECTION_PEER && memcmp(this_peer(p)->public_key, zero, WG_KEY) == 0)
		return conf_fail(p->err, &p->header, "[Peer] without PublicKey");
	return 0;
}

static int begin_peer(struct parser *p, const struct conf_span *at)
{
	struct wg_quick *q = &p->quick;
	size_t n = q->changes.peer_count;
	int rc = grow(p, at, &q->peers, n, sizeof(q->peers[0]));

	if (rc == 0)
		rc = grow(p, at, &q->hosts, n, sizeof(q->hosts[0]));
	if (rc < 0)
		return rc;
	q->peers[n] = (struct wg_peer_change){.set = WG_PEER_REPLACE_ALLOWED};
	q->hosts[n] = (struct wg_quick_host){0};
	q->changes.peer_count++;
	p->section = SECTION_PEER;
	return 0;
}

static int take_header(struct parser *p, const struct conf_span *line)
{
	int rc = finish_section(p);

	if (rc < 0)
		return rc;
	p->header = *line;
	if (conf_span_is(line, "[Peer]"))
		return begin_peer(p, line);
	if (!conf_span_is(line, "[Interface]"))
		return conf_fail(p->err, line, "expected [Interface] or [Peer]");
	if (p->had_interface)
		return conf_fail(p->err, line, "second [Interface]");
	p->had_interface = true;
	p->section = SECTION_INTERFACE;
	return 0;
}

static int take_line(struct parser *p, const struct conf_span *whole)
{
	const char *comment = memchr(whole->text, '#', whole->size);
	struct conf_span line =
		conf_span_part(whole, 0, comment ? (size_t)(comment - whole->text) : whole->size);
	struct conf_span key, value;
	const char *equals;
	size_t n;

	if (line.size == 0)
		return 0;
	if (memchr(line.text, '\0', line.size))
		return conf_fail(p->err, &line, "a zero byte");
	if (line.text[0] == '[')
		return take_header(p, &line);
	equals = memchr(line.text, '=', line.size);
	if (!equals)
		return conf_fail(p->err, &line, "expected KEY = VALUE");
	n = (size_t)(equals - line.text);
	key = conf_span_part(&line, 0, n);
	value = conf_span_part(&line, n + 1, line.size - n - 1);
	return take_value(p, &key, &value);
}

/* The arrays stand still now. */
static void link_arrays(struct wg_quick *q)
{
	const struct wg_allowed_change *next = q->allowed;

	for (size_t i = 0; i < q->changes.peer_count; i++) {
		q->peers[i].allowed = next;
		if (next)
			next += q->peers[i].allowed_count;
	}
	q->changes.peers = q->peers;
}

int wg_quick_parse(const char *text, size_t size, struct wg_quick *out, struct conf_error *err)
{
	struct parser p = {.err = err};
	struct conf_span line = {.column = 1};
	int rc = 0;

	while (rc == 0 && size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t n = end ? (size_t)(end - text) : size;

		line.text = text;
		line.size = n;
		line.line++;
		rc = take_line(&p, &line);
		n += end != NULL;
		text += n;
		size -= n;
	}
	if (rc == 0)
		rc = finish_section(&p);
	line = (struct conf_span){0};
	if (rc == 0 && !(p.quick.changes.set & WG_DEVICE_PRIVATE_KEY))
		rc = conf_fail(err, &line, "no PrivateKey");
	if (rc < 0) {
		wg_quick_free(&p.quick);
		return rc;
	}
	link_arrays(&p.quick);
	*out = p.quick;
	wg_crypto_wipe(&p, sizeof(p));
	return 0;
}

void wg_quick_free(struct wg_quick *q)
{
	if (q->peers)
		wg_crypto_wipe(q->peers, q->changes.peer_count * sizeof(q->peers[0]));
	free(q->peers);
	free(q->hosts);
	free(q->allowed);
	for (unsigned i = 0; i < WG_HOOK_COUNT; i++) {
		for (unsigned j = 0; j < q->hook_count[i]; j++)
			free(q->hooks[i][j]);
		free(q->hooks[i]);
	}
	wg_crypto_wipe(q, sizeof(*q));
}

bool wg_quick_has_hooks(const struct wg_quick *q)
{
	unsigned count = 0;

	for (unsigned i = 0; i < WG_HOOK_COUNT; i++)
		count += q->hook_count[i];
	return count > 0;
}

static int look_up(const struct wg_quick_host *host, int flags, struct udp_endpoint *out)
{
	const struct addrinfo hints = {
		.ai_flags = flags, .ai_socktype = SOCK_DGRAM, .ai_family = AF_UNSPEC};
	struct udp_endpoint endpoint = {.port = host->port};
	struct addrinfo *found;

	if (getaddrinfo(host->name, NULL, &hints, &found) != 0)
		return -ENOENT;
	if (found->ai_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)found->ai_addr;

		endpoint.version = 4;
		memcpy(endpoint.addr, &in->sin_addr, sizeof(in->sin_addr));
	} else if (found->ai_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)found->ai_addr;

		endpoint.version = 6;
		endpoint.scope = in->sin6_scope_id;
		memcpy(endpoint.addr, &in->sin6_addr, sizeof(in->sin6_addr));
	}
	freeaddrinfo(found);
	if (endpoint.version == 0)
		return -ENOENT;
	*out = endpoint;
	return 0;
}

int wg_quick_look_up(const struct wg_quick_host *host, struct udp_endpoint *out)
{
	return look_up(host, 0, out);
}

unsigned wg_quick_resolve(struct wg_quick *q)
{
	unsigned names = 0;

	for (size_t i = 0; i < q->changes.peer_count; i++) {
		if (!q->hosts[i].name[0])
			continue;
		if (look_up(&q->hosts[i], AI_NUMERICHOST, &q->peers[i].endpoint) == 0)
			q->peers[i].set |= WG_PEER_ENDPOINT;
		else
			names++;
	}
	return names;
}
