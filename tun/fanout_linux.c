#include "tun/fanout_linux.h"

#include "tun/bpf_linux.h"

#include <stddef.h>

/* The object that Zig made of bpf/fanout.c, in the folder that the build names. */
__asm__(".pushsection .rodata\n"
	".balign 8\n"
	".hidden fanout_object, fanout_object_end\n"
	".globl fanout_object, fanout_object_end\n"
	"fanout_object: .incbin \"fanout.bpf.o\"\n"
	"fanout_object_end:\n"
	".popsection\n");

extern const uint8_t fanout_object[] __attribute__((visibility("hidden")));
extern const uint8_t fanout_object_end[] __attribute__((visibility("hidden")));

int fanout_load(const struct fanout_slices *slices, struct bpf_object **out)
{
	const struct bpf_source source = {
		.object = fanout_object,
		.object_size = (size_t)(fanout_object_end - fanout_object),
		.name = "fanout",
		.constants = slices,
		.constants_size = sizeof(*slices),
	};

	return bpf_load(&source, out);
}
