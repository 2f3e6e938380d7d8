/* The sockets in memory, by the rules of tun/udp.h. */
#include "tun/udp_mem.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

TestSuite(tun_udp_mem, .timeout = 60);

static struct udp *open_udp(unsigned queues, uint16_t port)
{
	struct udp_options options = {.queues = queues, .port = port};
	struct udp *udp = NULL;
	int rc = udp_open(&options, &udp);

	cr_assert_eq(rc, 0, "udp_open: %d", rc);
	return udp;
}

static struct udp_message message(struct udp *to, uint8_t version, uint8_t *data, uint32_t len)
{
	return (struct udp_message){
		.data = data,
		.len = len,
		.segment = len,
		.endpoint = {.addr = {10, 0, 0, 2}, .port = udp_port(to), .version = version},
		.tos = 2};
}

static uint8_t *memory_of(size_t size)
{
	uint8_t *memory = calloc(1, size);

	cr_assert(memory);
	return memory;
}

Test(tun_udp_mem, what_is_sent_to_a_port_comes_out_there)
{
	static const uint8_t address[16] = {10, 0, 0, 1};
	struct udp *a = open_udp(1, 0), *b = open_udp(1, 0);
	uint8_t *data = memory_of(UDP_MESSAGE_MAX);
	struct udp_message in = {.data = memory_of(UDP_MESSAGE_ROOM)};
	struct udp_message out = message(b, 4, data, UDP_MESSAGE_MAX);
	int fds[2];
	struct pollfd readable = {.events = POLLIN};

	cr_assert_neq(udp_port(a), udp_port(b));
	udp_mem_set_address(a, 4, address);
	udp_queue_fds(udp_queue_at(b, 0), fds);
	readable.fd = fds[0];
	cr_assert_eq(poll(&readable, 1, 0), 0);
	data[7] = 7;
	out.segment = 1452;
	cr_assert_eq(udp_segments(&out), 46);
	cr_assert_eq(udp_send_burst(udp_queue_at(a, 0), &out, 1), 0);
	cr_assert_eq(poll(&readable, 1, 0), 1);
	cr_assert_eq(udp_recv_burst(udp_queue_at(b, 0), &in, 1, 1), 1);
	cr_assert_eq(in.len, UDP_MESSAGE_MAX);
	cr_assert_eq(in.segment, 1452);
	cr_assert_eq(in.tos, 2);
	cr_assert_eq(in.endpoint.port, udp_port(a));
	cr_assert_eq(memcmp(in.endpoint.addr, address, 16), 0);
	cr_assert_eq(memcmp(in.data, data, in.len), 0);
	cr_assert_eq(udp_recv_burst(udp_queue_at(b, 0), &in, 1, 1), 0);
	udp_close(a);
	udp_close(b);
	free(data);
	free(in.data);
}

Test(tun_udp_mem, what_goes_to_nobody_can_be_taken)
{
	struct udp *a = open_udp(1, 51820);
	uint8_t data[3] = {1, 2, 3};
	struct udp_message in = {.data = memory_of(UDP_MESSAGE_ROOM)};
	struct udp_message out = message(a, 6, data, 3);

	cr_assert_eq(udp_port(a), 51820);
	cr_assert_not(udp_mem_take(a, &in));
	out.endpoint.port = 1;
	cr_assert_eq(udp_send_burst(udp_queue_at(a, 0), &out, 1), 0);
	cr_assert(udp_mem_take(a, &in));
	cr_assert_eq(in.endpoint.port, 1);
	cr_assert_eq(in.endpoint.version, 6);
	udp_mem_lose(a, 1);
	cr_assert_eq(udp_send_burst(udp_queue_at(a, 0), &out, 1), 0);
	cr_assert_not(udp_mem_take(a, &in));
	udp_close(a);
	free(in.data);
}

Test(tun_udp_mem, the_index_chooses_the_queue)
{
	struct udp *a = open_udp(3, 0);
	struct udp_message in = {.data = memory_of(UDP_MESSAGE_ROOM)};

	for (unsigned i = 0; i < 32; i++) {
		uint8_t data[32] = {4, 0, 0, 0, (uint8_t)(i * 37), (uint8_t)(i * 91), (uint8_t)i};
		struct udp_message m = message(a, 4, data, sizeof(data));

		cr_assert_eq(udp_mem_inject(a, &m), 0);
		cr_assert_eq(udp_recv_burst(udp_queue_at(a, udp_select(data, 32, 3)), &in, 1, 1),
			     1);
		data[0] = 1;
		cr_assert_eq(udp_mem_inject(a, &m), 0);
		cr_assert_eq(udp_recv_burst(udp_queue_at(a, 0), &in, 1, 1), 1);
	}
	udp_close(a);
	free(in.data);
}

Test(tun_udp_mem, ports_are_taken_and_given_back)
{
	struct udp_options options = {.queues = 1, .port = 7};
	struct udp *a = open_udp(1, 7), *b = NULL;

	cr_assert_eq(udp_open(&options, &b), -EADDRINUSE);
	cr_assert_null(b);
	b = open_udp(1, 0);
	cr_assert_eq(udp_set_port(b, 7), -EADDRINUSE);
	cr_assert_eq(udp_set_port(a, 8), 0);
	cr_assert_eq(udp_port(a), 8);
	cr_assert_eq(udp_set_port(b, 7), 0);
	options.queues = 65;
	cr_assert_eq(udp_open(&options, &a), -EINVAL);
	udp_close(a);
	udp_close(b);
	udp_close(NULL);
}
