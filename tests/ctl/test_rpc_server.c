/*
 * The control socket. Most tests turn the server by hand with a clock of their own; those that
 * measure how long others must wait let it run in a thread.
 */
#include "ctl/server.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/model/rpc_props.h"

enum {
	TURNS_MAX = 10000,
	NOBODY = 65534,
	ANSWER_MS = 100, /* the longest that one client may delay another */
};

#define ECHO "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n"
#define SET "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"set\"}\n"
#define BIG "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\",\"params\":[3000000]}\n"
#define ECHOED "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}\n"

/* A server in a folder of its own. */
struct bench {
	char folder[64];
	char path[80];
	struct rpc_play play;
	struct server *rpc;
	uint64_t now_ms;
	pthread_t thread;
	atomic_bool stop;
};

static int bench_open(struct bench *b, const char *group, mode_t mode, struct rpc_error *err)
{
	const struct rpc_options options = {
		.path = b->path, .group = group, .mode = mode, .table = &b->play.table};

	return rpc_open(&options, &b->rpc, err);
}

static void bench_prepare(struct bench *b)
{
	*b = (struct bench){.folder = "/tmp/sluice-rpc-XXXXXX", .now_ms = 1000};
	cr_assert_not_null(mkdtemp(b->folder));
	cr_assert_eq(chmod(b->folder, 0755), 0);
	snprintf(b->path, sizeof(b->path), "%s/s.sock", b->folder);
	rpc_play_init(&b->play);
}

static void bench_start(struct bench *b, mode_t mode)
{
	struct rpc_error err;

	bench_prepare(b);
	cr_assert_eq(bench_open(b, NULL, mode, &err), 0, "%s", err.text);
}

static void bench_end(struct bench *b)
{
	server_close(b->rpc);
	unlink(b->path);
	cr_expect_eq(rmdir(b->folder), 0, "%s is not empty", b->folder);
}

/* Turn until there is nothing to do. Returns how many turns it took. */
static unsigned bench_turn(struct bench *b)
{
	struct pollfd fd = {.fd = server_fd(b->rpc), .events = POLLIN};
	unsigned turns = 0;

	do {
		server_process(b->rpc, b->now_ms);
		turns++;
		cr_assert_lt(turns, TURNS_MAX, "the server is never done");
	} while (poll(&fd, 1, 0) > 0);
	return turns;
}

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void *serve(void *argument)
{
	struct bench *b = argument;
	struct pollfd fd = {.fd = server_fd(b->rpc), .events = POLLIN};

	while (!atomic_load(&b->stop)) {
		poll(&fd, 1, 50);
		server_process(b->rpc, clock_ms());
	}
	return NULL;
}

static void bench_start_thread(struct bench *b)
{
	bench_start(b, 0);
	cr_assert_eq(pthread_create(&b->thread, NULL, serve, b), 0);
}

static void bench_end_thread(struct bench *b)
{
	atomic_store(&b->stop, true);
	pthread_join(b->thread, NULL);
	bench_end(b);
}

/* A connected client, or -errno. */
static int dial(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -errno;
}

static void say(int fd, const char *text)
{
	size_t size = strlen(text);

	cr_assert_eq(send(fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT), (ssize_t)size, "%s",
		     strerror(errno));
}

/* What has come, "" if nothing, "(closed)" after the last. */
static const char *hear(int fd, char out[512])
{
	ssize_t n = recv(fd, out, 511, MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? "" : "(closed)";
	out[n] = '\0';
	return out;
}

#define EXPECT_HEARD(fd, expected)                                                                 \
	do {                                                                                       \
		char heard_[512];                                                                  \
		const char *text_ = hear(fd, heard_);                                              \
		cr_expect_str_eq(text_, expected, "heard %s, expected %s", text_, expected);       \
	} while (0)

#define EXPECT_REASON(fd, reason)                                                                  \
	do {                                                                                       \
		char heard_[512];                                                                  \
		const char *text_ = hear(fd, heard_);                                              \
		cr_expect_not_null(strstr(text_, "\"reason\":\"" reason "\""),                     \
				   "heard %s, expected the reason %s", text_, reason);             \
	} while (0)

/* Ask in a thread's server and wait for the answer. Returns milliseconds. */
static unsigned ask(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t start = clock_ms();
	char text[512];

	say(fd, ECHO);
	cr_assert_eq(poll(&p, 1, 5000), 1, "no answer in 5 s");
	cr_assert_str_eq(hear(fd, text), ECHOED);
	return (unsigned)(clock_ms() - start);
}

Test(ctl_rpc_server, answers)
{
	struct bench b;
	int fd;

	bench_start(&b, 0);
	fd = dial(b.path);
	say(fd, ECHO);
	bench_turn(&b);
	EXPECT_HEARD(fd, ECHOED);
	say(fd, "\n\r\n" ECHO "{\"jsonrpc\":\"2.0\",\"method\":\"set\"}\n" ECHO "x");
	bench_turn(&b);
	EXPECT_HEARD(fd, ECHOED ECHOED);
	cr_expect_eq(b.play.sets, 1);
	cr_expect_eq(server_client_count(b.rpc), 1);
	close(fd);
	bench_turn(&b);
	cr_expect_eq(server_client_count(b.rpc), 0);
	bench_end(&b);
}

/* Who sends many requests at once has one answered a turn, like everyone else. */
Test(ctl_rpc_server, one_request_a_turn)
{
	struct bench b;
	char text[512];
	int many, one;

	bench_start(&b, 0);
	many = dial(b.path);
	one = dial(b.path);
	bench_turn(&b);
	say(many, SET SET SET SET);
	say(one, ECHO);
	server_process(b.rpc, b.now_ms);
	cr_expect_eq(b.play.sets, 1);
	EXPECT_HEARD(one, ECHOED);
	cr_expect_eq(bench_turn(&b), 3);
	cr_expect_eq(b.play.sets, 4);
	cr_expect_neq(strcmp(hear(many, text), ""), 0);
	close(many);
	close(one);
	bench_end(&b);
}

/* Half a request, and then nothing, or the end of what the client says: no effect. */
Test(ctl_rpc_server, truncated_request)
{
	struct bench b;

	bench_start(&b, 0);
	for (int half_close = 0; half_close < 2; half_close++) {
		int fd = dial(b.path);

		cr_assert_eq(send(fd, SET, strlen(SET) - 1, 0), (ssize_t)strlen(SET) - 1);
		bench_turn(&b);
		if (half_close) {
			shutdown(fd, SHUT_WR);
			bench_turn(&b);
			EXPECT_HEARD(fd, "(closed)");
		}
		close(fd);
		bench_turn(&b);
		cr_expect_eq(b.play.sets, 0);
		cr_expect_eq(server_client_count(b.rpc), 0);
	}
	bench_end(&b);
}

/* What was said before the end is still answered: printf ... | nc -N -U. */
Test(ctl_rpc_server, half_closed_client_is_answered)
{
	struct bench b;
	int fd;

	bench_start(&b, 0);
	fd = dial(b.path);
	say(fd, ECHO ECHO);
	shutdown(fd, SHUT_WR);
	bench_turn(&b);
	EXPECT_HEARD(fd, ECHOED ECHOED);
	EXPECT_HEARD(fd, "(closed)");
	close(fd);
	bench_end(&b);
}

Test(ctl_rpc_server, client_gone_before_the_answer)
{
	struct bench b;

	bench_start(&b, 0);
	for (int i = 1; i <= 3; i++) {
		int fd = dial(b.path);

		say(fd, SET);
		close(fd);
		bench_turn(&b);
		cr_expect_eq(b.play.sets, (unsigned)i);
		cr_expect_eq(server_client_count(b.rpc), 0);
	}
	bench_end(&b);
}

/* Sends as much of size bytes without an end as is taken. */
static void flood(struct bench *b, int fd, size_t size)
{
	static char block[64 << 10];
	ssize_t n = 0;

	memset(block, 'x', sizeof(block));
	for (size_t sent = 0; sent < size && n >= 0; sent += (size_t)n) {
		n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			server_process(b->rpc, b->now_ms);
			n = 0;
		}
	}
	bench_turn(b);
}

Test(ctl_rpc_server, oversized_line)
{
	struct bench b;
	int fd;

	bench_start(&b, 0);
	fd = dial(b.path);
	flood(&b, fd, 64 << 20);
	EXPECT_REASON(fd, "too_large");
	EXPECT_HEARD(fd, "(closed)");
	cr_expect_eq(server_client_count(b.rpc), 0);
	close(fd);
	bench_end(&b);
}

Test(ctl_rpc_server, partial_request_has_a_deadline)
{
	struct bench b;
	int idle, slow;

	bench_start(&b, 0);
	idle = dial(b.path);
	slow = dial(b.path);
	bench_turn(&b);
	for (int i = 0; i <= 10; i++) {
		say(slow, " "); /* a byte a second does not buy more time */
		bench_turn(&b);
		EXPECT_HEARD(slow, "");
		b.now_ms += 1000;
	}
	bench_turn(&b);
	EXPECT_HEARD(slow, "(closed)");
	b.now_ms += 3600 * 1000;
	bench_turn(&b);
	say(idle, ECHO);
	bench_turn(&b);
	EXPECT_HEARD(idle, ECHOED);
	close(idle);
	close(slow);
	bench_end(&b);
}

/* Who asks for much and does not read: holds back only himself, and not for ever. */
Test(ctl_rpc_server, output_that_is_not_read)
{
	struct bench b;
	int flooder, other;

	bench_start(&b, 0);
	flooder = dial(b.path);
	other = dial(b.path);
	while (send(flooder, BIG, strlen(BIG), MSG_DONTWAIT) == (ssize_t)strlen(BIG))
		;
	bench_turn(&b);
	say(other, ECHO);
	bench_turn(&b);
	EXPECT_HEARD(other, ECHOED);
	b.now_ms += SERVER_DEADLINE_MS;
	bench_turn(&b);
	cr_expect_eq(server_client_count(b.rpc), 2);
	b.now_ms++;
	bench_turn(&b);
	cr_expect_eq(server_client_count(b.rpc), 1);
	say(other, ECHO);
	bench_turn(&b);
	EXPECT_HEARD(other, ECHOED);
	close(flooder);
	close(other);
	bench_end(&b);
}

/* The answers come whole and in order to who reads in small pieces, however many he asked for. */
Test(ctl_rpc_server, large_answers_are_whole)
{
	enum { COUNT = 5 };
	struct bench b;
	size_t lines = 0, bytes = 0;
	char text[4096];
	ssize_t n;
	int fd;

	bench_start(&b, 0);
	fd = dial(b.path);
	say(fd, BIG BIG BIG BIG BIG);
	for (unsigned turn = 0; lines < COUNT && turn < 20 * TURNS_MAX; turn++) {
		server_process(b.rpc, b.now_ms);
		n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
		for (ssize_t i = 0; i < n; i++)
			lines += text[i] == '\n';
		bytes += n > 0 ? (size_t)n : 0;
	}
	cr_expect_eq(lines, COUNT);
	cr_expect_eq(bytes, COUNT * (3000000 + strlen(ECHOED) - strlen("null") + 2));
	close(fd);
	bench_end(&b);
}

/* As many slow clients as there are places, a byte each now and then, and one more. */
Test(ctl_rpc_server, slow_clients_do_not_delay, .timeout = 30)
{
	enum { ROUNDS = 20 };
	static int slow[SERVER_CLIENTS_MAX];
	struct bench b;
	unsigned late = 0;

	bench_start_thread(&b);
	for (int i = 0; i < SERVER_CLIENTS_MAX; i++) {
		slow[i] = dial(b.path);
		say(slow[i], "{");
	}
	for (int round = 0; round < ROUNDS; round++) {
		int fd = dial(b.path);

		cr_assert_geq(fd, 0);
		for (int i = 0; i < SERVER_CLIENTS_MAX; i++)
			send(slow[i], "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		late += ask(fd) >= ANSWER_MS;
		close(fd);
	}
	cr_expect_leq(late, ROUNDS / 10, "%u of %d answers took %d ms", late, ROUNDS, ANSWER_MS);
	for (int i = 0; i < SERVER_CLIENTS_MAX; i++)
		close(slow[i]);
	bench_end_thread(&b);
}

/*
 * Longest requests from all others at once: a turn answers every short request, but only one of the
 * long ones, and after the short.
 */
Test(ctl_rpc_server, long_requests_do_not_delay, .timeout = 60)
{
	enum { OTHERS = SERVER_CLIENTS_MAX - 1, SIZE = RPC_REQUEST_MAX };
	static char line[SIZE + 1];
	static int busy[OTHERS];
	struct bench b;
	unsigned answered = 0;
	char text[512];
	int fd;

	memset(line, 'x', SIZE);
	line[0] = line[SIZE - 1] = '"'; /* one long text */
	line[SIZE] = '\n';
	bench_start(&b, 0);
	for (int i = 0; i < OTHERS; i++)
		busy[i] = dial(b.path);
	fd = dial(b.path);
	for (size_t at = 0, n = 64 << 10; at < SIZE; at += n) {
		for (int i = 0; i < OTHERS; i++)
			cr_assert_eq(send(busy[i], line + at, n, 0), (ssize_t)n);
		bench_turn(&b);
	}
	for (int i = 0; i < OTHERS; i++)
		say(busy[i], "\n");
	for (unsigned turn = 1; turn <= OTHERS; turn++) {
		say(fd, ECHO);
		server_process(b.rpc, b.now_ms);
		EXPECT_HEARD(fd, ECHOED);
		for (int i = 0; i < OTHERS; i++)
			answered += *hear(busy[i], text) != '\0';
		cr_expect_eq(answered, turn, "%u answers in %u turns", answered, turn);
	}
	for (int i = 0; i < OTHERS; i++)
		close(busy[i]);
	close(fd);
	bench_end(&b);
}

Test(ctl_rpc_server, more_clients_than_places)
{
	static int fds[SERVER_CLIENTS_MAX];
	struct bench b;
	int late;

	bench_start(&b, 0);
	for (int i = 0; i < SERVER_CLIENTS_MAX; i++) {
		fds[i] = dial(b.path);
		bench_turn(&b);
	}
	late = dial(b.path);
	bench_turn(&b);
	EXPECT_REASON(late, "busy");
	EXPECT_HEARD(late, "(closed)");
	close(late);
	/* The one that has been silent longest in the midst of a request makes room. */
	say(fds[7], "{");
	bench_turn(&b);
	b.now_ms++;
	say(fds[3], "{");
	bench_turn(&b);
	late = dial(b.path);
	say(late, ECHO);
	bench_turn(&b);
	EXPECT_HEARD(late, ECHOED);
	EXPECT_HEARD(fds[7], "(closed)");
	EXPECT_HEARD(fds[3], "");
	cr_expect_eq(server_client_count(b.rpc), SERVER_CLIENTS_MAX);
	for (int i = 0; i < SERVER_CLIENTS_MAX; i++)
		close(fds[i]);
	close(late);
	bench_end(&b);
}

static bool is_root(void)
{
	if (geteuid() == 0)
		return true;
	fprintf(stderr, "SKIPPED: only root can become another user\n");
	return false;
}

/* A client of another user; only root can be one. */
static int dial_as_nobody(const char *path)
{
	int fd;

	cr_assert_eq(setegid(NOBODY), 0);
	cr_assert_eq(seteuid(NOBODY), 0);
	fd = dial(path);
	cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(setegid(0), 0);
	return fd;
}

struct other_user_case {
	const char *line;
	const char *expected; /* a part of what is heard */
};

Test(ctl_rpc_server, another_user_may_read_but_not_write)
{
	static const struct other_user_case cases[] = {
		{ECHO, ECHOED},
		{SET, "\"reason\":\"permission\""},
		{"[{\"jsonrpc\":\"2.0\",\"method\":\"set\"},"
		 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"set\"}]\n",
		 "\"reason\":\"permission\""},
	};
	struct bench b;
	int fd;

	if (!is_root())
		cr_skip_test("not root");
	bench_start(&b, 0666);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];

		fd = dial_as_nobody(b.path);
		say(fd, cases[i].line);
		bench_turn(&b);
		hear(fd, text);
		cr_expect_not_null(strstr(text, cases[i].expected), "%s: expected %s, heard %s",
				   cases[i].line, cases[i].expected, text);
		cr_expect_eq(b.play.sets, 0, "obeyed another user");
		close(fd);
	}
	bench_end(&b);
	bench_start(&b, 0);
	cr_expect_eq(dial_as_nobody(b.path), -EACCES);
	bench_end(&b);
}

/*
 * All places taken by another user who is silent. Root still gets in, and nobody puts root out, not
 * even in the midst of a request.
 */
Test(ctl_rpc_server, another_user_cannot_lock_out_root)
{
	static int fds[SERVER_CLIENTS_MAX];
	struct bench b;
	int fd, root;

	if (!is_root())
		cr_skip_test("not root");
	bench_start(&b, 0666);
	root = dial(b.path);
	say(root, "{");
	bench_turn(&b);
	for (int i = 0; i < SERVER_CLIENTS_MAX; i++) {
		fds[i] = dial_as_nobody(b.path);
		bench_turn(&b);
	}
	EXPECT_REASON(fds[SERVER_CLIENTS_MAX - 1], "busy");
	EXPECT_HEARD(root, "");
	/* His own slow client makes room for his next. */
	say(fds[5], "{");
	bench_turn(&b);
	fd = dial_as_nobody(b.path);
	say(fd, ECHO);
	bench_turn(&b);
	EXPECT_HEARD(fd, ECHOED);
	EXPECT_HEARD(fds[5], "(closed)");
	close(fd);
	bench_turn(&b);
	fds[5] = dial_as_nobody(b.path);
	/* Root puts out one who is silent rather than root's own. */
	fd = dial(b.path);
	say(fd, ECHO);
	bench_turn(&b);
	EXPECT_HEARD(fd, ECHOED);
	EXPECT_HEARD(root, "");
	cr_expect_eq(server_client_count(b.rpc), SERVER_CLIENTS_MAX);
	for (int i = 0; i < SERVER_CLIENTS_MAX; i++)
		close(fds[i]);
	close(root);
	close(fd);
	bench_end(&b);
}

static void stand_symlink(const char *path)
{
	cr_assert_eq(symlink("/nowhere", path), 0);
}

static void stand_file(const char *path)
{
	close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void stand_folder(const char *path)
{
	cr_assert_eq(mkdir(path, 0700), 0);
}

static int bind_at(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void stand_stale(const char *path)
{
	close(bind_at(path, SOCK_STREAM));
}

static void stand_live(const char *path)
{
	cr_assert_eq(listen(bind_at(path, SOCK_STREAM), 1), 0);
}

static void stand_live_full(const char *path)
{
	cr_assert_eq(listen(bind_at(path, SOCK_STREAM), 0), 0);
	dial(path);
}

static void stand_datagram(const char *path)
{
	bind_at(path, SOCK_DGRAM);
}

struct path_case {
	const char *name;
	void (*stand)(const char *path);
	int rc;
	const char *text; /* a part of the error's */
};

static const struct path_case path_cases[] = {
	{"nothing", NULL, 0, NULL},
	{"stale socket", stand_stale, 0, NULL},
	{"symbolic link", stand_symlink, -EEXIST, "a symbolic link stands there"},
	{"file", stand_file, -EEXIST, "not a socket"},
	{"folder", stand_folder, -EEXIST, "not a socket"},
	{"live socket", stand_live, -EADDRINUSE, "another program listens"},
	{"live socket with full backlog", stand_live_full, -EADDRINUSE, "another program listens"},
	{"datagram socket", stand_datagram, -EADDRINUSE, "another program listens"},
};

Test(ctl_rpc_server, what_stands_at_the_path)
{
	struct stat before, after;
	struct rpc_error err;
	struct bench b;

	for (size_t i = 0; i < sizeof(path_cases) / sizeof(path_cases[0]); i++) {
		const struct path_case *c = &path_cases[i];
		int rc;

		bench_prepare(&b);
		if (c->stand != NULL)
			c->stand(b.path);
		memset(&before, 0, sizeof(before));
		lstat(b.path, &before);
		rc = bench_open(&b, NULL, 0, &err);
		cr_expect_eq(rc, c->rc, "%s: expected %d, actual %d", c->name, c->rc, rc);
		if (c->text != NULL)
			cr_expect_not_null(strstr(err.text, c->text), "%s: %s", c->name, err.text);
		cr_expect_eq(lstat(b.path, &after), 0);
		if (rc < 0)
			cr_expect_eq(after.st_ino, before.st_ino, "%s was replaced", c->name);
		server_close(b.rpc);
		cr_expect_eq(lstat(b.path, &after), rc < 0 ? 0 : -1);
		remove(b.path);
		cr_expect_eq(rmdir(b.folder), 0);
	}
}

/* The folder is made, and whatever the umask, folder and socket have the modes they should. */
Test(ctl_rpc_server, modes)
{
	static const mode_t umasks[] = {0, 022, 077, 0777};
	struct rpc_error err;
	struct bench b;
	struct stat st;

	for (size_t i = 0; i < sizeof(umasks) / sizeof(umasks[0]); i++) {
		bench_prepare(&b);
		cr_assert_eq(rmdir(b.folder), 0);
		umask(umasks[i]);
		cr_assert_eq(bench_open(&b, NULL, 0, &err), 0, "%s", err.text);
		cr_expect_eq(umask(022), umasks[i]);
		cr_expect(stat(b.folder, &st) == 0 && (st.st_mode & 07777) == 0755, "umask %o: %o",
			  umasks[i], st.st_mode);
		cr_expect(stat(b.path, &st) == 0 && (st.st_mode & 07777) == 0660, "umask %o: %o",
			  umasks[i], st.st_mode);
		cr_expect_eq(st.st_gid, getegid());
		bench_end(&b);
	}
}

Test(ctl_rpc_server, group)
{
	struct rpc_error err;
	struct bench b;
	struct stat st;

	bench_prepare(&b);
	cr_expect_eq(bench_open(&b, "no-such-group", 0, &err), -ESRCH);
	cr_expect_not_null(strstr(err.text, "no-such-group"), "%s", err.text);
	cr_expect_eq(stat(b.path, &st), -1, "a socket was left");
	if (!is_root())
		cr_skip_test("not root");
	cr_assert_eq(bench_open(&b, "nogroup", 0640, &err), 0, "%s", err.text);
	cr_expect(stat(b.path, &st) == 0 && (st.st_mode & 07777) == 0640);
	cr_expect_eq(st.st_gid, NOBODY);
	bench_end(&b);
}

Test(ctl_rpc_server, path_too_long)
{
	struct rpc_error err;
	struct bench b = {0};
	char path[200];
	struct rpc_options options = {.path = path};

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	memcpy(path, "/tmp/", 5);
	cr_expect_eq(rpc_open(&options, &b.rpc, &err), -ENAMETOOLONG);
	cr_expect_null(b.rpc);
}

/* A socket that another server has put in the place of ours is not ours to remove. */
Test(ctl_rpc_server, close_leaves_the_socket_of_another)
{
	struct rpc_error err;
	struct bench b;
	struct server *first;
	int fd;

	bench_start(&b, 0);
	first = b.rpc;
	cr_expect_eq(bench_open(&b, NULL, 0, &err), -EADDRINUSE);
	cr_assert_eq(unlink(b.path), 0);
	cr_assert_eq(bench_open(&b, NULL, 0, &err), 0, "%s", err.text);
	server_close(first);
	fd = dial(b.path);
	cr_assert_geq(fd, 0, "%s", strerror(-fd));
	say(fd, ECHO);
	bench_turn(&b);
	EXPECT_HEARD(fd, ECHOED);
	close(fd);
	bench_end(&b);
}
