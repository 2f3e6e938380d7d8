/*
 * The kernel's sockets, by the rules of tun/udp.h: each test in a network namespace of its own.
 *
 * wg_s2   a port of ours never says that it is closed
 */
#include "tun/udp.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

TestSuite(sockets_udp, .timeout = 60);

enum {
	MESSAGES = 8,
	SEGMENT = 1452,
	WAIT_MS = 5000,
};

/* Ours, and messages to receive into. */
struct play {
	struct udp *udp;
	struct udp_queue *queue;
	struct udp_message in[MESSAGES];
	uint8_t *memory;
};

static void run(const char *command)
{
	cr_assert_eq(system(command), 0, "%s", command);
}

/* A namespace in which 10.9.0.1 and fd09::1 are ours, too. */
static void enter_namespace(void)
{
	cr_assert_eq(unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWNET | CLONE_NEWUSER), 0, "%s",
		     strerror(errno));
	run("ip link set lo up && ip address add 10.9.0.1/24 dev lo && "
	    "ip -6 address add fd09::1/64 dev lo nodad");
}

static struct udp *open_udp(unsigned queues, uint16_t port)
{
	struct udp_options options = {.queues = queues, .port = port};
	struct udp *udp = NULL;
	int rc = udp_open(&options, &udp);

	cr_assert_eq(rc, 0, "udp_open: %d", rc);
	return udp;
}

static void begin(struct play *p, unsigned queues)
{
	enter_namespace();
	p->udp = open_udp(queues, 0);
	p->queue = udp_queue_at(p->udp, 0);
	p->memory = malloc((size_t)MESSAGES * UDP_MESSAGE_ROOM);
	cr_assert(p->memory);
	for (unsigned i = 0; i < MESSAGES; i++)
		p->in[i].data = p->memory + (size_t)i * UDP_MESSAGE_ROOM;
}

static void end(struct play *p)
{
	udp_close(p->udp);
	free(p->memory);
}

static struct udp_endpoint endpoint(const char *text, uint16_t port)
{
	struct udp_endpoint e = {.port = port, .version = strchr(text, ':') ? 6 : 4};

	cr_assert_eq(inet_pton(e.version == 4 ? AF_INET : AF_INET6, text, e.addr), 1, "%s", text);
	return e;
}

static void set_source(struct udp_endpoint *e, const char *text)
{
	cr_assert_eq(inet_pton(e->version == 4 ? AF_INET : AF_INET6, text, e->source), 1);
}

static bool is_address(const uint8_t addr[16], const char *text)
{
	struct udp_endpoint e = endpoint(text, 0);

	return memcmp(addr, e.addr, 16) == 0;
}

/* Wait for messages of a queue. */
static unsigned receive(struct play *p, struct udp_queue *queue, unsigned max)
{
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
	int pair[2];
	unsigned n = 0;

	udp_queue_fds(queue, pair);
	fds[0].fd = pair[0];
	fds[1].fd = pair[1];
	for (unsigned tries = 0; n == 0 && tries < 100; tries++) {
		poll(fds, 2, WAIT_MS / 100);
		n = udp_recv_burst(queue, p->in, max, SIZE_MAX / 2);
	}
	return n;
}

/* A plain socket of somebody else on that address; *port is given. */
static int other(const char *text, uint16_t *port)
{
	struct udp_endpoint e = endpoint(text, 0);
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6};
	struct sockaddr_in a4 = {.sin_family = AF_INET};
	int fd = socket(e.version == 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
	struct timeval wait = {.tv_sec = 2};
	socklen_t size;
	int rc;

	cr_assert_geq(fd, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	memcpy(&a4.sin_addr, e.addr, 4);
	memcpy(&a6.sin6_addr, e.addr, 16);
	size = e.version == 4 ? sizeof(a4) : sizeof(a6);
	rc = bind(fd, e.version == 4 ? (void *)&a4 : (void *)&a6, size);
	cr_assert_eq(rc, 0, "%s: %s", text, strerror(errno));
	getsockname(fd, e.version == 4 ? (void *)&a4 : (void *)&a6, &size);
	*port = ntohs(e.version == 4 ? a4.sin_port : a6.sin6_port);
	return fd;
}

static void send_from(int fd, const char *text, uint16_t port, const void *data, size_t len)
{
	struct udp_endpoint e = endpoint(text, port);
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	ssize_t n;

	memcpy(&a4.sin_addr, e.addr, 4);
	memcpy(&a6.sin6_addr, e.addr, 16);
	n = sendto(fd, data, len, 0, e.version == 4 ? (void *)&a4 : (void *)&a6,
		   e.version == 4 ? sizeof(a4) : sizeof(a6));
	cr_assert_eq(n, (ssize_t)len, "to %s: %s", text, strerror(errno));
}

/* Take a datagram; *from gets who sent it. Returns its length or -1. */
static ssize_t take(int fd, void *data, size_t size, char from[INET6_ADDRSTRLEN])
{
	struct sockaddr_in6 a = {0};
	struct sockaddr_in a4;
	socklen_t a_size = sizeof(a);
	ssize_t n = recvfrom(fd, data, size, 0, (void *)&a, &a_size);

	memcpy(&a4, &a, sizeof(a4));
	if (a.sin6_family == AF_INET6)
		inet_ntop(AF_INET6, &a.sin6_addr, from, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET, &a4.sin_addr, from, INET6_ADDRSTRLEN);
	return n;
}

static void fill(uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
}

static const char *const loopbacks[] = {"127.0.0.1", "::1"};

Test(sockets_udp, one_port_serves_both_families)
{
	struct play p;
	uint16_t port;

	begin(&p, 2);
	cr_assert_neq(udp_port(p.udp), 0);
	for (unsigned i = 0; i < 2; i++) {
		int fd = other(loopbacks[i], &port);

		send_from(fd, loopbacks[i], udp_port(p.udp), "\4\0\0\0\0\0\0\0data", 12);
		cr_assert_eq(receive(&p, p.queue, MESSAGES), 1, "%s", loopbacks[i]);
		cr_assert_eq(p.in[0].len, 12);
		cr_assert_eq(p.in[0].segment, 12);
		cr_assert_eq(p.in[0].endpoint.port, port);
		cr_assert(is_address(p.in[0].endpoint.addr, loopbacks[i]));
		cr_assert(is_address(p.in[0].endpoint.source, loopbacks[i]));
		close(fd);
	}
	end(&p);
}

/* As if the kernel had been built without it. */
static void forbid_family(unsigned family)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, family, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0, "%s",
		     strerror(errno));
}

/* It has a port all the same, and another when it is told so. */
static void use_one_family(unsigned missing, const char *there, const char *not_there)
{
	struct udp_message m = {.data = (uint8_t[]){4}, .len = 1, .segment = 1};
	char from[INET6_ADDRSTRLEN];
	struct play p;
	uint16_t port;
	uint8_t byte;
	int fd;

	begin(&p, 2);
	udp_close(p.udp);
	forbid_family(missing);
	p.udp = open_udp(2, 0);
	p.queue = udp_queue_at(p.udp, 0);
	fd = other(there, &port);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_neq(udp_port(p.udp), 0);
		send_from(fd, there, udp_port(p.udp), "\4\0\0\0\0\0\0\0data", 12);
		cr_assert_eq(receive(&p, p.queue, MESSAGES), 1);
		m.endpoint = p.in[0].endpoint;
		cr_assert_eq(udp_send_burst(p.queue, &m, 1), 0);
		cr_assert_eq(take(fd, &byte, 1, from), 1);
		m.endpoint = endpoint(not_there, port);
		cr_assert_eq(udp_send_burst(p.queue, &m, 1), 1);
		cr_assert_eq(udp_set_port(p.udp, 0), 0);
	}
	close(fd);
	end(&p);
}

Test(sockets_udp, a_host_without_ipv6)
{
	use_one_family(AF_INET6, "127.0.0.1", "::1");
}

Test(sockets_udp, a_host_without_ipv4)
{
	use_one_family(AF_INET, "::1", "127.0.0.1");
}

Test(sockets_udp, a_port_has_one_owner)
{
	struct udp_options options = {.queues = 2};
	struct udp *second = NULL;
	struct play p;
	uint16_t port;
	int fd;

	begin(&p, 2);
	options.port = udp_port(p.udp);
	cr_assert_eq(udp_open(&options, &second), -EADDRINUSE);
	options.queues = 1;
	cr_assert_eq(udp_open(&options, &second), -EADDRINUSE);
	fd = other("::1", &port);
	options.port = port;
	cr_assert_eq(udp_open(&options, &second), -EADDRINUSE, "taken for IPv6 alone");
	cr_assert_null(second);
	close(fd);
	end(&p);
}

Test(sockets_udp, options_are_checked)
{
	static const unsigned queues[] = {0, 65};
	struct udp *udp = NULL;

	for (unsigned i = 0; i < 2; i++) {
		struct udp_options options = {.queues = queues[i]};

		cr_assert_eq(udp_open(&options, &udp), -EINVAL, "%u queues", queues[i]);
	}
	udp_close(NULL);
}

/* Any number of datagrams, and a last one that is shorter, or not. */
Test(sockets_udp, messages_arrive_as_they_were_sent)
{
	static const uint32_t lens[] = {1, SEGMENT, SEGMENT + 1, 45 * SEGMENT, 44 * SEGMENT + 7};
	uint8_t *sent = malloc(UDP_MESSAGE_MAX);
	struct udp *far;
	struct play p;

	cr_assert(sent);
	fill(sent, UDP_MESSAGE_MAX);
	begin(&p, 1);
	far = open_udp(1, 0);
	for (unsigned i = 0; i < 10; i++) {
		uint32_t len = lens[i % 5], got = 0;
		struct udp_message m = {.data = sent, .len = len, .segment = SEGMENT};
		const char *to = loopbacks[i / 5];

		m.endpoint = endpoint(to, udp_port(p.udp));
		cr_assert_eq(udp_segments(&m), (len + SEGMENT - 1) / SEGMENT);
		cr_assert_eq(udp_send_burst(udp_queue_at(far, 0), &m, 1), 0, "%u to %s", len, to);
		while (got < len) {
			unsigned n = receive(&p, p.queue, MESSAGES);

			cr_assert_gt(n, 0, "%u of %u bytes to %s", got, len, to);
			for (unsigned k = 0; k < n; k++) {
				cr_assert_eq(memcmp(p.in[k].data, sent + got, p.in[k].len), 0);
				cr_assert_eq(p.in[k].segment,
					     p.in[k].len < SEGMENT ? p.in[k].len : SEGMENT);
				got += p.in[k].len;
			}
		}
		cr_assert_eq(got, len);
	}
	free(sent);
	udp_close(far);
	end(&p);
}

Test(sockets_udp, the_index_chooses_the_queue)
{
	struct play p;
	uint16_t port;
	int fd;

	begin(&p, 3);
	fd = other("127.0.0.1", &port);
	for (unsigned i = 0; i < 32; i++) {
		uint8_t data[32] = {4,
				    0,
				    0,
				    0,
				    (uint8_t)(i * 37),
				    (uint8_t)(i * 91),
				    (uint8_t)i,
				    (uint8_t)(i * 255)};
		unsigned queue = udp_select(data, sizeof(data), 3);

		send_from(fd, "127.0.0.1", udp_port(p.udp), data, sizeof(data));
		cr_assert_eq(receive(&p, udp_queue_at(p.udp, queue), MESSAGES), 1,
			     "index %u is not on queue %u", i, queue);
		cr_assert_eq(memcmp(p.in[0].data, data, sizeof(data)), 0);
	}
	/* Others come by any of them. */
	for (uint8_t type = 0; type < 4; type++) {
		uint8_t data[148] = {type};
		unsigned got = 0;

		send_from(fd, "127.0.0.1", udp_port(p.udp), data, type ? sizeof(data) : 3);
		for (unsigned tries = 0; tries < 200 && !got; tries++) {
			for (unsigned q = 0; q < 3; q++)
				got += udp_recv_burst(udp_queue_at(p.udp, q), p.in, 1, 1);
			if (!got)
				usleep(1000);
		}
		cr_assert_eq(got, 1, "type %u", type);
	}
	close(fd);
	end(&p);
}

/* With UDP_GRO, too: the far end sends several at once. */
Test(sockets_udp, answers_leave_from_the_address_that_was_asked)
{
	static const char *const asked[] = {"127.0.0.7", "10.9.0.1", "fd09::1", "::1"};
	char from[INET6_ADDRSTRLEN];
	uint8_t data[3 * SEGMENT];
	struct play p;

	fill(data, sizeof(data));
	begin(&p, 1);
	for (unsigned i = 0; i < 4; i++) {
		struct udp_message m = {.data = data, .len = sizeof(data), .segment = SEGMENT};
		struct udp *far = open_udp(1, 0);
		struct udp_message in = {.data = p.in[1].data};

		m.endpoint = endpoint(asked[i], udp_port(p.udp));
		cr_assert_eq(udp_send_burst(udp_queue_at(far, 0), &m, 1), 0);
		cr_assert_gt(receive(&p, p.queue, 1), 0, "%s", asked[i]);
		cr_assert(is_address(p.in[0].endpoint.source, asked[i]), "%s", asked[i]);
		cr_assert_eq(p.in[0].segment, SEGMENT, "not by UDP_GRO");
		cr_assert_eq(udp_send_burst(p.queue, p.in, 1), 0);
		for (unsigned tries = 0; tries < 100; tries++) {
			if (udp_recv_burst(udp_queue_at(far, 0), &in, 1, 1))
				break;
			usleep(1000);
		}
		inet_ntop(in.endpoint.version == 4 ? AF_INET : AF_INET6, in.endpoint.addr, from,
			  sizeof(from));
		cr_assert_str_eq(from, asked[i], "asked %s, answered by %s", asked[i], from);
		udp_close(far);
	}
	end(&p);
}

Test(sockets_udp, a_source_that_is_gone_is_forgotten_and_the_message_sent)
{
	static const struct {
		const char *to, *source, *remove;
	} cases[] = {
		{"127.0.0.1", "10.9.0.1", "ip address del 10.9.0.1/24 dev lo"},
		{"::1", "fd09::1", "ip -6 address del fd09::1/64 dev lo"},
	};
	uint8_t data[3 * SEGMENT], got[SEGMENT];
	char from[INET6_ADDRSTRLEN];
	struct play p;
	uint16_t port;

	fill(data, sizeof(data));
	begin(&p, 1);
	for (unsigned i = 0; i < 2; i++) {
		struct udp_message m = {.data = data, .len = sizeof(data), .segment = SEGMENT};
		int fd = other(cases[i].to, &port);

		m.endpoint = endpoint(cases[i].to, port);
		set_source(&m.endpoint, cases[i].source);
		cr_assert_eq(udp_send_burst(p.queue, &m, 1), 0);
		cr_assert_not(m.source_gone);
		for (unsigned k = 0; k < 3; k++)
			cr_assert_eq(take(fd, got, sizeof(got), from), SEGMENT);
		cr_assert_str_eq(from, cases[i].source);
		run(cases[i].remove);
		cr_assert_eq(udp_send_burst(p.queue, &m, 1), 0);
		cr_assert(m.source_gone, "%s", cases[i].source);
		for (unsigned k = 0; k < 3; k++) {
			cr_assert_eq(take(fd, got, sizeof(got), from), SEGMENT, "datagram %u", k);
			cr_assert_eq(memcmp(got, data + (size_t)k * SEGMENT, SEGMENT), 0);
		}
		cr_assert_str_eq(from, cases[i].to);
		close(fd);
	}
	end(&p);
}

Test(sockets_udp, families_take_turns_without_mixing)
{
	struct udp_message m[MESSAGES];
	uint8_t data[MESSAGES];
	uint16_t ports[2];
	struct play p;
	int fds[2];

	begin(&p, 1);
	for (unsigned i = 0; i < 2; i++)
		fds[i] = other(loopbacks[i], &ports[i]);
	for (unsigned i = 0; i < MESSAGES; i++) {
		data[i] = (uint8_t)i;
		m[i] = (struct udp_message){.data = &data[i], .len = 1, .segment = 1};
		m[i].endpoint = endpoint(loopbacks[i % 2], ports[i % 2]);
	}
	cr_assert_eq(udp_send_burst(p.queue, m, MESSAGES), 0);
	for (unsigned i = 0; i < MESSAGES; i++) {
		char from[INET6_ADDRSTRLEN];
		uint8_t got = 0xff;

		cr_assert_eq(take(fds[i % 2], &got, 1, from), 1, "message %u", i);
		cr_assert_eq(got, i);
		cr_assert_str_eq(from, loopbacks[i % 2]);
		send_from(fds[i % 2], loopbacks[i % 2], udp_port(p.udp), &got, 1);
	}
	/* Neither family waits for ever while the other is busy. */
	for (unsigned seen = 0, n; seen < MESSAGES; seen += n) {
		n = receive(&p, p.queue, MESSAGES);
		cr_assert_gt(n, 0, "%u came", seen);
	}
	close(fds[0]);
	close(fds[1]);
	end(&p);
}

Test(sockets_udp, the_traffic_class_goes_both_ways)
{
	static const uint8_t classes[] = {0, 1, 2, 3, 0x88, 0xb9};
	struct udp_message m;
	struct udp *far;
	struct play p;

	begin(&p, 1);
	far = open_udp(1, 0);
	for (unsigned i = 0; i < 12; i++) {
		m = (struct udp_message){
			.data = p.in[1].data, .len = 10, .segment = 10, .tos = classes[i % 6]};
		m.endpoint = endpoint(loopbacks[i / 6], udp_port(p.udp));
		cr_assert_eq(udp_send_burst(udp_queue_at(far, 0), &m, 1), 0);
		cr_assert_eq(receive(&p, p.queue, 1), 1);
		cr_assert_eq(p.in[0].tos, classes[i % 6], "%s: %02x, want %02x", loopbacks[i / 6],
			     p.in[0].tos, classes[i % 6]);
	}
	udp_close(far);
	end(&p);
}

Test(sockets_udp, the_mark_is_on_what_is_sent)
{
	struct udp_message m = {.len = 3, .segment = 3};
	struct play p;

	begin(&p, 2);
	m.data = p.in[0].data;
	m.endpoint = endpoint("127.0.0.1", udp_port(p.udp));
	run("ip rule add pref 0 fwmark 7 prohibit && ip rule add pref 1 lookup local &&"
	    " ip rule del pref 0 lookup local");
	cr_assert_eq(udp_send_burst(p.queue, &m, 1), 0);
	cr_assert_eq(udp_set_mark(p.udp, 7), 0);
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(udp_send_burst(udp_queue_at(p.udp, i), &m, 1), 1, "queue %u", i);
	cr_assert_eq(udp_set_mark(p.udp, 0), 0);
	cr_assert_eq(udp_send_burst(p.queue, &m, 1), 0);
	end(&p);
}

Test(sockets_udp, the_port_changes_under_the_queues)
{
	struct udp *taken;
	int before[2], after[2], fd;
	uint16_t old, port;
	struct play p;

	begin(&p, 2);
	taken = open_udp(1, 0);
	old = udp_port(p.udp);
	udp_queue_fds(p.queue, before);
	cr_assert_eq(udp_set_port(p.udp, udp_port(taken)), -EADDRINUSE);
	cr_assert_eq(udp_port(p.udp), old);
	cr_assert_eq(udp_set_port(p.udp, old), 0);
	cr_assert_eq(udp_port(p.udp), old);
	cr_assert_eq(udp_set_port(p.udp, 0), 0);
	cr_assert_neq(udp_port(p.udp), old);
	udp_queue_fds(p.queue, after);
	cr_assert_eq(memcmp(before, after, sizeof(before)), 0);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t data[32] = {4, 0, 0, 0, 1}; /* the second queue's */

		fd = other(loopbacks[i], &port);
		send_from(fd, loopbacks[i], udp_port(p.udp), data, sizeof(data));
		cr_assert_eq(receive(&p, udp_queue_at(p.udp, 1), 1), 1);
		close(fd);
	}
	udp_close(taken);
	taken = open_udp(1, old); /* it is free */
	udp_close(taken);
	end(&p);
}

Test(sockets_udp, errors_of_the_network_do_not_stay)
{
	struct udp_message m = {.len = 3, .segment = 3};
	struct play p;
	uint16_t port;
	int fd;

	begin(&p, 1);
	m.data = p.in[1].data;
	fd = other("127.0.0.1", &port);
	m.endpoint = endpoint("127.0.0.1", 9); /* nobody's: an ICMP error comes back */
	cr_assert_eq(udp_send_burst(p.queue, &m, 1), 0);
	cr_assert_eq(udp_recv_burst(p.queue, p.in, 1, 1), 0);
	m.endpoint.port = port;
	cr_assert_eq(udp_send_burst(p.queue, &m, 1), 0, "an old error came back");
	send_from(fd, "127.0.0.1", udp_port(p.udp), "x", 1);
	cr_assert_eq(receive(&p, p.queue, 1), 1);
	m.endpoint = endpoint("192.0.2.1", 9); /* no route */
	cr_assert_eq(udp_send_burst(p.queue, &m, 1), 1);
	close(fd);
	end(&p);
}

/* Longer than the link takes: each is sent by itself, and fragmented. */
Test(sockets_udp, segments_past_the_mtu_are_sent_all_the_same)
{
	char from[INET6_ADDRSTRLEN];
	uint8_t data[3 * SEGMENT], got[2 * SEGMENT];
	struct play p;
	uint16_t port;

	fill(data, sizeof(data));
	begin(&p, 1);
	run("ip link set lo mtu 1300");
	for (unsigned i = 0; i < 2; i++) {
		struct udp_message m = {.data = data, .len = sizeof(data), .segment = SEGMENT};
		int fd = other(loopbacks[i], &port);

		m.endpoint = endpoint(loopbacks[i], port);
		set_source(&m.endpoint, loopbacks[i]);
		cr_assert_eq(udp_send_burst(p.queue, &m, 1), 0);
		cr_assert_not(m.source_gone);
		cr_assert(m.too_long);
		cr_assert_eq(udp_path_mtu(p.udp, &m.endpoint), 1300);
		for (unsigned k = 0; k < 3; k++)
			cr_assert_eq(take(fd, got, sizeof(got), from), SEGMENT, "datagram %u", k);
		m.len = 3 * (1300 - 48);
		m.segment = 1300 - 48;
		cr_assert_eq(udp_send_burst(p.queue, &m, 1), 0);
		cr_assert_not(m.too_long, "this is not");
		/* What was cut up says so at the other end. */
		m.len = m.segment = SEGMENT;
		m.endpoint = endpoint(loopbacks[i], udp_port(p.udp));
		cr_assert_eq(udp_send_burst(p.queue, &m, 1), 0);
		cr_assert_eq(receive(&p, p.queue, 1), 1);
		cr_assert(p.in[0].fragment <= 1300 && p.in[0].fragment > 1300 - 8, "%u",
			  p.in[0].fragment);
		m.len = m.segment = 1000;
		cr_assert_eq(udp_send_burst(p.queue, &m, 1), 0);
		cr_assert_eq(receive(&p, p.queue, 1), 1);
		cr_assert_eq(p.in[0].fragment, 0);
		close(fd);
	}
	end(&p);
}

/* Whether the kernel has told a connected socket that nobody is there. */
static bool is_refused(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);

	cr_assert_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
	return error == ECONNREFUSED;
}

static int connect_to(const char *text, uint16_t port)
{
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	bool v6 = strchr(text, ':') != NULL;
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(inet_pton(v6 ? AF_INET6 : AF_INET, text,
			       v6 ? (void *)&to6.sin6_addr : (void *)&to4.sin_addr),
		     1);
	cr_assert_geq(fd, 0);
	cr_assert_eq(connect(fd, v6 ? (struct sockaddr *)&to6 : (struct sockaddr *)&to4,
			     v6 ? sizeof(to6) : sizeof(to4)),
		     0);
	return fd;
}

/* Over lo the kernel's answer is there when send() returns. */
Test(sockets_udp, wg_s2_no_port_unreachable)
{
	static const unsigned queues[] = {1, 2, 3, 4};
	uint8_t data[200] = {0};

	enter_namespace();
	for (unsigned i = 0; i < 8; i++) {
		struct udp *udp = open_udp(queues[i / 2], 0);
		uint16_t old = udp_port(udp);
		int fd;

		/* The second time round the sockets have taken the places of others. */
		cr_assert_eq(udp_set_port(udp, (uint16_t)(old + i / 4)), 0);
		fd = connect_to(loopbacks[i % 2], udp_port(udp));
		for (unsigned type = 0; type < 8; type++) {
			for (size_t len = 0; len < sizeof(data); len += len < 9 ? 1 : 37) {
				data[0] = (uint8_t)type;
				data[4] = (uint8_t)(type * 31 + len);
				cr_assert_eq(send(fd, data, len, 0), (ssize_t)len);
				cr_assert_not(is_refused(fd), "%u queues, type %u, %zu bytes",
					      queues[i / 2], type, len);
			}
		}
		udp_close(udp);
		cr_assert_eq(send(fd, data, 1, 0), 1);
		cr_assert(is_refused(fd), "a port that is nobody's says so");
		close(fd);
	}
}
