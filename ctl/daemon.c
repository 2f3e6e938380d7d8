/*
 * `sluice run`: start, serve, end cleanly.
 *
 * Overview: configuration and lists first, since they are the likeliest to be wrong and nothing
 * has been touched yet; then the TUN, capture (fails closed from here on: packets wait in the
 * TUN), the egress interfaces, the workers, the control socket. The event loop waits for signals,
 * netlink, neighbours that workers ask for, and the control socket.
 *
 * Threads: this is the control thread. Signals are blocked before the workers start and read by
 * signalfd.
 */
#include "ctl/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/hint.h"
#include "ctl/server.h"
#include "ctl/threads.h"
#include "ctl/usage.h"
#include "tun/probe.h"

enum {
	QUEUES_AUTO_MAX = 4,
	LIST_FILES_MAX = 64,
	TURN_MS = 1000, /* the control socket looks at its deadlines so often */
};

uint64_t daemon_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t daemon_now_ms(void)
{
	return daemon_now_us() / 1000;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("sluice: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
}

/* ---- Threads ---- */

static void worker_begin(void *context, unsigned worker)
{
	const struct daemon *d = context;

	threads_begin_worker("sluice", worker, dataplane_worker_count(d->dataplane));
	threads_go_first();
}

static void worker_review(void *context, unsigned worker)
{
	(void)context;
	(void)worker;
	threads_keep_place();
}

/* ---- Start ---- */

/* Before anything is touched. */
static int check_interfaces(const struct conf *c)
{
	for (unsigned i = 0; i < c->egress_count; i++) {
		const struct conf_egress *e = &c->egresses[i];

		if (e->type != CONF_EGRESS_INTERFACE || if_nametoindex(e->interface) != 0)
			continue;
		say("egress %s: there is no interface %s", e->name, e->interface);
		return -ENODEV;
	}
	return 0;
}

static void fill_egresses(const struct daemon *d, struct egress_options *out)
{
	const struct conf *c = &d->conf;

	for (unsigned i = 0; i < c->egress_count; i++) {
		out[i].type = (enum egress_type)c->egresses[i].type;
		out[i].interface = c->egresses[i].interface;
		out[i].nat = c->egresses[i].nat && out[i].type == EGRESS_INTERFACE;
		out[i].port_first = c->egresses[i].port_first;
		out[i].port_last = c->egresses[i].port_last;
		out[i].on_down = (uint16_t)c->egresses[i].on_down;
		out[i].tunnel = tunnels_at(d->tunnels, i);
		out[i].gateway = c->egresses[i].split;
	}
}

/* What the kernel gets wrong stays off; TUN_OFFLOAD_* of it. */
static unsigned wrong_offloads(void)
{
	static const struct {
		unsigned offload;
		const char *word;
	} names[] = {
		{TUN_OFFLOAD_CSUM, "csum"}, {TUN_OFFLOAD_TSO4, "tso4"}, {TUN_OFFLOAD_TSO6, "tso6"},
		{TUN_OFFLOAD_USO4, "uso4"}, {TUN_OFFLOAD_USO6, "uso6"},
	};
	unsigned wrong = 0;
	int rc = probe_offloads(NULL, &wrong);

	if (rc < 0)
		say("offloads are used untried: no scratch device: %s", strerror(-rc));
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (wrong & names[i].offload)
			say("offload %s is off: this kernel gets it wrong", names[i].word);
	return wrong;
}

/* Before capture, so that their endpoints can be looked up. */
static int open_tunnels(struct daemon *d, unsigned queues)
{
	char error[TUNNELS_ERROR_MAX];
	int rc = tunnels_create(&d->conf, queues, d->ifname, &d->tunnels, error);

	if (rc < 0)
		say("%s", error);
	else
		tunnels_run_hooks(d->tunnels, WG_PRE_UP);
	return rc;
}

static int open_dataplane(struct daemon *d)
{
	const struct conf *c = &d->conf;
	struct egress_options egresses[EGRESSES_MAX] = {0};
	struct addr own[CONF_ADDRESSES_MAX];
	int failed, rc;
	char error[CAPTURE_ERROR_MAX];
	struct tun *tun;

	struct tun_options tun_options = {
		.name = c->interface.name,
		.queues =
			c->interface.queues ? c->interface.queues : threads_cores(QUEUES_AUTO_MAX),
		.persist = true,
		.without = wrong_offloads(),
		.fd = -1,
	};
	d->took_over = if_nametoindex(c->interface.name) != 0;
	rc = tun_open(&tun_options, &tun);
	if (rc < 0) {
		say("%s: cannot open the TUN device: %s%s", c->interface.name, strerror(-rc),
		    hint_tun(rc, c->interface.name));
		return rc;
	}
	snprintf(d->ifname, sizeof(d->ifname), "%s", tun_name(tun));
	d->ifindex = if_nametoindex(d->ifname);
	snprintf(d->offloads, sizeof(d->offloads), "%s", tun_offloads(tun));
	rc = open_tunnels(d, tun_queue_count(tun));
	if (rc < 0)
		goto close_tun;
	rc = capture_up(c, d->ifname, &d->capture, error);
	if (rc < 0) {
		say("%s", error);
		goto close_tun;
	}
	if (capture_warnings(d->capture)[0])
		say("%s", capture_warnings(d->capture));

	fill_egresses(d, egresses);
	for (unsigned i = 0; i < c->interface.address_count; i++)
		own[i] = c->interface.addresses[i].addr;
	struct dataplane_options options = {
		.tun = tun,
		.egresses = egresses,
		.egress_count = c->egress_count,
		.on_change = (enum on_change)c->interface.on_change,
		.mark = c->interface.mark,
		.source_flows = c->interface.source_flows,
		.source_ports = c->interface.source_ports,
		.own = own,
		.own_count = c->interface.address_count,
		.thread_begin = worker_begin,
		.thread_review = worker_review,
		.context = d,
	};
	options.busy_ports = capture_busy_ports(d->capture, &options.busy_port_count);
	rc = dataplane_create(&options, &d->dataplane, &failed);
	if (rc == 0)
		return 0;
	if (failed >= 0)
		say("egress %s: interface %s: %s", c->egresses[failed].name,
		    c->egresses[failed].interface, strerror(-rc));
	else
		say("cannot make the dataplane: %s", strerror(-rc));
close_tun:
	if (!d->took_over)
		tun_unpersist(tun);
	tun_close(tun);
	return rc;
}

_Static_assert((int)CONF_EGRESS_INTERFACE == EGRESS_INTERFACE &&
		       (int)CONF_EGRESS_DROP == EGRESS_DROP &&
		       (int)CONF_EGRESS_REJECT == EGRESS_REJECT &&
		       (int)CONF_EGRESS_WIREGUARD == EGRESS_WIREGUARD &&
		       (int)CONF_ON_CHANGE_KEEP == ON_CHANGE_KEEP &&
		       (int)CONF_ON_DOWN_REJECT == ON_DOWN_REJECT &&
		       (int)CONF_ON_DOWN_EGRESS == ON_DOWN_EGRESS &&
		       (int)CONF_EGRESSES_MAX == EGRESSES_MAX && (int)CONF_ADDRESSES_MAX == OWN_MAX,
	       "configuration and dataplane use the same numbers");

/*
 * An interface that was made anew (another VPN's client started again), or has another MAC address
 * (a bridge that got a port), must be opened anew.
 */
static void reopen_egresses(struct daemon *d, const struct links *links)
{
	for (unsigned i = 0; i < links->count; i++) {
		const struct link *link = &links->link[i];
		struct daemon_opened *opened = &d->opened[i];
		int rc;

		if (link->ifindex == 0 || (link->ifindex == opened->ifindex &&
					   memcmp(link->mac, opened->mac, sizeof(link->mac)) == 0))
			continue;
		rc = opened->ifindex == 0 ? 0 : dataplane_reopen_egress(d->dataplane, i);
		if (rc < 0) {
			say("egress %s: interface %s: %s", d->conf.egresses[i].name,
			    d->conf.egresses[i].interface, strerror(-rc));
			continue;
		}
		opened->ifindex = link->ifindex;
		memcpy(opened->mac, link->mac, sizeof(opened->mac));
	}
}

/* What lies behind an interface may take less than it does. */
static void limit_mtus(const struct conf *c, struct links *links)
{
	for (unsigned i = 0; i < links->count; i++) {
		struct link *link = &links->link[i];

		if (c->egresses[i].mtu && (!link->mtu || c->egresses[i].mtu < link->mtu))
			link->mtu = c->egresses[i].mtu;
	}
}

static int publish_links(struct daemon *d)
{
	char error[CAPTURE_ERROR_MAX];
	struct links *links;
	int rc = links_watch_snapshot(d->watch, &links);

	if (rc < 0) {
		say("links: %s", strerror(-rc));
		return rc;
	}
	limit_mtus(&d->conf, links);
	reopen_egresses(d, links);
	if (capture_update_links(d->capture, links, error) < 0)
		say("%s", error);
	dataplane_publish_links(d->dataplane, links);
	return 0;
}

static int open_socket(struct daemon *d, const struct options *options)
{
	char path[128];
	struct rpc_options rpc = {.table = &d->methods};
	struct rpc_error err = {0};
	int rc;

	snprintf(path, sizeof(path), "%s/%s.sock", SLUICE_RUN_DIR, d->ifname);
	rpc.path = options->socket ? options->socket : path;
	d->methods = daemon_methods(d);
	rc = rpc_open(&rpc, &d->rpc, &err);
	if (rc < 0)
		say("control socket: %s", err.text);
	return rc;
}

static int load_first(struct daemon *d, struct load_result *loaded)
{
	char text[LOAD_ERROR_TEXT_MAX];
	struct load_error err;
	int rc = load_table_cached(&d->conf, 1, NULL, 0, loaded, &err);

	if (rc < 0)
		say("%s", load_error_format(&err, text));
	return rc;
}

/* Where the time went, for who waits for a start. */
static void say_load(const struct load_result *loaded)
{
	say("lists were read in %.1f ms, %u of %u from the cache; the table was built in %.1f ms",
	    (double)loaded->parse_us / 1000, loaded->cached_count, loaded->read_count,
	    (double)loaded->build_us / 1000);
}

/* ---- The loop ---- */

static void reload_by_signal(struct daemon *d)
{
	char text[LOAD_ERROR_TEXT_MAX];
	struct reload_report r;
	struct load_error err;
	int rc;

	rc = daemon_reload(d, NULL, 0, &r, &err);
	if (rc < 0)
		say("reload: %s; nothing was changed", load_error_format(&err, text));
	else
		say("reload: generation %u, %zu IPv4 + %zu IPv6 prefixes", r.generation, r.count4,
		    r.count6);
	if (rc == 0 && r.added + r.removed > 0)
		say("reload: %zu added and %zu removed prefixes were dropped", r.added, r.removed);
}

/* Returns whether the daemon must end. */
static bool take_signal(struct daemon *d, int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo != SIGHUP)
		return true;
	reload_by_signal(d);
	return false;
}

static void resolve_wishes(struct daemon *d)
{
	struct addr via;
	unsigned egress;

	while (dataplane_resolve_next(d->dataplane, &egress, &via))
		links_watch_resolve(d->watch, egress, &via, daemon_now_ms());
}

/* What others damage of the capture is repaired. */
static void watch_capture(struct daemon *d)
{
	char news[CAPTURE_ERROR_MAX];

	(void)capture_process(d->capture, daemon_now_ms(), news); /* status tells of failures */
	if (news[0])
		say("capture: %s", news);
}

static int turn_ms(const struct daemon *d)
{
	int wait = links_watch_wait_ms(d->watch, daemon_now_ms());

	return wait >= 0 && wait < TURN_MS ? wait : TURN_MS;
}

/* Returns whether it ends because it was told to. */
static bool serve(struct daemon *d, int signals)
{
	enum { SIGNALS, NETLINK, CAPTURE, WISHES, SOCKET, TUNNELS, FDS };
	struct pollfd fds[FDS] = {
		[SIGNALS] = {.fd = signals, .events = POLLIN},
		[NETLINK] = {.fd = links_watch_fd(d->watch), .events = POLLIN},
		[CAPTURE] = {.fd = capture_fd(d->capture), .events = POLLIN},
		[WISHES] = {.fd = dataplane_resolve_fd(d->dataplane), .events = POLLIN},
		[SOCKET] = {.fd = server_fd(d->rpc), .events = POLLIN},
		[TUNNELS] = {.fd = tunnels_fd(d->tunnels), .events = POLLIN},
	};
	bool changed;

	for (;;) {
		if (poll(fds, FDS, turn_ms(d)) < 0 && errno != EINTR)
			return false;
		if (fds[SIGNALS].revents && take_signal(d, signals))
			return true;
		if (if_nametoindex(d->ifname) != d->ifindex)
			return false;
		if (fds[NETLINK].revents) {
			changed = false;
			if (links_watch_process(d->watch, &changed) == 0 && changed)
				publish_links(d);
		}
		watch_capture(d); /* after the links: it needs to know what is down */
		if (fds[WISHES].revents)
			resolve_wishes(d);
		links_watch_turn(d->watch, daemon_now_ms());
		server_process(d->rpc, daemon_now_ms());
		tunnels_process(d->tunnels, daemon_now_ms());
	}
}

/* ---- From start to end ---- */

static void take_down(struct daemon *d)
{
	char error[CAPTURE_ERROR_MAX];
	unsigned removed;

	server_close(d->rpc);
	links_watch_close(d->watch);
	if (d->tunnels && d->was_up)
		tunnels_run_hooks(d->tunnels, WG_PRE_DOWN);
	dataplane_destroy(d->dataplane);
	if (d->tunnels && d->was_up)
		tunnels_run_hooks(d->tunnels, WG_POST_DOWN);
	tunnels_destroy(d->tunnels);
	if (d->capture && !d->lost && (d->was_up || !d->took_over)) {
		if (capture_down(d->ifname, d->conf.interface.table, false, NULL, &removed, error) <
		    0)
			say("%s", error);
	} else if (d->took_over && !d->lost && d->ifname[0]) {
		/* A start over what a killed daemon left must not open what that keeps shut. */
		say("what was there before stays and lets nothing out; `sluice down` removes it");
	}
	capture_free(d->capture);
}

static int block_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* What will not work, or may surprise: said once at the start. */
static void warn(const struct daemon *d)
{
	const struct links *links = route_links_control(dataplane_routes(d->dataplane));

	for (unsigned i = 0; i < d->conf.egress_count; i++) {
		const struct conf_egress *e = &d->conf.egresses[i];

		if (e->quick && !e->hooks && wg_quick_has_hooks(e->quick))
			say("egress %s: the commands in %s are not run, without Hooks = yes",
			    e->name, e->config);
	}
	if (d->conf.interface.capture == CONF_CAPTURE_HOST && !d->conf.interface.address_count)
		say("%s has no address: programs would send by it from others, to which no answer "
		    "comes by the tunnel; an Address is wanted",
		    d->ifname);
	if (d->conf.interface.capture == CONF_CAPTURE_NONE)
		say("Capture = none: packets come in only by routes of your own into %s",
		    d->ifname);
	for (unsigned i = 0; i < links->count; i++) {
		const struct link *l = &links->link[i];

		if (l->up && l->ethernet && !l->gateway4.version && !l->gateway6.version)
			say("egress %s: no gateway is known on %s, so only its own subnets are "
			    "reached; Gateway = ADDRESS names one",
			    d->conf.egresses[i].name, d->conf.egresses[i].interface);
	}
}

static int start(struct daemon *d, const struct options *options, struct load_result *loaded)
{
	char problem[TUNNELS_ERROR_MAX];
	struct reload_report ignored;
	struct load_error err;
	int rc = check_interfaces(&d->conf);

	if (rc == 0)
		rc = open_dataplane(d);
	if (rc < 0)
		return rc;
	rc = daemon_commit(d, NULL, loaded, &ignored, &err);
	if (rc < 0)
		return rc;
	rc = links_watch_open(&d->conf, &d->watch);
	if (rc < 0) {
		say("netlink: %s", strerror(-rc));
		return rc;
	}
	rc = publish_links(d);
	if (rc < 0)
		return rc;
	rc = dataplane_start(d->dataplane);
	if (rc < 0) {
		say("cannot start the workers: %s", strerror(-rc));
		return rc;
	}
	rc = tunnels_listen(d->tunnels, problem);
	if (rc < 0) {
		say("%s", problem);
		return rc;
	}
	tunnels_run_hooks(d->tunnels, WG_POST_UP);
	return open_socket(d, options);
}

static int run(struct daemon *d, const struct options *options)
{
	struct load_result loaded = {0};
	int signals = block_signals();
	int status = STATUS_USAGE;

	d->started_ms = daemon_now_ms();
	if (load_first(d, &loaded) < 0)
		goto close_signals;
	status = STATUS_REFUSED;
	if (start(d, options, &loaded) == 0) {
		const struct table *table = route_table_control(dataplane_routes(d->dataplane));

		say("%s is up: %zu IPv4 + %zu IPv6 prefixes, %u queues, offloads %s", d->ifname,
		    table->count4, table->count6, dataplane_worker_count(d->dataplane),
		    d->offloads);
		say_load(&loaded);
		warn(d);
		d->was_up = true;
		if (serve(d, signals)) {
			say("%s: ending", d->ifname);
			status = STATUS_OK;
		} else {
			d->lost = true; /* so that capture stays: fail closed */
			say("%s was removed; what is captured is unreachable until the next "
			    "start, or `sluice down`",
			    d->ifname);
		}
	}
	take_down(d);
	daemon_forget_lists(d);
	load_result_fini(&loaded);
close_signals:
	close(signals);
	return status;
}

/* ---- The command ---- */

static int take_arguments(int argc, char **argv, const char *lists[LIST_FILES_MAX],
			  struct daemon_origin *a)
{
	static const struct option long_options[] = {
		{"config", required_argument, NULL, 'c'},
		{"list", required_argument, NULL, 'l'},
		{"direct", required_argument, NULL, 'd'},
		{"tunnel", required_argument, NULL, 't'},
		{"include", no_argument, NULL, 'i'},
		{"exclude", no_argument, NULL, 'e'},
		{NULL, 0, NULL, 0},
	};
	bool exclude = false;
	int c;

	a->lists = lists;
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, ":c:", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			a->config = optarg;
			break;
		case 'l':
			if (a->list_count == LIST_FILES_MAX)
				return usage_fail("run", "more than %d lists", LIST_FILES_MAX);
			lists[a->list_count++] = optarg;
			break;
		case 'd':
			a->direct = optarg;
			break;
		case 't':
			a->tunnel = optarg;
			break;
		case 'i':
			a->include = true;
			break;
		case 'e':
			exclude = true;
			break;
		default:
			return usage_bad_option("run", c, argv, long_options);
		}
	}
	if (optind < argc)
		return usage_fail("run", "what is '%s'?", argv[optind]);
	if (a->include && exclude)
		return usage_fail("run", "--include and --exclude exclude each other");
	if (a->config && (a->list_count || a->direct || a->tunnel || a->include || exclude))
		return usage_fail("run", "either -c FILE, or --list, --direct and --tunnel");
	if (!a->config && (a->list_count || a->direct || a->tunnel) &&
	    !(a->list_count && a->direct && a->tunnel))
		return usage_fail("run", "without a configuration file, --list, --direct and "
					 "--tunnel are all needed");
	return 0;
}

int cmd_run(const struct options *options, int argc, char **argv)
{
	const char *lists[LIST_FILES_MAX];
	char text[LOAD_ERROR_TEXT_MAX];
	struct daemon d = {0};
	struct load_error err;
	int status = take_arguments(argc, argv, lists, &d.origin);

	if (status != 0)
		return status;
	if (daemon_load_conf(&d.origin, &d.conf, &err) < 0) {
		say("%s", load_error_format(&err, text));
		return STATUS_USAGE;
	}
	status = run(&d, options);
	conf_free(&d.conf);
	return status;
}
