/*
 * A macOS kernel that knows nothing but utun: the system calls of tun/tun_utun.c, the packets that
 * they carry as bytes on the wire, and what a test wants to go wrong. Not for several threads.
 */
#ifndef SLUICE_TESTS_FAKES_UTUN_KERNEL_H
#define SLUICE_TESTS_FAKES_UTUN_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
	UTUN_KERNEL_FD = 1000,   /* the descriptor that it gives */
	UTUN_KERNEL_DEPTH = 64,  /* packets a direction */
	UTUN_KERNEL_BYTES = 256, /* a packet, with its family; longer ones keep their start */
};

enum utun_kernel_call {
	UTUN_KERNEL_NONE,
	UTUN_KERNEL_SOCKET,
	UTUN_KERNEL_IOCTL,
	UTUN_KERNEL_CONNECT,
	UTUN_KERNEL_GETSOCKOPT,
	UTUN_KERNEL_SETFD,
	UTUN_KERNEL_SETFL,
	UTUN_KERNEL_READV,
	UTUN_KERNEL_WRITEV,
};

struct utun_kernel_packet {
	size_t len;
	uint8_t bytes[UTUN_KERNEL_BYTES];
};

struct utun_kernel {
	enum utun_kernel_call fails; /* this call fails, with fail_errno, fail_count times */
	int fail_errno;
	unsigned fail_count;

	int open_fds;
	uint32_t unit; /* asked for: 0 is any */
	int fd_flags;
	int status_flags;
	struct utun_kernel_packet in[UTUN_KERNEL_DEPTH]; /* to the program, from in_first on */
	unsigned in_first;
	unsigned in_count;
	struct utun_kernel_packet out[UTUN_KERNEL_DEPTH];
	unsigned out_count;
};

extern struct utun_kernel utun_kernel;

void utun_kernel_reset(void);
void utun_kernel_send(const void *bytes, size_t len);

int utun_kernel_socket(int domain, int type, int protocol);
int utun_kernel_ioctl(int fd, unsigned long request, ...);
int utun_kernel_connect(int fd, const struct sockaddr *address, socklen_t len);
int utun_kernel_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int utun_kernel_fcntl(int fd, int command, ...);
ssize_t utun_kernel_readv(int fd, const struct iovec *iov, int count);
ssize_t utun_kernel_writev(int fd, const struct iovec *iov, int count);
int utun_kernel_close(int fd);

#endif
