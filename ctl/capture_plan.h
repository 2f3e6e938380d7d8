/* Which rules and routes a configuration asks for. Nothing here touches the system. */
#ifndef SLUICE_CTL_CAPTURE_PLAN_H
#define SLUICE_CTL_CAPTURE_PLAN_H

#include <stdbool.h>

#include "ctl/capture_routes.h"
#include "ctl/conf.h"
#include "dataplane/links.h"

enum {
	/* Order of our rules. Before the usual 32765 and down, and before what mesh VPNs use. */
	PREFERENCE_REPLY = 5150,
	PREFERENCE_PASS, /* what is not to be captured */
	PREFERENCE_CAPTURE,
	PREFERENCE_END,

	/* Of the capture table: the default into the TUN, and the worse one that fails closed. */
	METRIC_CAPTURE = 1,
	METRIC_UNREACHABLE,

	/* Capture table, then one reply table an egress. */
	PLAN_TABLES = 1 + CONF_EGRESSES_MAX,
	/* A family's: an answer rule an egress, the end, pass and capture of each From. */
	PLAN_RULES_MAX = CONF_EGRESSES_MAX + 1 + 2 * CONF_FROM_MAX,
	PLAN_ROUTES_MAX = 8,
	PLAN_REPLY_ROUTES_MAX = LINK_SUBNETS_MAX + 1,
};

/* The table of the answers that leave by an egress. */
uint32_t plan_reply_table(const struct conf *conf, unsigned egress);

/* Whether a table is one of those that belong to a capture table. */
bool plan_has_table(uint32_t capture_table, uint32_t table);

/* Whether an egress is an interface, and the first of that interface: it has the reply table. */
bool plan_has_replies(const struct conf *conf, unsigned egress);

/*
 * The rules of one family, in the order in which they must be added. Returns how many.
 *
 * ifname: the TUN
 */
unsigned plan_rules(const struct conf *conf, const char *ifname, uint8_t version,
		    struct capture_rule out[PLAN_RULES_MAX]);

/*
 * The capture table's routes of one family, what fails closed first. Returns how many.
 *
 * ifindex: the TUN; 0: leave out the way into it, so that all is unreachable
 */
unsigned plan_routes(const struct conf *conf, unsigned ifindex, uint8_t version,
		     struct capture_route out[PLAN_ROUTES_MAX]);

/* A reply table's routes of one family. Returns how many; none when the link is down. */
unsigned plan_reply_routes(const struct conf *conf, unsigned egress, const struct link *link,
			   uint8_t version, struct capture_route out[PLAN_REPLY_ROUTES_MAX]);

#endif
