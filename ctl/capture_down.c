/* Removes all that captures ever added, found without their configuration. */
#include "ctl/capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "ctl/capture_device.h"
#include "ctl/capture_note.h"
#include "ctl/capture_remove.h"
#include "ctl/netlink_linux.h"

enum { DUMP_TRIES = 10 };

/* The devices with a note. */
struct devices {
	const char *ifname; /* NULL: all */
	struct netlink_link links[REMOVE_DEVICES_MAX];
	unsigned count;
};

static int take_device(const struct nlmsghdr *message, void *data)
{
	struct devices *devices = data;
	struct netlink_link link;

	if (devices->count < REMOVE_DEVICES_MAX && netlink_link_parse(message, &link) == 0 &&
	    note_is_ours(link.alias) &&
	    (!devices->ifname || strcmp(link.name, devices->ifname) == 0))
		devices->links[devices->count++] = link;
	return 0;
}

static int list_devices(struct netlink *netlink, struct devices *devices)
{
	int rc, tries = DUMP_TRIES;

	do {
		struct nlmsghdr *request = netlink_request(netlink, RTM_GETLINK, 0);

		mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
		devices->count = 0;
		rc = netlink_dump(netlink, request, take_device, devices);
	} while (rc == -EINTR && --tries > 0);
	return rc;
}

/*
 * A device that no process holds has no carrier. Sluice's own alias on anything but a TUN (a bridge
 * that copied it, say) is not a reason to remove that.
 */
static int check_devices(const struct devices *devices, bool force, char *error)
{
	for (unsigned i = 0; i < devices->count; i++) {
		const struct netlink_link *link = &devices->links[i];
		struct note note = {0};

		if (strcmp(link->kind, "tun") != 0) {
			snprintf(error, CAPTURE_ERROR_MAX,
				 "%s carries Sluice's note but is no TUN: left alone", link->name);
			return -EINVAL;
		}
		if (!link->carrier || force)
			continue;
		(void)note_parse(link->alias, &note);
		snprintf(error, CAPTURE_ERROR_MAX,
			 "sluice is running on %s (pid %u); stop it first", link->name, note.pid);
		return -EBUSY;
	}
	return 0;
}

static void remove_devices(struct removal *removal, const struct devices *devices)
{
	for (unsigned i = 0; i < devices->count; i++) {
		char line[32];

		snprintf(line, sizeof line, "device %s", devices->links[i].name);
		removal_tell(removal, device_remove(removal->netlink, devices->links[i].ifindex),
			     line);
	}
}

/* Everything but opening and closing. */
static int down(struct removal *removal, struct devices *devices, bool force, char *error)
{
	int rc = list_devices(removal->netlink, devices);

	if (rc != 0) {
		snprintf(error, CAPTURE_ERROR_MAX, "listing the interfaces: %s", strerror(-rc));
		return rc;
	}
	rc = check_devices(devices, force, error);
	if (rc != 0)
		return rc;
	if (removal->ifname && devices->count > 0)
		removal->ifindex = devices->links[0].ifindex;
	for (unsigned i = 0; i < devices->count; i++)
		if (note_parse(devices->links[i].alias, &removal->notes[removal->note_count]) == 0)
			removal->note_count++;
	removal_find_notes(removal);
	if (force) /* first, so that a daemon that runs ends instead of repairing */
		remove_devices(removal, devices);
	removal_run(removal);
	if (!force)
		remove_devices(removal, devices);
	if (removal->first != 0)
		snprintf(error, CAPTURE_ERROR_MAX, "%s", removal->error);
	return removal->first;
}

int capture_down(const char *ifname, uint32_t table, bool force, FILE *log, unsigned *removed,
		 char error[CAPTURE_ERROR_MAX])
{
	struct removal *removal = calloc(1, sizeof *removal);
	struct devices *devices = calloc(1, sizeof *devices);
	int rc = -ENOMEM;

	*removed = 0;
	if (!removal || !devices) {
		snprintf(error, CAPTURE_ERROR_MAX, "%s", strerror(ENOMEM));
		goto free_both;
	}
	removal->ifname = devices->ifname = ifname;
	removal->table = table;
	removal->log = log;
	rc = netlink_open(NETLINK_ROUTE, &removal->netlink);
	if (rc != 0) {
		snprintf(error, CAPTURE_ERROR_MAX, "netlink: %s", strerror(-rc));
		goto free_both;
	}
	rc = down(removal, devices, force, error);
	*removed = removal->removed;
	netlink_close(removal->netlink);
free_both:
	free(devices);
	free(removal);
	return rc;
}
