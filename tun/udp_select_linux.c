/* See udp_select_linux.h. Asks the kernel nothing. */
#include "tun/udp_select_linux.h"

#include "tun/udp.h"

#include <string.h>

unsigned udp_select_build(unsigned queues, struct sock_filter code[UDP_SELECT_CODE_MAX])
{
	const struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, UDP_INDEX + 4, 0, 17),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UDP_TYPE_SESSION, 0, 15),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, UDP_INDEX + 3),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 8),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, UDP_INDEX + 2),
		BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 8),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, UDP_INDEX + 1),
		BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 8),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, UDP_INDEX),
		BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, queues),
		BPF_STMT(BPF_RET | BPF_A, 0),
		/* More than there are: the kernel's hash chooses. */
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};

	memcpy(code, program, sizeof(program));
	return sizeof(program) / sizeof(program[0]);
}
