/* A macOS kernel that knows nothing but utun. */
#include "utun_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/kern_control.h>

enum {
	CONTROL_ID = 7,
	CONTROL = 2, /* SYSPROTO_CONTROL and AF_SYS_CONTROL */
	OPT_IFNAME = 2,
	FREE_UNIT = 5, /* what "any" becomes: utun4 */
};

struct utun_kernel utun_kernel;

void utun_kernel_reset(void)
{
	utun_kernel = (struct utun_kernel){.unit = UINT32_MAX};
}

void utun_kernel_send(const void *bytes, size_t len)
{
	struct utun_kernel_packet *p = &utun_kernel.in[utun_kernel.in_count++];

	memcpy(p->bytes, bytes, len);
	p->len = len;
}

/* Whether this call shall fail now. */
static bool fails(enum utun_kernel_call call)
{
	if (utun_kernel.fails != call || utun_kernel.fail_count == 0)
		return false;
	utun_kernel.fail_count--;
	errno = utun_kernel.fail_errno;
	return true;
}

static int refuse(int error)
{
	errno = error;
	return -1;
}

int utun_kernel_socket(int domain, int type, int protocol)
{
	if (fails(UTUN_KERNEL_SOCKET))
		return -1;
	if (domain != PF_SYSTEM || type != SOCK_DGRAM || protocol != CONTROL)
		return refuse(EPROTONOSUPPORT);
	utun_kernel.open_fds++;
	return UTUN_KERNEL_FD;
}

int utun_kernel_ioctl(int fd, unsigned long request, ...)
{
	struct ctl_info *info;
	va_list args;

	va_start(args, request);
	info = va_arg(args, struct ctl_info *);
	va_end(args);
	if (fails(UTUN_KERNEL_IOCTL))
		return -1;
	if (fd != UTUN_KERNEL_FD || request != CTLIOCGINFO)
		return refuse(EINVAL);
	if (strcmp(info->ctl_name, "com.apple.net.utun_control") != 0)
		return refuse(ENOENT);
	info->ctl_id = CONTROL_ID;
	return 0;
}

int utun_kernel_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	struct sockaddr_ctl control;

	if (fails(UTUN_KERNEL_CONNECT))
		return -1;
	if (fd != UTUN_KERNEL_FD || len != sizeof(control))
		return refuse(EINVAL);
	memcpy(&control, address, sizeof(control));
	if (control.sc_len != sizeof(control) || control.sc_family != AF_SYSTEM ||
	    control.ss_sysaddr != CONTROL || control.sc_id != CONTROL_ID)
		return refuse(EINVAL);
	utun_kernel.unit = control.sc_unit;
	return 0;
}

int utun_kernel_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	uint32_t unit = utun_kernel.unit > 0 ? utun_kernel.unit : FREE_UNIT;
	int n;

	if (fails(UTUN_KERNEL_GETSOCKOPT))
		return -1;
	if (fd != UTUN_KERNEL_FD || level != CONTROL || name != OPT_IFNAME)
		return refuse(EINVAL);
	n = snprintf(value, *len, "utun%u", unit - 1);
	*len = (socklen_t)n + 1;
	return 0;
}

int utun_kernel_fcntl(int fd, int command, ...)
{
	va_list args;
	int value;

	if (fd != UTUN_KERNEL_FD)
		return refuse(EBADF);
	if (command == F_GETFL)
		return utun_kernel.status_flags;
	va_start(args, command);
	value = va_arg(args, int);
	va_end(args);
	if (fails(command == F_SETFD ? UTUN_KERNEL_SETFD : UTUN_KERNEL_SETFL))
		return -1;
	if (command == F_SETFD)
		utun_kernel.fd_flags = value;
	else
		utun_kernel.status_flags = value;
	return 0;
}

ssize_t utun_kernel_readv(int fd, const struct iovec *iov, int count)
{
	const struct utun_kernel_packet *p = &utun_kernel.in[utun_kernel.in_first];
	size_t done = 0;

	if (fails(UTUN_KERNEL_READV))
		return utun_kernel.fail_errno == 0 ? 0 : -1;
	if (fd != UTUN_KERNEL_FD)
		return refuse(EBADF);
	if (utun_kernel.in_first == utun_kernel.in_count)
		return refuse(EAGAIN);
	utun_kernel.in_first++;
	for (int i = 0; i < count && done < p->len; i++) {
		size_t part = p->len - done < iov[i].iov_len ? p->len - done : iov[i].iov_len;

		memcpy(iov[i].iov_base, p->bytes + done, part);
		done += part;
	}
	return (ssize_t)done;
}

ssize_t utun_kernel_writev(int fd, const struct iovec *iov, int count)
{
	struct utun_kernel_packet *p = &utun_kernel.out[utun_kernel.out_count];

	if (fails(UTUN_KERNEL_WRITEV))
		return -1;
	if (fd != UTUN_KERNEL_FD)
		return refuse(EBADF);
	p->len = 0;
	for (int i = 0; i < count; i++) {
		size_t room = p->len < sizeof(p->bytes) ? sizeof(p->bytes) - p->len : 0;

		memcpy(p->bytes + (sizeof(p->bytes) - room), iov[i].iov_base,
		       iov[i].iov_len < room ? iov[i].iov_len : room);
		p->len += iov[i].iov_len;
	}
	utun_kernel.out_count++;
	return (ssize_t)p->len;
}

int utun_kernel_close(int fd)
{
	if (fd != UTUN_KERNEL_FD)
		return refuse(EBADF);
	utun_kernel.open_fds--;
	return 0;
}
