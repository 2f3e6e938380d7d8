/* Where `sluice-perf wireguard` works, and the programs that it compares. See wireguard.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/wireguard/crypto.h"
#include "perf/netns.h"
#include "perf/wireguard.h"

enum {
	START_TRIES = 250,
	START_US = 20000,
	THROUGH_S = 7, /* past a lost first message of a handshake */
	ANSWER_MAX = 256,
};

int wgbench_key_make(struct wgbench_key *out)
{
	if (getrandom(out->private, WG_KEY, 0) != WG_KEY)
		return -EIO;
	wg_crypto_clamp(out->private);
	return wg_crypto_public(out->private, out->public) ? 0 : -EIO;
}

void wgbench_hex(const uint8_t key[WG_KEY], char out[2 * WG_KEY + 1])
{
	for (unsigned i = 0; i < WG_KEY; i++)
		snprintf(out + 2 * i, 3, "%02x", key[i]);
}

int wgbench_link(int ns[2])
{
	for (unsigned i = 0; i < 2; i++) {
		ns[i] = netns_create();
		if (ns[i] < 0)
			return ns[i];
	}
	return netns_veth(ns[0], "eth0", ns[1], "eth0") ||
	       netns_sh(ns[0], "ip addr add 10.9.0.1/24 dev eth0") ||
	       netns_sh(ns[1], "ip addr add 10.9.0.2/24 dev eth0");
}

/* The program has a /run of its own, but not from its first moment on: see netns_spawn. */
static int connect_to(const struct wgbench_end *end)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return -errno;
	snprintf(to.sun_path, sizeof(to.sun_path), "/proc/%d/root/run/wireguard/%s.sock", end->pid,
		 end->interface);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

/* Send a request and read until the empty line that ends the answer; keeps as much as fits. */
static int call(const struct wgbench_end *end, const char *request, char *out, size_t size)
{
	int fd = connect_to(end), rc = -EPROTO;
	size_t left = strlen(request);
	FILE *f;

	if (fd < 0)
		return fd;
	for (ssize_t n; left; left -= (size_t)n, request += n) {
		n = send(fd, request, left, MSG_NOSIGNAL);
		if (n < 0) {
			rc = -errno;
			close(fd);
			return rc;
		}
	}
	f = fdopen(fd, "r");
	out[0] = 0;
	for (char line[ANSWER_MAX]; f && fgets(line, sizeof(line), f);) {
		size_t used = strlen(out);

		if (strcmp(line, "\n") == 0)
			break;
		if (strncmp(line, "errno=", 6) == 0)
			rc = -abs((int)strtol(line + 6, NULL, 10));
		else
			snprintf(out + used, size - used, "%s", line);
	}
	if (f)
		fclose(f);
	else
		close(fd);
	return rc;
}

int wgbench_set(const struct wgbench_end *end, const char *lines)
{
	size_t size = strlen(lines) + sizeof("set=1\n\n");
	char *request = malloc(size), answer[ANSWER_MAX];
	int rc;

	if (!request)
		return -ENOMEM;
	snprintf(request, size, "set=1\n%s\n", lines);
	rc = call(end, request, answer, sizeof(answer));
	free(request);
	return rc;
}

int wgbench_get(const struct wgbench_end *end, char *out, size_t size)
{
	return call(end, "get=1\n\n", out, size);
}

int wgbench_start(int ns, const char *program, unsigned queues, struct wgbench_end *out)
{
	static unsigned number;
	struct wgbench_end end;
	char variable[32];
	char *argv[] = {
		"env", "WG_PROCESS_FOREGROUND=1", variable, (char *)program, "-f", end.interface,
		NULL};

	snprintf(end.interface, sizeof(end.interface), "sp%dx%u", getpid(), number++);
	/* One that is empty counts as none. */
	snprintf(variable, sizeof(variable), queues ? "WG_QUEUES=%u" : "WG_QUEUES=", queues);
	end.pid = netns_spawn(ns, argv, -1);
	if (end.pid < 0)
		return end.pid;
	for (unsigned i = 0; i < START_TRIES; i++) {
		int fd = connect_to(&end);

		if (fd >= 0) {
			close(fd);
			*out = end;
			return 0;
		}
		if (waitpid(end.pid, NULL, WNOHANG) == end.pid)
			return -ECHILD;
		usleep(START_US);
	}
	netns_stop(end.pid);
	return -ETIMEDOUT;
}

/* Tell an end of the other. */
static int tie(const struct wgbench_pair *p, unsigned end)
{
	char private[2 * WG_KEY + 1], public[2 * WG_KEY + 1], lines[512];
	int rc;

	wgbench_hex(p->key[end].private, private);
	wgbench_hex(p->key[1 - end].public, public);
	snprintf(lines, sizeof(lines),
		 "private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=10.9.0.%u:%d\n"
		 "allowed_ip=10.200.0.%u/32\n",
		 private, WGBENCH_PORT, public, 2 - end, WGBENCH_PORT, 2 - end);
	rc = wgbench_set(&p->end[end], lines);
	if (rc != 0)
		return rc;
	return netns_sh(p->ns[end], "ip addr add 10.200.0.%u/24 dev %s; ip link set %s up mtu %d",
			1 + end, p->end[end].interface, p->end[end].interface, WGBENCH_MTU);
}

int wgbench_open_two(struct wgbench_pair *p, const char *first, const char *second, unsigned queues)
{
	char *sink[] = {"/proc/self/exe", "traffic", "serve", NULL};
	int rc = wgbench_link(p->ns);

	for (unsigned i = 0; rc == 0 && i < 2; i++) {
		rc = wgbench_key_make(&p->key[i]);
		if (rc == 0)
			rc = wgbench_start(p->ns[i], i ? second : first, queues, &p->end[i]);
	}
	for (unsigned i = 0; rc == 0 && i < 2; i++)
		rc = tie(p, i);
	if (rc != 0)
		return rc;
	p->sink = netns_spawn(p->ns[1], sink, -1);
	if (p->sink < 0)
		return p->sink;
	return netns_sh(p->ns[0], "ping -q -c 1 -W %d " WGBENCH_INNER " >/dev/null", THROUGH_S);
}

int wgbench_open(struct wgbench_pair *p, const char *program, unsigned queues)
{
	return wgbench_open_two(p, program, program, queues);
}

void wgbench_close(struct wgbench_pair *p)
{
	netns_stop(p->sink);
	for (unsigned i = 0; i < 2; i++) {
		netns_stop(p->end[i].pid);
		if (p->ns[i] > 0)
			close(p->ns[i]);
	}
	*p = (struct wgbench_pair){0};
}

int wgbench_cpu_ns(const struct wgbench_pair *p, uint64_t *out)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct timespec t;
		clockid_t clock;

		if (clock_getcpuclockid(p->end[i].pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
			return -ESRCH;
		sum += (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	}
	*out = sum;
	return 0;
}

unsigned long wgbench_memory_kb(pid_t pid, const char *what)
{
	char path[64], line[128];
	unsigned long found = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (!found && fgets(line, sizeof(line), f))
		if (strncmp(line, what, strlen(what)) == 0)
			found = strtoul(line + strlen(what) + 1, NULL, 10);
	fclose(f);
	return found;
}
