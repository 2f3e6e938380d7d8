#include "ctl/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	FILE_ROOM = 16384,
};

/* A control group's files: those of version 2, and of version 1 where it is still in use. */
static const struct hierarchy {
	const char *line; /* of /proc/self/cgroup, before the path */
	const char *mount;
	const char *limits[2];
	const char *usage;
} hierarchies[] = {
	{"0::", "/sys/fs/cgroup", {"memory.max", "memory.high"}, "memory.current"},
	{":memory:",
	 "/sys/fs/cgroup/memory",
	 {"memory.limit_in_bytes", NULL},
	 "memory.usage_in_bytes"},
};

/* Read the start of a small file; false if there is none. */
static bool read_small(const char *path, char out[FILE_ROOM])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, out, FILE_ROOM - 1);
	close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static bool read_number(const char *text, uint64_t *out)
{
	unsigned long long value;
	char *end;

	text += strspn(text, " \t");
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0)
		return false;
	*out = value;
	return true;
}

/* The number behind a word at the start of a line. */
static bool find_number(const char *text, const char *word, uint64_t *out)
{
	size_t size = strlen(word);

	for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, word, size) == 0 && strspn(line + size, ": \t") > 0)
			return read_number(line + size + strspn(line + size, ":"), out);
	}
	return false;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t difference(uint64_t from, uint64_t taken)
{
	return from > taken ? from - taken : 0;
}

static uint64_t system_available(const char *root)
{
	char path[PATH_MAX], text[FILE_ROOM];
	uint64_t kib;

	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	if (!read_small(path, text) || !find_number(text, "MemAvailable", &kib))
		return UINT64_MAX;
	return kib > UINT64_MAX / 1024 ? UINT64_MAX : kib * 1024;
}

static bool group_number(const char *group, const char *file, uint64_t *out)
{
	char path[PATH_MAX], text[FILE_ROOM];

	return snprintf(path, sizeof(path), "%s/%s", group, file) < (int)sizeof(path) &&
	       read_small(path, text) && read_number(text, out);
}

/* Of one group. Its copies of files go when it needs the memory. */
static uint64_t group_available(const struct hierarchy *h, const char *group)
{
	char path[PATH_MAX], text[FILE_ROOM];
	uint64_t usage, number, limit = UINT64_MAX, copies = 0;

	for (unsigned i = 0; i < 2; i++) {
		if (h->limits[i] != NULL && group_number(group, h->limits[i], &number))
			limit = least(limit, number);
	}
	if (limit == UINT64_MAX || !group_number(group, h->usage, &usage))
		return UINT64_MAX;
	if (snprintf(path, sizeof(path), "%s/memory.stat", group) < (int)sizeof(path) &&
	    read_small(path, text)) {
		if (find_number(text, "inactive_file", &number))
			copies += number;
		if (find_number(text, "active_file", &number))
			copies += number;
	}
	return difference(limit, difference(usage, copies));
}

/* Of the process' group and all above it. */
static uint64_t groups_available(const struct hierarchy *h, const char *root)
{
	char path[PATH_MAX], text[FILE_ROOM], group[PATH_MAX];
	uint64_t available = UINT64_MAX;
	const char *at;
	char *slash;
	size_t fixed;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	if (!read_small(path, text))
		return UINT64_MAX;
	at = strstr(text, h->line);
	if (at == NULL)
		return UINT64_MAX;
	at += strlen(h->line);
	fixed = (size_t)snprintf(group, sizeof(group), "%s%s", root, h->mount);
	if (snprintf(group, sizeof(group), "%s%s%.*s", root, h->mount, (int)strcspn(at, "\n"),
		     at) >= (int)sizeof(group))
		return UINT64_MAX;
	for (;;) {
		available = least(available, group_available(h, group));
		slash = strrchr(group + fixed, '/');
		if (slash == NULL)
			return available;
		*slash = '\0';
	}
}

static uint64_t limits_available(const char *root)
{
	uint64_t available = UINT64_MAX, page = (uint64_t)sysconf(_SC_PAGESIZE);
	char path[PATH_MAX], text[FILE_ROOM];
	uint64_t pages[6] = {0}; /* size, resident, shared, text, library, data */
	struct rlimit limit;
	char *at = text;

	snprintf(path, sizeof(path), "%s/proc/self/statm", root);
	if (!read_small(path, text))
		return UINT64_MAX;
	for (unsigned i = 0; i < 6; i++)
		pages[i] = strtoull(at, &at, 10);
	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		available = least(available, difference(limit.rlim_cur, pages[0] * page));
	if (getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		available = least(available, difference(limit.rlim_cur, pages[5] * page));
	return available;
}

uint64_t memory_available(const char *root)
{
	uint64_t available = least(system_available(root), limits_available(root));

	for (size_t i = 0; i < sizeof(hierarchies) / sizeof(hierarchies[0]); i++)
		available = least(available, groups_available(&hierarchies[i], root));
	return available;
}

char *memory_format(uint64_t bytes, char out[MEMORY_TEXT_MAX])
{
	if (bytes < UINT64_C(1) << 30)
		snprintf(out, MEMORY_TEXT_MAX, "%" PRIu64 " MiB", (bytes + (1 << 20) - 1) >> 20);
	else
		snprintf(out, MEMORY_TEXT_MAX, "%.1f GiB", (double)bytes / (1 << 30));
	return out;
}
