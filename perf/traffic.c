/* TCP traffic: a thread a connection on both sides, large buffers, bytes counted where received. */
#include "perf/traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "perf/datagrams.h"
#include "perf/perf.h"

enum {
	CHUNK = 256 * 1024,
	TIMEOUT_S = 20,
};

/* What a client asks of a connection, both ends being this program on one machine. */
struct request {
	uint32_t down;
	uint32_t ms;
};

struct answer {
	uint64_t bytes;
	uint64_t ns;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int send_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = send(fd, p, size, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

static int recv_all(int fd, void *data, size_t size)
{
	ssize_t n = recv(fd, data, size, MSG_WAITALL);

	return n < 0 ? -errno : (size_t)n == size ? 0 : -ECONNRESET;
}

static int send_for(int fd, unsigned ms)
{
	uint64_t end = now_ns() + (uint64_t)ms * 1000000;
	char *chunk = calloc(1, CHUNK);
	int rc = chunk ? 0 : -ENOMEM;

	while (rc == 0 && now_ns() < end)
		rc = send_all(fd, chunk, CHUNK);
	free(chunk);
	shutdown(fd, SHUT_WR);
	return rc;
}

/* Read until the other side has shut down, as a program would that wants what it reads. */
static int count_all(int fd, struct answer *a)
{
	char *chunk = malloc(CHUNK);
	uint64_t began = now_ns();
	ssize_t n = chunk ? 1 : -1;

	a->bytes = 0;
	while (n > 0) {
		n = recv(fd, chunk, CHUNK, 0);
		a->bytes += n > 0 ? (uint64_t)n : 0;
	}
	a->ns = now_ns() - began;
	free(chunk);
	return n < 0 ? -errno : 0;
}

static void set_timeouts(int fd)
{
	struct timeval t = {.tv_sec = TIMEOUT_S};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

static void *serve_one(void *argument)
{
	int fd = (int)(intptr_t)argument;
	struct request r;
	struct answer a;

	set_timeouts(fd);
	if (recv_all(fd, &r, sizeof(r)) == 0) {
		if (r.down)
			send_for(fd, r.ms);
		else if (count_all(fd, &a) == 0)
			send_all(fd, &a, sizeof(a));
	}
	close(fd);
	return NULL;
}

int traffic_serve(uint16_t port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, off = 0;

	if (fd < 0)
		goto failed;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 128) < 0)
		goto failed;
	for (;;) {
		int client = accept(fd, NULL, NULL);
		pthread_t thread;

		if (client < 0)
			continue;
		if (pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)client) != 0)
			close(client);
		else
			pthread_detach(thread);
	}
failed:
	perror("sluice-perf traffic serve");
	if (fd >= 0)
		close(fd);
	return 1;
}

struct flow_job {
	const struct traffic_question *question;
	bool down;
	struct answer answer;
	int rc;
};

static int connect_to(const struct traffic_question *q)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *info;
	char port[8];
	int fd, rc = 0;

	snprintf(port, sizeof(port), "%u", q->port);
	if (getaddrinfo(q->address, port, &hints, &info) != 0)
		return -EINVAL;
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		rc = -errno;
		goto free_info;
	}
	set_timeouts(fd);
	if (connect(fd, info->ai_addr, info->ai_addrlen) < 0) {
		rc = -errno;
		close(fd);
	}
free_info:
	freeaddrinfo(info);
	return rc < 0 ? rc : fd;
}

static void *ask_one(void *argument)
{
	struct flow_job *j = argument;
	struct request r = {.down = j->down, .ms = j->question->ms};
	int fd = connect_to(j->question);

	j->rc = fd;
	if (fd < 0)
		return NULL;
	j->rc = send_all(fd, &r, sizeof(r));
	if (j->rc == 0 && r.down)
		j->rc = count_all(fd, &j->answer);
	if (j->rc == 0 && !r.down) {
		j->rc = send_for(fd, r.ms);
		if (j->rc == 0)
			j->rc = recv_all(fd, &j->answer, sizeof(j->answer));
	}
	close(fd);
	return NULL;
}

int traffic_ask(const struct traffic_question *q, double *gbps)
{
	struct flow_job jobs[2 * TRAFFIC_FLOWS_MAX] = {0};
	pthread_t threads[2 * TRAFFIC_FLOWS_MAX];
	unsigned started = 0, count = q->way == TRAFFIC_BOTH ? 2 * q->flows : q->flows;
	double sum = 0;
	int rc = 0;

	if (q->flows < 1 || q->flows > TRAFFIC_FLOWS_MAX)
		return -EINVAL;
	for (; started < count; started++) {
		jobs[started].question = q;
		jobs[started].down = q->way == TRAFFIC_DOWN || started >= q->flows;
		rc = -pthread_create(&threads[started], NULL, ask_one, &jobs[started]);
		if (rc < 0)
			break;
	}
	for (unsigned i = 0; i < started; i++) {
		pthread_join(threads[i], NULL);
		if (rc == 0)
			rc = jobs[i].rc;
		if (jobs[i].answer.ns)
			sum += (double)jobs[i].answer.bytes * 8 / (double)jobs[i].answer.ns;
	}
	if (rc == 0)
		*gbps = sum;
	return rc;
}

static int usage(FILE *out)
{
	fprintf(out, "usage: sluice-perf traffic serve [--port N]\n"
		     "       sluice-perf traffic ask ADDRESS [--port N] [--flows N] [--ms N] "
		     "[--down|--both]\n"
		     "       sluice-perf traffic send ADDRESS [--flows N] [--ms N] [--size BYTES] "
		     "[--rate N]\n"
		     "                                        [--down|--spread]\n");
	return out == stderr;
}

static void *serve_datagrams(void *argument)
{
	int rc = datagrams_serve(DATAGRAMS_PORT);

	(void)argument;
	fprintf(stderr, "sluice-perf traffic serve: UDP: %s\n", strerror(-rc));
	return NULL;
}

static int serve(uint16_t port)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, serve_datagrams, NULL) == 0)
		pthread_detach(thread);
	return traffic_serve(port);
}

static int complain(const char *address, int rc)
{
	fprintf(stderr, "sluice-perf traffic: %s: %s\n", address, strerror(-rc));
	return 1;
}

static int ask(const struct traffic_question *q)
{
	double gbps = 0;
	int rc = traffic_ask(q, &gbps);

	if (rc < 0)
		return complain(q->address, rc);
	printf("{\"gbps\": %.3f}\n", gbps);
	return 0;
}

static int send_datagrams(const struct datagrams_question *q)
{
	struct datagrams_answer a = {0};
	int rc = datagrams_ask(q, &a);

	if (rc < 0)
		return complain(q->address, rc);
	printf("{\"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"reordered\": %" PRIu64
	       ", \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
	       a.sent, a.received, a.reordered, a.p50_us, a.p99_us, a.p999_us, a.max_us);
	return 0;
}

int perf_traffic(int argc, char **argv)
{
	static const struct option options[] = {
		{"port", required_argument, NULL, 'p'}, {"flows", required_argument, NULL, 'f'},
		{"ms", required_argument, NULL, 'm'},   {"down", no_argument, NULL, 'd'},
		{"both", no_argument, NULL, 'b'},       {"spread", no_argument, NULL, 'S'},
		{"size", required_argument, NULL, 's'}, {"rate", required_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
	};
	struct traffic_question q = {.port = TRAFFIC_PORT, .flows = 1, .ms = 1000};
	struct datagrams_question d = {.port = DATAGRAMS_PORT, .size = 64, .rate = 10000};
	int c;

	signal(SIGPIPE, SIG_IGN);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			q.port = (uint16_t)strtoul(optarg, NULL, 10);
			break;
		case 'f':
			q.flows = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			q.ms = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'd':
			q.way = TRAFFIC_DOWN;
			break;
		case 'b':
			q.way = TRAFFIC_BOTH;
			break;
		case 'S':
			d.spread = true;
			break;
		case 's':
			d.size = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			d.rate = strtod(optarg, NULL);
			break;
		default:
			return usage(c == 'h' ? stdout : stderr);
		}
	}
	if (optind < argc && strcmp(argv[optind], "serve") == 0)
		return serve(q.port);
	if (optind + 1 >= argc)
		return usage(stderr);
	q.address = d.address = argv[optind + 1];
	d.down = q.way == TRAFFIC_DOWN;
	d.flows = q.flows;
	d.ms = q.ms;
	if (strcmp(argv[optind], "ask") == 0)
		return ask(&q);
	return strcmp(argv[optind], "send") == 0 ? send_datagrams(&d) : usage(stderr);
}
