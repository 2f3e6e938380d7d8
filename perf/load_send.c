/*
 * A packet is due at a time that the rate gives, and is sent then or as soon after as the sender
 * gets to it: all that are due go in one system call.
 */
#include "perf/load_send.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/netns.h"
#include "perf/pace.h"

enum {
	BATCH = 64,
	HEADERS = ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr),
	SOURCE_PORT = 20000,
	TTL = 64,
	TURN_NS_MIN = 50 * 1000,
	TURN_NS_MAX = 200 * 1000,
	TURN_NS_PER_RATE = 2, /* packets a second: bursts of 10 from each of two at 100,000 */
	LATE_MAX_NS = 100 * 1000 * 1000,
};

static_assert(LOAD_FLOWS_MAX / LOAD_CLASSES + SOURCE_PORT < 65536, "a port an endpoint");

struct load_frame {
	uint8_t headers[HEADERS];
	uint32_t sum; /* of what the UDP checksum covers, but for the packet */
};

/* Frames on their way into one system call. */
struct batch {
	unsigned used;
	uint64_t index[BATCH];
	uint8_t bytes[BATCH][HEADERS + LOAD_SIZE_MAX];
	struct iovec iov[BATCH];
	struct mmsghdr messages[BATCH];
};

/* In the byte order of the wire, as all checksums may be. */
static uint32_t sum_words(const void *data, size_t size)
{
	const uint8_t *p = data;
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < size; i += 2) {
		uint16_t word;

		memcpy(&word, p + i, sizeof(word));
		sum += word;
	}
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Six flows, one of each class, share an endpoint, which so has flows on either side at any time.
 */
static void build_frame(struct load_frame *f, const struct load_net *net, unsigned flow,
			uint32_t addr, unsigned size)
{
	uint16_t ethertype = htons(ETH_P_IP),
		 udp_size = htons((uint16_t)(sizeof(struct udphdr) + size));
	struct iphdr ip = {
		.version = 4, .ihl = sizeof(ip) / 4, .ttl = TTL, .protocol = IPPROTO_UDP};
	struct udphdr udp = {.source = htons((uint16_t)(SOURCE_PORT + flow / LOAD_CLASSES)),
			     .dest = htons(LOAD_PORT),
			     .len = udp_size};

	ip.tot_len = htons((uint16_t)(sizeof(ip) + sizeof(udp) + size));
	ip.frag_off = htons(IP_DF);
	ip.saddr = htonl(LOAD_CLIENT_ADDR);
	ip.daddr = htonl(addr);
	ip.check = fold(sum_words(&ip, sizeof(ip)));
	memcpy(f->headers, net->gateway_mac, ETH_ALEN);
	memcpy(f->headers + ETH_ALEN, net->client_mac, ETH_ALEN);
	memcpy(f->headers + 2 * ETH_ALEN, &ethertype, sizeof(ethertype));
	memcpy(f->headers + ETH_HLEN, &ip, sizeof(ip));
	memcpy(f->headers + ETH_HLEN + sizeof(ip), &udp, sizeof(udp));
	f->sum = sum_words(&ip.saddr, 2 * sizeof(ip.saddr)) + htons(IPPROTO_UDP) + udp_size +
		 sum_words(&udp, sizeof(udp));
}

void load_send_fini(struct load_send *s)
{
	free(s->frames);
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct load_send){.fd = -1};
}

int load_send_init(struct load_send *s, const struct load_net *net, unsigned flows,
		   const uint32_t *addrs, unsigned size, const struct load_timeline *timeline)
{
	struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = net->client_ifindex};
	int on = 1, rc;

	/* Protocol 0: it receives nothing. */
	*s = (struct load_send){.addrs = addrs, .size = size, .timeline = timeline};
	s->fd = netns_socket(net->client, AF_PACKET, SOCK_RAW, 0);
	if (s->fd < 0)
		return s->fd;
	rc = -ENOMEM;
	s->frames = calloc(flows, sizeof(*s->frames));
	if (!s->frames)
		goto failed;
	if (bind(s->fd, (struct sockaddr *)&link, sizeof(link)) < 0 ||
	    setsockopt(s->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) < 0) {
		rc = -errno;
		goto failed;
	}
	for (unsigned flow = 0; flow < flows; flow++)
		build_frame(&s->frames[flow], net, flow, addrs[flow], size);
	return 0;

failed:
	load_send_fini(s);
	return rc;
}

static void batch_init(struct batch *b, unsigned size)
{
	memset(b, 0, sizeof(*b));
	for (unsigned i = 0; i < BATCH; i++) {
		b->iov[i] = (struct iovec){b->bytes[i], HEADERS + size};
		b->messages[i].msg_hdr = (struct msghdr){.msg_iov = &b->iov[i], .msg_iovlen = 1};
	}
}

/* The checksum is that of the headers and the packet: the rest of the payload is zero. */
static void batch_add(struct batch *b, const struct load_send *s, const struct load_plan *plan,
		      uint64_t index, unsigned headers_of)
{
	const size_t check_at = ETH_HLEN + sizeof(struct iphdr) + offsetof(struct udphdr, check);
	const struct load_frame *f = &s->frames[headers_of];
	uint8_t *bytes = b->bytes[b->used];
	struct load_packet p = {.due_ns = load_plan_due_ns(plan, index),
				.sent_ns = pace_now_ns(),
				.sequence = index / plan->flows,
				.flow = (uint32_t)(index % plan->flows),
				.generation = load_timeline_confirmed(s->timeline),
				.run = plan->run};
	uint16_t check = fold(f->sum + sum_words(&p, sizeof(p)));

	memcpy(bytes, f->headers, HEADERS);
	memcpy(bytes + HEADERS, &p, sizeof(p));
	if (check == 0)
		check = 0xffff; /* zero would mean: none */
	memcpy(bytes + check_at, &check, sizeof(check));
	b->index[b->used++] = index;
}

static int batch_flush(struct batch *b, const struct load_send *s, struct load_bits *sent)
{
	unsigned done = 0;

	while (done < b->used) {
		int n = sendmmsg(s->fd, b->messages + done, b->used - done, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != ENOBUFS && errno != EAGAIN)
			return -errno;
		for (int i = 0; i < n; i++)
			load_bits_set(sent, b->index[done + (unsigned)i]);
		done += n > 0 ? (unsigned)n : 1; /* what was refused was not sent */
	}
	b->used = 0;
	return 0;
}

/* One packet as the fault has it; held is one that is to follow the next of its flow. */
static void add_faulty(struct batch *b, const struct load_send *s, const struct load_plan *plan,
		       uint64_t index, struct load_bits *sent, uint64_t *held)
{
	unsigned flow = (unsigned)(index % plan->flows);
	bool hit = index % LOAD_FAULT_EVERY == LOAD_FAULT_EVERY / 2;
	unsigned side = load_side(plan->classes[flow], load_timeline_confirmed(s->timeline));

	if (hit && s->fault == LOAD_FAULT_LOSE) {
		load_bits_set(sent, index);
		return;
	}
	if (hit && s->fault == LOAD_FAULT_REORDER) {
		*held = index;
		return;
	}
	if (hit && s->fault == LOAD_FAULT_MISROUTE)
		flow = side == LOAD_LEFT ? LOAD_STAYS_RIGHT : LOAD_STAYS_LEFT;
	batch_add(b, s, plan, index, flow);
	if (hit && s->fault == LOAD_FAULT_DUPLICATE)
		batch_add(b, s, plan, index, flow);
	if (*held != UINT64_MAX && index == *held + plan->flows) {
		batch_add(b, s, plan, *held, flow);
		*held = UINT64_MAX;
	}
}

/* Where it is not allowed, it is in time as far as others let it. */
static void take_place(const struct load_send *s, unsigned sender)
{
	const struct sched_param first = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};
	cpu_set_t allowed, own;
	int cpu = 0;

	prctl(PR_SET_TIMERSLACK, 1UL);
	if (!s->urgent)
		return;
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return;
	sender %= (unsigned)CPU_COUNT(&allowed);
	while (!CPU_ISSET(cpu, &allowed) || sender-- > 0)
		cpu++;
	CPU_ZERO(&own);
	CPU_SET(cpu, &own);
	pthread_setaffinity_np(pthread_self(), sizeof(own), &own);
}

/*
 * Between system calls, at least: polling would cost the gateway a core, and a wake-up for each few
 * packets much of one. What is late by it is told as the sender's own.
 */
static uint64_t turn_length_ns(const struct load_plan *plan)
{
	double wanted = TURN_NS_PER_RATE * 1e9 / plan->gap_ns;

	return wanted < TURN_NS_MIN   ? TURN_NS_MIN
	       : wanted > TURN_NS_MAX ? TURN_NS_MAX
				      : (uint64_t)wanted;
}

/* The first packet of a sender from index on. */
static uint64_t next_own(const struct load_send *s, const struct load_plan *plan, unsigned sender,
			 uint64_t index)
{
	while (index < plan->count && index % plan->flows % s->senders != sender)
		index++;
	return index;
}

int load_send_run(const struct load_send *s, const struct load_plan *plan, unsigned sender,
		  struct load_bits *sent, uint64_t *offered)
{
	uint64_t held = UINT64_MAX, end = load_plan_due_ns(plan, plan->count), turn = 0, count = 0;
	uint64_t index = next_own(s, plan, sender, 0), turn_ns = turn_length_ns(plan);
	struct batch *b = malloc(sizeof(*b));
	int rc = 0;

	if (!b)
		return -ENOMEM;
	batch_init(b, s->size);
	take_place(s, sender);
	while (rc == 0 && index < plan->count) {
		uint64_t now, due = load_plan_due_ns(plan, index);

		if (s->polls)
			pace_until_ns(due);
		else
			pace_sleep_until_ns(due > turn ? due : turn);
		now = pace_now_ns();
		turn = now + turn_ns;
		if (now > end + LATE_MAX_NS)
			break;
		/* Two places are kept, for what a fault adds. */
		while (index < plan->count && b->used < BATCH - 2 &&
		       load_plan_due_ns(plan, index) <= now) {
			if (s->fault == LOAD_FAULT_NONE)
				batch_add(b, s, plan, index, (unsigned)(index % plan->flows));
			else
				add_faulty(b, s, plan, index, sent, &held);
			count++;
			index = next_own(s, plan, sender, index + 1);
		}
		rc = batch_flush(b, s, sent);
	}
	free(b);
	*offered = count;
	return rc;
}
