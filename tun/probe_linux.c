/*
 * See probe.h. The namespace belongs to a thread that lives for the probe only: unshare() changes
 * the thread that calls it and no other, and what was made in there ends with it. Closing the
 * device takes the kernel some 25 ms, for which nobody waits.
 */
#include "tun/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tun/probe_packet.h"
#include "tun/tun.h"
#include "tun/uapi_linux.h"

enum {
	WAIT_MS = 50,     /* for what should be there at once; a probe that fails takes so long */
	FOREIGN_MAX = 64, /* packets that the system sends by itself */
};

struct probe {
	const struct probe_fault *fault;
	int tun;
	int packet;
	int index;
	unsigned wrong;
	int rc;
	sem_t done;
};

static const struct {
	unsigned offload;
	unsigned flags; /* the kernel takes USO4 and USO6 only together */
} tries[] = {
	{TUN_OFFLOAD_CSUM, TUN_F_CSUM},
	{TUN_OFFLOAD_TSO4, TUN_F_CSUM | TUN_F_TSO4},
	{TUN_OFFLOAD_TSO6, TUN_F_CSUM | TUN_F_TSO6},
	{TUN_OFFLOAD_USO4, TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6},
	{TUN_OFFLOAD_USO6, TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6},
};

/* A scratch TUN, up, without an address: its packets come and go by AF_PACKET alone. */
static int open_tun(struct probe *p)
{
	struct ifreq request = {.ifr_name = "probe",
				.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	int header_len = sizeof(struct offload);

	p->tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (p->tun < 0)
		return -errno;
	if (ioctl(p->tun, TUNSETIFF, &request) < 0 ||
	    ioctl(p->tun, TUNSETVNETHDRSZ, &header_len) < 0)
		return -errno;
	request.ifr_flags = IFF_UP;
	if (ioctl(p->packet, SIOCSIFFLAGS, &request) < 0 ||
	    ioctl(p->packet, SIOCGIFINDEX, &request) < 0)
		return -errno;
	p->index = request.ifr_ifindex;
	return 0;
}

static int open_scratch(struct probe *p)
{
	const int on = 1;
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int rc;

	p->packet = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->packet < 0)
		return -errno;
	rc = open_tun(p);
	if (rc < 0)
		return rc;
	address.sll_ifindex = p->index;
	if (setsockopt(p->packet, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0 ||
	    setsockopt(p->packet, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
	    bind(p->packet, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

/* The TUN's descriptor takes writev, the socket sendmsg: it wants to know the protocol. */
static int send_one(const struct probe *p, int fd, const struct buf *b)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(b->data[0] >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6),
		.sll_ifindex = p->index,
	};
	struct offload offload = b->offload;
	struct iovec iov[] = {
		{.iov_base = &offload, .iov_len = sizeof(offload)},
		{.iov_base = b->data, .iov_len = b->len},
	};
	const struct msghdr message = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = iov, .msg_iovlen = 2};
	ssize_t n = fd == p->tun ? writev(fd, iov, 2) : sendmsg(fd, &message, 0);

	return n < 0 ? -errno : 0;
}

/* The next packet of the probe; false if none comes. */
static bool receive_one(const struct probe *p, int fd, unsigned offload, struct buf *b)
{
	struct pollfd waiting = {.fd = fd, .events = POLLIN};

	for (unsigned i = 0; i < FOREIGN_MAX && poll(&waiting, 1, WAIT_MS) == 1; i++) {
		struct iovec iov[] = {
			{.iov_base = &b->offload, .iov_len = sizeof(b->offload)},
			{.iov_base = b->data, .iov_len = PROBE_PACKET_MAX},
		};
		ssize_t len = readv(fd, iov, 2);

		if (len <= (ssize_t)sizeof(b->offload))
			continue;
		b->len = (uint32_t)len - sizeof(b->offload);
		if (!probe_packet_is_ours(b))
			continue;
		if (p->fault)
			p->fault->spoil(p->fault->context, offload, b);
		return true;
	}
	return false;
}

/* Send by one descriptor and look at what the other gets. 1: right, 0: wrong, or -errno. */
static int pass(const struct probe *p, unsigned offload, int from, int to, bool whole)
{
	uint8_t out[PROBE_PACKET_MAX], in[PROBE_PACKET_MAX];
	struct buf sent = {.data = out}, got = {.data = in};
	bool right = true;
	unsigned n;
	int rc;

	probe_packet_make(offload, &sent);
	rc = send_one(p, from, &sent);
	if (rc == -EINVAL)
		return 0; /* the kernel does not even take what it offers */
	if (rc < 0)
		return rc;
	n = whole ? 1 : probe_packet_segments(&sent);
	for (unsigned i = 0; right && i < n; i++)
		right = receive_one(p, to, offload, &got) &&
			(whole ? probe_packet_is_whole(&sent, &got)
			       : probe_packet_is_segment(&sent, i, &got));
	return right;
}

/* Take away what a wrong kernel may have left. */
static void drain(int fd)
{
	uint8_t bytes[sizeof(struct offload) + PROBE_PACKET_MAX];

	while (read(fd, bytes, sizeof(bytes)) >= 0)
		;
}

static int try(const struct probe *p, unsigned offload, unsigned flags)
{
	int rc;

	if (ioctl(p->tun, TUNSETOFFLOAD, (unsigned long)flags) < 0)
		return 1; /* not offered, so not used either */
	rc = pass(p, offload, p->tun, p->packet, true);
	if (rc == 1)
		rc = pass(p, offload, p->packet, p->tun, true);
	if (rc == 1 && ioctl(p->tun, TUNSETOFFLOAD, 0UL) < 0)
		rc = -errno;
	if (rc == 1)
		rc = pass(p, offload, p->packet, p->tun, false);
	drain(p->tun);
	drain(p->packet);
	return rc;
}

static void *probe_main(void *argument)
{
	struct probe *p = argument;
	sigset_t all;
	int tun, packet;

	sigfillset(&all); /* they are meant for the control thread */
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	p->rc = unshare(CLONE_NEWNET) < 0 ? -errno : open_scratch(p);
	for (unsigned i = 0; p->rc >= 0 && i < sizeof(tries) / sizeof(tries[0]); i++) {
		p->rc = try(p, tries[i].offload, tries[i].flags);
		if (p->rc == 0)
			p->wrong |= tries[i].offload;
	}
	tun = p->tun;
	packet = p->packet;
	sem_post(&p->done); /* p must not be used below here */
	if (packet >= 0)
		close(packet);
	if (tun >= 0)
		close(tun);
	return NULL;
}

int probe_offloads(const struct probe_fault *fault, unsigned *wrong)
{
	struct probe p = {.fault = fault, .tun = -1, .packet = -1};
	pthread_t thread;
	int rc;

	sem_init(&p.done, 0, 0);
	rc = -pthread_create(&thread, NULL, probe_main, &p);
	if (rc < 0)
		return rc;
	pthread_detach(thread);
	while (sem_wait(&p.done) < 0)
		;
	if (p.rc < 0)
		return p.rc == -EACCES ? -EPERM : p.rc;
	*wrong = p.wrong;
	return 0;
}
