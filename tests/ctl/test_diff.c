/* ctl/diff.h: how numbers of addresses are told. */
#include <criterion/criterion.h>

#include "ctl/diff.h"

Test(ctl_diff, blocks_make_up_the_number)
{
	static const struct {
		struct diff_count count;
		const char *text;
	} cases[] = {
		{{0, 0, false}, "0"},
		{{0, 7, false}, "7 /128"},
		{{1, 0, false}, "1 /64"},
		{{0xffff, 1, false}, "65535 /64 + 1 /128"},
		{{0x10000, 0, false}, "1 /48"},
		{{UINT64_C(0x200000000), 0, false}, "2 /32"},
		{{UINT64_C(0x2000c0003), 5, false}, "2 /32 + 12 /48 + 3 /64 + 5 /128"},
		{{UINT64_MAX, UINT64_MAX, false},
		 "4294967295 /32 + 65535 /48 + 65535 /64 + 18446744073709551615 /128"},
		{{0, 0, true}, "4294967296 /32"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[DIFF_BLOCKS_MAX];

		cr_expect_str_eq(diff_blocks_format(&cases[i].count, text), cases[i].text,
				 "case %zu: expected %s, actual %s", i, cases[i].text, text);
	}
}
