/* The running program: what the event loop in daemon.c and the methods in methods.c share. */
#ifndef SLUICE_CTL_DAEMON_H
#define SLUICE_CTL_DAEMON_H

#include <time.h>

#include "ctl/capture.h"
#include "ctl/conf.h"
#include "ctl/links_watch.h"
#include "ctl/load.h"
#include "ctl/rpc.h"
#include "ctl/tunnels.h"
#include "dataplane/dataplane.h"
#include "lpm/list_edit.h"

/* Where the configuration comes from: the words of `run`. */
struct daemon_origin {
	const char *config;       /* a file; NULL, and no lists: the default one */
	const char *const *lists; /* in place of a file, as all that follows */
	unsigned list_count;
	const char *direct;
	const char *tunnel;
	bool include;
};

/* Owned by the control thread. */
struct daemon {
	struct daemon_origin origin;
	struct conf conf;
	struct dataplane *dataplane;
	struct capture *capture;
	struct links_watch *watch;
	struct tunnels *tunnels;
	struct server *rpc;
	struct rpc_table methods;
	struct list **lists; /* a reference to each of conf.lists */
	time_t *loaded;      /* when each of them was read */
	char offloads[64];
	char ifname[CONF_IFNAME_MAX];
	unsigned ifindex; /* of the TUN */
	/* The interface that each egress has open. Frames leave with its address of then. */
	struct daemon_opened {
		unsigned ifindex;
		uint8_t mac[6];
	} opened[EGRESSES_MAX];
	uint64_t started_ms;
	uint32_t generation;
	bool took_over; /* the device was there before: a killed daemon's capture */
	bool was_up;
	bool lost; /* somebody removed the TUN */
	bool cache_problem_said;
};

/* What a reload did; the operator and the benchmark read the same numbers. */
struct reload_report {
	uint32_t generation;
	size_t count4;
	size_t count6;
	uint64_t parse_us;
	uint64_t build_us;
	uint64_t publish_ns;
	unsigned lists_read;   /* of files, or of the cache */
	unsigned lists_cached; /* of these, of the cache */
	size_t added;          /* edits that the lists lost by being read again */
	size_t removed;
};

/* What an edit did. */
struct edit_report {
	uint32_t generation;
	size_t changed; /* prefixes that came or went */
	size_t present; /* prefixes to be added that were there already */
	size_t count4;  /* of the table */
	size_t count6;
	uint64_t edit_us;
	uint64_t publish_ns;
};

/*
 * Read the configuration, and the files of its tunnels.
 *
 * out:    freed by conf_free
 * Errors: as load_conf, conf_from_options
 */
int daemon_load_conf(const struct daemon_origin *origin, struct conf *out, struct load_error *err);

/*
 * Read lists again, build a table aside and publish it. With no names the configuration is read
 * again too; its [Interface] and [Egress] sections must be as they were. So are the files of
 * tunnels, whose peers may be others.
 *
 * names:  of the lists to read; count 0: all, and the configuration
 * Errors: -ENOENT (no list of that name), -EINVAL and others with *err filled; nothing has then
 *         changed
 */
int daemon_reload(struct daemon *daemon, const char *const *names, unsigned count,
		  struct reload_report *report, struct load_error *err);

/*
 * Whether a configuration leaves alone what a reload cannot change: devices and what capture has
 * set up.
 *
 * Errors: -EINVAL, with *err filled
 */
int daemon_check_fixed(const struct conf *now, const struct conf *next, struct load_error *err);

/*
 * Add prefixes to a list, or remove them, and publish what that makes of the table. The file stays
 * as it is, and is what counts when the list is read again.
 *
 * change: its prefixes; to be removed, the list must have them all
 * Errors: -ENOENT (no such list, or a prefix that it does not have), -ENOMEM, with *err filled;
 *         nothing has then changed
 */
int daemon_edit_list(struct daemon *daemon, const char *name, const struct list *change,
		     enum list_edit edit, struct edit_report *report, struct load_error *err);

/*
 * Publish a table that was loaded, and take over its lists and, if next is not NULL, that
 * configuration (*next is empty afterwards) and what the files of its tunnels say.
 *
 * Errors: -ENOMEM, or those of tunnels_sync, with *err filled; nothing has then changed
 */
int daemon_commit(struct daemon *daemon, struct conf *next, struct load_result *loaded,
		  struct reload_report *report, struct load_error *err);
void daemon_forget_lists(struct daemon *daemon);

uint64_t daemon_now_ms(void);
uint64_t daemon_now_us(void);

/* The methods of the control socket. */
struct rpc_table daemon_methods(struct daemon *daemon);

#endif
