#include "perf/load_tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "perf/netns.h"
#include "perf/pace.h"
#include "perf/traffic.h"

enum {
	FLOWS = 4,
	TRY_MS = 20,
	TRIES = 100, /* until the server listens */
	TRY_PAUSE_NS = 50 * 1000 * 1000,
	NS_PER_MS = 1000000,
};

/* A client, in a thread that is in its namespace. */
struct asking {
	int ns;
	struct traffic_question question;
	double gbps;
	int rc;
};

static void *ask(void *argument)
{
	struct asking *a = argument;

	a->rc = setns(a->ns, CLONE_NEWNET) < 0 ? -errno : traffic_ask(&a->question, &a->gbps);
	return NULL;
}

static void format_addr(uint32_t addr, char out[INET_ADDRSTRLEN])
{
	const struct in_addr in = {htonl(addr)};

	inet_ntop(AF_INET, &in, out, INET_ADDRSTRLEN);
}

int load_tcp_start(const struct load_net *net, uint32_t addr, pid_t *server)
{
	static const struct load_change_plan nothing;
	const struct timespec pause = {.tv_nsec = TRY_PAUSE_NS};
	char *argv[] = {"/proc/self/exe", "traffic", "serve", NULL};
	char text[INET_ADDRSTRLEN];
	double ignored;
	int rc;

	*server = 0;
	format_addr(addr, text);
	if (netns_sh(net->sink[LOAD_LEFT], "ip route replace local %s dev lo", text) != 0 ||
	    netns_sh(net->client, "ip route replace default via 10.0.0.1") != 0)
		return -EIO;
	rc = netns_spawn(net->sink[LOAD_LEFT], argv, -1);
	if (rc < 0)
		return rc;
	*server = rc;
	rc = -ETIMEDOUT;
	for (unsigned i = 0; rc != 0 && i < TRIES; i++) {
		nanosleep(&pause, NULL);
		rc = load_tcp_run(net, NULL, addr, TRY_MS, &nothing, &ignored);
	}
	return rc;
}

void load_tcp_stop(pid_t server)
{
	netns_stop(server);
}

int load_tcp_run(const struct load_net *net, struct load_change *change, uint32_t addr, unsigned ms,
		 const struct load_change_plan *plan, double *gbps)
{
	char text[INET_ADDRSTRLEN];
	struct asking a = {
		.ns = net->client,
		.question = {.address = text, .port = TRAFFIC_PORT, .flows = FLOWS, .ms = ms}};
	uint64_t now = pace_now_ns();
	pthread_t thread;
	int rc = 0;

	format_addr(addr, text);
	if (pthread_create(&thread, NULL, ask, &a) != 0)
		return -EAGAIN;
	if (plan->reload_rate > 0)
		rc = load_change_run(change, plan, now, now + (uint64_t)ms * NS_PER_MS);
	pthread_join(thread, NULL);
	if (rc == 0)
		rc = a.rc;
	if (rc == 0)
		*gbps = a.gbps;
	return rc;
}
