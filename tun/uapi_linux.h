/* Names that the kernel has and Debian 12's headers (6.1) lack. */
#ifndef SLUICE_TUN_UAPI_LINUX_H
#define SLUICE_TUN_UAPI_LINUX_H

#include <linux/if_packet.h>
#include <linux/if_tun.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20 /* since 6.2; the kernel takes USO4 and USO6 only together */
#endif
#ifndef TUN_F_USO6
#define TUN_F_USO6 0x40
#endif

#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823 /* only in <linux/if_arp.h>, which clashes with <net/if.h> */
#endif

#endif
