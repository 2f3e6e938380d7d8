/* Classic BPF programs that find the translated port of a packet. */
#ifdef __linux__
#include "tun/nic_filter_linux.h"

#include "tun/fanout.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <string.h>

/* Where a jump may go: always forward, as classic BPF demands. */
enum label {
	NEXT, /* the instruction that follows */
	V4_PORT,
	V4_ICMP,
	V4_ECHO,
	V4_QUOTE,
	V4_QUOTE_PORT,
	V4_QUOTE_ECHO,
	V6,
	V6_PORT,
	V6_ICMP,
	V6_ECHO,
	V6_QUOTE,
	V6_QUOTE_PORT,
	V6_QUOTE_ECHO,
	V6_FRAGMENT, /* of which the program has no port to go by, or wants none */
	FOUND,       /* A holds the port */
	REJECT,
	EXTENSIONS, /* two for each that may be passed over, and one for what follows */
	QUOTED_EXTENSIONS = EXTENSIONS + 2 * FANOUT_EXTENSIONS_MAX + 1,
	LABELS = QUOTED_EXTENSIONS + 2 * FANOUT_QUOTED_MAX + 1,
};

enum {
	VLAN_ID_MASK = 0x0fff,
	IP4_IHL_MASK = 0x0f,
	IP4_FRAGMENT = 6, /* offset of flags and fragment offset */
	IP4_PROTOCOL = 9,
	IP6_NEXT_HEADER = 6,
	IP6_ADDRESSES = 8,
	IP6_LEN = 40,
	IP6_EXTENSION_LEN = 1,
	IP6_OFFSET = 2, /* in a fragment header */
	IP6_ID = 4,
	IP6_LATER = 0xfff8,    /* of the offset: not the first fragment */
	IP6_FRAGMENT = 0xfff9, /* not whole */
	L4_SOURCE = 0,
	L4_DESTINATION = 2,
	ECHO_ID = 4,
	ICMP_LEN = 8, /* then the quoted packet, in both families */
};

/* Until link() has run, jt and jf (k of an unconditional jump) hold labels. */
struct program {
	struct sock_filter *code;
	unsigned count;
	unsigned at[LABELS];
};

static void emit(struct program *p, unsigned code, uint32_t k)
{
	p->code[p->count++] = (struct sock_filter){.code = (uint16_t)code, .k = k};
}

static void jump(struct program *p, unsigned test, uint32_t k, enum label yes, enum label no)
{
	p->code[p->count++] = (struct sock_filter){
		.code = (uint16_t)(BPF_JMP | BPF_K | test),
		.jt = (uint8_t)yes,
		.jf = (uint8_t)no,
		.k = k,
	};
}

static void place(struct program *p, enum label label)
{
	p->at[label] = p->count;
}

static unsigned distance(const struct program *p, unsigned from, unsigned label)
{
	return label == NEXT ? 0 : p->at[label] - from - 1;
}

static void link_labels(struct program *p)
{
	for (unsigned i = 0; i < p->count; i++) {
		struct sock_filter *f = &p->code[i];

		if (BPF_CLASS(f->code) != BPF_JMP)
			continue;
		if (BPF_OP(f->code) == BPF_JA) {
			f->k = distance(p, i, f->k);
			continue;
		}
		f->jt = (uint8_t)distance(p, i, f->jt);
		f->jf = (uint8_t)distance(p, i, f->jf);
	}
}

static void load8(struct program *p, uint32_t offset)
{
	emit(p, BPF_LD | BPF_B | BPF_ABS, offset);
}

static void load16(struct program *p, uint32_t offset)
{
	emit(p, BPF_LD | BPF_H | BPF_ABS, offset);
}

static void load8_after_x(struct program *p, uint32_t offset)
{
	emit(p, BPF_LD | BPF_B | BPF_IND, offset);
}

static void load16_after_x(struct program *p, uint32_t offset)
{
	emit(p, BPF_LD | BPF_H | BPF_IND, offset);
}

static void load32_after_x(struct program *p, uint32_t offset)
{
	emit(p, BPF_LD | BPF_W | BPF_IND, offset);
}

/* What the kernel knows of a packet apart from its bytes. */
static void load_meta(struct program *p, int which)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + which));
}

static void go(struct program *p, enum label label)
{
	emit(p, BPF_JMP | BPF_JA, label);
}

/* Go on by the layer 4 protocol in A. */
static void switch_protocol(struct program *p, uint32_t icmp, enum label on_icmp,
			    enum label on_port)
{
	jump(p, BPF_JEQ, icmp, on_icmp, NEXT);
	jump(p, BPF_JEQ, IPPROTO_TCP, on_port, NEXT);
	jump(p, BPF_JEQ, IPPROTO_UDP, on_port, REJECT);
}

/* X: the length of the outer IP header, then of both IP headers. */
static void find_port_v4(struct program *p, uint32_t ip)
{
	const uint32_t quoted = ip + ICMP_LEN;

	load16(p, ip + IP4_FRAGMENT);
	jump(p, BPF_JSET, IP_OFFMASK, REJECT, NEXT);
	emit(p, BPF_LDX | BPF_B | BPF_MSH, ip);
	load8(p, ip + IP4_PROTOCOL);
	switch_protocol(p, IPPROTO_ICMP, V4_ICMP, V4_PORT);

	place(p, V4_PORT);
	load16_after_x(p, ip + L4_DESTINATION);
	go(p, FOUND);

	place(p, V4_ICMP);
	load8_after_x(p, ip);
	jump(p, BPF_JEQ, ICMP_ECHOREPLY, V4_ECHO, NEXT);
	jump(p, BPF_JEQ, ICMP_DEST_UNREACH, V4_QUOTE, NEXT);
	jump(p, BPF_JEQ, ICMP_TIME_EXCEEDED, V4_QUOTE, NEXT);
	jump(p, BPF_JEQ, ICMP_PARAMETERPROB, V4_QUOTE, REJECT);

	place(p, V4_ECHO);
	load16_after_x(p, ip + ECHO_ID);
	go(p, FOUND);

	place(p, V4_QUOTE);
	load16_after_x(p, quoted + IP4_FRAGMENT);
	jump(p, BPF_JSET, IP_OFFMASK, REJECT, NEXT);
	load8_after_x(p, quoted + IP4_PROTOCOL);
	emit(p, BPF_ST, 0);
	load8_after_x(p, quoted);
	emit(p, BPF_ALU | BPF_AND | BPF_K, IP4_IHL_MASK);
	emit(p, BPF_ALU | BPF_LSH | BPF_K, 2);
	emit(p, BPF_ALU | BPF_ADD | BPF_X, 0);
	emit(p, BPF_MISC | BPF_TAX, 0);
	emit(p, BPF_LD | BPF_MEM, 0);
	switch_protocol(p, IPPROTO_ICMP, V4_QUOTE_ECHO, V4_QUOTE_PORT);

	place(p, V4_QUOTE_PORT);
	load16_after_x(p, quoted + L4_SOURCE);
	go(p, FOUND);

	place(p, V4_QUOTE_ECHO);
	load8_after_x(p, quoted);
	jump(p, BPF_JEQ, ICMP_ECHO, NEXT, REJECT);
	load16_after_x(p, quoted + ECHO_ID);
	go(p, FOUND);
}

/*
 * Pass over the extension headers behind an IPv6 header; its next one is in A, and X is where that
 * starts, counted from ip. At the end they are those of layer 4.
 *
 * fragments: the bits of an offset with which to go to on_fragment
 */
static void pass_extensions(struct program *p, uint32_t ip, unsigned label, unsigned count,
			    uint32_t fragments, enum label on_fragment)
{
	const unsigned done = label + 2 * count;

	for (unsigned i = 0; i < count; i++, label += 2) {
		jump(p, BPF_JEQ, IPPROTO_DSTOPTS, label, NEXT);
		jump(p, BPF_JEQ, IPPROTO_HOPOPTS, label, NEXT);
		jump(p, BPF_JEQ, IPPROTO_ROUTING, label, NEXT);
		jump(p, BPF_JEQ, IPPROTO_FRAGMENT, NEXT, done);
		load16_after_x(p, ip + IP6_OFFSET);
		jump(p, BPF_JSET, fragments, on_fragment, NEXT);
		emit(p, BPF_LD | BPF_IMM, 0); /* its length, which it does not tell */
		go(p, label + 1);
		place(p, label);
		load8_after_x(p, ip + IP6_EXTENSION_LEN);
		place(p, label + 1);
		emit(p, BPF_ALU | BPF_ADD | BPF_K, 1);
		emit(p, BPF_ALU | BPF_LSH | BPF_K, 3);
		emit(p, BPF_ALU | BPF_ADD | BPF_X, 0);
		emit(p, BPF_ST, 0);
		load8_after_x(p, ip);
		emit(p, BPF_LDX | BPF_MEM, 0);
	}
	place(p, done);
}

static void find_port_v6(struct program *p, uint32_t ip, uint32_t fragments)
{
	const uint32_t quoted = ip + ICMP_LEN;

	place(p, V6);
	load8(p, ip + IP6_NEXT_HEADER);
	emit(p, BPF_LDX | BPF_IMM, IP6_LEN);
	pass_extensions(p, ip, EXTENSIONS, FANOUT_EXTENSIONS_MAX, fragments, V6_FRAGMENT);
	switch_protocol(p, IPPROTO_ICMPV6, V6_ICMP, V6_PORT);

	place(p, V6_PORT);
	load16_after_x(p, ip + L4_DESTINATION);
	go(p, FOUND);

	place(p, V6_ICMP);
	load8_after_x(p, ip);
	jump(p, BPF_JEQ, ICMP6_ECHO_REPLY, V6_ECHO, NEXT);
	jump(p, BPF_JEQ, ICMP6_DST_UNREACH, V6_QUOTE, NEXT);
	jump(p, BPF_JEQ, ICMP6_PACKET_TOO_BIG, V6_QUOTE, NEXT);
	jump(p, BPF_JEQ, ICMP6_TIME_EXCEEDED, V6_QUOTE, NEXT);
	jump(p, BPF_JEQ, ICMP6_PARAM_PROB, V6_QUOTE, REJECT);

	place(p, V6_ECHO);
	load16_after_x(p, ip + ECHO_ID);
	go(p, FOUND);

	place(p, V6_QUOTE);
	load8_after_x(p, quoted + IP6_NEXT_HEADER);
	emit(p, BPF_ST, 0);
	emit(p, BPF_MISC | BPF_TXA, 0);
	emit(p, BPF_ALU | BPF_ADD | BPF_K, ICMP_LEN + IP6_LEN);
	emit(p, BPF_MISC | BPF_TAX, 0);
	emit(p, BPF_LD | BPF_MEM, 0);
	pass_extensions(p, ip, QUOTED_EXTENSIONS, FANOUT_QUOTED_MAX, IP6_LATER, REJECT);
	switch_protocol(p, IPPROTO_ICMPV6, V6_QUOTE_ECHO, V6_QUOTE_PORT);

	place(p, V6_QUOTE_PORT);
	load16_after_x(p, ip + L4_SOURCE);
	go(p, FOUND);

	place(p, V6_QUOTE_ECHO);
	load8_after_x(p, ip);
	jump(p, BPF_JEQ, ICMP6_ECHO_REQUEST, NEXT, REJECT);
	load16_after_x(p, ip + ECHO_ID);
	go(p, FOUND);
}

/* As fanout_of_fragment. X: where the fragment header starts, counted from the IP header. */
static void choose_by_fragment(struct program *p, unsigned queues)
{
	load32_after_x(p, IP6_ID);
	for (uint32_t at = IP6_ADDRESSES; at < IP6_LEN; at += 4) {
		emit(p, BPF_MISC | BPF_TAX, 0);
		emit(p, BPF_LD | BPF_W | BPF_ABS, at);
		emit(p, BPF_ALU | BPF_XOR | BPF_X, 0);
	}
	emit(p, BPF_ALU | BPF_MUL | BPF_K, FANOUT_MULTIPLIER);
	emit(p, BPF_ALU | BPF_RSH | BPF_K, 16);
	emit(p, BPF_ALU | BPF_MOD | BPF_K, queues);
	emit(p, BPF_RET | BPF_A, 0);
}

/*
 * Jump to FOUND with the port in A, to V6_FRAGMENT, or to REJECT. Bytes are loaded by plain
 * offsets, not from SKF_NET_OFF on: those loads reach only the linear part of a packet and fail on
 * what a driver left in pages.
 *
 * fragments: of IPv6, by the bits of their offset, that go to V6_FRAGMENT
 */
static void find_port(struct program *p, uint32_t ip, uint32_t fragments)
{
	load_meta(p, SKF_AD_PROTOCOL);
	jump(p, BPF_JEQ, ETH_P_IPV6, V6, NEXT);
	jump(p, BPF_JEQ, ETH_P_IP, NEXT, REJECT);
	find_port_v4(p, ip);
	find_port_v6(p, ip, fragments);
}

unsigned nic_filter_accept(struct sock_filter out[NIC_FILTER_MAX], unsigned link_len,
			   uint16_t port_first, unsigned port_count)
{
	struct program p = {.code = out};

	load_meta(&p, SKF_AD_PKTTYPE);
	jump(&p, BPF_JEQ, PACKET_HOST, NEXT, REJECT);
	load_meta(&p, SKF_AD_VLAN_TAG); /* the kernel took the tag out of the frame */
	jump(&p, BPF_JSET, VLAN_ID_MASK, REJECT, NEXT);
	find_port(&p, link_len, IP6_LATER); /* a first one by its port */
	place(&p, FOUND);
	emit(&p, BPF_ALU | BPF_SUB | BPF_K, port_first);
	jump(&p, BPF_JGE, port_count, REJECT, NEXT);
	place(&p, V6_FRAGMENT);
	emit(&p, BPF_RET | BPF_K, UINT32_MAX);
	place(&p, REJECT);
	emit(&p, BPF_RET | BPF_K, 0);
	link_labels(&p);
	return p.count;
}

unsigned nic_filter_fanout(struct sock_filter out[NIC_FILTER_MAX], uint16_t port_first,
			   uint16_t slice, unsigned queues)
{
	struct program p = {.code = out};

	find_port(&p, 0, IP6_FRAGMENT); /* all of a datagram alike */
	place(&p, FOUND);
	emit(&p, BPF_ALU | BPF_SUB | BPF_K, port_first);
	jump(&p, BPF_JGE, slice * queues, REJECT, NEXT);
	emit(&p, BPF_ALU | BPF_DIV | BPF_K, slice);
	emit(&p, BPF_RET | BPF_A, 0);
	place(&p, V6_FRAGMENT);
	choose_by_fragment(&p, queues);
	place(&p, REJECT);
	emit(&p, BPF_RET | BPF_K, 0);
	link_labels(&p);
	return p.count;
}
#endif
