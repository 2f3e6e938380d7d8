/* Questions for the link address of a neighbour: ARP requests and neighbour solicitations. */
#include "ctl/links_solicit.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip6.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_packet.h>

#include "dataplane/cksum.h"

enum {
	HOPS_ON_LINK = 255, /* what was not forwarded (RFC 4861, section 7.1) */
};

struct solicitation {
	struct ip6_hdr ip;
	struct nd_neighbor_solicit question;
	struct nd_opt_hdr option;
	uint8_t mac[ETH_ALEN];
};

int solicit_open(uint32_t mark)
{
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && mark != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
	return fd < 0 ? -errno : fd;
}

static int own_mac(int fd, unsigned ifindex, uint8_t out[ETH_ALEN])
{
	struct ifreq request = {0};

	if (!if_indextoname(ifindex, request.ifr_name) || ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return -errno;
	memcpy(out, request.ifr_hwaddr.sa_data, ETH_ALEN);
	return 0;
}

static void write_arp(struct ether_arp *arp, const uint8_t own[ETH_ALEN], const struct addr *source,
		      const struct addr *target)
{
	const uint32_t from = htonl(source->v4), to = htonl(target->v4);

	*arp = (struct ether_arp){
		.arp_hrd = htons(ARPHRD_ETHER),
		.arp_pro = htons(ETHERTYPE_IP),
		.arp_hln = ETH_ALEN,
		.arp_pln = sizeof to,
		.arp_op = htons(ARPOP_REQUEST),
	};
	memcpy(arp->arp_sha, own, ETH_ALEN);
	if (source->version == 4)
		memcpy(arp->arp_spa, &from, sizeof from);
	memcpy(arp->arp_tpa, &to, sizeof to);
}

/* group: ff02::1:ff00:0/104 and the last three bytes of the target */
static void write_solicitation(struct solicitation *s, const uint8_t own[ETH_ALEN],
			       const struct addr *source, const struct addr *target, bool to_group)
{
	static const uint8_t group[13] = {0xff, 2, [11] = 1, [12] = 0xff};
	const uint16_t len = sizeof *s - sizeof s->ip;
	uint8_t bytes[16];

	memset(s, 0, sizeof *s);
	s->ip.ip6_flow = htonl(UINT32_C(6) << 28);
	s->ip.ip6_plen = htons(len);
	s->ip.ip6_nxt = IPPROTO_ICMPV6;
	s->ip.ip6_hlim = HOPS_ON_LINK;
	addr_to_bytes(source, bytes);
	memcpy(&s->ip.ip6_src, bytes, sizeof bytes);
	addr_to_bytes(target, bytes);
	memcpy(&s->question.nd_ns_target, bytes, sizeof bytes);
	if (to_group)
		memcpy(bytes, group, sizeof group);
	memcpy(&s->ip.ip6_dst, bytes, sizeof bytes);
	s->question.nd_ns_type = ND_NEIGHBOR_SOLICIT;
	s->option.nd_opt_type = ND_OPT_SOURCE_LINKADDR;
	s->option.nd_opt_len = 1; /* of 8 bytes */
	memcpy(s->mac, own, ETH_ALEN);
	s->question.nd_ns_cksum = (uint16_t)~cksum_fold(cksum_add(
		cksum_pseudo(6, s->ip.ip6_src.s6_addr, s->ip.ip6_dst.s6_addr, IPPROTO_ICMPV6, len),
		&s->question, len));
}

int solicit_send(int fd, unsigned ifindex, const struct addr *source, const struct addr *target,
		 const uint8_t mac[ETH_ALEN])
{
	const bool v4 = target->version == 4;
	union {
		struct ether_arp arp;
		struct solicitation solicitation;
	} frame;
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(v4 ? ETHERTYPE_ARP : ETHERTYPE_IPV6),
		.sll_ifindex = (int)ifindex,
		.sll_halen = ETH_ALEN,
		.sll_addr = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	};
	uint8_t own[ETH_ALEN];
	int rc = own_mac(fd, ifindex, own);

	if (rc < 0)
		return rc;
	if (v4) {
		write_arp(&frame.arp, own, source, target);
	} else if (source->version == 6) {
		write_solicitation(&frame.solicitation, own, source, target, mac == NULL);
		memcpy(to.sll_addr, (const uint8_t[]){0x33, 0x33}, 2);
		memcpy(to.sll_addr + 2, &frame.solicitation.ip.ip6_dst.s6_addr[12], 4);
	} else {
		return -EADDRNOTAVAIL;
	}
	if (mac)
		memcpy(to.sll_addr, mac, ETH_ALEN);
	if (sendto(fd, &frame, v4 ? sizeof frame.arp : sizeof frame.solicitation, 0,
		   (const struct sockaddr *)&to, sizeof to) < 0)
		return -errno;
	return 0;
}
