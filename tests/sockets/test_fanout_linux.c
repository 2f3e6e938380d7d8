/*
 * tun/bpf/fanout.c in the running kernel, beside the classic program that takes its place where no
 * BPF may be loaded: both say the same of every packet.
 */
#include "tun/fanout_linux.h"

#include "tests/model/bpf.h"
#include "tests/model/outside.h"
#include "tun/bpf_linux.h"
#include "tun/nic_filter_linux.h"

#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>

TestSuite(tun_fanout);

enum {
	QUEUES = 4,
	FIRST = 40000,
	SLICE = 5000,
	END = FIRST + QUEUES * SLICE,
};

struct programs {
	int program; /* in the kernel */
	struct bpf_object *object;
	struct sock_filter code[NIC_FILTER_MAX];
	unsigned count;
};

/* Behind room for an Ethernet header: the kernel takes one off before it runs the program. */
static uint8_t frame[ETH_HLEN + BUF_SIZE];

static void open_programs(struct programs *p)
{
	const struct fanout_slices slices = {FIRST, SLICE, QUEUES};

	p->program = fanout_load(&slices, &p->object);
	if (p->program == -EPERM || p->program == -EACCES)
		cr_skip_test("no BPF may be loaded here");
	cr_assert_geq(p->program, 0, "%s", strerror(-p->program));
	p->count = nic_filter_fanout(p->code, FIRST, SLICE, QUEUES);
}

static uint32_t run_kernel(const struct programs *p, size_t len, bool v4)
{
	struct bpf_test_run_opts options = {
		.sz = sizeof(options),
		.data_in = frame,
		.data_size_in = (uint32_t)(ETH_HLEN + len),
		.repeat = 1,
	};
	int rc;

	memset(frame, 2, ETH_HLEN);
	frame[12] = v4 ? 0x08 : 0x86;
	frame[13] = v4 ? 0x00 : 0xdd;
	rc = bpf_prog_test_run_opts(p->program, &options);
	cr_assert_eq(rc, 0, "%zu bytes: %s", len, strerror(-rc));
	return options.retval;
}

static uint32_t run_classic(const struct programs *p, size_t len, bool v4)
{
	const struct bpf_packet packet = {
		.bytes = frame + ETH_HLEN,
		.len = len,
		.protocol = v4 ? ETH_P_IP : ETH_P_IPV6,
		.type = PACKET_HOST,
	};

	return bpf_run(p->code, p->count, &packet);
}

static void compare(const struct programs *p, size_t len, bool v4, const char *name, unsigned port)
{
	uint32_t kernel = run_kernel(p, len, v4);
	uint32_t classic = run_classic(p, len, v4);

	cr_expect_eq(kernel, classic, "%s, port %u, %zu bytes: queue %u, and %u by the classic one",
		     name, port, len, kernel, classic);
}

Test(tun_fanout, same_queue_by_both)
{
	static const uint16_t ports[] = {
		0, 53, FIRST - 1, FIRST, FIRST + SLICE, FIRST + 3 * SLICE - 1, END - 1, END, 65535};
	struct programs p;

	open_programs(&p);
	for (size_t k = 0; k < outside_kind_count; k++) {
		const struct outside_kind *kind = &outside_kinds[k];

		for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
			size_t len = outside_build(kind, ports[i], frame + ETH_HLEN);
			bool v4 = kind->outer.version == 4;
			bool inside = kind->accepted && ports[i] >= FIRST && ports[i] < END;

			compare(&p, len, v4, kind->name, ports[i]);
			if (inside)
				cr_expect_eq(run_kernel(&p, len, v4), (ports[i] - FIRST) / SLICE,
					     "%s, port %u", kind->name, ports[i]);
		}
	}
	bpf_unload(p.object);
}

/* Cut anywhere. */
Test(tun_fanout, short_packets)
{
	struct programs p;

	open_programs(&p);
	for (size_t k = 0; k < outside_kind_count; k++) {
		const struct outside_kind *kind = &outside_kinds[k];
		bool v4 = kind->outer.version == 4;
		size_t len = outside_build(kind, FIRST + 2 * SLICE, frame + ETH_HLEN);

		for (; len > (v4 ? 20 : 40); len--)
			compare(&p, len, v4, kind->name, FIRST + 2 * SLICE);
	}
	bpf_unload(p.object);
}

Test(tun_fanout, fragments_of_ipv6)
{
	struct packets_spec spec = {.version = 6,
				    .proto = IPPROTO_UDP,
				    .payload = 64,
				    .fragment = true,
				    .fragment_size = 16};
	struct programs p;

	open_programs(&p);
	for (unsigned id = 0; id < 200; id++) {
		spec.id = (uint16_t)(id * 331);
		spec.ext_count = id % 4;
		memset(spec.ext, 60, sizeof(spec.ext));
		spec.dst[15] = (uint8_t)(id * 7);
		spec.dst_port = (uint16_t)(FIRST + id * 100);
		for (spec.fragment_from = 0; spec.fragment_from < 64; spec.fragment_from += 16) {
			struct buf buf = {.data = frame + ETH_HLEN};

			packets_build(&spec, &buf);
			compare(&p, buf.len, false, "fragment", spec.dst_port);
		}
	}
	bpf_unload(p.object);
}
