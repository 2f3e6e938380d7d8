/* See tunnels.h. */
#include "ctl/tunnels.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/wireguard/names.h"
#include "ctl/wireguard/server.h"
#include "ctl/wireguard/sources.h"
#include "ctl/wireguard/stamp.h"
#include "ctl/wireguard/sync.h"

enum {
	NAMES_MS = 5000, /* that a start waits for them */
	STAMP_LOOK_MS = 1000,
};

struct tunnel {
	const struct conf_egress *egress; /* NULL: no tunnel */
	struct wg_names *names;           /* of all */
	struct wg_tunnel *tunnel;
	struct server *server;
	struct wg_target target;
};

struct tunnels {
	unsigned count; /* of egresses */
	int epoll_fd;
	struct wg_sources *sources;
	const char *ifname;
	struct wg_names *names;
	struct wg_stamp stamp; /* the last of all tunnels */
	uint64_t stamp_looked_ms;
	bool stamp_problem_said;
	bool lag_said;
	struct tunnel tunnel[CONF_EGRESSES_MAX];
};

/* ---- Stamps ---- */

static void say_stamp(const struct tunnels *all, int rc)
{
	fprintf(stderr,
		"sluice: %s: %s: should the clock have gone back at a start, peers will not answer "
		"until it is where it was\n",
		all->stamp.path[0] ? all->stamp.path : "STATE_DIRECTORY", strerror(-rc));
}

static uint64_t wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * WG_NS + (uint64_t)now.tv_nsec;
}

static void open_stamp(struct tunnels *all)
{
	const char *folder = getenv("STATE_DIRECTORY"); /* systemd's */
	int rc = wg_stamp_open(&all->stamp, folder && folder[0] ? folder : SLUICE_STATE_DIR,
			       all->ifname, wall_ns());

	if (rc < 0)
		say_stamp(all, rc);
}

static void keep_stamp(struct tunnels *all, uint64_t gap_ns)
{
	uint64_t sent_ns = 0, lag_s;
	int rc;

	for (unsigned i = 0; i < all->count; i++) {
		struct wg_tunnel *tunnel = all->tunnel[i].tunnel;
		uint64_t floor_ns = tunnel ? wg_device_wall_floor(wg_tunnel_device(tunnel)) : 0;

		sent_ns = floor_ns > sent_ns ? floor_ns : sent_ns;
	}
	lag_s = wg_stamp_lag_s(sent_ns, wall_ns());
	if (lag_s && !all->lag_said)
		fprintf(stderr,
			"sluice: the clock is %" PRIu64
			" s behind the last handshake: those to come count on from there\n",
			lag_s);
	all->lag_said = lag_s > 0;
	rc = wg_stamp_keep(&all->stamp, sent_ns, gap_ns);
	if (rc < 0 && !all->stamp_problem_said)
		say_stamp(all, rc);
	all->stamp_problem_said |= rc < 0;
}

/* ---- The control sockets' ---- */

/* What is said of an endpoint here counts, until the file is read again. */
static int target_set(void *context, const struct wg_changes *changes)
{
	const struct tunnel *t = context;
	struct wg_device *device = wg_tunnel_device(t->tunnel);
	int rc = wg_device_apply(device, changes, wg_device_now_ns());

	if (rc == 0 && changes->set & WG_DEVICE_REPLACE_PEERS)
		wg_names_forget(t->names, device, NULL);
	for (size_t i = 0; rc == 0 && i < changes->peer_count; i++)
		if (changes->peers[i].set & (WG_PEER_REMOVE | WG_PEER_ENDPOINT))
			wg_names_forget(t->names, device, changes->peers[i].public_key);
	return rc;
}

static int target_get(void *context, struct wg_snapshot **out)
{
	const struct tunnel *t = context;

	return wg_device_read(wg_tunnel_device(t->tunnel), out);
}

static void say_error(char error[TUNNELS_ERROR_MAX], const struct conf_egress *egress, int rc)
{
	char where[32] = "";

	if (rc == -EADDRINUSE || rc == -EACCES)
		snprintf(where, sizeof(where), "ListenPort %u: ", egress->quick->changes.port);
	snprintf(error, TUNNELS_ERROR_MAX, "egress %s: %s%s", egress->name, where, strerror(-rc));
}

/*
 * The mark is Sluice's, so that what the tunnel sends is not captured. What the file says of ports
 * was said when the sockets were opened.
 */
static int open_one(struct tunnel *t, const struct conf *conf, unsigned queues, uint64_t floor_ns,
		    char error[TUNNELS_ERROR_MAX])
{
	struct wg_quick *q = t->egress->quick;
	struct wg_changes changes = q->changes;
	const struct wg_tunnel_options options = {
		.queues = queues,
		.port = changes.port,
		.mark = conf->interface.mark,
		.mtu = t->egress->mtu,
		.aead = WG_AEAD_FASTEST,
		.wall_floor_ns = floor_ns,
	};
	int rc = wg_tunnel_open(&options, &t->tunnel);

	if (rc == 0) {
		wg_quick_resolve(q);
		changes.set &= ~(unsigned)WG_DEVICE_PORT;
		rc = wg_device_apply(wg_tunnel_device(t->tunnel), &changes, wg_device_now_ns());
	}
	if (rc == 0)
		rc = wg_names_set(t->names, wg_tunnel_device(t->tunnel), q);
	if (rc < 0)
		say_error(error, t->egress, rc);
	return rc;
}

int tunnels_create(const struct conf *conf, unsigned queues, const char *ifname,
		   struct tunnels **out, char error[TUNNELS_ERROR_MAX])
{
	struct tunnels *all = calloc(1, sizeof(*all));
	struct wg_quick_host missing;
	unsigned count;
	int rc;

	snprintf(error, TUNNELS_ERROR_MAX, "out of memory");
	if (!all)
		return -ENOMEM;
	all->count = conf->egress_count;
	all->ifname = ifname;
	all->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	rc = all->epoll_fd < 0 ? -errno : 0;
	if (rc == 0)
		rc = wg_names_create(&(struct wg_names_options){0}, &all->names);
	for (unsigned i = 0; i < all->count && rc == 0; i++) {
		if (conf->egresses[i].type != CONF_EGRESS_WIREGUARD)
			continue;
		all->tunnel[i].egress = &conf->egresses[i];
		all->tunnel[i].names = all->names;
		if (!all->stamp.path[0])
			open_stamp(all);
		rc = open_one(&all->tunnel[i], conf, queues, all->stamp.given_ns, error);
	}
	if (rc < 0) {
		tunnels_destroy(all);
		return rc;
	}
	count = wg_names_wait(all->names, NAMES_MS, &missing);
	if (count)
		fprintf(stderr, "sluice: endpoint %s, port %u, is not found yet; missing are %u\n",
			missing.name, missing.port, count);
	*out = all;
	return 0;
}

static int sync_one(struct tunnel *t, const struct conf_egress *next, struct wg_snapshot **was)
{
	struct wg_device *device = wg_tunnel_device(t->tunnel);
	int rc = wg_device_read(device, was);

	if (rc < 0)
		return rc;
	wg_quick_resolve(next->quick);
	rc = wg_sync_to_file(device, t->egress->quick, next->quick, wg_device_now_ns());
	if (rc < 0) {
		wg_snapshot_free(*was);
		*was = NULL;
	}
	return rc;
}

int tunnels_sync(struct tunnels *all, const struct conf *next, char error[TUNNELS_ERROR_MAX])
{
	struct wg_snapshot *was[CONF_EGRESSES_MAX] = {0};
	unsigned i;
	int rc = 0;

	for (i = 0; i < all->count && rc == 0; i++) {
		if (!all->tunnel[i].egress)
			continue;
		rc = sync_one(&all->tunnel[i], &next->egresses[i], &was[i]);
		if (rc < 0)
			say_error(error, &next->egresses[i], rc);
	}
	for (i = 0; i < all->count; i++) {
		struct tunnel *t = &all->tunnel[i];

		if (!was[i])
			continue;
		if (rc < 0)
			(void)wg_sync_back(wg_tunnel_device(t->tunnel), was[i], wg_device_now_ns());
		else if (wg_names_set(t->names, wg_tunnel_device(t->tunnel),
				      next->egresses[i].quick) < 0)
			fprintf(stderr, "sluice: egress %s: names are not looked up: no memory\n",
				t->egress->name);
		wg_snapshot_free(was[i]);
	}
	return rc;
}

void tunnels_destroy(struct tunnels *all)
{
	if (!all)
		return;
	wg_names_destroy(all->names);
	keep_stamp(all, 0);
	for (unsigned i = 0; i < all->count; i++) {
		server_close(all->tunnel[i].server);
		wg_tunnel_close(all->tunnel[i].tunnel);
	}
	wg_sources_close(all->sources);
	if (all->epoll_fd >= 0)
		close(all->epoll_fd);
	free(all);
}

struct wg_tunnel *tunnels_at(const struct tunnels *all, unsigned egress)
{
	return all->tunnel[egress].tunnel;
}

/* Write a command with the interface's name for %i. False: it is too long. */
static bool expand(const char *command, const char *ifname, char *out, size_t room)
{
	size_t n = 0;

	for (; *command; command++) {
		const bool name = command[0] == '%' && command[1] == 'i';
		const size_t size = name ? strlen(ifname) : 1;

		if (n + size >= room)
			return false;
		memcpy(out + n, name ? ifname : command, size);
		n += size;
		command += name;
	}
	out[n] = '\0';
	return true;
}

/* As wg-quick does: each to its end, by a shell. Signals are blocked here, not there. */
static void run_hook(const char *egress, const char *command, const char *ifname)
{
	char text[4096];
	int status = -1;
	pid_t pid;

	if (expand(command, ifname, text, sizeof(text))) {
		pid = fork();
		if (pid == 0) {
			sigset_t none;

			sigemptyset(&none);
			sigprocmask(SIG_SETMASK, &none, NULL);
			execl("/bin/sh", "sh", "-c", text, (char *)NULL);
			_exit(127);
		}
		if (pid > 0)
			waitpid(pid, &status, 0);
	}
	if (status != 0)
		fprintf(stderr, "sluice: egress %s: this hook failed: %s\n", egress, command);
}

void tunnels_run_hooks(const struct tunnels *all, enum wg_quick_hook hook)
{
	for (unsigned i = 0; i < all->count; i++) {
		const struct conf_egress *e = all->tunnel[i].egress;

		for (unsigned j = 0; e && e->hooks && j < e->quick->hook_count[hook]; j++)
			run_hook(e->name, e->quick->hooks[hook][j], all->ifname);
	}
}

static int watch(struct tunnels *all, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(all->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* The control socket of one tunnel. Errors: with a line in error */
static int listen_for(struct tunnels *all, struct tunnel *t, char error[TUNNELS_ERROR_MAX])
{
	struct rpc_error err;
	char path[128];
	int rc;

	snprintf(path, sizeof(path), "/var/run/wireguard/%s.sock", t->egress->name);
	t->target = (struct wg_target){.context = t, .set = target_set, .get = target_get};
	rc = wg_server_open(path, -1, &t->target, &t->server, &err);
	if (rc == 0)
		rc = watch(all, server_fd(t->server));
	if (rc < 0)
		snprintf(error, TUNNELS_ERROR_MAX, "egress %s: %.200s", t->egress->name,
			 t->server ? strerror(-rc) : err.text);
	return rc;
}

int tunnels_listen(struct tunnels *all, char error[TUNNELS_ERROR_MAX])
{
	unsigned listening = 0;
	int rc = 0;

	for (unsigned i = 0; i < all->count && rc == 0; i++) {
		if (!all->tunnel[i].egress)
			continue;
		rc = listen_for(all, &all->tunnel[i], error);
		listening++;
	}
	if (rc < 0 || listening == 0)
		return rc;
	rc = wg_sources_open(&all->sources);
	if (rc == 0)
		rc = watch(all, wg_sources_fd(all->sources));
	if (rc < 0)
		snprintf(error, TUNNELS_ERROR_MAX, "cannot watch the routes: %s", strerror(-rc));
	return rc;
}

int tunnels_fd(const struct tunnels *all)
{
	return all->epoll_fd;
}

void tunnels_process(struct tunnels *all, uint64_t now_ms)
{
	for (unsigned i = 0; i < all->count; i++)
		if (all->tunnel[i].server)
			server_process(all->tunnel[i].server, now_ms);
	if (all->sources && now_ms - all->stamp_looked_ms >= STAMP_LOOK_MS) {
		all->stamp_looked_ms = now_ms;
		keep_stamp(all, WG_STAMP_GAP);
	}
	if (!all->sources || !wg_sources_due(all->sources, now_ms))
		return;
	for (unsigned i = 0; i < all->count; i++)
		if (all->tunnel[i].tunnel)
			wg_sources_review(all->sources, wg_tunnel_device(all->tunnel[i].tunnel));
}
