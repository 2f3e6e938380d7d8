/*
 * What tun/tun_utun.c takes from macOS's header of that name; and, since it alone includes this
 * one, the place where its system calls are turned into those of utun_kernel.h.
 */
#ifndef SLUICE_TESTS_FAKES_IF_UTUN_H
#define SLUICE_TESTS_FAKES_IF_UTUN_H

#define UTUN_CONTROL_NAME "com.apple.net.utun_control"
#define UTUN_OPT_IFNAME 2

#ifdef SLUICE_UTUN_FAKE
#include "utun_kernel.h"

#define socket utun_kernel_socket
#define ioctl utun_kernel_ioctl
#define connect utun_kernel_connect
#define getsockopt utun_kernel_getsockopt
#define fcntl utun_kernel_fcntl
#define readv utun_kernel_readv
#define writev utun_kernel_writev
#define close utun_kernel_close
#endif

#endif
