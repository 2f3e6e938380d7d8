/* ctl/memory.h: what is available, by made-up trees of /proc and /sys. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "ctl/memory.h"

enum {
	FILES_MAX = 12,
	PATH_ROOM = 256,
};

#define MIB (UINT64_C(1) << 20)

struct file {
	const char *path;
	const char *text;
};

static const struct tree {
	const char *name;
	struct file files[FILES_MAX];
	uint64_t expected;
} trees[] = {
	{"nothing is known", {{0}}, UINT64_MAX},
	{"the system",
	 {{"proc/meminfo", "MemTotal:  9000 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\nX: 1\n"}},
	 2 * MIB},
	{"a system that does not tell", {{"proc/meminfo", "MemTotal:  9000 kB\n"}}, UINT64_MAX},
	{"a group",
	 {{"proc/meminfo", "MemAvailable: 102400 kB\n"},
	  {"proc/self/cgroup", "0::/a.slice/b.service\n"},
	  {"sys/fs/cgroup/a.slice/b.service/memory.max", "10485760\n"},
	  {"sys/fs/cgroup/a.slice/b.service/memory.current", "3145728\n"}},
	 7 * MIB},
	{"copies of files are free",
	 {{"proc/self/cgroup", "0::/a\n"},
	  {"sys/fs/cgroup/a/memory.max", "10485760\n"},
	  {"sys/fs/cgroup/a/memory.current", "9437184\n"},
	  {"sys/fs/cgroup/a/memory.stat",
	   "anon 4194304\nfile 5242880\ninactive_anon 9\ninactive_file 3145728\n"
	   "active_file 2097152\n"}},
	 6 * MIB},
	{"a group above it has less",
	 {{"proc/self/cgroup", "0::/a/b\n"},
	  {"sys/fs/cgroup/a/memory.max", "4194304\n"},
	  {"sys/fs/cgroup/a/memory.current", "1048576\n"},
	  {"sys/fs/cgroup/a/b/memory.max", "max\n"},
	  {"sys/fs/cgroup/a/b/memory.current", "1048576\n"}},
	 3 * MIB},
	{"the group of a container, seen as the root",
	 {{"proc/self/cgroup", "0::/\n"},
	  {"sys/fs/cgroup/memory.max", "4194304\n"},
	  {"sys/fs/cgroup/memory.current", "0\n"}},
	 4 * MIB},
	{"what slows down counts too",
	 {{"proc/self/cgroup", "0::/a\n"},
	  {"sys/fs/cgroup/a/memory.max", "max\n"},
	  {"sys/fs/cgroup/a/memory.high", "2097152\n"},
	  {"sys/fs/cgroup/a/memory.current", "1048576\n"}},
	 1 * MIB},
	{"a group that is over its limit",
	 {{"proc/self/cgroup", "0::/a\n"},
	  {"sys/fs/cgroup/a/memory.max", "1048576\n"},
	  {"sys/fs/cgroup/a/memory.current", "2097152\n"}},
	 0},
	{"version 1",
	 {{"proc/self/cgroup", "9:cpu:/x\n4:memory:/a\n0::/\n"},
	  {"sys/fs/cgroup/memory/a/memory.limit_in_bytes", "5242880\n"},
	  {"sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1048576\n"},
	  {"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"},
	  {"sys/fs/cgroup/memory/memory.usage_in_bytes", "1048576\n"}},
	 4 * MIB},
	{"nonsense",
	 {{"proc/meminfo", "MemAvailable: -1 kB\n"},
	  {"proc/self/cgroup", "0::/a\n"},
	  {"sys/fs/cgroup/a/memory.max", "99999999999999999999999\n"},
	  {"sys/fs/cgroup/a/memory.current", "\n"}},
	 UINT64_MAX},
};

static void write_file(const char *root, const struct file *file)
{
	char path[PATH_ROOM];

	snprintf(path, sizeof(path), "%s/%s", root, file->path);
	for (char *slash = strchr(path + strlen(root) + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	FILE *out = fopen(path, "w");

	cr_assert_not_null(out, "%s", path);
	fputs(file->text, out);
	fclose(out);
}

Test(ctl_memory, the_least_is_available)
{
	for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
		char root[] = "/tmp/sluice-test-memory.XXXXXX", command[PATH_ROOM];
		uint64_t actual;

		cr_assert_not_null(mkdtemp(root));
		for (unsigned k = 0; k < FILES_MAX && trees[i].files[k].path != NULL; k++)
			write_file(root, &trees[i].files[k]);
		actual = memory_available(root);
		cr_expect_eq(actual, trees[i].expected, "%s: expected %llu, actual %llu",
			     trees[i].name, (unsigned long long)trees[i].expected,
			     (unsigned long long)actual);
		snprintf(command, sizeof(command), "rm -rf %s", root);
		cr_assert_eq(system(command), 0); // NOLINT(cert-env33-c)
	}
}

/* The real system: a limit that is set shows, and what is mapped is taken off. */
Test(ctl_memory, limits_of_the_process)
{
	const int limits[] = {RLIMIT_AS, RLIMIT_DATA};

	for (size_t i = 0; i < 2; i++) {
		const uint64_t room = 512 * MIB, taken = 128 * MIB;
		uint64_t before = memory_available(""), after;
		struct rlimit limit, old;
		void *mapped;

		cr_assert_gt(before, 2 * room, "this test needs memory");
		getrlimit(limits[i], &old);
		for (limit = old, limit.rlim_cur = room;; limit.rlim_cur += room) {
			cr_assert_eq(setrlimit(limits[i], &limit), 0);
			before = memory_available("");
			if (before > 0)
				break;
		}
		cr_expect_leq(before, room);
		cr_assert_gt(before, 0);
		limit.rlim_cur += room;
		cr_assert_eq(setrlimit(limits[i], &limit), 0);
		before = memory_available("");
		mapped = mmap(NULL, taken, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
		cr_assert_neq(mapped, MAP_FAILED);
		after = memory_available("");
		munmap(mapped, taken);
		setrlimit(limits[i], &old);
		cr_expect(before - after >= taken && before - after < taken + 8 * MIB,
			  "limit %d: %llu before, %llu after", limits[i],
			  (unsigned long long)before, (unsigned long long)after);
	}
}

Test(ctl_memory, sizes_as_text)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{0, "0 MiB"},
		{1, "1 MiB"},
		{300 * MIB, "300 MiB"},
		{1024 * MIB, "1.0 GiB"},
		{1229 * MIB, "1.2 GiB"},
		{UINT64_MAX, "17179869184.0 GiB"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[MEMORY_TEXT_MAX];

		memory_format(cases[i].bytes, text);
		cr_expect_str_eq(text, cases[i].text, "expected %s, actual %s", cases[i].text,
				 text);
	}
}
