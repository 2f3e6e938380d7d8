/*
 * Network namespaces for benchmarks: anonymous, held open by file descriptors, gone with the
 * process whatever ends it.
 */
#ifndef SLUICE_PERF_NETNS_H
#define SLUICE_PERF_NETNS_H

#include <stddef.h>
#include <sys/types.h>

/*
 * For an unprivileged user: enter a user namespace of our own first, in which he is root.
 *
 * Errors: -errno, if that is not allowed
 */
int netns_allow(void);

/* A new namespace with its loopback up; returns a file descriptor, or -errno. */
int netns_create(void);

/*
 * Run a shell script in a namespace and wait for it; what it prints goes to stderr.
 *
 * Returns: its exit status, or -errno
 */
int netns_sh(int ns, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Start a program in a namespace; it is killed when we end.
 *
 * argv:   its last is NULL
 * out:    file descriptor that becomes its stdout; -1: its stdout goes to stderr
 * Errors: -errno
 */
pid_t netns_spawn(int ns, char *const argv[], int out);

/* A socket in a namespace, for any thread to use; or -errno. */
int netns_socket(int ns, int domain, int type, int protocol);

/* Make a veth pair between two namespaces. 0, or as netns_sh. */
int netns_veth(int ns_a, const char *name_a, int ns_b, const char *name_b);

/* End a process that netns_spawn started: SIGTERM, then SIGKILL after two seconds. */
void netns_stop(pid_t pid);

/* A program of ours: what a variable of the environment names, else that beside this one. */
const char *netns_program(const char *name, const char *variable, char *out, size_t size);

/*
 * Run this program in a namespace with the arguments of `sluice-perf traffic`.
 *
 * argv: from "ask" or "send" on; its last is NULL
 * line: the line that it prints
 * Errors: -errno
 */
int netns_traffic(int ns, const char *const argv[], char *line, size_t size);

#endif
