/* WireGuard's control socket: requests, answers, and what is none. */
#include "ctl/wireguard/server.h"

#include "dataplane/wireguard/device.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"

TestSuite(ctl_wg_server);

/* A device that remembers what it was asked. */
struct play {
	unsigned sets, gets;
	size_t peers;
	uint16_t port;
	int rc;
	struct wg_target target;
};

static int play_set(void *context, const struct wg_changes *changes)
{
	struct play *p = context;

	p->sets++;
	p->peers = changes->peer_count;
	p->port = changes->port;
	return p->rc;
}

/* A device's own: who frees it knows more of it than this test. */
static int play_get(void *context, struct wg_snapshot **out)
{
	const struct wg_device_options options = {.workers = 1, .aead = WG_AEAD_LIBCRYPTO};
	const struct wg_changes changes = {.set = WG_DEVICE_PORT, .port = 7};
	struct play *p = context;
	struct wg_device *device;

	p->gets++;
	if (p->rc < 0)
		return p->rc;
	cr_assert_eq(wg_device_create(&options, &device), 0);
	cr_assert_eq(wg_device_apply(device, &changes, 0), 0);
	cr_assert_eq(wg_device_read(device, out), 0);
	wg_device_destroy(device);
	return 0;
}

static void play_init(struct play *p, int rc)
{
	*p = (struct play){.rc = rc};
	p->target = (struct wg_target){.context = p, .set = play_set, .get = play_get};
}

Test(ctl_wg_server, requests_and_answers)
{
	static const struct {
		const char *request;
		int device; /* what it says */
		int rc;
		const char *reply;
		unsigned sets, gets;
	} cases[] = {
		{"get=1\n\n", 0, 0, "listen_port=7\nerrno=0\n\n", 0, 1},
		{"get=1\n\n", -ENOMEM, 0, "errno=12\n\n", 0, 1},
		{"get=1\nx", 0, 0, "errno=22\n\n", 0, 0},
		{"set=1\n\n", 0, 0, "errno=0\n\n", 1, 0},
		{"set=1\nlisten_port=9\npublic_key=" KEY "\n\n", 0, 0, "errno=0\n\n", 1, 0},
		{"set=1\nlisten_port=9\n\n", -EADDRINUSE, 0, "errno=-98\n\n", 1, 0},
		{"set=1\nlisten_port=9\nfrob=1\n\n", 0, 0, "errno=-22\n\n", 0, 0},
		{"set=1\nlisten_port\n\n", 0, 0, "errno=-71\n\n", 0, 0},
		{"set=1\nlisten_port=9\n", 0, -EPROTO, NULL, 0, 0}, /* cut short */
		{"frob=1\n", 0, -EPROTO, NULL, 0, 0},
		{"\n", 0, -EPROTO, NULL, 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct play p;
		char *reply = NULL;
		size_t size = 0;
		int rc;

		play_init(&p, cases[i].device);
		rc = wg_server_handle(&p.target, cases[i].request, strlen(cases[i].request), &reply,
				      &size);
		cr_expect_eq(rc, cases[i].rc, "%zu: %d", i, rc);
		if (cases[i].reply)
			cr_expect_str_eq(reply, cases[i].reply, "%zu: '%s'", i, reply);
		cr_expect_eq(p.sets, cases[i].sets, "%zu", i);
		cr_expect_eq(p.gets, cases[i].gets, "%zu", i);
		free(reply);
	}
}

/* Wherever a request is cut, its end is found when it is there, and not before. */
Test(ctl_wg_server, ends_are_found_at_every_cut)
{
	static const struct {
		const char *input;
		size_t size; /* of the first request */
	} cases[] = {
		{"get=1\n\nget=1\n\n", 7},
		{"get=1\nx", 7},
		{"set=1\n\nget=1\n\n", 7},
		{"set=1\na=b\n\nset=1\n\n", 11},
		{"set=1\na=b\nc=d\n\n", 15},
		{"frob\n\n", 5},
		{"\n\n", 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *input = cases[i].input;

		for (size_t cut = 0; cut < cases[i].size; cut++)
			cr_expect_eq(wg_server_measure(input, 0, cut), 0, "%zu cut at %zu", i, cut);
		for (size_t cut = 0; cut < cases[i].size; cut++)
			for (size_t n = cases[i].size; n <= strlen(input); n++)
				cr_expect_eq(wg_server_measure(input, cut, n), cases[i].size,
					     "%zu cut at %zu, %zu bytes", i, cut, n);
	}
}
