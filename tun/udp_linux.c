/*
 * Linux: for each worker an IPv4 and an IPv6 socket on one port, by SO_REUSEPORT and the program of
 * udp_select_linux.c. UDP_SEGMENT out, UDP_GRO in; addresses and traffic class by control messages.
 */
#include "tun/udp.h"

#include "tun/tun.h"
#include "tun/udp_select_linux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	V4,
	V6,
	FAMILIES,

	BUFFER_BYTES = 7 << 20, /* of a socket, each way */
	PORT_TRIES = 100,       /* for one that is free for both families */
	OTHER_TURNS = 8,        /* calls that one family may have before the other is looked at */
};

/* The longest set of control messages of either way. */
union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 3 * CMSG_SPACE(sizeof(int))];
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct udp_queue {
	int fds[FAMILIES];
	bool plain;          /* the device cannot segment: so do we */
	unsigned first;      /* the family that is asked first */
	unsigned turns;      /* how often it alone has been */
	uint32_t size_bytes; /* of a message, lately */
	struct mmsghdr headers[UDP_BURST_MAX];
	struct iovec pieces[UDP_BURST_MAX];
	union address addresses[UDP_BURST_MAX];
	union control controls[UDP_BURST_MAX];
};

struct udp {
	uint16_t port;
	uint32_t mark;
	unsigned queue_count;
	struct udp_queue queues[]; /* queue_count of them, and the one that only sends */
};

/* A set of descriptors before it is used: [queue][family]. */
struct sockets {
	uint16_t port;
	int fds[TUN_QUEUES_MAX][FAMILIES];
};

/* ---- Open ---- */

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static void set_buffers(int fd)
{
	if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES) < 0)
		set(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
	if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES) < 0)
		set(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
}

/* What a socket must have, and, at the end, what is good to have. */
static int set_up(int fd, unsigned family, uint32_t mark)
{
	int rc;

	if (family == V4) {
		rc = set(fd, IPPROTO_IP, IP_PKTINFO, 1);
		if (rc == 0)
			rc = set(fd, IPPROTO_IP, IP_RECVTOS, 1);
	} else {
		rc = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		if (rc == 0)
			rc = set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
		if (rc == 0)
			rc = set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	}
	if (rc == 0 && mark)
		rc = set(fd, SOL_SOCKET, SO_MARK, (int)mark);
	if (rc < 0)
		return rc;
	set_buffers(fd);
	set(fd, IPPROTO_UDP, UDP_GRO, 1);
	if (family == V4)
		set(fd, IPPROTO_IP, IP_RECVFRAGSIZE, 1);
	else
		set(fd, IPPROTO_IPV6, IPV6_RECVFRAGSIZE, 1);
	return 0;
}

static int bind_to(int fd, unsigned family, uint16_t *port)
{
	union address a = {0};
	socklen_t size = family == V4 ? sizeof(a.v4) : sizeof(a.v6);

	a.any.sa_family = family == V4 ? AF_INET : AF_INET6;
	if (family == V4)
		a.v4.sin_port = htons(*port);
	else
		a.v6.sin6_port = htons(*port);
	if (bind(fd, &a.any, size) < 0 || getsockname(fd, &a.any, &size) < 0)
		return -errno;
	*port = ntohs(family == V4 ? a.v4.sin_port : a.v6.sin6_port);
	return 0;
}

static int attach_select(int fd, unsigned queues)
{
	struct sock_filter code[UDP_SELECT_CODE_MAX];
	struct sock_fprog program = {.filter = code};

	program.len = (unsigned short)udp_select_build(queues, code);
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0
		       ? -errno
		       : 0;
}

/* The first socket takes the port for itself alone, then lets the others of its group in. */
static int open_one(struct sockets *s, unsigned queue, unsigned family, unsigned queues,
		    uint32_t mark)
{
	int fd = socket(family == V4 ? AF_INET : AF_INET6,
			SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	s->fds[queue][family] = fd;
	rc = set_up(fd, family, mark);
	if (rc == 0 && queue > 0)
		rc = set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (rc == 0)
		rc = bind_to(fd, family, &s->port);
	if (rc == 0 && queue == 0 && queues > 1) {
		rc = set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
		/* The second socket makes the group; the program is given to it then. */
	}
	if (rc == 0 && queue == 1)
		rc = attach_select(fd, queues);
	return rc;
}

static void close_sockets(struct sockets *s)
{
	for (unsigned i = 0; i < TUN_QUEUES_MAX; i++) {
		for (unsigned f = 0; f < FAMILIES; f++) {
			if (s->fds[i][f] >= 0)
				close(s->fds[i][f]);
			s->fds[i][f] = -1;
		}
	}
}

static bool is_absent(int rc)
{
	return rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL || rc == -EPROTONOSUPPORT;
}

/* All sockets on s->port; a family that the system lacks is left out, but not both. */
static int open_families(struct sockets *s, unsigned queues, uint32_t mark)
{
	unsigned missing = 0;
	int rc = 0;

	for (unsigned f = 0; f < FAMILIES; f++) {
		for (unsigned i = 0; i < queues; i++) {
			rc = open_one(s, i, f, queues, mark);
			if (rc < 0)
				break;
		}
		if (rc == 0)
			continue;
		if (!is_absent(rc) || ++missing == FAMILIES)
			return rc;
		for (unsigned i = 0; i < queues; i++) {
			if (s->fds[i][f] >= 0)
				close(s->fds[i][f]);
			s->fds[i][f] = -1;
		}
	}
	return 0;
}

static int open_sockets(struct sockets *s, unsigned queues, uint16_t port, uint32_t mark)
{
	int rc;

	memset(s->fds, -1, sizeof(s->fds));
	for (unsigned i = 0; i < PORT_TRIES; i++) {
		s->port = port;
		rc = open_families(s, queues, mark);
		if (rc == 0)
			return 0;
		close_sockets(s);
		if (port != 0 || rc != -EADDRINUSE)
			break;
	}
	return rc;
}

int udp_open(const struct udp_options *options, struct udp **out)
{
	struct sockets sockets;
	struct udp *udp;
	int rc;

	if (options->queues < 1 || options->queues > TUN_QUEUES_MAX)
		return -EINVAL;
	udp = calloc(1, sizeof(*udp) + (options->queues + 1) * sizeof(udp->queues[0]));
	if (!udp)
		return -ENOMEM;
	rc = open_sockets(&sockets, options->queues, options->port, options->mark);
	if (rc < 0) {
		free(udp);
		return rc;
	}
	udp->port = sockets.port;
	udp->mark = options->mark;
	udp->queue_count = options->queues;
	for (unsigned i = 0; i < options->queues; i++) {
		memcpy(udp->queues[i].fds, sockets.fds[i], sizeof(sockets.fds[i]));
		udp->queues[i].size_bytes = UDP_MESSAGE_MAX;
	}
	/* By the first one's sockets, whose numbers stay. */
	memcpy(udp->queues[options->queues].fds, sockets.fds[0], sizeof(sockets.fds[0]));
	*out = udp;
	return 0;
}

void udp_close(struct udp *udp)
{
	if (!udp)
		return;
	for (unsigned i = 0; i < udp->queue_count; i++) {
		for (unsigned f = 0; f < FAMILIES; f++)
			if (udp->queues[i].fds[f] >= 0)
				close(udp->queues[i].fds[f]);
	}
	free(udp);
}

/*
 * The new sockets take the places of the old ones, whose numbers workers may be using. The new port
 * differs from the old, so that the two groups do not mix.
 */
int udp_set_port(struct udp *udp, uint16_t port)
{
	struct sockets sockets;
	int rc = 0;

	if (port == udp->port)
		return 0;
	rc = open_sockets(&sockets, udp->queue_count, port, udp->mark);
	if (rc < 0)
		return rc;
	for (unsigned f = 0; f < FAMILIES; f++)
		if ((sockets.fds[0][f] < 0) != (udp->queues[0].fds[f] < 0))
			rc = -EAFNOSUPPORT;
	for (unsigned i = 0; rc == 0 && i < udp->queue_count; i++) {
		for (unsigned f = 0; f < FAMILIES; f++)
			if (sockets.fds[i][f] >= 0)
				dup3(sockets.fds[i][f], udp->queues[i].fds[f], O_CLOEXEC);
	}
	if (rc == 0)
		udp->port = sockets.port;
	close_sockets(&sockets);
	return rc;
}

int udp_set_mark(struct udp *udp, uint32_t mark)
{
	int rc = 0;

	for (unsigned i = 0; i < udp->queue_count; i++) {
		for (unsigned f = 0; rc == 0 && f < FAMILIES; f++)
			if (udp->queues[i].fds[f] >= 0)
				rc = set(udp->queues[i].fds[f], SOL_SOCKET, SO_MARK, (int)mark);
	}
	if (rc == 0)
		__atomic_store_n(&udp->mark, mark, __ATOMIC_RELAXED);
	return rc;
}

uint16_t udp_port(const struct udp *udp)
{
	return udp->port;
}

struct udp_queue *udp_queue_at(struct udp *udp, unsigned index)
{
	return &udp->queues[index];
}

void udp_queue_fds(const struct udp_queue *queue, int fds[2])
{
	fds[0] = queue->fds[V4];
	fds[1] = queue->fds[V6];
}

/* ---- Receive ---- */

static void read_control(struct msghdr *header, struct udp_message *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		const uint8_t *data = CMSG_DATA(c);
		struct in6_pktinfo info6;
		struct in_pktinfo info4;
		int value;

		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&value, data, sizeof(value));
			if (value > 0 && (uint32_t)value < m->len)
				m->segment = (uint32_t)value;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&info4, data, sizeof(info4));
			memcpy(m->endpoint.source, &info4.ipi_spec_dst, 4);
			m->endpoint.link = (uint32_t)info4.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&info6, data, sizeof(info6));
			memcpy(m->endpoint.source, &info6.ipi6_addr, 16);
			m->endpoint.link = info6.ipi6_ifindex;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			m->tos = *data;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
			memcpy(&value, data, sizeof(value));
			m->tos = (uint8_t)value;
		} else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVFRAGSIZE) ||
			   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVFRAGSIZE)) {
			memcpy(&value, data, sizeof(value));
			m->fragment = value > 0 ? (uint32_t)value : 0;
		}
	}
}

static void read_address(const union address *a, struct udp_endpoint *e)
{
	if (a->any.sa_family == AF_INET) {
		e->version = 4;
		e->port = ntohs(a->v4.sin_port);
		memcpy(e->addr, &a->v4.sin_addr, 4);
	} else {
		e->version = 6;
		e->port = ntohs(a->v6.sin6_port);
		e->scope = a->v6.sin6_scope_id;
		memcpy(e->addr, &a->v6.sin6_addr, 16);
	}
}

static unsigned recv_family(struct udp_queue *q, unsigned family, struct udp_message *messages,
			    unsigned n)
{
	int got;

	if (q->fds[family] < 0 || n == 0)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		q->pieces[i].iov_base = messages[i].data;
		q->pieces[i].iov_len = UDP_MESSAGE_ROOM;
		q->headers[i].msg_hdr = (struct msghdr){
			.msg_name = &q->addresses[i],
			.msg_namelen = sizeof(q->addresses[i]),
			.msg_iov = &q->pieces[i],
			.msg_iovlen = 1,
			.msg_control = &q->controls[i],
			.msg_controllen = sizeof(q->controls[i]),
		};
	}
	got = recvmmsg(q->fds[family], q->headers, n, MSG_DONTWAIT, NULL);
	for (int i = 0; i < got; i++) {
		struct udp_message *m = &messages[i];

		memset(&m->endpoint, 0, sizeof(m->endpoint));
		m->len = m->segment = q->headers[i].msg_len;
		m->tos = 0;
		m->source_gone = m->too_long = false;
		m->fragment = 0;
		read_address(&q->addresses[i], &m->endpoint);
		read_control(&q->headers[i].msg_hdr, m);
	}
	return got > 0 ? (unsigned)got : 0;
}

unsigned udp_recv_burst(struct udp_queue *q, struct udp_message *messages, unsigned n, size_t bytes)
{
	size_t fit = bytes / q->size_bytes + 1;
	size_t sum = 0;
	unsigned got;

	if (n > UDP_BURST_MAX)
		n = UDP_BURST_MAX;
	if (fit < n)
		n = (unsigned)fit;
	/* Most talk one family: the other is not asked every time. */
	got = recv_family(q, q->first, messages, n);
	if (got == 0 || ++q->turns == OTHER_TURNS) {
		unsigned other = recv_family(q, q->first ^ 1, messages + got, n - got);

		q->turns = 0;
		if (got == 0 && other > 0)
			q->first ^= 1;
		got += other;
	}
	for (unsigned i = 0; i < got; i++)
		sum += messages[i].len;
	if (got)
		q->size_bytes = (uint32_t)(sum / got) + 1;
	return got;
}

/* ---- Send ---- */

static bool has_source(const struct udp_endpoint *e)
{
	static const uint8_t none[16];

	return memcmp(e->source, none, sizeof(none)) != 0;
}

static void *put_control(struct msghdr *header, union control *control, int level, int type,
			 size_t size)
{
	struct cmsghdr *c = (struct cmsghdr *)(control->bytes + header->msg_controllen);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(size);
	header->msg_control = control;
	header->msg_controllen += CMSG_SPACE(size);
	return CMSG_DATA(c);
}

static void put_source(struct msghdr *header, union control *control, const struct udp_endpoint *e)
{
	struct in6_pktinfo info6 = {.ipi6_ifindex = e->scope};
	struct in_pktinfo info4 = {0};

	if (e->version == 4) {
		memcpy(&info4.ipi_spec_dst, e->source, 4);
		memcpy(put_control(header, control, IPPROTO_IP, IP_PKTINFO, sizeof(info4)), &info4,
		       sizeof(info4));
	} else {
		memcpy(&info6.ipi6_addr, e->source, 16);
		memcpy(put_control(header, control, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(info6)),
		       &info6, sizeof(info6));
	}
}

static socklen_t fill_address(union address *a, const struct udp_endpoint *e)
{
	memset(a, 0, sizeof(*a));
	if (e->version == 4) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(e->port);
		memcpy(&a->v4.sin_addr, e->addr, 4);
		return sizeof(a->v4);
	}
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = htons(e->port);
	a->v6.sin6_scope_id = e->scope;
	memcpy(&a->v6.sin6_addr, e->addr, 16);
	return sizeof(a->v6);
}

/* Fill in slot i for `len` bytes of a message from `at` on. */
static void prepare(struct udp_queue *q, unsigned i, const struct udp_message *m, uint32_t at,
		    uint32_t len)
{
	const struct udp_endpoint *e = &m->endpoint;
	struct msghdr *header = &q->headers[i].msg_hdr;
	union address *a = &q->addresses[i];
	uint16_t segment = (uint16_t)m->segment;
	int tos = m->tos;

	*header = (struct msghdr){.msg_name = a, .msg_iov = &q->pieces[i], .msg_iovlen = 1};
	header->msg_namelen = fill_address(a, e);
	q->pieces[i] = (struct iovec){.iov_base = m->data + at, .iov_len = len};
	if (has_source(e))
		put_source(header, &q->controls[i], e);
	if (tos)
		memcpy(put_control(header, &q->controls[i],
				   e->version == 4 ? IPPROTO_IP : IPPROTO_IPV6,
				   e->version == 4 ? IP_TOS : IPV6_TCLASS, sizeof(tos)),
		       &tos, sizeof(tos));
	if (len > m->segment)
		memcpy(put_control(header, &q->controls[i], IPPROTO_UDP, UDP_SEGMENT,
				   sizeof(segment)),
		       &segment, sizeof(segment));
}

static int fd_of(const struct udp_queue *q, const struct udp_message *m)
{
	return q->fds[m->endpoint.version == 4 ? V4 : V6];
}

/* Send a part of a message by slot i, which is no message's any more. Returns 0 or an errno. */
static int send_part(struct udp_queue *q, unsigned i, const struct udp_message *m, uint32_t at,
		     uint32_t len)
{
	prepare(q, i, m, at, len);
	return sendmsg(fd_of(q, m), &q->headers[i].msg_hdr, MSG_DONTWAIT) < 0 ? errno : 0;
}

static bool blames_source(int error)
{
	return error == EINVAL || error == ENETUNREACH || error == EHOSTUNREACH ||
	       error == EADDRNOTAVAIL;
}

/* Each datagram by itself, if need be from another source. Returns: how many were refused */
static unsigned send_datagrams(struct udp_queue *q, unsigned i, struct udp_message *m)
{
	unsigned refused = 0;

	for (uint32_t at = 0; at < m->len; at += m->segment) {
		uint32_t left = m->len - at;
		uint32_t size = left < m->segment ? left : m->segment;
		int error = send_part(q, i, m, at, size);

		if (has_source(&m->endpoint) && blames_source(error)) {
			memset(m->endpoint.source, 0, sizeof(m->endpoint.source));
			m->source_gone = true;
			error = send_part(q, i, m, at, size);
		}
		refused += error != 0;
	}
	return refused;
}

/*
 * A message was refused. EINVAL has two meanings, a source that is not ours any more and segments
 * that the link does not take; EIO is a device without checksums, and so without segments.
 *
 * Returns: how many datagrams were refused for good
 */
static unsigned send_again(struct udp_queue *q, unsigned i, struct udp_message *m, int error)
{
	bool many = m->len > m->segment;

	if (many && error == EIO)
		q->plain = true;
	if ((many && (error == EIO || error == EMSGSIZE || error == EINVAL)) ||
	    (has_source(&m->endpoint) && blames_source(error))) {
		unsigned refused = send_datagrams(q, i, m);

		m->too_long = many && error != EIO && !m->source_gone;
		return refused;
	}
	return udp_segments(m);
}

/* Messages of one family. Returns: how many datagrams were refused */
static unsigned send_family(struct udp_queue *q, struct udp_message *messages, unsigned n)
{
	int fd = fd_of(q, &messages[0]);
	unsigned refused = 0;
	unsigned at = 0;

	for (unsigned i = 0; i < n; i++)
		prepare(q, i, &messages[i], 0, messages[i].len);
	while (at < n) {
		int sent = fd >= 0 ? sendmmsg(fd, q->headers + at, n - at, MSG_DONTWAIT) : -1;

		if (sent > 0)
			at += (unsigned)sent;
		if (sent <= 0) {
			refused += fd >= 0 ? send_again(q, at, &messages[at], errno)
					   : udp_segments(&messages[at]);
			at++;
		}
	}
	return refused;
}

unsigned udp_send_burst(struct udp_queue *q, struct udp_message *messages, unsigned n)
{
	unsigned refused = 0;
	unsigned run;

	for (unsigned i = 0; i < n; i += run) {
		for (run = 1; i + run < n; run++)
			if (messages[i + run].endpoint.version != messages[i].endpoint.version)
				break;
		for (unsigned j = i; j < i + run; j++)
			messages[j].source_gone = messages[j].too_long = false;
		if (q->plain) {
			for (unsigned j = i; j < i + run; j++)
				refused += send_datagrams(q, 0, &messages[j]);
			continue;
		}
		refused += send_family(q, messages + i, run);
	}
	return refused;
}

/* Only a socket that is connected is told. */
unsigned udp_path_mtu(const struct udp *udp, const struct udp_endpoint *to)
{
	int fd = socket(to->version == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union address address;
	socklen_t size = fill_address(&address, to);
	uint32_t mark = __atomic_load_n(&udp->mark, __ATOMIC_RELAXED);
	int mtu = 0;

	if (fd < 0)
		return 0;
	if (mark)
		set(fd, SOL_SOCKET, SO_MARK, (int)mark);
	if (connect(fd, &address.any, size) < 0)
		goto close_fd;
	size = sizeof(mtu);
	if (to->version == 4 ? getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &size) < 0
			     : getsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &mtu, &size) < 0)
		mtu = 0;
close_fd:
	close(fd);
	return mtu > 0 ? (unsigned)mtu : 0;
}
