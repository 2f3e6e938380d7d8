/* The parts of ctl/capture.h that touch no system: ports, notes, tables of sockets, plans, nft's
 * text. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/capture_nft.h"
#include "ctl/capture_note.h"
#include "ctl/capture_plan.h"
#include "ctl/connections.h"
#include "ctl/ports.h"

enum { TEXT_ROOM = 512 };

static struct addr addr(const char *text)
{
	struct addr out = {0};

	if (text[0] != '\0')
		cr_assert_eq(addr_parse(text, strlen(text), &out), 0, "%s", text);
	return out;
}

static struct prefix prefix(const char *text)
{
	struct prefix out;

	cr_assert_eq(prefix_parse(text, strlen(text), &out, NULL), 0, "%s", text);
	return out;
}

/* Two interface egresses, one of them untranslated, and two more on the same interfaces. */
static struct conf make_conf(enum conf_capture capture)
{
	struct conf conf = {
		.interface = {.name = "sluice0",
			      .capture = capture,
			      .from = {"lan0", "lan1"},
			      .from_count = capture == CONF_CAPTURE_FORWARD ? 2 : 0,
			      .mark = 0x51ce0000,
			      .table = 5260},
		.egresses = {{.type = CONF_EGRESS_DROP},
			     {.type = CONF_EGRESS_INTERFACE,
			      .interface = "eth0",
			      .nat = true,
			      .port_first = 40000,
			      .port_last = 49999},
			     {.type = CONF_EGRESS_INTERFACE,
			      .interface = "eth0",
			      .nat = true,
			      .port_first = 50000,
			      .port_last = 50999},
			     {.type = CONF_EGRESS_INTERFACE, .interface = "tun7"}},
		.egress_count = 4,
	};

	return conf;
}

/* ---- ports ---- */

Test(ctl_capture, ports_text)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} cases[] = {
		{"", ""},
		{"\n", ""},
		{"22", "22"},
		{"22\n", "22"},
		{"0,65535", "0,65535"},
		{"0-65535\n", "0-65535"},
		{"40000-44999,45001-59999", "40000-44999,45001-59999"},
		{"3,1,2", "1-3"},
		{"10-20,15-30,31", "10-31"},
		{"5-5", "5"},
		{" 1 , 2 ", "1-2"},
		{"63,64,127,128", "63-64,127-128"},
		{"65536", NULL},
		{"1-65536", NULL},
		{"9999999999999999999999", NULL},
		{"2-1", NULL},
		{"1-", NULL},
		{"-1", NULL},
		{"1;2", NULL},
		{"1,,2", NULL},
		{"x", NULL},
		{"1 2", NULL},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ports ports;
		char text[TEXT_ROOM] = "";
		int rc = ports_parse(cases[i].in, strlen(cases[i].in), &ports);

		cr_expect_eq(rc, cases[i].out ? 0 : -EINVAL, "'%s': %d", cases[i].in, rc);
		if (rc != 0 || !cases[i].out)
			continue;
		ports_format(&ports, text, sizeof text);
		cr_expect_str_eq(text, cases[i].out, "'%s': '%s', expected '%s'", cases[i].in, text,
				 cases[i].out);
	}
}

Test(ctl_capture, ports_format_cuts_between_items)
{
	static const char whole[] = "100-200,300-400";
	struct ports ports = {0};

	ports_add(&ports, 100, 200);
	ports_add(&ports, 300, 400);
	for (size_t size = 0; size <= sizeof whole; size++) {
		char *text = malloc(size + !size); /* its end is guarded by the sanitizer */
		const char *expected = size >= sizeof whole ? whole : size >= 8 ? "100-200" : "";

		cr_assert_not_null(text);
		cr_expect_eq(ports_format(&ports, text, size), sizeof whole - 1);
		if (size > 0)
			cr_expect_str_eq(text, expected, "%zu bytes: '%s'", size, text);
		free(text);
	}
}

Test(ctl_capture, ports_arithmetic)
{
	struct ports ours = {0}, before, both, added;

	/* What `down` must give back: not the port that somebody else had reserved. */
	ports_add(&ours, 40000, 59999);
	cr_assert_eq(ports_parse("22,45000", 8, &before), 0);
	added = ours;
	ports_subtract(&added, &before);
	both = before;
	ports_merge(&both, &ours);
	cr_expect(ports_has(&both, 45000) && ports_has(&both, 40000) && ports_has(&both, 59999));
	cr_expect(!ports_has(&both, 39999) && !ports_has(&both, 60000));
	ports_subtract(&both, &added);
	cr_expect_eq(memcmp(&both, &before, sizeof both), 0);
	cr_expect(!ports_empty(&both));
	ports_subtract(&both, &before);
	cr_expect(ports_empty(&both));
}

/* ---- notes ---- */

Test(ctl_capture, note_round_trip)
{
	static const char *const notes[] = {
		"sluice table=5260 mark=0x51ce0000",
		"sluice table=5260 mark=0x51ce0000 pid=4711 reserved=40000-44999,45001-59999",
		"sluice table=4294967295 mark=0xffff0000 reserved=1 strict=eth0:1,wlan0.5:0",
	};

	for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
		struct note note;
		char text[NOTE_MAX] = "";

		cr_expect(note_is_ours(notes[i]));
		cr_expect_eq(note_parse(notes[i], &note), 0, "%s", notes[i]);
		cr_expect_eq(note_format(&note, text, sizeof text), 0);
		cr_expect_str_eq(text, notes[i]);
		cr_expect_eq(note_format(&note, text, strlen(notes[i])), -E2BIG,
			     "no room for the terminator of %s", notes[i]);
	}
}

Test(ctl_capture, note_refused)
{
	static const char *const notes[] = {
		"",
		"sluice",
		"uplink",
		"sluices table=1",
		"sluice table=",
		"sluice table=x",
		"sluice table=-1",
		"sluice table=4294967296",
		"sluice table=99999999999999999999",
		"sluice reserved=2-1",
		"sluice strict=eth0",
		"sluice strict=:1",
		"sluice strict=name-of-16-chars:1",
		"sluice strict=a:1,b:1,c:1,d:1,e:1,f:1,g:1,h:1,i:1",
	};
	struct note note;

	for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
		cr_expect_eq(note_parse(notes[i], &note), -EINVAL, "taken: '%s'", notes[i]);
	cr_expect_eq(note_parse("sluice table=7 later=1 word", &note), 0);
	cr_expect_eq(note.table, 7);
}

Test(ctl_capture, note_too_long)
{
	struct note note = {.table = 5260, .mark = 0x51ce0000};
	char text[NOTE_MAX];

	for (unsigned port = 40000; port < 40200; port += 2)
		ports_add(&note.reserved, (uint16_t)port, (uint16_t)port);
	cr_expect_eq(note_format(&note, text, sizeof text), -E2BIG);
}

/* ---- tables of sockets ---- */

/* As a little-endian kernel writes them; the addresses are 192.0.2.2, 203.0.113.9 and the loopback.
 */
static const char tcp_text[] =
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
	"   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"
	"   1: 020200C0:0016 097100CB:C001 01 00000000:00000000 00:00000000 00000000     0\n"
	"   2: 020200C0:C350 097100CB:0050 01 00000000:00000000 00:00000000 00000000     0\n"
	"   3: 0100007F:0016 0100007F:C002 01 00000000:00000000 00:00000000 00000000     0\n"
	"   4: 020200C0:0016 097100CB:C003 06 00000000:00000000 00:00000000 00000000     0\n"
	"  5: 020200C0:0016 097100C\n"
	"garbage: \n"
	"10000: 020200C0:C351 097100CB:0050 06 00000000:00000000";
static const char tcp6_text[] =
	"  sl  local_address                         remote_address                        st\n"
	"   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A\n"
	"   1: B80D0120000000000000000002000000:1F90 B80D0120000000000000000009000000:C004 01\n"
	"   2: 0000000000000000FFFF0000020200C0:1F90 0000000000000000FFFF0000097100CB:C005 01\n";

Test(ctl_capture, connections_of_servers)
{
	static const struct {
		const char *local;
		uint16_t local_port;
		const char *remote;
		uint16_t remote_port;
	} expected[] = {
		{"192.0.2.2", 22, "203.0.113.9", 0xc001},
		{"2001:db8::2", 8080, "2001:db8::9", 0xc004},
		{"192.0.2.2", 8080, "203.0.113.9", 0xc005},
	};
	struct connections found = {0};
	struct ports listening = {0};

	/* Both tables first: a socket of one may listen for connections of the other. */
	connections_listeners(tcp_text, strlen(tcp_text), &listening);
	connections_listeners(tcp6_text, strlen(tcp6_text), &listening);
	cr_expect(ports_has(&listening, 22) && ports_has(&listening, 8080));
	cr_expect(!ports_has(&listening, 50000));
	cr_assert_eq(connections_collect(tcp_text, strlen(tcp_text), &listening, &found), 0);
	cr_assert_eq(connections_collect(tcp6_text, strlen(tcp6_text), &listening, &found), 0);
	cr_assert_eq(found.count, sizeof expected / sizeof *expected, "%zu found", found.count);
	for (size_t i = 0; i < found.count; i++) {
		const struct connection *at = &found.items[i];
		char local[ADDR_TEXT_MAX], remote[ADDR_TEXT_MAX];
		struct addr wanted_local = addr(expected[i].local);
		struct addr wanted_remote = addr(expected[i].remote);

		addr_format(&at->local, local);
		addr_format(&at->remote, remote);
		cr_expect_eq(link_addr_compare(&at->local, &wanted_local), 0, "%zu: %s", i, local);
		cr_expect_eq(link_addr_compare(&at->remote, &wanted_remote), 0, "%zu: %s", i,
			     remote);
		cr_expect_eq(at->local_port, expected[i].local_port);
		cr_expect_eq(at->remote_port, expected[i].remote_port);
	}
	connections_fini(&found);
}

Test(ctl_capture, connections_busy_ports)
{
	struct ports within = {0}, busy = {0};

	ports_add(&within, 40000, 59999);
	connections_ports(tcp_text, strlen(tcp_text), &within, 6, &busy);
	cr_expect(ports_has(&busy, 50000), "in use");
	cr_expect(!ports_has(&busy, 50001), "TIME_WAIT");
	cr_expect(!ports_has(&busy, 22), "not within");
}

Test(ctl_capture, connections_survive_any_cut)
{
	for (size_t size = 0; size < sizeof tcp6_text; size++) {
		char *text = malloc(size + !size); /* its end is guarded by the sanitizer */
		struct connections found = {0};
		struct ports listening = {0};

		cr_assert_not_null(text);
		memcpy(text, tcp6_text, size);
		connections_listeners(text, size, &listening);
		cr_expect_eq(connections_collect(text, size, &listening, &found), 0);
		connections_fini(&found);
		free(text);
	}
}

/* ---- plans ---- */

static void expect_rules(const struct conf *conf, uint8_t version, const char *const *expected,
			 size_t count)
{
	struct capture_rule rules[PLAN_RULES_MAX];
	unsigned n = plan_rules(conf, "sluice0", version, rules);

	cr_expect_eq(n, count, "%u rules, expected %zu", n, count);
	for (unsigned i = 0; i < n && i < count; i++) {
		char text[CAPTURE_TEXT_MAX];

		capture_rule_format(&rules[i], text);
		cr_expect_str_eq(text, expected[i], "%u: '%s', expected '%s'", i, text,
				 expected[i]);
		for (unsigned k = 0; k < n; k++)
			cr_expect_eq(capture_rule_equal(&rules[i], &rules[k]), i == k);
	}
}

Test(ctl_capture, plan_rules)
{
	static const char *const host[] = {
		"-4 5150: fwmark 0x51ce0002/0xffffffff lookup 5262",
		"-4 5150: fwmark 0x51ce0004/0xffffffff lookup 5264",
		"-4 5151: iif sluice0 lookup 254",
		"-4 5152: not fwmark 0x51ce0000/0xffff0000 lookup 5260",
	};
	/* A rule that says both "not fwmark" and "iif" would take all other interfaces. */
	static const char *const forward[] = {
		"-6 5150: fwmark 0x51ce0002/0xffffffff lookup 5262",
		"-6 5150: fwmark 0x51ce0004/0xffffffff lookup 5264",
		"-6 5153: nop",
		"-6 5151: iif lan0 fwmark 0x51ce0000/0xffff0000 goto 5153",
		"-6 5152: iif lan0 lookup 5260",
		"-6 5151: iif lan1 fwmark 0x51ce0000/0xffff0000 goto 5153",
		"-6 5152: iif lan1 lookup 5260",
	};
	struct conf conf = make_conf(CONF_CAPTURE_HOST);

	expect_rules(&conf, 4, host, sizeof host / sizeof *host);
	conf = make_conf(CONF_CAPTURE_FORWARD);
	expect_rules(&conf, 6, forward, sizeof forward / sizeof *forward);
	conf = make_conf(CONF_CAPTURE_NONE);
	expect_rules(&conf, 4, NULL, 0);
}

static void expect_routes(const struct capture_route *routes, unsigned n,
			  const char *const *expected, size_t count)
{
	cr_expect_eq(n, count, "%u routes, expected %zu", n, count);
	for (unsigned i = 0; i < n && i < count; i++) {
		char text[CAPTURE_TEXT_MAX];

		capture_route_format(&routes[i], text);
		cr_expect_str_eq(text, expected[i], "%u: '%s', expected '%s'", i, text,
				 expected[i]);
	}
}

Test(ctl_capture, plan_routes_close_first)
{
	static const char *const v4[] = {
		"unreachable 0.0.0.0/0 table 5260",    "throw 224.0.0.0/4 table 5260",
		"throw 255.255.255.255/32 table 5260", "throw 169.254.0.0/16 table 5260",
		"0.0.0.0/0 dev if999999 table 5260",
	};
	static const char *const v6_closed[] = {
		"unreachable ::/0 table 5260",
		"throw ff00::/8 table 5260",
		"throw fe80::/10 table 5260",
	};
	struct conf conf = make_conf(CONF_CAPTURE_HOST);
	struct capture_route routes[PLAN_ROUTES_MAX];
	unsigned n = plan_routes(&conf, 999999, 4, routes);

	expect_routes(routes, n, v4, sizeof v4 / sizeof *v4);
	cr_expect_gt(routes[0].metric, routes[n - 1].metric, "the unreachable route must be worse");
	expect_routes(routes, plan_routes(&conf, 0, 6, routes), v6_closed,
		      sizeof v6_closed / sizeof *v6_closed);
	conf = make_conf(CONF_CAPTURE_NONE);
	cr_expect_eq(plan_routes(&conf, 999999, 4, routes), 0);
}

Test(ctl_capture, plan_reply_routes)
{
	static const char *const v4[] = {
		"192.0.2.0/24 dev if999999 table 5262",
		"0.0.0.0/0 via 192.0.2.1 dev if999999 table 5262",
	};
	static const char *const v6[] = {
		"2001:db8::/64 dev if999999 table 5262",
	};
	static const char *const level3[] = {
		"192.0.2.0/24 dev if999999 table 5262",
		"0.0.0.0/0 dev if999999 table 5262",
	};
	struct conf conf = make_conf(CONF_CAPTURE_HOST);
	struct capture_route routes[PLAN_REPLY_ROUTES_MAX];
	struct link link = {
		.ifindex = 999999,
		.up = true,
		.ethernet = true,
		.address4 = addr("192.0.2.2"),
		.address6 = addr("2001:db8::2"),
		.gateway4 = addr("192.0.2.1"),
		.subnets = {prefix("192.0.2.0/24"), prefix("2001:db8::/64")},
		.subnet_count = 2,
	};

	expect_routes(routes, plan_reply_routes(&conf, 1, &link, 4, routes), v4, 2);
	expect_routes(routes, plan_reply_routes(&conf, 1, &link, 6, routes), v6, 1);
	cr_expect_eq(plan_reply_routes(&conf, 2, &link, 4, routes), 0, "second of its interface");
	cr_expect_eq(plan_reply_routes(&conf, 0, &link, 4, routes), 0, "no interface");
	link.ethernet = false;
	expect_routes(routes, plan_reply_routes(&conf, 1, &link, 4, routes), level3, 2);
	link.address4 = addr("");
	cr_expect_eq(plan_reply_routes(&conf, 1, &link, 4, routes), 0, "no address");
	link.address4 = addr("192.0.2.2");
	link.up = false;
	cr_expect_eq(plan_reply_routes(&conf, 1, &link, 4, routes), 0, "down");
}

Test(ctl_capture, plan_tables)
{
	static const struct {
		uint32_t capture, table;
		bool has;
	} cases[] = {
		{5260, 5259, false},
		{5260, 5260, true},
		{5260, 5260 + CONF_EGRESSES_MAX, true},
		{5260, 5261 + CONF_EGRESSES_MAX, false},
		{0, 0, false},
		{0, 254, false},
		{UINT32_MAX - 1, UINT32_MAX, true},
		{UINT32_MAX - 1, 5, false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		cr_expect_eq(plan_has_table(cases[i].capture, cases[i].table), cases[i].has,
			     "capture table %u, table %u", cases[i].capture, cases[i].table);
}

/* ---- nft ---- */

static char *write_nft(const struct conf *conf, const char *ifname, const struct ports *busy,
		       const struct connections *before, int *rc)
{
	struct nft_input input = {conf, ifname, busy, before, "sluice table=5260"};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	cr_assert_not_null(out);
	*rc = nft_write(out, &input);
	fclose(out);
	return text;
}

static void expect_lines(const char *text, const char *const *lines, size_t count, bool present)
{
	for (size_t i = 0; i < count; i++)
		cr_expect_eq(strstr(text, lines[i]) != NULL, present, "%s: %s\n%s",
			     present ? "not there" : "there", lines[i], text);
}

Test(ctl_capture, nft_text)
{
	static const char *const always[] = {
		"table inet sluice_sluice0 {}\ndelete table inet sluice_sluice0\n",
		"\tcomment \"sluice table=5260\"\n",
		"\t\telements = { 41000, 41001 }\n",
		"{ tcp, udp } th dport 40000-49999 th dport != @busy drop\n",
		"{ tcp, udp } th dport 50000-50999 th dport != @busy drop\n",
	};
	static const char *const host[] = {
		"\t\tiifname \"eth0\" ct direction original ct mark 0 ct mark set 0x51ce0002\n",
		"\t\tiifname \"tun7\" ct direction original ct mark 0 ct mark set 0x51ce0004\n",
		"{ \"lo\", \"sluice0\" } ct direction original ct mark 0 ct mark set 0x51ceffff\n",
		"\t\telements = { 192.0.2.2 . 22 . 203.0.113.9 . 50000 }\n",
		"udp sport 68 udp dport 67 meta mark set 0x51ce0000\n",
		"fib daddr . mark oifname { \"sluice0\", \"eth0\", \"tun7\" } meta mark set 0\n",
	};
	static const char *const forward[] = {
		"\t\tiifname != { \"lo\", \"sluice0\", \"lan0\", \"lan1\" } ct direction original",
	};
	static const char *const forged[] = {
		"\t\tiifname \"eth0\" ct state invalid fib daddr type != local fib daddr oifname {",
		"\t\tiifname \"eth0\" ct direction reply ct mark and 0xffff0000 != 0x51ce0000 fib",
		"\t\tiifname \"eth0\" ct direction reply ct mark 0x51ceffff fib",
	};
	static const char *const never[] = {
		"0x51ce0003",                    /* the second of its interface */
		"iifname \"tun7\" meta l4proto", /* not translated */
		"iifname \"tun7\" ct state",
	};
	struct connection one = {addr("192.0.2.2"), addr("203.0.113.9"), 22, 50000};
	struct connections before = {.items = &one, .count = 1};
	struct conf conf = make_conf(CONF_CAPTURE_HOST);
	struct ports busy = {0};
	char *text;
	int rc;

	ports_add(&busy, 41000, 41001);
	text = write_nft(&conf, "sluice0", &busy, &before, &rc);
	cr_expect_eq(rc, 0);
	expect_lines(text, always, sizeof always / sizeof *always, true);
	expect_lines(text, host, sizeof host / sizeof *host, true);
	expect_lines(text, forged, sizeof forged / sizeof *forged, true);
	expect_lines(text, never, sizeof never / sizeof *never, false);
	free(text);
	conf = make_conf(CONF_CAPTURE_FORWARD);
	text = write_nft(&conf, "sluice0", &busy, &before, &rc);
	expect_lines(text, always, sizeof always / sizeof *always, true);
	expect_lines(text, forward, 1, true);
	expect_lines(text, forged, sizeof forged / sizeof *forged, true);
	expect_lines(text, host + 2, 4, false);
	free(text);
	conf = make_conf(CONF_CAPTURE_NONE);
	text = write_nft(&conf, "sluice0", &busy, &before, &rc);
	expect_lines(text, always, sizeof always / sizeof *always, true);
	cr_expect_null(strstr(text, "ct mark"));
	cr_expect_null(strstr(text, "ct state"));
	free(text);
}

Test(ctl_capture, nft_names)
{
	static const char *const bad[] = {"a\"b", "eth*", "a\\b", "a b", "a\tb", "\xc3\xa4", ""};
	struct connections none = {0};
	struct ports busy = {0};
	char name[NFT_TABLE_NAME_MAX];

	cr_expect_str_eq(nft_table_name("sluice0", name), "sluice_sluice0");
	cr_expect_str_eq(nft_table_name("a:b@c\"d", name), "sluice_a_b_c_d");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct conf conf = make_conf(CONF_CAPTURE_FORWARD);
		int rc;

		snprintf(conf.egresses[3].interface, CONF_IFNAME_MAX, "%s", bad[i]);
		free(write_nft(&conf, "sluice0", &busy, &none, &rc));
		cr_expect_eq(rc, -EINVAL, "egress '%s'", bad[i]);
		conf = make_conf(CONF_CAPTURE_FORWARD);
		snprintf(conf.interface.from[1], CONF_IFNAME_MAX, "%s", bad[i]);
		free(write_nft(&conf, "sluice0", &busy, &none, &rc));
		cr_expect_eq(rc, -EINVAL, "From '%s'", bad[i]);
		conf = make_conf(CONF_CAPTURE_FORWARD);
		free(write_nft(&conf, bad[i], &busy, &none, &rc));
		cr_expect_eq(rc, -EINVAL, "TUN '%s'", bad[i]);
	}
}
