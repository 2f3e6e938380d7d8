/* See steady.h. */
#include "perf/steady.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/netns.h"
#include "perf/pace.h"

enum {
	UDP_PORT = 7101, /* of both ends */
	TCP_PORT = 7102,
	SIZE_MAX_BYTES = 1372,
	SIZE_STEP = 37, /* each datagram is longer than the one before, round and round */
	CHUNK = 16384,  /* of TCP at a time */
	POOL = 65521,   /* bytes, then they come again; no power of two, so that nothing fits it */
	BUFFER = 4 << 20,
};

/* What a datagram begins with. */
struct head {
	uint64_t number;
	uint64_t sent_ns;
};

struct steady {
	int udp[2];
	int tcp[2]; /* the first end's, the second's */
	uint64_t most;
	uint64_t written; /* by TCP */
	uint64_t read;
	struct steady_way way[2];
	uint8_t *seen[2]; /* a bit a number */
	uint64_t next[2]; /* after the highest that came */
	uint8_t pool[POOL + CHUNK];
};

static int fill(struct steady *s)
{
	for (size_t at = 0; at < POOL;) {
		ssize_t n = getrandom(s->pool + at, POOL - at, 0);

		if (n < 0)
			return -errno;
		at += (size_t)n;
	}
	memcpy(s->pool + POOL, s->pool, CHUNK);
	return 0;
}

/* Bound, its buffers large. Returns: a file descriptor, or -errno */
static int open_bound(const struct steady_options *o, unsigned end, int type, uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = netns_socket(o->ns[end], AF_INET, type, 0), size = BUFFER, rc;

	if (fd < 0)
		return fd;
	if (type == SOCK_DGRAM && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	inet_pton(AF_INET, o->address[end], &at.sin_addr);
	if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int connect_to(int fd, const char *address, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, address, &to.sin_addr);
	return connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

static int open_tcp(struct steady *s, const struct steady_options *o)
{
	int listening = open_bound(o, 1, SOCK_STREAM, TCP_PORT), rc = 0;

	if (listening < 0)
		return listening;
	s->tcp[0] = netns_socket(o->ns[0], AF_INET, SOCK_STREAM, 0);
	if (s->tcp[0] < 0)
		rc = s->tcp[0];
	else if (listen(listening, 1) < 0)
		rc = -errno;
	else
		rc = connect_to(s->tcp[0], o->address[1], TCP_PORT);
	if (rc == 0) {
		s->tcp[1] = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		rc = s->tcp[1] < 0 ? -errno : 0;
	}
	close(listening);
	return rc;
}

static int open_udp(struct steady *s, const struct steady_options *o)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < 2; i++) {
		s->udp[i] = open_bound(o, i, SOCK_DGRAM, UDP_PORT);
		rc = s->udp[i] < 0 ? s->udp[i] : connect_to(s->udp[i], o->address[1 - i], UDP_PORT);
	}
	return rc;
}

int steady_open(const struct steady_options *o, struct steady **out)
{
	struct steady *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->udp[0] = s->udp[1] = s->tcp[0] = s->tcp[1] = -1;
	s->most = o->most;
	rc = fill(s);
	for (unsigned i = 0; rc == 0 && i < 2; i++) {
		s->seen[i] = calloc(1, o->most / 8 + 1);
		rc = s->seen[i] ? 0 : -ENOMEM;
	}
	if (rc == 0)
		rc = open_udp(s, o);
	if (rc == 0)
		rc = open_tcp(s, o);
	if (rc < 0) {
		steady_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

void steady_close(struct steady *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < 2; i++) {
		if (s->udp[i] >= 0)
			close(s->udp[i]);
		if (s->tcp[i] >= 0)
			close(s->tcp[i]);
		free(s->seen[i]);
	}
	free(s);
}

static size_t tail_of(uint64_t number)
{
	return number * SIZE_STEP % (SIZE_MAX_BYTES - sizeof(struct head) + 1);
}

void steady_send(struct steady *s)
{
	uint8_t data[SIZE_MAX_BYTES];

	for (unsigned i = 0; i < 2; i++) {
		struct steady_way *way = &s->way[i];
		struct head head = {.number = way->sent, .sent_ns = pace_now_ns()};
		size_t tail = tail_of(head.number);

		if (head.number == s->most)
			return;
		memcpy(data, &head, sizeof(head));
		memcpy(data + sizeof(head), s->pool + head.number % POOL, tail);
		if (send(s->udp[i], data, sizeof(head) + tail, MSG_DONTWAIT) >= 0)
			way->sent++;
	}
}

int steady_write(struct steady *s)
{
	ssize_t n =
		send(s->tcp[0], s->pool + s->written % POOL, CHUNK, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	s->written += (uint64_t)n;
	return 0;
}

static void judge(struct steady *s, unsigned end, const uint8_t *data, size_t size)
{
	struct steady_way *way = &s->way[end];
	uint8_t *seen = s->seen[end], bit;
	uint64_t way_ns;
	struct head head;

	if (size >= sizeof(head))
		memcpy(&head, data, sizeof(head));
	if (size < sizeof(head) || head.number >= way->sent ||
	    size != sizeof(head) + tail_of(head.number) ||
	    memcmp(data + sizeof(head), s->pool + head.number % POOL, size - sizeof(head)) != 0) {
		way->spoiled++;
		return;
	}
	bit = (uint8_t)(1u << head.number % 8);
	if (seen[head.number / 8] & bit) {
		way->duplicated++;
		return;
	}
	seen[head.number / 8] |= bit;
	way->received++;
	if (head.number < s->next[end])
		way->reordered++;
	else
		s->next[end] = head.number + 1;
	way_ns = pace_now_ns() - head.sent_ns;
	if (way_ns > way->longest_ns)
		way->longest_ns = way_ns;
}

int steady_receive(struct steady *s)
{
	uint8_t data[CHUNK];
	ssize_t n;

	for (unsigned i = 0; i < 2; i++)
		while ((n = recv(s->udp[1 - i], data, sizeof(data), MSG_DONTWAIT)) >= 0)
			judge(s, i, data, (size_t)n);
	while ((n = recv(s->tcp[1], data, sizeof(data), MSG_DONTWAIT)) > 0) {
		if (memcmp(data, s->pool + s->read % POOL, (size_t)n) != 0)
			return -EBADMSG;
		s->read += (uint64_t)n;
	}
	if (n == 0)
		return -ECONNRESET;
	return errno == EAGAIN ? 0 : -errno;
}

const struct steady_way *steady_way_at(const struct steady *s, unsigned end)
{
	return &s->way[end];
}

uint64_t steady_bytes(const struct steady *s)
{
	return s->read;
}
