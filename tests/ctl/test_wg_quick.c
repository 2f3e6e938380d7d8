/* Files of wg-quick. */
#include "ctl/wireguard/quick.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "ctl/wireguard/text.h"

#define KEY "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
#define HEAD "[Interface]\nPrivateKey = " KEY "\n"

TestSuite(ctl_wg_quick);

Test(ctl_wg_quick, a_whole_file)
{
	static const char text[] =
		"# a comment\r\n[interface]\r\nprivatekey=" KEY "\r\nListenPort = 51820 # here\n"
		"FwMark = 0x1234\nAddress = 10.0.0.2/24, fd00::2/64\nAddress = 10.0.0.3\n"
		"DNS = 10.0.0.1, example.org\nMTU = 1400\nTable = off\nSaveConfig = true\n"
		"PreUp = echo %i\nPostUp = one\nPostUp = two\nPostDown = three\n"
		"\n[Peer]\nPublicKey = " KEY "\nPresharedKey = " KEY "\n"
		"AllowedIPs = 0.0.0.0/0, ::/0\nAllowedIPs = 10.1.2.3/8\n"
		"Endpoint = 192.0.2.1:7\nPersistentKeepalive = 25\n"
		"[Peer]\nPublicKey = " KEY "\nAllowedIPs =\nEndpoint = [2001:db8::1]:9\n"
		"PersistentKeepalive = off\n"
		"[Peer]\nPublicKey = " KEY "\nAllowedIPs = 10.9.0.0/16\n";
	struct conf_error err = {0};
	char prefix[PREFIX_TEXT_MAX], endpoint[WG_ENDPOINT_MAX];
	struct wg_quick q;

	cr_assert_eq(wg_quick_parse(text, strlen(text), &q, &err), 0, "%u:%u: %s", err.line,
		     err.column, err.text);
	cr_expect_eq(q.changes.set, WG_DEVICE_PRIVATE_KEY | WG_DEVICE_PORT);
	cr_expect_eq(q.changes.port, 51820);
	cr_expect_eq(q.address_count, 3);
	cr_expect_eq(q.mtu, 1400);
	cr_expect_eq(q.hook_count[WG_POST_UP], 2);
	cr_expect_str_eq(q.hooks[WG_POST_UP][1], "two");
	cr_expect_str_eq(q.hooks[WG_PRE_UP][0], "echo %i");
	cr_expect_eq(q.hook_count[WG_PRE_DOWN], 0);
	cr_assert_eq(q.changes.peer_count, 3);
	cr_assert_eq(q.peers[0].allowed_count, 3);
	cr_expect_str_eq(prefix_format(&q.peers[0].allowed[2].prefix, prefix), "10.0.0.0/8");
	cr_expect_eq(q.peers[0].keepalive_s, 25);
	cr_expect_eq(q.peers[1].allowed_count, 0);
	cr_expect_eq(q.peers[1].keepalive_s, 0);
	cr_assert_eq(q.peers[2].allowed_count, 1);
	cr_expect_str_eq(prefix_format(&q.peers[2].allowed[0].prefix, prefix), "10.9.0.0/16");
	cr_expect_eq(wg_quick_resolve(&q), 0);
	cr_expect_str_eq(wg_endpoint_format(&q.peers[0].endpoint, endpoint), "192.0.2.1:7");
	cr_expect_str_eq(wg_endpoint_format(&q.peers[1].endpoint, endpoint), "[2001:db8::1]:9");
	cr_expect_not(q.peers[2].set & WG_PEER_ENDPOINT);
	wg_quick_free(&q);
}

/* What wg-quick and wg take, though few write so. */
Test(ctl_wg_quick, odd_but_right)
{
	static const char text[] =
		"\t[Interface]  # first\n  PRIVATEKEY\t=" KEY " \t\r\nTable = 1234\nTable = auto\n"
		"FwMark = off\nDNS = 10.0.0.1 10.0.0.2,fd00::1\nSaveConfig = false\n"
		"Address=10.0.0.2/24 fd00::2/64,10.0.0.3 , 10.0.0.4/32,\nAddress =\nListenPort = "
		"0\n"
		"#[Peer]\n[PEER]\npublickey = " KEY "  # a key\nEndpoint = [fe80::1%lo]:7\n"
		"allowedips = 10.0.0.0/8\nALLOWEDIPS=10.0.0.0/8,fd00::/8\nPersistentKeepalive = 0\n"
		"[Peer]\nPublicKey = " KEY "\nEndpoint = far.example.:7"; /* no line end */
	struct conf_error err = {0};
	char endpoint[WG_ENDPOINT_MAX];
	struct wg_quick q;

	cr_assert_eq(wg_quick_parse(text, strlen(text), &q, &err), 0, "%u:%u: %s", err.line,
		     err.column, err.text);
	cr_expect_eq(q.address_count, 4);
	cr_expect_eq(q.addresses[0].len, 24);
	cr_expect_eq(q.addresses[1].addr.version, 6);
	cr_expect_eq(q.addresses[2].len, 32);
	cr_expect_eq(q.changes.port, 0);
	cr_assert_eq(q.changes.peer_count, 2);
	cr_expect_eq(q.peers[0].allowed_count, 3);
	cr_expect_str_eq(q.hosts[1].name, "far.example.");
	cr_expect_eq(wg_quick_resolve(&q), 1, "the second is a name");
	cr_expect_str_eq(wg_endpoint_format(&q.peers[0].endpoint, endpoint), "[fe80::1%lo]:7");
	wg_quick_free(&q);
}

Test(ctl_wg_quick, what_is_wrong_has_a_place)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *says;
	} cases[] = {
		{"PrivateKey = " KEY "\n", 1, 1, "expected [Interface] or [Peer] first"},
		{"[Interface]\n", 0, 0, "no PrivateKey"},
		{HEAD "[Interface]\n", 3, 1, "second [Interface]"},
		{HEAD "[Peers]\n", 3, 1, "expected [Interface] or [Peer]"},
		{HEAD "[Peer]\n", 3, 1, "[Peer] without PublicKey"},
		{HEAD "  Frob = 1\n", 3, 3, "unknown key 'Frob'"},
		{HEAD "Adress = 10.0.0.1\n", 3, 1, "unknown key 'Adress'; did you mean 'Address'?"},
		{HEAD "MTU\n", 3, 1, "expected KEY = VALUE"},
		{HEAD "ListenPort = 65536\n", 3, 14, "port out of range"},
		{HEAD "Address = 10.0.0.1/24, x\n", 3, 24, ""},
		{"[Interface]\nPrivateKey = 1234\n", 2, 14, "expected a key: 32 bytes in base64"},
		{HEAD "[Peer]\nPublicKey = " KEY "\nAllowedIPs = 10.0.0.0/8, 10.0.0.0/33\n", 5, 26,
		 "expected ADDRESS/LENGTH, not '10.0.0.0/33'"},
		{HEAD "[Peer]\nPublicKey = " KEY "\nEndpoint = example.org\n", 5, 12,
		 "expected HOST:PORT or [ADDRESS]:PORT, not 'example.org'"},
		{HEAD "[Peer]\nPublicKey = " KEY "\nEndpoint = 192.0.2.1:0\n", 5, 12,
		 "expected HOST:PORT or [ADDRESS]:PORT, not '192.0.2.1:0'"},
		{HEAD "[Peer]\nPublicKey = " KEY "\nPersistentKeepalive = x\n", 5, 23,
		 "number of seconds is not a number"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf_error err = {0};
		struct wg_quick q = {0};
		int rc = wg_quick_parse(cases[i].text, strlen(cases[i].text), &q, &err);

		cr_expect_eq(rc, -EINVAL, "%zu", i);
		cr_expect(err.line == cases[i].line && err.column == cases[i].column, "%zu: %u:%u",
			  i, err.line, err.column);
		cr_expect(strncmp(err.text, cases[i].says, strlen(cases[i].says)) == 0, "%zu: %s",
			  i, err.text);
		wg_quick_free(&q);
	}
}
