/* An interpreter of those classic BPF instructions that tun/nic_filter_linux.c uses. */
#include "tests/model/bpf.h"

struct machine {
	uint32_t a;
	uint32_t x;
	uint32_t memory[BPF_MEMWORDS];
	const struct bpf_packet *packet;
	bool failed;
};

static bool is_known(uint16_t code)
{
	switch (code) {
	case BPF_LD | BPF_W | BPF_ABS:
	case BPF_LD | BPF_H | BPF_ABS:
	case BPF_LD | BPF_B | BPF_ABS:
	case BPF_LD | BPF_W | BPF_IND:
	case BPF_LD | BPF_H | BPF_IND:
	case BPF_LD | BPF_B | BPF_IND:
	case BPF_LD | BPF_IMM:
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_IMM:
	case BPF_LDX | BPF_MEM:
	case BPF_LDX | BPF_B | BPF_MSH:
	case BPF_ST:
	case BPF_ALU | BPF_ADD | BPF_X:
	case BPF_ALU | BPF_ADD | BPF_K:
	case BPF_ALU | BPF_SUB | BPF_K:
	case BPF_ALU | BPF_MUL | BPF_K:
	case BPF_ALU | BPF_DIV | BPF_K:
	case BPF_ALU | BPF_MOD | BPF_K:
	case BPF_ALU | BPF_AND | BPF_K:
	case BPF_ALU | BPF_XOR | BPF_X:
	case BPF_ALU | BPF_LSH | BPF_K:
	case BPF_ALU | BPF_RSH | BPF_K:
	case BPF_MISC | BPF_TAX:
	case BPF_MISC | BPF_TXA:
	case BPF_JMP | BPF_JA:
	case BPF_JMP | BPF_JEQ | BPF_K:
	case BPF_JMP | BPF_JGE | BPF_K:
	case BPF_JMP | BPF_JSET | BPF_K:
	case BPF_RET | BPF_K:
	case BPF_RET | BPF_A:
		return true;
	default:
		return false;
	}
}

bool bpf_is_valid(const struct sock_filter *code, unsigned count)
{
	if (count == 0 || count > BPF_MAXINSNS || BPF_CLASS(code[count - 1].code) != BPF_RET)
		return false;
	for (unsigned i = 0; i < count; i++) {
		const struct sock_filter *f = &code[i];
		const unsigned left = count - i - 1;

		if (!is_known(f->code))
			return false;
		if ((f->code == (BPF_ALU | BPF_DIV | BPF_K) ||
		     f->code == (BPF_ALU | BPF_MOD | BPF_K)) &&
		    f->k == 0)
			return false;
		if ((f->code == BPF_ST || f->code == (BPF_LD | BPF_MEM) ||
		     f->code == (BPF_LDX | BPF_MEM)) &&
		    f->k >= BPF_MEMWORDS)
			return false;
		if (f->code == (BPF_JMP | BPF_JA) && f->k >= left)
			return false;
		if (BPF_CLASS(f->code) == BPF_JMP && (f->jt >= left || f->jf >= left))
			return false;
	}
	return true;
}

static uint32_t load_meta(struct machine *m, uint32_t k)
{
	switch (k - (uint32_t)SKF_AD_OFF) {
	case SKF_AD_PROTOCOL:
		return m->packet->protocol;
	case SKF_AD_PKTTYPE:
		return m->packet->type;
	case SKF_AD_VLAN_TAG:
		return m->packet->vlan_tag;
	default:
		m->failed = true;
		return 0;
	}
}

static uint32_t load(struct machine *m, uint32_t at, unsigned size)
{
	uint32_t value = 0;

	if (at >= (uint32_t)SKF_LL_OFF)
		return load_meta(m, at);
	if (at > m->packet->len || m->packet->len - at < size) {
		m->failed = true;
		return 0;
	}
	for (unsigned i = 0; i < size; i++)
		value = value << 8 | m->packet->bytes[at + i];
	return value;
}

static void calculate(struct machine *m, const struct sock_filter *f)
{
	switch (f->code) {
	case BPF_ALU | BPF_ADD | BPF_X:
		m->a += m->x;
		break;
	case BPF_ALU | BPF_ADD | BPF_K:
		m->a += f->k;
		break;
	case BPF_ALU | BPF_SUB | BPF_K:
		m->a -= f->k;
		break;
	case BPF_ALU | BPF_MUL | BPF_K:
		m->a *= f->k;
		break;
	case BPF_ALU | BPF_DIV | BPF_K:
		m->a /= f->k;
		break;
	case BPF_ALU | BPF_MOD | BPF_K:
		m->a %= f->k;
		break;
	case BPF_ALU | BPF_AND | BPF_K:
		m->a &= f->k;
		break;
	case BPF_ALU | BPF_XOR | BPF_X:
		m->a ^= m->x;
		break;
	case BPF_ALU | BPF_LSH | BPF_K:
		m->a <<= f->k;
		break;
	case BPF_ALU | BPF_RSH | BPF_K:
		m->a >>= f->k;
		break;
	default:
		m->failed = true;
	}
}

/* All that is neither arithmetic, nor a jump, nor a return. */
static void step(struct machine *m, const struct sock_filter *f)
{
	switch (f->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		m->a = load(m, f->k, 4);
		break;
	case BPF_LD | BPF_H | BPF_ABS:
		m->a = load(m, f->k, 2);
		break;
	case BPF_LD | BPF_B | BPF_ABS:
		m->a = load(m, f->k, 1);
		break;
	case BPF_LD | BPF_W | BPF_IND:
		m->a = load(m, m->x + f->k, 4);
		break;
	case BPF_LD | BPF_H | BPF_IND:
		m->a = load(m, m->x + f->k, 2);
		break;
	case BPF_LD | BPF_B | BPF_IND:
		m->a = load(m, m->x + f->k, 1);
		break;
	case BPF_LD | BPF_IMM:
		m->a = f->k;
		break;
	case BPF_LD | BPF_MEM:
		m->a = m->memory[f->k];
		break;
	case BPF_LDX | BPF_IMM:
		m->x = f->k;
		break;
	case BPF_LDX | BPF_MEM:
		m->x = m->memory[f->k];
		break;
	case BPF_LDX | BPF_B | BPF_MSH:
		m->x = 4 * (load(m, f->k, 1) & 0xf);
		break;
	case BPF_ST:
		m->memory[f->k] = m->a;
		break;
	case BPF_MISC | BPF_TAX:
		m->x = m->a;
		break;
	case BPF_MISC | BPF_TXA:
		m->a = m->x;
		break;
	default:
		m->failed = true;
	}
}

static bool holds(const struct machine *m, const struct sock_filter *f)
{
	switch (BPF_OP(f->code)) {
	case BPF_JEQ:
		return m->a == f->k;
	case BPF_JGE:
		return m->a >= f->k;
	default:
		return (m->a & f->k) != 0;
	}
}

uint32_t bpf_run(const struct sock_filter *code, unsigned count, const struct bpf_packet *packet)
{
	struct machine m = {.packet = packet};

	for (unsigned i = 0; i < count; i++) {
		const struct sock_filter *f = &code[i];

		if (BPF_CLASS(f->code) == BPF_RET)
			return BPF_RVAL(f->code) == BPF_A ? m.a : f->k;
		if (f->code == (BPF_JMP | BPF_JA)) {
			i += f->k;
			continue;
		}
		if (BPF_CLASS(f->code) == BPF_JMP) {
			i += holds(&m, f) ? f->jt : f->jf;
			continue;
		}
		if (BPF_CLASS(f->code) == BPF_ALU)
			calculate(&m, f);
		else
			step(&m, f);
		if (m.failed)
			return 0;
	}
	return 0;
}
