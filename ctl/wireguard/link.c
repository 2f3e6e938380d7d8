/* See link.h. */
#include "ctl/wireguard/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct wg_link {
	int tun_fd;
	int news_fd; /* netlink, in the interface's namespace; as the next */
	int ask_fd;
	dev_t dev; /* of the namespace */
	ino_t ino;
	char name[TUN_NAME_MAX];
	unsigned mtu;
};

static int open_news(void)
{
	const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
	int rc;

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

/* Sockets in this thread's namespace. */
static int open_sockets(int *news_fd, int *ask_fd)
{
	int ask = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int news;

	if (ask < 0)
		return -errno;
	news = open_news();
	if (news < 0) {
		close(ask);
		return news;
	}
	*news_fd = news;
	*ask_fd = ask;
	return 0;
}

/* The same in another namespace; this thread is only there for the time that it takes. */
static int open_sockets_in(int ns_fd, int *news_fd, int *ask_fd)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int rc;

	if (home < 0)
		return -errno;
	rc = setns(ns_fd, CLONE_NEWNET) < 0 ? -errno : open_sockets(news_fd, ask_fd);
	if (setns(home, CLONE_NEWNET) < 0)
		abort(); /* every socket from now on would be in the wrong place */
	close(home);
	return rc;
}

static void close_sockets(struct wg_link *l)
{
	if (l->news_fd >= 0)
		close(l->news_fd);
	if (l->ask_fd >= 0)
		close(l->ask_fd);
	l->news_fd = l->ask_fd = -1;
}

/* Follow the interface to where it is. */
static int follow(struct wg_link *l)
{
	int ns_fd = ioctl(l->tun_fd, TUNGETDEVNETNS, 0);
	int news = -1, ask = -1, rc = 0;
	struct stat st;

	if (ns_fd < 0)
		return errno == EBADFD ? -ENODEV : -errno;
	if (fstat(ns_fd, &st) < 0)
		rc = -errno;
	else if (l->ask_fd < 0 || st.st_dev != l->dev || st.st_ino != l->ino) {
		rc = open_sockets_in(ns_fd, &news, &ask);
		if (rc == 0) {
			close_sockets(l);
			l->news_fd = news;
			l->ask_fd = ask;
			l->dev = st.st_dev;
			l->ino = st.st_ino;
		}
	}
	close(ns_fd);
	return rc;
}

static int get_name(struct wg_link *l)
{
	struct ifreq request = {0};

	if (ioctl(l->tun_fd, TUNGETIFF, &request) < 0)
		return errno == EBADFD ? -ENODEV : -errno;
	memcpy(l->name, request.ifr_name, sizeof(l->name));
	return 0;
}

static int get_mtu(struct wg_link *l)
{
	struct ifreq request = {0};

	memcpy(request.ifr_name, l->name, sizeof(request.ifr_name));
	if (ioctl(l->ask_fd, SIOCGIFMTU, &request) < 0)
		return -errno;
	l->mtu = (unsigned)request.ifr_mtu;
	return 0;
}

static void read_news(const struct wg_link *l)
{
	char ignored[16384];
	ssize_t n;

	do {
		n = recv(l->news_fd, ignored, sizeof(ignored), MSG_DONTWAIT);
	} while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS)));
}

int wg_link_refresh(struct wg_link *l)
{
	int rc;

	if (l->news_fd >= 0)
		read_news(l);
	rc = follow(l);
	if (rc == 0)
		rc = get_name(l);
	return rc == 0 ? get_mtu(l) : rc;
}

int wg_link_open(int tun_fd, struct wg_link **out)
{
	struct wg_link *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return -ENOMEM;
	l->tun_fd = tun_fd;
	l->news_fd = l->ask_fd = -1;
	rc = wg_link_refresh(l);
	if (rc < 0) {
		wg_link_close(l);
		return rc;
	}
	*out = l;
	return 0;
}

void wg_link_close(struct wg_link *l)
{
	if (!l)
		return;
	close_sockets(l);
	free(l);
}

int wg_link_fd(const struct wg_link *l)
{
	return l->news_fd;
}

const char *wg_link_name(const struct wg_link *l)
{
	return l->name;
}

unsigned wg_link_mtu(const struct wg_link *l)
{
	return l->mtu;
}

int wg_link_set_mtu(struct wg_link *l, unsigned mtu)
{
	struct ifreq request = {.ifr_mtu = (int)mtu};

	memcpy(request.ifr_name, l->name, sizeof(request.ifr_name));
	if (ioctl(l->ask_fd, SIOCSIFMTU, &request) < 0)
		return -errno;
	l->mtu = mtu;
	return 0;
}

int wg_link_set_queue(struct wg_link *l, unsigned packets)
{
	struct ifreq request = {.ifr_qlen = (int)packets};

	memcpy(request.ifr_name, l->name, sizeof(request.ifr_name));
	return ioctl(l->ask_fd, SIOCSIFTXQLEN, &request) < 0 ? -errno : 0;
}
