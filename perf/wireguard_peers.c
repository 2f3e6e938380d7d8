/*
 * One tunnel of ours and many peers, all busy in turn: what comes in from them, what goes out to
 * them, what memory they take, and what configuration costs. The largest number of peers has
 * PREFIXES allowed prefixes between them. All peers are this program, behind one socket.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "perf/netns.h"
#include "perf/pace.h"
#include "perf/wireguard.h"
#include "perf/wireguard_client.h"

enum {
	PEERS_MAX = 1000,
	PREFIXES = 100000,
	BATCH = 64,
	PACKET = 1408, /* inner, a multiple of WG_PADDING */
	MESSAGE = PACKET + WG_DATA_OVERHEAD,
	PORT = 9,
	CLIENT_PORT = 7777,
	BUFFER = 16 << 20,
	TRIES = 5,
	LINE = 64, /* of the control socket's language */
};

#define PEER_FIRST UINT32_C(0x0ac90000)   /* 10.201.0.0/16, one each */
#define PREFIX_FIRST UINT32_C(0x0b000000) /* 11.0.0.0/8, in pieces of 16 addresses */

struct crowd {
	const struct wgbench_options *options;
	unsigned count;
	int ns[2];
	struct wgbench_end end; /* in the second */
	struct wgbench_key key;
	struct wg_crypto *crypto;
	struct wg_aead *aead;
	struct wgclient *clients;
	int fd; /* of all clients */
	struct sockaddr_in to;
	double set_ms;
};

struct crowd_found {
	struct samples in, out, memory, set, change;
};

/* ---- Configuration ---- */

static size_t print_address(char *out, size_t size, uint32_t address, unsigned bits)
{
	int n = snprintf(out, size, "allowed_ip=%u.%u.%u.%u/%u\n", address >> 24,
			 (address >> 16) & 255, (address >> 8) & 255, address & 255, bits);

	return n > 0 ? (size_t)n : 0;
}

/* All peers, in one request. */
static int configure(struct crowd *c)
{
	unsigned more = c->count == PEERS_MAX ? PREFIXES / PEERS_MAX - 1 : 0;
	size_t size = (size_t)(c->count * (more + 4) + 4) * 2 * LINE, used;
	char hex[2 * WG_KEY + 1], *lines = malloc(size);
	uint64_t began;
	int rc = 0;

	if (!lines)
		return -ENOMEM;
	wgbench_hex(c->key.private, hex);
	used = (size_t)snprintf(lines, size, "private_key=%s\nlisten_port=%d\n", hex, WGBENCH_PORT);
	for (unsigned i = 0; rc == 0 && i < c->count; i++) {
		struct wgbench_key key;

		rc = wgbench_key_make(&key);
		if (rc == 0)
			rc = wgclient_init(&c->clients[i], c->crypto, &key, c->key.public, i);
		wgbench_hex(key.public, hex);
		used += (size_t)snprintf(lines + used, size - used, "public_key=%s\n", hex);
		used += print_address(lines + used, size - used, PEER_FIRST + i, 32);
		for (unsigned k = 0; k < more; k++)
			used += print_address(lines + used, size - used,
					      PREFIX_FIRST + 16 * (i * more + k), 28);
	}
	began = pace_now_ns();
	if (rc == 0)
		rc = wgbench_set(&c->end, lines);
	c->set_ms = (double)(pace_now_ns() - began) / 1e6;
	free(lines);
	return rc;
}

/* One prefix more for one peer. */
static int change(struct crowd *c, double *ms)
{
	char hex[2 * WG_KEY + 1], lines[256];
	uint64_t began = pace_now_ns();
	int rc;

	wgbench_hex(c->clients[0].identity.public_key, hex);
	snprintf(lines, sizeof(lines),
		 "public_key=%s\nupdate_only=true\nallowed_ip=10.202.0.0/24\n", hex);
	rc = wgbench_set(&c->end, lines);
	*ms = (double)(pace_now_ns() - began) / 1e6;
	return rc;
}

/* ---- Sessions ---- */

static int send_one(const struct crowd *c, const void *data, size_t size)
{
	return sendto(c->fd, data, size, 0, (const struct sockaddr *)&c->to, sizeof(c->to)) < 0
		       ? -errno
		       : 0;
}

static int begin(struct crowd *c, struct wgclient *client)
{
	uint8_t first[WG_INITIATION_SIZE], answer[WG_RESPONSE_SIZE], last[WG_DATA_OVERHEAD];
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < TRIES && !client->ready; i++) {
		rc = wgclient_begin(client, c->crypto, first);
		if (rc == 0)
			rc = send_one(c, first, sizeof(first));
		while (rc == 0 && !client->ready) {
			ssize_t n = recv(c->fd, answer, sizeof(answer), 0);

			if (n < 0)
				break;
			if (n == WG_RESPONSE_SIZE)
				wgclient_answer(client, c->crypto, answer);
		}
	}
	if (rc == 0 && !client->ready)
		return -ETIMEDOUT;
	wgclient_seal(client, c->aead, NULL, 0, last);
	return rc == 0 ? send_one(c, last, sizeof(last)) : rc;
}

static int open_socket(struct crowd *c)
{
	const struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(CLIENT_PORT)};
	const struct timeval wait = {.tv_usec = 300000};
	int size = BUFFER;

	c->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(WGBENCH_PORT)};
	inet_pton(AF_INET, "10.9.0.2", &c->to.sin_addr);
	c->fd = netns_socket(c->ns[0], AF_INET, SOCK_DGRAM, 0);
	if (c->fd < 0)
		return c->fd;
	setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return bind(c->fd, (const struct sockaddr *)&from, sizeof(from)) < 0 ? -errno : 0;
}

static int crowd_open(struct crowd *c)
{
	char program[512];
	int rc = wg_crypto_create(&c->crypto);

	if (rc == 0)
		rc = wg_aead_create(WG_AEAD_FASTEST, &c->aead);
	if (rc == 0)
		rc = wgbench_link(c->ns);
	if (rc == 0)
		rc = wgbench_key_make(&c->key);
	if (rc == 0)
		rc = wgbench_start(
			c->ns[1], netns_program("sluice-wg", "SLUICE_WG", program, sizeof(program)),
			0, &c->end);
	if (rc == 0)
		rc = open_socket(c);
	if (rc == 0)
		rc = configure(c);
	if (rc == 0)
		rc = netns_sh(c->ns[1],
			      "ip addr add 10.200.0.2/24 dev %s; ip link set %s up mtu %d; "
			      "ip route add 10.201.0.0/16 dev %s",
			      c->end.interface, c->end.interface, WGBENCH_MTU, c->end.interface);
	for (unsigned i = 0; rc == 0 && i < c->count; i++)
		rc = begin(c, &c->clients[i]);
	return rc;
}

static void crowd_close(struct crowd *c)
{
	netns_stop(c->end.pid);
	for (unsigned i = 0; i < 2; i++)
		if (c->ns[i] > 0)
			close(c->ns[i]);
	if (c->fd > 0)
		close(c->fd);
	wg_aead_destroy(c->aead);
	wg_crypto_destroy(c->crypto);
	free(c->clients);
}

/* ---- Traffic ---- */

/* Bytes that the tunnel has brought in: it may bring many packets as one. */
static uint64_t bytes_in(const struct crowd *c)
{
	char path[64], line[512], *at;
	uint64_t bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/net/dev", c->end.pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		at = strstr(line, c->end.interface);
		if (at)
			bytes = strtoull(at + strlen(c->end.interface) + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return bytes;
}

static void make_packet(uint32_t source, uint8_t out[PACKET])
{
	struct iphdr ip = {.version = 4,
			   .ihl = 5,
			   .tot_len = htons(PACKET),
			   .ttl = 64,
			   .protocol = IPPROTO_UDP,
			   .saddr = htonl(source)};
	struct udphdr udp = {
		.source = htons(PORT), .dest = htons(PORT), .len = htons(PACKET - sizeof(ip))};
	uint16_t words[sizeof(ip) / 2];
	uint32_t sum = 0;

	inet_pton(AF_INET, WGBENCH_INNER, &ip.daddr);
	memcpy(words, &ip, sizeof(ip));
	for (unsigned i = 0; i < sizeof(ip) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	ip.check = (uint16_t) ~(sum + (sum >> 16));
	memset(out, 0, PACKET);
	memcpy(out, &ip, sizeof(ip));
	memcpy(out + sizeof(ip), &udp, sizeof(udp));
}

/* All peers in turn, as fast as can be; returns thousands of packets a second that got in. */
static double run_in(struct crowd *c)
{
	static uint8_t messages[BATCH][MESSAGE];
	uint8_t packet[PACKET];
	struct mmsghdr headers[BATCH];
	struct iovec iov[BATCH];
	uint64_t before = bytes_in(c), began = pace_now_ns(), now, next = 0;

	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){messages[i], MESSAGE};
		headers[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &c->to,
							  .msg_namelen = sizeof(c->to),
							  .msg_iov = &iov[i],
							  .msg_iovlen = 1}};
	}
	do {
		for (unsigned i = 0; i < BATCH; i++, next++) {
			unsigned peer = (unsigned)(next % c->count);

			make_packet(PEER_FIRST + peer, packet);
			wgclient_seal(&c->clients[peer], c->aead, packet, PACKET, messages[i]);
		}
		sendmmsg(c->fd, headers, BATCH, 0);
		now = pace_now_ns();
	} while (now - began < c->options->ms * UINT64_C(1000000));
	return (double)(bytes_in(c) - before) / PACKET / ((double)(now - began) / 1e6);
}

static unsigned drain(const struct crowd *c)
{
	static uint8_t bytes[BATCH][64];
	struct mmsghdr headers[BATCH];
	struct iovec iov[BATCH];
	unsigned count = 0;

	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
		headers[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	for (int n; (n = recvmmsg(c->fd, headers, BATCH, MSG_DONTWAIT, NULL)) > 0;)
		count += (unsigned)n;
	return count;
}

/* The same to them, through the tunnel's interface. */
static double run_out(struct crowd *c, int fd)
{
	static const uint8_t payload[PACKET - sizeof(struct iphdr) - sizeof(struct udphdr)];
	uint64_t began = pace_now_ns(), now, next = 0, count = 0;
	struct sockaddr_in to[BATCH];
	struct mmsghdr headers[BATCH];
	struct iovec iov = {(void *)payload, sizeof(payload)};

	drain(c);
	do {
		for (unsigned i = 0; i < BATCH; i++, next++) {
			to[i] = (struct sockaddr_in){
				.sin_family = AF_INET,
				.sin_port = htons(PORT),
				.sin_addr.s_addr = htonl(PEER_FIRST + (uint32_t)(next % c->count))};
			headers[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &to[i],
								  .msg_namelen = sizeof(to[i]),
								  .msg_iov = &iov,
								  .msg_iovlen = 1}};
		}
		sendmmsg(fd, headers, BATCH, 0);
		count += drain(c);
		now = pace_now_ns();
	} while (now - began < c->options->ms * UINT64_C(1000000));
	return (double)count / ((double)(now - began) / 1e6);
}

static int measure(const struct wgbench_options *o, unsigned count, struct crowd_found *found)
{
	struct crowd c = {.options = o, .count = count};
	double ms = 0;
	int fd = -1, rc;

	c.clients = calloc(count, sizeof(*c.clients));
	rc = c.clients ? crowd_open(&c) : -ENOMEM;
	if (rc == 0)
		fd = netns_socket(c.ns[1], AF_INET, SOCK_DGRAM, 0);
	if (rc == 0)
		rc = fd < 0 ? fd
			    : netns_sh(c.ns[1],
				       "nft 'table ip t { chain c { type filter hook "
				       "input priority 0; udp dport %d drop; }; }'",
				       PORT);
	if (rc == 0) {
		samples_add(&found->in, run_in(&c));
		samples_add(&found->out, run_out(&c, fd));
		rc = change(&c, &ms);
		samples_add(&found->change, ms);
		samples_add(&found->set, c.set_ms);
		samples_add(&found->memory, (double)wgbench_memory_kb(c.end.pid, "VmHWM") / 1000);
	}
	if (fd >= 0)
		close(fd);
	crowd_close(&c);
	return rc;
}

static void report(const struct wgbench_options *o, unsigned count, const char *what,
		   const char *unit, const struct samples *samples)
{
	char name[WGBENCH_NAME_MAX];

	snprintf(name, sizeof(name), "peers %u %s", count, what);
	report_line(o->json, &(struct report_case){.name = name, .unit = unit, .own = samples});
}

int wgbench_peers(const struct wgbench_options *o)
{
	static const unsigned counts[] = {1, 100, PEERS_MAX};
	enum { COUNTS = sizeof(counts) / sizeof(counts[0]) };
	struct crowd_found found[COUNTS] = {0};
	int rc = 0;

	if (!options_wanted(o->only, "peers"))
		return 0;
	for (unsigned run = 0; rc == 0 && run < o->runs; run++)
		for (unsigned i = 0; rc == 0 && i < COUNTS; i++)
			rc = measure(o, counts[i], &found[i]);
	for (unsigned i = 0; rc == 0 && i < COUNTS; i++) {
		report(o, counts[i], "in", "kpps", &found[i].in);
		report(o, counts[i], "out", "kpps", &found[i].out);
		report(o, counts[i], "memory", "MB", &found[i].memory);
		report(o, counts[i], "set", "ms", &found[i].set);
		report(o, counts[i], "change", "ms", &found[i].change);
	}
	return rc;
}
