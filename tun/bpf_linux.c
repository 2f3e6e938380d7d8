/* See bpf_linux.h. */
#include "tun/bpf_linux.h"

#include <bpf/libbpf.h>
#include <errno.h>

static int print_nothing(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

/* Errors of libbpf are -errno or NULL with errno set. */
static int load(struct bpf_object *object, const struct bpf_source *source)
{
	struct bpf_map *constants = bpf_object__find_map_by_name(object, ".rodata");
	const struct bpf_program *program;
	int rc;

	if (!constants)
		return -ENOTSUP;
	rc = bpf_map__set_initial_value(constants, source->constants, source->constants_size);
	if (rc == 0)
		rc = bpf_object__load(object);
	if (rc < 0)
		return rc;
	program = bpf_object__find_program_by_name(object, source->name);
	return program ? bpf_program__fd(program) : -ENOTSUP;
}

int bpf_load(const struct bpf_source *source, struct bpf_object **out)
{
	libbpf_print_fn_t print = libbpf_set_print(print_nothing);
	struct bpf_object *object = bpf_object__open_mem(source->object, source->object_size, NULL);
	int rc = object ? 0 : -errno;

	if (rc == 0)
		rc = load(object, source);
	libbpf_set_print(print);
	if (rc < 0) {
		bpf_object__close(object);
		return rc;
	}
	*out = object;
	return rc;
}

void bpf_unload(struct bpf_object *object)
{
	bpf_object__close(object);
}
