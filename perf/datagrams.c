/*
 * Open loop: a datagram is due at a time that the rate gives, and is sent then or as soon after as
 * the sender gets to it. Its latency counts from that time, so that a stall counts for all that it
 * delays (coordinated omission). Both ends read the same clock.
 */
#include "perf/datagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
};

#define QUERY UINT32_MAX /* in place of a flow: what came of the run? */

struct datagram {
	uint64_t due_ns;
	uint64_t sequence; /* of its flow, from 1 */
	uint32_t run;      /* random */
	uint32_t flow;
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

static void answer_query(int fd, const struct sink *s, uint32_t run, const struct sockaddr *peer,
			 socklen_t peer_len)
{
	struct datagrams_answer a = {0};

	if (run == s->run && s->received > 0)
		a = (struct datagrams_answer){
			.received = s->received,
			.reordered = s->reordered,
			.p50_us = latency_quantile_us(&s->latency, 0.5),
			.p99_us = latency_quantile_us(&s->latency, 0.99),
			.p999_us = latency_quantile_us(&s->latency, 0.999),
			.max_us = (double)s->latency.max_ns / 1000,
		};
	sendto(fd, &a, sizeof(a), 0, peer, peer_len);
}

static int open_sink(uint16_t port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), off = 0, size = SINK_BUFFER;

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

int datagrams_serve(uint16_t port)
{
	static struct sink sink;
	struct datagram data[BATCH];
	struct sockaddr_in6 peers[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr messages[BATCH];
	int fd = open_sink(port);

	if (fd < 0)
		return fd;
	for (;;) {
		int n;

		for (unsigned i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){&data[i], sizeof(data[i])};
			messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
							      .msg_namelen = sizeof(peers[i]),
							      .msg_iov = &iov[i],
							      .msg_iovlen = 1};
		}
		n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		if (n < 0 && errno != EINTR && errno != ECONNREFUSED)
			break;
		for (int i = 0; i < n; i++) {
			if (messages[i].msg_len < sizeof(data[i]))
				continue;
			if (data[i].flow < DATAGRAMS_FLOWS_MAX)
				note(&sink, &data[i], pace_now_ns());
			else if (data[i].flow == QUERY)
				answer_query(fd, &sink, data[i].run, messages[i].msg_hdr.msg_name,
					     messages[i].msg_hdr.msg_namelen);
		}
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
	}
	freeaddrinfo(info);
	return rc;
}

/* Returns how many the system took. */
static uint64_t send_paced(const struct datagrams_question *q, const int *fds, uint32_t run)
{
	uint8_t bytes[DATAGRAMS_SIZE_MAX] = {0};
	uint64_t start = pace_now_ns(), end = start + (uint64_t)q->ms * 1000000, taken = 0;
	const double gap_ns = 1e9 / q->rate;

	for (uint64_t i = 0;; i++) {
		struct datagram d = {.due_ns = start + (uint64_t)((double)i * gap_ns),
				     .sequence = i / q->flows + 1,
				     .run = run,
				     .flow = (uint32_t)(i % q->flows)};

		if (d.due_ns >= end)
			break;
		pace_until_ns(d.due_ns);
		if (pace_now_ns() >= end + 100000000) /* it cannot keep up */
			break;
		memcpy(bytes, &d, sizeof(d));
		taken += send(fds[d.flow], bytes, q->size, 0) == (ssize_t)q->size;
	}
	return taken;
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

int datagrams_ask(const struct datagrams_question *q, struct datagrams_answer *answer)
{
	int fds[DATAGRAMS_FLOWS_MAX];
	uint64_t sent = 0;
	uint32_t run = (uint32_t)pace_now_ns() ^ (uint32_t)getpid() << 16;
	int rc;

	if (q->flows < 1 || q->flows > DATAGRAMS_FLOWS_MAX || q->size < DATAGRAMS_SIZE_MIN ||
	    q->size > DATAGRAMS_SIZE_MAX || q->rate < 1)
		return -EINVAL;
	memset(fds, -1, sizeof(fds));
	rc = connect_to(q, fds);
	prctl(PR_SET_TIMERSLACK, 1UL);
	if (rc == 0) {
		sent = send_paced(q, fds, run);
		rc = ask_sink(fds[0], run, answer);
	}
	if (rc == 0)
		answer->sent = sent;
	for (unsigned i = 0; i < q->flows; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return rc;
}
