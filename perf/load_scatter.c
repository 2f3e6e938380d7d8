#include "perf/load_scatter.h"

#include <dirent.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char tun_path[] = "/dev/net/tun";

/* The kernel takes what it returns modulo the queues. */
static int load_program(void)
{
	const struct bpf_insn code[] = {
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_prandom_u32},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)code,
		.insn_cnt = sizeof(code) / sizeof(code[0]),
		.license = (uintptr_t) "MIT",
	};
	long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

/* A descriptor of a queue's like the daemon's own; or -errno. */
static int open_queue(pid_t daemon)
{
	char path[64], target[64];
	const struct dirent *entry;
	int pidfd, rc = -ENOENT;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)daemon);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (rc == -ENOENT && (entry = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (n < 0 || (size_t)n != strlen(tun_path) ||
		    memcmp(target, tun_path, (size_t)n) != 0)
			continue;
		pidfd = (int)syscall(SYS_pidfd_open, daemon, 0);
		rc = (int)syscall(SYS_pidfd_getfd, pidfd, strtol(entry->d_name, NULL, 10), 0);
		rc = rc < 0 ? -errno : rc;
		close(pidfd);
	}
	closedir(dir);
	return rc;
}

int load_scatter(pid_t daemon)
{
	int queue = open_queue(daemon), program, rc = 0;

	if (queue < 0)
		return queue;
	program = load_program();
	if (program < 0)
		rc = program;
	else if (ioctl(queue, TUNSETSTEERINGEBPF, &program) < 0)
		rc = -errno;
	if (program >= 0)
		close(program);
	close(queue);
	return rc;
}
