/*
 * The note that a capture leaves in the TUN's alias and in the nft table's comment, so that all of
 * it can be undone without configuration:
 *
 *   sluice table=5260 mark=0x51ce0000 pid=4711 reserved=40000-59999 strict=eth0:1,eth1:0
 */
#ifndef SLUICE_CTL_CAPTURE_NOTE_H
#define SLUICE_CTL_CAPTURE_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/ports.h"

enum {
	NOTE_MAX = 255, /* of an alias, with its terminator: the kernel takes IFALIASZ - 1 */
	NOTE_COMMENT_MAX = 128, /* of a comment, with its terminator */
	NOTE_STRICT_MAX = 8,
};

/* An interface whose rp_filter was strict, and what its own setting said. */
struct note_strict {
	char name[16];
	unsigned value;
};

struct note {
	uint32_t table;
	uint32_t mark;
	uint32_t pid;          /* 0: not known */
	struct ports reserved; /* what was added to ip_local_reserved_ports */
	struct note_strict strict[NOTE_STRICT_MAX];
	unsigned strict_count;
};

/* Whether a text is meant to be a note, readable or not. */
bool note_is_ours(const char *text);

/* Parse a note; words that are not known are passed over. Errors: -EINVAL */
int note_parse(const char *text, struct note *out);

/*
 * Write a note with its terminator.
 *
 * Errors: -E2BIG when it does not fit
 */
int note_format(const struct note *note, char *out, size_t size);

#endif
