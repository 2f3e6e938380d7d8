/* Capture on Linux: up, and following the links. What it removes is in capture_down.c. */
#include "ctl/capture.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netfilter.h>
#include <linux/netlink.h>

#include "ctl/capture_device.h"
#include "ctl/capture_nft.h"
#include "ctl/capture_note.h"
#include "ctl/capture_plan.h"
#include "ctl/capture_remove.h"
#include "ctl/capture_routes.h"
#include "ctl/capture_state.h"
#include "ctl/capture_watch.h"
#include "ctl/connections.h"
#include "ctl/netlink_linux.h"
#include "ctl/nft_netlink.h"
#include "ctl/sysctl_linux.h"

enum {
	MTU_DEFAULT = 1500,
	LOOSE = 2, /* of rp_filter */
};

__attribute__((format(printf, 2, 3))) static void warn(struct capture *capture, const char *format,
						       ...)
{
	size_t used = strlen(capture->warnings);
	va_list arguments;

	if (used > 0 && used < sizeof capture->warnings - 1)
		capture->warnings[used++] = '\n';
	va_start(arguments, format);
	vsnprintf(capture->warnings + used, sizeof capture->warnings - used, format, arguments);
	va_end(arguments);
}

int capture_fail(struct capture *capture, int rc, const char *thing)
{
	const char *why = netlink_why(capture->netlink);

	snprintf(capture->error, CAPTURE_ERROR_MAX, "%s: %s%s%s", thing, strerror(-rc),
		 why[0] ? ": " : "", why);
	return rc;
}

/* Where an earlier run left its note: the alias, or the nft table when the device is gone. */
static void find_old_note(struct capture *capture, const struct netlink_link *link)
{
	char name[NFT_TABLE_NAME_MAX];
	struct nft_table *tables;
	size_t count;

	if (note_parse(link->alias, &capture->old_note) == 0) {
		capture->had_note = true;
		return;
	}
	nft_table_name(capture->ifname, name);
	if (nft_table_list(name, &tables, &count) != 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (strcmp(tables[i].name, name) == 0 &&
		    note_parse(tables[i].comment, &capture->old_note) == 0)
			capture->had_note = true;
	free(tables);
}

/* Whether rules that lead into our table are there: an earlier run's, which protect. */
static int find_old_rules(struct capture *capture)
{
	for (unsigned version = 4; version <= (capture->ipv6 ? 6 : 4); version += 2) {
		struct capture_rule *rules;
		size_t count;
		int rc = capture_rule_list(capture->netlink, (uint8_t)version, &rules, &count);

		if (rc != 0)
			return capture_fail(capture, rc, "listing the policy rules");
		for (size_t i = 0; i < count; i++)
			if (rules[i].table == capture->conf.interface.table)
				capture->took_over = true;
		free(rules);
	}
	return 0;
}

/* The system has no IPv6 on a device below 1280: what an egress cannot take is told, or cut. */
static unsigned choose_mtu(struct capture *capture)
{
	const unsigned min = capture->ipv6_device ? CONF_MTU6_MIN : CONF_MTU_MIN;
	unsigned mtu = 0;

	if (capture->conf.interface.mtu != 0)
		return capture->conf.interface.mtu;
	for (unsigned i = 0; i < capture->conf.egress_count; i++) {
		const struct conf_egress *egress = &capture->conf.egresses[i];
		struct netlink_link link = {.mtu = egress->mtu};

		if (egress->type == CONF_EGRESS_DROP || egress->type == CONF_EGRESS_REJECT)
			continue;
		if (egress->type == CONF_EGRESS_INTERFACE &&
		    netlink_link_find(capture->netlink, egress->interface, &link) != 0)
			continue;
		if (egress->mtu != 0 && egress->mtu < link.mtu)
			link.mtu = egress->mtu;
		if (mtu == 0 || link.mtu < mtu)
			mtu = link.mtu;
	}
	if (mtu == 0)
		return MTU_DEFAULT;
	return mtu < min ? min : mtu;
}

/* Make the strict reverse path filters that the note names loose. */
static void set_loose(const struct note *note)
{
	for (unsigned i = 0; i < note->strict_count; i++)
		(void)sysctl_conf_set(4, note->strict[i].name, "rp_filter", LOOSE);
}

/*
 * Fill the note: which ports will be reserved that were not, which filters made loose. The TUN
 * answers for the whole Internet in the capture table, so that a strict filter would take every
 * packet from outside for forged, also those of connections to this host.
 */
static void make_note(struct capture *capture, struct ports *reserved)
{
	const struct conf *conf = &capture->conf;
	struct note *note = &capture->note;
	struct ports before = {0};
	int rc = sysctl_reserved_get(&before);

	if (rc != 0)
		warn(capture, "net.ipv4.ip_local_reserved_ports: %s", strerror(-rc));
	note->table = conf->interface.table;
	note->mark = conf->interface.mark;
	note->pid = (uint32_t)getpid();
	for (unsigned i = 0; i < conf->egress_count; i++)
		if (conf->egresses[i].type == CONF_EGRESS_INTERFACE && conf->egresses[i].nat)
			ports_add(&note->reserved, conf->egresses[i].port_first,
				  conf->egresses[i].port_last);
	sysctl_busy_collect(&note->reserved, &capture->busy_set);
	if (capture->had_note)
		ports_subtract(&before, &capture->old_note.reserved);
	*reserved = before;
	ports_merge(reserved, &note->reserved);
	ports_subtract(&note->reserved, &before);
	if (capture->had_note) {
		memcpy(note->strict, capture->old_note.strict, sizeof note->strict);
		note->strict_count = capture->old_note.strict_count;
	}
	if (conf->interface.capture == CONF_CAPTURE_HOST &&
	    !sysctl_strict_collect(capture->ifname, note))
		warn(capture,
		     "more than %d interfaces have a strict rp_filter: those left will "
		     "not take connections from outside",
		     NOTE_STRICT_MAX);
}

/* The note must be there before what it tells of. */
static int leave_note(struct capture *capture)
{
	char alias[NOTE_MAX];
	int rc = note_format(&capture->note, alias, sizeof alias);

	if (rc == -E2BIG) {
		/* Ports reserved one by one in our range: forget them rather than the note. */
		struct ports whole = {0};

		for (unsigned i = 0; i < capture->conf.egress_count; i++)
			ports_add(&whole, capture->conf.egresses[i].port_first,
				  capture->conf.egresses[i].port_last);
		capture->note.reserved = whole;
		warn(capture, "the ports reserved before Sluice's are too many to remember: "
			      "`sluice down` will free them too");
		rc = note_format(&capture->note, alias, sizeof alias);
	}
	if (rc == 0)
		rc = device_set_alias(capture->netlink, capture->ifindex, alias);
	return rc != 0 ? capture_fail(capture, rc, "setting the device's alias") : 0;
}

static void set_sysctls(struct capture *capture, const struct ports *reserved)
{
	unsigned all = 0;
	int rc = sysctl_reserved_set(reserved);

	if (rc != 0)
		warn(capture,
		     "net.ipv4.ip_local_reserved_ports: %s: programs of this host may take ports "
		     "of the translator's range",
		     strerror(-rc));
	set_loose(&capture->note);
	for (unsigned i = 0; i < capture->note.strict_count; i++)
		warn(capture, "rp_filter of %s is loose while capture is on",
		     capture->note.strict[i].name);
	/* Answers come out of the TUN from everywhere. The larger of "all" and its own counts. */
	(void)sysctl_conf_get(4, "all", "rp_filter", &all);
	(void)sysctl_conf_set(4, capture->ifname, "rp_filter", all == 0 ? 0 : LOOSE);
	if (capture->ipv6_device)
		(void)sysctl_conf_set(6, capture->ifname, "disable_ipv6", 0);
}

int capture_put_routes(struct capture *capture, uint8_t version, bool through,
		       struct capture_tally *put)
{
	struct capture_route routes[PLAN_ROUTES_MAX];
	unsigned n = plan_routes(&capture->conf, through ? capture->ifindex : 0, version, routes);
	char wrong[CAPTURE_TEXT_MAX];
	int rc = capture_route_put(capture->netlink, version, routes, n, put, wrong);

	return rc != 0 ? capture_fail(capture, rc, wrong) : 0;
}

int capture_put_rules(struct capture *capture, uint8_t version, struct capture_tally *put)
{
	struct capture_rule rules[PLAN_RULES_MAX];
	unsigned n = plan_rules(&capture->conf, capture->ifname, version, rules);
	char wrong[CAPTURE_TEXT_MAX];
	int rc = capture_rule_put(capture->netlink, version, rules, n, put, wrong);

	return rc != 0 ? capture_fail(capture, rc, wrong) : 0;
}

/* Whether an earlier run of this device made a rule. */
static bool is_old_rule(const struct capture *capture, const struct capture_rule *rule)
{
	return plan_has_table(capture->conf.interface.table, rule->table) ||
	       (capture->had_note && plan_has_table(capture->old_note.table, rule->table)) ||
	       (rule->iif[0] != '\0' && strcmp(rule->iif, capture->ifname) == 0);
}

/* Remove the rules of this device that an earlier configuration wanted and this one does not. */
static int remove_old_rules(struct capture *capture, uint8_t version)
{
	struct capture_rule wanted[PLAN_RULES_MAX], *rules;
	unsigned n = plan_rules(&capture->conf, capture->ifname, version, wanted);
	size_t count;
	int rc = capture_rule_list(capture->netlink, version, &rules, &count);

	if (rc != 0)
		return capture_fail(capture, rc, "listing the policy rules");
	for (size_t i = 0; i < count; i++) {
		bool keep = !is_old_rule(capture, &rules[i]);

		for (unsigned k = 0; k < n && !keep; k++)
			keep = capture_rule_equal(&rules[i], &wanted[k]);
		if (!keep)
			rc = capture_rule_remove(capture->netlink, &rules[i]);
		if (rc != 0 && rc != -ENOENT)
			break;
		rc = 0;
	}
	free(rules);
	return rc != 0 ? capture_fail(capture, rc, "removing an old policy rule") : 0;
}

/* The same for a table: all that is there and not among n wanted routes. */
static int remove_old_routes(struct capture *capture, uint8_t version, uint32_t table,
			     const struct capture_route *wanted, unsigned n)
{
	struct capture_route *routes;
	size_t count;
	int rc = capture_route_list(capture->netlink, version, table, &routes, &count);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		bool keep = false;

		for (unsigned k = 0; k < n && !keep; k++)
			keep = capture_route_equal(&routes[i], &wanted[k]);
		if (!keep)
			rc = capture_route_remove(capture->netlink, &routes[i]);
		if (rc != 0 && rc != -ESRCH)
			break;
		rc = 0;
	}
	free(routes);
	return rc;
}

/* An earlier configuration's capture table, and what this one's has too many. */
static int remove_old_tables(struct capture *capture, uint8_t version)
{
	struct capture_route wanted[PLAN_ROUTES_MAX];
	bool through = version == 4 || capture->ipv6_device;
	unsigned n = plan_routes(&capture->conf, through ? capture->ifindex : 0, version, wanted);
	uint32_t table = capture->conf.interface.table;
	int rc = remove_old_routes(capture, version, table, wanted, n);

	if (rc == 0 && capture->had_note && capture->old_note.table != table)
		for (unsigned i = 0; i < PLAN_TABLES && rc == 0; i++)
			if (!plan_has_table(table, capture->old_note.table + i))
				rc = remove_old_routes(capture, version,
						       capture->old_note.table + i, NULL, 0);
	return rc != 0 ? capture_fail(capture, rc, "removing old routes") : 0;
}

int capture_put_nft(struct capture *capture)
{
	char name[NFT_TABLE_NAME_MAX];
	char comment[NOTE_COMMENT_MAX] = "", *text = NULL;
	struct connections before = {0};
	struct nft_input input = {
		.conf = &capture->conf,
		.ifname = capture->ifname,
		.busy = &capture->busy_set,
		.before = &before,
		.comment = comment,
	};
	struct note note = capture->note;
	size_t size;
	FILE *stream;
	int rc;

	if (capture->conf.interface.capture == CONF_CAPTURE_HOST)
		sysctl_connections_collect(&before);
	if (note_format(&note, comment, sizeof comment) != 0) {
		note.strict_count = 0; /* the alias still has them */
		if (note_format(&note, comment, sizeof comment) != 0)
			comment[0] = '\0';
	}
	stream = open_memstream(&text, &size);
	if (!stream) {
		rc = capture_fail(capture, -errno, "nft");
		goto free_before;
	}
	rc = nft_write(stream, &input);
	if (fclose(stream) != 0 && rc == 0)
		rc = -ENOMEM;
	if (rc == 0)
		rc = nft_apply(text, size, capture->error);
	else
		capture_fail(capture, rc, "an interface's name cannot be written for nft");
	free(text);
	if (rc == 0) /* a failure shows as damage later */
		(void)nft_table_look(NFPROTO_INET, nft_table_name(capture->ifname, name),
				     &capture->nft);
free_before:
	connections_fini(&before);
	return rc;
}

/*
 * What goes on without capturing: all that may be there before the rules without harm. The way out
 * is closed first: the unreachable routes are in place before a rule leads to them.
 */
static int prepare(struct capture *capture)
{
	struct capture_tally put = {0};
	struct ports reserved;
	int rc;

	make_note(capture, &reserved);
	rc = leave_note(capture);
	if (rc != 0)
		return rc;
	set_sysctls(capture, &reserved);
	rc = device_configure(capture->netlink, capture->ifindex, &capture->conf.interface,
			      capture->mtu, capture->ipv6_device);
	if (rc != 0)
		return capture_fail(capture, rc, "configuring the device");
	rc = capture_put_routes(capture, 4, true, &put);
	if (rc == 0 && capture->ipv6)
		rc = capture_put_routes(capture, 6, capture->ipv6_device, &put);
	if (rc == 0)
		rc = capture_put_nft(capture);
	return rc;
}

static int start(struct capture *capture)
{
	struct capture_tally put = {0};
	int rc = capture_put_rules(capture, 4, &put);

	if (capture->conf.interface.capture != CONF_CAPTURE_FORWARD)
		capture_remove_hairpins(capture);

	if (rc == 0 && capture->ipv6)
		rc = capture_put_rules(capture, 6, &put);
	for (unsigned version = 4; rc == 0 && version <= (capture->ipv6 ? 6 : 4); version += 2) {
		rc = remove_old_rules(capture, (uint8_t)version);
		if (rc == 0)
			rc = remove_old_tables(capture, (uint8_t)version);
	}
	return rc;
}

/* Its first look comes after this: what happens before the socket listens is not lost. */
static int open_watch(struct capture *capture)
{
	char name[NFT_TABLE_NAME_MAX];
	int rc = capture_watch_open(capture->conf.interface.table, capture->ifindex,
				    nft_table_name(capture->ifname, name), &capture->watch);

	return rc != 0 ? capture_fail(capture, rc, "netlink news") : 0;
}

static int list_busy(struct capture *capture)
{
	size_t count = 0;

	for (unsigned port = 0; port < PORTS_COUNT; port++)
		count += ports_has(&capture->busy_set, (uint16_t)port);
	if (count == 0)
		return 0;
	capture->busy = malloc(count * sizeof *capture->busy);
	if (!capture->busy)
		return capture_fail(capture, -ENOMEM, "capture");
	for (unsigned port = 0; port < PORTS_COUNT; port++)
		if (ports_has(&capture->busy_set, (uint16_t)port))
			capture->busy[capture->busy_count++] = (uint16_t)port;
	return 0;
}

static void warn_of_host(struct capture *capture)
{
	unsigned forwarding = 1;

	if (!capture->ipv6)
		warn(capture, "this kernel has no IPv6: only IPv4 is captured");
	else if (capture->mtu < CONF_MTU6_MIN)
		warn(capture, "an MTU of %u is too little for IPv6, which is unreachable",
		     capture->mtu);
	else if (!capture->ipv6_device)
		warn(capture, "IPv6 is switched off on this host: only IPv4 is carried, IPv6 is "
			      "unreachable");
	if (capture->conf.interface.capture == CONF_CAPTURE_FORWARD &&
	    sysctl_conf_get(4, "all", "forwarding", &forwarding) == 0 && forwarding == 0)
		warn(capture, "net.ipv4.ip_forward is 0: nothing is forwarded from other hosts");
	if (capture->conf.interface.capture == CONF_CAPTURE_FORWARD && capture->ipv6_device &&
	    sysctl_conf_get(6, "all", "forwarding", &forwarding) == 0 && forwarding == 0)
		warn(capture, "net.ipv6.conf.all.forwarding is 0: IPv6 is not forwarded");
}

/* Undo what this call did. Protection that an earlier run left stays: failing must not open it. */
static void undo(struct capture *capture)
{
	size_t used = strlen(capture->error);
	struct removal *removal;

	if (capture->took_over) {
		snprintf(capture->error + used, CAPTURE_ERROR_MAX - used,
			 "; an earlier run's capture stays closed until `sluice down`");
		return;
	}
	removal = calloc(1, sizeof *removal);
	if (!removal)
		return; /* the note stays too, and `sluice down` finds it all */
	removal->netlink = capture->netlink;
	removal->ifname = capture->ifname;
	removal->ifindex = capture->ifindex;
	removal->table = capture->conf.interface.table;
	removal->notes[removal->note_count++] = capture->note;
	removal_run(removal);
	free(removal);
	(void)device_reset(capture->netlink, capture->ifindex); /* the caller's to remove */
}

static int open_state(const struct conf *conf, const char *ifname, char *error,
		      struct capture **out)
{
	struct capture *capture = calloc(1, sizeof *capture);
	int rc;

	if (!capture) {
		snprintf(error, CAPTURE_ERROR_MAX, "capture: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	capture->conf = *conf;
	capture->conf.path = NULL;
	capture->conf.lists = NULL;
	capture->conf.rules = NULL;
	capture->error = error;
	snprintf(capture->ifname, sizeof capture->ifname, "%s", ifname);
	rc = netlink_open(NETLINK_ROUTE, &capture->netlink);
	if (rc != 0) {
		snprintf(error, CAPTURE_ERROR_MAX, "netlink: %s", strerror(-rc));
		free(capture);
		return rc;
	}
	*out = capture;
	return 0;
}

int capture_up(const struct conf *conf, const char *ifname, struct capture **out,
	       char error[CAPTURE_ERROR_MAX])
{
	struct capture *capture;
	struct netlink_link link;
	int rc = open_state(conf, ifname, error, &capture);

	if (rc != 0)
		return rc;
	rc = netlink_link_find(capture->netlink, ifname, &link);
	if (rc != 0) {
		capture_fail(capture, rc, ifname);
		goto free_state;
	}
	capture->ifindex = link.ifindex;
	capture->ipv6 = sysctl_ipv6_exists();
	capture->ipv6_device = capture->ipv6 && sysctl_ipv6_alive(ifname);
	capture->mtu = choose_mtu(capture);
	capture->ipv6_device &= capture->mtu >= CONF_MTU6_MIN;
	find_old_note(capture, &link);
	rc = find_old_rules(capture);
	if (rc != 0)
		goto free_state;
	rc = prepare(capture);
	if (rc == 0)
		rc = start(capture);
	if (rc == 0)
		rc = list_busy(capture);
	if (rc == 0)
		rc = open_watch(capture);
	if (rc != 0)
		goto undo;
	warn_of_host(capture);
	capture->error = NULL;
	*out = capture;
	return 0;
undo:
	undo(capture);
free_state:
	capture_free(capture);
	return rc;
}

void capture_free(struct capture *capture)
{
	if (!capture)
		return;
	capture_watch_close(capture->watch);
	netlink_close(capture->netlink);
	free(capture->busy);
	free(capture->hairpins);
	free(capture);
}

const char *capture_warnings(const struct capture *capture)
{
	return capture->warnings;
}

unsigned capture_mtu(const struct capture *capture)
{
	return capture->mtu;
}

const uint16_t *capture_busy_ports(const struct capture *capture, size_t *count)
{
	*count = capture->busy_count;
	return capture->busy;
}

/*
 * The kernel drops a link's routes whenever it goes down, so what is in the table is looked at
 * anew each time instead of remembered.
 */
static int update_table(struct capture *capture, unsigned egress, const struct link *link,
			uint8_t version)
{
	struct capture_route wanted[PLAN_REPLY_ROUTES_MAX];
	unsigned n = plan_reply_routes(&capture->conf, egress, link, version, wanted);
	struct capture_tally put = {0};
	char wrong[CAPTURE_TEXT_MAX];
	int first = capture_route_put(capture->netlink, version, wanted, n, &put, wrong);

	if (first != 0) {
		capture_fail(capture, first, wrong);
	} else {
		first = remove_old_routes(capture, version,
					  plan_reply_table(&capture->conf, egress), wanted, n);
		if (first != 0)
			capture_fail(capture, first, "removing old routes of answers");
	}
	return first;
}

int capture_update_links(struct capture *capture, const struct links *links,
			 char error[CAPTURE_ERROR_MAX])
{
	char text[CAPTURE_ERROR_MAX];
	int rc, first = 0;

	capture->link_count = 0;
	for (unsigned i = 0; i < capture->conf.egress_count && i < links->count; i++) {
		struct link *link = &capture->links[capture->link_count++];

		*link = links->link[i];
		link->neighbours = NULL; /* the snapshot's, and not needed */
		link->neighbour_count = 0;
		if (!plan_has_replies(&capture->conf, i))
			continue;
		for (unsigned version = 4; version <= (capture->ipv6 ? 6 : 4); version += 2) {
			capture->error = text;
			rc = update_table(capture, i, &links->link[i], (uint8_t)version);
			capture->error = NULL;
			if (rc != 0 && first == 0) {
				first = rc;
				snprintf(error, CAPTURE_ERROR_MAX, "%s", text);
			}
		}
	}
	capture->error = text;
	rc = capture_put_hairpins(capture, NULL);
	capture->error = NULL;
	if (rc != 0 && first == 0) {
		first = rc;
		snprintf(error, CAPTURE_ERROR_MAX, "hairpins: %s", text);
	}
	return first;
}
