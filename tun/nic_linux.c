/*
 * AF_PACKET sockets with PACKET_VNET_HDR, one a queue, in one fan-out group.
 *
 * Life-cycle: a socket is made with protocol 0, so that nothing arrives; its filter and options
 * are set; then it is bound to ETH_P_ALL (a socket bound to ETH_P_IP receives nothing once an nft
 * netdev ingress chain drops the packets from the host) and joins the group. The sockets join in
 * queue order: what the fan-out program returns is the place in that order, and the kernel keeps
 * it when the interface goes down and comes up.
 *
 * A group of one is worth its while as well: the kernel puts IPv4 fragments together for a group.
 */
#include "tun/nic.h"

#include "tun/bpf_linux.h"
#include "tun/fanout_linux.h"
#include "tun/features_linux.h"
#include "tun/nic_filter_linux.h"
#include "tun/tun.h"
#include "tun/uapi_linux.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CHUNK = 32,                /* messages a system call */
	SEND_RETRIES = 3,          /* a burst, of packets that the device has no room for */
	RECV_BAD_MAX = 64,         /* packets in a row that the kernel could not describe */
	RECV_LEN_MIN = 64,         /* what an unknown packet is taken to bring, at least */
	LINEAR_MAX = 14 + 60 + 60, /* link, IP and TCP headers at their longest */
	SOCKET_BUFFER = 8 << 20,   /* bytes; a super-packet takes up to 100 KB of it */
};

/* A message is a virtio_net_hdr, a link header (empty on L3 devices) and an IP packet. */
struct nic_messages {
	struct mmsghdr head[CHUNK];
	struct iovec iov[CHUNK][3];
	struct ethhdr link[CHUNK];
	struct offload offload[CHUNK]; /* sending only */
};

struct nic_queue {
	struct nic *nic;
	int fd;
	size_t recv_len; /* the longest packet of the last system call, to guess the next */
	struct nic_messages recv;
	struct nic_messages send;
};

struct nic {
	struct nic_options options;
	char name[IFNAMSIZ];
	int index;
	uint8_t mac[ETH_ALEN];
	unsigned link_len;        /* ETH_HLEN, or 0 */
	struct sockaddr_ll to_v4; /* L3 devices only: says which protocol the packet is */
	struct sockaddr_ll to_v6;
	uint32_t fanout; /* group and flags for those who join */
	unsigned queue_count;
	struct nic_queue queues[]; /* queue_count of them */
};

/* 14 bytes, -1 for a kind of link whose header is not known. */
static int link_len_of(unsigned type)
{
	switch (type) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		return ETH_HLEN;
	case ARPHRD_NONE:
	case ARPHRD_RAWIP:
	case ARPHRD_PPP:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_IPGRE:
	case ARPHRD_IP6GRE:
		return 0;
	default:
		return -1;
	}
}

static int find_link(struct nic *nic)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {0};
	int rc = 0;
	int link_len;

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, nic->name, IFNAMSIZ);
	if (ioctl(fd, SIOCGIFINDEX, &request) < 0) {
		rc = -errno;
		goto out;
	}
	nic->index = request.ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0) {
		rc = -errno;
		goto out;
	}
	link_len = link_len_of(request.ifr_hwaddr.sa_family);
	if (link_len < 0) {
		rc = -ENOTSUP;
		goto out;
	}
	nic->link_len = (unsigned)link_len;
	memcpy(nic->mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
out:
	close(fd);
	return rc;
}

static struct sockaddr_ll link_address(const struct nic *nic, uint16_t protocol)
{
	return (struct sockaddr_ll){
		.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol),
		.sll_ifindex = nic->index,
	};
}

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Past the system's limit where that is allowed; a small buffer only loses packets earlier. */
static void set_buffer(int fd, int force, int ordinary)
{
	if (set_option(fd, SOL_SOCKET, force, SOCKET_BUFFER) < 0)
		set_option(fd, SOL_SOCKET, ordinary, SOCKET_BUFFER);
}

static int attach_filter(const struct nic *nic, int fd, uint16_t port_first, unsigned port_count)
{
	struct sock_filter code[NIC_FILTER_MAX];
	struct sock_fprog program = {.filter = code};

	program.len =
		(unsigned short)nic_filter_accept(code, nic->link_len, port_first, port_count);
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		return -errno;
	return 0;
}

/* Where no BPF may be loaded (in a user namespace), the classic program does the same. */
static int set_classic_fanout(const struct nic *nic, int fd)
{
	struct sock_filter code[NIC_FILTER_MAX];
	struct sock_fprog program = {.filter = code};

	program.len = (unsigned short)nic_filter_fanout(code, nic->options.port_first,
							nic->options.slice, nic->options.queues);
	if (setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &program, sizeof(program)) < 0)
		return -errno;
	return 0;
}

/* Take a group number that nobody uses, and set its program before a second queue can join. */
static int make_fanout(struct nic *nic, int fd)
{
	const struct fanout_slices slices = {
		.port_first = nic->options.port_first,
		.slice = nic->options.slice,
		.queues = nic->options.queues,
	};
	const uint32_t flags = PACKET_FANOUT_FLAG_IGNORE_OUTGOING | PACKET_FANOUT_FLAG_DEFRAG;
	uint32_t type = PACKET_FANOUT_CPU; /* a single queue needs no program */
	struct bpf_object *object = NULL;
	int program = -1;
	int group = 0;
	socklen_t len = sizeof(group);
	int rc;

	if (nic->options.queues > 1) {
		program = fanout_load(&slices, &object);
		type = program < 0 ? PACKET_FANOUT_CBPF : PACKET_FANOUT_EBPF;
	}

	rc = set_option(fd, SOL_PACKET, PACKET_FANOUT,
			(int)((type | flags | PACKET_FANOUT_FLAG_UNIQUEID) << 16));
	if (rc == 0 && getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &group, &len) < 0)
		rc = -errno;
	nic->fanout = (uint32_t)(group & 0xffff) | (type | flags) << 16;
	if (rc == 0 && type == PACKET_FANOUT_CBPF)
		rc = set_classic_fanout(nic, fd);
	if (rc == 0 && type == PACKET_FANOUT_EBPF)
		rc = set_option(fd, SOL_PACKET, PACKET_FANOUT_DATA, program);
	bpf_unload(object);
	return rc;
}

static int set_up_sending(const struct nic *nic, int fd)
{
	int rc = set_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1);

	/*
	 * Past the queueing discipline the kernel drops a super-packet that the device cannot take
	 * whole; the usual way it cuts it to pieces.
	 */
	if (rc == 0 && device_takes_super_packets(nic->name))
		rc = set_option(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
	if (rc == 0 && nic->options.mark != 0)
		rc = set_option(fd, SOL_SOCKET, SO_MARK, (int)nic->options.mark);
	if (rc == 0)
		set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	return rc;
}

/*
 * A socket that is bound and not yet in the group gets all packets: until it is, its own ports
 * alone. After that every port of the nic, since a fragment comes by its identification.
 */
static int bind_socket(struct nic *nic, int fd, unsigned index)
{
	const struct nic_options *o = &nic->options;
	const bool receives = o->slice > 0;
	struct sockaddr_ll address = link_address(nic, receives ? ETH_P_ALL : 0);
	int rc = set_up_sending(nic, fd);

	if (rc == 0 && receives)
		rc = attach_filter(nic, fd, (uint16_t)(o->port_first + index * o->slice), o->slice);
	if (rc < 0)
		return rc;
	if (receives)
		set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if (!receives)
		return 0;
	if (index == 0)
		rc = make_fanout(nic, fd);
	else
		rc = set_option(fd, SOL_PACKET, PACKET_FANOUT, (int)nic->fanout);
	if (rc == 0)
		rc = attach_filter(nic, fd, o->port_first, o->queues * o->slice);
	return rc;
}

/* What stays the same in every message. */
static void prepare_messages(struct nic_queue *queue)
{
	const struct nic *nic = queue->nic;

	for (unsigned i = 0; i < CHUNK; i++) {
		queue->recv.iov[i][0].iov_len = sizeof(struct offload);
		queue->recv.iov[i][1].iov_base = &queue->recv.link[i];
		queue->recv.iov[i][1].iov_len = nic->link_len;
		queue->recv.iov[i][2].iov_len = BUF_SIZE;
		queue->recv.head[i].msg_hdr.msg_iov = queue->recv.iov[i];
		queue->recv.head[i].msg_hdr.msg_iovlen = 3;

		memcpy(queue->send.link[i].h_source, nic->mac, ETH_ALEN);
		queue->send.iov[i][0].iov_base = &queue->send.offload[i];
		queue->send.iov[i][0].iov_len = sizeof(struct offload);
		queue->send.iov[i][1].iov_base = &queue->send.link[i];
		queue->send.iov[i][1].iov_len = nic->link_len;
		queue->send.head[i].msg_hdr.msg_iov = queue->send.iov[i];
		queue->send.head[i].msg_hdr.msg_iovlen = 3;
	}
}

static int open_queue(struct nic *nic, unsigned index)
{
	struct nic_queue *queue = &nic->queues[index];

	queue->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (queue->fd < 0)
		return -errno;
	queue->nic = nic;
	queue->recv_len = BUF_SIZE;
	nic->queue_count++;
	prepare_messages(queue);
	return bind_socket(nic, queue->fd, index);
}

int nic_open(const struct nic_options *options, struct nic **out)
{
	struct nic *nic;
	int rc;

	if (options->queues < 1 || options->queues > TUN_QUEUES_MAX)
		return -EINVAL;
	if (options->port_first + options->queues * options->slice > 65536)
		return -EINVAL;
	if (strlen(options->name) >= IFNAMSIZ)
		return -ENODEV;
	nic = calloc(1, sizeof(*nic) + options->queues * sizeof(nic->queues[0]));
	if (!nic)
		return -ENOMEM;
	memcpy(nic->name, options->name, strlen(options->name));
	nic->options = *options;
	nic->options.name = nic->name;

	rc = find_link(nic);
	nic->to_v4 = link_address(nic, ETH_P_IP);
	nic->to_v6 = link_address(nic, ETH_P_IPV6);
	for (unsigned i = 0; i < options->queues && rc == 0; i++)
		rc = open_queue(nic, i);
	if (rc < 0) {
		nic_close(nic);
		return rc;
	}
	*out = nic;
	return 0;
}

void nic_close(struct nic *nic)
{
	if (!nic)
		return;
	for (unsigned i = 0; i < nic->queue_count; i++)
		close(nic->queues[i].fd);
	free(nic);
}

struct nic_queue *nic_queue_at(struct nic *nic, unsigned index)
{
	return &nic->queues[index];
}

int nic_queue_fd(const struct nic_queue *queue)
{
	return queue->fd;
}

bool nic_is_ethernet(const struct nic *nic)
{
	return nic->link_len > 0;
}

/* How many packets the next call may bring without passing bytes_left by much. */
static unsigned recv_count(const struct nic_queue *queue, unsigned n, size_t bytes_left)
{
	size_t fit = 1 + bytes_left / queue->recv_len;

	if (n > CHUNK)
		n = CHUNK;
	return fit < n ? (unsigned)fit : n;
}

static bool is_ip(const struct nic_queue *queue, unsigned i)
{
	const uint16_t type = queue->recv.link[i].h_proto;

	return queue->nic->link_len == 0 || type == htons(ETH_P_IP) || type == htons(ETH_P_IPV6);
}

/* The kernel's offsets count from the link header on. */
static bool remove_link(struct offload *offload, unsigned link_len)
{
	offload->hdr_len -= offload->hdr_len < link_len ? offload->hdr_len : link_len;
	if (!(offload->flags & OFFLOAD_NEEDS_CSUM))
		return true;
	if (offload->csum_start < link_len)
		return false;
	offload->csum_start -= link_len;
	return true;
}

/* Close up what message i brought to bufs[kept], unless it is not for us. */
static unsigned keep(struct nic_queue *queue, struct buf *bufs, unsigned i, unsigned kept)
{
	const unsigned head_len = sizeof(struct offload) + queue->nic->link_len;
	const struct mmsghdr *m = &queue->recv.head[i];

	if (m->msg_len <= head_len || (m->msg_hdr.msg_flags & MSG_TRUNC) || !is_ip(queue, i))
		return 0;
	if (!remove_link(&bufs[i].offload, queue->nic->link_len))
		return 0;
	bufs[i].len = m->msg_len - head_len;
	if (kept != i) { /* rare: the filter has sorted out nearly all that is not kept */
		memcpy(bufs[kept].data, bufs[i].data, bufs[i].len);
		bufs[kept].offload = bufs[i].offload;
		bufs[kept].len = bufs[i].len;
	}
	return 1;
}

static int receive(struct nic_queue *queue, struct buf *bufs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		queue->recv.iov[i][0].iov_base = &bufs[i].offload;
		queue->recv.iov[i][2].iov_base = bufs[i].data;
	}
	return recvmmsg(queue->fd, queue->recv.head, n, MSG_DONTWAIT, NULL);
}

unsigned nic_recv_burst(struct nic_queue *queue, struct buf *bufs, unsigned n, size_t bytes_max,
			int *error_out)
{
	size_t bytes = 0;
	unsigned got = 0;
	unsigned bad = 0;

	while (got < n && bytes <= bytes_max) {
		unsigned want = recv_count(queue, n - got, bytes_max - bytes);
		int rc = receive(queue, bufs + got, want);
		unsigned kept = 0;

		if (rc < 0) {
			/* EINVAL: offloads that the header has no words for; it is gone. */
			if ((errno == EINVAL || errno == EINTR) && ++bad < RECV_BAD_MAX)
				continue;
			if (errno != EAGAIN && errno != EINVAL && errno != EINTR)
				*error_out = -errno;
			break;
		}
		queue->recv_len = RECV_LEN_MIN;
		for (unsigned i = 0; i < (unsigned)rc; i++) {
			if (queue->recv.head[i].msg_len > queue->recv_len)
				queue->recv_len = queue->recv.head[i].msg_len;
			bytes += queue->recv.head[i].msg_len;
			kept += keep(queue, bufs + got, i, kept);
		}
		got += kept;
		if ((unsigned)rc < want)
			break;
	}
	return got;
}

/*
 * DATA_VALID is the receiving side's word. hdr_len only says how much of the packet shall be in one
 * piece: 0 would make that the whole super-packet, and so may what another device has left there.
 */
static bool add_link(struct offload *out, const struct buf *b, unsigned link_len)
{
	*out = b->offload;
	out->flags &= OFFLOAD_NEEDS_CSUM;
	out->hdr_len = 0;
	if (out->gso_type != OFFLOAD_GSO_NONE) {
		const unsigned len = link_len + b->len;

		out->hdr_len = (uint16_t)(len < LINEAR_MAX ? len : LINEAR_MAX);
	}
	if (!out->flags)
		return true;
	out->csum_start += link_len;
	return b->offload.csum_start + b->offload.csum_offset + 2U <= b->len;
}

/* Write message i; false for what no device takes. */
static bool write_message(struct nic_queue *queue, unsigned i, struct buf *b)
{
	struct nic *nic = queue->nic;
	struct nic_messages *m = &queue->send;
	const unsigned version = b->len > 0 ? b->data[0] >> 4 : 0;

	if (version != 4 && version != 6)
		return false;
	if (!add_link(&m->offload[i], b, nic->link_len))
		return false;
	if (nic->link_len > 0) {
		memcpy(m->link[i].h_dest, b->next_hop, ETH_ALEN);
		m->link[i].h_proto = htons(version == 4 ? ETH_P_IP : ETH_P_IPV6);
	} else {
		m->head[i].msg_hdr.msg_name = version == 4 ? &nic->to_v4 : &nic->to_v6;
		m->head[i].msg_hdr.msg_namelen = sizeof(nic->to_v4);
	}
	m->iov[i][2].iov_base = b->data;
	m->iov[i][2].iov_len = b->len;
	return true;
}

/* Send n written messages; a call stops at the first that is refused. */
static unsigned send_messages(struct nic_queue *queue, unsigned n, unsigned *retries)
{
	unsigned done = 0;
	unsigned taken = 0;

	while (done < n) {
		int rc = sendmmsg(queue->fd, queue->send.head + done, n - done, MSG_DONTWAIT);

		if (rc > 0) {
			done += (unsigned)rc;
			taken += (unsigned)rc;
		} else if (errno == EINTR) {
			continue;
		} else if ((errno == ENOBUFS || errno == EAGAIN) && *retries > 0) {
			--*retries;
		} else {
			done++;
		}
	}
	return taken;
}

unsigned nic_send_burst(struct nic_queue *queue, struct buf *const *bufs, unsigned n)
{
	unsigned retries = SEND_RETRIES;
	unsigned taken = 0;
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++) {
		count += write_message(queue, count, bufs[i]);
		if (count == CHUNK || i + 1 == n) {
			taken += send_messages(queue, count, &retries);
			count = 0;
		}
	}
	return taken;
}

uint64_t nic_queue_lost(struct nic_queue *queue)
{
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof(stats);

	/* Reading sets the kernel's count back to 0. */
	if (getsockopt(queue->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) < 0)
		return 0;
	return stats.tp_drops;
}
