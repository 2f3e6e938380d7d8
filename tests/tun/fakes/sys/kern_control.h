/* What tun/tun_utun.c takes from macOS's header of that name. */
#ifndef SLUICE_TESTS_FAKES_KERN_CONTROL_H
#define SLUICE_TESTS_FAKES_KERN_CONTROL_H

#include <stdint.h>
#include <sys/ioctl.h>

#define AF_SYSTEM 32
#define PF_SYSTEM AF_SYSTEM
#define MAX_KCTL_NAME 96
#define CTLIOCGINFO _IOWR('N', 3, struct ctl_info)

struct ctl_info {
	uint32_t ctl_id;
	char ctl_name[MAX_KCTL_NAME];
};

struct sockaddr_ctl {
	unsigned char sc_len;
	unsigned char sc_family;
	uint16_t ss_sysaddr;
	uint32_t sc_id;
	uint32_t sc_unit;
	uint32_t sc_reserved[5];
};

#endif
