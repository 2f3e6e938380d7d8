#include "perf/load_net.h"

#include <errno.h>
#include <jansson.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/client.h"
#include "perf/netns.h"

enum {
	CONF_MAX = 2048,
	START_MS = 10000,
	LINE_MAX_BYTES = 512,
};

uint32_t load_net_addr(unsigned side)
{
	return 0x64400002 | side << 8; /* 100.64.side.2 */
}

/* Index and, if mac is not NULL, address of a namespace's interface. */
static int ask_link(int ns, const char *name, int *ifindex, uint8_t *mac)
{
	int fd = netns_socket(ns, AF_INET, SOCK_DGRAM, 0), rc = 0;
	struct ifreq r = {0};

	if (fd < 0)
		return fd;
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (mac && ioctl(fd, SIOCGIFHWADDR, &r) < 0)
		rc = -errno;
	else if (mac)
		memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	if (rc == 0 && ifindex) {
		if (ioctl(fd, SIOCGIFINDEX, &r) < 0)
			rc = -errno;
		else
			*ifindex = r.ifr_ifindex;
	}
	close(fd);
	return rc;
}

/* What the sink's own stack would do with the datagrams is no part of the measurement. */
static int build_side(struct load_net *n, unsigned side)
{
	char wan[8];
	int rc;

	n->sink[side] = netns_create();
	if (n->sink[side] < 0)
		return n->sink[side];
	snprintf(wan, sizeof(wan), "wan%u", side);
	rc = netns_veth(n->gateway, wan, n->sink[side], "eth0");
	if (rc == 0)
		rc = netns_sh(n->gateway, "ip addr add 100.64.%u.2/24 dev %s", side, wan);
	if (rc == 0)
		rc = netns_sh(n->sink[side],
			      "ip addr add 100.64.%u.1/24 dev eth0; "
			      "nft 'table netdev sink { chain in { type filter hook ingress device "
			      "\"eth0\" priority 0; udp dport %d drop; }; }'",
			      side, LOAD_PORT);
	return rc == 0 ? ask_link(n->sink[side], "eth0", &n->sink_ifindex[side], NULL) : rc;
}

int load_net_init(struct load_net *n, const char *dir)
{
	int rc;

	*n = (struct load_net){.dir = dir};
	snprintf(n->socket, sizeof(n->socket), "%s/socket", dir);
	n->client = netns_create();
	n->gateway = netns_create();
	if (n->client < 0 || n->gateway < 0)
		return -EPERM;
	rc = netns_veth(n->client, "eth0", n->gateway, "lan0") ||
	     netns_sh(n->client, "ip addr add 10.0.0.2/24 dev eth0") ||
	     netns_sh(n->gateway, "ip addr add 10.0.0.1/24 dev lan0; "
				  "echo 1 > /proc/sys/net/ipv4/ip_forward; "
				  "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
	for (unsigned side = 0; rc == 0 && side < LOAD_SIDES; side++)
		rc = build_side(n, side);
	if (rc == 0)
		rc = ask_link(n->client, "eth0", &n->client_ifindex, n->client_mac);
	if (rc == 0)
		rc = ask_link(n->gateway, "lan0", NULL, n->gateway_mac);
	return rc;
}

static int write_conf(const struct load_net *n, unsigned queues, const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return -errno;
	fprintf(f,
		"[Interface]\nName = sluice0\nAddress = 10.66.0.1/24\nQueues = %u\n"
		"Capture = forward\nFrom = lan0\nMTU = 1500\n"
		"Cache = %s%s\n[Egress nowhere]\nType = drop\n[Default]\nEgress = nowhere\n",
		queues, n->cache ? n->dir : "no", n->cache ? "/cache" : "");
	for (unsigned side = 0; side < LOAD_SIDES; side++) {
		const char *name = side == LOAD_LEFT ? "left" : "right";

		fprintf(f,
			"[Egress %s]\nType = interface\nInterface = wan%u\n"
			"Gateway = 100.64.%u.1\n[List %s]\nFile = %s/%s.txt\n"
			"[Rule]\nList = %s\nEgress = %s\n",
			name, side, side, name, n->dir, name, name, name);
	}
	return fclose(f) == 0 ? 0 : -errno;
}

int load_net_start(struct load_net *n, unsigned queues)
{
	struct options o = {.socket = n->socket, .wait_ms = START_MS};
	char path[512], conf[LOAD_DIR_MAX + 16];
	json_t *status = NULL;
	int rc;

	snprintf(conf, sizeof(conf), "%s/conf", n->dir);
	rc = write_conf(n, queues, conf);
	if (rc < 0)
		return rc;
	char *argv[] = {(char *)netns_program("sluice", "SLUICE", path, sizeof(path)),
			"-S",
			n->socket,
			"run",
			"-c",
			conf,
			NULL};

	n->daemon = netns_spawn(n->gateway, argv, -1);
	if (n->daemon < 0)
		return n->daemon;
	rc = client_call(&o, "status", NULL, &status);
	if (rc == STATUS_OK)
		json_decref(status);
	return rc == STATUS_OK ? 0 : -ECHILD;
}

void load_net_stop(struct load_net *n)
{
	netns_stop(n->daemon);
	n->daemon = 0;
}

int load_net_set_link(const struct load_net *n, unsigned side, bool up)
{
	return netns_sh(n->gateway, "ip link set wan%u %s", side, up ? "up" : "down");
}

/* The gateway's interfaces: of a line, receive packets is the second number, send drops the 12th.
 */
static int read_interfaces(const struct load_net *n, struct load_losses_by_place *out)
{
	char path[64], line[LINE_MAX_BYTES];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/net/dev", (int)n->daemon);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':'), *name = line + strspn(line, " "), *at;
		unsigned long long value[12] = {0};

		if (!colon)
			continue;
		*colon = 0;
		at = colon + 1;
		for (unsigned i = 0; i < 12; i++)
			value[i] = strtoull(at, &at, 10);
		if (strcmp(name, "lan0") == 0)
			out->arrived = value[1];
		else if (strcmp(name, "sluice0") == 0)
			out->tun_full = value[11];
		else if (strncmp(name, "wan", 3) == 0)
			out->link_full += value[11];
	}
	fclose(f);
	return 0;
}

static int read_daemon(const struct load_net *n, struct load_losses_by_place *out)
{
	const struct options o = {.socket = n->socket};
	json_t *stats = NULL;
	const json_t *drop;
	size_t i;

	if (client_call(&o, "stats", NULL, &stats) != STATUS_OK)
		return -EIO;
	json_array_foreach(json_object_get(stats, "drops"), i, drop)
	{
		const char *reason = json_string_value(json_object_get(drop, "reason"));
		json_int_t value = json_integer_value(json_object_get(drop, "value"));

		for (unsigned r = REASON_NONE + 1; reason && r < REASON_COUNT; r++)
			if (strcmp(reason, reason_name((enum reason)r)) == 0)
				out->drops[r] = (uint64_t)value;
	}
	json_decref(stats);
	return 0;
}

int load_net_read_losses(const struct load_net *n, struct load_losses_by_place *out)
{
	struct load_losses_by_place now = {0};
	int rc = read_interfaces(n, &now);

	if (rc == 0)
		rc = read_daemon(n, &now);
	if (rc == 0)
		*out = now;
	return rc;
}
