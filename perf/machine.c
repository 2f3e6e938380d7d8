#include "perf/machine.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 1024,
	KTHREADD = 2, /* the parent of the kernel's threads */
	TIMES = 8,    /* of /proc/stat: user to steal; guests are in user already */
	IDLE = 3,
	STEAL = 7,
	PPID_FIELD = 1, /* counted from behind the name of the program */
	UTIME_FIELD = 11,
	CPU_FIELDS = 4, /* user, system, and both of children that were waited for */
};

/* The first line of a file. */
static int read_line(const char *path, char line[LINE_MAX_BYTES])
{
	FILE *f = fopen(path, "re");
	bool read;

	if (!f)
		return -errno;
	read = fgets(line, LINE_MAX_BYTES, f) != NULL;
	fclose(f);
	return read ? 0 : -EIO;
}

static int read_cores(struct machine_time *out)
{
	char line[LINE_MAX_BYTES], *at = line + strlen("cpu ");
	int rc = read_line("/proc/stat", line);

	for (unsigned i = 0; rc == 0 && i < TIMES; i++) {
		uint64_t ticks = strtoull(at, &at, 10);

		out->all += ticks;
		if (i == IDLE || i == IDLE + 1) /* and waiting for disks */
			out->idle += ticks;
		if (i == STEAL)
			out->steal = ticks;
	}
	return rc;
}

/* Ticks of a process; 0 if it is gone, a child of ours, or a thread of the kernel. */
static uint64_t read_process(const char *pid)
{
	char path[64], line[LINE_MAX_BYTES], *at;
	uint64_t ticks = 0;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	if (read_line(path, line) < 0)
		return 0;
	at = strrchr(line, ')'); /* a name may hold anything */
	if (!at || strlen(at) < 4)
		return 0;
	at += 3; /* behind the state */
	for (unsigned field = PPID_FIELD; field < UTIME_FIELD + CPU_FIELDS; field++) {
		uint64_t value = strtoull(at, &at, 10);

		if (field == PPID_FIELD && (value == KTHREADD || value == (uint64_t)getpid()))
			return 0;
		if (field >= UTIME_FIELD)
			ticks += value;
	}
	return ticks;
}

int machine_read(struct machine_time *out)
{
	struct machine_time now = {0};
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	int rc;

	if (!dir)
		return -errno;
	rc = read_cores(&now);
	while ((entry = readdir(dir)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (isdigit((unsigned char)entry->d_name[0]) && pid != getpid())
			now.other += read_process(entry->d_name);
	}
	closedir(dir);
	if (rc == 0)
		*out = now;
	return rc;
}

/* A process that ended without being waited for takes its ticks with it: less than nothing. */
static uint64_t between(uint64_t from, uint64_t to)
{
	return to > from ? to - from : 0;
}

void machine_add(struct machine_time *spent, const struct machine_time *from,
		 const struct machine_time *to)
{
	spent->all += between(from->all, to->all);
	spent->idle += between(from->idle, to->idle);
	spent->steal += between(from->steal, to->steal);
	spent->other += between(from->other, to->other);
}

static double percent(uint64_t part, uint64_t all)
{
	return all ? 100 * (double)part / (double)all : 0;
}

double machine_steal_percent(const struct machine_time *spent)
{
	return percent(spent->steal, spent->all);
}

double machine_other_percent(const struct machine_time *spent)
{
	return percent(spent->other, spent->all);
}

double machine_busy_s(const struct machine_time *spent)
{
	return (double)between(spent->idle + spent->steal, spent->all) /
	       (double)sysconf(_SC_CLK_TCK);
}
