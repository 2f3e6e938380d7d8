/* No peers: libdpdk-dev was not there when this was built. */
#include "perf/peer.h"

#include <stdio.h>

bool peers_open(char text[PEER_REMARK_MAX])
{
	snprintf(text, PEER_REMARK_MAX, "none: built without DPDK (libdpdk-dev)");
	return false;
}

void peers_close(void)
{
}

void peer_set_init4(struct peer_set *set, const struct lpm4_route *routes, size_t n)
{
	(void)routes;
	(void)n;
	*set = (struct peer_set){0};
}

void peer_set_init6(struct peer_set *set, const struct lpm6_route *routes, size_t n)
{
	(void)routes;
	(void)n;
	*set = (struct peer_set){0};
}

void peer_set_fini(struct peer_set *set)
{
	(void)set;
}

void peer_pass(const struct peer *peer, const struct peer_keys *keys, unsigned burst)
{
	(void)peer;
	(void)keys;
	(void)burst;
}

void peer_pass_dependent(const struct peer *peer, const struct peer_keys *keys)
{
	(void)peer;
	(void)keys;
}

void peer_verdicts(const struct peer *peer, const struct peer_keys *keys, uint16_t *out)
{
	(void)peer;
	(void)keys;
	(void)out;
}
