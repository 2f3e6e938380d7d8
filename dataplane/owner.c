/* See owner.h. */
#include "dataplane/owner.h"

#include <arpa/inet.h>
#include <string.h>

#include "dataplane/hairpin.h"

static struct steer_key steer_key_of(const uint8_t inner[16], uint16_t port,
				     const struct flow_key *k)
{
	struct steer_key s = {.port = htons(port), .proto = k->proto, .version = k->version};

	memcpy(s.inner, inner, sizeof(s.inner));
	return s;
}

/* All of a datagram's fragments meet there. */
static unsigned worker_of_datagram(const struct worker *w, const struct packet *p)
{
	struct fragment_key f = fragment_key_of(p);
	struct steer_key s = {.id = f.id, .proto = f.proto, .version = f.version};

	if (w->steered)
		return w->index; /* they do */
	memcpy(s.inner, f.src, sizeof(s.inner));
	memcpy(s.outer, f.dst, sizeof(s.outer));
	return tun_steer(w->device, &s);
}

/* Of the inner endpoint; what cannot be read stays here. */
static unsigned worker_of_endpoint(struct worker *w, const struct packet *p)
{
	uint16_t quoted_offset, l4_offset;
	struct flow_key quoted;
	struct steer_key s;

	if (w->peer_count == 1)
		return w->index;
	if (p->kind != PACKET_ICMP_ERROR) {
		s = steer_key_of(p->key.src, p->key.src_port, &p->key);
		return tun_steer(w->device, &s);
	}
	if (worker_flow_of_error(w, p) ||
	    packet_quoted(p, &quoted, &quoted_offset, &l4_offset) != REASON_NONE)
		return w->index;
	s = steer_key_of(quoted.dst, quoted.dst_port, &quoted);
	return tun_steer(w->device, &s);
}

static enum reason sort_fragment(struct worker *w, const struct links *links,
				 const struct packet *p)
{
	unsigned meet;

	/* Not turned round: they are dropped on the way. */
	if (hairpin_egress(w, links, &p->key) >= 0)
		return REASON_NONE;
	meet = worker_of_datagram(w, p);
	if (meet != w->index)
		return inbox_hand_over(w, meet, p, WAY_OUT, 0);
	if (p->kind == PACKET_FRAGMENT)
		return gather_later(w, &w->gather_out, p, WAY_OUT, 0);
	if (p->kind != PACKET_TRANSPORT)
		return REASON_NONE;
	return gather_first(w, &w->gather_out, p, worker_of_endpoint(w, p), WAY_OUT, 0);
}

enum reason owner_sort(struct worker *w, const struct links *links, const struct packet *p)
{
	unsigned owner;

	if (p->kind == PACKET_FRAGMENT || p->first_fragment)
		return sort_fragment(w, links, p);
	owner = worker_of_endpoint(w, p);
	return owner == w->index ? REASON_NONE : inbox_hand_over(w, owner, p, WAY_OUT, 0);
}
