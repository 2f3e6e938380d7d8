/*
 * Where `sluice-perf path` works:
 *
 *     client --- gateway (sluice)     ---+
 *     client --- gateway (masquerade) ---+--- server
 *     client --- gateway (forwarding) ---+
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl/client.h"
#include "perf/datagrams.h"
#include "perf/netns.h"
#include "perf/path.h"

enum {
	READY_TRIES = 50,
	FILE_MAX = 64,
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

int path_open(struct path *s)
{
	char *sink[] = {"/proc/self/exe", "traffic", "serve", NULL};
	int rc;

	*s = (struct path){.dir = "/tmp/sluice-perf.XXXXXX"};
	if (!mkdtemp(s->dir)) {
		s->dir[0] = 0;
		return -errno;
	}
	s->server = netns_create();
	if (s->server < 0)
		return s->server;
	for (int lane = 0; lane < LANES; lane++) {
		rc = build_lane(s, lane);
		if (rc != 0)
			return rc;
	}
	rc = netns_sh(s->server, "ip route add local " DATAGRAMS_SPREAD_PREFIX " dev lo");
	s->sink = rc == 0 ? netns_spawn(s->server, sink, -1) : 0;
	return s->sink < 0 ? s->sink : rc;
}

/* A file of the daemon's. */
static char *file_of(const struct path *s, const char *name, char out[FILE_MAX])
{
	snprintf(out, FILE_MAX, "%s/%s", s->dir, name);
	return out;
}

void path_close(struct path *s)
{
	char file[FILE_MAX];

	path_stop(s);
	netns_stop(s->sink);
	if (!s->dir[0])
		return;
	unlink(file_of(s, "conf", file));
	unlink(file_of(s, "socket", file));
	rmdir(s->dir);
}

static int write_conf(const struct path *s, unsigned queues, const char *path)
{
	FILE *f = fopen(path, "we");

	(void)s;
	if (!f)
		return -errno;
	fprintf(f,
		"[Interface]\nName = sluice0\nAddress = 10.66.0.1/24\nQueues = %u\n"
		"Capture = forward\nFrom = lan0\nMTU = 1500\n"
		"[Egress direct]\nType = interface\nInterface = eth0\n"
		"[Default]\nEgress = direct\n",
		queues);
	return fclose(f) == 0 ? 0 : -errno;
}

int path_traffic(const struct path *path, int lane, const char *const argv[], char *line,
		 size_t size)
{
	return netns_traffic(path->client[lane], argv, line, size);
}

/* Until the daemon forwards: its start-up is no part of the measurement. */
static int wait_ready(struct path *s)
{
	const char *argv[] = {"ask", path_server[LANE_SLUICE], "--ms", "10", NULL};
	char line[64];

	for (unsigned i = 0; i < READY_TRIES; i++) {
		if (waitpid(s->daemon, NULL, WNOHANG) == s->daemon) {
			s->daemon = 0;
			return -ECHILD;
		}
		if (netns_sh(s->client[LANE_SLUICE], "ping -q -c 1 -W 1 %s >/dev/null 2>&1",
			     path_server[LANE_SLUICE]) == 0)
			return path_traffic(s, LANE_SLUICE, argv, line, sizeof(line));
		usleep(100000);
	}
	return -ETIMEDOUT;
}

int path_start(struct path *s, unsigned queues)
{
	char program[512], conf[FILE_MAX], socket[FILE_MAX];
	char *argv[] = {(char *)netns_program("sluice", "SLUICE", program, sizeof(program)),
			"-S",
			file_of(s, "socket", socket),
			"run",
			"-c",
			file_of(s, "conf", conf),
			NULL};
	int rc = write_conf(s, queues, conf);

	if (rc < 0)
		return rc;
	s->daemon = netns_spawn(s->gateway[LANE_SLUICE], argv, -1);
	if (s->daemon < 0)
		return s->daemon;
	s->queues = queues;
	return wait_ready(s);
}

void path_stop(struct path *s)
{
	if (s->daemon > 0)
		netns_stop(s->daemon);
	s->daemon = 0;
}

int path_usage(const struct path *s, struct path_usage *out)
{
	char socket[FILE_MAX];
	const struct options o = {.socket = file_of(s, "socket", socket)};
	struct path_usage now = {0};
	const json_t *queue;
	json_t *result;
	struct timespec t;
	clockid_t clock;
	size_t i;

	if (clock_getcpuclockid(s->daemon, &clock) != 0 || clock_gettime(clock, &t) < 0)
		return -ESRCH;
	now.cpu_ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	if (client_call(&o, "queue.show", NULL, &result) != STATUS_OK)
		return -EIO;
	json_array_foreach(json_object_get(result, "queues"), i, queue)
	{
		const json_t *stages = json_object_get(queue, "stages_ns");

		for (unsigned stage = 0; stage < STAGE_COUNT; stage++)
			now.stage_ns[stage] += (uint64_t)json_integer_value(
				json_object_get(stages, dataplane_stage_name(stage)));
	}
	json_decref(result);
	*out = now;
	return 0;
}
