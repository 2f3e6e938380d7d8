/*
 * sluice-perf wireguard --flood: what others' traffic does to a tunnel that has a session.
 *
 *     attacker, honest end --- veth --- the tunnel under attack, and a sink behind it
 *
 * First datagrams that no honest peer sends, as fast as they are taken: nothing may be answered but
 * by cookies, memory may not grow, and the session must live. Then initiations at a rate, whose
 * first MAC is right, from one address or each from another: what of the session's traffic is lost?
 * All by IPv4 and by IPv6.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "perf/netns.h"
#include "perf/pace.h"
#include "perf/rate.h"
#include "perf/wireguard.h"
#include "perf/wireguard_client.h"
#include "perf/wireguard_hostile.h"

enum {
	BATCH = 64,
	ATTACKER_PORT = 7777,
	SOURCES = 1 << 16,
	SOCKET_BUFFER = 16 << 20,
	AHEAD = 2048,   /* datagrams that may be under way */
	GENTLE = 20000, /* of all, before the others */
	GENTLE_NS = 1000000,
	AHEAD_MS = 20,   /* then those are taken for lost */
	SETTLE_MS = 300, /* until no answer comes any more */
	GROWTH_MAX_KB = 1024,
	KEEPALIVES_MAX = 2, /* to what was real: 10 s after it, and once more if it came apart */
	HONEST_RATE = 2000, /* datagrams a second */
	HONEST_SIZE = 1372,
	FLOOD_RATE = 100000,
	ATTACKER_NICE = -10, /* as the workers, whose cores it shares */
};

#define SOURCE_FIRST UINT32_C(0x0a420000) /* 10.66.0.0/16, all the attacker's */
#define SOURCE_PREFIX "10.66.0.0/16"
#define SOURCE_PREFIX6 "fd66::/48" /* a /64 each, for a limiter takes one for one source */

enum { WAY_4, WAY_6, WAYS };

/* How the attacker reaches the tunnel. */
struct way {
	struct flood *flood;
	int fd; /* not connected: it has all addresses */
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} to;
	socklen_t to_size;
	pthread_t receiver;
	bool receiving;
};

/* What comes back to the attacker. */
struct answers {
	uint64_t cookies;
	uint64_t keepalives; /* to its real session */
	uint64_t others;
	uint64_t other_bytes;
};

struct flood {
	const struct wgbench_options *options;
	struct wgbench_pair pair;
	struct wgbench_key key; /* of a peer who is the attacker */
	struct wg_crypto *crypto;
	struct wg_aead *aead;
	struct wgclient client;
	struct hostile *hostile;
	struct way ways[WAYS];
	bool stop;              /* relaxed; the receivers and the sender of initiations */
	struct answers answers; /* relaxed, of the receivers */

	/* Of the sender of initiations. */
	struct way *way;
	bool spoofed;
	uint64_t sent; /* relaxed */
};

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static uint64_t counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- What comes back ---- */

static void judge(struct flood *f, const uint8_t *data, size_t size)
{
	uint32_t type = size >= 8 ? wg_get32(data) : 0;

	if (type == WG_COOKIE_REPLY && size == WG_COOKIE_REPLY_SIZE) {
		count(&f->answers.cookies, 1);
	} else if (type == WG_DATA && size == WG_DATA_OVERHEAD &&
		   wg_get32(data + 4) == f->client.index) {
		count(&f->answers.keepalives, 1);
	} else {
		count(&f->answers.others, 1);
		count(&f->answers.other_bytes, size);
	}
}

static void *receive(void *argument)
{
	const struct way *way = argument;
	struct flood *f = way->flood;
	uint8_t bytes[BATCH][256];
	struct mmsghdr messages[BATCH];
	struct iovec iov[BATCH];

	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
		messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	for (;;) {
		int n = recvmmsg(way->fd, messages, BATCH, MSG_WAITFORONE | MSG_TRUNC, NULL);

		if (n < 0 && errno != EINTR)
			return NULL;
		for (int i = 0; i < n; i++) {
			if (messages[i].msg_len == 0 && __atomic_load_n(&f->stop, __ATOMIC_RELAXED))
				return NULL;
			judge(f, bytes[i], messages[i].msg_len);
		}
	}
}

/* ---- What is sent ---- */

/* Messages of two parts; the source is filled in by whom it matters to. */
struct batch {
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH][2];
	union {
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct cmsghdr align;
	} control[BATCH];
	uint8_t heads[BATCH][HOSTILE_SIZE_MAX];
};

static void batch_init(struct way *way, struct batch *b)
{
	for (unsigned i = 0; i < BATCH; i++)
		b->messages[i].msg_hdr = (struct msghdr){.msg_name = &way->to,
							 .msg_namelen = way->to_size,
							 .msg_iov = b->parts[i],
							 .msg_iovlen = 2};
}

/* Let a message come from one of the attacker's many addresses. */
static void batch_source(const struct way *way, struct batch *b, unsigned i, uint32_t number)
{
	const struct in_pktinfo v4 = {.ipi_spec_dst.s_addr = htonl(SOURCE_FIRST + number)};
	struct in6_pktinfo v6 = {.ipi6_addr.s6_addr = {0xfd, 0x66, [15] = 1}};
	bool is6 = way->to.any.sa_family == AF_INET6;
	size_t size = is6 ? sizeof(v6) : sizeof(v4);
	struct msghdr *m = &b->messages[i].msg_hdr;
	struct cmsghdr *c;

	v6.ipi6_addr.s6_addr[6] = (uint8_t)(number >> 8);
	v6.ipi6_addr.s6_addr[7] = (uint8_t)number;
	m->msg_control = b->control[i].bytes;
	m->msg_controllen = CMSG_SPACE(size);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = is6 ? IPPROTO_IPV6 : IPPROTO_IP;
	c->cmsg_type = is6 ? IPV6_PKTINFO : IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), is6 ? (const void *)&v6 : &v4, size);
}

/* Returns: how many the system took. */
static unsigned batch_send(const struct way *way, struct batch *b, unsigned n)
{
	unsigned sent = 0;

	while (sent < n) {
		int rc = sendmmsg(way->fd, b->messages + sent, n - sent, 0);

		if (rc < 0 && errno != EINTR) /* of the one in front: a full queue */
			break;
		sent += rc > 0 ? (unsigned)rc : 0;
	}
	return sent;
}

/* What a file of a process's namespace counts under some names, one a line. */
static int read_counters(pid_t pid, const char *file, const char *const names[], uint64_t *sums)
{
	char path[64], line[256], name[64];
	unsigned long value;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", pid, file);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		for (unsigned i = 0; names[i]; i++)
			if (sscanf(line, "%63s %lu", name, &value) == 2 &&
			    strcmp(name, names[i]) == 0)
				sums[i] += value;
	fclose(f);
	return 0;
}

/* Datagrams that the sockets in the tunnel's namespace have taken, or had no room for. */
static int read_taken(const struct flood *f, uint64_t *taken, uint64_t *lost)
{
	static const char *const names6[] = {"Udp6InDatagrams", "Udp6NoPorts", "Udp6InErrors",
					     NULL};
	pid_t pid = f->pair.end[1].pid;
	char path[64], line[512];
	unsigned long in, no_port, errors, out, full;
	uint64_t sums6[3] = {0};
	int rc = read_counters(pid, "snmp6", names6, sums6);
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/net/snmp", pid);
	file = rc == 0 ? fopen(path, "re") : NULL;
	if (!file)
		return rc < 0 ? rc : -errno;
	rc = -EIO;
	while (rc < 0 && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Udp: %lu %lu %lu %lu %lu", &in, &no_port, &errors, &out, &full) !=
		    5)
			continue;
		*taken = in + sums6[0];
		*lost = errors + no_port + sums6[1] + sums6[2];
		rc = 0;
	}
	fclose(file);
	return rc;
}

/*
 * Wait until no more than ahead are under way.
 *
 * gone: of what was sent, what is taken for lost on the way
 */
static int keep_pace(const struct flood *f, uint64_t base, uint64_t sent, unsigned ahead,
		     uint64_t *gone)
{
	uint64_t end = pace_now_ns() + AHEAD_MS * UINT64_C(1000000), taken, lost;
	const struct timespec pause = {.tv_nsec = 200000};

	for (;;) {
		int rc = read_taken(f, &taken, &lost);

		if (rc < 0)
			return rc;
		if (sent - *gone <= taken + lost - base + ahead)
			return 0;
		if (pace_now_ns() >= end) {
			*gone = sent - (taken + lost - base);
			return 0;
		}
		nanosleep(&pause, NULL);
	}
}

/*
 * wanted: how many the tunnel must have taken; set to how many it has
 * gently: as few at once as leave the device without load: it then answers those who have no cookie
 */
static int send_hostile(struct flood *f, bool gently, uint64_t *wanted)
{
	struct batch *b = calloc(1, sizeof(*b));
	const struct timespec pause = {.tv_nsec = GENTLE_NS};
	uint64_t base = 0, lost_base = 0, taken = 0, lost, sent = 0, gone = 0;
	int rc = b ? read_taken(f, &base, &lost_base) : -ENOMEM;
	unsigned turn = 0;

	if (rc < 0)
		goto done;
	do {
		for (unsigned at = 0; at < (gently ? BATCH : AHEAD); at += BATCH) {
			struct way *way = &f->ways[turn++ % WAYS];

			batch_init(way, b);
			for (unsigned i = 0; i < BATCH; i++)
				hostile_next(f->hostile, b->heads[i], b->parts[i]);
			sent += batch_send(way, b, BATCH);
		}
		rc = keep_pace(f, base + lost_base, sent, gently ? 0 : AHEAD, &gone);
		if (gently)
			nanosleep(&pause, NULL);
		if (rc == 0)
			rc = read_taken(f, &taken, &lost);
	} while (rc == 0 && taken - base < *wanted);
	if (rc == 0)
		*wanted = taken - base;
done:
	free(b);
	return rc;
}

/* A thread: initiations at FLOOD_RATE until told to stop. */
static void *send_initiations(void *argument)
{
	struct flood *f = argument;
	struct batch *b = calloc(1, sizeof(*b));
	uint64_t begin = pace_now_ns();

	if (!b)
		return NULL;
	batch_init(f->way, b);
	prctl(PR_SET_TIMERSLACK, 1UL);
	setpriority(PRIO_PROCESS, (id_t)gettid(), ATTACKER_NICE);
	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		for (unsigned i = 0; i < BATCH; i++) {
			b->parts[i][0] =
				(struct iovec){f->hostile->forged[(f->sent + i) % HOSTILE_FORGED],
					       WG_INITIATION_SIZE};
			b->messages[i].msg_hdr.msg_iovlen = 1;
			/* The honest end has an address of its own. */
			batch_source(f->way, b, i,
				     f->spoofed ? hostile_random(f->hostile) % SOURCES : 0);
		}
		count(&f->sent, batch_send(f->way, b, BATCH));
		pace_sleep_until_ns(begin + f->sent * UINT64_C(1000000000) / FLOOD_RATE);
	}
	free(b);
	return NULL;
}

/* ---- Set-up ---- */

static ssize_t send_one(const struct flood *f, const void *data, size_t size)
{
	const struct way *way = &f->ways[WAY_4];

	return sendto(way->fd, data, size, 0, &way->to.any, way->to_size);
}

/* The attacker is a peer, too: it has real messages to make others of. */
static int begin_session(struct flood *f)
{
	struct timeval wait = {.tv_usec = 500000};
	uint8_t message[WG_RESPONSE_SIZE], keepalive[WG_DATA_OVERHEAD];
	int fd = f->ways[WAY_4].fd, rc;
	ssize_t n = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	for (unsigned i = 0; i < 5 && !f->client.ready; i++) {
		rc = wgclient_begin(&f->client, f->crypto, f->hostile->initiation);
		if (rc < 0)
			return rc;
		if (send_one(f, f->hostile->initiation, WG_INITIATION_SIZE) < 0)
			return -errno;
		n = recv(fd, message, sizeof(message), 0);
		if (n == WG_RESPONSE_SIZE)
			wgclient_answer(&f->client, f->crypto, message);
	}
	if (!f->client.ready)
		return -ETIMEDOUT;
	wait.tv_usec = 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	rc = hostile_init(f->hostile, &f->client, f->crypto, f->aead);
	if (rc < 0)
		return rc;
	wgclient_seal(&f->client, f->aead, NULL, 0, keepalive);
	send_one(f, keepalive, sizeof(keepalive));
	/* From now on they are replays. */
	for (unsigned i = 0; i < HOSTILE_REAL_DATA; i++)
		send_one(f, f->hostile->data[i], sizeof(f->hostile->data[i]));
	return 0;
}

static int open_way(struct flood *f, unsigned number)
{
	struct way *way = &f->ways[number];
	struct sockaddr_in from4 = {.sin_family = AF_INET, .sin_port = htons(ATTACKER_PORT)};
	struct sockaddr_in6 from6 = {.sin6_family = AF_INET6, .sin6_port = htons(ATTACKER_PORT)};
	int size = SOCKET_BUFFER, on = 1, rc;

	way->flood = f;
	way->fd = netns_socket(f->pair.ns[0], number == WAY_6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
	if (way->fd < 0)
		return way->fd;
	setsockopt(way->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(way->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (number == WAY_6) {
		way->to.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
						   .sin6_port = htons(WGBENCH_PORT)};
		inet_pton(AF_INET6, "fd09::2", &way->to.v6.sin6_addr);
		way->to_size = sizeof(way->to.v6);
		setsockopt(way->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		/* Addresses that have a route only. */
		setsockopt(way->fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
		rc = bind(way->fd, (const struct sockaddr *)&from6, sizeof(from6));
	} else {
		way->to.v4 = (struct sockaddr_in){.sin_family = AF_INET,
						  .sin_port = htons(WGBENCH_PORT)};
		inet_pton(AF_INET, "10.9.0.2", &way->to.v4.sin_addr);
		way->to_size = sizeof(way->to.v4);
		rc = bind(way->fd, (const struct sockaddr *)&from4, sizeof(from4));
	}
	return rc < 0 ? -errno : 0;
}

/* IPv6 beside the link's IPv4, and more addresses for the attacker. */
static int add_addresses(const struct flood *f)
{
	int rc = netns_sh(f->pair.ns[0], "ip addr add fd09::1/64 dev eth0 nodad;"
					 "ip route add local " SOURCE_PREFIX " dev lo;"
					 "ip route add local " SOURCE_PREFIX6 " dev lo");

	return rc ? rc
		  : netns_sh(f->pair.ns[1], "ip addr add fd09::2/64 dev eth0 nodad;"
					    "ip route add " SOURCE_PREFIX " via 10.9.0.1;"
					    "ip route add " SOURCE_PREFIX6 " via fd09::1");
}

static int flood_open(struct flood *f, const struct wgbench_options *o)
{
	char program[512], hex[2 * WG_KEY + 1], lines[256];
	int rc;

	*f = (struct flood){.options = o,
			    .ways = {{.fd = -1}, {.fd = -1}},
			    .hostile = calloc(1, sizeof(*f->hostile))};
	if (!f->hostile)
		return -ENOMEM;
	rc = wg_crypto_create(&f->crypto);
	if (rc == 0)
		rc = wg_aead_create(WG_AEAD_FASTEST, &f->aead);
	if (rc == 0)
		rc = wgbench_key_make(&f->key);
	if (rc == 0)
		rc = wgbench_open(&f->pair,
				  netns_program("sluice-wg", "SLUICE_WG", program, sizeof(program)),
				  0);
	if (rc == 0)
		rc = add_addresses(f);
	if (rc == 0)
		rc = wgclient_init(&f->client, f->crypto, &f->key, f->pair.key[1].public, 77);
	for (unsigned i = 0; rc == 0 && i < WAYS; i++)
		rc = open_way(f, i);
	if (rc != 0)
		return rc;
	wgbench_hex(f->key.public, hex);
	snprintf(lines, sizeof(lines), "public_key=%s\nallowed_ip=10.200.7.7/32\n", hex);
	rc = wgbench_set(&f->pair.end[1], lines);
	if (rc == 0)
		rc = begin_session(f);
	for (unsigned i = 0; rc == 0 && i < WAYS; i++) {
		rc = -pthread_create(&f->ways[i].receiver, NULL, receive, &f->ways[i]);
		f->ways[i].receiving = rc == 0;
	}
	return rc;
}

static void flood_close(struct flood *f)
{
	__atomic_store_n(&f->stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < WAYS; i++) {
		if (f->ways[i].receiving) {
			shutdown(f->ways[i].fd, SHUT_RDWR);
			pthread_join(f->ways[i].receiver, NULL);
		}
		if (f->ways[i].fd >= 0)
			close(f->ways[i].fd);
	}
	wgbench_close(&f->pair);
	wg_aead_destroy(f->aead);
	wg_crypto_destroy(f->crypto);
	free(f->hostile);
}

/* ---- The proofs ---- */

static void report_samples(const struct flood *f, const char *name, const char *unit,
			   const struct samples *samples)
{
	report_line(f->options->json,
		    &(struct report_case){.name = name, .unit = unit, .own = samples});
}

static void report(const struct flood *f, const char *name, const char *unit, double value)
{
	struct samples one = {0};

	samples_add(&one, value);
	report_samples(f, name, unit, &one);
}

static int complain(const char *what)
{
	fprintf(stderr, "sluice-perf wireguard --flood: %s\n", what);
	return -EPROTO;
}

/* Whether an echo comes back through the honest session. */
static bool is_alive(const struct flood *f)
{
	struct wgbench_echo e;

	return wgbench_echo(f->pair.ns[0], WGBENCH_INNER, 20, &e) == 0 && e.lost == 0;
}

static int prove_silence(struct flood *f)
{
	const struct timespec settle = {.tv_nsec = SETTLE_MS * 1000000};
	unsigned long before, after;
	uint64_t first = f->options->datagrams / 10, all = f->options->datagrams;
	uint64_t gentle = all < GENTLE ? all : GENTLE;
	int rc = send_hostile(f, true, &gentle);

	if (rc == 0)
		rc = send_hostile(f, false, &first); /* what it keeps for good, it has then */

	before = wgbench_memory_kb(f->pair.end[1].pid, "VmRSS");
	if (rc == 0)
		rc = send_hostile(f, false, &all);
	after = wgbench_memory_kb(f->pair.end[1].pid, "VmRSS");
	nanosleep(&settle, NULL);
	if (rc < 0)
		return rc;
	report(f, "hostile taken", "count", (double)(gentle + first + all));
	report(f, "hostile answered", "bytes", (double)counted(&f->answers.other_bytes));
	report(f, "hostile cookies", "count", (double)counted(&f->answers.cookies));
	report(f, "hostile memory", "kB", (double)after);
	report(f, "hostile growth", "kB", (double)after - (double)before);
	if (counted(&f->answers.others) > 0)
		return complain("hostile datagrams were answered");
	if (counted(&f->answers.keepalives) > KEEPALIVES_MAX)
		return complain("replayed data was answered");
	if (after > before + GROWTH_MAX_KB)
		return complain("memory grew");
	return is_alive(f) ? 0 : complain("the session is dead after hostile datagrams");
}

/* Where the honest end finds the other, by the way of the attack. */
static const char *endpoint_of(const struct flood *f)
{
	return f->way == &f->ways[WAY_6] ? "[fd09::2]" : "10.9.0.2";
}

/* The honest end forgets its session and begins another. */
static int handshake_ms(struct flood *f, double *ms)
{
	char hex[2 * WG_KEY + 1], lines[512];
	uint64_t before = pace_now_ns();
	struct wgbench_echo e;
	int rc;

	wgbench_hex(f->pair.key[1].public, hex);
	snprintf(lines, sizeof(lines),
		 "public_key=%s\nremove=true\npublic_key=%s\nendpoint=%s:%d\n"
		 "allowed_ip=" WGBENCH_INNER "/32\n",
		 hex, hex, endpoint_of(f), WGBENCH_PORT);
	rc = wgbench_set(&f->pair.end[0], lines);
	while (rc == 0) {
		rc = wgbench_echo(f->pair.ns[0], WGBENCH_INNER, 1, &e);
		if (rc == 0 && e.lost == 0)
			break;
		if (pace_now_ns() - before > 60 * UINT64_C(1000000000))
			return complain("no handshake under load in 60 s");
	}
	*ms = (double)(pace_now_ns() - before) / 1e6;
	return rc;
}

/* What a flood of initiations does; `flood` runs meanwhile. */
static int measure_flood(struct flood *f, const char *what)
{
	const struct rate_course course = {
		.ns = f->pair.ns[0], .address = WGBENCH_INNER, .size = HONEST_SIZE, .flows = 1};
	uint64_t cookies = counted(&f->answers.cookies), begin = pace_now_ns(),
		 sent = counted(&f->sent);
	uint64_t taken = 0, no_room = 0, taken_after = 0, no_room_after = 0;
	char name[WGBENCH_NAME_MAX];
	struct rate_outcome out = {0};
	struct samples handshakes = {0};
	double ms = 0, s;
	int rc = read_taken(f, &taken, &no_room);

	if (rc == 0)
		rc = rate_offer(&course, HONEST_RATE, f->options->ms, &out);
	if (rc == 0)
		rc = read_taken(f, &taken_after, &no_room_after);
	if (rc < 0)
		return rc;
	s = (double)(pace_now_ns() - begin) / 1e9;
	snprintf(name, sizeof(name), "%s loss", what);
	report(f, name, "%", 100 - 100 * out.delivered / out.rate);
	snprintf(name, sizeof(name), "%s p50", what);
	report(f, name, "us", out.p50_us);
	snprintf(name, sizeof(name), "%s offered", what);
	report(f, name, "kpps", (double)(counted(&f->sent) - sent) / s / 1000);
	snprintf(name, sizeof(name), "%s no room", what);
	report(f, name, "kpps", (double)(no_room_after - no_room) / s / 1000);
	snprintf(name, sizeof(name), "%s cookies", what);
	report(f, name, "kpps", (double)(counted(&f->answers.cookies) - cookies) / s / 1000);
	for (unsigned i = 0; rc == 0 && i < f->options->runs; i++) {
		rc = handshake_ms(f, &ms);
		samples_add(&handshakes, ms);
	}
	snprintf(name, sizeof(name), "%s handshake", what);
	if (rc == 0)
		report_samples(f, name, "ms", &handshakes);
	return rc;
}

static int prove_passage(struct flood *f, const char *what, unsigned way, bool spoofed)
{
	unsigned long before = wgbench_memory_kb(f->pair.end[1].pid, "VmRSS"), after;
	char name[WGBENCH_NAME_MAX];
	pthread_t sender;
	double ms;
	int rc;

	if (!options_wanted(f->options->only, what))
		return 0;
	f->way = &f->ways[way];
	f->spoofed = spoofed;
	f->sent = 0;
	rc = handshake_ms(f, &ms); /* in peace, and by this way */
	if (rc < 0)
		return rc;
	rc = -pthread_create(&sender, NULL, send_initiations, f);
	if (rc < 0)
		return rc;
	rc = measure_flood(f, what);
	__atomic_store_n(&f->stop, true, __ATOMIC_RELAXED);
	pthread_join(sender, NULL);
	__atomic_store_n(&f->stop, false, __ATOMIC_RELAXED);
	after = wgbench_memory_kb(f->pair.end[1].pid, "VmRSS");
	snprintf(name, sizeof(name), "%s growth", what);
	report(f, name, "kB", (double)after - (double)before);
	if (counted(&f->answers.others) > 0)
		return complain("forged initiations were answered");
	return rc;
}

int wgbench_flood(const struct wgbench_options *o)
{
	struct flood f;
	int rc = flood_open(&f, o);

	if (rc == 0 && options_wanted(o->only, "hostile"))
		rc = prove_silence(&f);
	if (rc == 0)
		rc = prove_passage(&f, "initiations v4 one source", WAY_4, false);
	if (rc == 0)
		rc = prove_passage(&f, "initiations v4 spoofed", WAY_4, true);
	if (rc == 0)
		rc = prove_passage(&f, "initiations v6 one source", WAY_6, false);
	if (rc == 0)
		rc = prove_passage(&f, "initiations v6 spoofed", WAY_6, true);
	flood_close(&f);
	return rc;
}
