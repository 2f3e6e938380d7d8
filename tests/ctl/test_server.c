/* What the server does with each answer of a protocol; the rest is in test_rpc_server.c. */
#include "ctl/server.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

TestSuite(ctl_server);

/* A request is one byte: '+' is answered, '0' is not, 'm' finds no memory, '-' is refused. */
static size_t measure(const char *input, size_t scanned, size_t size)
{
	(void)input;
	(void)scanned;
	return size > 0;
}

static int handle(void *context, const char *request, size_t size, bool may_write, char **reply,
		  size_t *reply_size)
{
	(void)context;
	(void)size;
	(void)may_write;
	if (request[0] == 'm')
		return -ENOMEM;
	if (request[0] == '-')
		return -EPROTO;
	if (request[0] == '0')
		return 0;
	*reply = strdup("yes.");
	*reply_size = strlen(*reply);
	return 0;
}

static int dial(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

Test(ctl_server, what_a_client_hears)
{
	static const struct {
		const char *requests;
		const char *heard;
		bool stays;
	} cases[] = {
		{"+", "yes.", true},  {"++", "yes.yes.", true},  {"0+", "yes.", true},
		{"m", "full", false}, {"+m", "yes.full", false}, {"-", "", false},
	};
	char folder[] = "/tmp/sluice-test.XXXXXX", path[64], heard[64];
	struct server_options options = {.path = path, .fd = -1};
	struct server *server;
	struct rpc_error err;

	options.protocol = (struct server_protocol){.request_max = 16,
						    .small_max = 16,
						    .measure = measure,
						    .handle = handle,
						    .exhausted = "full"};
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sock", folder);
	cr_assert_eq(server_open(&options, &server, &err), 0, "%s", err.text);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = dial(path);
		ssize_t n;

		cr_assert_gt(send(fd, cases[i].requests, strlen(cases[i].requests), 0), 0);
		for (int turn = 0; turn < 8; turn++)
			server_process(server, 1000);
		n = recv(fd, heard, sizeof(heard) - 1, MSG_DONTWAIT);
		heard[n > 0 ? n : 0] = '\0';
		cr_expect_str_eq(heard, cases[i].heard, "%s: %s", cases[i].requests, heard);
		cr_expect_eq(server_client_count(server), cases[i].stays, "%s", cases[i].requests);
		close(fd);
		server_process(server, 1000);
	}
	server_close(server);
	rmdir(folder);
}
