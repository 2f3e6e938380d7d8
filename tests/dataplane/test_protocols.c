/* What is neither TCP nor UDP nor an echo, and what stands before them. */
#include <criterion/criterion.h>

#include "dataplane/packet.h"
#include "tests/dataplane/bench.h"

Test(dataplane_protocols, protocols_without_ports_are_refused)
{
	static const uint8_t protos[] = {47, 50, 51, 132, 4, 41, 136, 255};

	for (unsigned i = 0; i < 2 * sizeof(protos); i++) {
		struct packets_spec spec =
			i & 1 ? bench_spec(protos[i / 2], "fd00::2", "2001:db8:51::9")
			      : bench_spec(protos[i / 2], "10.0.0.2", "198.51.100.7");
		const uint8_t *icmp;
		struct bench b;

		bench_open(&b, &(struct bench_options){0});
		bench_send(&b, &spec);
		cr_expect_not(bench_take_nic(&b, BENCH_DIRECT), "protocol %u", protos[i / 2]);
		cr_assert(bench_take_tun(&b), "no answer");
		icmp = b.out.data + b.packet.l4_offset;
		cr_expect(i & 1 ? icmp[0] == 1 && icmp[1] == 1 : icmp[0] == 3 && icmp[1] == 13);
		cr_expect_eq(bench_drops(&b, REASON_PROTOCOL), 1);
		bench_wait(&b, 10);
		cr_expect_eq(bench_flows(&b), 0);
		bench_close(&b);
	}
}

/* Extension headers are passed over, both ways. */
Test(dataplane_protocols, protocols_behind_extension_headers)
{
	struct packets_spec spec = bench_spec(PROTO_UDP, "fd00::2", "2001:db8:51::9"), answer;
	struct bench b;

	spec.ext[0] = 0;
	spec.ext[1] = 60;
	spec.ext_count = 2;
	bench_open(&b, &(struct bench_options){0});
	bench_send(&b, &spec);
	cr_assert(bench_take_nic(&b, BENCH_DIRECT));
	cr_expect(bench_is(b.packet.key.src, "2001:db8:2::1"));
	answer = bench_answer(&b, 0);
	answer.ext[0] = 60;
	answer.ext_count = 1;
	bench_receive(&b, BENCH_DIRECT, &answer);
	cr_assert(bench_take_tun(&b));
	cr_expect_eq(b.packet.key.dst_port, 1234);
	bench_close(&b);
}
