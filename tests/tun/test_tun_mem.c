/* The in-memory TUN, by the rules of tun/tun.h, and the queues it is made of. */
#include "tun/tun_mem.h"

#include "tun/pipe_mem.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

TestSuite(tun_tun_mem, .timeout = 60);

enum {
	BURST = 32,
};

static const struct tun_options two_queues = {.name = "tun7", .queues = 2, .fd = -1};

struct burst {
	struct buf bufs[BURST];
	struct buf *list[BURST];
};

static struct burst *burst_create(void)
{
	struct burst *b = calloc(1, sizeof(*b));

	cr_assert(b);
	for (unsigned i = 0; i < BURST; i++) {
		b->bufs[i].data = malloc(BUF_SIZE);
		cr_assert(b->bufs[i].data);
		b->list[i] = &b->bufs[i];
	}
	return b;
}

static void burst_destroy(struct burst *b)
{
	for (unsigned i = 0; i < BURST; i++)
		free(b->bufs[i].data);
	free(b);
}

static struct tun *open_two(void)
{
	struct tun *tun = NULL;
	int rc = tun_open(&two_queues, &tun);

	cr_assert_eq(rc, 0, "tun_open: %d", rc);
	return tun;
}

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* Bytes by which a packet is known again. */
static void fill(uint8_t *out, size_t len, unsigned number)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8));
}

Test(tun_tun_mem, open_checks_its_options)
{
	static const struct {
		const char *name;
		struct tun_options options;
		int rc;
	} cases[] = {
		{"one queue", {.name = "tun0", .queues = 1, .fd = -1}, 0},
		{"most queues", {.name = "tun0", .queues = TUN_QUEUES_MAX, .fd = -1}, 0},
		{"no name", {.queues = 1, .fd = -1}, 0},
		{"persistent", {.name = "tun0", .queues = 1, .persist = true, .fd = -1}, 0},
		{"no queue", {.name = "tun0", .queues = 0, .fd = -1}, -EINVAL},
		{"a queue too many",
		 {.name = "tun0", .queues = TUN_QUEUES_MAX + 1, .fd = -1},
		 -EINVAL},
		{"long name", {.name = "tun4567890123456", .queues = 1, .fd = -1}, -EINVAL},
		{"longest name", {.name = "tun456789012345", .queues = 1, .fd = -1}, 0},
		{"a descriptor", {.name = "tun0", .queues = 1, .fd = 0}, -ENOTSUP},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tun *tun = NULL;
		int rc = tun_open(&cases[i].options, &tun);

		cr_expect_eq(rc, cases[i].rc, "%s: %d, expected %d", cases[i].name, rc,
			     cases[i].rc);
		cr_expect_eq(tun != NULL, rc == 0, "%s: out-parameter", cases[i].name);
		if (tun) {
			cr_expect_eq(tun_queue_count(tun), cases[i].options.queues);
			cr_expect_eq(tun_unpersist(tun), 0);
		}
		tun_close(tun);
	}
}

static const size_t lens[] = {1, 20, 64, 1500, 2047, 2048, 2049, 9000, 65535, BUF_SIZE};

enum {
	LENS = sizeof(lens) / sizeof(lens[0]),
	ROUNDS = 3 * TUN_MEM_DEPTH / LENS, /* every slot is used again, with another packet */
};

static uint8_t sent[BUF_SIZE];
static uint8_t back[BUF_SIZE];

static void inject_numbered(struct tun *tun, unsigned number)
{
	const size_t len = lens[number % LENS];
	const struct offload offload = {.gso_type = OFFLOAD_GSO_TCPV4, .gso_size = 1 + number};

	fill(sent, len, number);
	cr_assert_eq(tun_mem_inject(tun, 1, sent, len, number % 3 == 0 ? &offload : NULL), 0);
}

static void take_numbered(struct tun *tun, unsigned number)
{
	const unsigned gso_size = number % 3 == 0 ? 1 + number : 0;
	struct offload offload;
	size_t len = tun_mem_take(tun, 1, back, sizeof(back), &offload);

	fill(sent, lens[number % LENS], number);
	cr_assert_eq(len, lens[number % LENS], "packet %u: %zu bytes, expected %zu", number, len,
		     lens[number % LENS]);
	cr_expect_eq(memcmp(back, sent, len), 0, "packet %u: other bytes", number);
	cr_expect_eq(offload.gso_size, gso_size, "packet %u: gso_size %u, expected %u", number,
		     offload.gso_size, gso_size);
}

Test(tun_tun_mem, packets_keep_order_bytes_and_offload)
{
	struct burst *b = burst_create();
	struct tun *tun = open_two();
	struct tun_queue *queue = tun_queue_at(tun, 1);
	int error = 1;

	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned got;

		for (unsigned i = 0; i < LENS; i++)
			inject_numbered(tun, round * LENS + i);
		got = tun_recv_burst(tun_queue_at(tun, 0), b->bufs, BURST, SIZE_MAX, &error);
		cr_expect_eq(got, 0, "%u on the other queue", got);
		got = tun_recv_burst(queue, b->bufs, BURST, SIZE_MAX, &error);
		cr_assert_eq(got, LENS, "received %u", got);
		got = tun_send_burst(queue, b->list, got);
		cr_assert_eq(got, LENS, "sent %u", got);
		for (unsigned i = 0; i < LENS; i++)
			take_numbered(tun, round * LENS + i);
	}
	cr_expect_eq(error, 1, "error_out was written: %d", error);
	cr_expect_eq(tun_mem_take(tun, 1, back, sizeof(back), NULL), 0);
	tun_close(tun);
	burst_destroy(b);
}

Test(tun_tun_mem, bounds)
{
	struct burst *b = burst_create();
	struct tun *tun = open_two();
	struct tun_queue *queue = tun_queue_at(tun, 0);
	static const uint8_t packet[BUF_SIZE + 1];
	uint8_t cut[8];
	unsigned taken = 0;

	cr_expect_eq(tun_mem_inject(tun, 0, packet, 0, NULL), -EINVAL);
	cr_expect_eq(tun_mem_inject(tun, 0, packet, BUF_SIZE + 1, NULL), -EMSGSIZE);
	for (unsigned i = 0; i < TUN_MEM_DEPTH; i++)
		cr_assert_eq(tun_mem_inject(tun, 0, packet, 20, NULL), 0, "packet %u", i);
	cr_expect_eq(tun_mem_inject(tun, 0, packet, 20, NULL), -ENOBUFS);
	cr_expect_eq(tun_recv_burst(queue, b->bufs, 1, SIZE_MAX, &(int){0}), 1);
	cr_expect_eq(tun_mem_inject(tun, 0, packet, 20, NULL), 0);
	cr_expect_eq(tun_mem_inject(tun, 0, packet, 20, NULL), -ENOBUFS);

	for (unsigned i = 0; i < BURST; i++)
		b->bufs[i].len = 20;
	for (unsigned i = 0; i < TUN_MEM_DEPTH / BURST + 1; i++)
		taken += tun_send_burst(queue, b->list, BURST);
	cr_expect_eq(taken, TUN_MEM_DEPTH, "%u taken", taken);

	/* A packet longer than the taker's room is cut, and says how long it was. */
	memset(cut, 0xaa, sizeof(cut));
	cr_expect_eq(tun_mem_take(tun, 0, cut, 4, NULL), 20);
	cr_expect_eq(cut[4], 0xaa);
	tun_close(tun);
	burst_destroy(b);
}

Test(tun_tun_mem, burst_stops_after_the_packet_that_passes_bytes_max)
{
	static const struct {
		unsigned n;
		size_t bytes_max;
		unsigned want;
	} cases[] = {
		{10, SIZE_MAX, 10}, {3, SIZE_MAX, 3}, {10, 0, 1},     {10, 99, 1},
		{10, 100, 2},       {10, 250, 3},     {10, 1000, 10}, {0, SIZE_MAX, 0},
	};
	struct burst *b = burst_create();
	static const uint8_t packet[100];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tun *tun = open_two();
		unsigned got;

		for (unsigned k = 0; k < 10; k++)
			tun_mem_inject(tun, 0, packet, sizeof(packet), NULL);
		got = tun_recv_burst(tun_queue_at(tun, 0), b->bufs, cases[i].n, cases[i].bytes_max,
				     &(int){0});
		cr_expect_eq(got, cases[i].want, "n %u, bytes_max %zu: %u, expected %u", cases[i].n,
			     cases[i].bytes_max, got, cases[i].want);
		tun_close(tun);
	}
	burst_destroy(b);
}

Test(tun_tun_mem, descriptor_is_readable_while_packets_wait)
{
	struct burst *b = burst_create();
	struct tun *tun = open_two();
	struct tun_queue *queue = tun_queue_at(tun, 0);
	const int fd = tun_queue_fd(queue);
	static const uint8_t packet[40];

	cr_expect(!is_readable(fd), "readable when new");
	for (unsigned round = 0; round < 3; round++) {
		tun_mem_inject(tun, 0, packet, sizeof(packet), NULL);
		tun_mem_inject(tun, 0, packet, sizeof(packet), NULL);
		cr_expect(is_readable(fd), "round %u: asleep with two packets", round);
		cr_expect_eq(tun_recv_burst(queue, b->bufs, 1, SIZE_MAX, &(int){0}), 1);
		cr_expect(is_readable(fd), "round %u: asleep with one packet", round);
		cr_expect_eq(tun_recv_burst(queue, b->bufs, BURST, SIZE_MAX, &(int){0}), 1);
		cr_expect_eq(tun_recv_burst(queue, b->bufs, BURST, SIZE_MAX, &(int){0}), 0);
		cr_expect(!is_readable(fd), "round %u: readable when empty", round);
	}
	cr_expect(!is_readable(tun_queue_fd(tun_queue_at(tun, 1))), "the other queue woke");
	tun_close(tun);
	burst_destroy(b);
}

enum {
	STREAM_PACKETS = 200000,
};

struct stream {
	struct tun *tun;
	unsigned long refused;
};

/* Puts numbered packets of many lengths, as fast as there is room. */
static void *feed(void *arg)
{
	struct stream *s = arg;
	static uint8_t packet[4096];

	for (uint32_t i = 0; i < STREAM_PACKETS;) {
		size_t len = sizeof(i) + i % 3000;

		memcpy(packet, &i, sizeof(i));
		if (tun_mem_inject(s->tun, 0, packet, len, NULL) == 0) {
			i++;
		} else {
			s->refused++;
			sched_yield();
		}
	}
	return NULL;
}

/* Two threads, and a taker that sleeps on the descriptor: no packet lost, none twice, no hang. */
Test(tun_tun_mem, threads)
{
	struct burst *b = burst_create();
	struct stream s = {.tun = open_two()};
	struct tun_queue *queue = tun_queue_at(s.tun, 0);
	struct pollfd wait = {.fd = tun_queue_fd(queue), .events = POLLIN};
	uint32_t next = 0;
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, feed, &s), 0);
	while (next < STREAM_PACKETS) {
		unsigned got = tun_recv_burst(queue, b->bufs, BURST, SIZE_MAX, &(int){0});

		for (unsigned i = 0; i < got; i++, next++) {
			uint32_t number;

			memcpy(&number, b->bufs[i].data, sizeof(number));
			cr_assert_eq(number, next, "packet %u came as %u", number, next);
			cr_assert_eq(b->bufs[i].len, sizeof(number) + next % 3000,
				     "packet %u has %u bytes", next, b->bufs[i].len);
		}
		if (got == 0)
			cr_assert_eq(poll(&wait, 1, 10000), 1, "asleep at packet %u", next);
	}
	pthread_join(thread, NULL);
	tun_close(s.tun);
	burst_destroy(b);
}
