#include "perf/load_run.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "perf/pace.h"

enum {
	LEAD_MS = 5,     /* from the plan to its first packet */
	SETTLE_MS = 150, /* what is under way when the sender stops arrives by then */
	NS_PER_MS = 1000000,
};

struct sending {
	pthread_t thread;
	const struct load_send *send;
	const struct load_plan *plan;
	struct load_bits sent;
	uint64_t offered;
	int rc;
};

static void *serve(void *argument)
{
	struct sending *s = argument;

	s->rc = load_send_run(s->send, s->plan, &s->sent, &s->offered);
	return NULL;
}

static void subtract(struct load_losses_by_place *p, const struct load_losses_by_place *before)
{
	p->arrived -= before->arrived;
	p->tun_full -= before->tun_full;
	p->link_full -= before->link_full;
	for (unsigned r = 0; r < REASON_COUNT; r++)
		p->drops[r] -= before->drops[r];
}

static uint64_t count_bits(const struct load_bits *b)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < b->count; i++)
		count += load_bits_get(b, i);
	return count;
}

static void sum_up(struct load_bench *b, struct load_check *check, const struct sending *s,
		   struct load_outcome *out)
{
	const struct load_plan *plan = check->plan;

	load_check_losses(check, &s->sent, b->change.outages, b->change.outage_count, &out->losses);
	out->offered = s->offered;
	out->sent = count_bits(&s->sent);
	out->kept_up = s->offered == plan->count;
	out->ns = (uint64_t)((double)plan->count * plan->gap_ns);
	out->received = check->received;
	out->duplicated = check->duplicated;
	out->reordered = check->reordered;
	out->misrouted = check->misrouted;
	out->certain = check->certain;
	out->damaged = b->sink.damaged;
	out->latency = check->latency;
	out->late = check->late;
	out->times = b->change.times;
	out->outages = b->change.outage_count;
}

/* Both threads at work; the changes are made in this one, since the daemon dies with its parent. */
static int carry_out(struct load_bench *b, struct load_plan *plan, struct sending *s,
		     struct load_check *check, const struct load_change_plan *change,
		     struct load_outcome *out)
{
	const struct timespec settle = {.tv_nsec = SETTLE_MS * NS_PER_MS};
	int rc = load_sink_start(&b->sink, check), changed;

	if (rc < 0)
		return rc;
	plan->start_ns = pace_now_ns() + UINT64_C(1) * LEAD_MS * NS_PER_MS;
	rc = -pthread_create(&s->thread, NULL, serve, s);
	if (rc == 0) {
		changed = load_change_run(&b->change, change, plan->start_ns,
					  load_plan_due_ns(plan, plan->count));
		pthread_join(s->thread, NULL);
		nanosleep(&settle, NULL);
		rc = changed < 0 ? changed : s->rc;
	}
	load_sink_stop(&b->sink, &out->overrun);
	return rc;
}

int load_run(struct load_bench *b, double rate, uint64_t ms, const struct load_change_plan *change,
	     struct load_outcome *out)
{
	struct load_plan plan = {.run = (uint32_t)pace_now_ns() ^ (uint32_t)getpid() << 16,
				 .flows = b->flows,
				 .classes = b->classes,
				 .count = (uint64_t)(rate * (double)ms / 1000),
				 .gap_ns = 1e9 / rate};
	struct sending s = {.send = &b->send, .plan = &plan};
	struct load_losses_by_place before;
	struct load_check check;
	int rc;

	memset(out, 0, sizeof(*out));
	out->rate = rate;
	rc = load_check_init(&check, &plan, &b->timeline);
	if (rc < 0)
		return rc;
	rc = load_bits_init(&s.sent, plan.count);
	if (rc == 0)
		rc = load_net_read_losses(&b->net, &before);
	if (rc == 0)
		rc = carry_out(b, &plan, &s, &check, change, out);
	if (rc == 0)
		rc = load_net_read_losses(&b->net, &out->places);
	if (rc == 0) {
		if (change->queue_count <= 1) /* else the daemon and its TUN are others */
			subtract(&out->places, &before);
		sum_up(b, &check, &s, out);
	}
	load_bits_fini(&s.sent);
	load_check_fini(&check);
	return rc;
}

bool load_outcome_clean(const struct load_outcome *o)
{
	return o->losses.lost == 0 && o->duplicated == 0 && o->reordered == 0 &&
	       o->misrouted == 0 && o->damaged == 0 && o->overrun == 0 && o->kept_up;
}
