/*
 * WireGuard's control socket: "get=1" and "set=1", each up to an empty line, as often as a client
 * likes. A set applies whole or not at all.
 *
 * The errno of an answer has the sign that the program wg wants: it returns that of a set as it is,
 * and turns that of a get round.
 */
#ifndef SLUICE_CTL_WIREGUARD_SERVER_H
#define SLUICE_CTL_WIREGUARD_SERVER_H

#include "ctl/server.h"
#include "dataplane/wireguard/changes.h"

/* What the socket is for. */
struct wg_target {
	void *context;

	/* Do what is asked, or nothing. changes: borrowed. Errors: any -errno */
	int (*set)(void *context, const struct wg_changes *changes);

	/* As wg_device_read. */
	int (*get)(void *context, struct wg_snapshot **out);
};

enum {
	WG_REQUEST_MAX = 64 << 20, /* bytes: more than a million prefixes */
	WG_SMALL_MAX = 64 << 10,
};

/*
 * Serve a device. For its owner only (0600).
 *
 * fd:     -1, or a socket that listens at the path already
 * target: the caller's, until the server is closed
 * Errors: as server_open
 */
int wg_server_open(const char *path, int fd, struct wg_target *target, struct server **out,
		   struct rpc_error *err);

/*
 * Answer one request; see struct server_protocol.
 *
 * reply:  the caller's
 * Errors: -EPROTO (no such operation: nothing is answered), -ENOMEM
 */
int wg_server_handle(struct wg_target *target, const char *request, size_t size, char **reply,
		     size_t *reply_size);

/* The size of the first request of an input, or 0; see struct server_protocol. */
size_t wg_server_measure(const char *input, size_t scanned, size_t size);

#endif
