/* Linux TUN: IFF_MULTI_QUEUE, a virtio_net_hdr before every packet, one descriptor a queue. */
#include "tun/tun.h"

#include "tun/steer_linux.h"
#include "tun/uapi_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct tun_queue {
	int fd;
};

struct tun {
	char name[TUN_NAME_MAX];
	char offloads[sizeof("csum tso4 tso6 uso")];
	bool steered;
	uint32_t steer_seed;
	unsigned queue_count;
	struct tun_queue queues[]; /* queue_count of them */
};

enum {
	LINK_ANSWER_MAX = 16384, /* bytes of one RTM_NEWLINK without statistics */
	RECV_BAD_MAX = 64,       /* packets in a row that the kernel could not describe */
};

_Static_assert(TUN_NAME_MAX == IFNAMSIZ, "names are copied whole");

/* Add the packets' queues that are attached and those that are switched off for now. */
static unsigned count_queues(const struct rtattr *link_info)
{
	int left = (int)RTA_PAYLOAD(link_info);
	unsigned total = 0;

	for (const struct rtattr *i = RTA_DATA(link_info); RTA_OK(i, left); i = RTA_NEXT(i, left)) {
		int inner = (int)RTA_PAYLOAD(i);

		if (i->rta_type != IFLA_INFO_DATA)
			continue;
		for (const struct rtattr *a = RTA_DATA(i); RTA_OK(a, inner);
		     a = RTA_NEXT(a, inner)) {
			uint32_t value;

			if (a->rta_type != IFLA_TUN_NUM_QUEUES &&
			    a->rta_type != IFLA_TUN_NUM_DISABLED_QUEUES)
				continue;
			if (RTA_PAYLOAD(a) < sizeof(value))
				continue;
			memcpy(&value, RTA_DATA(a), sizeof(value));
			total += value;
		}
	}
	return total;
}

static int ask_link(int fd, const char *name, void *answer, size_t capacity)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
		struct rtattr mask_head;
		uint32_t mask;
		struct rtattr name_head;
		char name[IFNAMSIZ];
	} request = {
		.head = {.nlmsg_len = sizeof(request),
			 .nlmsg_type = RTM_GETLINK,
			 .nlmsg_flags = NLM_F_REQUEST},
		.mask_head = {.rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = IFLA_EXT_MASK},
		.mask = RTEXT_FILTER_SKIP_STATS,
		.name_head = {.rta_len = RTA_LENGTH(IFNAMSIZ), .rta_type = IFLA_IFNAME},
	};
	ssize_t len;

	memcpy(request.name, name, strnlen(name, IFNAMSIZ - 1));
	if (send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	len = recv(fd, answer, capacity, 0);
	return len < 0 ? -errno : (int)len;
}

/*
 * How many queues of a TUN device somebody has open; 0 too when there is no such device. A
 * multi-queue device lets any number of processes in, so that EBUSY must be found out this way.
 */
static int queues_in_use(const char *name)
{
	char answer[LINK_ANSWER_MAX] __attribute__((aligned(NLMSG_ALIGNTO))) = {0};
	const struct nlmsghdr *head = (const void *)answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	unsigned count = 0;
	int len;

	if (fd < 0)
		return -errno;
	len = ask_link(fd, name, answer, sizeof(answer));
	close(fd);
	if (len < 0)
		return len;
	if (!NLMSG_OK(head, (unsigned)len) || head->nlmsg_type != RTM_NEWLINK)
		return 0;

	len = (int)IFLA_PAYLOAD(head);
	for (const struct rtattr *a = IFLA_RTA(NLMSG_DATA(head)); RTA_OK(a, len);
	     a = RTA_NEXT(a, len)) {
		if (a->rta_type == IFLA_LINKINFO)
			count += count_queues(a);
	}
	return (int)count;
}

/* TUNSETIFF fills in the name that the system chose. */
static int attach(int fd, char name[TUN_NAME_MAX], unsigned flags)
{
	struct ifreq request = {0};

	memcpy(request.ifr_name, name, IFNAMSIZ);
	request.ifr_flags = (short)flags;
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return -errno;
	memcpy(name, request.ifr_name, IFNAMSIZ);
	return 0;
}

/*
 * Always multi-queue, also with one: the number may change at the next start, and a device that
 * persists keeps its kind. One that somebody else made single-queue is still good for one queue.
 */
static int open_queue(const struct tun_options *options, char name[TUN_NAME_MAX], int *out)
{
	const unsigned flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = attach(fd, name, flags | IFF_MULTI_QUEUE);
	if (rc == -EINVAL && options->queues == 1)
		rc = attach(fd, name, flags);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	*out = fd;
	return 0;
}

/* The flags of what is left without some; without checksums the kernel has no segmentation. */
static unsigned flags_without(unsigned without)
{
	const unsigned uso = TUN_OFFLOAD_USO4 | TUN_OFFLOAD_USO6;

	if (without & TUN_OFFLOAD_CSUM)
		return 0;
	return TUN_F_CSUM | (without & TUN_OFFLOAD_TSO4 ? 0 : TUN_F_TSO4) |
	       (without & TUN_OFFLOAD_TSO6 ? 0 : TUN_F_TSO6) |
	       (without & uso ? 0 : TUN_F_USO4 | TUN_F_USO6);
}

static void note_offloads(struct tun *tun, unsigned flags)
{
	snprintf(tun->offloads, sizeof(tun->offloads), "%s%s%s%s", flags ? "csum" : "none",
		 flags & TUN_F_TSO4 ? " tso4" : "", flags & TUN_F_TSO6 ? " tso6" : "",
		 flags & TUN_F_USO4 ? " uso" : "");
}

/* Settings of the whole device, made through any of its queues. */
static int set_up(struct tun *tun, unsigned without)
{
	const unsigned best = flags_without(without);
	const unsigned levels[] = {best, best & ~(TUN_F_USO4 | TUN_F_USO6), 0};
	const int fd = tun->queues[0].fd;
	int header_len = sizeof(struct offload);

	if (ioctl(fd, TUNSETVNETHDRSZ, &header_len) < 0)
		return -errno;
	for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)levels[i]) == 0) {
			note_offloads(tun, levels[i]);
			return 0;
		}
	}
	return -errno;
}

static int open_queues(struct tun *tun, const struct tun_options *options)
{
	int used = tun->name[0] ? queues_in_use(tun->name) : 0;
	int rc;

	if (used != 0)
		return used < 0 ? used : -EBUSY;
	for (unsigned i = 0; i < options->queues; i++) {
		rc = open_queue(options, tun->name, &tun->queues[i].fd);
		if (rc < 0)
			return rc;
		tun->queue_count++;
		if (i > 0)
			continue;
		/* Two that start at once: whoever came second sees both. */
		used = queues_in_use(tun->name);
		if (used < 0 || used > 1)
			return used < 0 ? used : -EBUSY;
	}
	rc = set_up(tun, options->without);
	if (rc == 0 && options->persist && ioctl(tun->queues[0].fd, TUNSETPERSIST, 1UL) < 0)
		rc = -errno;
	/* Even for one queue: otherwise the kernel looks up a flow for every packet. */
	tun->steered = rc == 0 && steer_attach(tun->queues[0].fd, tun->steer_seed) == 0;
	return rc;
}

/* On failure the descriptor stays the caller's. */
static int adopt(struct tun *tun, const struct tun_options *options)
{
	struct ifreq request = {0};
	int flags, rc;

	if (ioctl(options->fd, TUNGETIFF, &request) < 0)
		return errno == ENOTTY ? -EINVAL : -errno;
	if ((request.ifr_flags & (IFF_TUN | IFF_NO_PI)) != (IFF_TUN | IFF_NO_PI))
		return -EINVAL;
	if (!(request.ifr_flags & IFF_VNET_HDR))
		return -ENOTSUP;
	flags = fcntl(options->fd, F_GETFL);
	if (flags < 0 || fcntl(options->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	memcpy(tun->name, request.ifr_name, IFNAMSIZ);
	tun->queues[0].fd = options->fd;
	rc = set_up(tun, options->without);
	if (rc == 0 && options->persist && ioctl(options->fd, TUNSETPERSIST, 1UL) < 0)
		rc = -errno;
	if (rc == 0)
		tun->queue_count = 1;
	return rc;
}

int tun_open(const struct tun_options *options, struct tun **out)
{
	const char *name = options->name ? options->name : "";
	const bool adopts = options->fd >= 0;
	struct tun *tun;
	int rc;

	if (options->queues < 1 || options->queues > TUN_QUEUES_MAX)
		return -EINVAL;
	if (strlen(name) >= TUN_NAME_MAX || (adopts && options->queues != 1))
		return -EINVAL;
	tun = calloc(1, sizeof(*tun) + options->queues * sizeof(tun->queues[0]));
	if (!tun)
		return -ENOMEM;
	memcpy(tun->name, name, strlen(name));
	if (getentropy(&tun->steer_seed, sizeof(tun->steer_seed)) < 0) {
		rc = -errno;
		goto close;
	}

	rc = adopts ? adopt(tun, options) : open_queues(tun, options);
	if (rc < 0)
		goto close;
	*out = tun;
	return 0;

close:
	tun_close(tun);
	return rc;
}

void tun_close(struct tun *tun)
{
	if (!tun)
		return;
	for (unsigned i = 0; i < tun->queue_count; i++)
		close(tun->queues[i].fd);
	free(tun);
}

int tun_unpersist(struct tun *tun)
{
	return ioctl(tun->queues[0].fd, TUNSETPERSIST, 0UL) < 0 ? -errno : 0;
}

const char *tun_name(const struct tun *tun)
{
	return tun->name;
}

unsigned tun_queue_count(const struct tun *tun)
{
	return tun->queue_count;
}

struct tun_queue *tun_queue_at(struct tun *tun, unsigned index)
{
	return &tun->queues[index];
}

const char *tun_offloads(const struct tun *tun)
{
	return tun->offloads;
}

unsigned tun_steer(const struct tun *tun, const struct steer_key *key)
{
	return steer_queue(key, tun->steer_seed, tun->queue_count);
}

bool tun_steered(const struct tun *tun)
{
	return tun->steered || tun->queue_count == 1;
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
	unsigned bad = 0;

	while (got < n && bytes <= bytes_max) {
		struct buf *b = &bufs[got];
		struct iovec iov[] = {
			{.iov_base = &b->offload, .iov_len = sizeof(b->offload)},
			{.iov_base = b->data, .iov_len = BUF_SIZE},
		};
		ssize_t len = readv(queue->fd, iov, 2);

		if (len > (ssize_t)sizeof(b->offload)) {
			b->len = (uint32_t)len - sizeof(b->offload);
			bytes += b->len;
			got++;
		} else if (len >= 0 || errno == EINVAL) {
			/* Empty, or offloads that the header has no words for: it is gone. */
			if (++bad == RECV_BAD_MAX)
				break;
		} else if (errno != EINTR) {
			if (errno != EAGAIN && got == 0)
				*error_out = -errno;
			break;
		}
	}
	return got;
}

bool tun_send_pieces(struct tun_queue *queue, const struct offload *offload, struct iovec *pieces,
		     unsigned n)
{
	struct offload copy = *offload;
	ssize_t len;

	pieces[0] = (struct iovec){.iov_base = &copy, .iov_len = sizeof(copy)};
	do {
		len = writev(queue->fd, pieces, (int)n);
	} while (len < 0 && errno == EINTR);
	return len >= 0;
}

unsigned tun_send_burst(struct tun_queue *queue, struct buf *const *bufs, unsigned n)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < n; i++) {
		struct iovec iov[] = {
			{.iov_base = &bufs[i]->offload, .iov_len = sizeof(bufs[i]->offload)},
			{.iov_base = bufs[i]->data, .iov_len = bufs[i]->len},
		};
		ssize_t len;

		do {
			len = writev(queue->fd, iov, 2);
		} while (len < 0 && errno == EINTR);
		taken += len >= 0;
	}
	return taken;
}
