/* ctl/client.h and the commands that use it, against a daemon that says what the case tells it to.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/reply.h"

enum {
	REQUEST_MAX = 1024,
	WORDS_MAX = 12,
};

/* Answers one client with one text, whatever it asks, and remembers what that was. */
struct fake {
	char folder[32];
	struct sockaddr_un addr;
	int listener;
	const char *answer; /* NULL: hang up */
	char request[REQUEST_MAX];
	pthread_t thread;
};

static void *serve(void *context)
{
	struct fake *f = context;
	int fd = accept(f->listener, NULL, NULL);
	size_t size = 0;
	ssize_t n = 1;

	while (n > 0 && memchr(f->request, '\n', size) == NULL) {
		n = recv(fd, f->request + size, REQUEST_MAX - 1 - size, 0);
		size += n > 0 ? (size_t)n : 0;
	}
	f->request[size > 0 ? size - 1 : 0] = '\0';
	/* In pieces, as a socket may deliver it. */
	for (const char *c = f->answer; c != NULL && *c != '\0'; c++)
		send(fd, c, 1, MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static void fake_start(struct fake *f, const char *answer)
{
	*f = (struct fake){.folder = "/tmp/sluice-test.XXXXXX", .answer = answer};
	cr_assert_not_null(mkdtemp(f->folder));
	f->addr.sun_family = AF_UNIX;
	snprintf(f->addr.sun_path, sizeof(f->addr.sun_path), "%s/sock", f->folder);
	f->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(f->listener, (struct sockaddr *)&f->addr, sizeof(f->addr)), 0);
	cr_assert_eq(listen(f->listener, 1), 0);
	cr_assert_eq(pthread_create(&f->thread, NULL, serve, f), 0);
}

static void fake_stop(struct fake *f)
{
	pthread_join(f->thread, NULL);
	close(f->listener);
	unlink(f->addr.sun_path);
	rmdir(f->folder);
}

#define REPLY(result) "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":" result "}\n"
#define ERROR(data)                                                                                \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"no\"" data "}}\n"

Test(ctl_client, replies, .init = cr_redirect_stderr)
{
	static const struct {
		const char *answer;
		int status;
	} cases[] = {
		{REPLY("{\"a\":1}"), STATUS_OK},
		{"{\"method\":\"event\",\"params\":{}}\n" REPLY("{\"a\":1}"), STATUS_OK},
		{"{\"id\":9,\"result\":{\"a\":2}}\n" REPLY("{\"a\":1}"), STATUS_OK},
		{ERROR(""), STATUS_REFUSED},
		{ERROR(",\"data\":{\"reason\":\"list_syntax\"}"), STATUS_REFUSED},
		{ERROR(",\"data\":{\"reason\":\"not_found\"}"), STATUS_NOT_FOUND},
		{"{\"id\":null,\"error\":{\"code\":-32700,\"message\":\"x\"}}\n", STATUS_REFUSED},
		{NULL, STATUS_NO_DAEMON},
		{"", STATUS_NO_DAEMON},
		{"{\"id\":1,\"result\":{", STATUS_NO_DAEMON},
		{"hello\n", STATUS_NO_DAEMON},
		{"[]\n", STATUS_NO_DAEMON},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct options options = {0};
		json_t *result = NULL;
		struct fake f;
		int status;

		fake_start(&f, cases[i].answer);
		options.socket = f.addr.sun_path;
		status = client_call(&options, "noun.verb", json_pack("{s:s}", "k", "v"), &result);
		fake_stop(&f);
		cr_expect_eq(status, cases[i].status, "%s: expected %d, actual %d", cases[i].answer,
			     cases[i].status, status);
		cr_expect_eq(reply_number(result, "a"), cases[i].status == STATUS_OK, "%s",
			     cases[i].answer);
		cr_expect_str_eq(f.request,
				 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"noun.verb\","
				 "\"params\":{\"k\":\"v\"}}");
		json_decref(result);
	}
}

Test(ctl_client, no_daemon, .init = cr_redirect_stderr)
{
	struct options options = {.socket = "/nonexistent/sock"};
	json_t *result;

	cr_expect_eq(client_call(&options, "status", NULL, &result), STATUS_NO_DAEMON);
	fflush(stderr);
	cr_expect_stderr_eq_str(
		"sluice: cannot reach the daemon at /nonexistent/sock: No such file or directory\n"
		"        start it with `sluice run`, or name its socket with -S PATH\n");
}

Test(ctl_client, a_path_that_is_too_long, .init = cr_redirect_stderr)
{
	struct options options = {0};
	char path[200];
	json_t *result;

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	options.socket = path;
	cr_expect_eq(client_call(&options, "status", NULL, &result), STATUS_NO_DAEMON);
}

static void *listen_late(void *context)
{
	struct fake *f = context;

	usleep(200000);
	cr_assert_eq(listen(f->listener, 1), 0);
	return serve(f);
}

Test(ctl_client, waits_for_the_daemon, .init = cr_redirect_stderr)
{
	struct fake f = {.folder = "/tmp/sluice-test.XXXXXX", .answer = REPLY("{}")};
	struct options options = {.socket = f.addr.sun_path, .wait_ms = 10000};
	json_t *result = NULL;

	cr_assert_not_null(mkdtemp(f.folder));
	f.addr.sun_family = AF_UNIX;
	snprintf(f.addr.sun_path, sizeof(f.addr.sun_path), "%s/sock", f.folder);
	f.listener = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(f.listener, (struct sockaddr *)&f.addr, sizeof(f.addr)), 0);
	cr_assert_eq(pthread_create(&f.thread, NULL, listen_late, &f), 0);
	cr_expect_eq(client_call(&options, "status", NULL, &result), STATUS_OK);
	json_decref(result);
	fake_stop(&f);
}

Test(ctl_client, errors_are_explained)
{
	static const struct {
		const char *error;
		const char *text;
	} cases[] = {
		{"{\"message\":\"m\",\"data\":{\"reason\":\"list_syntax\",\"file\":\"a.txt\","
		 "\"line\":17,\"col\":1,\"text\":\"not a prefix: 'foo'\"}}",
		 "a.txt:17:1: not a prefix: 'foo'"},
		{"{\"message\":\"m\",\"data\":{\"file\":\"a.txt\",\"line\":0,\"col\":0,\"text\":"
		 "\"t\"}}",
		 "a.txt: t"},
		{"{\"message\":\"m\",\"data\":{\"file\":\"\",\"text\":\"t\"}}", "sluice: t"},
		{"{\"message\":\"m\",\"data\":{\"reason\":\"refused\"}}", "sluice: m"},
		{"{\"data\":{\"reason\":\"refused\"}}", "sluice: refused"},
		{"{}", "sluice: refused without a reason"},
		{"7", "sluice: refused without a reason"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *error = json_loads(cases[i].error, JSON_DECODE_ANY, NULL);
		char text[200];

		client_explain_error(error, text, sizeof(text));
		cr_expect_str_eq(text, cases[i].text, "%s: expected '%s', actual '%s'",
				 cases[i].error, cases[i].text, text);
		json_decref(error);
	}
}

/* A command, what the daemon is asked, what it says, and what is shown. */
struct command_case {
	int (*run)(const struct options *options, int argc, char **argv);
	const char *words[WORDS_MAX];
	const char *params; /* of the request; "" for none */
	const char *result;
	struct options options;
	int status;
	const char *output;
};

#define GET_LIST                                                                                   \
	"{\"address\":\"201.144.1.1\",\"verdict\":\"list\",\"rule\":0,\"list\":\"mx\","            \
	"\"file\":\"/etc/mx.txt\",\"line\":702,\"prefix\":\"201.144.0.0/"                          \
	"14\",\"egress\":\"direct\","                                                              \
	"\"type\":\"interface\",\"interface\":\"eth0\",\"next_hop\":{\"address\":\"192.0.2.1\","   \
	"\"mac\":\"52:54:00:00:00:01\"},\"reason\":null,\"flow\":{\"proto\":\"tcp\","              \
	"\"source\":\"10.66.0.2\",\"source_port\":50000,\"destination\":\"201.144.1.1\","          \
	"\"destination_port\":443,\"egress\":\"direct\",\"translated_port\":40001,"                \
	"\"state\":\"established\",\"age_s\":75,\"idle_s\":0},\"generation\":7}"

#define TWO_EGRESSES                                                                               \
	"{\"egresses\":[{\"name\":\"direct\",\"type\":\"interface\",\"up\":true},"                 \
	"{\"name\":\"none\",\"type\":\"drop\"}]}"

#define FLOWS                                                                                      \
	"{\"flows\":[{\"proto\":\"tcp\",\"source\":\"10.0.0.1\",\"source_port\":5},"               \
	"{\"proto\":\"udp\",\"source\":\"fd66::2\",\"source_port\":70}],\"total\":9,"              \
	"\"truncated\":true}"

static const struct command_case command_cases[] = {
	{cmd_get,
	 {"get", "201.144.1.1", "from", "10.66.0.2", "proto", "tcp", "dport", "443", "sport",
	  "50000"},
	 "{\"address\":\"201.144.1.1\",\"from\":\"10.66.0.2\",\"proto\":\"tcp\",\"dport\":443,"
	 "\"sport\":50000}",
	 GET_LIST,
	 {0},
	 STATUS_OK,
	 "201.144.1.1 via 192.0.2.1 dev eth0 lladdr 52:54:00:00:00:01 egress direct type interface "
	 "list mx prefix 201.144.0.0/14 generation 7\n"
	 "    /etc/mx.txt:702, list mx: 201.144.0.0/14 is the longest prefix that holds it\n"
	 "    rule 0 sends list mx to egress direct\n"
	 "    flow: tcp 10.66.0.2 port 50000 to 201.144.1.1 port 443 by direct, translated to port "
	 "40001, established, age 1m 15s, idle 0s\n"},
	{cmd_get,
	 {"get", "8.8.8.8"},
	 "{\"address\":\"8.8.8.8\"}",
	 "{\"address\":\"8.8.8.8\",\"verdict\":\"default\",\"rule\":null,\"egress\":\"none\","
	 "\"type\":\"drop\",\"next_hop\":null,\"reason\":null,\"flow\":null,\"generation\":1}",
	 {0},
	 STATUS_OK,
	 "8.8.8.8 egress none type drop generation 1\n"
	 "    no list has it: the default egress, none\n"
	 "    it is dropped, and its sender hears nothing\n"},
	{cmd_get,
	 {"get", "8.8.8.8"},
	 "{\"address\":\"8.8.8.8\"}",
	 "{\"address\":\"8.8.8.8\"}",
	 {.json = true},
	 STATUS_OK,
	 "{\"address\":\"8.8.8.8\"}\n"},
	{cmd_reload,
	 {"reload"},
	 "",
	 "{\"generation\":7,\"parse_us\":1204,\"build_us\":400,\"publish_us\":31.4,\"v4\":798,"
	 "\"v6\":207}",
	 {0},
	 STATUS_OK,
	 "generation 7: 798 IPv4 + 207 IPv6 prefixes, parsed in 1.2 ms, built in 400 us, published "
	 "in 31 us\n"},
	{cmd_reload,
	 {"reload", "mx", "de"},
	 "{\"lists\":[\"mx\",\"de\"]}",
	 "{\"generation\":8}",
	 {0},
	 STATUS_OK,
	 "generation 8: 0 IPv4 + 0 IPv6 prefixes, parsed in 0.0 us, built in 0.0 us, published in "
	 "0.0 us\n"},
	{cmd_reload,
	 {"reload"},
	 "",
	 "{\"generation\":9,\"lists_read\":3,\"lists_cached\":2}",
	 {0},
	 STATUS_OK,
	 "generation 9: 0 IPv4 + 0 IPv6 prefixes, parsed in 0.0 us (2 of 3 lists from the cache), "
	 "built in 0.0 us, published in 0.0 us\n"},
	{cmd_egress,
	 {"egress", "sh"},
	 "",
	 TWO_EGRESSES,
	 {0},
	 STATUS_OK,
	 "EGRESS  TYPE       LINK\n"
	 "direct  interface  up\n"
	 "none    drop       -\n"},
	{cmd_egress,
	 {"egress", "show", "none"},
	 "",
	 TWO_EGRESSES,
	 {.json = true},
	 STATUS_OK,
	 "{\"egresses\":[{\"name\":\"none\",\"type\":\"drop\"}]}\n"},
	{cmd_egress, {"egress", "show", "x"}, "", TWO_EGRESSES, {0}, STATUS_NOT_FOUND, ""},
	{cmd_rule,
	 {"rule"},
	 "",
	 "{\"rules\":[{\"index\":0,\"list\":\"mx\",\"egress\":\"direct\",\"v4\":12}],"
	 "\"default\":\"vpn\"}",
	 {0},
	 STATUS_OK,
	 "   RULE  LIST  EGRESS  IPV4\n"
	 "      0  mx    direct    12\n"
	 "default  -     vpn        -\n"},
	{cmd_flow,
	 {"flow", "show", "egress", "direct", "limit", "2", "address", "10.0.0.1"},
	 "{\"limit\":2,\"egress\":\"direct\",\"address\":\"10.0.0.1\"}",
	 FLOWS,
	 {0},
	 STATUS_OK,
	 "PROTO  SOURCE    PORT\n"
	 "tcp    10.0.0.1     5\n"
	 "udp    fd66::2     70\n"
	 "\n2 of 9 flows; see more with limit\n"},
	{cmd_flow,
	 {"flow"},
	 "{\"limit\":100}",
	 FLOWS,
	 {.family = 6},
	 STATUS_OK,
	 "PROTO  SOURCE   PORT\n"
	 "udp    fd66::2    70\n"
	 "\n1 of 9 flows; see more with limit\n"},
	{cmd_stats,
	 {"stats"},
	 "",
	 "{\"counters\":[{\"name\":\"packets_in\",\"value\":5,\"help\":\"h\"},"
	 "{\"name\":\"bytes_in\",\"value\":0,\"help\":\"h\"}],\"drops\":[{\"reason\":\"ttl\","
	 "\"value\":0}],\"egresses\":[{\"name\":\"direct\",\"bytes_out\":1536}],\"queues\":[]}",
	 {0},
	 STATUS_OK,
	 "COUNTER     VALUE\n"
	 "packets_in      5\n"
	 "\n"
	 "EGRESS  BYTES OUT\n"
	 "direct    1.5 KiB\n"},
	{cmd_status,
	 {"status"},
	 "",
	 "{\"name\":\"sluice0\",\"version\":\"0.1.0\",\"pid\":7,\"uptime_s\":90000,"
	 "\"generation\":3,\"capture\":\"host\",\"table\":5260,\"mark\":1372454912,\"mtu\":1420,"
	 "\"offloads\":\"csum "
	 "tso4\",\"steering\":\"endpoint\",\"queues\":[{\"index\":0,\"cpu\":1,\"polling\":false}],"
	 "\"egresses\":[{\"name\":\"a\",\"type\":\"drop\"}],\"lists\":[],\"default\":\"a\","
	 "\"table_bytes\":33554432,\"flows\":12,\"healthy\":true}",
	 {0},
	 STATUS_OK,
	 "sluice0 is healthy: up 1d 1h, generation 3, 12 flows, pid 7, version 0.1.0\n"
	 "  capture host (mark 0x51ce0000, table 5260), mtu 1420, offloads csum tso4, "
	 "queues by endpoint\n"
	 "  default egress a, table 32.0 MiB\n"
	 "\n"
	 "EGRESS  TYPE\n"
	 "a       drop\n"
	 "\n"
	 "QUEUE  CPU  STATE\n"
	 "    0    1  sleeping\n"},
};

static unsigned count_words(const char *const words[WORDS_MAX])
{
	unsigned count = 0;

	while (count < WORDS_MAX && words[count] != NULL)
		count++;
	return count;
}

static void redirect_all(void)
{
	cr_redirect_stdout();
	cr_redirect_stderr();
}

/* All that was written to stdout since it was redirected. */
static void read_output(char *out, size_t size)
{
	FILE *from = cr_get_redirected_stdout();
	size_t n;

	fflush(stdout);
	fclose(stdout); /* the end of what can be read */
	n = fread(out, 1, size - 1, from);
	out[n] = '\0';
}

static void run_case(const struct command_case *c)
{
	struct options options = c->options;
	char answer[4096], request[REQUEST_MAX], output[4096];
	struct fake f;
	int status;

	snprintf(answer, sizeof(answer), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":%s}\n",
		 c->result);
	fake_start(&f, answer);
	options.socket = f.addr.sun_path;
	status = c->run(&options, (int)count_words(c->words), (char **)c->words);
	fake_stop(&f);
	read_output(output, sizeof(output));
	snprintf(request, sizeof(request), "\"params\":%s}", c->params);
	if (c->params[0] == '\0')
		cr_expect_null(strstr(f.request, "params"), "%s: asked %s", c->words[0], f.request);
	else
		cr_expect_not_null(strstr(f.request, request), "%s: expected %s, asked %s",
				   c->words[0], request, f.request);
	cr_expect_eq(status, c->status, "%s: expected %d, actual %d", c->words[0], c->status,
		     status);
	cr_expect_str_eq(output, c->output, "%s: expected\n%s\nactual\n%s", c->words[0], c->output,
			 output);
}

/* A process each: standard output can be redirected only once in one. */
ParameterizedTestParameters(ctl_commands, output)
{
	enum { COUNT = sizeof(command_cases) / sizeof(command_cases[0]) };
	static int indexes[COUNT];

	for (int i = 0; i < COUNT; i++)
		indexes[i] = i;
	return cr_make_param_array(int, indexes, COUNT);
}

ParameterizedTest(const int *index, ctl_commands, output, .init = redirect_all)
{
	run_case(&command_cases[*index]);
}

/* What is wrong with the words is said before any daemon is looked for. */
Test(ctl_commands, bad_words, .init = redirect_all)
{
	static const struct {
		int (*run)(const struct options *options, int argc, char **argv);
		const char *words[WORDS_MAX];
	} cases[] = {
		{cmd_get, {"get"}},
		{cmd_get, {"get", "1.2.3"}},
		{cmd_get, {"get", "-x"}},
		{cmd_get, {"get", "1.2.3.4", "dport"}},
		{cmd_get, {"get", "1.2.3.4", "dport", "65536"}},
		{cmd_get, {"get", "1.2.3.4", "sport", "-1"}},
		{cmd_get, {"get", "1.2.3.4", "from", "x"}},
		{cmd_get, {"get", "1.2.3.4", "via", "1.2.3.4"}},
		{cmd_get, {"get", "1.2.3.4", "proto", "\xff"}},
		{cmd_reload, {"reload", "-x"}},
		{cmd_reload, {"reload", "mx", "\xff"}},
		{cmd_status, {"status", "x"}},
		{cmd_stats, {"stats", "x"}},
		{cmd_queue, {"queue", "show", "x"}},
		{cmd_egress, {"egress", "show", "a", "b"}},
		{cmd_list, {"list", "--all"}},
		{cmd_flow, {"flow", "limit", "0"}},
		{cmd_flow, {"flow", "limit", "many"}},
		{cmd_flow, {"flow", "address", "x"}},
		{cmd_flow, {"flow", "egress"}},
		{cmd_flow, {"flow", "colour", "red"}},
	};
	struct options options = {.socket = "/nonexistent/sock"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *words[WORDS_MAX + 1] = {NULL};
		unsigned count = count_words(cases[i].words);
		int status;

		memcpy(words, cases[i].words, count * sizeof(words[0]));
		status = cases[i].run(&options, (int)count, words);
		cr_expect_eq(status, STATUS_USAGE, "%s, %u words: expected 1, actual %d", words[0],
			     count, status);
	}
}
