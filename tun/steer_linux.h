/* Loads the program that chooses queues into the kernel. Used inside tun/ only. */
#ifndef SLUICE_TUN_STEER_LINUX_H
#define SLUICE_TUN_STEER_LINUX_H

#include <stdint.h>

/*
 * Have a TUN device ask bpf/steer.c for the queue of each packet, in place of what it had before.
 * The device keeps the program.
 *
 * Errors: -EPERM (a user namespace may not load programs), -ENOTSUP, or the system's; the device
 * then goes on as before
 */
int steer_attach(int tun_fd, uint32_t seed);

#endif
