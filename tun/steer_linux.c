#include "tun/steer_linux.h"

#include "tun/bpf_linux.h"
#include "tun/uapi_linux.h"

#include <errno.h>
#include <stddef.h>
#include <sys/ioctl.h>

/* The object that Zig made of bpf/steer.c, in the folder that the build names. */
__asm__(".pushsection .rodata\n"
	".balign 8\n"
	".hidden steer_object, steer_object_end\n"
	".globl steer_object, steer_object_end\n"
	"steer_object: .incbin \"steer.bpf.o\"\n"
	"steer_object_end:\n"
	".popsection\n");

extern const uint8_t steer_object[] __attribute__((visibility("hidden")));
extern const uint8_t steer_object_end[] __attribute__((visibility("hidden")));

int steer_attach(int tun_fd, uint32_t seed)
{
	const struct bpf_source source = {
		.object = steer_object,
		.object_size = (size_t)(steer_object_end - steer_object),
		.name = "steer",
		.constants = &seed,
		.constants_size = sizeof(seed),
	};
	struct bpf_object *object = NULL;
	int program = bpf_load(&source, &object);
	int rc = program < 0 ? program : 0;

	if (rc == 0 && ioctl(tun_fd, TUNSETSTEERINGEBPF, &program) < 0)
		rc = -errno;
	bpf_unload(object);
	return rc;
}
