/* The methods of the control socket: questions to the daemon, and orders. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/daemon.h"
#include "ctl/diff.h"
#include "ctl/edit.h"

enum {
	FLOWS_SHOWN_MAX = 10000,
	FLOWS_SHOWN_DEFAULT = 1000,
	LISTS_NAMED_MAX = 256,
};

static const char *const egress_type_names[] = {
	[CONF_EGRESS_INTERFACE] = "interface",
	[CONF_EGRESS_WIREGUARD] = "wireguard",
	[CONF_EGRESS_DROP] = "drop",
	[CONF_EGRESS_REJECT] = "reject",
};

static const char *const capture_names[] = {
	[CONF_CAPTURE_NONE] = "none",
	[CONF_CAPTURE_HOST] = "host",
	[CONF_CAPTURE_FORWARD] = "forward",
};

static const struct table *table_of(const struct daemon *d)
{
	return route_table_control(dataplane_routes(d->dataplane));
}

static const struct link *link_of(const struct daemon *d, unsigned egress)
{
	return &route_links_control(dataplane_routes(d->dataplane))->link[egress];
}

/* ---- JSON of small things ---- */

static json_t *json_addr(const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	return a->version ? json_string(addr_format(a, text)) : json_null();
}

static json_t *json_prefix(const struct prefix *p)
{
	char text[PREFIX_TEXT_MAX];

	return json_string(prefix_format(p, text));
}

static json_t *json_mac(const uint8_t mac[6])
{
	return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
			    mac[5]);
}

static void set_count(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

/* Where a prefix comes from: a line of a file, or an edit of the list since. */
static void set_place(json_t *object, const struct table_match *match)
{
	bool added = match->list && match->line == LIST_LINE_ADDED;
	bool line = match->list && !added;

	json_object_set_new(object, "file",
			    match->list ? rpc_string(match->list->file) : json_null());
	json_object_set_new(object, "line", line ? json_integer(match->line) : json_null());
	json_object_set_new(object, "added", json_boolean(added));
}

static const char *proto_name(const struct flow_key *k)
{
	switch (k->proto) {
	case PROTO_TCP:
		return "tcp";
	case PROTO_UDP:
		return "udp";
	default:
		return "icmp";
	}
}

/* Sum of all workers' counters: every member is a uint64_t. */
static void sum_counters(const struct daemon *d, struct worker_counters *sum)
{
	struct worker_counters one;
	uint64_t *to = (uint64_t *)sum;

	memset(sum, 0, sizeof(*sum));
	for (unsigned w = 0; w < dataplane_worker_count(d->dataplane); w++) {
		dataplane_read_counters(d->dataplane, w, &one);
		for (size_t i = 0; i < sizeof(one) / sizeof(uint64_t); i++)
			to[i] += ((const uint64_t *)&one)[i];
	}
}

/* ---- Egresses, lists, rules, queues ---- */

/* Whether packets can leave by it, and if not, why. */
static const char *egress_problem(const struct conf_egress *e, const struct link *l)
{
	if (e->type != CONF_EGRESS_INTERFACE)
		return NULL;
	if (l->ifindex == 0)
		return "the interface is absent";
	if (!l->up)
		return "the interface is down";
	if (e->nat && l->address4.version == 0 && l->address6.version == 0)
		return "the interface has no address";
	return NULL;
}

static json_t *json_egress(const struct daemon *d, unsigned index,
			   const struct egress_counters *counters)
{
	const struct conf_egress *e = &d->conf.egresses[index];
	const struct link *l = link_of(d, index);
	const char *problem = egress_problem(e, l);
	json_t *o =
		json_pack("{s:s, s:s, s:b, s:s?}", "name", e->name, "type",
			  egress_type_names[e->type], "ready", problem == NULL, "reason", problem);

	if (e->type == CONF_EGRESS_INTERFACE) {
		json_object_set_new(o, "interface", json_string(e->interface));
		json_object_set_new(o, "up", json_boolean(l->up));
		json_object_set_new(o, "address4", json_addr(&l->address4));
		json_object_set_new(o, "address6", json_addr(&l->address6));
		json_object_set_new(o, "gateway4", json_addr(&l->gateway4));
		json_object_set_new(o, "gateway6", json_addr(&l->gateway6));
		set_count(o, "mtu", l->mtu);
		json_object_set_new(o, "nat", json_boolean(e->nat));
		if (e->nat)
			json_object_set_new(o, "ports",
					    json_sprintf("%u-%u", e->port_first, e->port_last));
	}
	set_count(o, "packets_out", counters->packets_out);
	set_count(o, "bytes_out", counters->bytes_out);
	set_count(o, "packets_in", counters->packets_in);
	set_count(o, "bytes_in", counters->bytes_in);
	return o;
}

static json_t *json_egresses(const struct daemon *d)
{
	struct worker_counters sum;
	json_t *array = json_array();

	sum_counters(d, &sum);
	for (unsigned i = 0; i < d->conf.egress_count; i++)
		json_array_append_new(array, json_egress(d, i, &sum.egress[i]));
	return array;
}

/* The egress that the first rule of a list names; lists without a rule decide nothing. */
static const char *egress_of_list(const struct daemon *d, unsigned list)
{
	for (unsigned i = 0; i < d->conf.rule_count; i++)
		if (d->conf.rules[i].list == list)
			return d->conf.egresses[d->conf.rules[i].egress].name;
	return NULL;
}

static json_t *json_list(const struct daemon *d, unsigned index)
{
	const struct list *l = d->lists[index];
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string(l->name));
	json_object_set_new(o, "file", rpc_string(d->conf.lists[index].file));
	set_count(o, "v4", list_count(l, 4));
	set_count(o, "v6", list_count(l, 6));
	set_count(o, "added", l->added);
	set_count(o, "removed", l->removed);
	set_count(o, "duplicates", l->counts.duplicates);
	set_count(o, "covered", l->counts.covered);
	set_count(o, "masked", l->counts.masked);
	set_count(o, "skipped", l->counts.skipped);
	set_count(o, "aggregated", l->counts.aggregated);
	set_count(o, "loaded_at", (uint64_t)d->loaded[index]);
	json_object_set_new(o, "egress", json_pack("s?", egress_of_list(d, index)));
	return o;
}

static json_t *json_lists(const struct daemon *d)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < d->conf.list_count; i++)
		json_array_append_new(array, json_list(d, i));
	return array;
}

static json_t *json_stages(const struct worker_counters *c)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < STAGE_COUNT; i++)
		set_count(o, dataplane_stage_name(i), c->stage_ns[i]);
	return o;
}

/* Of the time with packets in hand: "receive 31 %, parse 4 %..."; null before there is any. */
static json_t *json_stage_shares(const struct worker_counters *c)
{
	char text[256];
	uint64_t all = 0;
	int used = 0;

	for (unsigned i = 0; i < STAGE_COUNT; i++)
		all += c->stage_ns[i];
	if (all == 0)
		return json_null();
	for (unsigned i = 0; i < STAGE_COUNT && used < (int)sizeof(text); i++)
		if (c->stage_ns[i])
			used += snprintf(text + used, sizeof(text) - (size_t)used, "%s%s %.0f%%",
					 used ? " " : "", dataplane_stage_name(i),
					 100.0 * (double)c->stage_ns[i] / (double)all);
	return json_string(text);
}

static json_t *json_queue(const struct daemon *d, unsigned index)
{
	struct worker_counters c;
	json_t *o = json_object();

	dataplane_read_counters(d->dataplane, index, &c);
	set_count(o, "index", index);
	set_count(o, "packets_in", c.packets_in);
	set_count(o, "bytes_in", c.bytes_in);
	set_count(o, "packets_out", c.packets_out);
	set_count(o, "bytes_out", c.bytes_out);
	set_count(o, "bursts", c.bursts);
	set_count(o, "sleeps", c.sleeps);
	set_count(o, "handed_over", c.handed_over);
	set_count(o, "taken_over", c.taken_over);
	set_count(o, "helped", c.helped);
	set_count(o, "inbox_full", c.drops[REASON_INBOX_FULL]);
	set_count(o, "flows", c.flows);
	set_count(o, "mappings", c.mappings);
	json_object_set_new(o, "stages_ns", json_stages(&c));
	json_object_set_new(o, "stages", json_stage_shares(&c));
	return o;
}

static json_t *json_queues(const struct daemon *d)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < dataplane_worker_count(d->dataplane); i++)
		json_array_append_new(array, json_queue(d, i));
	return array;
}

static int egress_show(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	(void)params;
	(void)err;
	*result = json_pack("{s:o}", "egresses", json_egresses(context));
	return 0;
}

static int queue_show(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	(void)params;
	(void)err;
	*result = json_pack("{s:o}", "queues", json_queues(context));
	return 0;
}

static int rule_show(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	const struct daemon *d = context;
	json_t *array = json_array();

	(void)params;
	(void)err;
	for (unsigned i = 0; i < d->conf.rule_count; i++) {
		const struct conf_rule *r = &d->conf.rules[i];
		const struct list *l = d->lists[r->list];

		json_array_append_new(
			array, json_pack("{s:i, s:s, s:s, s:I, s:I, s:i}", "index", (int)i, "list",
					 l->name, "egress", d->conf.egresses[r->egress].name, "v4",
					 (json_int_t)list_count(l, 4), "v6",
					 (json_int_t)list_count(l, 6), "line", (int)r->line));
	}
	*result = json_pack("{s:o, s:s}", "rules", array, "default",
			    d->conf.egresses[d->conf.default_egress].name);
	return 0;
}

static int list_show(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	const struct daemon *d = context;
	const char *name = json_string_value(json_object_get(params, "name"));
	json_t *array;

	if (!name) {
		*result = json_pack("{s:o}", "lists", json_lists(d));
		return 0;
	}
	for (unsigned i = 0; i < d->conf.list_count; i++) {
		if (strcmp(d->conf.lists[i].name, name) != 0)
			continue;
		array = json_array();
		json_array_append_new(array, json_list(d, i));
		*result = json_pack("{s:o}", "lists", array);
		return 0;
	}
	rpc_error_set(err, 0, "not_found", "no list is named '%.64s'", name);
	return -ENOENT;
}

/* ---- Status and counters ---- */

static int status(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	const struct daemon *d = context;
	const struct conf *c = &d->conf;
	const struct table *t = table_of(d);
	struct worker_counters sum;
	const char *problem = capture_problem(d->capture);
	bool healthy = problem[0] == '\0';

	(void)params;
	(void)err;
	sum_counters(d, &sum);
	for (unsigned i = 0; i < c->egress_count; i++)
		healthy &= egress_problem(&c->egresses[i], link_of(d, i)) == NULL;
	*result = json_pack(
		"{s:s, s:s, s:i, s:I, s:i, s:s, s:i, s:I, s:i, s:s, s:I, s:I, s:I, s:I, s:b, s:s}",
		"name", d->ifname, "version", SLUICE_VERSION, "pid", (int)getpid(), "uptime_s",
		(json_int_t)((daemon_now_ms() - d->started_ms) / 1000), "generation",
		(int)t->generation, "capture", capture_names[c->interface.capture], "table",
		(int)c->interface.table, "mark", (json_int_t)c->interface.mark, "mtu",
		(int)capture_mtu(d->capture), "offloads", d->offloads, "table_bytes",
		(json_int_t)table_size_bytes(t), "flows", (json_int_t)sum.flows, "v4",
		(json_int_t)t->count4, "v6", (json_int_t)t->count6, "healthy", healthy, "default",
		c->egresses[c->default_egress].name);
	json_object_set_new(
		*result, "steering",
		json_string(tun_steered(dataplane_tun(d->dataplane)) ? "endpoint" : "flow"));
	set_count(*result, "capture_repairs", capture_repairs(d->capture));
	if (problem[0] != '\0')
		json_object_set_new(*result, "capture_problem", rpc_string(problem));
	json_object_set_new(*result, "queues", json_queues(d));
	json_object_set_new(*result, "egresses", json_egresses(d));
	json_object_set_new(*result, "lists", json_lists(d));
	return 0;
}

static void add_counter(json_t *array, const char *name, uint64_t value, const char *help)
{
	json_array_append_new(array, json_pack("{s:s, s:I, s:s}", "name", name, "value",
					       (json_int_t)value, "help", help));
}

static int stats(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	const struct daemon *d = context;
	json_t *counters = json_array(), *drops = json_array();
	struct worker_counters s;

	(void)params;
	(void)err;
	sum_counters(d, &s);
	add_counter(counters, "packets_in", s.packets_in, "from the TUN, as on the wire");
	add_counter(counters, "bytes_in", s.bytes_in, "from the TUN");
	add_counter(counters, "packets_out", s.packets_out, "into the TUN, as on the wire");
	add_counter(counters, "bytes_out", s.bytes_out, "into the TUN");
	add_counter(counters, "flows", s.flows, "in the route cache now");
	add_counter(counters, "flow_hits", s.flow_hits, "packets that the route cache answered");
	add_counter(counters, "flow_misses", s.flow_misses, "flows that the table decided");
	add_counter(counters, "flow_renewed", s.flow_renewed,
		    "flows decided again after a reload, same egress");
	add_counter(counters, "flow_moved", s.flow_moved, "flows whose egress a reload changed");
	add_counter(counters, "mappings", s.mappings, "translated ports in use now");
	add_counter(counters, "receive_lost", s.lost,
		    "packets that interfaces' receive buffers had no room for");
	add_counter(counters, "handed_over", s.handed_over,
		    "packets that came to the wrong worker and went to the right one");
	add_counter(counters, "helped", s.helped,
		    "datagrams of a tunnel that idle workers opened for a busy one");
	for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++)
		json_array_append_new(drops, json_pack("{s:s, s:I, s:s}", "reason",
						       reason_name((enum reason)r), "value",
						       (json_int_t)s.drops[r], "help",
						       reason_text((enum reason)r)));
	*result = json_pack("{s:o, s:o, s:o, s:o}", "counters", counters, "drops", drops,
			    "egresses", json_egresses(d), "queues", json_queues(d));
	return 0;
}

/* ---- Flows ---- */

static json_t *json_flow(const struct daemon *d, const struct flow_info *i)
{
	const struct table *t = table_of(d);
	const struct flow_key *k = &i->flow.key;
	struct addr src = key_src(k), dst = key_dst(k);
	struct table_match match;
	json_t *o = json_object();

	json_object_set_new(o, "proto", json_string(proto_name(k)));
	json_object_set_new(o, "source", json_addr(&src));
	set_count(o, "source_port", k->src_port);
	json_object_set_new(o, "destination", json_addr(&dst));
	set_count(o, "destination_port", k->dst_port);
	json_object_set_new(o, "egress", json_string(d->conf.egresses[i->flow.egress].name));
	table_explain(t, &dst, &match);
	json_object_set_new(o, "list", json_pack("s?", match.list ? match.list->name : NULL));
	json_object_set_new(o, "prefix", match.list ? json_prefix(&match.prefix) : json_null());
	set_place(o, &match);
	set_count(o, "translated_port", i->outer_port);
	json_object_set_new(o, "state", json_string(flow_state_name(&i->flow)));
	set_count(o, "age_s", i->age_ms / 1000);
	set_count(o, "idle_s", i->idle_ms / 1000);
	set_count(o, "packets_out", i->counters.packets_out);
	set_count(o, "bytes_out", i->counters.bytes_out);
	set_count(o, "packets_in", i->counters.packets_in);
	set_count(o, "bytes_in", i->counters.bytes_in);
	set_count(o, "queue", i->worker);
	set_count(o, "generation", i->flow.generation);
	return o;
}

/* An address parameter; *out has version 0 if there is none. */
static int addr_param(const json_t *params, const char *key, struct addr *out,
		      struct rpc_error *err)
{
	const json_t *value = json_object_get(params, key);

	*out = (struct addr){0};
	if (!value)
		return 0;
	if (!json_is_string(value) ||
	    addr_parse(json_string_value(value), json_string_length(value), out) < 0)
		return rpc_error_set(err, RPC_PARAMS, "address", "%s is no IPv4 or IPv6 address",
				     key);
	return 0;
}

static int egress_param(const struct daemon *d, const json_t *params, int *out,
			struct rpc_error *err)
{
	const char *name = json_string_value(json_object_get(params, "egress"));

	*out = -1;
	if (!name)
		return 0;
	for (unsigned i = 0; i < d->conf.egress_count; i++)
		if (strcmp(d->conf.egresses[i].name, name) == 0)
			*out = (int)i;
	if (*out >= 0)
		return 0;
	rpc_error_set(err, 0, "not_found", "no egress is named '%.64s'", name);
	return -ENOENT;
}

static int flow_show(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	struct daemon *d = context;
	const json_t *limit = json_object_get(params, "limit");
	size_t max = FLOWS_SHOWN_DEFAULT, total = 0, n;
	struct flow_filter filter;
	struct flow_info *info;
	json_t *array;
	int rc = egress_param(d, params, &filter.egress, err);

	if (rc == 0)
		rc = addr_param(params, "address", &filter.addr, err);
	if (rc < 0)
		return rc;
	if (limit && (!json_is_integer(limit) || json_integer_value(limit) < 0))
		return rpc_error_set(err, RPC_PARAMS, "limit", "limit is no count");
	if (limit)
		max = (size_t)json_integer_value(limit);
	if (max > FLOWS_SHOWN_MAX)
		max = FLOWS_SHOWN_MAX;
	info = calloc(max + 1, sizeof(*info));
	if (!info)
		return -ENOMEM;
	n = dataplane_flows(d->dataplane, &filter, info, max, &total);
	array = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, json_flow(d, &info[i]));
	free(info);
	*result = json_pack("{s:o, s:I, s:b}", "flows", array, "total", (json_int_t)total,
			    "truncated", n < total);
	return 0;
}

/* ---- get: why a packet goes where it goes ---- */

static json_t *json_next_hop(const struct daemon *d, unsigned egress, const struct addr *dst,
			     const char **problem)
{
	const struct link *l = link_of(d, egress);
	struct addr via = *dst;
	uint8_t mac[6] = {0};

	*problem = egress_problem(&d->conf.egresses[egress], l);
	if (d->conf.egresses[egress].type != CONF_EGRESS_INTERFACE || *problem)
		return json_null();
	if (!l->ethernet)
		return json_pack("{s:o, s:n}", "address", json_addr(dst), "mac");
	switch (link_next_hop(l, dst, &via, mac)) {
	case LINK_HOP_OK:
		return json_pack("{s:o, s:o}", "address", json_addr(&via), "mac", json_mac(mac));
	case LINK_HOP_UNRESOLVED:
		*problem = "the next hop's link-layer address is not known yet";
		return json_pack("{s:o, s:n}", "address", json_addr(&via), "mac");
	case LINK_HOP_NONE:
		break;
	}
	*problem = "neither on-link nor a gateway of that family";
	return json_null();
}

/* The flow that the question describes, as far as it describes one. */
static bool flow_wanted(const struct flow_info *i, const struct addr *to, const struct addr *from,
			const json_t *params)
{
	const char *proto = json_string_value(json_object_get(params, "proto"));
	const json_t *sport = json_object_get(params, "sport");
	const json_t *dport = json_object_get(params, "dport");
	struct addr src = key_src(&i->flow.key), dst = key_dst(&i->flow.key);

	return link_addr_compare(to, &dst) == 0 &&
	       (from->version == 0 || link_addr_compare(from, &src) == 0) &&
	       (!proto || strcmp(proto, proto_name(&i->flow.key)) == 0) &&
	       (!sport || json_integer_value(sport) == i->flow.key.src_port) &&
	       (!dport || json_integer_value(dport) == i->flow.key.dst_port);
}

static json_t *json_flow_of(struct daemon *d, const struct addr *dst, const struct addr *from,
			    const json_t *params)
{
	enum { LOOKED_AT = 256 };
	struct flow_info *info = calloc(LOOKED_AT, sizeof(*info));
	const struct flow_filter filter = {.addr = *dst, .egress = -1};
	json_t *found = json_null();
	size_t total = 0, n;

	if (!info)
		return found;
	n = dataplane_flows(d->dataplane, &filter, info, LOOKED_AT, &total);
	for (size_t i = 0; i < n; i++) {
		if (!flow_wanted(&info[i], dst, from, params))
			continue;
		found = json_flow(d, &info[i]);
		break;
	}
	free(info);
	return found;
}

static int get(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	struct daemon *d = context;
	const struct table *t = table_of(d);
	struct table_match match;
	struct addr dst, from;
	const char *problem;
	unsigned egress;
	json_t *o;

	if (addr_param(params, "address", &dst, err) < 0 ||
	    addr_param(params, "from", &from, err) < 0)
		return -EINVAL;
	if (dst.version == 0)
		return rpc_error_set(err, RPC_PARAMS, "address", "address is missing");
	table_explain(t, &dst, &match);
	egress = t->verdicts[match.verdict].egress;
	o = json_pack("{s:o, s:s, s:s, s:s, s:i}", "address", json_addr(&dst), "verdict",
		      match.list ? "list" : "default", "egress", d->conf.egresses[egress].name,
		      "type", egress_type_names[d->conf.egresses[egress].type], "generation",
		      (int)t->generation);
	if (match.list) {
		json_object_set_new(o, "rule", json_integer(t->verdicts[match.verdict].rule));
		json_object_set_new(o, "list", json_string(match.list->name));
		json_object_set_new(o, "prefix", json_prefix(&match.prefix));
		set_place(o, &match);
	}
	if (d->conf.egresses[egress].type == CONF_EGRESS_INTERFACE)
		json_object_set_new(o, "interface",
				    json_string(d->conf.egresses[egress].interface));
	json_object_set_new(o, "next_hop", json_next_hop(d, egress, &dst, &problem));
	json_object_set_new(o, "reason", json_pack("s?", problem));
	json_object_set_new(o, "flow", json_flow_of(d, &dst, &from, params));
	*result = o;
	return 0;
}

/* ---- reload ---- */

static int reload(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	const json_t *lists = json_object_get(params, "lists"), *name;
	const char *names[LISTS_NAMED_MAX];
	struct load_error wrong;
	struct reload_report r;
	unsigned count = 0;
	size_t i;
	int rc;

	if (lists && !json_is_array(lists))
		return rpc_error_set(err, RPC_PARAMS, "lists", "lists is no array");
	json_array_foreach(lists, i, name)
	{
		if (!json_is_string(name) || count == LISTS_NAMED_MAX)
			return rpc_error_set(err, RPC_PARAMS, "lists",
					     "a list's name is no string");
		names[count++] = json_string_value(name);
	}
	rc = daemon_reload(context, names, count, &r, &wrong);
	if (rc < 0) {
		edit_set_error(err, &wrong);
		return rc;
	}
	*result =
		json_pack("{s:i, s:I, s:I, s:I, s:I, s:f, s:I, s:I}", "generation",
			  (int)r.generation, "v4", (json_int_t)r.count4, "v6", (json_int_t)r.count6,
			  "parse_us", (json_int_t)r.parse_us, "build_us", (json_int_t)r.build_us,
			  "publish_us", (double)r.publish_ns / 1000, "dropped_added",
			  (json_int_t)r.added, "dropped_removed", (json_int_t)r.removed);
	set_count(*result, "lists_read", r.lists_read);
	set_count(*result, "lists_cached", r.lists_cached);
	return 0;
}

struct rpc_table daemon_methods(struct daemon *d)
{
	static const struct rpc_method methods[] = {
		{"status", false, status, "health: generation, lists, egresses, queues"},
		{"get", false, get, "explain the verdict of an address"},
		{"reload", true, reload, "read lists, or all and the configuration, again"},
		{"diff", true, diff_method, "what a reload would move; changes nothing"},
		{"stats", false, stats, "counters, and drops by reason"},
		{"flow.show", false, flow_show, "the route cache"},
		{"list.add", true, edit_method_add, "add prefixes to a list"},
		{"list.del", true, edit_method_del, "remove prefixes from a list"},
		{"list.show", false, list_show, "lists and what they hold"},
		{"rule.show", false, rule_show, "rules in their order"},
		{"egress.show", false, egress_show, "egresses, their links and counters"},
		{"queue.show", false, queue_show, "queues and their workers' counters"},
	};

	return (struct rpc_table){methods, sizeof(methods) / sizeof(methods[0]), d};
}
