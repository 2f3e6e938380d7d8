/* See reason.h. */
#include "dataplane/reason.h"

#include <stddef.h>

static const struct {
	const char *name;
	const char *text;
} reasons[REASON_COUNT] = {
	[REASON_NONE] = {"none", "The packet went on."},
	[REASON_MALFORMED] = {"malformed", "Its headers do not parse or its lengths are wrong."},
	[REASON_BAD_CHECKSUM] = {"bad_checksum",
				 "A checksum of IPv4 or of an ICMP error is wrong."},
	[REASON_BAD_OFFLOAD] = {"bad_offload", "Its offload words do not fit its headers."},
	[REASON_FRAGMENT] = {"fragment",
			     "It is a fragment whose first part was not seen, or that overlaps."},
	[REASON_PROTOCOL] = {"protocol", "Its protocol cannot be translated by the egress."},
	[REASON_LINK_LOCAL] = {"link_local", "Its source or destination is not routable."},
	[REASON_RULE] = {"rule", "A rule drops it."},
	[REASON_REJECTED] = {"rejected", "A rule rejects it."},
	[REASON_NO_ADDRESS] = {"no_address", "The egress has no address of its family."},
	[REASON_LINK_DOWN] = {"link_down", "The egress interface is down or absent."},
	[REASON_NO_NEXT_HOP] = {"no_next_hop", "The egress has no way to its destination."},
	[REASON_UNRESOLVED] = {"unresolved", "The next hop did not tell its link address in time."},
	[REASON_NO_PORT] = {"no_port", "No translated port is free."},
	[REASON_HOP_LIMIT] = {"hop_limit", "It has no hop left."},
	[REASON_SOURCE_LIMIT] = {"source_limit", "Its source has all the flows or ports it may."},
	[REASON_TOO_BIG] = {"too_big", "It is longer than the MTU of the egress."},
	[REASON_UNSOLICITED] = {"unsolicited", "It came from outside and no flow asked for it."},
	[REASON_OTHER_WORKER] = {"other_worker", "Its session belongs to another worker."},
	[REASON_INBOX_FULL] = {"inbox_full", "It is another worker's, which had no room for it."},
	[REASON_EGRESS_CHANGED] = {"egress_changed", "A reload moved its flow, which was reset."},
	[REASON_EGRESS_BUSY] = {"egress_busy", "The queue of the egress interface refused it."},
	[REASON_TUN_BUSY] = {"tun_busy", "The TUN device refused it."},
	[REASON_NO_PEER] = {"no_peer", "Its destination is none of a peer of the tunnel."},
	[REASON_NO_ENDPOINT] = {"no_endpoint", "It is not known where its peer is."},
	[REASON_NO_SESSION] = {"no_session",
			       "Its peer did not answer in time, or too many packets waited."},
	[REASON_UNKNOWN_SESSION] = {"unknown_session",
				    "It names a session of the tunnel that is not there."},
	[REASON_NOT_AUTHENTIC] = {"not_authentic", "It was not sealed by a peer of the tunnel."},
	[REASON_REPLAYED] = {"replayed", "It came in by the tunnel before, or is too old."},
	[REASON_NOT_ALLOWED] = {"not_allowed", "Its source is none of the peer that sent it."},
	[REASON_CONGESTED] = {"congested",
			      "It was marked on the way, which its sender does not understand."},
};

const char *reason_name(enum reason reason)
{
	/* The number may come from a message or a file: no index out of the table. */
	if ((unsigned)reason >= REASON_COUNT || reasons[reason].name == NULL)
		return "unknown";
	return reasons[reason].name;
}

const char *reason_text(enum reason reason)
{
	if ((unsigned)reason >= REASON_COUNT || reasons[reason].text == NULL)
		return "Unknown.";
	return reasons[reason].text;
}
