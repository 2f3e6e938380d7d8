/*
 * The nft table of a capture: `inet sluice_NAME`.
 *
 * It remembers in the connection mark by which interface a connection from outside came in, and
 * gives the mark to its answers, so that policy rules lead them back there. And it keeps the kernel
 * from answering (RST, port unreachable) packets to the translated ports, which are Sluice's.
 */
#ifndef SLUICE_CTL_CAPTURE_NFT_H
#define SLUICE_CTL_CAPTURE_NFT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/conf.h"
#include "ctl/connections.h"
#include "ctl/ports.h"

enum {
	NFT_TABLE_NAME_MAX = 32,
	NFT_ERROR_MAX = 300,
	/* Low half of the mark: 1 + index is an egress; came in by an interface that is none. */
	NFT_MARK_OTHER = 0xffff,
};

#define NFT_TABLE_PREFIX "sluice_"

/* Whether an egress has ports of ours, which the kernel must leave alone. */
bool nft_is_translating(const struct conf_egress *egress);

/* The name of the table of a device; characters that nft does not take become "_". */
char *nft_table_name(const char *ifname, char out[NFT_TABLE_NAME_MAX]);

/* What the table depends on. */
struct nft_input {
	const struct conf *conf;
	const char *ifname;       /* the TUN */
	const struct ports *busy; /* ports that stay the kernel's */
	const struct connections
		*before;     /* connections to this host's servers that exist already */
	const char *comment; /* of the table, "" for none; no quotes */
};

/*
 * Write the whole ruleset as one transaction that replaces a table of that name.
 *
 * Errors: -EINVAL (an interface's name cannot be written in nft); the stream's own state is the
 *         caller's to check
 */
int nft_write(FILE *out, const struct nft_input *input);

/* Write the set `busy` of a table. */
void nft_write_busy(FILE *out, const struct ports *busy);

/*
 * Have `nft -f -` apply a text.
 *
 * error:  one line, filled on failure
 * Errors: -ENOENT (nft is not installed), -EINVAL (refused), or the system's
 */
int nft_apply(const char *text, size_t size, char error[NFT_ERROR_MAX]);

#endif
