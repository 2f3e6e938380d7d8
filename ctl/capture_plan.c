/* Which rules and routes a configuration asks for. */
#include "ctl/capture_plan.h"

#include <stdio.h>
#include <string.h>

#include "ctl/capture_nft.h"

enum {
	TABLE_MAIN = 254,
	MARK_MASK = 0xffff0000,
};

uint32_t plan_reply_table(const struct conf *conf, unsigned egress)
{
	return conf->interface.table + 1 + egress;
}

bool plan_has_table(uint32_t capture_table, uint32_t table)
{
	return capture_table != 0 && table >= capture_table && table - capture_table < PLAN_TABLES;
}

bool plan_has_replies(const struct conf *conf, unsigned egress)
{
	const struct conf_egress *at = &conf->egresses[egress];

	if (conf->interface.capture == CONF_CAPTURE_NONE || at->type != CONF_EGRESS_INTERFACE)
		return false;
	for (unsigned i = 0; i < egress; i++)
		if (conf->egresses[i].type == CONF_EGRESS_INTERFACE &&
		    strcmp(conf->egresses[i].interface, at->interface) == 0)
			return false;
	return true;
}

static struct capture_rule make_rule(const struct conf *conf, uint8_t version, uint32_t preference,
				     const char *iif)
{
	struct capture_rule rule = {
		.version = version,
		.preference = preference,
		.table = conf->interface.table,
	};

	snprintf(rule.iif, sizeof rule.iif, "%s", iif);
	return rule;
}

/* `not fwmark MARK lookup TABLE`: all that this host sends or forwards. */
static unsigned host_rules(const struct conf *conf, const char *ifname, uint8_t version,
			   struct capture_rule *out)
{
	/*
	 * What Sluice gives back for hosts behind this one (containers) must not be captured
	 * again. Only Sluice puts packets into the TUN's incoming side.
	 */
	out[0] = make_rule(conf, version, PREFERENCE_PASS, ifname);
	out[0].table = TABLE_MAIN;
	out[1] = make_rule(conf, version, PREFERENCE_CAPTURE, "");
	out[1].mark = conf->interface.mark;
	out[1].mask = MARK_MASK;
	out[1].invert = true;
	return 2;
}

/*
 * `iif FROM lookup TABLE`, which what is marked leaps over. "not" would turn the whole rule round:
 * `not iif FROM fwmark MARK` takes everything that came in elsewhere.
 */
static unsigned forward_rules(const struct conf *conf, uint8_t version, struct capture_rule *out)
{
	unsigned n = 0;

	out[n] = make_rule(conf, version, PREFERENCE_END, "");
	out[n++].action = CAPTURE_RULE_NOTHING;
	for (unsigned i = 0; i < conf->interface.from_count; i++) {
		out[n] = make_rule(conf, version, PREFERENCE_PASS, conf->interface.from[i]);
		out[n].action = CAPTURE_RULE_GOTO;
		out[n].target = PREFERENCE_END;
		out[n].mark = conf->interface.mark;
		out[n++].mask = MARK_MASK;
		out[n++] = make_rule(conf, version, PREFERENCE_CAPTURE, conf->interface.from[i]);
	}
	return n;
}

unsigned plan_rules(const struct conf *conf, const char *ifname, uint8_t version,
		    struct capture_rule out[PLAN_RULES_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < conf->egress_count; i++) {
		if (!plan_has_replies(conf, i))
			continue;
		out[n] = make_rule(conf, version, PREFERENCE_REPLY, "");
		out[n].table = plan_reply_table(conf, i);
		out[n].mark = conf->interface.mark | (i + 1);
		out[n++].mask = UINT32_MAX;
	}
	if (conf->interface.capture == CONF_CAPTURE_HOST)
		n += host_rules(conf, ifname, version, out + n);
	if (conf->interface.capture == CONF_CAPTURE_FORWARD)
		n += forward_rules(conf, version, out + n);
	return n;
}

/* What is never captured: multicast, limited broadcast, link-local. */
static const struct {
	uint8_t version, len;
	uint8_t bytes[16];
} thrown[] = {
	{4, 4, {224}},  {4, 32, {255, 255, 255, 255}}, {4, 16, {169, 254}},
	{6, 8, {0xff}}, {6, 10, {0xfe, 0x80}},
};

unsigned plan_routes(const struct conf *conf, unsigned ifindex, uint8_t version,
		     struct capture_route out[PLAN_ROUTES_MAX])
{
	struct capture_route base = {
		.table = conf->interface.table,
		.type = CAPTURE_ROUTE_UNREACHABLE,
		.dst = {addr_from_bytes(version, (uint8_t[16]){0}), 0},
		.metric = METRIC_UNREACHABLE,
	};
	unsigned n = 0;

	if (conf->interface.capture == CONF_CAPTURE_NONE)
		return 0;
	out[n++] = base;
	for (size_t i = 0; i < sizeof thrown / sizeof *thrown; i++) {
		if (thrown[i].version != version)
			continue;
		out[n] = base;
		out[n].type = CAPTURE_ROUTE_THROW;
		out[n].dst.addr = addr_from_bytes(version, thrown[i].bytes);
		out[n].dst.len = thrown[i].len;
		out[n].metric = METRIC_CAPTURE;
		n++;
	}
	if (ifindex != 0) {
		out[n] = base;
		out[n].type = CAPTURE_ROUTE_UNICAST;
		out[n].ifindex = ifindex;
		out[n].metric = METRIC_CAPTURE;
		n++;
	}
	return n;
}

unsigned plan_reply_routes(const struct conf *conf, unsigned egress, const struct link *link,
			   uint8_t version, struct capture_route out[PLAN_REPLY_ROUTES_MAX])
{
	const struct addr *gateway = version == 4 ? &link->gateway4 : &link->gateway6;
	const struct addr *address = version == 4 ? &link->address4 : &link->address6;
	struct capture_route base = {
		.table = plan_reply_table(conf, egress),
		.ifindex = link->ifindex,
		.metric = METRIC_CAPTURE,
	};
	unsigned n = 0;

	if (!plan_has_replies(conf, egress) || link->ifindex == 0 || !link->up ||
	    address->version == 0)
		return 0;
	for (unsigned i = 0; i < link->subnet_count; i++) {
		if (link->subnets[i].addr.version != version)
			continue;
		out[n] = base;
		out[n++].dst = link->subnets[i];
	}
	if (gateway->version == 0 && link->ethernet)
		return n;
	out[n] = base;
	out[n].dst.addr = addr_from_bytes(version, (uint8_t[16]){0});
	if (link->ethernet)
		out[n].gateway = *gateway;
	return n + 1;
}
