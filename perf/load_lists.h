/* The lists that `sluice-perf load` has the daemon read, and the destinations inside them. */
#ifndef SLUICE_PERF_LOAD_LISTS_H
#define SLUICE_PERF_LOAD_LISTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lpm/prefix.h"
#include "perf/load_check.h"

enum {
	LOAD_DIR_MAX = 64,
};

struct load_prefix {
	struct prefix prefix;
	uint8_t class;
	bool aimed; /* a flow's destination is decided by it */
};

/*
 * Prefixes in two lists, left.txt and right.txt; each is in the one that its class and the
 * generation name. With edits the list on the left has the moving prefixes that flows aim at and
 * comes first, and that on the right has all: what leaves the left one falls to the right.
 */
struct load_lists {
	struct load_prefix *prefixes; /* IPv4 first, by (address, length) */
	size_t count4;
	size_t count;
	bool edits;
	char dir[LOAD_DIR_MAX];
};

/*
 * Prefixes of a file, or made up.
 *
 * file:   NULL: made up; else as the daemon reads lists
 * count:  how many to make up
 * dir:    an empty folder for the files
 * Errors: -errno, after a complaint on standard error
 */
int load_lists_init(struct load_lists *lists, const char *file, size_t count, bool edits,
		    const char *dir);
void load_lists_fini(struct load_lists *lists);

/*
 * Choose a destination for each flow, inside a prefix of the class flow % LOAD_CLASSES.
 *
 * addrs:   one a flow, host byte order
 * Errors:  -ENOENT (a class has no usable prefix), after a complaint
 */
int load_lists_aim(struct load_lists *lists, unsigned flows, uint32_t *addrs, uint8_t *classes);

/* Write the files that load_lists_select chooses from. Errors: -errno */
int load_lists_write(const struct load_lists *lists);

/* Put a generation's files in the place of left.txt and right.txt. Errors: -errno */
int load_lists_select(const struct load_lists *lists, uint32_t generation);

/* With edits: the prefixes that the next generation moves, as list.add and list.del take them. */
json_t *load_lists_moved_next(const struct load_lists *lists, uint32_t generation);

#endif
