/*
 * The daemon's tunnels: one for each egress of type wireguard, configured by its file, and from
 * then on by its control socket, which has the egress's name.
 */
#ifndef SLUICE_CTL_TUNNELS_H
#define SLUICE_CTL_TUNNELS_H

#include "ctl/conf.h"
#include "ctl/wireguard/quick.h"
#include "dataplane/wireguard/tunnel.h"

enum {
	TUNNELS_ERROR_MAX = 256,
};

struct tunnels;

/*
 * Open the sockets of all tunnels, and give them keys and peers. Endpoints that are names are
 * looked up, for a few seconds at most; those that are not found then are sought further, and again
 * when their peer is silent.
 *
 * conf:   loaded; must outlive the tunnels, except for its quick, which may be replaced
 * queues: of the TUN
 * out:    the caller's, until tunnels_destroy
 * error:  one line for people
 * Errors: as wg_tunnel_open and wg_device_apply
 */
int tunnels_create(const struct conf *conf, unsigned queues, const char *ifname,
		   struct tunnels **out, char error[TUNNELS_ERROR_MAX]);

/*
 * Bring all tunnels to what their files say in another configuration of the same egresses, or none:
 * peers come, go and change, sessions of the others stay. For it to take the place of the first.
 *
 * error:  one line for people
 * Errors: as wg_device_apply
 */
int tunnels_sync(struct tunnels *tunnels, const struct conf *next, char error[TUNNELS_ERROR_MAX]);

/* After the dataplane. NULL does nothing. */
void tunnels_destroy(struct tunnels *tunnels);

/* That of an egress, by its index; NULL: it has none. */
struct wg_tunnel *tunnels_at(const struct tunnels *tunnels, unsigned egress);

/* Run the hooks of those that allow it. The interface's name stands for %i. */
void tunnels_run_hooks(const struct tunnels *tunnels, enum wg_quick_hook hook);

/* Open the control sockets, once the workers run. Errors: as server_open, with a line in error */
int tunnels_listen(struct tunnels *tunnels, char error[TUNNELS_ERROR_MAX]);

/* Readable while tunnels_process has something to do; -1: never. To be called once a second too. */
int tunnels_fd(const struct tunnels *tunnels);
void tunnels_process(struct tunnels *tunnels, uint64_t now_ms);

#endif
