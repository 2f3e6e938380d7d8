/* Takes away what a capture put into the system, but for the device. */
#include "ctl/capture_remove.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/netfilter.h>

#include "ctl/capture_nft.h"
#include "ctl/capture_plan.h"
#include "ctl/capture_routes.h"
#include "ctl/nft_netlink.h"
#include "ctl/sysctl_linux.h"

enum { RP_FILTER_LOOSE = 2 };

void removal_tell(struct removal *removal, int rc, const char *thing)
{
	/* Gone by itself, or a family or subsystem that this kernel does not have. */
	if (rc == -ENOENT || rc == -ESRCH || rc == -ENODEV || rc == -EAFNOSUPPORT)
		return;
	if (rc == 0) {
		removal->removed++;
		if (removal->log)
			fprintf(removal->log, "removed %s\n", thing);
	} else if (removal->first == 0) {
		removal->first = rc;
		snprintf(removal->error, sizeof removal->error, "%s: %s", thing, strerror(-rc));
	}
}

/* Whether a table belongs to what is removed. */
static bool has_table(const struct removal *removal, uint32_t table)
{
	if (!removal->ifname || plan_has_table(removal->table, table))
		return true;
	for (unsigned i = 0; i < removal->note_count; i++)
		if (plan_has_table(removal->notes[i].table, table))
			return true;
	return false;
}

static void remove_rules(struct removal *removal, uint8_t version)
{
	struct capture_rule *rules = NULL;
	size_t count = 0;
	int rc = capture_rule_list(removal->netlink, version, &rules, &count);

	if (rc != 0)
		removal_tell(removal, rc, "policy rules");
	for (size_t i = 0; i < count; i++) {
		char text[CAPTURE_TEXT_MAX], line[CAPTURE_TEXT_MAX + 8];
		bool leads_back = rules[i].iif[0] != '\0' && removal->ifname &&
				  strcmp(rules[i].iif, removal->ifname) == 0;

		if (!leads_back && !has_table(removal, rules[i].table))
			continue;
		snprintf(line, sizeof line, "rule %s", capture_rule_format(&rules[i], text));
		removal_tell(removal, capture_rule_remove(removal->netlink, &rules[i]), line);
	}
	free(rules);
}

static void remove_routes(struct removal *removal, uint8_t version)
{
	struct capture_route *routes = NULL;
	size_t count = 0;
	int rc = capture_route_list(removal->netlink, version, 0, &routes, &count);

	if (rc != 0)
		removal_tell(removal, rc, "routes");
	for (size_t i = 0; i < count; i++) {
		char text[CAPTURE_TEXT_MAX], line[CAPTURE_TEXT_MAX + 8];
		bool leads_in = removal->ifindex != 0 && routes[i].ifindex == removal->ifindex;

		if (!leads_in && !has_table(removal, routes[i].table))
			continue;
		snprintf(line, sizeof line, "route %s", capture_route_format(&routes[i], text));
		removal_tell(removal, capture_route_remove(removal->netlink, &routes[i]), line);
	}
	free(routes);
}

static bool has_nft_table(const struct removal *removal, const char *name)
{
	char own[NFT_TABLE_NAME_MAX];

	return !removal->ifname || strcmp(name, nft_table_name(removal->ifname, own)) == 0;
}

static void remove_nft(struct removal *removal)
{
	struct nft_table *tables = NULL;
	size_t count = 0;
	int rc = nft_table_list(NFT_TABLE_PREFIX, &tables, &count);

	if (rc != 0)
		removal_tell(removal, rc, "nft tables");
	for (size_t i = 0; i < count; i++) {
		char line[NFT_NETLINK_NAME_MAX + 24];

		if (!has_nft_table(removal, tables[i].name))
			continue;
		snprintf(line, sizeof line, "nft table %s %s",
			 tables[i].family == NFPROTO_INET ? "inet" : "netdev", tables[i].name);
		removal_tell(removal, nft_table_remove(tables[i].family, tables[i].name), line);
	}
	free(tables);
}

static void remove_reserved(struct removal *removal, const struct note *note)
{
	struct ports now, rest;
	char text[64], line[128];
	int rc;

	if (ports_empty(&note->reserved))
		return;
	rc = sysctl_reserved_get(&now);
	rest = now;
	if (rc == 0) {
		ports_subtract(&rest, &note->reserved);
		if (memcmp(&rest, &now, sizeof now) == 0)
			return;
		rc = sysctl_reserved_set(&rest);
	}
	ports_format(&note->reserved, text, sizeof text);
	snprintf(line, sizeof line, "ip_local_reserved_ports %s", text);
	removal_tell(removal, rc, line);
}

static void remove_loose(struct removal *removal, const struct note *note)
{
	for (unsigned i = 0; i < note->strict_count; i++) {
		const struct note_strict *strict = &note->strict[i];
		char line[64];
		unsigned now;
		int rc = sysctl_conf_get(4, strict->name, "rp_filter", &now);

		/* One that somebody set otherwise meanwhile is no longer ours. */
		if (rc == 0 && now != RP_FILTER_LOOSE)
			continue;
		if (rc == 0)
			rc = sysctl_conf_set(4, strict->name, "rp_filter", strict->value);
		snprintf(line, sizeof line, "loose rp_filter of %s", strict->name);
		removal_tell(removal, rc, line);
	}
}

void removal_find_notes(struct removal *removal)
{
	struct nft_table *tables = NULL;
	size_t count = 0;

	if (nft_table_list(NFT_TABLE_PREFIX, &tables, &count) != 0)
		return;
	for (size_t i = 0; i < count && removal->note_count < REMOVE_DEVICES_MAX; i++)
		if (has_nft_table(removal, tables[i].name) &&
		    note_parse(tables[i].comment, &removal->notes[removal->note_count]) == 0)
			removal->note_count++;
	free(tables);
}

void removal_run(struct removal *removal)
{
	remove_rules(removal, 4);
	remove_rules(removal, 6);
	remove_routes(removal, 4);
	remove_routes(removal, 6);
	remove_nft(removal);
	for (unsigned i = 0; i < removal->note_count; i++) {
		remove_reserved(removal, &removal->notes[i]);
		remove_loose(removal, &removal->notes[i]);
	}
}
