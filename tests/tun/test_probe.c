/* The probe of offloads: on the kernel that is there, and on one that is wrong by plan. */
#include "tun/probe.h"

#include "tun/probe_packet.h"
#include "tun/tun.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(tun_probe);

enum {
	ALL = TUN_OFFLOAD_CSUM | TUN_OFFLOAD_TSO4 | TUN_OFFLOAD_TSO6 | TUN_OFFLOAD_USO4 |
	      TUN_OFFLOAD_USO6,
	SUPER = ALL & ~TUN_OFFLOAD_CSUM,
	TCP = TUN_OFFLOAD_TSO4 | TUN_OFFLOAD_TSO6,
};

static bool is_whole(const struct buf *b)
{
	return b->offload.flags & OFFLOAD_NEEDS_CSUM;
}

static void byte_of_payload(struct buf *b)
{
	b->data[b->len - 1] ^= 1;
}

static void byte_lost(struct buf *b)
{
	b->len--;
}

static void sum_of_segment(struct buf *b)
{
	const unsigned ip = b->data[0] >> 4 == 6 ? 40 : 20;
	const bool tcp = b->data[ip == 40 ? 6 : 9] == 6;

	if (!is_whole(b))
		b->data[ip + (tcp ? 16 : 6)] ^= 1;
}

static void pseudo_sum(struct buf *b)
{
	if (is_whole(b))
		b->data[b->offload.csum_start + b->offload.csum_offset] ^= 1;
}

static void sum_not_asked_for(struct buf *b)
{
	b->offload.flags &= (uint8_t)~OFFLOAD_NEEDS_CSUM;
}

static void sum_starts_elsewhere(struct buf *b)
{
	b->offload.csum_start += is_whole(b) ? 2 : 0;
}

static void segment_size(struct buf *b)
{
	b->offload.gso_size += b->offload.gso_size != 0;
}

static void segment_type(struct buf *b)
{
	if (b->offload.gso_type != OFFLOAD_GSO_NONE)
		b->offload.gso_type = OFFLOAD_GSO_UDP;
}

/* With the sum put right, so that nothing but the field is wrong. */
static void sequence(struct buf *b)
{
	const unsigned ip = b->data[0] >> 4 == 6 ? 40 : 20;
	uint8_t *tcp = b->data + ip;

	if (is_whole(b) || b->data[ip == 40 ? 6 : 9] != 6 || tcp[7] == 0xff || tcp[17] == 0)
		return;
	tcp[7]++;
	tcp[17]--;
}

static const struct {
	const char *name;
	void (*change)(struct buf *b);
	unsigned wrong; /* what must be found to be so */
} faults[] = {
	{"a byte of the payload", byte_of_payload, ALL},
	{"a byte lost", byte_lost, ALL},
	{"the sum of a segment", sum_of_segment, ALL},
	{"the sum of a pseudo-header", pseudo_sum, ALL},
	{"a sum that is not asked for", sum_not_asked_for, ALL},
	{"a sum that starts elsewhere", sum_starts_elsewhere, ALL},
	{"the size of segments", segment_size, SUPER},
	{"the type of segments", segment_type, SUPER},
	{"a sequence number", sequence, TCP},
};

struct plan {
	unsigned offloads;
	void (*change)(struct buf *b);
};

static void spoil(void *context, unsigned offload, struct buf *b)
{
	const struct plan *plan = context;

	if (offload & plan->offloads)
		plan->change(b);
}

static unsigned probe(unsigned offloads, void (*change)(struct buf *b))
{
	struct plan plan = {offloads, change};
	const struct probe_fault fault = {spoil, &plan};
	unsigned wrong = 0;
	int rc = probe_offloads(change ? &fault : NULL, &wrong);

	if (rc == -EPERM)
		cr_skip_test("no scratch device may be made here");
	cr_assert_eq(rc, 0, "probe: %s", strerror(-rc));
	return wrong;
}

Test(tun_probe, this_kernel_is_right)
{
	unsigned wrong = probe(0, NULL);

	cr_expect_eq(wrong, 0, "expected none wrong, got bits %#x", wrong);
}

Test(tun_probe, each_fault_is_found)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		unsigned wrong = probe(ALL, faults[i].change);

		cr_expect_eq(wrong, faults[i].wrong, "%s: expected bits %#x, got %#x",
			     faults[i].name, faults[i].wrong, wrong);
	}
}

Test(tun_probe, what_is_right_stays_on)
{
	for (unsigned offload = TUN_OFFLOAD_CSUM; offload & ALL; offload *= 2) {
		unsigned wrong = probe(offload, byte_of_payload);

		cr_expect_eq(wrong, offload, "expected bits %#x, got %#x", offload, wrong);
	}
}
