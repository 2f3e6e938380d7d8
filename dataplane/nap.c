#include "dataplane/nap.h"

#define NS_PER_S UINT64_C(1000000000)

void nap_count(struct nap *n, unsigned packets, uint64_t bytes)
{
	n->packets += packets;
	n->bytes += bytes;
}

/* For packets that came in so many ns. */
static uint64_t length_for(const struct nap *n, uint64_t passed_ns)
{
	uint64_t length, rate = n->length_ns ? NAP_RATE_STAY : NAP_RATE;

	if (n->packets * NS_PER_S < rate * passed_ns || n->bytes >= NAP_SIZE * n->packets)
		return 0;
	length = NAP_PACKETS * passed_ns / n->packets;
	return length < NAP_NS_MAX ? length : NAP_NS_MAX;
}

uint64_t nap_length_ns(struct nap *n, uint64_t now_ns)
{
	uint64_t passed = now_ns - n->looked_ns;

	if (passed >= NAP_LOOK_NS) {
		n->length_ns = length_for(n, passed);
		n->looked_ns = now_ns;
		n->packets = n->bytes = 0;
	}
	return n->length_ns;
}
