/* What a network device does itself, as ethtool -k shows it. */
#ifndef SLUICE_TUN_FEATURES_LINUX_H
#define SLUICE_TUN_FEATURES_LINUX_H

#include <stdbool.h>

/*
 * Whether the device takes every kind of super-packet whole: TCP over both families, UDP, with
 * their checksums left to it, in pieces of memory. False also if the system does not say.
 */
bool device_takes_super_packets(const char *name);

#endif
