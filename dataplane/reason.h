/* Why a packet went no further: each reason has one counter and one label. */
#ifndef SLUICE_DATAPLANE_REASON_H
#define SLUICE_DATAPLANE_REASON_H

enum reason {
	REASON_NONE,         /* it went on */
	REASON_MALFORMED,    /* headers that do not parse, or wrong lengths */
	REASON_BAD_CHECKSUM, /* of an IPv4 header, or of an ICMP error */
	REASON_BAD_OFFLOAD,  /* offload words that do not fit the headers */
	REASON_FRAGMENT,     /* a fragment whose first part was not seen, or that overlaps */
	REASON_PROTOCOL,     /* a protocol that the egress cannot translate */
	REASON_LINK_LOCAL,   /* multicast, link-local or loopback destination, unroutable source */
	REASON_RULE,         /* an egress of type drop */
	REASON_REJECTED,     /* an egress of type reject; answered unless rate-limited */
	REASON_NO_ADDRESS,   /* the egress has no address of that family */
	REASON_LINK_DOWN,    /* the egress interface is down or absent */
	REASON_NO_NEXT_HOP,  /* neither on-link nor a gateway of that family */
	REASON_UNRESOLVED,   /* the next hop's link-layer address did not come in time */
	REASON_NO_PORT,      /* no free translated port */
	REASON_HOP_LIMIT,    /* no hop left; answered */
	REASON_SOURCE_LIMIT, /* its source has as many flows or ports as it may */
	REASON_TOO_BIG,      /* past the egress MTU; answered where the sender must know */
	REASON_UNSOLICITED,  /* from outside, and no flow asked for it */
	REASON_OTHER_WORKER, /* a tunnel's datagram for a session of another worker */
	REASON_INBOX_FULL,   /* another worker's, which had no room for it */
	REASON_EGRESS_CHANGED, /* a reload moved the flow; it was reset */
	REASON_EGRESS_BUSY,    /* the interface's queue refused it */
	REASON_TUN_BUSY,       /* the TUN refused it */

	/* Of a tunnel: out, */
	REASON_NO_PEER,     /* its destination is nobody's; answered */
	REASON_NO_ENDPOINT, /* where its peer is, is not known; answered */
	REASON_NO_SESSION,  /* its peer did not answer in time, or too many packets waited */
	/* and in. */
	REASON_UNKNOWN_SESSION, /* a session that is not there, or not any more */
	REASON_NOT_AUTHENTIC,
	REASON_REPLAYED,
	REASON_NOT_ALLOWED, /* its source is not among its peer's addresses */
	REASON_CONGESTED,   /* marked on the way, and its sender does not understand marks */
	REASON_COUNT,
	REASON_HANDED_OVER = REASON_COUNT, /* no drop: another worker goes on with it */
};

/* The label: lower case, underscores; stable between versions. */
const char *reason_name(enum reason reason);
/* One sentence for people. */
const char *reason_text(enum reason reason);

#endif
