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

/* One sender's part of a run. */
struct sending {
	pthread_t thread;
	unsigned sender;
	const struct load_send *send;
	const struct load_plan *plan;
	struct load_bits sent;
	uint64_t offered;
	int rc;
};

static void *serve(void *argument)
{
	struct sending *s = argument;

	s->rc = load_send_run(s->send, s->plan, s->sender, &s->sent, &s->offered);
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

static void sum_up(struct load_bench *b, struct load_check *check, const struct load_bits *sent,
		   struct load_outcome *out)
{
	const struct load_plan *plan = check->plan;

	load_check_losses(check, sent, b->change.outages, b->change.outage_count, &out->losses);
	out->sent = count_bits(sent);
	out->kept_up = out->offered == plan->count;
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

/* What each sender noted, as if one had. */
static int join_senders(struct sending *senders, unsigned started, struct load_bits *sent,
			struct load_outcome *out)
{
	int rc = 0;

	for (unsigned i = 0; i < started; i++) {
		pthread_join(senders[i].thread, NULL);
		load_bits_merge(sent, &senders[i].sent);
		load_bits_fini(&senders[i].sent);
		out->offered += senders[i].offered;
		if (rc == 0)
			rc = senders[i].rc;
	}
	return rc;
}

/* All threads at work; the changes are made in this one, since the daemon dies with its parent. */
static int carry_out(struct load_bench *b, struct load_plan *plan, struct load_bits *sent,
		     struct load_check *check, const struct load_change_plan *change,
		     struct load_outcome *out)
{
	const struct timespec settle = {.tv_nsec = SETTLE_MS * NS_PER_MS};
	struct sending senders[LOAD_SENDERS_MAX];
	int rc = load_sink_start(&b->sink, check), changed = 0, failed;
	unsigned started = 0;

	if (rc < 0)
		return rc;
	plan->start_ns = pace_now_ns() + UINT64_C(1) * LEAD_MS * NS_PER_MS;
	for (; rc == 0 && started < b->send.senders; started += rc == 0) {
		struct sending *s = &senders[started];

		*s = (struct sending){.sender = started, .send = &b->send, .plan = plan};
		rc = load_bits_init(&s->sent, plan->count);
		if (rc == 0)
			rc = -pthread_create(&s->thread, NULL, serve, s);
		if (rc != 0)
			load_bits_fini(&s->sent);
	}
	if (rc == 0)
		changed = load_change_run(&b->change, change, plan->start_ns,
					  load_plan_due_ns(plan, plan->count));
	failed = join_senders(senders, started, sent, out);
	nanosleep(&settle, NULL);
	load_sink_stop(&b->sink, &out->overrun);
	if (rc == 0)
		rc = changed < 0 ? changed : failed;
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
	struct machine_time began, ended;
	struct load_losses_by_place before;
	struct load_check check;
	struct load_bits sent;
	int rc;

	memset(out, 0, sizeof(*out));
	out->rate = rate;
	rc = load_check_init(&check, &plan, &b->timeline);
	if (rc < 0)
		return rc;
	rc = load_bits_init(&sent, plan.count);
	if (rc == 0)
		rc = load_net_read_losses(&b->net, &before);
	if (rc == 0)
		rc = machine_read(&began);
	if (rc == 0)
		rc = carry_out(b, &plan, &sent, &check, change, out);
	if (rc == 0)
		rc = machine_read(&ended);
	if (rc == 0)
		rc = load_net_read_losses(&b->net, &out->places);
	if (rc == 0) {
		if (change->queue_count <= 1) /* else the daemon and its TUN are others */
			subtract(&out->places, &before);
		machine_add(&out->machine, &began, &ended);
		sum_up(b, &check, &sent, out);
	}
	load_bits_fini(&sent);
	load_check_fini(&check);
	return rc;
}

static void add_places(struct load_losses_by_place *sum, const struct load_losses_by_place *p)
{
	sum->arrived += p->arrived;
	sum->tun_full += p->tun_full;
	sum->link_full += p->link_full;
	for (unsigned r = 0; r < REASON_COUNT; r++)
		sum->drops[r] += p->drops[r];
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void add_losses(struct load_losses *sum, const struct load_losses *l)
{
	sum->lost += l->lost;
	sum->in_change += l->in_change;
	sum->in_outage += l->in_outage;
	sum->longest = larger(sum->longest, l->longest);
	sum->recover_ns = larger(sum->recover_ns, l->recover_ns);
}

void load_outcome_add(struct load_outcome *sum, const struct load_outcome *run)
{
	sum->kept_up = run->kept_up && (sum->ns == 0 || sum->kept_up);
	sum->rate = run->rate;
	sum->offered += run->offered;
	sum->sent += run->sent;
	sum->received += run->received;
	sum->duplicated += run->duplicated;
	sum->reordered += run->reordered;
	sum->misrouted += run->misrouted;
	sum->certain += run->certain;
	sum->damaged += run->damaged;
	sum->overrun += run->overrun;
	add_losses(&sum->losses, &run->losses);
	add_places(&sum->places, &run->places);
	latency_merge(&sum->latency, &run->latency);
	latency_merge(&sum->late, &run->late);
	latency_merge(&sum->times.took, &run->times.took);
	latency_merge(&sum->times.parsed, &run->times.parsed);
	latency_merge(&sum->times.built, &run->times.built);
	latency_merge(&sum->times.published, &run->times.published);
	sum->times.overdue += run->times.overdue;
	sum->outages += run->outages;
	sum->ns += run->ns;
	sum->machine.all += run->machine.all;
	sum->machine.steal += run->machine.steal;
	sum->machine.other += run->machine.other;
}

bool load_outcome_clean(const struct load_outcome *o)
{
	return o->losses.lost == 0 && o->duplicated == 0 && o->reordered == 0 &&
	       o->misrouted == 0 && o->damaged == 0 && o->overrun == 0 && o->kept_up;
}
