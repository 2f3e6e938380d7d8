/* The in-memory interface, by the rules of tun/nic.h. */
#include "tun/nic_mem.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

TestSuite(tun_nic_mem, .timeout = 60);

static struct nic *open_nic(const char *name, unsigned queues)
{
	struct nic_options options = {
		.name = name, .queues = queues, .port_first = 40000, .slice = 100};
	struct nic *nic = NULL;
	int rc = nic_open(&options, &nic);

	cr_assert_eq(rc, 0, "nic_open: %d", rc);
	return nic;
}

Test(tun_nic_mem, open_checks_its_options)
{
	static const struct {
		const char *name;
		struct nic_options options;
		int rc;
	} cases[] = {
		{"a range", {.name = "eth0", .queues = 2, .port_first = 40000, .slice = 100}, 0},
		{"no range", {.name = "eth0", .queues = 1}, 0},
		{"the last port",
		 {.name = "eth0", .queues = 2, .port_first = 65516, .slice = 10},
		 0},
		{"past the last port",
		 {.name = "eth0", .queues = 2, .port_first = 65517, .slice = 10},
		 -EINVAL},
		{"no queue", {.name = "eth0", .queues = 0}, -EINVAL},
		{"a queue too many", {.name = "eth0", .queues = 65}, -EINVAL},
		{"long name", {.name = "eth4567890123456", .queues = 1}, -ENODEV},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nic *nic = NULL;
		int rc = nic_open(&cases[i].options, &nic);

		cr_expect_eq(rc, cases[i].rc, "%s: %d, expected %d", cases[i].name, rc,
			     cases[i].rc);
		cr_expect_eq(nic != NULL, rc == 0, "%s: out-parameter", cases[i].name);
		nic_close(nic);
	}
}

Test(tun_nic_mem, find_by_name)
{
	struct nic *eth0 = open_nic("eth0", 1);
	struct nic *tun3 = open_nic("tun3", 1);
	struct nic *again;

	cr_expect_eq(nic_mem_find("eth0"), eth0);
	cr_expect_eq(nic_mem_find("tun3"), tun3);
	cr_expect_null(nic_mem_find("eth"));
	cr_expect(nic_is_ethernet(eth0));
	cr_expect(!nic_is_ethernet(tun3));
	again = open_nic("eth0", 1);
	cr_expect_eq(nic_mem_find("eth0"), again, "the newest counts");
	nic_close(again);
	cr_expect_eq(nic_mem_find("eth0"), eth0);
	nic_close(eth0);
	cr_expect_null(nic_mem_find("eth0"));
	cr_expect_eq(nic_mem_find("tun3"), tun3);
	nic_close(tun3);
}

Test(tun_nic_mem, packets_carry_offload_and_next_hop)
{
	static uint8_t in_bytes[BUF_SIZE];
	struct nic *nic = open_nic("eth0", 2);
	struct buf in = {.data = in_bytes};
	struct buf *list[] = {&in};
	struct offload offload = {.flags = OFFLOAD_NEEDS_CSUM, .csum_start = 20, .csum_offset = 6};
	struct offload out_offload;
	uint8_t next_hop[6];
	uint8_t out[64];
	size_t len;

	cr_assert_eq(nic_mem_inject(nic, 1, "packet", 6, &offload), 0);
	cr_expect_eq(nic_recv_burst(nic_queue_at(nic, 0), &in, 1, SIZE_MAX, &(int){0}), 0);
	cr_assert_eq(nic_recv_burst(nic_queue_at(nic, 1), &in, 1, SIZE_MAX, &(int){0}), 1);
	cr_expect_eq(memcmp(&in.offload, &offload, sizeof(offload)), 0);
	memcpy(in.next_hop, "\2\0\0\0\0\7", 6);
	cr_expect_eq(nic_send_burst(nic_queue_at(nic, 1), list, 1), 1);
	cr_expect_eq(nic_mem_take(nic, 0, out, sizeof(out), NULL, NULL), 0);
	len = nic_mem_take(nic, 1, out, sizeof(out), &out_offload, next_hop);
	cr_expect_eq(len, 6, "%zu bytes", len);
	cr_expect_eq(memcmp(out, "packet", 6), 0);
	cr_expect_eq(memcmp(&out_offload, &offload, sizeof(offload)), 0);
	cr_expect_eq(memcmp(next_hop, "\2\0\0\0\0\7", 6), 0);
	nic_close(nic);
}

Test(tun_nic_mem, lost_counts_what_had_no_room)
{
	struct nic *nic = open_nic("eth0", 2);
	struct nic_queue *queue = nic_queue_at(nic, 1);
	static const uint8_t packet[20];
	uint64_t lost;

	for (unsigned i = 0; i < NIC_MEM_DEPTH + 5; i++)
		nic_mem_inject(nic, 1, packet, sizeof(packet), NULL);
	lost = nic_queue_lost(queue);
	cr_expect_eq(lost, 5, "lost %lu", (unsigned long)lost);
	cr_expect_eq(nic_queue_lost(queue), 0, "counted twice");
	cr_expect_eq(nic_queue_lost(nic_queue_at(nic, 0)), 0, "the other queue's");
	nic_close(nic);
}
