/* A capture's state, and what capture_up and the repair both do. Nobody else's. */
#ifndef SLUICE_CTL_CAPTURE_STATE_H
#define SLUICE_CTL_CAPTURE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/capture.h"
#include "ctl/capture_note.h"
#include "ctl/capture_routes.h"
#include "ctl/capture_watch.h"
#include "ctl/netlink_linux.h"
#include "ctl/nft_netlink.h"
#include "ctl/ports.h"

enum { CAPTURE_WARNINGS_MAX = 1000 };

struct capture {
	struct conf conf; /* its lists, rules and path are not ours and NULL */
	char ifname[NETLINK_NAME_MAX];
	unsigned ifindex;
	unsigned mtu;
	struct netlink *netlink;
	bool ipv6;        /* this kernel has it: rules and routes of both families */
	bool ipv6_device; /* it is in use: the TUN takes part */
	bool took_over;   /* rules of an earlier run were there and protect */
	bool had_note;    /* of an earlier run */
	struct note old_note;
	struct note note;
	struct ports busy_set;
	uint16_t *busy;
	size_t busy_count;
	char warnings[CAPTURE_WARNINGS_MAX];
	char *error; /* the caller's, while a call runs */

	struct capture_watch *watch;
	struct nft_state nft;                 /* of the table as it was applied */
	char *hairpins;                       /* text of the netdev table that was tried last */
	struct nft_state hairpin_nft;         /* 0: the kernel, or nft, does not know it */
	struct link links[CONF_EGRESSES_MAX]; /* the newest, without neighbours */
	unsigned link_count;
	bool damaged; /* as far as the news tell */
	uint64_t look_ms;
	uint64_t repairs_ms;  /* REPAIR_MS for each repair, but not before now */
	uint64_t repaired_ms; /* the last time */
	uint64_t told_ms;
	uint64_t repairs;
	struct capture_tally untold;
	char problem[CAPTURE_ERROR_MAX];
};

/* Set the error to "doing THING: why", from the kernel's words where it had some. Returns rc. */
int capture_fail(struct capture *capture, int rc, const char *thing);

/*
 * Put in place what is missing of the capture table's routes, or of the rules, of one family.
 *
 * through: also the way into the TUN; without it all is unreachable
 * tally:   what was missing is counted
 * Errors:  the kernel's first, with the error set; all are tried
 */
int capture_put_routes(struct capture *capture, uint8_t version, bool through,
		       struct capture_tally *tally);
int capture_put_rules(struct capture *capture, uint8_t version, struct capture_tally *tally);

/* Apply the nft table in place of what is there, and remember how it then looks. Errors: as above
 */
int capture_put_nft(struct capture *capture);

/*
 * Turn round into the TUN what hosts behind us send to our own translated ports, as the newest
 * links say. Without capture `forward` there is nothing to do.
 *
 * put:    look whether it is still there, and count it if not; NULL: cheap when nothing moved
 * Errors: the system's, with the error set; not tried again until the links move
 */
int capture_put_hairpins(struct capture *capture, struct capture_tally *put);

/* What an earlier run left, for one that does not capture `forward`. */
void capture_remove_hairpins(struct capture *capture);

#endif
