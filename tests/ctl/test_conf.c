/* ctl/conf.h: what the parser takes, what it refuses and where, and that printing is stable. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/conf.h"
#include "ctl/nearest.h"

/* Line 1 to 3, 4 to 6, 7 to 8, 9 to 11, 12 to 13: what every good file has. */
#define INTERFACE "[Interface]\nAddress = 10.66.0.2/24\nCapture = host\n"
#define DIRECT "[Egress direct]\nType = interface\nInterface = eth0\n"
#define LIST "[List mx]\nFile = mx.txt\n"
#define RULE "[Rule]\nList = mx\nEgress = direct\n"
#define DEFAULT "[Default]\nEgress = direct\n"
#define GOOD INTERFACE DIRECT LIST RULE DEFAULT

/* The canonical form of a text; the caller's. */
static char *print(const struct conf *conf)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	cr_assert_not_null(out);
	conf_print(conf, out);
	fclose(out);
	return text;
}

static int parse(const char *text, struct conf *conf, struct conf_error *err)
{
	return conf_parse("/etc/sluice/sluice.conf", text, strlen(text), conf, err);
}

static void parse_good(const char *text, struct conf *conf)
{
	struct conf_error err;
	int rc = parse(text, conf, &err);

	cr_assert_eq(rc, 0, "%s\nrefused: %u:%u: %s", text, err.line, err.column, err.text);
}

Test(ctl_conf, defaults)
{
	struct conf conf;

	parse_good(GOOD, &conf);
	cr_expect_str_eq(conf.path, "/etc/sluice/sluice.conf");
	cr_expect_str_eq(conf.interface.name, "sluice0");
	cr_expect_eq(conf.interface.mtu, 0);
	cr_expect_eq(conf.interface.queues, 0);
	cr_expect_eq(conf.interface.mark, 0x51ce0000);
	cr_expect_eq(conf.interface.table, 5260);
	cr_expect_eq(conf.interface.on_change, CONF_ON_CHANGE_RESET);
	cr_expect_eq(conf.interface.capture, CONF_CAPTURE_HOST);
	cr_expect_eq(conf.egress_count, 1);
	cr_expect(conf.egresses[0].nat);
	cr_expect_eq(conf.egresses[0].gateway4.version, 0);
	cr_expect_eq(conf.egresses[0].gateway6.version, 0);
	cr_expect_eq(conf.egresses[0].port_first, 40000);
	cr_expect_eq(conf.egresses[0].port_last, 59999);
	cr_expect_eq(conf.egresses[0].line, 4);
	cr_expect_eq(conf.list_count, 1);
	cr_expect(conf.lists[0].strict);
	cr_expect_eq(conf.lists[0].line, 7);
	cr_expect_eq(conf.rule_count, 1);
	cr_expect_eq(conf.rules[0].line, 9);
	conf_free(&conf);
}

/* Every key, every comment, every case; sections that name what comes later. */
static const char everything[] = "\xef\xbb\xbf# a comment\r\n"
				 "; another\n"
				 "\n"
				 "[default]\n"
				 "EGRESS = nowhere # not wide open\n"
				 "  [ Rule ]  \n"
				 "List=b ; the second\n"
				 "Egress=wan\n"
				 "[Rule]\n"
				 "\tList\t=\ta\n"
				 "\tEgress\t=\tlan.2_x\n"
				 "[Egress wan]\n"
				 "Type = INTERFACE\n"
				 "Interface = eth0.100\n"
				 "Gateway = 192.0.2.1, fe80::1\n"
				 "MTU = 1300\n"
				 "Nat = no\n"
				 "PortRange = 1024 - 1087\n"
				 "OnDown = lan.2_x\n"
				 "[Egress   lan.2_x]\n"
				 "Type = reject\n"
				 "[Egress nowhere]\n"
				 "Type = drop\n"
				 "[List a]\n"
				 "File = /some where/a#1.txt\n"
				 "Strict = no\n"
				 "[list b]\n"
				 "file = b.txt\n"
				 "[Interface]\n"
				 "Name = tun-x\n"
				 "Address = 10.66.0.2/24,fd66::2/64 , 10.67.0.1\n"
				 "MTU = 1280\n"
				 "Queues = 64\n"
				 "Capture = forward\n"
				 "From = lan0, lan1\n"
				 "Mark = 0x10000\n"
				 "Table = 4294967295\n"
				 "OnChange = keep\n"
				 "Cache = /srv/a cache # comment\n"
				 "SourceFlows = 5000\n"
				 "SourcePorts = 16777216";

static const char everything_printed[] = "[Interface]\n"
					 "Name = tun-x\n"
					 "Address = 10.66.0.2/24, fd66::2/64, 10.67.0.1/32\n"
					 "MTU = 1280\n"
					 "Queues = 64\n"
					 "Capture = forward\n"
					 "From = lan0, lan1\n"
					 "Mark = 0x10000\n"
					 "Table = 4294967295\n"
					 "OnChange = keep\n"
					 "Cache = /srv/a cache\n"
					 "SourceFlows = 5000\n"
					 "SourcePorts = 16777216\n"
					 "\n[Egress wan]\n"
					 "Type = interface\n"
					 "Interface = eth0.100\n"
					 "Gateway = 192.0.2.1, fe80::1\n"
					 "MTU = 1300\n"
					 "Nat = no\n"
					 "PortRange = 1024-1087\n"
					 "OnDown = lan.2_x\n"
					 "\n[Egress lan.2_x]\n"
					 "Type = reject\n"
					 "\n[Egress nowhere]\n"
					 "Type = drop\n"
					 "\n[List a]\n"
					 "File = /some where/a#1.txt\n"
					 "Strict = no\n"
					 "\n[List b]\n"
					 "File = b.txt\n"
					 "Strict = yes\n"
					 "\n[Rule]\n"
					 "List = b\n"
					 "Egress = wan\n"
					 "\n[Rule]\n"
					 "List = a\n"
					 "Egress = lan.2_x\n"
					 "\n[Default]\n"
					 "Egress = nowhere\n";

Test(ctl_conf, everything_is_read_and_printed)
{
	struct conf conf;
	char *text;

	parse_good(everything, &conf);
	text = print(&conf);
	cr_expect_str_eq(text, everything_printed, "printed:\n%s\nexpected:\n%s", text,
			 everything_printed);
	free(text);
	conf_free(&conf);
}

Test(ctl_conf, print_of_parse_is_stable)
{
	const char *const texts[] = {GOOD, everything, everything_printed};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct conf conf, again;
		char *first, *second;

		parse_good(texts[i], &conf);
		first = print(&conf);
		parse_good(first, &again);
		second = print(&again);
		cr_expect_str_eq(first, second, "first:\n%s\nsecond:\n%s", first, second);
		free(first);
		free(second);
		conf_free(&conf);
		conf_free(&again);
	}
}

Test(ctl_conf, good_values)
{
	static const char *const lines[] = {
		"MTU = 576\n",
		"MTU = 65535\n",
		"MTU = auto\n",
		"Queues = auto\n",
		"Queues = 1\n",
		"Mark = 0xffff0000\n",
		"Mark = 65536\n",
		"Table = 1\n",
		"Table = 252\n",
		"Table = 256\n",
		"OnChange = RESET\n",
		"Cache = NO\n",
		"Name = a2345678901234\n",
		"Name = wg@home\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char text[512];
		struct conf conf;

		snprintf(text, sizeof(text), "%s%s%s", INTERFACE, lines[i], DIRECT DEFAULT);
		parse_good(text, &conf);
		conf_free(&conf);
	}
}

struct bad_case {
	const char *text;
	unsigned line;
	unsigned column;
	const char *message;
};

static const struct bad_case bad_lines[] = {
	{"", 0, 0, "no [Interface] section"},
	{"\n\n# nothing\n", 0, 0, "no [Interface] section"},
	{INTERFACE DIRECT, 0, 0, "no [Default] section"},
	{"Name = a\n", 1, 1, "key 'Name' before any section"},
	{"[Interface]\nhello\n", 2, 1, "expected KEY = VALUE or [SECTION], not 'hello'"},
	{"[Interface]\n  he\x01llo\n", 2, 3, "expected KEY = VALUE or [SECTION], not 'he?llo'"},
	{"[Interface\n", 1, 1, "section header without ']'"},
	{"[\n", 1, 1, "section header without ']'"},
	{"[Interfaces]\n", 1, 2, "unknown section 'Interfaces'; did you mean 'Interface'?"},
	{"[ Egres x]\n", 1, 3, "unknown section 'Egres'; did you mean 'Egress'?"},
	{"[Peer]\n", 1, 2,
	 "unknown section 'Peer': expected Interface, Egress, List, Rule or Default"},
	{"[]\n", 1, 2, "unknown section '': expected Interface, Egress, List, Rule or Default"},
	{"[Interface tun0]\n", 1, 12, "[Interface] takes no name"},
	{"[Egress]\n", 1, 1, "[Egress] needs a name: [Egress NAME]"},
	{INTERFACE "[Interface]\n", 4, 1, "duplicate section [Interface]: line 1 has it already"},
	{DEFAULT DEFAULT, 3, 1, "duplicate section [Default]: line 1 has it already"},
	{"[Interface]\nAdress = 10.0.0.1\n", 2, 1, "unknown key 'Adress'; did you mean 'Address'?"},
	{"[Interface]\nColour = red\n", 2, 1,
	 "unknown key 'Colour': expected Name, Address, MTU, Queues, Capture, From, Mark, Table, "
	 "OnChange, Cache, SourceFlows or SourcePorts"},
	{"[Interface]\n = red\n", 2, 2,
	 "unknown key '': expected Name, Address, MTU, Queues, Capture, From, Mark, Table, "
	 "OnChange, Cache, SourceFlows or SourcePorts"},
	{"[Interface]\nMTU = 1400\nmtu = 1300\n", 3, 1,
	 "duplicate key 'MTU': line 2 has it already"},
	{"[Interface]\nMTU =\n", 2, 6, "no value for key 'MTU'"},
	{"[Interface]\nMTU = # 1400\n", 2, 6, "no value for key 'MTU'"},
	{"[Interface]\nMTU =#1400\n", 2, 6, "no value for key 'MTU'"},
	{"[Interface]\nCapture = forward\nFrom = a,#b\n", 3, 10, "not an interface name: '#b'"},
	{"[Interface]\nKillSwitch = on\n", 2, 1,
	 "key 'KillSwitch' is not supported by this version"},
};

static const struct bad_case bad_interfaces[] = {
	{"[Interface]\nName = sluice/0\n", 2, 8, "not an interface name: 'sluice/0'"},
	{"[Interface]\nName = ..\n", 2, 8, "not an interface name: '..'"},
	{"[Interface]\nName = tun%d\n", 2, 8, "not an interface name: 'tun%d'"},
	{"[Interface]\nName = a b\n", 2, 8, "not an interface name: 'a b'"},
	{"[Interface]\nName = a234567890123456\n", 2, 8,
	 "interface name longer than 15 bytes: 'a234567890123456'"},
	{"[Interface]\nAddress = 10.66.0.256/24\n", 2, 11, "not an address: '10.66.0.256'"},
	{"[Interface]\nAddress = 10.66.0.2/24, fd66::g\n", 2, 25, "not an address: 'fd66::g'"},
	{"[Interface]\nAddress = 10.66.0.2/24,\n", 2, 24, "not an address: ''"},
	{"[Interface]\nAddress = 10.66.0.2/33\n", 2, 21,
	 "prefix length out of range: '33', expected 0 to 32"},
	{"[Interface]\nAddress = fd66::2/129\n", 2, 19,
	 "prefix length out of range: '129', expected 0 to 128"},
	{"[Interface]\nAddress = fd66::2/\n", 2, 19, "prefix length is not a number: ''"},
	{"[Interface]\nAddress = 224.0.0.1\n", 2, 11, "not a unicast address: '224.0.0.1'"},
	{"[Interface]\nAddress = ::\n", 2, 11, "not a unicast address: '::'"},
	{"[Interface]\nAddress = 10.0.0.1/8, 10.0.0.1/24\n", 2, 23, "duplicate address"},
	{"[Interface]\nAddress = 1.0.0.1,1.0.0.2,1.0.0.3,1.0.0.4,1.0.0.5,1.0.0.6,1.0.0.7,1.0.0.8,"
	 "1.0.0.9\n",
	 2, 75, "more than 8 addresses"},
	{"[Interface]\nMTU = 575\n", 2, 7, "MTU out of range: '575', expected 576 to 65535"},
	{"[Interface]\nMTU = 65536\n", 2, 7, "MTU out of range: '65536', expected 576 to 65535"},
	{"[Interface]\nMTU = 99999999999999999999999\n", 2, 7,
	 "MTU out of range: '99999999999999999999999', expected 576 to 65535"},
	{"[Interface]\nMTU = 1400b\n", 2, 7, "MTU is not a number: '1400b'"},
	{"[Interface]\nMTU = -1\n", 2, 7, "MTU is not a number: '-1'"},
	{"[Interface]\nMTU = 1279\nAddress = 10.66.0.2, fd66::2\n", 2, 7,
	 "MTU 1279 is less than IPv6 needs, 1280"},
	{"[Interface]\nQueues = 0\n", 2, 10, "Queues out of range: '0', expected 1 to 64"},
	{"[Interface]\nQueues = many\n", 2, 10, "Queues is not a number: 'many'"},
	{"[Interface]\nCapture = hosts\n", 2, 11, "unknown capture 'hosts'; did you mean 'host'?"},
	{"[Interface]\nCapture = everything\n", 2, 11,
	 "unknown capture 'everything': expected none, host or forward"},
	{"[Interface]\nCapture = forward\n[Rule]\n", 2, 11, "Capture = forward without From"},
	{"[Interface]\nCapture = host\nFrom = lan0\n", 3, 8, "From without Capture = forward"},
	{"[Interface]\nFrom = lan0\n", 2, 8, "From without Capture = forward"},
	{"[Interface]\nCapture = forward\nFrom = lan0, lan0\n", 3, 14,
	 "duplicate interface 'lan0'"},
	{"[Interface]\nCapture = forward\nFrom = lan0,,lan1\n", 3, 13, "empty interface name"},
	{"[Interface]\nCapture = forward\nFrom = sluice0\n", 3, 8,
	 "From names the tunnel interface 'sluice0' itself"},
	{"[Interface]\nMark = 0x51ce0001\n", 2, 8,
	 "the low 16 bits of Mark must be zero: '0x51ce0001'"},
	{"[Interface]\nMark = 0\n", 2, 8, "Mark out of range: '0', expected 1 to 4294967295"},
	{"[Interface]\nMark = 0x\n", 2, 8, "Mark is not a number: '0x'"},
	{"[Interface]\nTable = 254\n", 2, 9, "table 254 is the system's own"},
	{"[Interface]\nTable = 4294967296\n", 2, 9,
	 "Table out of range: '4294967296', expected 1 to 4294967295"},
	{"[Interface]\nOnChange = restart\n", 2, 12,
	 "unknown reaction 'restart': expected reset or keep"},
	{"[Interface]\nCache = var/cache\n", 2, 9,
	 "expected no or an absolute path, not 'var/cache'"},
	{"[Interface]\nCache = yes\n", 2, 9, "expected no or an absolute path, not 'yes'"},
};

static const struct bad_case bad_egresses[] = {
	{"[Egress a/b]\n", 1, 9, "bad name 'a/b': letters, digits, '_', '.' and '-' only"},
	{"[Egress -a]\n", 1, 9, "bad name '-a': letters, digits, '_', '.' and '-' only"},
	{"[Egress a2345678901234567890123456789012]\n", 1, 9,
	 "name longer than 31 bytes: 'a2345678901234567890123456789012'"},
	{DIRECT DIRECT, 4, 9, "duplicate egress 'direct': line 1 has it already"},
	{"[Egress a]\n", 1, 1, "[Egress] without Type"},
	{"\n[Egress a]\nType = interface\n[Rule]\n", 2, 1, "[Egress] without Interface"},
	{"[Egress a]\nType = wireguard\n", 1, 1, "[Egress] without Config"},
	{"[Egress a]\nType = wireguard\nConfig = x\nNat = no\n", 4, 7,
	 "Nat is for Type = interface only"},
	{"[Egress a]\nType = interface\nInterface = eth0\nConfig = wg0.conf\n", 4, 10,
	 "Config is for Type = wireguard only"},
	{"[Egress a]\nType = drop\nHooks = yes\n", 3, 9, "Hooks is for Type = wireguard only"},
	{"[Egress a]\nType = wireguard\nConfig = x\nSplit = 1\n", 4, 9,
	 "expected yes or no, not '1'"},
	{"[Egress a]\nType = interfce\n", 2, 8,
	 "unknown type of egress 'interfce'; did you mean 'interface'?"},
	{"[Egress a]\nType = socks\n", 2, 8,
	 "unknown type of egress 'socks': expected interface, drop, reject or wireguard"},
	{"[Egress a]\nGateway = auto\nType = drop\n", 2, 11,
	 "Gateway is for Type = interface only"},
	{"[Egress a]\nGateway = router\n", 2, 11, "not an address: 'router'"},
	{"[Egress a]\nGateway = 192.0.2.1/24\n", 2, 11, "not an address: '192.0.2.1/24'"},
	{"[Egress a]\nGateway = 192.0.2.1, auto\n", 2, 22, "not an address: 'auto'"},
	{"[Egress a]\nGateway = 192.0.2.1, 192.0.2.2\n", 2, 22, "second IPv4 gateway"},
	{"[Egress a]\nGateway = ff02::1\n", 2, 11, "not a unicast address: 'ff02::1'"},
	{"[Interface]\nSourceFlows = 0\n", 2, 15,
	 "SourceFlows out of range: '0', expected 1 to 16777216"},
	{"[Interface]\nSourcePorts = all\n", 2, 15, "SourcePorts is not a number: 'all'"},
	{"[Egress a]\nMTU = 575\n", 2, 7, "MTU out of range: '575', expected 576 to 65535"},
	{"[Egress a]\nNat = maybe\n", 2, 7, "expected yes or no, not 'maybe'"},
	{"[Egress a]\nPortRange = 4000\n", 2, 13,
	 "not a range of ports: '4000', expected FIRST-LAST"},
	{"[Egress a]\nPortRange = 1023-2000\n", 2, 13,
	 "port out of range: '1023', expected 1024 to 65535"},
	{"[Egress a]\nPortRange = 2000-65536\n", 2, 18,
	 "port out of range: '65536', expected 1024 to 65535"},
	{"[Egress a]\nPortRange = 2000-2062\n", 2, 13,
	 "range of ports too small: '2000-2062', expected 64 at least"},
	{"[Egress a]\nPortRange = 3000-2000\n", 2, 13,
	 "range of ports too small: '3000-2000', expected 64 at least"},
	{INTERFACE DIRECT "[Egress b]\nType = interface\nInterface = eth0\n" DEFAULT, 9, 13,
	 "egress 'direct' has interface 'eth0' already"},
	{INTERFACE "[Egress b]\nType = interface\nInterface = sluice0\n" DEFAULT, 6, 13,
	 "interface 'sluice0' is Sluice's own: see Name in [Interface]"},
	{INTERFACE DIRECT "OnDown = direct\n" DEFAULT, 7, 10,
	 "egress 'direct' cannot stand in for itself"},
	{INTERFACE DIRECT "OnDown = vpn\n" DEFAULT, 7, 10, "unknown egress 'vpn': expected direct"},
	{"[Egress a]\nType = drop\nOnDown = reject\n", 3, 10,
	 "OnDown is for Type = interface only"},
};

static const struct bad_case bad_rules[] = {
	{LIST LIST, 3, 7, "duplicate list 'mx': line 1 has it already"},
	{"[List mx]\nStrict = no\n", 1, 1, "[List] without File"},
	{"[List mx]\nFile = a\nStrict = 1\n", 3, 10, "expected yes or no, not '1'"},
	{"[Rule]\nEgress = direct\n", 1, 1, "[Rule] without List"},
	{"[Rule]\nList = mx\n", 1, 1, "[Rule] without Egress"},
	{"[Rule]\nApp = /usr/bin/curl\n", 2, 1, "key 'App' is not supported by this version"},
	{"[Rule]\nUser = joe\n", 2, 1, "key 'User' is not supported by this version"},
	{"[Rule]\nsource = 10.0.0.1\n", 2, 1, "key 'Source' is not supported by this version"},
	{"[Rule]\nPort = 53\n", 2, 1, "key 'Port' is not supported by this version"},
	{"[Rule]\nProtocol = udp\n", 2, 1, "key 'Protocol' is not supported by this version"},
	{"[Default]\n", 1, 1, "[Default] without Egress"},
	{INTERFACE DIRECT LIST "[Rule]\nList = mxx\nEgress = direct\n" DEFAULT, 10, 8,
	 "unknown list 'mxx'; did you mean 'mx'?"},
	{INTERFACE DIRECT LIST "[Rule]\nList = MX\nEgress = direct\n" DEFAULT, 10, 8,
	 "unknown list 'MX'; did you mean 'mx'?"},
	{INTERFACE DIRECT "[Rule]\nList = mx\nEgress = direct\n" DEFAULT, 8, 8,
	 "unknown list 'mx'"},
	{INTERFACE DIRECT LIST "[Rule]\nList = mx\nEgress = driect\n" DEFAULT, 11, 10,
	 "unknown egress 'driect'; did you mean 'direct'?"},
	{INTERFACE DIRECT LIST RULE RULE DEFAULT, 13, 8,
	 "list 'mx' has a rule already, at line 9: it would win"},
	{INTERFACE DIRECT "[Default]\nEgress = vpn\n", 8, 10,
	 "unknown egress 'vpn': expected direct"},
};

static void expect_bad(const struct bad_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct bad_case *c = &cases[i];
		struct conf_error err = {0};
		struct conf conf;
		int rc = parse(c->text, &conf, &err);

		if (rc == 0)
			conf_free(&conf);
		cr_expect(rc == -EINVAL && err.line == c->line && err.column == c->column &&
				  strcmp(err.text, c->message) == 0,
			  "%s\n  expected %u:%u: %s\n  actual   %u:%u: %s (%d)", c->text, c->line,
			  c->column, c->message, err.line, err.column, err.text, rc);
	}
}

#define EXPECT_BAD(cases) expect_bad(cases, sizeof(cases) / sizeof((cases)[0]))

Test(ctl_conf, bad_lines_and_sections)
{
	EXPECT_BAD(bad_lines);
}

Test(ctl_conf, bad_interfaces)
{
	EXPECT_BAD(bad_interfaces);
}

Test(ctl_conf, bad_egresses)
{
	EXPECT_BAD(bad_egresses);
}

Test(ctl_conf, bad_rules_and_references)
{
	EXPECT_BAD(bad_rules);
}

Test(ctl_conf, a_zero_byte_is_refused)
{
	static const char text[] = "[Interface]\nName = a\0b\n";
	struct conf_error err;
	struct conf conf;

	cr_expect_eq(conf_parse(NULL, text, sizeof(text) - 1, &conf, &err), -EINVAL);
	cr_expect_eq(err.line, 2);
	cr_expect_str_eq(err.text, "a zero byte: this is no text");
}

/* A file may say all of it many times over, and still ends in an error, not in a crash. */
Test(ctl_conf, limits)
{
	struct conf_error err;
	struct conf conf;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fputs(INTERFACE DEFAULT DIRECT, out);
	for (int i = 0; i < CONF_EGRESSES_MAX; i++)
		fprintf(out, "[Egress e%d]\nType = drop\n", i);
	fclose(out);
	cr_expect_eq(conf_parse(NULL, text, size, &conf, &err), -EINVAL);
	cr_expect_str_eq(err.text, "more than 32 egresses");
	cr_expect_eq(err.line, 9 + 2 * (CONF_EGRESSES_MAX - 1));
	free(text);
}

Test(ctl_conf, many_lists_and_rules)
{
	enum { COUNT = 1000 };
	struct conf_error err;
	struct conf conf;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fputs(INTERFACE DIRECT DEFAULT, out);
	for (int i = 0; i < COUNT; i++)
		fprintf(out, "[Rule]\nList = l%d\nEgress = direct\n", COUNT - 1 - i);
	for (int i = 0; i < COUNT; i++)
		fprintf(out, "[List l%d]\nFile = %d.txt\n", i, i);
	fclose(out);
	cr_assert_eq(conf_parse(NULL, text, size, &conf, &err), 0, "%u:%u: %s", err.line,
		     err.column, err.text);
	cr_expect_eq(conf.list_count, COUNT);
	cr_expect_eq(conf.rule_count, COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		cr_expect_eq(conf.rules[i].list, COUNT - 1 - i);
	cr_expect_str_eq(conf.lists[999].file, "999.txt");
	conf_free(&conf);
	free(text);
}

Test(ctl_conf, the_shipped_example_parses)
{
	static char text[65536];
	FILE *in = fopen("examples/sluice.conf", "r");
	struct conf conf;
	size_t size;

	if (in == NULL)
		cr_skip("not run from the top of the tree");
	size = fread(text, 1, sizeof(text) - 1, in);
	fclose(in);
	text[size] = '\0';
	parse_good(text, &conf);
	cr_expect_gt(conf.rule_count, 0);
	conf_free(&conf);
}

Test(ctl_conf, list_paths)
{
	static const struct {
		const char *conf;
		const char *file;
		const char *path;
	} cases[] = {
		{"/etc/sluice/sluice.conf", "mx.txt", "/etc/sluice/mx.txt"},
		{"/etc/sluice/sluice.conf", "lists/mx.txt", "/etc/sluice/lists/mx.txt"},
		{"/etc/sluice/sluice.conf", "/var/mx.txt", "/var/mx.txt"},
		{"/sluice.conf", "mx.txt", "/mx.txt"},
		{"sluice.conf", "mx.txt", "mx.txt"},
		{NULL, "mx.txt", "mx.txt"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf conf = {.path = (char *)cases[i].conf};
		struct conf_list list = {.file = (char *)cases[i].file};
		char *path = conf_file_path(&conf, list.file);

		cr_expect_str_eq(path, cases[i].path, "%s in %s: expected %s, actual %s",
				 cases[i].file, cases[i].conf, cases[i].path, path);
		free(path);
	}
}

Test(ctl_conf, list_names)
{
	static const struct {
		const char *file;
		const char *name; /* NULL: refused */
	} cases[] = {
		{"country-mx.txt", "country-mx"},
		{"/var/lib/country-mx.txt.gz", "country-mx"},
		{"plain", "plain"},
		{"a.b.c", "a.b"},
		{".hidden", ".hidden"},
		{"-x.txt", "_x"},
		{"a b(1).txt", "a_b_1_"},
		{"dir/", NULL},
		{"", NULL},
		{"a2345678901234567890123456789012.txt", NULL},
		{"a234567890123456789012345678901.txt", "a234567890123456789012345678901"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char name[CONF_NAME_MAX] = "";
		int rc = conf_list_name(cases[i].file, name);

		cr_expect_eq(rc, cases[i].name != NULL ? 0 : -EINVAL, "%s", cases[i].file);
		if (cases[i].name != NULL)
			cr_expect_str_eq(name, cases[i].name, "%s: expected %s, actual %s",
					 cases[i].file, cases[i].name, name);
	}
}

Test(ctl_conf, from_options)
{
	static const char *const files[] = {"lists/mx.txt", "/tmp/de.txt.gz"};

	for (int include = 0; include < 2; include++) {
		struct conf_error err;
		struct conf conf, again;
		char *text;

		cr_assert_eq(conf_from_options(files, 2, "eth0", "wg0", include, &conf, &err), 0,
			     "%s", err.text);
		cr_expect_eq(conf.interface.capture, CONF_CAPTURE_HOST);
		cr_expect_eq(conf.egress_count, 2);
		cr_expect_str_eq(conf.egresses[conf.default_egress].interface,
				 include ? "eth0" : "wg0");
		cr_expect_str_eq(conf.egresses[conf.rules[1].egress].interface,
				 include ? "wg0" : "eth0");
		cr_expect_str_eq(conf.lists[conf.rules[1].list].name, "de");
		/* It is what a file could have said. */
		text = print(&conf);
		parse_good(text, &again);
		free(text);
		conf_free(&again);
		conf_free(&conf);
	}
}

Test(ctl_conf, a_file_is_the_tunnel)
{
	static const char *const tunnels[] = {"wg0.conf", "./wg0", "/etc/wireguard/wg0.conf"};
	static const char *const files[] = {"mx.txt"};

	for (unsigned i = 0; i < 3; i++) {
		struct conf_error err;
		struct conf conf, again;
		char *text;

		cr_assert_eq(conf_from_options(files, 1, "eth0", tunnels[i], false, &conf, &err), 0,
			     "%s", err.text);
		cr_expect_eq(conf.egresses[1].type, CONF_EGRESS_WIREGUARD);
		cr_expect_str_eq(conf.egresses[1].config, tunnels[i]);
		cr_expect_str_eq(conf.egresses[1].interface, "");
		cr_expect_eq(conf.interface.address_count, 0, "they are the file's");
		text = print(&conf);
		parse_good(text, &again);
		free(text);
		conf_free(&again);
		conf_free(&conf);
	}
}

Test(ctl_conf, bad_options)
{
	static const struct {
		const char *files[2];
		const char *direct;
		const char *tunnel;
		const char *message;
	} cases[] = {
		{{"a.txt", "b.txt"},
		 "eth0",
		 "eth0",
		 "'eth0' cannot be both the direct interface and the tunnel"},
		{{"a.txt", "x/a.txt"}, "eth0", "wg0", "two lists would be named 'a'"},
		{{"a.txt", ""}, "eth0", "wg0", "no name for a list in ''"},
		{{"a.txt", "b.txt"}, "eth/0", "wg0", "not an interface name: 'eth/0'"},
		{{"a.txt", "b.txt"}, "eth0", "sluice0", "interface 'sluice0' is Sluice's own"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf_error err = {0};
		struct conf conf;

		cr_expect_eq(conf_from_options(cases[i].files, 2, cases[i].direct, cases[i].tunnel,
					       false, &conf, &err),
			     -EINVAL);
		cr_expect_str_eq(err.text, cases[i].message, "expected %s, actual %s",
				 cases[i].message, err.text);
	}
}

Test(ctl_nearest, distances)
{
	static const struct {
		const char *a;
		const char *b;
		unsigned distance;
	} cases[] = {
		{"", "", 0},        {"a", "", 1},
		{"abc", "abc", 0},  {"abc", "ABC", 0},
		{"abc", "acb", 1},  {"abc", "xbc", 1},
		{"abc", "abcd", 1}, {"kitten", "sitting", 3},
		{"ca", "abc", 3},   {"driect", "direct", 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *a = cases[i].a, *b = cases[i].b;
		unsigned there = nearest_distance(a, strlen(a), b, strlen(b));
		unsigned back = nearest_distance(b, strlen(b), a, strlen(a));

		cr_expect_eq(there, cases[i].distance, "%s, %s: expected %u, actual %u", a, b,
			     cases[i].distance, there);
		cr_expect_eq(back, there, "%s, %s: %u there, %u back", a, b, there, back);
	}
}
