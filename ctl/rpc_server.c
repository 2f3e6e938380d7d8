#include "ctl/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	MODE_DEFAULT = 0660,
	BACKLOG = 64,
	INPUT_MIN = 4 << 10, /* a client's first buffer; then it doubles */
	INPUT_MAX = RPC_REQUEST_MAX + 1,
	RECEIVE_MAX = 64 << 10, /* a client and turn */
	ACCEPTS_MAX = 16,       /* a turn */
	PAUSE_MS = 1000,        /* without descriptors for new clients */

	/* What epoll says beside the index of a client. */
	TAG_LISTEN = RPC_CLIENTS_MAX,
	TAG_MORE,
	TAG_COUNT,
};

struct client {
	int fd; /* -1: the place is free */
	bool may_write;
	bool last; /* nothing more is read: close when all is answered */
	char *input;
	size_t in_capacity;
	size_t in_size;
	size_t scanned; /* bytes of input that hold no end of line */
	size_t line;    /* bytes of the first line with its end; 0: not all there */
	char *output;   /* NULL: nothing to send */
	size_t out_size;
	size_t out_sent;
	uint64_t since_ms; /* since when a part of a request, or an answer, is pending */
	uint32_t events;   /* that epoll watches */
};

struct rpc {
	struct rpc_table table;
	int epoll_fd;
	int listen_fd;
	int more_fd; /* readable while a whole line waits for its turn */
	bool more;
	unsigned first; /* the client whose long request comes first */
	unsigned count;
	uint64_t now_ms;          /* of this turn */
	uint64_t paused_until_ms; /* accept nobody before; 0: not paused */
	char *path;
	dev_t dev; /* what stands at path, to remove nobody else's */
	ino_t ino;
	struct client clients[RPC_CLIENTS_MAX];
};

static bool output_pending(const struct client *c)
{
	return c->output != NULL;
}

static bool input_partial(const struct client *c)
{
	return c->in_size > 0 && c->line == 0;
}

/* Something is expected of the client: it may not take for ever. */
static bool client_pending(const struct client *c)
{
	return output_pending(c) || input_partial(c);
}

static void client_close(struct rpc *rpc, struct client *c)
{
	close(c->fd);
	free(c->input);
	free(c->output);
	*c = (struct client){.fd = -1};
	rpc->count--;
}

static void client_watch(struct rpc *rpc, struct client *c)
{
	uint32_t events = 0;
	struct epoll_event event;

	/* An answer that is not read, or a line that waits, holds back what follows it. */
	if (output_pending(c))
		events |= EPOLLOUT;
	else if (!c->last && c->line == 0)
		events |= EPOLLIN;
	if (events == c->events)
		return;
	event = (struct epoll_event){.events = events, .data.u32 = (uint32_t)(c - rpc->clients)};
	if (epoll_ctl(rpc->epoll_fd, EPOLL_CTL_MOD, c->fd, &event) == 0)
		c->events = events;
}

/* Send what is pending, as far as it goes. False if the client is gone. */
static bool client_flush(struct rpc *rpc, struct client *c)
{
	ssize_t n;

	while (c->out_sent < c->out_size) {
		n = send(c->fd, c->output + c->out_sent, c->out_size - c->out_sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		c->out_sent += (size_t)n;
	}
	free(c->output);
	c->output = NULL;
	c->out_size = c->out_sent = 0;
	c->since_ms = rpc->now_ms;
	return true;
}

/* Queue a reply and its end of line; takes reply over. Nothing is pending before. */
static bool client_answer(struct rpc *rpc, struct client *c, char *reply)
{
	c->output = reply;
	c->out_size = strlen(reply) + 1;
	c->out_sent = 0;
	c->since_ms = rpc->now_ms;
	reply[c->out_size - 1] = '\n'; /* in the place of the terminator */
	return client_flush(rpc, c);
}

static void client_find_line(struct client *c)
{
	const char *end = NULL;

	if (c->in_size > c->scanned)
		end = memchr(c->input + c->scanned, '\n', c->in_size - c->scanned);
	c->scanned = c->in_size;
	if (end != NULL)
		c->line = (size_t)(end - c->input) + 1;
}

/* Forget the first line; what follows moves to the front. */
static void client_take_line(struct rpc *rpc, struct client *c)
{
	c->in_size -= c->line;
	if (c->in_size > 0) {
		memmove(c->input, c->input + c->line, c->in_size);
	} else {
		free(c->input);
		c->input = NULL;
		c->in_capacity = 0;
	}
	c->line = c->scanned = 0;
	c->since_ms = rpc->now_ms;
	client_find_line(c);
}

/* Room for at least one byte. False if there is no memory. */
static bool client_grow(struct client *c)
{
	size_t capacity = c->in_capacity > 0 ? c->in_capacity * 2 : INPUT_MIN;
	char *input;

	if (c->in_size < c->in_capacity)
		return true;
	if (capacity > INPUT_MAX)
		capacity = INPUT_MAX;
	input = realloc(c->input, capacity);
	if (input == NULL)
		return false;
	c->input = input;
	c->in_capacity = capacity;
	return true;
}

/* Answer a line that is longer than any may be, and read no more: its end is not known. */
static bool client_refuse(struct rpc *rpc, struct client *c)
{
	char *reply = NULL;

	c->last = true;
	if (rpc_handle(&rpc->table, c->input, c->in_size, false, &reply) < 0)
		return false;
	c->in_size = c->scanned = 0;
	return reply != NULL && client_answer(rpc, c, reply);
}

/* Read once. False if the client is gone. */
static bool client_receive(struct rpc *rpc, struct client *c)
{
	bool was_partial = input_partial(c);
	size_t room;
	ssize_t n;

	if (c->last || c->line > 0 || output_pending(c))
		return true; /* later */
	if (!client_grow(c))
		return false;
	room = c->in_capacity - c->in_size;
	n = recv(c->fd, c->input + c->in_size, room < RECEIVE_MAX ? room : RECEIVE_MAX,
		 MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0) {
		c->last = true; /* the rest of a line without an end is not obeyed */
		return true;
	}
	c->in_size += (size_t)n;
	client_find_line(c);
	if (input_partial(c) && c->in_size == INPUT_MAX)
		return client_refuse(rpc, c);
	if (!was_partial)
		c->since_ms = rpc->now_ms;
	return true;
}

/* Handle the first line, which is there, and which nothing is pending before. */
static bool client_handle(struct rpc *rpc, struct client *c)
{
	char *reply = NULL;

	if (rpc_handle(&rpc->table, c->input, c->line - 1, c->may_write, &reply) < 0)
		return false;
	client_take_line(rpc, c);
	return reply == NULL || client_answer(rpc, c, reply);
}

/* The client, with these rights, that has kept its request or answer pending longest. */
static struct client *find_slowest(struct rpc *rpc, bool may_write)
{
	struct client *slowest = NULL;

	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++) {
		struct client *c = &rpc->clients[i];

		if (c->fd < 0 || !client_pending(c) || c->may_write != may_write)
			continue;
		if (slowest == NULL || c->since_ms < slowest->since_ms)
			slowest = c;
	}
	return slowest;
}

/* A free place, made free if need be; NULL if there is none. */
static struct client *find_place(struct rpc *rpc, bool may_write)
{
	struct client *place;

	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++) {
		if (rpc->clients[i].fd < 0)
			return &rpc->clients[i];
	}
	place = find_slowest(rpc, false);
	for (unsigned i = 0; i < RPC_CLIENTS_MAX && may_write && place == NULL; i++) {
		if (!rpc->clients[i].may_write)
			place = &rpc->clients[i];
	}
	if (place == NULL && may_write)
		place = find_slowest(rpc, true);
	if (place != NULL)
		client_close(rpc, place);
	return place;
}

static void refuse_busy(int fd)
{
	static const char line[] =
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,"
		"\"message\":\"too many clients\",\"data\":{\"reason\":\"busy\"}}}\n";

	send(fd, line, sizeof(line) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static bool peer_may_write(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

static void client_add(struct rpc *rpc, int fd)
{
	bool may_write = peer_may_write(fd);
	struct client *c = find_place(rpc, may_write);
	struct epoll_event event = {.events = EPOLLIN};

	if (c == NULL) {
		refuse_busy(fd);
		return;
	}
	event.data.u32 = (uint32_t)(c - rpc->clients);
	if (epoll_ctl(rpc->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		close(fd);
		return;
	}
	*c = (struct client){.fd = fd, .may_write = may_write, .events = EPOLLIN};
	c->since_ms = rpc->now_ms;
	rpc->count++;
}

/* Listen, or do not: a client that cannot be accepted would else wake us for ever. */
static void watch_listen(struct rpc *rpc, bool paused)
{
	struct epoll_event event = {.events = paused ? 0 : EPOLLIN, .data.u32 = TAG_LISTEN};

	epoll_ctl(rpc->epoll_fd, EPOLL_CTL_MOD, rpc->listen_fd, &event);
	rpc->paused_until_ms = paused ? rpc->now_ms + PAUSE_MS : 0;
}

static void accept_clients(struct rpc *rpc)
{
	for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(rpc->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			client_add(rpc, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			watch_listen(rpc, true);
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

static void client_event(struct rpc *rpc, struct client *c)
{
	bool alive;

	if (c->fd < 0)
		return; /* closed earlier in this turn */
	alive = output_pending(c) ? client_flush(rpc, c) : client_receive(rpc, c);
	if (!alive)
		client_close(rpc, c);
}

/* Whether its first line can be handled now. */
static bool client_ready(const struct client *c)
{
	return c->fd >= 0 && c->line > 0 && !output_pending(c);
}

/* At most one request of each client, and of the long ones only one, after all others. */
static void handle_requests(struct rpc *rpc)
{
	struct client *c, *longest_waiting = NULL;

	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++) {
		c = &rpc->clients[(rpc->first + i) % RPC_CLIENTS_MAX];
		if (!client_ready(c))
			continue;
		if (c->line <= RPC_SMALL_MAX) {
			if (!client_handle(rpc, c))
				client_close(rpc, c);
		} else if (longest_waiting == NULL) {
			longest_waiting = c;
		}
	}
	c = longest_waiting;
	if (c == NULL)
		return;
	rpc->first = (unsigned)(c - rpc->clients + 1) % RPC_CLIENTS_MAX;
	if (!client_handle(rpc, c))
		client_close(rpc, c);
}

/* Close who is done or late, and watch the others for what they can do next. */
static void settle_clients(struct rpc *rpc)
{
	const uint64_t one = 1;
	uint64_t count;
	bool more = false;

	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++) {
		struct client *c = &rpc->clients[i];

		if (c->fd < 0)
			continue;
		if (client_pending(c) && rpc->now_ms - c->since_ms > RPC_DEADLINE_MS) {
			client_close(rpc, c);
			continue;
		}
		if (c->last && c->line == 0 && !output_pending(c)) {
			client_close(rpc, c);
			continue;
		}
		client_watch(rpc, c);
		more |= c->line > 0 && !output_pending(c);
	}
	if (more == rpc->more)
		return;
	if (more ? write(rpc->more_fd, &one, sizeof(one)) == sizeof(one)
		 : read(rpc->more_fd, &count, sizeof(count)) == sizeof(count))
		rpc->more = more;
}

int rpc_fd(const struct rpc *rpc)
{
	return rpc->epoll_fd;
}

unsigned rpc_client_count(const struct rpc *rpc)
{
	return rpc->count;
}

void rpc_process(struct rpc *rpc, uint64_t now_ms)
{
	struct epoll_event events[TAG_COUNT];
	int n = epoll_wait(rpc->epoll_fd, events, TAG_COUNT, 0);
	bool knock = false;

	rpc->now_ms = now_ms;
	if (rpc->paused_until_ms != 0 && now_ms >= rpc->paused_until_ms)
		watch_listen(rpc, false);
	for (int i = 0; i < n; i++) {
		uint32_t tag = events[i].data.u32;

		if (tag < RPC_CLIENTS_MAX)
			client_event(rpc, &rpc->clients[tag]);
		knock |= tag == TAG_LISTEN;
	}
	if (knock) /* after the others: it may give a place away that an event was for */
		accept_clients(rpc);
	handle_requests(rpc);
	settle_clients(rpc);
}

/* The folder of the socket, made if it is missing. */
static int make_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder;
	int fd, rc = 0;

	if (slash == NULL || slash == path)
		return 0;
	folder = strndup(path, (size_t)(slash - path));
	if (folder == NULL)
		return -ENOMEM;
	if (mkdir(folder, 0755) == 0) {
		/* Whatever the umask: others must be able to pass. */
		fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		rc = fd >= 0 && fchmod(fd, 0755) == 0 ? 0 : -errno;
		if (fd >= 0)
			close(fd);
	} else if (errno != EEXIST) {
		rc = -errno;
	}
	free(folder);
	return rc;
}

/* Remove a socket that nobody listens on. 0 if nothing stands at the path afterwards. */
static int remove_stale(const struct sockaddr_un *address, struct rpc_error *err)
{
	struct stat st;
	int fd, rc;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		rpc_error_set(err, 0, "path", "%s: %s stands there, not a socket",
			      address->sun_path,
			      S_ISLNK(st.st_mode) ? "a symbolic link" : "something else");
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	close(fd);
	if (rc == -ECONNREFUSED)
		return unlink(address->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
	if (rc == 0 || rc == -EAGAIN || rc == -EPROTOTYPE) {
		rpc_error_set(err, 0, "path", "%s: another program listens there",
			      address->sun_path);
		return -EADDRINUSE;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int find_group(const char *name, gid_t *gid, struct rpc_error *err)
{
	const struct group *group = getgrnam(name);

	if (group == NULL) {
		rpc_error_set(err, 0, "group", "no group \"%.64s\"", name);
		return -ESRCH;
	}
	*gid = group->gr_gid;
	return 0;
}

/*
 * Give the bound socket its group and mode, and remember what it is. By descriptor: a path could
 * be made to lead elsewhere between two calls.
 */
static int adorn(struct rpc *rpc, const struct rpc_options *options, struct rpc_error *err)
{
	mode_t mode = options->mode != 0 ? options->mode : MODE_DEFAULT;
	char link[64];
	struct stat st;
	gid_t gid = (gid_t)-1;
	int fd = open(rpc->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int rc = fd >= 0 ? 0 : -errno;

	if (rc == 0 && (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode)))
		rc = -EEXIST;
	if (rc == 0) {
		rpc->dev = st.st_dev;
		rpc->ino = st.st_ino;
	}
	if (rc == 0 && options->group != NULL)
		rc = find_group(options->group, &gid, err);
	if (rc == 0 && gid != (gid_t)-1 && fchownat(fd, "", (uid_t)-1, gid, AT_EMPTY_PATH) < 0)
		rc = -errno;
	if (rc == 0) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		rc = chmod(link, mode) == 0 ? 0 : -errno;
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

static void remove_socket(const struct rpc *rpc)
{
	struct stat st;

	if (lstat(rpc->path, &st) == 0 && st.st_dev == rpc->dev && st.st_ino == rpc->ino)
		unlink(rpc->path);
}

static int listen_at(struct rpc *rpc, const struct rpc_options *options, struct rpc_error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int rc;

	if (strlen(rpc->path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, rpc->path, strlen(rpc->path) + 1);
	rc = make_folder(rpc->path);
	if (rc == 0)
		rc = remove_stale(&address, err);
	if (rc < 0)
		return rc;
	/*
	 * The mode that a socket has before bind() is that of the file it makes: nobody else can
	 * connect until adorn(), and the umask, which all threads share, stays as it is.
	 */
	if (fchmod(rpc->listen_fd, 0600) < 0 ||
	    bind(rpc->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	rc = adorn(rpc, options, err);
	if (rc == 0 && listen(rpc->listen_fd, BACKLOG) < 0)
		rc = -errno;
	if (rc < 0)
		remove_socket(rpc);
	return rc;
}

static int watch(struct rpc *rpc, int fd, uint32_t tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = tag};

	return epoll_ctl(rpc->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int rpc_open(const struct rpc_options *options, struct rpc **out, struct rpc_error *err)
{
	struct rpc *rpc = calloc(1, sizeof(*rpc));
	int rc = -ENOMEM;

	err->text[0] = '\0';
	if (rpc == NULL)
		goto fail;
	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++)
		rpc->clients[i].fd = -1;
	rpc->table = options->table;
	rpc->path = strdup(options->path);
	rpc->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	rpc->more_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rpc->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (rpc->path == NULL || rpc->epoll_fd < 0 || rpc->more_fd < 0 || rpc->listen_fd < 0) {
		rc = -errno;
		goto fail_fds;
	}
	rc = listen_at(rpc, options, err);
	if (rc < 0)
		goto fail_fds;
	rc = watch(rpc, rpc->listen_fd, TAG_LISTEN);
	if (rc == 0)
		rc = watch(rpc, rpc->more_fd, TAG_MORE);
	if (rc < 0)
		goto fail_socket;
	*out = rpc;
	return 0;

fail_socket:
	remove_socket(rpc);
fail_fds:
	if (rpc->listen_fd >= 0)
		close(rpc->listen_fd);
	if (rpc->more_fd >= 0)
		close(rpc->more_fd);
	if (rpc->epoll_fd >= 0)
		close(rpc->epoll_fd);
	free(rpc->path);
	free(rpc);
fail:
	if (err->text[0] == '\0')
		rpc_error_set(err, 0, "path", "%s: %s", options->path, strerror(-rc));
	return rc;
}

void rpc_close(struct rpc *rpc)
{
	if (rpc == NULL)
		return;
	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++) {
		if (rpc->clients[i].fd >= 0)
			client_close(rpc, &rpc->clients[i]);
	}
	remove_socket(rpc);
	close(rpc->listen_fd);
	close(rpc->more_fd);
	close(rpc->epoll_fd);
	free(rpc->path);
	free(rpc);
}
