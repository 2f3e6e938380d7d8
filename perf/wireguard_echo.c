/* Echoes through a tunnel. See wireguard.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip_icmp.h>
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

/* Until the answer is there. Returns: whether it came */
static bool await(int fd, const struct echo *sent)
{
	uint8_t bytes[IP_MAX + sizeof(struct echo)];
	struct icmphdr head;

	for (ssize_t n; (n = recv(fd, bytes, sizeof(bytes), 0)) > 0;) {
		size_t at = (size_t)(bytes[0] & 15) * 4;

		if ((size_t)n < at + sizeof(head))
			continue;
		memcpy(&head, bytes + at, sizeof(head));
		if (head.type == ICMP_ECHOREPLY && head.un.echo.id == sent->head.un.echo.id &&
		    head.un.echo.sequence == sent->head.un.echo.sequence)
			return true;
	}
	return false;
}

int wgbench_echo(int ns, const char *address, unsigned count, struct wgbench_echo *out)
{
	const struct timeval wait = {.tv_usec = WAIT_US};
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct latency *l = calloc(1, sizeof(*l));
	int fd = netns_socket(ns, AF_INET, SOCK_RAW, IPPROTO_ICMP), rc = 0;
	uint64_t due;

	if (!l || fd < 0) {
		rc = l ? fd : -ENOMEM;
		goto done;
	}
	inet_pton(AF_INET, address, &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		rc = -errno;
		goto done;
	}
	prctl(PR_SET_TIMERSLACK, 1UL);
	due = pace_now_ns();
	for (unsigned i = 0; i < count; i++) {
		struct echo e = {.head = {.type = ICMP_ECHO}};
		uint64_t began;

		e.head.un.echo.id = htons((uint16_t)getpid());
		e.head.un.echo.sequence = htons((uint16_t)i);
		e.head.checksum = sum_of(&e, sizeof(e));
		pace_sleep_until_ns(due);
		began = pace_now_ns();
		if (send(fd, &e, sizeof(e), 0) == (ssize_t)sizeof(e) && await(fd, &e))
			latency_add(l, pace_now_ns() - began);
		due = began + GAP_NS;
	}
	*out = (struct wgbench_echo){.p50_us = latency_quantile_us(l, 0.5),
				     .p99_us = latency_quantile_us(l, 0.99),
				     .lost = count - (unsigned)l->count};
done:
	if (fd >= 0)
		close(fd);
	free(l);
	return rc;
}
