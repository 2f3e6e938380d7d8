/* wg_quick_parse: what it takes prints to a text that prints to itself; what it refuses has a
 * place. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/wireguard/quick.h"
#include "ctl/wireguard/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const hooks[WG_HOOK_COUNT] = {"PreUp", "PostUp", "PreDown", "PostDown"};

static void check(bool good)
{
	if (!good)
		__builtin_trap();
}

static void print_key(const char *name, const uint8_t key[WG_KEY], FILE *out)
{
	char text[WG_BASE64_MAX];

	fprintf(out, "%s = %s\n", name, wg_base64_format(key, text));
}

static void print_interface(const struct wg_quick *q, FILE *out)
{
	char text[ADDR_TEXT_MAX];

	print_key("[Interface]\nPrivateKey", q->changes.private_key, out);
	if (q->changes.set & WG_DEVICE_PORT)
		fprintf(out, "ListenPort = %u\n", q->changes.port);
	for (unsigned i = 0; i < q->address_count; i++)
		fprintf(out, "Address = %s/%u\n", addr_format(&q->addresses[i].addr, text),
			q->addresses[i].len);
	if (q->mtu)
		fprintf(out, "MTU = %u\n", q->mtu);
	for (unsigned h = 0; h < WG_HOOK_COUNT; h++)
		for (unsigned i = 0; i < q->hook_count[h]; i++)
			fprintf(out, "%s = %s\n", hooks[h], q->hooks[h][i]);
}

static void print_peer(const struct wg_peer_change *p, const struct wg_quick_host *host, FILE *out)
{
	char prefix[PREFIX_TEXT_MAX];

	check(memchr(host->name, 0, sizeof(host->name)) != NULL);
	print_key("[Peer]\nPublicKey", p->public_key, out);
	if (p->set & WG_PEER_PRESHARED_KEY)
		print_key("PresharedKey", p->preshared_key, out);
	if (host->name[0])
		fprintf(out,
			strchr(host->name, ':') ? "Endpoint = [%s]:%u\n" : "Endpoint = %s:%u\n",
			host->name, host->port);
	if (p->set & WG_PEER_KEEPALIVE)
		fprintf(out, "PersistentKeepalive = %u\n", p->keepalive_s);
	for (size_t i = 0; i < p->allowed_count; i++)
		fprintf(out, "AllowedIPs = %s\n", prefix_format(&p->allowed[i].prefix, prefix));
}

/* The canonical form of a text, terminated, or NULL. */
static char *canonical(const char *in, size_t size, struct conf_error *err)
{
	char *text = NULL;
	struct wg_quick q;
	size_t allowed = 0;
	FILE *out;
	int rc = wg_quick_parse(in, size, &q, err);

	if (rc != 0) {
		check(rc == -EINVAL && err->text[0] && (err->line == 0) == (err->column == 0));
		return NULL;
	}
	out = open_memstream(&text, &size);
	print_interface(&q, out);
	for (size_t i = 0; i < q.changes.peer_count; i++) {
		check(q.peers[i].allowed_count == 0 || q.peers[i].allowed == q.allowed + allowed);
		print_peer(&q.peers[i], &q.hosts[i], out);
		allowed += q.peers[i].allowed_count;
	}
	check(allowed == q.allowed_count && q.changes.peers == q.peers);
	fclose(out);
	wg_quick_free(&q);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_error err = {0};
	char *first = canonical((const char *)data, size, &err);
	char *second = first ? canonical(first, strlen(first), &err) : NULL;

	check(first == NULL || (second != NULL && strcmp(first, second) == 0));
	free(first);
	free(second);
	return 0;
}
