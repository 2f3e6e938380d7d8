/* See server.h. */
#include "ctl/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/listener.h"

enum {
	MODE_DEFAULT = 0660,
	INPUT_MIN = 4 << 10,    /* a client's first buffer; then it doubles */
	RECEIVE_MAX = 64 << 10, /* a client and turn */
	ACCEPTS_MAX = 16,       /* a turn */
	PAUSE_MS = 1000,        /* without descriptors for new clients */

	/* What epoll says beside the index of a client. */
	TAG_LISTEN = SERVER_CLIENTS_MAX,
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
	size_t scanned; /* bytes of input that hold no request's end */
	size_t request; /* bytes of the first one with its end; 0: not all there */
	char *output;   /* NULL: nothing to send */
	size_t out_size;
	size_t out_sent;
	uint64_t since_ms; /* since when a part of a request, or an answer, is pending */
	uint32_t events;   /* that epoll watches */
};

struct server {
	struct server_protocol protocol;
	int epoll_fd;
	int more_fd; /* readable while a whole request waits for its turn */
	bool more;
	unsigned first; /* the client whose long request comes first */
	unsigned count;
	uint64_t now_ms;          /* of this turn */
	uint64_t paused_until_ms; /* accept nobody before; 0: not paused */
	struct listener listener;
	struct client clients[SERVER_CLIENTS_MAX];
};

static bool output_pending(const struct client *c)
{
	return c->output != NULL;
}

static bool input_partial(const struct client *c)
{
	return c->in_size > 0 && c->request == 0;
}

/* Something is expected of the client: it may not take for ever. */
static bool client_pending(const struct client *c)
{
	return output_pending(c) || input_partial(c);
}

/* Free what may hold secrets. */
static void release(char *bytes, size_t size)
{
	if (bytes != NULL)
		explicit_bzero(bytes, size);
	free(bytes);
}

static void client_close(struct server *s, struct client *c)
{
	close(c->fd);
	release(c->input, c->in_capacity);
	release(c->output, c->out_size);
	*c = (struct client){.fd = -1};
	s->count--;
}

static void client_watch(struct server *s, struct client *c)
{
	uint32_t events = 0;
	struct epoll_event event;

	/* An answer that is not read, or a request that waits, holds back what follows it. */
	if (output_pending(c))
		events |= EPOLLOUT;
	else if (!c->last && c->request == 0)
		events |= EPOLLIN;
	if (events == c->events)
		return;
	event = (struct epoll_event){.events = events, .data.u32 = (uint32_t)(c - s->clients)};
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, c->fd, &event) == 0)
		c->events = events;
}

/* Send what is pending, as far as it goes. False if the client is gone. */
static bool client_flush(struct server *s, struct client *c)
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
	release(c->output, c->out_size);
	c->output = NULL;
	c->out_size = c->out_sent = 0;
	c->since_ms = s->now_ms;
	return true;
}

/* Queue a reply, which is taken over. Nothing is pending before. */
static bool client_answer(struct server *s, struct client *c, char *reply, size_t size)
{
	c->output = reply;
	c->out_size = size;
	c->out_sent = 0;
	c->since_ms = s->now_ms;
	return client_flush(s, c);
}

static void client_measure(const struct server *s, struct client *c)
{
	c->request = s->protocol.measure(c->input, c->scanned, c->in_size);
	c->scanned = c->in_size;
}

/* Forget the first request; what follows moves to the front. */
static void client_take(struct server *s, struct client *c)
{
	c->in_size -= c->request;
	if (c->in_size > 0) {
		memmove(c->input, c->input + c->request, c->in_size);
	} else {
		release(c->input, c->in_capacity);
		c->input = NULL;
		c->in_capacity = 0;
	}
	c->request = c->scanned = 0;
	c->since_ms = s->now_ms;
	if (c->in_size > 0)
		client_measure(s, c);
}

/* Room for at least one byte. False if there is no memory. */
static bool client_grow(const struct server *s, struct client *c)
{
	const size_t most = s->protocol.request_max;
	size_t capacity = c->in_capacity > 0 ? c->in_capacity * 2 : INPUT_MIN;
	char *input;

	if (c->in_size < c->in_capacity)
		return true;
	if (capacity > most)
		capacity = most;
	input = malloc(capacity);
	if (input == NULL)
		return false;
	if (c->in_size > 0)
		memcpy(input, c->input, c->in_size);
	release(c->input, c->in_capacity);
	c->input = input;
	c->in_capacity = capacity;
	return true;
}

/* A last word to who is put out. NULL: none. */
static void send_text(int fd, const char *text)
{
	if (text != NULL)
		send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Answer `size` bytes of input. False if the client is to go. */
static bool client_handle(struct server *s, struct client *c, size_t size, bool may_write)
{
	char *reply = NULL;
	size_t reply_size = 0;
	int rc = s->protocol.handle(s->protocol.context, c->input, size, may_write, &reply,
				    &reply_size);

	if (rc < 0) {
		if (rc == -ENOMEM)
			send_text(c->fd, s->protocol.exhausted);
		free(reply);
		return false;
	}
	if (c->request)
		client_take(s, c);
	return reply == NULL || client_answer(s, c, reply, reply_size);
}

/* Answer what is longer than any request may be, and read no more: its end is not known. */
static bool client_refuse(struct server *s, struct client *c)
{
	c->last = true;
	if (!client_handle(s, c, c->in_size, false) || !output_pending(c))
		return false;
	c->in_size = c->scanned = 0;
	return true;
}

/* Read once. False if the client is gone. */
static bool client_receive(struct server *s, struct client *c)
{
	bool was_partial = input_partial(c);
	size_t room;
	ssize_t n;

	if (c->last || c->request > 0 || output_pending(c))
		return true; /* later */
	if (!client_grow(s, c))
		return false;
	room = c->in_capacity - c->in_size;
	n = recv(c->fd, c->input + c->in_size, room < RECEIVE_MAX ? room : RECEIVE_MAX,
		 MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0) {
		c->last = true; /* a request without its end is not obeyed */
		return true;
	}
	c->in_size += (size_t)n;
	client_measure(s, c);
	if (input_partial(c) && c->in_size == s->protocol.request_max)
		return client_refuse(s, c);
	if (!was_partial)
		c->since_ms = s->now_ms;
	return true;
}

/* The client, with these rights, that has kept its request or answer pending longest. */
static struct client *find_slowest(struct server *s, bool may_write)
{
	struct client *slowest = NULL;

	for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++) {
		struct client *c = &s->clients[i];

		if (c->fd < 0 || !client_pending(c) || c->may_write != may_write)
			continue;
		if (slowest == NULL || c->since_ms < slowest->since_ms)
			slowest = c;
	}
	return slowest;
}

/* A free place, made free if need be; NULL if there is none. */
static struct client *find_place(struct server *s, bool may_write)
{
	struct client *place;

	for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++) {
		if (s->clients[i].fd < 0)
			return &s->clients[i];
	}
	place = find_slowest(s, false);
	for (unsigned i = 0; i < SERVER_CLIENTS_MAX && may_write && place == NULL; i++) {
		if (!s->clients[i].may_write)
			place = &s->clients[i];
	}
	if (place == NULL && may_write)
		place = find_slowest(s, true);
	if (place != NULL)
		client_close(s, place);
	return place;
}

static bool peer_may_write(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

static void client_add(struct server *s, int fd)
{
	bool may_write = peer_may_write(fd);
	struct client *c = find_place(s, may_write);
	struct epoll_event event = {.events = EPOLLIN};

	if (c == NULL) {
		send_text(fd, s->protocol.busy);
		close(fd);
		return;
	}
	event.data.u32 = (uint32_t)(c - s->clients);
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		close(fd);
		return;
	}
	*c = (struct client){.fd = fd, .may_write = may_write, .events = EPOLLIN};
	c->since_ms = s->now_ms;
	s->count++;
}

/* Listen, or do not: a client that cannot be accepted would else wake us for ever. */
static void watch_listen(struct server *s, bool paused)
{
	struct epoll_event event = {.events = paused ? 0 : EPOLLIN, .data.u32 = TAG_LISTEN};

	epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, s->listener.fd, &event);
	s->paused_until_ms = paused ? s->now_ms + PAUSE_MS : 0;
}

static void accept_clients(struct server *s)
{
	for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(s->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			client_add(s, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			watch_listen(s, true);
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

static void client_event(struct server *s, struct client *c)
{
	bool alive;

	if (c->fd < 0)
		return; /* closed earlier in this turn */
	alive = output_pending(c) ? client_flush(s, c) : client_receive(s, c);
	if (!alive)
		client_close(s, c);
}

/* Whether its first request can be handled now. */
static bool client_ready(const struct client *c)
{
	return c->fd >= 0 && c->request > 0 && !output_pending(c);
}

/* At most one request of each client, and of the long ones only one, after all others. */
static void handle_requests(struct server *s)
{
	struct client *c, *longest_waiting = NULL;

	for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++) {
		c = &s->clients[(s->first + i) % SERVER_CLIENTS_MAX];
		if (!client_ready(c))
			continue;
		if (c->request <= s->protocol.small_max) {
			if (!client_handle(s, c, c->request, c->may_write))
				client_close(s, c);
		} else if (longest_waiting == NULL) {
			longest_waiting = c;
		}
	}
	c = longest_waiting;
	if (c == NULL)
		return;
	s->first = (unsigned)(c - s->clients + 1) % SERVER_CLIENTS_MAX;
	if (!client_handle(s, c, c->request, c->may_write))
		client_close(s, c);
}

/* Close who is done or late, and watch the others for what they can do next. */
static void settle_clients(struct server *s)
{
	const uint64_t one = 1;
	uint64_t count;
	bool more = false;

	for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++) {
		struct client *c = &s->clients[i];

		if (c->fd < 0)
			continue;
		if (client_pending(c) && s->now_ms - c->since_ms > SERVER_DEADLINE_MS) {
			client_close(s, c);
			continue;
		}
		if (c->last && c->request == 0 && !output_pending(c)) {
			client_close(s, c);
			continue;
		}
		client_watch(s, c);
		more |= c->request > 0 && !output_pending(c);
	}
	if (more == s->more)
		return;
	if (more ? write(s->more_fd, &one, sizeof(one)) == sizeof(one)
		 : read(s->more_fd, &count, sizeof(count)) == sizeof(count))
		s->more = more;
}

int server_fd(const struct server *s)
{
	return s->epoll_fd;
}

unsigned server_client_count(const struct server *s)
{
	return s->count;
}

void server_process(struct server *s, uint64_t now_ms)
{
	struct epoll_event events[TAG_COUNT];
	int n = epoll_wait(s->epoll_fd, events, TAG_COUNT, 0);
	bool knock = false;

	s->now_ms = now_ms;
	if (s->paused_until_ms != 0 && now_ms >= s->paused_until_ms)
		watch_listen(s, false);
	for (int i = 0; i < n; i++) {
		uint32_t tag = events[i].data.u32;

		if (tag < SERVER_CLIENTS_MAX)
			client_event(s, &s->clients[tag]);
		knock |= tag == TAG_LISTEN;
	}
	if (knock) /* after the others: it may give a place away that an event was for */
		accept_clients(s);
	handle_requests(s);
	settle_clients(s);
}

static int watch(struct server *s, int fd, uint32_t tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = tag};

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int server_open(const struct server_options *options, struct server **out, struct rpc_error *err)
{
	const struct listener_options place = {
		.path = options->path,
		.group = options->group,
		.mode = options->mode != 0 ? options->mode : MODE_DEFAULT,
		.fd = options->fd,
	};
	struct server *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	err->text[0] = '\0';
	if (s == NULL)
		goto fail;
	for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++)
		s->clients[i].fd = -1;
	s->protocol = options->protocol;
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->more_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->epoll_fd < 0 || s->more_fd < 0) {
		rc = -errno;
		goto fail_fds;
	}
	rc = listener_open(&place, &s->listener, err);
	if (rc < 0)
		goto fail_fds;
	rc = watch(s, s->listener.fd, TAG_LISTEN);
	if (rc == 0)
		rc = watch(s, s->more_fd, TAG_MORE);
	if (rc < 0)
		goto fail_socket;
	*out = s;
	return 0;

fail_socket:
	listener_close(&s->listener);
fail_fds:
	if (s->more_fd >= 0)
		close(s->more_fd);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	free(s);
fail:
	if (err->text[0] == '\0')
		rpc_error_set(err, 0, "path", "%s: %s", options->path, strerror(-rc));
	return rc;
}

void server_close(struct server *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++) {
		if (s->clients[i].fd >= 0)
			client_close(s, &s->clients[i]);
	}
	listener_close(&s->listener);
	close(s->more_fd);
	close(s->epoll_fd);
	free(s);
}
