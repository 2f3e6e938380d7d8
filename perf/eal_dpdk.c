/*
 * Starts DPDK. Its tables are to lie in huge pages, as its users have them: root raises the limit
 * of pages that the kernel makes on demand, and lowers it again. Nothing is reserved, so that a
 * process that was killed leaves a number behind and no memory.
 */
#include "perf/eal_dpdk.h"

#include <fcntl.h>
#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_version.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PAGES = 2048, /* 4 GiB: three widths of rte_fib with a full table take 1.2 */
	NUMBER_MAX = 24,
};

#define NO_HUGE_MIB "4096" /* only what is used is taken */

static const char limit_path[] =
	"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages";
static volatile sig_atomic_t raised;

/* These two may run in a signal handler: no stdio. */
static bool limit_read(unsigned long *limit)
{
	char text[NUMBER_MAX] = "";
	int fd = open(limit_path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	*limit = 0;
	for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		*limit = *limit * 10 + (unsigned long)(text[i] - '0');
	return n > 0;
}

static bool limit_write(unsigned long limit)
{
	char text[NUMBER_MAX];
	size_t at = sizeof(text);
	int fd = open(limit_path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	do {
		text[--at] = (char)('0' + limit % 10);
		limit /= 10;
	} while (limit > 0);
	n = write(fd, text + at, sizeof(text) - at);
	close(fd);
	return n > 0;
}

/* By what was added, not to what was there: two of us may run. */
static void limit_lower(void)
{
	unsigned long limit;

	if (!raised || !limit_read(&limit))
		return;
	raised = 0;
	limit_write(limit > PAGES ? limit - PAGES : 0);
}

static void lower_and_die(int number)
{
	limit_lower();
	signal(number, SIG_DFL);
	raise(number);
}

static bool limit_raise(void)
{
	static const int deaths[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGABRT, SIGSEGV};
	unsigned long limit, now;

	if (!limit_read(&limit) || !limit_write(limit + PAGES))
		return false;
	raised = 1;
	atexit(limit_lower);
	for (size_t i = 0; i < sizeof(deaths) / sizeof(deaths[0]); i++)
		signal(deaths[i], lower_and_die);
	if (limit_read(&now) && now == limit + PAGES)
		return true;
	limit_lower();
	return false;
}

/* Its help and its complaints, even about its own arguments, go nowhere. */
static int init_silently(int argc, char **argv)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	int rc = -1;

	if (null >= 0 && out >= 0 && err >= 0) {
		fflush(NULL);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		rc = rte_eal_init(argc, argv);
		fflush(NULL);
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
	}
	close(null);
	close(out);
	close(err);
	return rc;
}

bool eal_open(char *text, size_t size)
{
	bool huge = limit_raise();
	char core[NUMBER_MAX], prefix[64];
	cpu_set_t cpus;
	char *argv[] = {"sluice-perf",
			"-l",
			core,
			"--no-pci",
			"--no-telemetry",
			"--no-shconf",
			"--iova-mode=va",
			"--force-max-simd-bitwidth=512",
			"--log-level=*:1",
			huge ? "--in-memory" : "--no-huge",
			huge ? NULL : "-m",
			NO_HUGE_MIB,
			prefix,
			NULL};
	int argc = huge ? 10 : 13;
	int rc;

	argv[argc] = NULL;
	snprintf(core, sizeof(core), "%d", sched_getcpu());
	snprintf(prefix, sizeof(prefix), "--file-prefix=sluice-perf-%d", (int)getpid());
	rc = sched_getaffinity(0, sizeof(cpus), &cpus);
	if (init_silently(argc, argv) < 0) {
		limit_lower();
		snprintf(text, size, "none: DPDK does not start: %s", rte_strerror(rte_errno));
		return false;
	}
	if (rc == 0)
		sched_setaffinity(0, sizeof(cpus), &cpus);
	snprintf(text, size, "%s, %s", rte_version(),
		 huge ? "in huge pages"
		      : "WITHOUT HUGE PAGES (ask root), so slower than it can be");
	return true;
}

void eal_close(void)
{
	rte_eal_cleanup();
	limit_lower();
}
