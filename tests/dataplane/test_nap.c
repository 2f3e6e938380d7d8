/* dataplane/nap.h: small packets that come fast are waited for asleep, others are not. */
#include "dataplane/nap.h"

#include <criterion/criterion.h>

#define MS 1000000u
#define S UINT64_C(1000000000)

static uint64_t now_ns = 5 * S;

/* The nap after so many milliseconds with packets at a rate. */
static uint64_t after(struct nap *n, unsigned ms, unsigned rate, unsigned size)
{
	uint64_t length = nap_length_ns(n, now_ns);

	for (unsigned i = 0; i < ms; i++) {
		nap_count(n, rate / 1000, (uint64_t)rate / 1000 * size);
		now_ns += MS;
		length = nap_length_ns(n, now_ns);
	}
	return length;
}

Test(nap, as_long_as_some_packets_take)
{
	struct nap n = {0};

	cr_assert_eq(after(&n, 2, 80000, 64), S / 80000 * NAP_PACKETS);
	cr_assert_eq(after(&n, 2, 400000, 1400), S / 400000 * NAP_PACKETS);
	cr_assert_eq(after(&n, 2, NAP_RATE, 64), NAP_NS_MAX);
}

Test(nap, not_for_packets_that_come_slowly)
{
	struct nap n = {0};

	cr_assert_eq(after(&n, 2, NAP_RATE - 1000, 64), 0);
	cr_assert_neq(after(&n, 2, NAP_RATE, 64), 0);
	cr_assert_neq(after(&n, 2, NAP_RATE_STAY, 64), 0, "it ended too early");
	cr_assert_eq(after(&n, 1, NAP_RATE_STAY - 1000, 64), 0, "it went on");
	cr_assert_eq(after(&n, 2, NAP_RATE_STAY, 64), 0);
	cr_assert_neq(after(&n, 2, NAP_RATE, 64), 0);
	cr_assert_eq(after(&n, 1, 0, 64), 0);
}

Test(nap, not_for_super_packets)
{
	struct nap n = {0};

	cr_assert_eq(after(&n, 2, 80000, NAP_SIZE), 0);
	cr_assert_neq(after(&n, 2, 80000, NAP_SIZE - 1), 0);
	cr_assert_eq(after(&n, 1, 80000, 65000), 0, "it went on");
}

/* What came in between is what the next look is about, however late it is. */
Test(nap, the_rate_is_that_since_the_last_look)
{
	struct nap n = {0};

	cr_assert_neq(after(&n, 2, 80000, 64), 0);
	nap_count(&n, 80, 80 * 64);
	now_ns += MS / 2;
	cr_assert_neq(nap_length_ns(&n, now_ns), 0, "not yet looked");
	now_ns += S;
	cr_assert_eq(nap_length_ns(&n, now_ns), 0);
}
