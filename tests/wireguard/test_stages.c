/* What a tunnel's worker says of its time. */
#include "dataplane/stages.h"

#include <criterion/criterion.h>

#include "tests/wireguard/tunnels.h"

TestSuite(wireguard_stages, .timeout = 60);

/* Turns that somebody else's work came between do not count: some are without. */
Test(wireguard_stages, time_is_told_by_stage)
{
	static const enum worker_stage out[] = {STAGE_RECEIVE, STAGE_SPLIT, STAGE_SEAL, STAGE_SEND};
	static const enum worker_stage in[] = {STAGE_TAKE, STAGE_OPEN, STAGE_MERGE, STAGE_WRITE};
	struct packets_spec spec = tunnels_spec(4, PROTO_UDP, 0);
	struct worker_counters c[2] = {0};
	struct tunnels t;

	tunnels_open(&t, &(struct tunnels_options){0});
	while (c[0].timed_out < 10 || c[1].timed_in < 10) {
		tunnels_send(&t, 0, &spec);
		tunnels_turn(&t);
		while (tunnels_take(&t, 1))
			;
		for (unsigned i = 0; i < 2; i++)
			dataplane_read_counters(t.ends[i].dataplane, 0, &c[i]);
	}
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_gt(c[0].stage_ns[out[i]], 0, "%s", dataplane_stage_name(out[i]));
		cr_assert_gt(c[1].stage_ns[in[i]], 0, "%s", dataplane_stage_name(in[i]));
	}
	cr_assert_lt(c[0].timed_out, c[0].egress[0].packets_out);
	tunnels_close(&t);
}
