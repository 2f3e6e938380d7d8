/*
 * Whatever comes to a tunnel's control socket: requests are found alike however they come in, the
 * answer is whole, and what a set is taken for prints to a text that is taken for the same.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/wireguard/server.h"
#include "ctl/wireguard/text.h"
#include "ctl/wireguard/uapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		__builtin_trap();
}

static void print_key(const char *name, const uint8_t key[WG_KEY], FILE *out)
{
	char text[WG_HEX_MAX];

	fprintf(out, "%s=%s\n", name, wg_hex_format(key, text));
}

static void print_peer(const struct wg_peer_change *p, FILE *out)
{
	char text[WG_ENDPOINT_MAX], prefix[PREFIX_TEXT_MAX];

	print_key("public_key", p->public_key, out);
	if (p->set & WG_PEER_REMOVE)
		fputs("remove=true\n", out);
	if (p->set & WG_PEER_UPDATE_ONLY)
		fputs("update_only=true\n", out);
	if (p->set & WG_PEER_PRESHARED_KEY)
		print_key("preshared_key", p->preshared_key, out);
	if (p->set & WG_PEER_ENDPOINT)
		fprintf(out, "endpoint=%s\n", wg_endpoint_format(&p->endpoint, text));
	if (p->set & WG_PEER_KEEPALIVE)
		fprintf(out, "persistent_keepalive_interval=%u\n", p->keepalive_s);
	if (p->set & WG_PEER_REPLACE_ALLOWED)
		fputs("replace_allowed_ips=true\n", out);
	for (size_t i = 0; i < p->allowed_count; i++)
		fprintf(out, "allowed_ip=%s%s\n", p->allowed[i].remove ? "-" : "",
			prefix_format(&p->allowed[i].prefix, prefix));
}

/* free() */
static char *print(const struct wg_changes *c, size_t *size)
{
	char *text;
	FILE *out = open_memstream(&text, size);

	if (c->set & WG_DEVICE_PRIVATE_KEY)
		print_key("private_key", c->private_key, out);
	if (c->set & WG_DEVICE_PORT)
		fprintf(out, "listen_port=%u\n", c->port);
	if (c->set & WG_DEVICE_MARK)
		fprintf(out, "fwmark=%u\n", c->mark);
	if (c->set & WG_DEVICE_REPLACE_PEERS)
		fputs("replace_peers=true\n", out);
	for (size_t i = 0; i < c->peer_count; i++)
		print_peer(&c->peers[i], out);
	fclose(out);
	return text;
}

static int set(void *context, const struct wg_changes *changes)
{
	struct wg_uapi_set again;
	size_t size, size_again;
	char *text = print(changes, &size), *text_again;
	unsigned line, *sets = context;

	check(wg_uapi_parse(text, size, &again, &line) == 0);
	text_again = print(&again.changes, &size_again);
	check(size == size_again && memcmp(text, text_again, size) == 0);
	wg_uapi_free(&again);
	free(text_again);
	free(text);
	++*sets;
	return 0;
}

static int get(void *context, struct wg_snapshot **out)
{
	(void)context;
	(void)out;
	return -ENOMEM;
}

/* However much of it has come before. */
static void check_measure(const char *input, size_t size)
{
	size_t whole = wg_server_measure(input, 0, size);
	size_t scanned = 0;

	check(whole <= size);
	for (size_t n = 1; n <= size; n = n < 64 ? n + 1 : n * 2) {
		size_t part = wg_server_measure(input, scanned, n);

		if (part) {
			check(part == whole);
			return;
		}
		scanned = n;
	}
	check(wg_server_measure(input, scanned, size) == whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *input = (const char *)data;
	unsigned sets = 0;
	struct wg_target target = {.context = &sets, .set = set, .get = get};
	size_t n = size ? wg_server_measure(input, 0, size) : 0, reply_size;
	char *reply = NULL;
	int rc;

	if (n == 0)
		return 0;
	check_measure(input, size);
	rc = wg_server_handle(&target, input, n, &reply, &reply_size);
	check(rc == 0 || rc == -EPROTO);
	if (rc == 0) {
		check(reply_size > 2 && memcmp(reply + reply_size - 2, "\n\n", 2) == 0);
		check((sets == 1) == (strcmp(reply, "errno=0\n\n") == 0));
	}
	free(reply);
	return 0;
}
