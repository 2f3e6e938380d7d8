/*
 * Open loop: a datagram is due at a time that the rate gives, and is sent then or as soon after as
 * the sender gets to it. Its latency counts from that time, so that a stall counts for all that it
 * delays (coordinated omission). Both ends read the same clock.
 */
#include "perf/datagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "perf/latency.h"
#include "perf/pace.h"

enum {
	BATCH = 64,
	SINK_BUFFER = 32 << 20,
	SETTLE_MS = 50, /* what is under way when the sender stops arrives by then */
	ASK_TIMES = 20,
	DONE_TIMES = 3,
	WAIT_MS = 1000,
};

/* In place of a flow. */
#define QUERY UINT32_MAX       /* what came of the run? */
#define HELLO (UINT32_MAX - 1) /* whence flow `sequence` of a run down is asked for */
#define START (UINT32_MAX - 2) /* send it; an order follows */

struct datagram {
	uint64_t due_ns;
	uint64_t sequence; /* of its flow, from 1 */
	uint32_t run;      /* random */
	uint32_t flow;
};

/* What follows START. */
struct order {
	uint32_t size;
	uint32_t flows;
	uint32_t ms;
	double rate;
};

/* What is sent, and where to. */
struct course {
	struct order order;
	uint32_t run;
	bool spread;
	uint32_t spread_at;
	int fds[DATAGRAMS_FLOWS_MAX]; /* of the flows */
	struct sockaddr_in6
		peers[DATAGRAMS_FLOWS_MAX]; /* .sin6_port 0: what fds are connected to */
	uint64_t taken;                     /* by the system */
};

/* What the sink knows of the run that it saw last. */
struct sink {
	uint32_t run;
	uint64_t received;
	uint64_t reordered;
	uint64_t newest[DATAGRAMS_FLOWS_MAX];
	struct latency latency;
};

static void note(struct sink *s, const struct datagram *d, uint64_t now)
{
	uint64_t ns = now > d->due_ns ? now - d->due_ns : 0;

	if (d->run != s->run)
		*s = (struct sink){.run = d->run};
	s->received++;
	if (d->sequence < s->newest[d->flow])
		s->reordered++;
	else
		s->newest[d->flow] = d->sequence;
	latency_add(&s->latency, ns);
}

static void sum_up(const struct sink *s, struct datagrams_answer *out)
{
	*out = (struct datagrams_answer){
		.received = s->received,
		.reordered = s->reordered,
		.p50_us = latency_quantile_us(&s->latency, 0.5),
		.p99_us = latency_quantile_us(&s->latency, 0.99),
		.p999_us = latency_quantile_us(&s->latency, 0.999),
		.max_us = (double)s->latency.max_ns / 1000,
	};
}

static void answer_query(int fd, const struct sink *s, uint32_t run, const struct sockaddr *peer,
			 socklen_t peer_len)
{
	struct datagrams_answer a = {0};

	if (run == s->run && s->received > 0)
		sum_up(s, &a);
	sendto(fd, &a, sizeof(a), 0, peer, peer_len);
}

static bool send_one(struct course *c, uint32_t flow, const void *bytes)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(DATAGRAMS_PORT)};
	const void *peer = c->peers[flow].sin6_port ? &c->peers[flow] : NULL;
	socklen_t peer_len = peer ? sizeof(c->peers[flow]) : 0;

	if (c->spread) {
		to.sin_addr.s_addr =
			htonl(DATAGRAMS_SPREAD_FIRST + c->spread_at++ % DATAGRAMS_SPREAD);
		peer = &to;
		peer_len = sizeof(to);
	}
	return sendto(c->fds[flow], bytes, c->order.size, 0, peer, peer_len) ==
	       (ssize_t)c->order.size;
}

static void send_paced(struct course *c)
{
	uint8_t bytes[DATAGRAMS_SIZE_MAX] = {0};
	uint64_t start = pace_now_ns(), end = start + (uint64_t)c->order.ms * 1000000;
	const double gap_ns = 1e9 / c->order.rate;

	prctl(PR_SET_TIMERSLACK, 1UL);
	for (uint64_t i = 0;; i++) {
		struct datagram d = {.due_ns = start + (uint64_t)((double)i * gap_ns),
				     .sequence = i / c->order.flows + 1,
				     .run = c->run,
				     .flow = (uint32_t)(i % c->order.flows)};

		if (d.due_ns >= end)
			break;
		pace_until_ns(d.due_ns);
		if (pace_now_ns() >= end + 100000000) /* it cannot keep up */
			break;
		memcpy(bytes, &d, sizeof(d));
		c->taken += send_one(c, d.flow, bytes);
	}
}

/* In a thread of its own, so that the sink goes on. */
static void *send_down(void *argument)
{
	struct course *c = argument;
	const struct timespec settle = {.tv_nsec = SETTLE_MS * 1000000};
	struct datagrams_answer done;

	send_paced(c);
	done = (struct datagrams_answer){.sent = c->taken};
	for (unsigned i = 0; i < DONE_TIMES; i++) {
		nanosleep(&settle, NULL);
		sendto(c->fds[0], &done, sizeof(done), 0, (struct sockaddr *)&c->peers[0],
		       sizeof(c->peers[0]));
	}
	free(c);
	return NULL;
}

static bool order_valid(const struct order *o)
{
	return o->size >= DATAGRAMS_SIZE_MIN && o->size <= DATAGRAMS_SIZE_MAX && o->flows >= 1 &&
	       o->flows <= DATAGRAMS_FLOWS_MAX && o->rate >= 1;
}

static void start_down(int fd, const struct course *asked, const struct order *order)
{
	struct course *c = malloc(sizeof(*c));
	pthread_t thread;

	if (!c)
		return;
	*c = *asked;
	c->order = *order;
	for (unsigned i = 0; i < DATAGRAMS_FLOWS_MAX; i++)
		c->fds[i] = fd;
	if (pthread_create(&thread, NULL, send_down, c) == 0)
		pthread_detach(thread);
	else
		free(c);
}

/* Note whence a flow of a run down was asked for, and say so; or start it, once. */
static void take_hello(int fd, struct course *c, const struct datagram *d,
		       const struct order *order, const struct sockaddr_in6 *peer)
{
	if (d->run != c->run)
		*c = (struct course){.run = d->run};
	if (d->flow == HELLO && d->sequence < DATAGRAMS_FLOWS_MAX) {
		c->peers[d->sequence] = *peer;
	} else if (d->flow == START && c->order.rate == 0 && order_valid(order)) {
		c->order = *order;
		start_down(fd, c, order);
	}
	sendto(fd, d, sizeof(*d), 0, (const struct sockaddr *)peer, sizeof(*peer));
}

static void set_buffer(int fd)
{
	int size = SINK_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static int open_sink(uint16_t port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), off = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	set_buffer(fd);
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

/* What is read of a datagram. */
struct head {
	struct datagram datagram;
	struct order order;
};

static void take(int fd, struct sink *sink, struct course *down, const struct head *h, size_t size,
		 const struct sockaddr_in6 *peer)
{
	const struct datagram *d = &h->datagram;

	if (size < sizeof(*d))
		return;
	if (d->flow < DATAGRAMS_FLOWS_MAX)
		note(sink, d, pace_now_ns());
	else if (d->flow == QUERY)
		answer_query(fd, sink, d->run, (const struct sockaddr *)peer, sizeof(*peer));
	else if (d->flow == HELLO || (d->flow == START && size >= sizeof(*h)))
		take_hello(fd, down, d, &h->order, peer);
}

int datagrams_serve(uint16_t port)
{
	static struct sink sink;
	static struct course down;
	struct head heads[BATCH];
	struct sockaddr_in6 peers[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr messages[BATCH];
	int fd = open_sink(port);

	if (fd < 0)
		return fd;
	for (;;) {
		int n;

		for (unsigned i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){&heads[i], sizeof(heads[i])};
			messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
							      .msg_namelen = sizeof(peers[i]),
							      .msg_iov = &iov[i],
							      .msg_iovlen = 1};
		}
		n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		if (n < 0 && errno != EINTR && errno != ECONNREFUSED)
			break;
		for (int i = 0; i < n; i++)
			take(fd, &sink, &down, &heads[i], messages[i].msg_len, &peers[i]);
	}
	close(fd);
	return -errno;
}

static int connect_to(const struct datagrams_question *q, int fds[DATAGRAMS_FLOWS_MAX])
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM}, *info;
	struct timeval wait = {.tv_usec = 200000};
	char port[8];
	int rc = 0;

	snprintf(port, sizeof(port), "%u", q->port);
	if (getaddrinfo(q->address, port, &hints, &info) != 0)
		return -EINVAL;
	for (unsigned i = 0; i < q->flows; i++) {
		fds[i] = socket(info->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fds[i] < 0 || connect(fds[i], info->ai_addr, info->ai_addrlen) < 0) {
			rc = -errno;
			break;
		}
		setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
		set_buffer(fds[i]);
	}
	freeaddrinfo(info);
	return rc;
}

static int ask_sink(int fd, uint32_t run, struct datagrams_answer *out)
{
	const struct datagram query = {.run = run, .flow = QUERY};
	const struct timespec settle = {.tv_nsec = SETTLE_MS * 1000000};

	nanosleep(&settle, NULL);
	for (unsigned i = 0; i < ASK_TIMES; i++) {
		if (send(fd, &query, sizeof(query), 0) < 0 && errno != ECONNREFUSED)
			return -errno;
		if (recv(fd, out, sizeof(*out), 0) == sizeof(*out))
			return 0;
	}
	return -ETIMEDOUT;
}

static int ask_up(struct course *c, struct datagrams_answer *out)
{
	struct datagrams_answer answer;
	int rc;

	send_paced(c);
	rc = ask_sink(c->fds[0], c->run, &answer);
	if (rc < 0)
		return rc;
	answer.sent = c->taken;
	*out = answer;
	return 0;
}

/* Send until it is sent back. */
static int tell_sink(int fd, const struct head *h, size_t size)
{
	struct datagram back;

	for (unsigned i = 0; i < ASK_TIMES; i++) {
		if (send(fd, h, size, 0) < 0 && errno != ECONNREFUSED)
			return -errno;
		if (recv(fd, &back, sizeof(back), 0) == sizeof(back) &&
		    back.flow == h->datagram.flow)
			return 0;
	}
	return -ETIMEDOUT;
}

/*
 * Count what comes on the flows' sockets until the sink says that it has sent all.
 *
 * sent: set to how much that was
 */
static int receive_down(const struct course *c, struct sink *sink, uint64_t *sent)
{
	struct epoll_event events[DATAGRAMS_FLOWS_MAX];
	uint64_t end = pace_now_ns() + (c->order.ms + WAIT_MS) * UINT64_C(1000000);
	int poll = epoll_create1(EPOLL_CLOEXEC), rc = -ETIMEDOUT;

	for (unsigned i = 0; i < c->order.flows; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.fd = c->fds[i]};

		epoll_ctl(poll, EPOLL_CTL_ADD, c->fds[i], &e);
	}
	while (rc < 0 && pace_now_ns() < end) {
		int n = epoll_wait(poll, events, DATAGRAMS_FLOWS_MAX, WAIT_MS);

		for (int i = 0; i < n; i++) {
			struct datagrams_answer done;
			struct datagram d;
			ssize_t size;

			while ((size = recv(events[i].data.fd, &done, sizeof(done),
					    MSG_DONTWAIT | MSG_TRUNC)) > 0) {
				memcpy(&d, &done, sizeof(d));
				if (size == sizeof(done)) {
					*sent = done.sent;
					rc = 0;
				} else if (size >= DATAGRAMS_SIZE_MIN && d.run == c->run &&
					   d.flow < DATAGRAMS_FLOWS_MAX) {
					note(sink, &d, pace_now_ns());
				}
			}
		}
	}
	close(poll);
	return rc;
}

static int ask_down(struct course *c, struct datagrams_answer *out)
{
	struct head h = {.datagram = {.run = c->run, .flow = HELLO}, .order = c->order};
	static struct sink sink;
	uint64_t sent = 0;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < c->order.flows; i++) {
		h.datagram.sequence = i;
		rc = tell_sink(c->fds[i], &h, sizeof(h));
	}
	h.datagram.flow = START;
	if (rc == 0 && send(c->fds[0], &h, sizeof(h), 0) < 0)
		rc = -errno;
	if (rc == 0)
		rc = receive_down(c, &sink, &sent);
	if (rc == 0) {
		sum_up(&sink, out);
		out->sent = sent;
	}
	return rc;
}

int datagrams_ask(const struct datagrams_question *q, struct datagrams_answer *answer)
{
	struct course c = {.order = {q->size, q->flows, q->ms, q->rate}, .spread = q->spread};
	int rc;

	c.run = (uint32_t)pace_now_ns() ^ (uint32_t)getpid() << 16;
	c.spread_at = c.run;
	if (!order_valid(&c.order))
		return -EINVAL;
	memset(c.fds, -1, sizeof(c.fds));
	rc = connect_to(q, c.fds);
	if (rc == 0)
		rc = q->down ? ask_down(&c, answer) : ask_up(&c, answer);
	for (unsigned i = 0; i < q->flows; i++)
		if (c.fds[i] >= 0)
			close(c.fds[i]);
	return rc;
}
