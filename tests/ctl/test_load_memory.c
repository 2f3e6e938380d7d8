/* ctl/load.h: what needs more memory than there is, is refused with numbers before it is taken. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ctl/load.h"

enum {
	PATH_ROOM = 64,
	LEFT_MIB = 32, /* what the process may still take */
};

/* A list whose text is the same lines again and again, at the most. */
static const struct need {
	const char *name;
	const char *line; /* with the line's number, in two bytes */
	unsigned lines;
	bool kept; /* the list is there already: only its table is to be made */
	const char *expected;
} needs[] = {
	{"a long text", "# %u.%u nothing but a remark that is read all the same, it is so long\n",
	 600000, false, "the text needs about "},
	{"a short text of many prefixes", "%x:%x::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe\n",
	 4000, false, "the list needs more memory than the "},
	{"a table", "10.%1$u.%2$u.1\n20.%1$u.%2$u.1\n30.%1$u.%2$u.1\n40.%1$u.%2$u.1\n", 65536, true,
	 "the table needs about "},
};

static void write_list(const char *path, const struct need *need)
{
	FILE *out = fopen(path, "w");

	cr_assert_not_null(out);
	for (unsigned i = 0; i < need->lines; i++)
		fprintf(out, need->line, i / 256 % 256, i % 256); // NOLINT
	fclose(out);
}

/* Let the process take LEFT_MIB more. */
static void limit_memory(struct rlimit *old)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	struct rlimit limit;
	char text[256] = "";

	cr_assert_not_null(statm);
	cr_assert_not_null(fgets(text, sizeof(text), statm));
	fclose(statm);
	cr_assert_eq(getrlimit(RLIMIT_AS, old), 0);
	limit = *old;
	limit.rlim_cur =
		strtoull(text, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)LEFT_MIB << 20);
	cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

static void expect_refusal(const struct need *need)
{
	char path[] = "/tmp/sluice-test-memory.XXXXXX";
	const char *files[] = {path};
	struct load_result loaded = {0}, first = {0};
	struct load_error err = {0};
	struct conf_error conf_err;
	struct rlimit old;
	struct conf conf;
	int rc;

	close(mkstemp(path));
	write_list(path, need);
	cr_assert_eq(conf_from_options(files, 1, "eth0", "tun0", false, &conf, &conf_err), 0);
	if (need->kept)
		cr_assert_eq(load_table(&conf, 1, NULL, 0, &first, &err), 0, "%s", err.text);
	limit_memory(&old);
	rc = load_table(&conf, 2, first.lists, first.list_count, &loaded, &err);
	setrlimit(RLIMIT_AS, &old);
	cr_expect_eq(rc, -ENOMEM, "%s: expected %d, actual %d", need->name, -ENOMEM, rc);
	cr_expect_null(loaded.table);
	cr_expect(strncmp(err.text, need->expected, strlen(need->expected)) == 0 &&
			  strstr(err.text, " available") != NULL,
		  "%s: expected '%s...', actual '%s'", need->name, need->expected, err.text);
	cr_expect_str_eq(err.reason, "memory");
	load_result_fini(&loaded);
	rc = load_table(&conf, 2, NULL, 0, &loaded, &err);
	cr_expect_eq(rc, 0, "%s: without the limit: %s", need->name, err.text);
	load_result_fini(&loaded);
	load_result_fini(&first);
	conf_free(&conf);
	unlink(path);
}

Test(ctl_load_memory, what_does_not_fit_is_refused_with_numbers, .timeout = 120)
{
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
	cr_skip_test("AddressSanitizer maps terabytes");
#endif
#endif
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		expect_refusal(&needs[i]);
}
