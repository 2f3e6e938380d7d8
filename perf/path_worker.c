/*
 * One worker without system calls: see path_memory.h. Of every case the packets a second that one
 * core would carry if it did nothing else.
 *
 * Flows that a case knows have been answered, and are drawn in random order. A new flow's 5-tuple
 * has never been before, its inner address and port neither; it takes one more translated port.
 *
 *   setup        new flows (SYN), where ports and the route cache have room
 *   cached N     N of 100 packets are of 16384 known flows, the others are new ones
 *   return       answers to known flows, into the TUN
 *   random       drawn from four times as many flows as the cache has room for, of 16384 endpoints
 *   adversarial  every packet is a new flow: each takes its place and its port from another
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "perf/lpm_fixture.h"
#include "perf/options.h"
#include "perf/path.h"
#include "perf/path_memory.h"
#include "perf/report.h"

enum {
	KNOWN = 16384,
	ROOM = FLOWS_DEFAULT,
	PACKETS = 1 << 19, /* a run */
	PACKETS_WARM = 1 << 18,
	FRESH = 1 << 24, /* numbers of new flows start here */
};

struct bench {
	struct memory memory;
	uint64_t random;
	uint32_t fresh;
	unsigned known_percent; /* of the packets */
	uint32_t answers;
	struct memory_packet answer[KNOWN];
	uint8_t by[KNOWN];
};

static uint32_t draw(struct bench *b, uint32_t limit)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return (uint32_t)(((b->random >> 32) * limit) >> 32);
}

static void send_new(struct bench *b, uint8_t proto)
{
	struct memory_packet p;

	memory_build(&p, b->fresh, b->fresh, proto);
	b->fresh++;
	memory_send(&b->memory, &p);
}

static void send_setup(struct bench *b)
{
	if ((b->fresh - FRESH) % KNOWN == 0)
		memory_expire(&b->memory);
	send_new(b, PROTO_TCP);
}

static void send_known(struct bench *b)
{
	struct memory_packet p;
	uint32_t flow = draw(b, KNOWN);

	if (draw(b, 100) >= b->known_percent) {
		send_new(b, PROTO_UDP);
		return;
	}
	memory_build(&p, flow, flow, PROTO_UDP);
	memory_send(&b->memory, &p);
}

static void send_answer(struct bench *b)
{
	uint32_t flow = draw(b, b->answers);

	memory_receive(&b->memory, b->by[flow], &b->answer[flow]);
}

static void send_random(struct bench *b)
{
	struct memory_packet p;
	uint32_t flow = draw(b, 4 * ROOM);

	memory_build(&p, flow % KNOWN, flow, PROTO_UDP);
	memory_send(&b->memory, &p);
}

static void send_adversarial(struct bench *b)
{
	send_new(b, PROTO_UDP);
}

static const struct {
	const char *name;
	void (*send)(struct bench *b);
	unsigned known_percent; /* 0: there are no known flows before */
	uint32_t warm;          /* packets before the time is taken */
} cases[] = {
	{"setup", send_setup, 0, KNOWN},
	{"cached 100", send_known, 100, PACKETS_WARM},
	{"cached 90", send_known, 90, PACKETS_WARM},
	{"cached 50", send_known, 50, PACKETS_WARM},
	{"cached 10", send_known, 10, PACKETS_WARM},
	{"return", send_answer, 100, PACKETS_WARM},
	{"random", send_random, 0, 4 * PACKETS_WARM},
	{"adversarial", send_adversarial, 0, PACKETS_WARM},
};

enum {
	CASES = sizeof(cases) / sizeof(cases[0]),
};

/* Of one case. */
struct found {
	struct samples mpps;
	struct samples growth; /* of resident memory, bytes */
	struct path_stages stages;
};

/* Let each known flow send and be answered. What answers is kept. */
static void make_known(struct bench *b)
{
	struct memory *m = &b->memory;

	for (uint32_t first = 0; first < KNOWN; first += MEMORY_BURST) {
		struct memory_packet p;
		unsigned count;

		for (unsigned i = 0; i < MEMORY_BURST; i++) {
			memory_build(&p, first + i, first + i, PROTO_UDP);
			memory_send(m, &p);
		}
		memory_turn(m);
		count = m->out_count;
		for (unsigned i = 0; i < count; i++) {
			memory_answer(&m->out[i]);
			b->answer[b->answers] = m->out[i];
			b->by[b->answers++] = m->by[i];
			memory_receive(m, m->by[i], &m->out[i]);
		}
		memory_turn(m);
	}
}

/* Returns how many packets came out. */
static uint64_t pass(struct bench *b, size_t c, uint32_t packets)
{
	uint64_t out = 0;

	for (uint32_t sent = 0; sent < packets; sent += MEMORY_BURST) {
		for (unsigned i = 0; i < MEMORY_BURST; i++)
			cases[c].send(b);
		memory_turn(&b->memory);
		out += b->memory.out_count;
	}
	return out;
}

/* Whether the route cache knew as many of the packets as the case says. */
static bool as_meant(const struct bench *b, const struct worker_counters *before)
{
	struct worker_counters now;
	double hits;

	dataplane_read_counters(b->memory.dataplane, 0, &now);
	hits = (double)(now.flow_hits - before->flow_hits) * 100 / PACKETS;
	if (!b->known_percent || now.packets_in == before->packets_in)
		return true;
	return fabs(hits - b->known_percent) < 1;
}

static double resident(void)
{
	unsigned long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%lu %lu", &size, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static int run(struct bench *b, struct list *list, size_t c, struct found *found)
{
	struct memory *m = &b->memory;
	struct worker_counters before, after;
	double grown;
	int rc;

	b->fresh = FRESH;
	b->known_percent = cases[c].known_percent;
	rc = memory_open(m, list);
	if (rc < 0)
		return rc;
	b->answers = 0;
	if (cases[c].known_percent)
		make_known(b);
	pass(b, c, cases[c].warm);
	dataplane_read_counters(m->dataplane, 0, &before);
	m->turned_ns = 0;
	grown = -resident();
	if (pass(b, c, PACKETS) < PACKETS / 1000 * 999 || !as_meant(b, &before))
		rc = -EIO;
	grown += resident();
	dataplane_read_counters(m->dataplane, 0, &after);
	samples_add(&found->growth, grown);
	samples_add(&found->mpps, (double)PACKETS * 1000 / (double)m->turned_ns);
	path_stages_add(&found->stages, before.stage_ns, after.stage_ns, 1.0 / PACKETS);
	memory_close(m);
	return rc;
}

static void case_name(size_t c, char name[PATH_NAME_MAX])
{
	snprintf(name, PATH_NAME_MAX, "memory %s queues 1", cases[c].name);
}

static void report_growth(const struct path_options *o, const struct samples *growth)
{
	report_line(o->json, &(struct report_case){.name = "memory adversarial growth queues 1",
						   .unit = "bytes",
						   .own = growth});
}

static int measure(struct bench *b, struct list *list, const struct path_options *o,
		   const bool wanted[CASES])
{
	static struct found found[CASES];

	for (unsigned r = 0; r < o->runs; r++) {
		for (size_t c = 0; c < CASES; c++) {
			int rc = wanted[c] ? run(b, list, c, &found[c]) : 0;

			if (rc < 0)
				return rc;
		}
	}
	for (size_t c = 0; c < CASES; c++) {
		char name[PATH_NAME_MAX], what[PATH_NAME_MAX];

		if (!wanted[c])
			continue;
		case_name(c, name);
		report_line(o->json, &(struct report_case){.name = name,
							   .unit = "Mpps",
							   .higher_is_better = true,
							   .own = &found[c].mpps});
		snprintf(what, sizeof(what), "memory %s", cases[c].name);
		if (cases[c].send == send_adversarial)
			report_growth(o, &found[c].growth);
		path_stages_report(o, what, 1, "ns", &found[c].stages);
	}
	return 0;
}

int path_worker(const struct path_options *o)
{
	bool wanted[CASES], any = false;
	char name[PATH_NAME_MAX];
	struct list *list;
	struct bench *b;
	int rc;

	for (size_t c = 0; c < CASES; c++) {
		case_name(c, name);
		wanted[c] = options_wanted(o->only, name);
		any |= wanted[c];
	}
	if (!any)
		return 0;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->random = 88172645463325252ULL;
	list = fixture_make_up_full();
	rc = measure(b, list, o, wanted);
	list_unref(list);
	free(b);
	return rc;
}
