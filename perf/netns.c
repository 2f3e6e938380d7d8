/* Network namespaces for benchmarks. */
#include "perf/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	WORDS_MAX = 24,
};

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

int netns_allow(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (uid == 0)
		return 0;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return -errno;
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (write_file("/proc/self/uid_map", map) < 0)
		return -EPERM;
	snprintf(map, sizeof(map), "0 %u 1", gid);
	return write_file("/proc/self/gid_map", map);
}

/* Enter a new namespace, open it, come back. */
int netns_create(void)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), ns = -1, rc;

	if (home < 0)
		return -errno;
	if (unshare(CLONE_NEWNET) < 0)
		goto failed;
	ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(home, CLONE_NEWNET) < 0)
		goto failed;
	close(home);
	rc = netns_sh(ns, "ip link set lo up");
	if (rc == 0)
		return ns;
	close(ns);
	return rc < 0 ? rc : -EIO;

failed:
	rc = -errno;
	close(home);
	return rc;
}

pid_t netns_spawn(int ns, char *const argv[], int out)
{
	pid_t parent = getpid(), pid = fork();

	if (pid != 0)
		return pid < 0 ? -errno : pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || setns(ns, CLONE_NEWNET) < 0)
		_exit(126);
	/* /sys and /run of its own, so that what it writes there is not the host's. */
	if (unshare(CLONE_NEWNS) == 0) {
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
		mount("sysfs", "/sys", "sysfs", 0, NULL);
		mount("tmpfs", "/run", "tmpfs", 0, NULL);
	}
	dup2(out < 0 ? STDERR_FILENO : out, STDOUT_FILENO);
	execvp(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int netns_sh(int ns, const char *format, ...)
{
	char script[4096];
	va_list arguments;
	pid_t pid;

	va_start(arguments, format);
	vsnprintf(script, sizeof(script), format, arguments);
	va_end(arguments);
	char *argv[] = {"sh", "-e", "-c", script, NULL};

	pid = netns_spawn(ns, argv, -1);
	return pid < 0 ? pid : wait_for(pid);
}

int netns_veth(int ns_a, const char *name_a, int ns_b, const char *name_b)
{
	/* The script runs in a; b is reached as its own open file. */
	return netns_sh(ns_a,
			"ip link add %s type veth peer name %s netns /proc/%d/fd/%d; "
			"ip link set %s up",
			name_a, name_b, getpid(), ns_b, name_a) ||
	       netns_sh(ns_b, "ip link set %s up", name_b);
}

void netns_stop(pid_t pid)
{
	const struct timespec pause = {.tv_nsec = 20000000};

	if (pid <= 0)
		return;
	kill(pid, SIGTERM);
	for (int i = 0; i < 100; i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return;
		nanosleep(&pause, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

const char *netns_program(const char *name, const char *variable, char *out, size_t size)
{
	const char *env = getenv(variable);
	ssize_t n;
	char *slash;

	if (env)
		return env;
	n = readlink("/proc/self/exe", out, size - 1);
	out[n > 0 ? n : 0] = 0;
	slash = strrchr(out, '/');
	if (slash)
		snprintf(slash + 1, size - (size_t)(slash + 1 - out), "%s", name);
	return out;
}

int netns_socket(int ns, int domain, int type, int protocol)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), fd, rc;

	if (home < 0)
		return -errno;
	if (setns(ns, CLONE_NEWNET) < 0) {
		rc = -errno;
		close(home);
		return rc;
	}
	fd = socket(domain, type | SOCK_CLOEXEC, protocol);
	rc = fd < 0 ? -errno : fd;
	if (setns(home, CLONE_NEWNET) < 0) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
	}
	close(home);
	return rc;
}

int netns_traffic(int ns, const char *const argv[], char *line, size_t size)
{
	char *words[WORDS_MAX] = {"/proc/self/exe", "traffic"};
	int out[2], status;
	pid_t pid;
	FILE *f;

	for (unsigned i = 0; argv[i] && i + 3 < WORDS_MAX; i++)
		words[i + 2] = (char *)argv[i];
	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	pid = netns_spawn(ns, words, out[1]);
	close(out[1]);
	f = fdopen(out[0], "r");
	if (!f || !fgets(line, (int)size, f))
		line[0] = 0;
	if (f)
		fclose(f);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -EIO;
	return line[0] ? 0 : -EIO;
}
