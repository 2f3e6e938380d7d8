/*
 * Echoes through a tunnel, and what the machine asks for the wake-ups of one alone: three threads
 * pass a datagram on as both ends' workers do, without a tunnel. See wireguard.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "perf/latency.h"
#include "perf/netns.h"
#include "perf/pace.h"
#include "perf/wireguard.h"

enum {
	GAP_NS = 1000000,
	WAIT_US = 200000,
	PAYLOAD = 56,
	IP_MAX = 60,
	RELAYS = 3, /* a worker that takes the request, one that answers, one that takes that */
};

struct echo {
	struct icmphdr head;
	uint8_t payload[PAYLOAD];
};

static uint16_t sum_of(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint32_t sum = 0;
	uint16_t word;

	for (size_t i = 0; i + 1 < size; i += 2) {
		memcpy(&word, bytes + i, sizeof(word));
		sum += word;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* Where echoes leave and come back; not bare: from an IP stack, with its header. */
struct way {
	int out;
	int in;
	bool bare;
};

/* Until the answer is there. Returns: whether it came */
static bool await(const struct way *way, const struct echo *sent)
{
	uint8_t bytes[IP_MAX + sizeof(struct echo)], type = way->bare ? ICMP_ECHO : ICMP_ECHOREPLY;
	struct icmphdr head;

	for (ssize_t n; (n = recv(way->in, bytes, sizeof(bytes), 0)) > 0;) {
		size_t at = way->bare ? 0 : (size_t)(bytes[0] & 15) * 4;

		if ((size_t)n < at + sizeof(head))
			continue;
		memcpy(&head, bytes + at, sizeof(head));
		if (head.type == type && head.un.echo.id == sent->head.un.echo.id &&
		    head.un.echo.sequence == sent->head.un.echo.sequence)
			return true;
	}
	return false;
}

static int measure(const struct way *way, unsigned count, struct wgbench_echo *out)
{
	const struct timeval wait = {.tv_usec = WAIT_US};
	struct latency *l = calloc(1, sizeof(*l));
	uint64_t due = pace_now_ns();

	if (!l)
		return -ENOMEM;
	setsockopt(way->in, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	prctl(PR_SET_TIMERSLACK, 1UL);
	for (unsigned i = 0; i < count; i++) {
		struct echo e = {.head = {.type = ICMP_ECHO}};
		uint64_t began;

		e.head.un.echo.id = htons((uint16_t)getpid());
		e.head.un.echo.sequence = htons((uint16_t)i);
		e.head.checksum = sum_of(&e, sizeof(e));
		pace_sleep_until_ns(due);
		began = pace_now_ns();
		if (send(way->out, &e, sizeof(e), 0) == (ssize_t)sizeof(e) && await(way, &e))
			latency_add(l, pace_now_ns() - began);
		due = began + GAP_NS;
	}
	*out = (struct wgbench_echo){.p50_us = latency_quantile_us(l, 0.5),
				     .p99_us = latency_quantile_us(l, 0.99),
				     .lost = count - (unsigned)l->count};
	free(l);
	return 0;
}

int wgbench_echo(int ns, const char *address, unsigned count, struct wgbench_echo *out)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	int fd = netns_socket(ns, AF_INET, SOCK_RAW, IPPROTO_ICMP), rc;

	if (fd < 0)
		return fd;
	inet_pton(AF_INET, address, &to.sin_addr);
	rc = connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
	if (rc == 0)
		rc = measure(&(struct way){.out = fd, .in = fd}, count, out);
	close(fd);
	return rc;
}

/* ---- Without a tunnel ---- */

/* Pass on what comes; the last is empty. argument: a pair, { from, to } */
static void *relay(void *argument)
{
	const int *pair = argument;
	struct pollfd p = {.fd = pair[0], .events = POLLIN};
	uint8_t data[sizeof(struct echo)];
	ssize_t n;

	do {
		poll(&p, 1, -1);
		n = recv(pair[0], data, sizeof(data), MSG_DONTWAIT);
		if (n >= 0)
			send(pair[1], data, (size_t)n, 0);
	} while (n != 0);
	return NULL;
}

/* A socket that hears, and one that is connected to it. pair: { the second, the first } */
static int open_hop(int ns, int pair[2])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);

	for (unsigned i = 0; i < 2; i++) {
		pair[i] = netns_socket(ns, AF_INET, SOCK_DGRAM, 0);
		if (pair[i] < 0)
			return pair[i];
	}
	if (bind(pair[1], (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    getsockname(pair[1], (struct sockaddr *)&at, &size) < 0 ||
	    connect(pair[0], (struct sockaddr *)&at, sizeof(at)) < 0)
		return -errno;
	return 0;
}

int wgbench_bare_echo(int ns, unsigned count, struct wgbench_echo *out)
{
	int hops[RELAYS + 1][2], pairs[RELAYS][2], rc = 0;
	pthread_t threads[RELAYS];
	unsigned started = 0;

	memset(hops, -1, sizeof(hops));
	for (unsigned i = 0; rc == 0 && i <= RELAYS; i++)
		rc = open_hop(ns, hops[i]);
	while (rc == 0 && started < RELAYS) {
		pairs[started][0] = hops[started][1];
		pairs[started][1] = hops[started + 1][0];
		rc = -pthread_create(&threads[started], NULL, relay, pairs[started]);
		started += rc == 0;
	}
	if (rc == 0)
		rc = measure(&(struct way){.out = hops[0][0], .in = hops[RELAYS][1], .bare = true},
			     count, out);
	for (unsigned i = 0; i < started; i++) {
		send(hops[i][0], "", 0, 0);
		pthread_join(threads[i], NULL);
	}
	for (unsigned i = 0; i <= RELAYS; i++)
		for (unsigned k = 0; k < 2; k++)
			if (hops[i][k] >= 0)
				close(hops[i][k]);
	return rc;
}
