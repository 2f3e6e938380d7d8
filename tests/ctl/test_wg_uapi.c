/* WireGuard's control protocol as text. */
#include "ctl/wireguard/uapi.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/wireguard/text.h"

#define KEY_A "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
#define KEY_A_LONGER KEY_A "0"
#define KEY_A_SHORTER "g02030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
#define KEY_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

TestSuite(ctl_wg_uapi);

Test(ctl_wg_uapi, keys_are_read_and_written_in_both_forms)
{
	static const struct {
		const char *hex, *base64;
	} cases[] = {
		{KEY_A, "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="},
		{KEY_B, "/+7dzLuqmYh3ZlVEMyIRAP/u3cy7qpmId2ZVRDMiEQA="},
		{"0000000000000000000000000000000000000000000000000000000000000000",
		 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t a[WG_KEY], b[WG_KEY];
		char hex[WG_HEX_MAX], base64[WG_BASE64_MAX];

		cr_assert(wg_hex_parse(cases[i].hex, strlen(cases[i].hex), a));
		cr_assert(wg_base64_parse(cases[i].base64, strlen(cases[i].base64), b), "case %zu",
			  i);
		cr_expect_arr_eq(a, b, sizeof(a), "case %zu", i);
		cr_expect_str_eq(wg_hex_format(b, hex), cases[i].hex);
		cr_expect_str_eq(wg_base64_format(a, base64), cases[i].base64);
	}
}

Test(ctl_wg_uapi, what_is_no_key_is_refused)
{
	static const char *const hex[] = {"", "00", KEY_A_LONGER, KEY_A_SHORTER};
	static const char *const base64[] = {
		"",
		"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA",  /* no "=" */
		"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyB=", /* bits past the key */
		"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHy==",
		"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e!yA=",
		"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA==",
	};
	uint8_t key[WG_KEY];

	for (size_t i = 0; i < sizeof(hex) / sizeof(hex[0]); i++)
		cr_expect_not(wg_hex_parse(hex[i], strlen(hex[i]), key), "'%s'", hex[i]);
	for (size_t i = 0; i < sizeof(base64) / sizeof(base64[0]); i++)
		cr_expect_not(wg_base64_parse(base64[i], strlen(base64[i]), key), "'%s'",
			      base64[i]);
}

Test(ctl_wg_uapi, endpoints_are_read_and_written)
{
	static const struct {
		const char *text;
		int rc;
		unsigned version, port, scope;
	} cases[] = {
		{"192.0.2.1:51820", 0, 4, 51820, 0},
		{"[2001:db8::1]:1", 0, 6, 1, 0},
		{"[fe80::1%lo]:7", 0, 6, 7, 1},
		{"[::ffff:192.0.2.1]:7", 0, 6, 7, 0},
		{"192.0.2.1", -EINVAL, 0, 0, 0},
		{"192.0.2.1:", -EINVAL, 0, 0, 0},
		{"192.0.2.1:0", -EINVAL, 0, 0, 0},
		{"192.0.2.1:65536", -EINVAL, 0, 0, 0},
		{"192.0.2.1:-1", -EINVAL, 0, 0, 0},
		{"192.0.2.1:1x", -EINVAL, 0, 0, 0},
		{":1", -EINVAL, 0, 0, 0},
		{"[]:1", -EINVAL, 0, 0, 0},
		{"2001:db8::1:1", -EINVAL, 0, 0, 0},
		{"[192.0.2.1]:1", -EINVAL, 0, 0, 0},
		{"[2001:db8::1:1", -EINVAL, 0, 0, 0},
		{"192.0.2.1%lo:1", -EINVAL, 0, 0, 0},
		{"[fe80::1%]:7", -EINVAL, 0, 0, 0},
		{"[fe80::1%nosuchlink]:7", -ENODEV, 0, 0, 0},
		{"example.org:7", -EINVAL, 0, 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct udp_endpoint e = {0};
		char text[WG_ENDPOINT_MAX];
		int rc = wg_endpoint_parse(cases[i].text, strlen(cases[i].text), &e);

		cr_expect_eq(rc, cases[i].rc, "'%s': %d", cases[i].text, rc);
		cr_expect_eq(e.version, cases[i].version, "'%s'", cases[i].text);
		cr_expect_eq(e.port, cases[i].port, "'%s'", cases[i].text);
		cr_expect_eq(e.scope, cases[i].scope, "'%s'", cases[i].text);
		if (rc == 0)
			cr_expect_str_eq(wg_endpoint_format(&e, text), cases[i].text);
	}
}

Test(ctl_wg_uapi, a_set_becomes_changes)
{
	static const char text[] = "private_key=" KEY_A "\nlisten_port=51820\nfwmark=4660\n"
				   "replace_peers=true\n"
				   "public_key=" KEY_B "\npreshared_key=" KEY_A "\n"
				   "endpoint=192.0.2.1:7\npersistent_keepalive_interval=25\n"
				   "protocol_version=1\nreplace_allowed_ips=true\n"
				   "allowed_ip=10.0.0.9/24\nallowed_ip=-2001:db8::/32\n"
				   "public_key=" KEY_A "\nremove=true\nupdate_only=true\n";
	struct wg_uapi_set s;
	const struct wg_peer_change *p;
	char prefix[PREFIX_TEXT_MAX], hex[WG_HEX_MAX];
	unsigned line = 0;

	cr_assert_eq(wg_uapi_parse(text, strlen(text), &s, &line), 0, "line %u", line);
	cr_expect_eq(s.changes.set, WG_DEVICE_PRIVATE_KEY | WG_DEVICE_PORT | WG_DEVICE_MARK |
					    WG_DEVICE_REPLACE_PEERS);
	cr_expect_eq(s.changes.port, 51820);
	cr_expect_eq(s.changes.mark, 4660);
	cr_expect_str_eq(wg_hex_format(s.changes.private_key, hex), KEY_A);
	cr_assert_eq(s.changes.peer_count, 2);
	p = &s.changes.peers[0];
	cr_expect_eq(p->set, WG_PEER_PRESHARED_KEY | WG_PEER_ENDPOINT | WG_PEER_KEEPALIVE |
				     WG_PEER_REPLACE_ALLOWED);
	cr_expect_str_eq(wg_hex_format(p->public_key, hex), KEY_B);
	cr_expect_str_eq(wg_hex_format(p->preshared_key, hex), KEY_A);
	cr_expect_eq(p->keepalive_s, 25);
	cr_assert_eq(p->allowed_count, 2);
	cr_expect_str_eq(prefix_format(&p->allowed[0].prefix, prefix), "10.0.0.0/24");
	cr_expect_not(p->allowed[0].remove);
	cr_expect_str_eq(prefix_format(&p->allowed[1].prefix, prefix), "2001:db8::/32");
	cr_expect(p->allowed[1].remove);
	p = &s.changes.peers[1];
	cr_expect_eq(p->set, WG_PEER_REMOVE | WG_PEER_UPDATE_ONLY);
	cr_expect_eq(p->allowed_count, 0);
	wg_uapi_free(&s);
}

Test(ctl_wg_uapi, a_wrong_line_is_named)
{
	static const struct {
		const char *text;
		int rc;
		unsigned line;
	} cases[] = {
		{"frob=1\n", -EINVAL, 1},
		{"listen_port\n", -EPROTO, 1},
		{"fwmark=1\nlisten_port=65536\n", -EINVAL, 2},
		{"listen_port=\n", -EINVAL, 1},
		{"fwmark=4294967296\n", -EINVAL, 1},
		{"fwmark=-1\n", -EINVAL, 1},
		{"replace_peers=false\n", -EINVAL, 1},
		{"allowed_ip=10.0.0.0/8\n", -EINVAL, 1}, /* no peer yet */
		{"public_key=12\n", -EINVAL, 1},
		{"public_key=" KEY_A "\nlisten_port=1\n", -EINVAL, 2}, /* too late */
		{"public_key=" KEY_A "\nprotocol_version=2\n", -EINVAL, 2},
		{"public_key=" KEY_A "\nprotocol_version=0\n", -EINVAL, 2},
		{"public_key=" KEY_A "\nallowed_ip=10.0.0.0/33\n", -EINVAL, 2},
		{"public_key=" KEY_A "\nallowed_ip=\n", -EINVAL, 2},
		{"public_key=" KEY_A "\nallowed_ip=-\n", -EINVAL, 2},
		{"public_key=" KEY_A "\nendpoint=192.0.2.1\n", -EINVAL, 2},
		{"public_key=" KEY_A "\npersistent_keepalive_interval=65536\n", -EINVAL, 2},
		{"public_key=" KEY_A "\nremove=True\n", -EINVAL, 2},
		{"public_key=" KEY_A "\n\nremove=true\n", -EPROTO, 2},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wg_uapi_set s = {0};
		unsigned line = 0;
		int rc = wg_uapi_parse(cases[i].text, strlen(cases[i].text), &s, &line);

		cr_expect_eq(rc, cases[i].rc, "'%s': %d", cases[i].text, rc);
		cr_expect_eq(line, cases[i].line, "'%s': line %u", cases[i].text, line);
		wg_uapi_free(&s);
	}
}

Test(ctl_wg_uapi, many_prefixes_of_many_peers_stay_theirs)
{
	enum { PEERS = 100, PREFIXES = 300 };
	struct wg_uapi_set s;
	unsigned line = 0;
	size_t size;
	char *text;
	FILE *f = open_memstream(&text, &size);

	for (unsigned i = 0; i < PEERS; i++) {
		fprintf(f, "public_key=%062u%02x\n", 0, i);
		for (unsigned j = 0; j < (i % 3 ? PREFIXES : 0); j++)
			fprintf(f, "allowed_ip=10.%u.%u.0/24\n", i, j % 256);
	}
	fclose(f);
	cr_assert_eq(wg_uapi_parse(text, size, &s, &line), 0, "line %u", line);
	cr_assert_eq(s.changes.peer_count, PEERS);
	for (unsigned i = 0; i < PEERS; i++) {
		const struct wg_peer_change *p = &s.changes.peers[i];

		cr_assert_eq(p->public_key[WG_KEY - 1], i);
		cr_assert_eq(p->allowed_count, i % 3 ? PREFIXES : 0);
		for (size_t j = 0; j < p->allowed_count; j++)
			cr_assert_eq(p->allowed[j].prefix.addr.v4,
				     10U << 24 | i << 16 | (uint32_t)(j % 256) << 8);
	}
	wg_uapi_free(&s);
	free(text);
}

Test(ctl_wg_uapi, a_device_is_printed)
{
	struct prefix allowed[2];
	struct wg_peer_state peers[2] = {
		{.keepalive_s = 25,
		 .handshake_ns = UINT64_C(1700000000) * WG_NS + 7,
		 .rx_bytes = 11,
		 .tx_bytes = 12,
		 .allowed = allowed,
		 .allowed_count = 2},
	};
	struct wg_snapshot device = {.port = 51820, .mark = 4660, .peers = peers, .peer_count = 2};
	static const char zero[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	char expected[2048], *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	cr_assert(wg_hex_parse(KEY_A, strlen(KEY_A), device.private_key));
	cr_assert(wg_hex_parse(KEY_B, strlen(KEY_B), peers[0].public_key));
	cr_assert_eq(wg_endpoint_parse("[2001:db8::1]:7", 15, &peers[0].endpoint), 0);
	cr_assert_eq(prefix_parse("10.0.0.0/8", 10, &allowed[0], NULL), 0);
	cr_assert_eq(prefix_parse("fd00::/8", 8, &allowed[1], NULL), 0);
	wg_uapi_print(&device, f);
	fclose(f);
	snprintf(expected, sizeof(expected),
		 "private_key=" KEY_A "\nlisten_port=51820\nfwmark=4660\n"
		 "public_key=" KEY_B "\npreshared_key=%s\nprotocol_version=1\n"
		 "endpoint=[2001:db8::1]:7\n"
		 "last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=7\n"
		 "tx_bytes=12\nrx_bytes=11\npersistent_keepalive_interval=25\n"
		 "allowed_ip=10.0.0.0/8\nallowed_ip=fd00::/8\n"
		 "public_key=%s\npreshared_key=%s\nprotocol_version=1\n"
		 "last_handshake_time_sec=0\nlast_handshake_time_nsec=0\n"
		 "tx_bytes=0\nrx_bytes=0\npersistent_keepalive_interval=0\n",
		 zero, zero, zero);
	cr_expect_str_eq(text, expected);
	free(text);
}
