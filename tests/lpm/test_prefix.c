/* The text and the arithmetic of addresses and prefixes. */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "lpm/prefix.h"
#include "tests/model/lpm_model.h"

/* text -> canonical text, or NULL where it must be refused. */
static const struct {
	const char *text;
	const char *canonical;
	int rc;
	bool masked;
} prefix_cases[] = {
	{"0.0.0.0/0", "0.0.0.0/0", 0, false},
	{"255.255.255.255", "255.255.255.255/32", 0, false},
	{"192.0.2.1/24", "192.0.2.0/24", 0, true},
	{"192.0.2.1/32", "192.0.2.1/32", 0, false},
	{"192.0.2.1/0", "0.0.0.0/0", 0, true},
	{"192.0.2.0/33", NULL, -ERANGE, false},
	{"192.0.2.0/4294967320", NULL, -ERANGE, false}, /* 24 in 32 bits */
	{"192.0.2.0/99999999999999999999999999", NULL, -ERANGE, false},
	{"192.0.2.0/", NULL, -EINVAL, false},
	{"192.0.2.0/024", NULL, -EINVAL, false},
	{"192.0.2.0/00", NULL, -EINVAL, false},
	{"192.0.2.0/+8", NULL, -EINVAL, false},
	{"192.0.2.0/-1", NULL, -EINVAL, false},
	{"192.0.2.0/ 8", NULL, -EINVAL, false},
	{"192.0.2.0/8x", NULL, -EINVAL, false},
	{"192.0.2.0/99x", NULL, -EINVAL, false},
	{"192.0.2.0/8/8", NULL, -EINVAL, false},
	{"/8", NULL, -EINVAL, false},
	{"", NULL, -EINVAL, false},
	{"192.0.2", NULL, -EINVAL, false},
	{"192.0.2.", NULL, -EINVAL, false},
	{"192.0.2.1.", NULL, -EINVAL, false},
	{"192.0.2.1.1", NULL, -EINVAL, false},
	{"192.0..1", NULL, -EINVAL, false},
	{".192.0.2.1", NULL, -EINVAL, false},
	{"192.0.2.256", NULL, -EINVAL, false},
	{"192.0.2.1000", NULL, -EINVAL, false},
	{"010.0.0.1", NULL, -EINVAL, false},
	{"10.0.0.01", NULL, -EINVAL, false},
	{"10.00.0.1", NULL, -EINVAL, false},
	{"0x0a.0.0.1", NULL, -EINVAL, false},
	{"+1.0.0.1", NULL, -EINVAL, false},
	{" 1.0.0.1", NULL, -EINVAL, false},
	{"1.0.0.1 ", NULL, -EINVAL, false},
	{"16909060", NULL, -EINVAL, false},
	{"::/0", "::/0", 0, false},
	{"::", "::/128", 0, false},
	{"::1", "::1/128", 0, false},
	{"1::", "1::/128", 0, false},
	{"2001:DB8::/32", "2001:db8::/32", 0, false},
	{"2001:db8::1/64", "2001:db8::/64", 0, true},
	{"2001:db8::1/127", "2001:db8::/127", 0, true},
	{"2001:db8::1/128", "2001:db8::1/128", 0, false},
	{"2001:db8::1/0", "::/0", 0, true},
	{"2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1/128", 0, false},
	{"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1/128", 0, false},
	{"2001:0:0:1:0:0:0:1", "2001:0:0:1::1/128", 0, false},
	{"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1/128", 0, false},
	{"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0/128", 0, false},
	{"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8/128", 0, false},
	{"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::/128", 0, false},
	{"0:0:3:4:5:6:7:8", "::3:4:5:6:7:8/128", 0, false},
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
	 0, false},
	{"::ffff:1.2.3.4", "::ffff:1.2.3.4/128", 0, false},
	{"::ffff:0102:0304", "::ffff:1.2.3.4/128", 0, false},
	{"::1.2.3.4", "::102:304/128", 0, false},
	{"64:ff9b::192.0.2.1/96", "64:ff9b::/96", 0, true},
	{"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304/128", 0, false},
	{"2001:db8::/129", NULL, -ERANGE, false},
	{"2001:db8::/", NULL, -EINVAL, false},
	{":", NULL, -EINVAL, false},
	{":::", NULL, -EINVAL, false},
	{":1", NULL, -EINVAL, false},
	{"1:", NULL, -EINVAL, false},
	{"1:2:3:4:5:6:7", NULL, -EINVAL, false},
	{"1:2:3:4:5:6:7:", NULL, -EINVAL, false},
	{"1:2:3:4:5:6:7:8:", NULL, -EINVAL, false},
	{"1:2:3:4:5:6:7:8:9", NULL, -EINVAL, false},
	{"1:2:3:4:5:6:7:8::", NULL, -EINVAL, false},
	{"1:2:3:4::5:6:7:8", NULL, -EINVAL, false},
	{"1::2::3", NULL, -EINVAL, false},
	{"1:::2", NULL, -EINVAL, false},
	{"12345::", NULL, -EINVAL, false},
	{"g::", NULL, -EINVAL, false},
	{"fe80::1%eth0", NULL, -EINVAL, false},
	{"[::1]", NULL, -EINVAL, false},
	{"::1.2.3", NULL, -EINVAL, false},
	{"::01.2.3.4", NULL, -EINVAL, false},
	{"::1.2.3.4:5", NULL, -EINVAL, false},
	{"1:2:3:4:5:6:7:1.2.3.4", NULL, -EINVAL, false},
};

Test(lpm_prefix, parses_and_formats)
{
	for (size_t i = 0; i < sizeof(prefix_cases) / sizeof(prefix_cases[0]); i++) {
		const char *text = prefix_cases[i].text;
		struct prefix prefix = {.len = 77};
		char got[PREFIX_TEXT_MAX];
		bool masked = false;
		int rc = prefix_parse(text, strlen(text), &prefix, &masked);

		cr_expect_eq(rc, prefix_cases[i].rc, "'%s': expected %d, got %d", text,
			     prefix_cases[i].rc, rc);
		if (rc != 0) {
			cr_expect_eq(prefix.len, 77, "'%s': out was written", text);
			continue;
		}
		cr_expect_str_eq(prefix_format(&prefix, got), prefix_cases[i].canonical,
				 "'%s': expected %s, got %s", text, prefix_cases[i].canonical, got);
		cr_expect_eq(masked, prefix_cases[i].masked, "'%s': masked %d", text, masked);
	}
}

/* Sizes are obeyed: what stands behind the text is not read. */
Test(lpm_prefix, text_needs_no_end)
{
	struct addr addr;
	struct prefix prefix;

	cr_assert_eq(addr_parse("10.0.0.255", 8, &addr), 0);
	cr_expect_eq(addr.v4, 0x0a000002);
	cr_assert_eq(addr_parse("2001:db8::12", 11, &addr), 0);
	cr_expect_eq(addr.v6.lo, 1);
	cr_assert_eq(prefix_parse("10.0.0.0/24", 10, &prefix, NULL), 0);
	cr_expect_eq(prefix.len, 2);
	cr_expect_eq(addr_parse("10.0.0.1\0", 9, &addr), -EINVAL);
	cr_expect_eq(addr_parse(NULL, 0, &addr), -EINVAL);
	cr_expect_eq(prefix_parse(NULL, 0, &prefix, NULL), -EINVAL);
}

Test(lpm_prefix, scans_a_quad_at_the_start)
{
	static const struct {
		const char *text;
		size_t taken;
	} cases[] = {
		{"1.2.3.4", 7}, {"1.2.3.4/8", 7}, {"1.2.3.255 x", 9}, {"1.2.3.2555", 9},
		{"1.2.3", 0},   {"1.2.3.256", 0}, {"1.2.3.04", 0},    {"", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t addr = 0;
		size_t taken = addr4_scan(cases[i].text, strlen(cases[i].text), &addr);

		cr_expect_eq(taken, cases[i].taken, "'%s': expected %zu, got %zu", cases[i].text,
			     cases[i].taken, taken);
	}
}

/* What the C library takes, these take, and the other way round; both read the same. */
static void compare_with_libc(const char *text)
{
	uint8_t expected[16], got[16];
	int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	bool valid = inet_pton(family, text, expected) == 1;
	struct addr addr;
	int rc = addr_parse(text, strlen(text), &addr);

	cr_assert_eq(rc == 0, valid, "'%s': rc %d, libc says %d", text, rc, valid);
	if (!valid)
		return;
	addr_to_bytes(&addr, got);
	cr_assert_eq(memcmp(got, expected, family == AF_INET ? 4 : 16), 0, "'%s'", text);
}

Test(lpm_prefix, parses_like_libc, .timeout = 60)
{
	static const char letters[] = "0123456789abcdefF::::....%/ g";
	uint64_t state = 4711;

	for (unsigned i = 0; i < 200000; i++) {
		struct addr addr = {.version = i & 1 ? 6 : 4};
		char text[ADDR_TEXT_MAX + 2];
		size_t size;

		addr.v4 = (uint32_t)lpm_model_random(&state);
		/* Few bits, so that there are groups of zeros. */
		addr.v6.hi = lpm_model_random(&state) & lpm_model_random(&state) &
			     UINT64_C(0xffff0000000fffff);
		addr.v6.lo = lpm_model_random(&state) & UINT64_C(0x00000ff00000ffff);
		addr_format(&addr, text);
		compare_with_libc(text);
		for (unsigned change = 0; change < 2; change++) {
			uint64_t random = lpm_model_random(&state);
			size_t at;

			size = strlen(text);
			at = random % (size + 1);
			switch (random >> 32 & 3) {
			case 0: /* replace */
				if (at < size)
					text[at] = letters[(random >> 40) % (sizeof(letters) - 1)];
				break;
			case 1: /* remove */
				if (at < size)
					memmove(text + at, text + at + 1, size - at);
				break;
			default: /* insert */
				if (size + 2 > sizeof(text))
					break;
				memmove(text + at + 1, text + at, size - at + 1);
				text[at] = letters[(random >> 40) % (sizeof(letters) - 1)];
			}
			compare_with_libc(text);
		}
	}
}

Test(lpm_prefix, formats_like_libc, .timeout = 60)
{
	uint64_t state = 815;

	for (unsigned i = 0; i < 200000; i++) {
		uint64_t random = lpm_model_random(&state);
		struct addr addr = {.version = i & 1 ? 6 : 4, .v4 = (uint32_t)random};
		char expected[INET6_ADDRSTRLEN], got[ADDR_TEXT_MAX];
		uint8_t bytes[16];
		struct addr again;

		for (unsigned group = 0; group < 8; group++) {
			uint64_t *half = group < 4 ? &addr.v6.hi : &addr.v6.lo;
			uint64_t value = random >> (3 * group) & 7;

			*half = *half << 16 | (value < 4 ? 0 : lpm_model_random(&state) >> 48);
		}
		/* The old compatible form, which RFC 5952 does not ask for and libc still writes.
		 */
		if (addr.version == 6 && addr.v6.hi == 0 && addr.v6.lo >> 32 == 0)
			continue;
		addr_to_bytes(&addr, bytes);
		inet_ntop(addr.version == 4 ? AF_INET : AF_INET6, bytes, expected,
			  sizeof(expected));
		addr_format(&addr, got);
		cr_assert_str_eq(got, expected, "expected %s, got %s", expected, got);
		again = addr_from_bytes(addr.version, bytes);
		cr_assert_eq(again.version, addr.version);
		if (addr.version == 4)
			cr_assert_eq(again.v4, addr.v4);
		else
			cr_assert(again.v6.hi == addr.v6.hi && again.v6.lo == addr.v6.lo);
	}
}

Test(lpm_prefix, contains)
{
	static const struct {
		const char *prefix;
		const char *addr;
		bool expected;
	} cases[] = {
		{"0.0.0.0/0", "255.255.255.255", true},
		{"192.0.2.0/24", "192.0.2.255", true},
		{"192.0.2.0/24", "192.0.3.0", false},
		{"192.0.2.1/32", "192.0.2.1", true},
		{"192.0.2.1/32", "192.0.2.0", false},
		{"0.0.0.0/0", "::", false},
		{"::/0", "0.0.0.0", false},
		{"::/0", "ffff::", true},
		{"2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff", true},
		{"2001:db8::/64", "2001:db8:0:1::", false},
		{"2001:db8::/65", "2001:db8::8000:0:0:0", false},
		{"2001:db8::1/128", "2001:db8::1", true},
		{"2001:db8::1/128", "2001:db8::2", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct prefix prefix;
		struct addr addr;

		cr_assert_eq(prefix_parse(cases[i].prefix, strlen(cases[i].prefix), &prefix, NULL),
			     0);
		cr_assert_eq(addr_parse(cases[i].addr, strlen(cases[i].addr), &addr), 0);
		cr_expect_eq(prefix_contains(&prefix, &addr), cases[i].expected, "%s in %s",
			     cases[i].addr, cases[i].prefix);
	}
}

Test(lpm_prefix, masks)
{
	for (unsigned len = 0; len <= 128; len++) {
		struct addr6 mask = mask6(len);
		struct addr6 expected = {0};

		for (unsigned bit = 0; bit < len; bit++) {
			if (bit < 64)
				expected.hi |= UINT64_C(1) << (63 - bit);
			else
				expected.lo |= UINT64_C(1) << (127 - bit);
		}
		cr_expect(mask.hi == expected.hi && mask.lo == expected.lo, "/%u", len);
		if (len <= 32)
			cr_expect_eq(mask4(len), (uint32_t)(expected.hi >> 32), "/%u", len);
	}
}
