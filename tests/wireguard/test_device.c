/* Two devices make sessions and talk. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/wireguard/pair.h"

Test(wireguard_device, a_session_carries_packets_both_ways)
{
	struct pair *p = pair_create();
	const char *texts[PAIR_ENDS] = {"from the initiator", "from the responder"};

	pair_meet(p);
	cr_assert_eq(p->ends[0].sent_by_type[WG_INITIATION], 1);
	cr_assert_eq(p->ends[1].sent_by_type[WG_RESPONSE], 1);
	for (unsigned i = 0; i < PAIR_ENDS; i++) {
		struct pair_end *other = &p->ends[1 - i];

		cr_assert(pair_send(p, i, texts[i], strlen(texts[i])));
		pair_settle(p);
		cr_assert_eq(other->received_len, 32);
		cr_assert_eq(memcmp(other->received_data, texts[i], strlen(texts[i])), 0, "%s",
			     texts[i]);
	}
	pair_destroy(p);
}
