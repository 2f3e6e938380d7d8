/* The last stamp over restarts: what the next life begins with, and how seldom it is written. */
#include "ctl/wireguard/stamp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define S WG_NS
#define NOW (1700000000 * S)

struct fixture {
	char folder[64];
	char state[96];
	char file[128];
	struct wg_stamp stamp;
};

static void make(struct fixture *f)
{
	*f = (struct fixture){.folder = "/tmp/sluice-test-stamp.XXXXXX"};
	cr_assert_not_null(mkdtemp(f->folder));
	snprintf(f->state, sizeof(f->state), "%s/state", f->folder);
	snprintf(f->file, sizeof(f->file), "%s/t0.stamp", f->state);
}

static void clean(const struct fixture *f)
{
	unlink(f->file);
	rmdir(f->state);
	cr_assert_eq(rmdir(f->folder), 0, "something else is left in %s", f->folder);
}

static void put(const struct fixture *f, const char *text)
{
	FILE *out;

	mkdir(f->state, 0700);
	out = fopen(f->file, "w");
	cr_assert_not_null(out);
	fputs(text, out);
	fclose(out);
}

static uint64_t file_seconds(const struct fixture *f)
{
	FILE *in = fopen(f->file, "r");
	char line[32] = "";
	char *end;
	uint64_t seconds;

	if (!in)
		return 0;
	cr_assert_not_null(fgets(line, sizeof(line), in));
	fclose(in);
	seconds = strtoull(line, &end, 10);
	cr_assert_str_eq(end, "\n");
	return seconds;
}

/* A start: what devices are given. */
static uint64_t begin(struct fixture *f, uint64_t wall_ns)
{
	cr_assert_eq(wg_stamp_open(&f->stamp, f->state, "t0", wall_ns), 0);
	return f->stamp.given_ns;
}

static void keep(struct fixture *f, uint64_t sent_ns, uint64_t gap_ns, uint64_t expected)
{
	cr_assert_eq(wg_stamp_keep(&f->stamp, sent_ns, gap_ns), 0);
	cr_assert_eq(file_seconds(f), expected, "%" PRIu64 " expected, not %" PRIu64, expected,
		     file_seconds(f));
}

Test(ctl_wg_stamp, each_life_is_ahead_of_the_last)
{
	struct fixture f;
	uint64_t sent_ns;

	make(&f);
	cr_assert_eq(begin(&f, NOW), 0, "the first begins with nothing");
	keep(&f, 0, WG_STAMP_GAP, 0);
	keep(&f, NOW + 1, WG_STAMP_GAP, 1700000001); /* whole seconds: never less than was sent */
	keep(&f, NOW + 1 + WG_STAMP_GAP - 1, WG_STAMP_GAP, 1700000001);
	keep(&f, NOW + 1 + WG_STAMP_GAP, WG_STAMP_GAP, 1700000181);
	sent_ns = NOW + 300 * S;
	keep(&f, sent_ns, 0, 1700000301); /* its end */
	/* The clock goes on: no stamp is ahead of it. */
	cr_assert_leq(begin(&f, NOW + 302 * S), NOW + 302 * S);
	keep(&f, f.stamp.given_ns, 0, 1700000301); /* nothing was sent */
	/* It went back, and each life ends without a word: of what it sent the file knows little */
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_gt(begin(&f, NOW - 1000 * S), sent_ns, "life %u", i);
		sent_ns = f.stamp.given_ns + 1;
		keep(&f, sent_ns, WG_STAMP_GAP, sent_ns / S + 1);
		sent_ns += WG_STAMP_GAP - 1;
		keep(&f, sent_ns, WG_STAMP_GAP, file_seconds(&f));
	}
	clean(&f);
}

Test(ctl_wg_stamp, a_clock_that_is_behind)
{
	cr_assert_eq(wg_stamp_lag_s(0, NOW), 0);
	cr_assert_eq(wg_stamp_lag_s(NOW + 5 * S, NOW), 0);
	cr_assert_eq(wg_stamp_lag_s(NOW + 6 * S, NOW), 6);
}

Test(ctl_wg_stamp, what_is_no_stamp_counts_as_none)
{
	static const char *const texts[] = {"",
					    "1700000000",
					    "17000000x0\n",
					    "-1\n",
					    " 1700000000\n",
					    "99999999999999999999\n",
					    "1700000000\n1700000000000\n"};
	struct fixture f;

	make(&f);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		put(&f, texts[i]);
		cr_assert_eq(wg_stamp_open(&f.stamp, f.state, "t0", NOW), -EINVAL, "%zu", i);
		cr_assert_eq(f.stamp.given_ns, 0, "%zu", i);
		keep(&f, NOW, WG_STAMP_GAP, 1700000001);
	}
	clean(&f);
}

Test(ctl_wg_stamp, what_cannot_be_written_is_told_and_not_tried_all_the_time)
{
	struct fixture f;
	char nowhere[160];

	make(&f);
	snprintf(nowhere, sizeof(nowhere), "%s/no/state", f.folder);
	cr_assert_eq(wg_stamp_open(&f.stamp, nowhere, "t0", NOW), 0);
	cr_assert_eq(wg_stamp_keep(&f.stamp, NOW, WG_STAMP_GAP), -ENOENT);
	cr_assert_eq(wg_stamp_keep(&f.stamp, NOW + S, WG_STAMP_GAP), 0);
	cr_assert_eq(wg_stamp_keep(&f.stamp, NOW + WG_STAMP_GAP, WG_STAMP_GAP), -ENOENT);
	/* A folder in its place: what was made beside it is taken away again. */
	mkdir(f.state, 0700);
	mkdir(f.file, 0700);
	cr_assert_eq(wg_stamp_open(&f.stamp, f.state, "t0", NOW), -EISDIR);
	cr_assert_eq(wg_stamp_keep(&f.stamp, NOW, WG_STAMP_GAP), -EISDIR);
	rmdir(f.file);
	memset(nowhere, 'x', sizeof(nowhere));
	nowhere[sizeof(nowhere) - 1] = '\0';
	nowhere[0] = '/';
	cr_assert_eq(wg_stamp_open(&f.stamp, nowhere, nowhere, NOW), -ENAMETOOLONG);
	clean(&f);
}
