/* nft tables, seen and removed over netlink: works without the nft program. */
#ifndef SLUICE_CTL_NFT_NETLINK_H
#define SLUICE_CTL_NFT_NETLINK_H

#include <stddef.h>
#include <stdint.h>

enum {
	NFT_NETLINK_NAME_MAX = 64, /* longer names are not ours and are passed over */
	NFT_NETLINK_COMMENT_MAX = 128,
};

struct nft_table {
	uint8_t family; /* NFPROTO_INET or NFPROTO_NETDEV */
	char name[NFT_NETLINK_NAME_MAX];
	char comment[NFT_NETLINK_COMMENT_MAX];
};

/*
 * List the tables of family inet or netdev whose name starts with a prefix.
 *
 * out:    *count of them, the caller's, by free(); NULL when there are none
 * Errors: -ENOMEM or the system's; a kernel without nf_tables has none
 */
int nft_table_list(const char *prefix, struct nft_table **out, size_t *count);

/* What tells whether a table is still as it was. */
struct nft_state {
	uint64_t handle; /* another after each time the table was made */
	uint32_t flags;
	unsigned rules;
};

/* Look at a table. Errors: -ENOENT, or the system's */
int nft_table_look(uint8_t family, const char *name, struct nft_state *out);

/* Remove a table with all that is in it. Errors: -ENOENT, or the system's */
int nft_table_remove(uint8_t family, const char *name);

#endif
