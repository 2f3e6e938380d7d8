#include "tun/steer_linux.h"

#include "tun/uapi_linux.h"

#include <bpf/libbpf.h>
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

static int print_nothing(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

/* Errors of libbpf are -errno or NULL with errno set. */
static int load(struct bpf_object *object, uint32_t seed, int *program)
{
	struct bpf_map *constants = bpf_object__find_map_by_name(object, ".rodata");
	const struct bpf_program *steer;
	int rc;

	if (!constants)
		return -ENOTSUP;
	rc = bpf_map__set_initial_value(constants, &seed, sizeof(seed));
	if (rc == 0)
		rc = bpf_object__load(object);
	if (rc < 0)
		return rc;
	steer = bpf_object__find_program_by_name(object, "steer");
	if (!steer)
		return -ENOTSUP;
	*program = bpf_program__fd(steer);
	return 0;
}

int steer_attach(int tun_fd, uint32_t seed)
{
	libbpf_print_fn_t print = libbpf_set_print(print_nothing);
	const size_t size = (size_t)(steer_object_end - steer_object);
	struct bpf_object *object = bpf_object__open_mem(steer_object, size, NULL);
	int rc = object ? 0 : -errno;
	int program;

	if (rc == 0)
		rc = load(object, seed, &program);
	if (rc == 0 && ioctl(tun_fd, TUNSETSTEERINGEBPF, &program) < 0)
		rc = -errno;
	bpf_object__close(object);
	libbpf_set_print(print);
	return rc;
}
