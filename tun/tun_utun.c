/*
 * macOS utun: a kernel control socket. Each packet has its address family before it, four bytes in
 * network order, and takes a system call of its own. There are no offloads and one queue.
 */
#include "tun/tun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if_utun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/kern_control.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#if __has_include(<sys/sys_domain.h>)
#include <sys/sys_domain.h>
#endif

#ifndef SYSPROTO_CONTROL
#define SYSPROTO_CONTROL 2
#endif
#ifndef AF_SYS_CONTROL
#define AF_SYS_CONTROL 2
#endif

/* The system's own numbers, written out so that the framing can be tested elsewhere. */
enum {
	FAMILY_INET = 2,
	FAMILY_INET6 = 30,
};

#ifdef __APPLE__
_Static_assert(FAMILY_INET == AF_INET && FAMILY_INET6 == AF_INET6, "families on the wire");
#endif

struct tun_queue {
	int fd;
};

struct tun {
	char name[TUN_NAME_MAX];
	struct tun_queue queue;
};

/* "utunN" is unit N + 1; unit 0 lets the system choose. */
static int parse_unit(const char *name, uint32_t *out)
{
	static const char prefix[] = "utun";
	unsigned long number;
	char *end;

	if (name[0] == '\0') {
		*out = 0;
		return 0;
	}
	if (strncmp(name, prefix, strlen(prefix)) != 0)
		return -EINVAL;
	name += strlen(prefix);
	if (name[0] < '0' || name[0] > '9' || (name[0] == '0' && name[1] != '\0'))
		return -EINVAL;
	errno = 0;
	number = strtoul(name, &end, 10);
	if (errno != 0 || *end != '\0' || number >= INT_MAX)
		return -EINVAL;
	*out = (uint32_t)number + 1;
	return 0;
}

static int connect_unit(int fd, uint32_t unit)
{
	struct ctl_info info = {.ctl_name = UTUN_CONTROL_NAME};
	struct sockaddr_ctl address = {
		.sc_len = sizeof(address),
		.sc_family = AF_SYSTEM,
		.ss_sysaddr = AF_SYS_CONTROL,
		.sc_unit = unit,
	};

	if (ioctl(fd, CTLIOCGINFO, &info) < 0)
		return -errno;
	address.sc_id = info.ctl_id;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

static int open_unit(uint32_t unit, int *out)
{
	int fd = socket(PF_SYSTEM, SOCK_DGRAM, SYSPROTO_CONTROL);
	int rc;

	if (fd < 0)
		return -errno;
	rc = connect_unit(fd, unit);
	if (rc == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		rc = -errno;
	if (rc < 0) {
		close(fd);
		return rc;
	}
	*out = fd;
	return 0;
}

static int set_up(struct tun *tun)
{
	socklen_t len = sizeof(tun->name);
	int flags;

	if (getsockopt(tun->queue.fd, SYSPROTO_CONTROL, UTUN_OPT_IFNAME, tun->name, &len) < 0)
		return errno == ENOPROTOOPT || errno == ENOTSOCK ? -EINVAL : -errno;
	tun->name[TUN_NAME_MAX - 1] = '\0';
	flags = fcntl(tun->queue.fd, F_GETFL);
	if (flags < 0 || fcntl(tun->queue.fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int tun_open(const struct tun_options *options, struct tun **out)
{
	const bool adopts = options->fd >= 0;
	struct tun *tun;
	uint32_t unit;
	int rc;

	if (options->queues < 1 || options->queues > TUN_QUEUES_MAX)
		return -EINVAL;
	if (options->queues > 1 || options->persist)
		return -ENOTSUP;
	rc = parse_unit(options->name ? options->name : "", &unit);
	if (rc < 0)
		return rc;
	tun = calloc(1, sizeof(*tun));
	if (!tun)
		return -ENOMEM;

	tun->queue.fd = options->fd;
	if (!adopts)
		rc = open_unit(unit, &tun->queue.fd);
	if (rc < 0)
		goto free_tun;
	rc = set_up(tun);
	if (rc < 0)
		goto close_fd;
	*out = tun;
	return 0;

close_fd:
	if (!adopts)
		close(tun->queue.fd);
free_tun:
	free(tun);
	return rc;
}

void tun_close(struct tun *tun)
{
	if (!tun)
		return;
	close(tun->queue.fd);
	free(tun);
}

int tun_unpersist(struct tun *tun)
{
	(void)tun;
	return 0; /* none persists */
}

const char *tun_name(const struct tun *tun)
{
	return tun->name;
}

unsigned tun_queue_count(const struct tun *tun)
{
	(void)tun;
	return 1;
}

struct tun_queue *tun_queue_at(struct tun *tun, unsigned index)
{
	(void)index;
	return &tun->queue;
}

const char *tun_offloads(const struct tun *tun)
{
	(void)tun;
	return "none";
}

unsigned tun_steer(const struct tun *tun, const struct steer_key *key)
{
	(void)tun;
	(void)key;
	return 0;
}

bool tun_steered(const struct tun *tun)
{
	(void)tun;
	return true; /* there is one queue */
}

int tun_queue_fd(const struct tun_queue *queue)
{
	return queue->fd;
}

unsigned tun_recv_burst(struct tun_queue *queue, struct buf *bufs, unsigned n, size_t bytes_max,
			int *error_out)
{
	size_t bytes = 0;
	unsigned got = 0;

	while (got < n && bytes <= bytes_max) {
		struct buf *b = &bufs[got];
		uint32_t family_be = 0;
		struct iovec iov[] = {
			{.iov_base = &family_be, .iov_len = sizeof(family_be)},
			{.iov_base = b->data, .iov_len = BUF_SIZE},
		};
		ssize_t len = readv(queue->fd, iov, 2);

		if (len < 0 && errno == EINTR)
			continue;
		if (len <= 0) {
			/* A socket whose control has gone reads as its end. */
			if (got == 0 && (len == 0 || errno != EAGAIN))
				*error_out = len == 0 ? -ENODEV : -errno;
			break;
		}
		bytes += (size_t)len;
		if ((size_t)len <= sizeof(family_be))
			continue;
		if (family_be != htonl(FAMILY_INET) && family_be != htonl(FAMILY_INET6))
			continue;
		b->len = (uint32_t)len - sizeof(family_be);
		b->offload = (struct offload){0};
		got++;
	}
	return got;
}

/* What is left to be cut up or summed nobody would do: the caller knows it by tun_offloads. */
static bool is_finished(const struct buf *b)
{
	return b->offload.gso_type == OFFLOAD_GSO_NONE &&
	       !(b->offload.flags & OFFLOAD_NEEDS_CSUM) && b->len > 0;
}

static bool send_one(int fd, const struct buf *b)
{
	uint32_t family_be = htonl(b->data[0] >> 4 == 6 ? FAMILY_INET6 : FAMILY_INET);
	struct iovec iov[] = {
		{.iov_base = &family_be, .iov_len = sizeof(family_be)},
		{.iov_base = b->data, .iov_len = b->len},
	};
	ssize_t len;

	do {
		len = writev(fd, iov, 2);
	} while (len < 0 && errno == EINTR);
	return len >= 0;
}

bool tun_send_pieces(struct tun_queue *queue, const struct offload *offload, struct iovec *pieces,
		     unsigned n)
{
	const struct buf head = {.offload = *offload,
				 .len = (uint32_t)pieces[1].iov_len,
				 .data = pieces[1].iov_base};
	uint32_t family_be;
	ssize_t len;

	if (!is_finished(&head))
		return false;
	family_be = htonl(head.data[0] >> 4 == 6 ? FAMILY_INET6 : FAMILY_INET);
	pieces[0] = (struct iovec){.iov_base = &family_be, .iov_len = sizeof(family_be)};
	do {
		len = writev(queue->fd, pieces, (int)n);
	} while (len < 0 && errno == EINTR);
	return len >= 0;
}

unsigned tun_send_burst(struct tun_queue *queue, struct buf *const *bufs, unsigned n)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < n; i++)
		taken += is_finished(bufs[i]) && send_one(queue->fd, bufs[i]);
	return taken;
}
