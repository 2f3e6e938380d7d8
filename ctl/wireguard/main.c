/*
 * sluice-wg: a WireGuard tunnel without a kernel module, started and driven as wireguard-go is.
 *
 * Overview: the TUN, a tunnel, a dataplane that sends all by it, the control socket; then a loop
 * that waits for signals, clients, news of the interface, and for somebody to remove the socket's
 * file, which ends the program. In the background the parent returns when the socket answers.
 *
 * Threads: this is the control thread. Signals are blocked before others start, and read by
 * signalfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/hint.h"
#include "ctl/threads.h"
#include "ctl/wireguard/link.h"
#include "ctl/wireguard/quick.h"
#include "ctl/wireguard/server.h"
#include "ctl/wireguard/sources.h"
#include "ctl/wireguard/text.h"
#include "dataplane/dataplane.h"
#include "dataplane/links.h"
#include "dataplane/wireguard/tunnel.h"
#include "lpm/table.h"

#define RUN_DIR "/var/run/wireguard"

enum {
	QUEUES_MAX = 4,
	QUEUE_LENGTH = 4096, /* packets, of each */
	TURN_MS = 1000,      /* deadlines of clients are looked at so often, and where the TUN is */

	LOG_SILENT = 0,
	LOG_ERROR = 1,
	LOG_VERBOSE = 2,
};

struct program {
	const char *interface;
	bool foreground;
	int log;
	int ready_fd; /* the parent's pipe; -1: nobody waits */
	int signals;
	int removed; /* inotify */
	char path[128];
	struct tun *tun;
	struct wg_tunnel *tunnel;
	struct wg_sources *sources;
	struct dataplane *dataplane;
	struct wg_link *link;
	struct server *server;
	struct wg_target target;
};

__attribute__((format(printf, 3, 4))) static void say(const struct program *p, int level,
						      const char *format, ...)
{
	va_list arguments;

	if (level > p->log)
		return;
	va_start(arguments, format);
	fprintf(stderr, "sluice-wg: %s: ", p->interface);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
}

static int fail(const struct program *p, const char *what, int rc)
{
	say(p, LOG_ERROR, "%s: %s", what, strerror(-rc));
	return rc;
}

/* ---- What the control socket asks ---- */

static int target_set(void *context, const struct wg_changes *changes)
{
	const struct program *p = context;
	int rc = wg_device_apply(wg_tunnel_device(p->tunnel), changes, wg_device_now_ns());

	if (rc < 0 && changes->set & WG_DEVICE_PORT)
		say(p, LOG_ERROR, "set: listen port %u: %s", changes->port, strerror(-rc));
	else if (rc < 0)
		fail(p, "set", rc);
	return rc;
}

static int target_get(void *context, struct wg_snapshot **out)
{
	const struct program *p = context;

	return wg_device_read(wg_tunnel_device(p->tunnel), out);
}

/* ---- Start ---- */

static void worker_begin(void *context, unsigned worker)
{
	const struct program *p = context;

	/* Not before others: who sends and receives is on this host, and must keep up. */
	threads_begin_worker("wg", worker, tun_queue_count(p->tun));
}

/* A number that the environment says; what is out stays if it says none. */
static int environment_number(const struct program *p, const char *name, int least, int most,
			      int *out)
{
	const char *text = getenv(name);
	uint64_t number;

	if (text == NULL || text[0] == '\0')
		return 0;
	if (!wg_number_parse(text, strlen(text), (unsigned)most, &number) ||
	    number < (unsigned)least) {
		say(p, LOG_ERROR, "%s: not a number from %d to %d: '%s'", name, least, most, text);
		return -EINVAL;
	}
	*out = (int)number;
	return 0;
}

static int open_tun(struct program *p)
{
	struct tun_options options = {.name = p->interface, .fd = -1};
	int queues = (int)threads_cores(QUEUES_MAX);
	int rc = environment_number(p, "WG_TUN_FD", 0, INT32_MAX, &options.fd);

	if (rc == 0)
		rc = environment_number(p, "WG_QUEUES", 1, TUN_QUEUES_MAX, &queues);
	if (rc < 0)
		return rc;
	options.queues = options.fd >= 0 ? 1 : (unsigned)queues;
	rc = tun_open(&options, &p->tun);
	if (rc == -EINVAL && options.queues > 1) {
		options.queues = 1; /* somebody has made it so, as for others */
		rc = tun_open(&options, &p->tun);
	}
	if (rc < 0 && options.fd >= 0)
		say(p, LOG_ERROR, "WG_TUN_FD: %d is no TUN device with virtio-net headers: %s",
		    options.fd, strerror(-rc));
	else if (rc < 0)
		say(p, LOG_ERROR, "cannot open the TUN device: %s%s", strerror(-rc),
		    hint_tun(rc, p->interface));
	if (rc < 0)
		return rc;
	rc = wg_link_open(tun_queue_fd(tun_queue_at(p->tun, 0)), &p->link);
	if (rc == 0 && options.fd < 0)
		rc = wg_link_set_mtu(p->link, WG_QUICK_MTU);
	if (rc == 0 && options.fd < 0)
		rc = wg_link_set_queue(p->link, QUEUE_LENGTH);
	return rc < 0 ? fail(p, "cannot set the TUN device up", rc) : 0;
}

static int publish_nothing(struct dataplane *d)
{
	struct table *table;
	struct links *links = links_create(1);
	int rc = links ? table_build(NULL, 0, 0, 1, &table) : -ENOMEM;

	if (rc < 0) {
		links_destroy(links);
		return rc;
	}
	dataplane_publish_links(d, links);
	dataplane_publish_table(d, table);
	return 0;
}

static int open_tunnel(struct program *p)
{
	const struct wg_tunnel_options tunnel = {
		.queues = tun_queue_count(p->tun),
		.mtu = wg_link_mtu(p->link),
		.aead = WG_AEAD_FASTEST,
	};
	struct egress_options egress = {.type = EGRESS_WIREGUARD};
	struct dataplane_options options = {
		.tun = p->tun,
		.egresses = &egress,
		.egress_count = 1,
		.straight = true,
		.stages_inside = getenv("WG_STAGES") != NULL, /* see write_stages */
		.flows = 1,
		.thread_begin = worker_begin,
		.context = p,
	};
	int rc = wg_tunnel_open(&tunnel, &p->tunnel);

	if (rc < 0)
		return fail(p, "cannot open the sockets", rc);
	rc = wg_sources_open(&p->sources);
	if (rc < 0)
		return fail(p, "cannot watch the routes", rc);
	egress.tunnel = p->tunnel;
	rc = dataplane_create(&options, &p->dataplane, NULL);
	if (rc == 0)
		rc = publish_nothing(p->dataplane);
	if (rc == 0)
		rc = dataplane_start(p->dataplane);
	return rc < 0 ? fail(p, "cannot start the workers", rc) : 0;
}

/* Whether our socket's file is gone. */
static bool is_removed(const struct program *p)
{
	char ignored[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct stat st;

	while (read(p->removed, ignored, sizeof(ignored)) > 0)
		;
	return lstat(p->path, &st) < 0 && errno == ENOENT;
}

static int open_socket(struct program *p)
{
	struct rpc_error err;
	int fd = -1, rc = environment_number(p, "WG_UAPI_FD", 0, INT32_MAX, &fd);

	if (rc < 0)
		return rc;
	snprintf(p->path, sizeof(p->path), RUN_DIR "/%s.sock", wg_link_name(p->link));
	p->target = (struct wg_target){.context = p, .set = target_set, .get = target_get};
	rc = wg_server_open(p->path, fd, &p->target, &p->server, &err);
	if (rc < 0) {
		say(p, LOG_ERROR, "%s: %s", fd >= 0 ? "WG_UAPI_FD" : "control socket", err.text);
		return rc;
	}
	p->removed = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (p->removed < 0 ||
	    inotify_add_watch(p->removed, RUN_DIR, IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF) < 0)
		return fail(p, RUN_DIR, -errno);
	return is_removed(p) ? fail(p, p->path, -ENOENT) : 0;
}

static int start(struct program *p)
{
	sigset_t set;
	int rc;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signals < 0)
		return fail(p, "signals", -errno);
	rc = open_tun(p);
	if (rc == 0)
		rc = open_tunnel(p);
	if (rc == 0)
		rc = open_socket(p);
	return rc;
}

/* ---- How time was spent ---- */

static void add_counters(const struct worker_counters *c, struct worker_counters *sum)
{
	sum->timed_out += c->timed_out;
	sum->timed_in += c->timed_in;
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		sum->stage_ns[i] += c->stage_ns[i];
}

/* For who asked: to the end of a file, that several may have one. */
static void write_stages(const struct program *p)
{
	const char *path = getenv("WG_STAGES"), *name = wg_link_name(p->link);
	FILE *f = path ? fopen(path, "ae") : NULL;
	struct worker_counters sum = {0}, c;

	if (!f) {
		if (path)
			fail(p, path, -errno);
		return;
	}
	for (unsigned i = 0; i < dataplane_worker_count(p->dataplane); i++) {
		dataplane_read_counters(p->dataplane, i, &c);
		add_counters(&c, &sum);
	}
	fprintf(f, "%s packets_out %" PRIu64 "\n", name, sum.timed_out);
	fprintf(f, "%s packets_in %" PRIu64 "\n", name, sum.timed_in);
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		fprintf(f, "%s %s_ns %" PRIu64 "\n", name, dataplane_stage_name(i),
			sum.stage_ns[i]);
	fclose(f);
}

/* ---- The loop ---- */

static void serve(struct program *p)
{
	enum { SIGNALS, SERVER, REMOVED, LINK, ROUTES, COUNT };

	for (;;) {
		struct pollfd fds[COUNT] = {
			[SIGNALS] = {.fd = p->signals, .events = POLLIN},
			[SERVER] = {.fd = server_fd(p->server), .events = POLLIN},
			[REMOVED] = {.fd = p->removed, .events = POLLIN},
			[LINK] = {.fd = wg_link_fd(p->link), .events = POLLIN},
			[ROUTES] = {.fd = wg_sources_fd(p->sources), .events = POLLIN},
		};
		uint64_t now_ms;
		int rc;

		if (poll(fds, COUNT, TURN_MS) < 0 && errno != EINTR)
			return;
		now_ms = wg_device_now_ns() / 1000000;
		server_process(p->server, now_ms);
		if (wg_sources_due(p->sources, now_ms))
			wg_sources_review(p->sources, wg_tunnel_device(p->tunnel));
		if (fds[SIGNALS].revents)
			return;
		if (fds[REMOVED].revents && is_removed(p)) {
			say(p, LOG_VERBOSE, "%s is gone: ending", p->path);
			return;
		}
		rc = wg_link_refresh(p->link);
		if (rc == -ENODEV) {
			say(p, LOG_VERBOSE, "the interface is gone: ending");
			return;
		}
		if (rc == 0)
			wg_tunnel_set_mtu(p->tunnel, wg_link_mtu(p->link));
	}
}

static void take_down(struct program *p)
{
	server_close(p->server);
	if (p->dataplane)
		dataplane_destroy(p->dataplane); /* the TUN, too */
	else
		tun_close(p->tun);
	wg_tunnel_close(p->tunnel);
	wg_sources_close(p->sources);
	wg_link_close(p->link);
}

/* ---- The command ---- */

/*
 * Go on in a child without a terminal; the parent waits for its word.
 *
 * Returns: in the child -1; in the parent its exit status
 */
static int go_background(struct program *p)
{
	char word;
	pid_t pid;
	int fds[2], null, status;

	pid = pipe2(fds, O_CLOEXEC) == 0 ? fork() : -1;
	if (pid < 0) {
		fail(p, "cannot go into the background", -errno);
		return EXIT_FAILURE;
	}
	if (pid > 0) {
		close(fds[1]);
		if (read(fds[0], &word, 1) == 1)
			return EXIT_SUCCESS;
		waitpid(pid, &status, 0);
		return EXIT_FAILURE;
	}
	close(fds[0]);
	p->ready_fd = fds[1];
	setsid();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0 && chdir("/") == 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	return -1;
}

/* The socket answers from now on. */
static void tell_parent(struct program *p)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (p->ready_fd < 0)
		return;
	if (null >= 0)
		dup2(null, STDERR_FILENO); /* until here the parent's */
	if (write(p->ready_fd, "", 1) < 0)
		say(p, LOG_ERROR, "nobody waits for the start");
	close(p->ready_fd);
}

static int run(struct program *p)
{
	int status = p->foreground ? -1 : go_background(p);

	if (status >= 0)
		return status;
	status = EXIT_FAILURE;
	if (start(p) == 0) {
		say(p, LOG_VERBOSE, "up, %u queues, offloads %s", tun_queue_count(p->tun),
		    tun_offloads(p->tun));
		tell_parent(p);
		serve(p);
		write_stages(p);
		status = EXIT_SUCCESS;
	}
	take_down(p);
	return status;
}

static int usage(FILE *out)
{
	fprintf(out, "usage: sluice-wg [-f|--foreground] INTERFACE\n"
		     "       sluice-wg --version\n"
		     "A WireGuard tunnel, started as wireguard-go is; wg(8) configures it.\n"
		     "In the background it returns when the control socket answers. Environment:\n"
		     "  WG_PROCESS_FOREGROUND=1      as -f\n"
		     "  LOG_LEVEL                    verbose, error (the default) or silent\n"
		     "  WG_QUEUES                    threads; one a core, at most 4, by default\n"
		     "  WG_TUN_FD, WG_UAPI_FD        descriptors that are open already\n"
		     "See sluice-wg(8).\n");
	return out == stdout ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int complain(const char *what, const char *word)
{
	fprintf(stderr, "sluice-wg: %s '%s'\n", what, word);
	return usage(stderr);
}

static int log_level(void)
{
	const char *text = getenv("LOG_LEVEL");

	if (text && (strcmp(text, "verbose") == 0 || strcmp(text, "debug") == 0))
		return LOG_VERBOSE;
	return text && strcmp(text, "silent") == 0 ? LOG_SILENT : LOG_ERROR;
}

int main(int argc, char **argv)
{
	const char *foreground = getenv("WG_PROCESS_FOREGROUND");
	struct program p = {.ready_fd = -1, .log = log_level()};

	p.foreground = foreground && strcmp(foreground, "1") == 0;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--foreground") == 0)
			p.foreground = true;
		else if (strcmp(argv[i], "--version") == 0)
			return printf("sluice-wg %s\n", SLUICE_VERSION) < 0;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return usage(stdout);
		else if (argv[i][0] == '-')
			return complain("unknown option", argv[i]);
		else if (p.interface)
			return complain("one interface only, what is", argv[i]);
		else
			p.interface = argv[i];
	}
	if (!p.interface || !p.interface[0]) {
		fputs("sluice-wg: no interface is named\n", stderr);
		return usage(stderr);
	}
	if (strlen(p.interface) >= TUN_NAME_MAX)
		return complain("longer than an interface's name can be:", p.interface);
	return run(&p);
}
