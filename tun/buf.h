/*
 * A packet in memory, with what the kernel's offloads say of it.
 *
 * The offload words are those of virtio_net_hdr (virtio 1.2, section 5.1.6, legacy layout, host
 * byte order), as TUN with IFF_VNET_HDR and AF_PACKET with PACKET_VNET_HDR carry them. They come
 * from outside: nobody believes hdr_len, and csum_start, csum_offset and gso_size only after
 * packet_parse() has checked them.
 */
#ifndef SLUICE_TUN_BUF_H
#define SLUICE_TUN_BUF_H

#include <stdint.h>

enum {
	OFFLOAD_NEEDS_CSUM = 1, /* flags: the checksum field holds the pseudo-header's sum only */
	OFFLOAD_DATA_VALID = 2, /* flags: the checksum has been verified */

	OFFLOAD_GSO_NONE = 0,
	OFFLOAD_GSO_TCPV4 = 1,
	OFFLOAD_GSO_UDP = 3, /* UDP fragmentation (UFO); refused */
	OFFLOAD_GSO_TCPV6 = 4,
	OFFLOAD_GSO_UDP_L4 = 5, /* UDP segmentation (USO) */
	OFFLOAD_GSO_ECN = 0x80, /* or'ed to a TCP type */
};

struct offload {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;    /* payload bytes of a segment */
	uint16_t csum_start;  /* bytes from data, see below */
	uint16_t csum_offset; /* bytes from csum_start */
};

_Static_assert(sizeof(struct offload) == 10, "struct offload is virtio_net_hdr on the wire");

enum {
	BUF_SIZE = 65536 + 64, /* the longest IP packet, and room for a link header behind it */
};

/*
 * data points at the IP header; len counts from there. csum_start counts from data on both
 * sides: nic_*.c adds and removes the link header's length.
 */
struct buf {
	struct offload offload;
	uint32_t len;
	uint8_t *data;       /* BUF_SIZE bytes */
	uint8_t next_hop[6]; /* destination MAC for nic_send_burst on Ethernet devices */
};

#endif
