/* What a reload would move, asked of the running program; and how differences are told. */
#ifndef SLUICE_CTL_DIFF_H
#define SLUICE_CTL_DIFF_H

#include <jansson.h>

#include "ctl/rpc.h"
#include "lpm/diff.h"

enum {
	DIFF_BLOCKS_MAX = 80,       /* text of diff_blocks_format with its terminator */
	DIFF_CHANGES_SHOWN = 10000, /* prefixes at most in an answer of the daemon */
};

/*
 * Write a number of IPv6 addresses as the fewest blocks of the usual sizes that make it up, as in
 * "2 /32 + 17 /48 + 3 /128", or "0"; returns out.
 */
char *diff_blocks_format(const struct diff_count *count, char out[DIFF_BLOCKS_MAX]);

/* A number of addresses: an integer for IPv4, a string of digits for IPv6. */
json_t *diff_json_count(const struct diff_count *count, unsigned version);

/*
 * The method "diff": read and build aside what a reload would, compare it with what is running,
 * publish nothing. See the head of diff.c for its parameters and its result.
 */
int diff_method(void *context, const json_t *params, json_t **result, struct rpc_error *err);

#endif
