/*
 * Capture: what brings packets into the TUN and keeps the rest of the host in order.
 *
 * Overview
 *   The TUN's addresses and MTU; a table of its own with `default dev TUN` and a worse
 *   `unreachable default`; policy rules that lead to it; reply tables, so that answers to
 *   connections from outside leave where they came in; one nft table that marks those connections
 *   and keeps the kernel silent on the translated ports; the reserved local ports. The main table
 *   is never touched. Everything is found again without configuration: rules and routes by their
 *   protocol number, the nft table by its name, the rest by a note in the TUN's alias and in the
 *   nft table's comment.
 *
 * Life-cycle
 *   tun_open (persistent) -> capture_up -> capture_update_links and capture_process ... ->
 *   tun_close -> capture_down,
 *   or, when the daemon is to come back soon, capture_free alone: capture goes on and fails closed.
 *   capture_up on what a dead process left takes it over without a gap.
 *
 * Threads
 *   All calls from one thread, which also owns the TUN.
 */
#ifndef SLUICE_CTL_CAPTURE_H
#define SLUICE_CTL_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/conf.h"
#include "dataplane/links.h"

struct capture;

enum {
	CAPTURE_ERROR_MAX = 400, /* bytes of an error's text with its terminator */
	CAPTURE_PROTOCOL =
		0x51, /* of our rules and routes: `ip rule` and `ip route` show it as 81 */
};

/*
 * Configure the TUN and take the host's traffic into it as the configuration's capture mode says.
 *
 * conf:   copied as far as needed
 * ifname: the TUN's real name (tun_name); it exists already
 * out:    the caller's, until capture_free
 * error:  one line without newline, filled on failure
 * Errors: -EPERM, -ENODEV, -EINVAL or the system's; everything that the call added is undone then
 */
int capture_up(const struct conf *conf, const char *ifname, struct capture **out,
	       char error[CAPTURE_ERROR_MAX]);

/* Forget the state; the system stays as it is. NULL does nothing. */
void capture_free(struct capture *capture);

/* What the user should know, one line each, "" when there is nothing: IPv6 absent and the like. */
const char *capture_warnings(const struct capture *capture);

/* The MTU that the TUN was given: the configured one, or the smallest of the egresses'. */
unsigned capture_mtu(const struct capture *capture);

/*
 * Ports of the egresses' ranges that sockets of the host used when capture_up ran. The kernel goes
 * on serving them, so the translator must never use them.
 *
 * Returns: sorted, host byte order, *count of them; the capture's
 */
const uint16_t *capture_busy_ports(const struct capture *capture, size_t *count);

/*
 * Make the reply tables and hairpins follow the links. Call it with every new snapshot; cheap when
 * nothing moved.
 *
 * links:  indexed by egress, as links_watch_snapshot gives it
 * error:  filled on failure
 * Errors: the system's; the rest is tried nevertheless, and all of it again at the next call
 */
int capture_update_links(struct capture *capture, const struct links *links,
			 char error[CAPTURE_ERROR_MAX]);

/*
 * What to poll for reading: news of damage. Whenever they come, and at least once a second,
 * capture_process is to be called.
 */
int capture_fd(const struct capture *capture);

/*
 * Put back what others removed of the capture: addresses of the TUN, routes, rules, the nft table.
 * Without news it looks by itself every few seconds. Against whoever removes everything again it
 * fights with twenty repairs in a row and then ten a second. A TUN that was set down stays down.
 *
 * now_ms: of a monotonic clock
 * news:   one line to tell the user, "" for none; the same trouble is told once
 * Errors: -ENETDOWN (the TUN is down), -ENODEV (it is gone), or the system's; it is tried again at
 *         the next call
 */
int capture_process(struct capture *capture, uint64_t now_ms, char news[CAPTURE_ERROR_MAX]);

/* How often capture_process had something to put back. */
uint64_t capture_repairs(const struct capture *capture);

/* Why the capture is not as it should be, one line; "" when it is. */
const char *capture_problem(const struct capture *capture);

/*
 * Remove everything that capture_up ever added for a device, and the device, whatever of it is
 * left.
 *
 * ifname:  NULL: all devices of this network namespace, and what has lost its device
 * table:   the configured capture table, so that rules are found even if every note is lost; 0: not
 * known force:   also while a process holds the device open log:     one line for each thing
 * removed; NULL: silent removed: how many things that was; set in any case Errors:  -EBUSY (a
 * running Sluice holds the device; nothing was touched), or the system's first after trying all,
 * with error filled
 */
int capture_down(const char *ifname, uint32_t table, bool force, FILE *log, unsigned *removed,
		 char error[CAPTURE_ERROR_MAX]);

#endif
