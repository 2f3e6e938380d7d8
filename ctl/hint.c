/* See hint.h. */
#include "ctl/hint.h"

#include <errno.h>
#include <net/if.h>

const char *hint_tun(int rc, const char *name)
{
	switch (rc) {
	case -EBUSY:
		return " (another program has it open, perhaps another sluice)";
	case -EPERM:
	case -EACCES:
		return " (run as root, or with CAP_NET_ADMIN)";
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return " (/dev/net/tun is missing: `modprobe tun`, or give it to the container)";
	case -EINVAL:
		return if_nametoindex(name) ? " (an interface of that name is there: no TUN "
					      "device, or one of a single queue)"
					    : " (no interface can have that name)";
	default:
		return "";
	}
}
