/*
 * Watches the egress interfaces over netlink - links, addresses, default routes, neighbours - and
 * makes snapshots of them for the workers. It changes nothing in the system, except that it makes
 * the kernel ask for neighbours.
 *
 * Threads: all calls from one thread.
 */
#ifndef SLUICE_CTL_LINKS_WATCH_H
#define SLUICE_CTL_LINKS_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/conf.h"
#include "dataplane/links.h"
#include "lpm/prefix.h"

struct links_watch;

/*
 * Start watching the interface egresses of a configuration and take the first inventory. Interfaces
 * may be absent; they are found by name whenever they come.
 *
 * conf:   copied as far as needed
 * out:    the caller's, until links_watch_close
 * Errors: -EPERM, -ENOMEM or the system's
 */
int links_watch_open(const struct conf *conf, struct links_watch **out);
void links_watch_close(struct links_watch *watch); /* NULL does nothing */

/* What to poll for reading; stays the watch's. */
int links_watch_fd(const struct links_watch *watch);

/*
 * Take in the news without blocking; after an overrun everything is read afresh. Gateways without a
 * known link-layer address are asked for.
 *
 * changed: set to whether a new snapshot would differ; untouched on failure
 * Errors:  the system's
 */
int links_watch_process(struct links_watch *watch, bool *changed);

/*
 * Make a snapshot, one link an egress of the configuration, by its index.
 *
 * out:    the caller's, until links_destroy
 * Errors: -ENOMEM
 */
int links_watch_snapshot(const struct links_watch *watch, struct links **out);

/*
 * Make the kernel resolve a neighbour; the outcome comes as news. One that is known is asked
 * whether it is still there: see links_doubts.h. Repeated calls are cheap.
 *
 * egress: index in the configuration
 * addr:   on-link, of either family
 * Errors: -ENODEV (interface absent), or the system's
 */
int links_watch_resolve(struct links_watch *watch, unsigned egress, const struct addr *addr,
			uint64_t now_ms);

/* Ask on where neighbours owe answers. */
void links_watch_turn(struct links_watch *watch, uint64_t now_ms);

/* How long until links_watch_turn has something to do; -1: nothing. */
int links_watch_wait_ms(const struct links_watch *watch, uint64_t now_ms);

#endif
