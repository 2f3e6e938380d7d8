#include "perf/load_change.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "perf/netns.h"
#include "perf/pace.h"

enum {
	NS_PER_MS = 1000000,
};

#define NEVER UINT64_MAX

/* When what is next, in a run. */
struct agenda {
	uint64_t reload_ns;
	uint64_t flap_ns; /* down, or up again */
	uint64_t restart_ns;
	unsigned reloads;
	unsigned flaps; /* that have begun */
	unsigned restarts;
	struct load_outage *down; /* the flap that goes on, or NULL */
};

int load_change_start(struct load_change *c, unsigned queues)
{
	int rc = load_lists_select(c->lists, c->timeline->requested);

	c->daemon_generation = 1;
	return rc < 0 ? rc : load_net_start(c->net, queues);
}

/* One more generation by list.add or list.del. */
static int ask_edit(const struct load_change *c, uint32_t generation, json_t **result)
{
	const struct options o = {.socket = c->net->socket};
	unsigned class = load_class_moved_next(generation);
	bool adds = load_side(class, generation + 1) == LOAD_LEFT;
	json_t *params = json_pack("{s:s, s:o}", "name", "left", "prefixes",
				   load_lists_moved_next(c->lists, generation));

	return client_call(&o, adds ? "list.add" : "list.del", params, result);
}

static uint64_t told_ns(const json_t *result, const char *key)
{
	return (uint64_t)(json_number_value(json_object_get(result, key)) * 1000);
}

static void note_times(struct load_change_times *t, const json_t *result, uint64_t took_ns)
{
	const char *built = json_object_get(result, "edit_us") ? "edit_us" : "build_us";

	latency_add(&t->took, took_ns);
	latency_add(&t->parsed, told_ns(result, "parse_us"));
	latency_add(&t->built, told_ns(result, built));
	latency_add(&t->published, told_ns(result, "publish_us"));
}

static int reload(struct load_change *c)
{
	const struct options o = {.socket = c->net->socket};
	uint32_t generation = c->timeline->requested;
	json_t *result = NULL;
	uint64_t asked, answered;
	int rc = 0, status;

	if (!c->lists->edits)
		rc = load_lists_select(c->lists, generation + 1);
	asked = pace_now_ns();
	if (rc == 0)
		rc = load_timeline_request(c->timeline, asked);
	if (rc < 0)
		return rc;
	status = c->lists->edits ? ask_edit(c, generation, &result)
				 : client_call(&o, "reload", NULL, &result);
	answered = pace_now_ns();
	if (status != STATUS_OK)
		return -EIO;
	load_timeline_confirm(c->timeline, answered);
	c->daemon_generation++;
	if (json_integer_value(json_object_get(result, "generation")) != c->daemon_generation) {
		fprintf(stderr,
			"sluice-perf load: generation %lld instead of %u: does somebody "
			"else change the lists?\n",
			(long long)json_integer_value(json_object_get(result, "generation")),
			c->daemon_generation);
		rc = -EPROTO;
	}
	note_times(&c->times, result, answered - asked);
	json_decref(result);
	return rc;
}

static int flap(struct load_change *c, struct agenda *a, uint64_t every_ns)
{
	unsigned side = (a->flaps - (a->down != NULL)) % LOAD_SIDES;
	int rc;

	if (a->down) {
		rc = load_net_set_link(c->net, side, true);
		a->down->to_ns = pace_now_ns();
		a->down = NULL;
		a->flap_ns += every_ns - UINT64_C(1) * LOAD_FLAP_MS * NS_PER_MS;
		return rc ? -EIO : 0;
	}
	a->down = &c->outages[c->outage_count++];
	*a->down = (struct load_outage){.from_ns = pace_now_ns()};
	a->down->side[side] = true;
	a->flaps++;
	a->flap_ns += UINT64_C(1) * LOAD_FLAP_MS * NS_PER_MS;
	return load_net_set_link(c->net, side, false) ? -EIO : 0;
}

static int restart(struct load_change *c, unsigned queues)
{
	struct load_outage *o = &c->outages[c->outage_count++];
	int rc;

	*o = (struct load_outage){.side = {true, true}, .from_ns = pace_now_ns()};
	load_net_stop(c->net);
	rc = load_change_start(c, queues);
	o->to_ns = pace_now_ns();
	return rc;
}

static uint64_t earliest(const struct agenda *a)
{
	uint64_t first = a->reload_ns < a->flap_ns ? a->reload_ns : a->flap_ns;

	return first < a->restart_ns ? first : a->restart_ns;
}

int load_change_run(struct load_change *c, const struct load_change_plan *p, uint64_t start_ns,
		    uint64_t end_ns)
{
	const double length = (double)(end_ns - start_ns);
	const double reload_gap = p->reload_rate > 0 ? 1e9 / p->reload_rate : 0;
	const uint64_t flap_gap = p->flap_rate > 0 ? (uint64_t)(1e9 / p->flap_rate) : 0;
	const uint64_t restart_gap = p->queue_count ? (uint64_t)(length / p->queue_count) : 0;
	struct agenda a = {
		.reload_ns = p->reload_rate > 0 ? start_ns + (uint64_t)(reload_gap / 2) : NEVER,
		.flap_ns = p->flap_rate > 0 ? start_ns + flap_gap / 2 : NEVER,
		.restart_ns = p->queue_count > 1 ? start_ns + restart_gap : NEVER,
	};
	int rc = 0;

	c->times = (struct load_change_times){0};
	c->outage_count = 0;
	while (rc == 0 && earliest(&a) < end_ns) {
		uint64_t due = earliest(&a);

		pace_until_ns(due);
		if (due == a.restart_ns) {
			rc = restart(c, p->queues[++a.restarts]);
			a.restart_ns = a.restarts + 1 < p->queue_count ? due + restart_gap : NEVER;
		} else if (due == a.flap_ns) {
			rc = flap(c, &a, flap_gap);
			if (!a.down && c->outage_count == LOAD_OUTAGES_MAX - LOAD_QUEUES_MAX)
				a.flap_ns = NEVER; /* no room for more */
		} else {
			c->times.overdue += pace_now_ns() >= end_ns;
			rc = reload(c);
			a.reloads++;
			a.reload_ns = start_ns + (uint64_t)((a.reloads + 0.5) * reload_gap);
		}
	}
	if (a.down && rc == 0)
		rc = flap(c, &a, flap_gap);
	return rc;
}
