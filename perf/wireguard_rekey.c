/*
 * sluice-perf wireguard --rekey: steady traffic through tunnels while their keys change, for as
 * long as it takes to see that nothing is lost by it and nothing grows.
 *
 * All tunnels at once: Sluice at both ends, then at one, with another program at the other, which
 * answers handshakes first and begins them after that. Who begins the first begins all.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "perf/netns.h"
#include "perf/pace.h"
#include "perf/steady.h"
#include "perf/wireguard.h"

enum {
	TUNNELS_MAX = 1 + 2 * (1 + OPTIONS_LIST_MAX),
	REKEY_S = 120,
	TICK_NS = 2000000,
	WRITE_TICKS = 4, /* TCP, 16 kB at a time */
	LATE_PARTS = 20, /* of a second: what is later is not sent any more */
	SETTLE_NS = 1000000000,
	/* Buffers are touched when bursts are long; who loses 4 bytes a datagram loses more. */
	GROWTH_MAX_KB = 16384,
	ANSWER_MAX = 4096,
};

struct tunnel {
	struct wgbench_pair pair;
	bool ours[2]; /* Sluice */
	struct steady *steady;
	int error; /* of its traffic; it has ended then */
	uint64_t handshake_ns;
	unsigned rekeys;
	unsigned long memory_kb[2]; /* of each end, when it had warmed up */
};

struct proof {
	const struct wgbench_options *options;
	struct tunnel tunnels[TUNNELS_MAX];
	unsigned count;
	uint64_t pause_ns; /* the longest for which nothing was sent or taken: not the tunnels'
			      doing */
};

/* ---- Traffic ---- */

/* send: so many datagrams, each way of each tunnel */
static void turn(struct proof *p, uint64_t send, bool write)
{
	for (unsigned i = 0; i < p->count; i++) {
		struct tunnel *t = &p->tunnels[i];

		for (uint64_t n = 0; n < send; n++)
			steady_send(t->steady);
		if (write && t->error == 0)
			t->error = steady_write(t->steady);
		if (t->error == 0)
			t->error = steady_receive(t->steady);
	}
}

/* A thread: all that is sent and received. */
static void *talk(void *argument)
{
	struct proof *p = argument;
	uint64_t rate = p->options->rate, late = rate / LATE_PARTS + 1, offered = 0, ticks = 0;
	uint64_t began_ns = pace_now_ns(), now_ns = began_ns;
	uint64_t end_ns = began_ns + p->options->seconds * UINT64_C(1000000000);

	while (now_ns < end_ns) {
		uint64_t wanted = (now_ns - began_ns) * rate / 1000000000 + 1;

		if (wanted - offered > late)
			offered = wanted - late;
		turn(p, wanted - offered, ticks++ % WRITE_TICKS == 0);
		offered = wanted;
		pace_sleep_until_ns(now_ns + TICK_NS);
		if (pace_now_ns() - now_ns > p->pause_ns)
			p->pause_ns = pace_now_ns() - now_ns;
		now_ns = pace_now_ns();
	}
	for (end_ns += SETTLE_NS; pace_now_ns() < end_ns; usleep(1000))
		turn(p, 0, false);
	return NULL;
}

/* ---- What is looked at meanwhile ---- */

static uint64_t value_of(const char *lines, const char *key)
{
	const char *at = strstr(lines, key);

	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* As `wg show INTERFACE latest-handshakes` tells it. */
static int look(struct tunnel *t)
{
	char lines[ANSWER_MAX];
	uint64_t handshake_ns;
	int rc = wgbench_get(&t->pair.end[0], lines, sizeof(lines));

	if (rc < 0)
		return rc;
	handshake_ns = value_of(lines, "last_handshake_time_sec=") * 1000000000 +
		       value_of(lines, "last_handshake_time_nsec=");
	if (t->handshake_ns && handshake_ns != t->handshake_ns)
		t->rekeys++;
	t->handshake_ns = handshake_ns;
	return 0;
}

static int watch(struct proof *p)
{
	unsigned warm = p->options->seconds / 10;
	int rc = 0;

	for (unsigned s = 0; rc == 0 && s < p->options->seconds; s++) {
		for (unsigned i = 0; rc == 0 && i < p->count; i++) {
			struct tunnel *t = &p->tunnels[i];

			rc = look(t);
			for (unsigned e = 0; s == warm && e < 2; e++)
				t->memory_kb[e] = wgbench_memory_kb(t->pair.end[e].pid, "VmRSS");
		}
		sleep(1);
	}
	return rc;
}

/* ---- What came of it ---- */

static void report(const struct proof *p, const struct tunnel *t, const char *what,
		   const char *unit, double value)
{
	char name[2 * WGBENCH_NAME_MAX];
	struct samples one = {0};

	samples_add(&one, value);
	snprintf(name, sizeof(name), "rekey %s %s", t->pair.name, what);
	report_line(p->options->json,
		    &(struct report_case){.name = name, .unit = unit, .own = &one});
}

static int complain(const struct tunnel *t, const char *what)
{
	fprintf(stderr, "sluice-perf wireguard --rekey: %s: %s\n", t->pair.name, what);
	return -EPROTO;
}

static int judge_memory(const struct proof *p, const struct tunnel *t)
{
	unsigned long most = 0, grown = 0;

	for (unsigned e = 0; e < 2; e++) {
		unsigned long now = wgbench_memory_kb(t->pair.end[e].pid, "VmRSS");

		if (!t->ours[e])
			continue;
		most = now > most ? now : most;
		if (now > t->memory_kb[e] && now - t->memory_kb[e] > grown)
			grown = now - t->memory_kb[e];
	}
	report(p, t, "memory", "kB", (double)most);
	report(p, t, "growth", "kB", (double)grown);
	return grown > GROWTH_MAX_KB ? complain(t, "memory grew") : 0;
}

/* What others lose is theirs; but nothing may come twice, or other than it was sent. */
static int judge(const struct proof *p, const struct tunnel *t)
{
	const struct steady_way *a = steady_way_at(t->steady, 0), *b = steady_way_at(t->steady, 1);
	uint64_t lost = a->sent - a->received + b->sent - b->received;
	uint64_t reordered = a->reordered + b->reordered;
	uint64_t duplicated = a->duplicated + b->duplicated, spoiled = a->spoiled + b->spoiled;
	uint64_t longest_ns = a->longest_ns > b->longest_ns ? a->longest_ns : b->longest_ns;
	int rc;

	report(p, t, "rekeys", "count", t->rekeys);
	report(p, t, "datagrams", "count", (double)(a->sent + b->sent));
	report(p, t, "lost", "count", (double)lost);
	report(p, t, "duplicated", "count", (double)duplicated);
	report(p, t, "reordered", "count", (double)reordered);
	report(p, t, "spoiled", "count", (double)spoiled);
	report(p, t, "longest", "ms", (double)longest_ns / 1e6);
	report(p, t, "pause", "ms", (double)p->pause_ns / 1e6);
	report(p, t, "tcp", "MB", (double)steady_bytes(t->steady) / 1e6);
	rc = judge_memory(p, t);
	if (t->error < 0)
		rc = complain(t, strerror(-t->error));
	if (duplicated || spoiled)
		rc = complain(t, "datagrams came twice, or other than they were sent");
	if (t->ours[0] && t->ours[1] && (lost || reordered))
		rc = complain(t, "datagrams were lost or overtaken");
	if (!a->received || !b->received)
		rc = complain(t, "nothing came");
	if (t->rekeys + 1 < p->options->seconds / REKEY_S)
		rc = complain(t, "keys did not change as often as they must");
	return rc;
}

/* ---- Set-up ---- */

static const char *last_word(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* So that memory which is bounded, and touched when there is much to do, has been touched. */
static int warm_up(const struct tunnel *t)
{
	const char *words[] = {"ask", WGBENCH_INNER, "--flows", "4", "--ms", "500", "--both", NULL};
	char line[64];

	return netns_traffic(t->pair.ns[0], words, line, sizeof(line));
}

static int add(struct proof *p, const char *first, const char *second, const char *ours)
{
	struct tunnel *t = &p->tunnels[p->count++];
	struct steady_options steady = {
		.address = {WGBENCH_INNER_FIRST, WGBENCH_INNER},
		.most = (uint64_t)p->options->rate * (p->options->seconds + 1),
	};
	int rc;

	t->ours[0] = strcmp(first, ours) == 0;
	t->ours[1] = strcmp(second, ours) == 0;
	if (strcmp(first, second) == 0)
		snprintf(t->pair.name, sizeof(t->pair.name), "%s", last_word(first));
	else
		snprintf(t->pair.name, sizeof(t->pair.name), "%.28s to %.28s", last_word(first),
			 last_word(second));
	rc = wgbench_open_two(&t->pair, first, second, 0);
	if (rc == 0)
		rc = warm_up(t);
	if (rc == 0) {
		memcpy(steady.ns, t->pair.ns, sizeof(steady.ns));
		rc = steady_open(&steady, &t->steady);
	}
	if (rc != 0)
		fprintf(stderr, "sluice-perf wireguard --rekey: %s: %s\n", t->pair.name,
			rc < 0 ? strerror(-rc) : "a command failed");
	return rc;
}

static int add_all(struct proof *p)
{
	const struct wgbench_options *o = p->options;
	char program[512];
	const char *ours = netns_program("sluice-wg", "SLUICE_WG", program, sizeof(program));
	const char *others[1 + OPTIONS_LIST_MAX];
	unsigned count = 0;
	int rc = add(p, ours, ours, ours);

	if (access(WGBENCH_PEER, X_OK) == 0)
		others[count++] = WGBENCH_PEER;
	for (unsigned i = 0; i < o->peers.count; i++)
		others[count++] = o->peers.text[i];
	for (unsigned i = 0; rc == 0 && i < count; i++) {
		rc = add(p, ours, others[i], ours);
		if (rc == 0)
			rc = add(p, others[i], ours, ours);
	}
	return rc;
}

int wgbench_rekey(const struct wgbench_options *o)
{
	struct proof *p = calloc(1, sizeof(*p));
	pthread_t talker;
	int rc, bad = 0;

	if (!p)
		return -ENOMEM;
	p->options = o;
	rc = add_all(p);
	if (rc == 0)
		rc = -pthread_create(&talker, NULL, talk, p);
	if (rc == 0) {
		rc = watch(p);
		pthread_join(talker, NULL);
	}
	for (unsigned i = 0; rc == 0 && i < p->count; i++)
		if (judge(p, &p->tunnels[i]) < 0)
			bad = -EPROTO;
	for (unsigned i = 0; i < p->count; i++) {
		steady_close(p->tunnels[i].steady);
		wgbench_close(&p->tunnels[i].pair);
	}
	free(p);
	return rc != 0 ? rc : bad;
}
