/* A device that is brought to what a file says, and back. */
#include "ctl/wireguard/sync.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/wireguard/text.h"
#include "ctl/wireguard/uapi.h"

#define KEY(c) "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eH" c "A="
#define HEAD "[Interface]\nPrivateKey = " KEY("A") "\n"
#define PEER(c) "[Peer]\nPublicKey = " KEY(c) "\n"

TestSuite(ctl_wg_sync);

static const char before_text[] =
	HEAD "ListenPort = 7\n" PEER("E") "AllowedIPs = 10.1.0.0/16\nEndpoint = 192.0.2.1:1\n" PEER(
		"I") "AllowedIPs = 10.2.0.0/16, fd02::/16\nEndpoint = 192.0.2.2:2\n"
		     "PresharedKey = " KEY("E") "\nPersistentKeepalive = 25\n" PEER(
			     "M") "AllowedIPs = 10.3.0.0/16\n";

/* The first as it was, the second changed in all, the third gone, a fourth new. */
static const char after_text[] =
	HEAD "ListenPort = 7\n" PEER("E") "AllowedIPs = 10.1.0.0/16\nEndpoint = 192.0.2.1:1\n" PEER(
		"I") "AllowedIPs = 10.3.0.0/16\nEndpoint = 192.0.2.22:2\n" PEER("Q") "AllowedIPs = "
										     "10.4.0.0/"
										     "16\n";

struct play {
	struct wg_device *device;
	struct wg_quick before, after;
	unsigned ports; /* set_port calls */
	int rc;         /* what it says */
};

static int set_port(void *context, uint16_t *port)
{
	struct play *p = context;

	(void)port;
	p->ports++;
	return p->rc;
}

static void parse(const char *text, struct wg_quick *out)
{
	struct conf_error err;

	cr_assert_eq(wg_quick_parse(text, strlen(text), out, &err), 0, "%s", err.text);
	cr_assert_eq(wg_quick_resolve(out), 0);
}

static void begin(struct play *p, const char *after)
{
	const struct wg_device_options options = {
		.workers = 1, .aead = WG_AEAD_LIBCRYPTO, .context = p, .set_port = set_port};

	*p = (struct play){0};
	cr_assert_eq(wg_device_create(&options, &p->device), 0);
	parse(before_text, &p->before);
	parse(after, &p->after);
	cr_assert_eq(wg_device_apply(p->device, &p->before.changes, WG_NS), 0);
	p->ports = 0;
}

static void end(struct play *p)
{
	wg_device_destroy(p->device);
	wg_quick_free(&p->before);
	wg_quick_free(&p->after);
}

/* All that can be seen of it. free() */
static char *state(const struct play *p)
{
	struct wg_snapshot *now;
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	cr_assert_eq(wg_device_read(p->device, &now), 0);
	wg_uapi_print(now, out);
	fclose(out);
	wg_snapshot_free(now);
	return text;
}

static struct wg_peer *peer(const struct play *p, const char *address)
{
	struct prefix prefix;

	cr_assert_eq(prefix_parse(address, strlen(address), &prefix, NULL), 0);
	return wg_allowed_peer(wg_device_allowed(p->device), &prefix.addr);
}

/* What `wg set` may have done since: a peer more, and one that has moved. */
static void change_by_hand(struct play *p)
{
	struct wg_peer_change peers[2] = {
		{.public_key = {99}},
		{.set = WG_PEER_ENDPOINT,
		 .endpoint = {.version = 4, .addr = {9, 9, 9, 9}, .port = 9}},
	};
	const struct wg_changes changes = {.peers = peers, .peer_count = 2};

	memcpy(peers[1].public_key, p->before.peers[0].public_key, WG_KEY);
	cr_assert_eq(wg_device_apply(p->device, &changes, WG_NS), 0);
}

Test(ctl_wg_sync, peers_come_go_and_change)
{
	struct wg_snapshot *now;
	char text[WG_ENDPOINT_MAX];
	struct play p;
	uint64_t ids[2];

	begin(&p, after_text);
	change_by_hand(&p);
	ids[0] = peer(&p, "10.1.0.1")->id;
	ids[1] = peer(&p, "10.2.0.1")->id;
	cr_assert_eq(wg_sync_to_file(p.device, &p.before, &p.after, WG_NS), 0);
	cr_assert_eq(p.ports, 0, "it is the same");
	/* An id is never given twice: they are who they were, with their sessions. */
	cr_assert_eq(peer(&p, "10.1.0.1")->id, ids[0]);
	cr_assert_eq(peer(&p, "10.3.0.1")->id, ids[1]);
	cr_assert_null(peer(&p, "10.2.0.1"));
	cr_assert_null(peer(&p, "fd02::1"));
	cr_assert_not_null(peer(&p, "10.4.0.1"));
	cr_assert_eq(wg_device_read(p.device, &now), 0);
	cr_assert_eq(now->peer_count, 3);
	cr_assert_str_eq(wg_endpoint_format(&now->peers[0].endpoint, text), "9.9.9.9:9",
			 "where it has gone the file does not know");
	cr_assert_str_eq(wg_endpoint_format(&now->peers[1].endpoint, text), "192.0.2.22:2");
	cr_assert_eq(now->peers[1].keepalive_s, 0);
	cr_assert_eq(now->peers[1].preshared_key[0], 0);
	wg_snapshot_free(now);
	end(&p);
}

Test(ctl_wg_sync, whole_or_not_at_all)
{
	static const char text[] = HEAD "ListenPort = 8\n" PEER("Q") "AllowedIPs = 10.4.0.0/16\n";
	char *was, *now;
	struct play p;

	begin(&p, text);
	change_by_hand(&p);
	was = state(&p);
	p.rc = -EADDRINUSE;
	cr_assert_eq(wg_sync_to_file(p.device, &p.before, &p.after, WG_NS), -EADDRINUSE);
	cr_assert_eq(p.ports, 1);
	now = state(&p);
	cr_assert_str_eq(now, was);
	free(now);
	free(was);
	end(&p);
}

Test(ctl_wg_sync, back_to_what_it_was)
{
	struct wg_snapshot *before;
	char *was, *now;
	struct play p;

	begin(&p, after_text);
	change_by_hand(&p);
	was = state(&p);
	cr_assert_eq(wg_device_read(p.device, &before), 0);
	cr_assert_eq(wg_sync_to_file(p.device, &p.before, &p.after, WG_NS), 0);
	now = state(&p);
	cr_assert_str_neq(now, was);
	free(now);
	cr_assert_eq(wg_sync_back(p.device, before, WG_NS), 0);
	now = state(&p);
	cr_assert_eq(strlen(now), strlen(was), "but for the order of peers:\n%s\n%s", was, now);
	cr_assert_not_null(peer(&p, "10.2.0.1"));
	cr_assert_not_null(peer(&p, "fd02::1"));
	cr_assert_not_null(peer(&p, "10.3.0.1"));
	cr_assert_null(peer(&p, "10.4.0.1"));
	free(now);
	free(was);
	wg_snapshot_free(before);
	end(&p);
}
