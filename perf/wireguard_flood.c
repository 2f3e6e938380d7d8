/*
 * sluice-perf wireguard --flood: what others' traffic does to a tunnel that has a session.
 *
 *     attacker, honest end --- veth --- the tunnel under attack, and a sink behind it
 *
 * First datagrams that no honest peer sends, as fast as they are taken: nothing may be answered but
 * by cookies, memory may not grow, and the session must live. Then initiations at a rate, whose
 * first MAC is right, from one address or each from another: what of the session's traffic is lost?
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
	int fd; /* not connected: it has all addresses */
	struct sockaddr_in to;
	pthread_t receiver;
	bool receiving;
	bool stop;              /* relaxed; the receiver and the sender of initiations */
	struct answers answers; /* relaxed, of the receiver */

	/* Of the sender of initiations. */
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
	struct flood *f = argument;
	uint8_t bytes[BATCH][256];
	struct mmsghdr messages[BATCH];
	struct iovec iov[BATCH];

	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
		messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	for (;;) {
		int n = recvmmsg(f->fd, messages, BATCH, MSG_WAITFORONE | MSG_TRUNC, NULL);

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
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr align;
	} control[BATCH];
	uint8_t heads[BATCH][HOSTILE_SIZE_MAX];
};

static void batch_init(struct flood *f, struct batch *b)
{
	for (unsigned i = 0; i < BATCH; i++)
		b->messages[i].msg_hdr = (struct msghdr){.msg_name = &f->to,
							 .msg_namelen = sizeof(f->to),
							 .msg_iov = b->parts[i],
							 .msg_iovlen = 2};
}

static void batch_source(struct batch *b, unsigned i, uint32_t source)
{
	const struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(source)};
	struct msghdr *m = &b->messages[i].msg_hdr;
	struct cmsghdr *c;

	m->msg_control = b->control[i].bytes;
	m->msg_controllen = sizeof(b->control[i].bytes);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
}

/* Returns: how many the system took. */
static unsigned batch_send(struct flood *f, struct batch *b, unsigned n)
{
	unsigned sent = 0;

	while (sent < n) {
		int rc = sendmmsg(f->fd, b->messages + sent, n - sent, 0);

		if (rc < 0 && errno != EINTR) /* of the one in front: a full queue */
			break;
		sent += rc > 0 ? (unsigned)rc : 0;
	}
	return sent;
}

/* Datagrams that the sockets in the tunnel's namespace have taken, or had no room for. */
static int read_taken(const struct flood *f, uint64_t *taken, uint64_t *lost)
{
	char path[64], line[512];
	unsigned long in, no_port, errors, out, full;
	int rc = -EIO;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/net/snmp", f->pair.end[1].pid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (rc < 0 && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Udp: %lu %lu %lu %lu %lu", &in, &no_port, &errors, &out, &full) !=
		    5)
			continue;
		*taken = in;
		*lost = errors + no_port;
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

	if (rc < 0)
		goto done;
	batch_init(f, b);
	do {
		for (unsigned at = 0; at < (gently ? BATCH : AHEAD); at += BATCH) {
			for (unsigned i = 0; i < BATCH; i++)
				hostile_next(f->hostile, b->heads[i], b->parts[i]);
			sent += batch_send(f, b, BATCH);
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
	batch_init(f, b);
	prctl(PR_SET_TIMERSLACK, 1UL);
	setpriority(PRIO_PROCESS, (id_t)gettid(), ATTACKER_NICE);
	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		for (unsigned i = 0; i < BATCH; i++) {
			b->parts[i][0] =
				(struct iovec){f->hostile->forged[(f->sent + i) % HOSTILE_FORGED],
					       WG_INITIATION_SIZE};
			b->messages[i].msg_hdr.msg_iovlen = 1;
			if (f->spoofed)
				batch_source(b, i,
					     SOURCE_FIRST + hostile_random(f->hostile) % SOURCES);
		}
		count(&f->sent, batch_send(f, b, BATCH));
		pace_sleep_until_ns(begin + f->sent * UINT64_C(1000000000) / FLOOD_RATE);
	}
	free(b);
	return NULL;
}

/* ---- Set-up ---- */

static ssize_t send_one(const struct flood *f, const void *data, size_t size)
{
	return sendto(f->fd, data, size, 0, (const struct sockaddr *)&f->to, sizeof(f->to));
}

/* The attacker is a peer, too: it has real messages to make others of. */
static int begin_session(struct flood *f)
{
	struct timeval wait = {.tv_usec = 500000};
	uint8_t message[WG_RESPONSE_SIZE], keepalive[WG_DATA_OVERHEAD];
	ssize_t n = 0;
	int rc;

	setsockopt(f->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	for (unsigned i = 0; i < 5 && !f->client.ready; i++) {
		rc = wgclient_begin(&f->client, f->crypto, f->hostile->initiation);
		if (rc < 0)
			return rc;
		if (send_one(f, f->hostile->initiation, WG_INITIATION_SIZE) < 0)
			return -errno;
		n = recv(f->fd, message, sizeof(message), 0);
		if (n == WG_RESPONSE_SIZE)
			wgclient_answer(&f->client, f->crypto, message);
	}
	if (!f->client.ready)
		return -ETIMEDOUT;
	wait.tv_usec = 0;
	setsockopt(f->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
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

static int open_socket(struct flood *f)
{
	const struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(ATTACKER_PORT)};
	int size = SOCKET_BUFFER;

	f->fd = netns_socket(f->pair.ns[0], AF_INET, SOCK_DGRAM, 0);
	if (f->fd < 0)
		return f->fd;
	f->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(WGBENCH_PORT)};
	inet_pton(AF_INET, "10.9.0.2", &f->to.sin_addr);
	setsockopt(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(f->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return bind(f->fd, (const struct sockaddr *)&from, sizeof(from)) < 0 ? -errno : 0;
}

static int flood_open(struct flood *f, const struct wgbench_options *o)
{
	char program[512], hex[2 * WG_KEY + 1], lines[256];
	int rc;

	*f = (struct flood){.options = o, .fd = -1, .hostile = calloc(1, sizeof(*f->hostile))};
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
		rc = netns_sh(f->pair.ns[0], "ip route add local " SOURCE_PREFIX " dev lo");
	if (rc == 0)
		rc = netns_sh(f->pair.ns[1], "ip route add " SOURCE_PREFIX " via 10.9.0.1");
	if (rc == 0)
		rc = wgclient_init(&f->client, f->crypto, &f->key, f->pair.key[1].public, 77);
	if (rc == 0)
		rc = open_socket(f);
	if (rc != 0)
		return rc;
	wgbench_hex(f->key.public, hex);
	snprintf(lines, sizeof(lines), "public_key=%s\nallowed_ip=10.200.7.7/32\n", hex);
	rc = wgbench_set(&f->pair.end[1], lines);
	if (rc == 0)
		rc = begin_session(f);
	if (rc == 0)
		rc = -pthread_create(&f->receiver, NULL, receive, f);
	f->receiving = rc == 0;
	return rc;
}

static void flood_close(struct flood *f)
{
	if (f->receiving) {
		__atomic_store_n(&f->stop, true, __ATOMIC_RELAXED);
		shutdown(f->fd, SHUT_RDWR);
		pthread_join(f->receiver, NULL);
	}
	if (f->fd >= 0)
		close(f->fd);
	wgbench_close(&f->pair);
	wg_aead_destroy(f->aead);
	wg_crypto_destroy(f->crypto);
	free(f->hostile);
}

/* ---- The proofs ---- */

static void report(const struct flood *f, const char *name, const char *unit, double value)
{
	struct samples one = {0};

	samples_add(&one, value);
	report_line(f->options->json,
		    &(struct report_case){.name = name, .unit = unit, .own = &one});
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

/* The honest end forgets its session and begins another. */
static int handshake_ms(struct flood *f, double *ms)
{
	char hex[2 * WG_KEY + 1], lines[512];
	uint64_t before = pace_now_ns();
	struct wgbench_echo e;
	int rc;

	wgbench_hex(f->pair.key[1].public, hex);
	snprintf(lines, sizeof(lines),
		 "public_key=%s\nremove=true\npublic_key=%s\nendpoint=10.9.0.2:%d\n"
		 "allowed_ip=" WGBENCH_INNER "/32\n",
		 hex, hex, WGBENCH_PORT);
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
	double ms, s;
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
	rc = handshake_ms(f, &ms);
	snprintf(name, sizeof(name), "%s handshake", what);
	if (rc == 0)
		report(f, name, "ms", ms);
	return rc;
}

static int prove_passage(struct flood *f, const char *what, bool spoofed)
{
	unsigned long before = wgbench_memory_kb(f->pair.end[1].pid, "VmRSS"), after;
	char name[WGBENCH_NAME_MAX];
	pthread_t sender;
	int rc;

	f->spoofed = spoofed;
	f->sent = 0;
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
	if (rc == 0 && options_wanted(o->only, "initiations"))
		rc = prove_passage(&f, "initiations one source", false);
	if (rc == 0 && options_wanted(o->only, "initiations"))
		rc = prove_passage(&f, "initiations spoofed", true);
	flood_close(&f);
	return rc;
}
