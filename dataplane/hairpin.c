/* See hairpin.h. */
#include "dataplane/hairpin.h"

#include "dataplane/emit.h"
#include "dataplane/inward.h"

int hairpin_egress(const struct worker *w, const struct links *links, const struct flow_key *key)
{
	struct addr dst = key_dst(key);

	for (unsigned i = 0; i < w->egress_count; i++) {
		const struct link *l = &links->link[i];

		if (w->egress[i].nat &&
		    link_addr_compare(key->version == 4 ? &l->address4 : &l->address6, &dst) == 0)
			return (int)i;
	}
	return -1;
}

enum reason hairpin_packet(struct worker *w, const struct table *table, const struct links *links,
			   unsigned egress, struct packet *p, uint16_t outer_port)
{
	enum reason reason = emit_translate(w, &links->link[egress], egress, p, outer_port);

	if (reason == REASON_NONE)
		reason = inward_translate(w, table, links, egress, p, WAY_BACK);
	if (reason != REASON_NONE)
		return reason;
	inward_deliver(w, p);
	return REASON_NONE;
}
