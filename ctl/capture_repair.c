/* Capture while it runs: what others damage is put back. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <linux/netfilter.h>

#include "ctl/capture_device.h"
#include "ctl/capture_nft.h"
#include "ctl/capture_plan.h"
#include "ctl/capture_state.h"
#include "ctl/sysctl_linux.h"

enum {
	LOOK_MS = 3000,   /* what no news tell of is looked at so often */
	REPAIR_MS = 100,  /* repairs may be so frequent, against whoever removes all again */
	REPAIRS_MAX = 20, /* but so many in a row, for whoever removes one thing after the other */
	GAP_MS = 5,       /* between them: `ip route flush` goes on until nothing comes back */
	TELL_MS = 1000,   /* repairs in quick succession are told together */
};

/* The host's IPv6 may be switched off and on while we run; the TUN's alone is ours to have on. */
static bool is_ipv6_on(const struct capture *capture)
{
	unsigned off = 1;

	if (!capture->ipv6_device)
		return false;
	if (sysctl_conf_get(6, capture->ifname, "disable_ipv6", &off) == 0 && off == 0)
		return true;
	return sysctl_ipv6_alive(capture->ifname) &&
	       sysctl_conf_set(6, capture->ifname, "disable_ipv6", 0) == 0;
}

/* What an egress that just went down loses is not damage; the links' news follow. */
static int repair_replies(struct capture *capture, uint8_t version, struct capture_tally *put)
{
	int first = 0;

	for (unsigned i = 0; i < capture->link_count; i++) {
		struct capture_route wanted[PLAN_REPLY_ROUTES_MAX];
		unsigned n =
			plan_reply_routes(&capture->conf, i, &capture->links[i], version, wanted);
		char wrong[CAPTURE_TEXT_MAX];
		int rc = capture_route_put(capture->netlink, version, wanted, n, put, wrong);

		if (rc != 0 && rc != -ENETDOWN && rc != -ENODEV && first == 0)
			first = capture_fail(capture, rc, wrong);
	}
	return first;
}

static int repair_nft(struct capture *capture, struct capture_tally *put)
{
	char name[NFT_TABLE_NAME_MAX], line[CAPTURE_TEXT_MAX];
	struct nft_state now = {0};
	int rc = nft_table_look(NFPROTO_INET, nft_table_name(capture->ifname, name), &now);

	if (rc == -EPROTONOSUPPORT)
		return 0; /* then it was never there */
	if (rc != 0 && rc != -ENOENT)
		return capture_fail(capture, rc, "looking at the nft table");
	/* Rules that somebody added are theirs. */
	if (rc == 0 && now.handle == capture->nft.handle && now.flags == capture->nft.flags &&
	    now.rules >= capture->nft.rules)
		return 0;
	rc = capture_put_nft(capture); /* has set the error */
	snprintf(line, sizeof line, "nft table inet %s", name);
	if (rc == 0)
		capture_tally_add(put, line);
	return rc;
}

/* Of several failures the first counts. */
static void keep_first(struct capture *capture, int rc, int *first, char error[CAPTURE_ERROR_MAX])
{
	if (rc == 0 || *first != 0)
		return;
	*first = rc;
	snprintf(error, CAPTURE_ERROR_MAX, "%s", capture->error);
}

/*
 * Put back what is missing, in the order of capture_up: there is a way out of the table that fails
 * closed before a rule leads to it. A device that is down stays so: nothing leaks, and somebody
 * may want it. Everything is tried.
 */
static int repair(struct capture *capture, struct capture_tally *put, char error[CAPTURE_ERROR_MAX])
{
	const uint8_t last = capture->ipv6 ? 6 : 4;
	char text[CAPTURE_ERROR_MAX];
	struct netlink_link link;
	bool up, ipv6;
	int rc, first = 0;

	capture->error = text;
	rc = netlink_link_find(capture->netlink, capture->ifname, &link);
	if (rc == 0 && link.ifindex != capture->ifindex)
		rc = -ENODEV;
	if (rc != 0) {
		keep_first(capture, capture_fail(capture, rc, capture->ifname), &first, error);
		goto done;
	}
	up = (link.flags & IFF_UP) != 0;
	ipv6 = up && is_ipv6_on(capture);
	rc = device_put_addresses(capture->netlink, capture->ifindex, &capture->conf.interface,
				  ipv6, put);
	if (rc != 0)
		keep_first(capture, capture_fail(capture, rc, "addresses"), &first, error);
	for (uint8_t v = 4; v <= last; v += 2)
		keep_first(capture, capture_put_routes(capture, v, v == 4 ? up : ipv6, put), &first,
			   error);
	for (uint8_t v = 4; v <= last; v += 2)
		keep_first(capture, capture_put_rules(capture, v, put), &first, error);
	for (uint8_t v = 4; v <= last; v += 2)
		keep_first(capture, repair_replies(capture, v, put), &first, error);
	keep_first(capture, repair_nft(capture, put), &first, error);
	keep_first(capture, capture_put_hairpins(capture, put), &first, error);
	if (first == 0 && !up) {
		first = -ENETDOWN;
		snprintf(error, CAPTURE_ERROR_MAX, "%s is down: nothing passes", capture->ifname);
	}
done:
	capture->error = NULL;
	return first;
}

/* What was put back and not told yet, and a trouble that is new. */
static void write_news(struct capture *capture, uint64_t now_ms, const char *problem,
		       char news[CAPTURE_ERROR_MAX])
{
	struct capture_tally *untold = &capture->untold;

	if (problem[0] != '\0' && strcmp(problem, capture->problem) != 0) {
		snprintf(news, CAPTURE_ERROR_MAX, "%s", problem);
	} else if (untold->count > 0 && now_ms >= capture->told_ms + TELL_MS) {
		snprintf(news, CAPTURE_ERROR_MAX, "put back %u %s that somebody removed (%s%s)",
			 untold->count, untold->count == 1 ? "thing" : "things", untold->first,
			 untold->count == 1 ? "" : ", ...");
		*untold = (struct capture_tally){0};
		capture->told_ms = now_ms;
	}
}

/* How long the next repair must wait, in milliseconds. */
static unsigned time_to_wait(const struct capture *capture, uint64_t now_ms)
{
	const uint64_t row_ms = (uint64_t)(REPAIRS_MAX - 1) * REPAIR_MS;
	uint64_t at_ms = capture->repaired_ms + GAP_MS;

	if (capture->repairs_ms > at_ms + row_ms)
		at_ms = capture->repairs_ms - row_ms;
	return at_ms > now_ms ? (unsigned)(at_ms - now_ms) : 0;
}

int capture_process(struct capture *capture, uint64_t now_ms, char news[CAPTURE_ERROR_MAX])
{
	struct capture_tally put = {0};
	char problem[CAPTURE_ERROR_MAX] = "";
	unsigned wait_ms;
	int rc;

	news[0] = '\0';
	if (capture_watch_read(capture->watch) || now_ms >= capture->look_ms)
		capture->damaged = true;
	wait_ms = capture->damaged ? time_to_wait(capture, now_ms) : 0;
	if (!capture->damaged || wait_ms > 0) {
		if (wait_ms > 0)
			capture_watch_wake(capture->watch, wait_ms);
		write_news(capture, now_ms, capture->problem, news);
		return 0;
	}
	capture->damaged = false;
	rc = repair(capture, &put, problem);
	/* What failed is tried again at the next turn. */
	capture->look_ms = rc == 0 ? now_ms + LOOK_MS : now_ms;
	if (put.count > 0 || rc != 0) {
		if (capture->repairs_ms < now_ms)
			capture->repairs_ms = now_ms;
		capture->repairs_ms += REPAIR_MS;
		capture->repaired_ms = now_ms;
	}
	if (put.count > 0) {
		capture->repairs++;
		if (capture->untold.count == 0)
			memcpy(capture->untold.first, put.first, sizeof put.first);
		capture->untold.count += put.count;
	}
	write_news(capture, now_ms, problem, news);
	memcpy(capture->problem, problem, sizeof problem);
	return rc;
}

int capture_fd(const struct capture *capture)
{
	return capture_watch_fd(capture->watch);
}

uint64_t capture_repairs(const struct capture *capture)
{
	return capture->repairs;
}

const char *capture_problem(const struct capture *capture)
{
	return capture->problem;
}
