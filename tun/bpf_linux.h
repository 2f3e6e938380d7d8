/* Loads BPF programs that are part of the program file. Used inside tun/ only. */
#ifndef SLUICE_TUN_BPF_LINUX_H
#define SLUICE_TUN_BPF_LINUX_H

#include <stddef.h>
#include <stdint.h>

struct bpf_object;

/* A compiled program, and what it is told before it is loaded. */
struct bpf_source {
	const uint8_t *object; /* of BPF, aligned to 8 */
	size_t object_size;
	const char *name; /* of the program in it */
	const void *constants;
	size_t constants_size;
};

/*
 * Load a program into the kernel.
 *
 * out:     the caller's, by bpf_unload; the program stays where it is attached
 * Returns: its descriptor, or -errno: -EPERM (a user namespace may not load programs), -ENOTSUP,
 *          or the system's
 */
int bpf_load(const struct bpf_source *source, struct bpf_object **out);
void bpf_unload(struct bpf_object *object); /* NULL does nothing */

#endif
