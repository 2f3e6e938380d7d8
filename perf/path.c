/*
 * TCP and UDP through the whole path, beside the kernel doing the same job and plain forwarding:
 *
 *     client --- gateway (sluice)     ---+
 *     client --- gateway (masquerade) ---+--- server
 *     client --- gateway (forwarding) ---+
 *
 * Three gateways side by side in namespaces, one of them busy at a time, runs interleaved: what
 * drifts in the machine drifts for all.
 */
#include "perf/path.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "perf/netns.h"
#include "perf/perf.h"
#include "perf/report.h"

enum {
	RUNS_DEFAULT = 5,
	MS_DEFAULT = 1000,
	CONF_MAX = 1024,
	QUEUES_MAX = 4,
	WORDS_MAX = 16,
};

const char *const path_server[LANES] = {"198.51.0.1", "198.51.1.1", "198.51.2.1"};

/* One lane's addresses: 10.<lane>.0.0/24 inside, 198.51.<lane>.0/24 outside. */
static int build_lane(struct path *s, int lane)
{
	char outside[16];
	int rc;

	s->client[lane] = netns_create();
	s->gateway[lane] = netns_create();
	if (s->client[lane] < 0 || s->gateway[lane] < 0)
		return -EPERM;
	snprintf(outside, sizeof(outside), "wan%d", lane);
	rc = netns_veth(s->client[lane], "eth0", s->gateway[lane], "lan0") ||
	     netns_veth(s->gateway[lane], "eth0", s->server, outside) ||
	     netns_sh(s->client[lane],
		      "ip addr add 10.%d.0.2/24 dev eth0; ip route add default via 10.%d.0.1", lane,
		      lane) ||
	     netns_sh(s->gateway[lane],
		      "ip addr add 10.%d.0.1/24 dev lan0; ip addr add 198.51.%d.2/24 dev eth0; "
		      "ip route add default via 198.51.%d.1; echo 1 > "
		      "/proc/sys/net/ipv4/ip_forward; "
		      "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
		      lane, lane, lane) ||
	     netns_sh(s->server, "ip addr add 198.51.%d.1/24 dev %s", lane, outside);
	if (rc == 0 && lane == LANE_MASQUERADE)
		rc = netns_sh(s->gateway[lane],
			      "nft 'table ip nat { chain out { type nat hook postrouting priority "
			      "srcnat; oifname \"eth0\" masquerade; }; }'");
	if (rc == 0 && lane == LANE_FORWARD)
		rc = netns_sh(s->server, "ip route add 10.%d.0.0/24 via 198.51.%d.2", lane, lane);
	return rc;
}

static int start_daemon(struct path *s, unsigned queues)
{
	char path[512], conf[CONF_MAX];
	const char *program = netns_daemon_path(path, sizeof(path));
	int fd, n;

	n = snprintf(conf, sizeof(conf),
		     "[Interface]\nName = sluice0\nAddress = 10.66.0.1/24\nQueues = %u\n"
		     "Capture = forward\nFrom = lan0\nMTU = 1500\n"
		     "[Egress direct]\nType = interface\nInterface = eth0\n"
		     "[Default]\nEgress = direct\n",
		     queues);
	snprintf(s->conf, sizeof(s->conf), "/tmp/sluice-perf.XXXXXX");
	fd = mkstemp(s->conf);
	if (fd < 0)
		return -errno;
	if (write(fd, conf, (size_t)n) != n) {
		close(fd);
		return -EIO;
	}
	close(fd);
	char *argv[] = {(char *)program, "run", "-c", s->conf, NULL};

	s->daemon = netns_spawn(s->gateway[LANE_SLUICE], argv, -1);
	return s->daemon < 0 ? s->daemon : 0;
}

int path_traffic(const struct path *path, int lane, const char *const argv[], char *line,
		 size_t size)
{
	char *words[WORDS_MAX] = {"/proc/self/exe", "traffic"};
	int out[2], status;
	pid_t pid;
	FILE *f;

	for (unsigned i = 0; argv[i] && i + 3 < WORDS_MAX; i++)
		words[i + 2] = (char *)argv[i];
	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	pid = netns_spawn(path->client[lane], words, out[1]);
	close(out[1]);
	f = fdopen(out[0], "r");
	if (!f || !fgets(line, (int)size, f))
		line[0] = 0;
	if (f)
		fclose(f);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -EIO;
	return line[0] ? 0 : -EIO;
}

static int ask_tcp(const struct path *path, int lane, unsigned flows, unsigned ms, bool down,
		   double *gbps)
{
	char flows_text[16], ms_text[16], line[64];
	const char *argv[] = {"ask",   path_server[lane],      "--flows", flows_text, "--ms",
			      ms_text, down ? "--down" : NULL, NULL};
	int rc;

	snprintf(flows_text, sizeof(flows_text), "%u", flows);
	snprintf(ms_text, sizeof(ms_text), "%u", ms);
	rc = path_traffic(path, lane, argv, line, sizeof(line));
	if (rc == 0 && sscanf(line, "{\"gbps\": %lf}", gbps) != 1)
		rc = -EIO;
	return rc;
}

/* Until the daemon forwards: its start-up is no part of the measurement. */
static int wait_ready(struct path *s)
{
	double ignored;

	for (int i = 0; i < 50; i++) {
		if (waitpid(s->daemon, NULL, WNOHANG) == s->daemon) {
			s->daemon = 0;
			return -ECHILD;
		}
		if (netns_sh(s->client[LANE_SLUICE],
			     "ping -q -c 1 -W 1 198.51.0.1 >/dev/null 2>&1") == 0)
			return ask_tcp(s, LANE_SLUICE, 1, 10, false, &ignored);
		usleep(100000);
	}
	return -ETIMEDOUT;
}

static int set_up(struct path *s, const struct path_options *o)
{
	char *sink[] = {"/proc/self/exe", "traffic", "serve", NULL};
	int rc;

	s->server = netns_create();
	if (s->server < 0)
		return s->server;
	for (int lane = 0; lane < LANES; lane++) {
		rc = build_lane(s, lane);
		if (rc != 0)
			return rc;
	}
	s->sink = netns_spawn(s->server, sink, -1);
	rc = start_daemon(s, o->queues);
	return rc < 0 ? rc : wait_ready(s);
}

static void tear_down(struct path *s)
{
	netns_stop(s->daemon);
	netns_stop(s->sink);
	if (s->conf[0])
		unlink(s->conf);
}

static int measure(struct path *s, const struct path_options *o, unsigned flows, bool down)
{
	struct samples samples[LANES] = {0};
	char name[64];
	double gbps = 0;

	for (unsigned run = 0; run < o->runs; run++) {
		for (int lane = 0; lane < LANES; lane++) {
			int rc = ask_tcp(s, lane, flows, o->ms, down, &gbps);

			if (rc < 0)
				return rc;
			samples_add(&samples[lane], gbps);
		}
	}
	snprintf(name, sizeof(name), "tcp %u %s queues %u", flows, down ? "down" : "up", o->queues);
	report_line(o->json, &(struct report_case){name, "Gb/s", true, &samples[LANE_SLUICE],
						   "masquerade", &samples[LANE_MASQUERADE]});
	if (!o->json)
		printf("%-28s plain forwarding %.4g Gb/s\n", "",
		       samples_median(&samples[LANE_FORWARD]));
	return 0;
}

/* What the daemon takes by itself. */
static unsigned queues_default(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return cores < 1 ? 1 : cores > QUEUES_MAX ? QUEUES_MAX : (unsigned)cores;
}

static int take_options(int argc, char **argv, struct path_options *o)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"runs", required_argument, NULL, 'r'},
		{"ms", required_argument, NULL, 'm'},
		{"queues", required_argument, NULL, 'q'},
		{NULL, 0, NULL, 0},
	};
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			o->json = true;
			break;
		case 'r':
			o->runs = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			o->ms = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'q':
			o->queues = (unsigned)strtoul(optarg, NULL, 10);
			break;
		default:
			fprintf(stderr, "usage: sluice-perf path [--json] [--runs N] [--ms N] "
					"[--queues N]\n");
			return -EINVAL;
		}
	}
	if (o->runs < 1 || o->runs > REPORT_RUNS_MAX || o->ms < 1) {
		fprintf(stderr, "sluice-perf path: runs are 1 to %d, ms at least 1\n",
			REPORT_RUNS_MAX);
		return -EINVAL;
	}
	return 0;
}

int perf_path(int argc, char **argv)
{
	struct path_options o = {
		.runs = RUNS_DEFAULT, .ms = MS_DEFAULT, .queues = queues_default()};
	static const unsigned flows[] = {1, 4, 16};
	struct path s = {0};
	int rc = take_options(argc, argv, &o);

	if (rc < 0)
		return 1;
	report_head(o.json);
	rc = netns_allow();
	if (rc == 0)
		rc = set_up(&s, &o);
	if (rc != 0)
		fprintf(stderr, "sluice-perf path: cannot set up the namespaces: %s%s\n",
			rc < 0 ? strerror(-rc) : "a command failed",
			geteuid() != 0 || rc == -EPERM ? " (run it as root)" : "");
	for (unsigned i = 0; rc == 0 && i < sizeof(flows) / sizeof(flows[0]); i++) {
		rc = measure(&s, &o, flows[i], false);
		if (rc == 0)
			rc = measure(&s, &o, flows[i], true);
	}
	if (rc == 0)
		rc = path_udp(&s, &o);
	tear_down(&s);
	return rc != 0;
}
