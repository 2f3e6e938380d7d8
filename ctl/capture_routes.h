/*
 * Rules and routes that carry our protocol number: make, list, remove. What others put into the
 * system is never listed, so it cannot be removed by mistake.
 */
#ifndef SLUICE_CTL_CAPTURE_ROUTES_H
#define SLUICE_CTL_CAPTURE_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/netlink_linux.h"
#include "lpm/prefix.h"

enum capture_route_type {
	CAPTURE_ROUTE_UNICAST,
	CAPTURE_ROUTE_UNREACHABLE,
	CAPTURE_ROUTE_THROW, /* look on in the next rule */
};

struct capture_route {
	uint32_t table;
	enum capture_route_type type;
	struct prefix dst;
	unsigned ifindex;    /* unicast only */
	struct addr gateway; /* version 0: on-link */
	uint32_t metric;
};

enum capture_rule_action {
	CAPTURE_RULE_LOOKUP, /* in the table; on with the next rule if it knows no way */
	CAPTURE_RULE_GOTO,   /* on with the rule of the target's preference */
	CAPTURE_RULE_NOTHING,
};

struct capture_rule {
	uint8_t version; /* 4 or 6 */
	uint32_t preference;
	enum capture_rule_action action;
	uint32_t target; /* of goto */
	uint32_t table; /* of the other actions too: the kernel keeps it, and it says whose they are
			 */
	uint32_t mark;  /* with mask; mask 0: whatever mark */
	uint32_t mask;
	bool invert;  /* "not" */
	char iif[16]; /* "": whatever interface */
};

enum { CAPTURE_TEXT_MAX = 160 };

bool capture_route_equal(const struct capture_route *a, const struct capture_route *b);
bool capture_rule_equal(const struct capture_rule *a, const struct capture_rule *b);

/* As `ip` would show it; returns out. */
char *capture_route_format(const struct capture_route *route, char out[CAPTURE_TEXT_MAX]);
char *capture_rule_format(const struct capture_rule *rule, char out[CAPTURE_TEXT_MAX]);

/* Add a route, or replace that of the same table, destination and metric. Errors: the kernel's */
int capture_route_set(struct netlink *netlink, const struct capture_route *route);

/* Remove a route. Errors: the kernel's, -ESRCH when it is not there */
int capture_route_remove(struct netlink *netlink, const struct capture_route *route);

/* Add a rule, remove a rule. Errors: the kernel's, -EEXIST, -ENOENT */
int capture_rule_add(struct netlink *netlink, const struct capture_rule *rule);
int capture_rule_remove(struct netlink *netlink, const struct capture_rule *rule);

/* What was missing and has been put in its place. */
struct capture_tally {
	unsigned count;
	char first[CAPTURE_TEXT_MAX + 8]; /* the first of them: what it is, and as `ip` shows it */
};

/* Count one more thing. */
void capture_tally_add(struct capture_tally *tally, const char *thing);

/*
 * Add those of n routes, or rules, of one family that are not there. What is there stays in place:
 * there is no moment without it.
 *
 * tally:  those that were added are counted
 * wrong:  set on failure: the first that could not be put, or what else failed
 * Errors: the kernel's first; all are tried
 */
int capture_route_put(struct netlink *netlink, uint8_t version, const struct capture_route *routes,
		      unsigned n, struct capture_tally *tally, char wrong[CAPTURE_TEXT_MAX]);
int capture_rule_put(struct netlink *netlink, uint8_t version, const struct capture_rule *rules,
		     unsigned n, struct capture_tally *tally, char wrong[CAPTURE_TEXT_MAX]);

/*
 * List our routes or rules of one family.
 *
 * table:  0: all tables
 * out:    *count of them, the caller's, by free(); NULL when there are none
 * Errors: -ENOMEM, -EAFNOSUPPORT (no such family in this kernel), or the kernel's
 */
int capture_route_list(struct netlink *netlink, uint8_t version, uint32_t table,
		       struct capture_route **out, size_t *count);
int capture_rule_list(struct netlink *netlink, uint8_t version, struct capture_rule **out,
		      size_t *count);

#endif
