#include "perf/load_sink.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "perf/netns.h"
#include "perf/pace.h"

enum {
	FRAME = 256,
	FRAMES = 1 << 17, /* 0.1 s of a million packets a second */
	BLOCK = 1 << 20,
	RING_BYTES = FRAME * FRAMES,
	PAYLOAD_AT = ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr),
	CAPTURED = PAYLOAD_AT + sizeof(struct load_packet),
	TURN_NS = 1000 * 1000,
	CLOCKS_APART_NS = 2000, /* readings further apart were interrupted */
	CLOCK_TRIES = 1000,
};

static_assert(TPACKET_ALIGN(TPACKET2_HDRLEN) + 16 + CAPTURED <= FRAME, "a frame holds a packet");

/* UDP to our port, as much of it as is looked at. */
static int set_filter(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct ethhdr, h_proto)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 5),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETH_HLEN + offsetof(struct iphdr, protocol)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS,
			 ETH_HLEN + sizeof(struct iphdr) + offsetof(struct udphdr, dest)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LOAD_PORT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, CAPTURED),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
											   : 0;
}

static int open_capture(struct load_capture *c, int ns, int ifindex, uint32_t addr)
{
	/* Of all protocols it is given packets before the rule that drops them is. */
	struct sockaddr_ll link = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = ifindex};
	struct tpacket_req ring = {.tp_block_size = BLOCK,
				   .tp_block_nr = RING_BYTES / BLOCK,
				   .tp_frame_size = FRAME,
				   .tp_frame_nr = FRAMES};
	int version = TPACKET_V2, rc;
	void *memory;

	c->addr = htonl(addr);
	c->fd = netns_socket(ns, AF_PACKET, SOCK_RAW, 0);
	if (c->fd < 0)
		return c->fd;
	rc = set_filter(c->fd);
	if (rc == 0 &&
	    (setsockopt(c->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	     setsockopt(c->fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) < 0))
		rc = -errno;
	if (rc < 0)
		goto failed;
	memory = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (memory == MAP_FAILED) {
		rc = -errno;
		goto failed;
	}
	c->ring = memory;
	if (bind(c->fd, (struct sockaddr *)&link, sizeof(link)) == 0)
		return 0;
	rc = -errno;
	munmap(memory, RING_BYTES);
	c->ring = NULL;
failed:
	close(c->fd);
	c->fd = -1;
	return rc;
}

int load_sink_init(struct load_sink *s, const struct load_net *net, const uint32_t *addrs)
{
	int rc = 0;

	*s = (struct load_sink){.addrs = addrs, .capture = {{.fd = -1}, {.fd = -1}}};
	for (unsigned side = 0; rc == 0 && side < LOAD_SIDES; side++)
		rc = open_capture(&s->capture[side], net->sink[side], net->sink_ifindex[side],
				  load_net_addr(side));
	if (rc < 0)
		load_sink_fini(s);
	return rc;
}

void load_sink_fini(struct load_sink *s)
{
	for (unsigned side = 0; side < LOAD_SIDES; side++) {
		struct load_capture *c = &s->capture[side];

		if (c->ring)
			munmap(c->ring, RING_BYTES);
		if (c->fd >= 0)
			close(c->fd);
		*c = (struct load_capture){.fd = -1};
	}
}

/* Captures are stamped by the real-time clock, which may be set: its distance is read again. */
static void read_clocks(struct load_sink *s)
{
	for (unsigned i = 0; i < CLOCK_TRIES; i++) {
		uint64_t before = pace_now_ns(), after;
		struct timespec real;

		clock_gettime(CLOCK_REALTIME, &real);
		after = pace_now_ns();
		if (after - before > CLOCKS_APART_NS)
			continue;
		s->clock_ns = (int64_t)(before + (after - before) / 2) -
			      ((int64_t)real.tv_sec * 1000000000 + real.tv_nsec);
		return;
	}
}

static uint32_t sum_words(const uint8_t *p, size_t size)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < size; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

/* Of what was captured; the payload beyond it is zero. */
static bool intact(const uint8_t *frame)
{
	const uint8_t *ip = frame + ETH_HLEN, *udp = ip + sizeof(struct iphdr);
	uint32_t header = sum_words(ip, sizeof(struct iphdr));
	uint32_t sum = sum_words(ip + offsetof(struct iphdr, saddr), 8) + IPPROTO_UDP +
		       sum_words(udp + offsetof(struct udphdr, len), 2) +
		       sum_words(udp, sizeof(struct udphdr) + sizeof(struct load_packet));

	while (header >> 16)
		header = (header & 0xffff) + (header >> 16);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return header == 0xffff && sum == 0xffff;
}

static void take(struct load_sink *s, unsigned side, const struct tpacket2_hdr *h)
{
	const uint8_t *frame = (const uint8_t *)h + h->tp_mac;
	int64_t stamp = (int64_t)h->tp_sec * 1000000000 + h->tp_nsec + s->clock_ns;
	struct load_packet p;
	struct iphdr ip;
	bool altered;

	if (h->tp_snaplen < CAPTURED || !intact(frame)) {
		s->damaged++;
		return;
	}
	memcpy(&ip, frame + ETH_HLEN, sizeof(ip));
	memcpy(&p, frame + PAYLOAD_AT, sizeof(p));
	if (p.run != s->check->plan->run || p.flow >= s->check->plan->flows)
		return;
	altered = ip.saddr != s->capture[side].addr || ip.daddr != htonl(s->addrs[p.flow]);
	load_check_packet(s->check, side, &p, (uint64_t)stamp, altered);
}

static void drain(struct load_sink *s, unsigned side)
{
	struct load_capture *c = &s->capture[side];

	for (unsigned n = 0; n < FRAMES; n++) {
		struct tpacket2_hdr *h = (void *)(c->ring + (size_t)c->next * FRAME);

		/* [frames-1] The kernel's half of the pair: it stores the status after the frame.
		 */
		if (!(__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			break;
		if (s->check)
			take(s, side, h);
		/* [frames-2] The frame was read before the kernel may write it again. */
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		c->next = (c->next + 1) % FRAMES;
	}
}

static void *serve(void *argument)
{
	const struct timespec turn = {.tv_nsec = TURN_NS};
	struct load_sink *s = argument;
	bool last = false;

	while (!last) {
		last = __atomic_load_n(&s->stop, __ATOMIC_RELAXED);
		read_clocks(s);
		for (unsigned side = 0; side < LOAD_SIDES; side++)
			drain(s, side);
		if (!last)
			nanosleep(&turn, NULL);
	}
	return NULL;
}

static uint64_t read_overrun(const struct load_sink *s)
{
	uint64_t overrun = 0;

	for (unsigned side = 0; side < LOAD_SIDES; side++) {
		struct tpacket_stats stats = {0};
		socklen_t size = sizeof(stats);

		/* Reading sets it to zero. */
		if (getsockopt(s->capture[side].fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) ==
		    0)
			overrun += stats.tp_drops;
	}
	return overrun;
}

int load_sink_start(struct load_sink *s, struct load_check *check)
{
	s->check = NULL;
	for (unsigned side = 0; side < LOAD_SIDES; side++)
		drain(s, side); /* what came between runs */
	read_overrun(s);
	s->check = check;
	s->damaged = 0;
	s->stop = false;
	return -pthread_create(&s->thread, NULL, serve, s);
}

void load_sink_stop(struct load_sink *s, uint64_t *overrun)
{
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	pthread_join(s->thread, NULL);
	*overrun = read_overrun(s);
}
