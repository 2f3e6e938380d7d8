/*
 * The configuration file of a tunnel as wg-quick(8) reads it, unmodified: [Interface] once, [Peer]
 * any number of times. Names of sections and keys are case-insensitive; "#" starts a comment.
 *
 * DNS, Table, SaveConfig and FwMark are read and not used: names, routes and the mark are Sluice's.
 */
#ifndef SLUICE_CTL_WIREGUARD_QUICK_H
#define SLUICE_CTL_WIREGUARD_QUICK_H

#include <stddef.h>
#include <stdint.h>

#include "ctl/conf.h"
#include "dataplane/wireguard/changes.h"

enum {
	WG_QUICK_HOST_MAX = 256, /* of an endpoint, with its terminator */
	WG_QUICK_MTU = 1420,     /* where none is said: for Ethernet, and IPv6 outside */
};

/* Where a peer is, as written: an address or a name. */
struct wg_quick_host {
	char name[WG_QUICK_HOST_MAX]; /* "": not said */
	uint16_t port;
};

/* Commands, run when they are asked for; in the order of the file. */
enum wg_quick_hook { WG_PRE_UP, WG_POST_UP, WG_PRE_DOWN, WG_POST_DOWN, WG_HOOK_COUNT };

struct wg_quick {
	struct conf_address addresses[CONF_ADDRESSES_MAX];
	unsigned address_count;
	unsigned mtu;              /* 0: not said */
	struct wg_changes changes; /* points into what follows; endpoints are not filled in */
	struct wg_peer_change *peers;
	struct wg_quick_host *hosts; /* of the peers */
	struct wg_allowed_change *allowed;
	size_t allowed_count;
	char **hooks[WG_HOOK_COUNT];
	unsigned hook_count[WG_HOOK_COUNT];
};

/*
 * Parse a whole text.
 *
 * text:   not terminated; may hold anything
 * out:    the caller's, until wg_quick_free
 * Errors: -EINVAL, -ENOMEM, with *err filled
 */
int wg_quick_parse(const char *text, size_t size, struct wg_quick *out, struct conf_error *err);

/* Wipes the keys. All zero is nothing to free. */
void wg_quick_free(struct wg_quick *quick);

/* Whether it names commands. */
bool wg_quick_has_hooks(const struct wg_quick *quick);

/* Fill in the endpoints of peers that are written as addresses. Returns: how many are names */
unsigned wg_quick_resolve(struct wg_quick *quick);

/*
 * Look a name up. May block, for long.
 *
 * out:    an endpoint without a source
 * Errors: -ENOENT (no such name, nobody who answers, neither IPv4 nor IPv6)
 */
int wg_quick_look_up(const struct wg_quick_host *host, struct udp_endpoint *out);

#endif
