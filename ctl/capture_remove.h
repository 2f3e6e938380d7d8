/* Takes away what a capture put into the system, but for the device. */
#ifndef SLUICE_CTL_CAPTURE_REMOVE_H
#define SLUICE_CTL_CAPTURE_REMOVE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/capture.h"
#include "ctl/capture_note.h"
#include "ctl/netlink_linux.h"

enum { REMOVE_DEVICES_MAX = 16 };

/* What is to be removed, and how it went. */
struct removal {
	struct netlink *netlink;
	const char *ifname; /* NULL: of all devices, everything with our protocol number or name */
	unsigned ifindex;   /* of ifname; 0: gone */
	struct note notes[REMOVE_DEVICES_MAX]; /* all that were found, doubles allowed */
	unsigned note_count;
	uint32_t table; /* a capture table that is known otherwise; 0: none */
	FILE *log;      /* one line for each thing removed; NULL: silent */
	unsigned removed;
	int first; /* the first failure, after which the rest was tried */
	char error[CAPTURE_ERROR_MAX];
};

/* Note a thing's outcome: rc 0 counts and logs it, a failure is kept, "not there" is neither. */
void removal_tell(struct removal *removal, int rc, const char *thing);

/* Rules, then routes, then nft tables, then settings. */
void removal_run(struct removal *removal);

/* Add the notes in the comments of the nft tables that are to be removed. */
void removal_find_notes(struct removal *removal);

#endif
