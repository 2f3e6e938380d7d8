/*
 * Where the time of a tunnel's worker goes: cycles a packet, of the sending end on the way out and
 * of the receiving one on the way in. One worker an end, which says at its end how it spent it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/dataplane.h"
#include "perf/cycles.h"
#include "perf/netns.h"
#include "perf/pace.h"
#include "perf/wireguard.h"

enum {
	OUT,
	IN,
	WAYS,
	DATAGRAM = 1372,
	RATE = 50000, /* datagrams a second: what one worker carries while others use the cores */
};

static const char *const way_names[WAYS] = {"out", "in"};

/* The stages of each way, in their order. */
static const enum worker_stage stages_out[] = {STAGE_RECEIVE, STAGE_PARSE, STAGE_DECIDE,
					       STAGE_SPLIT,   STAGE_SEAL,  STAGE_SEND};
static const enum worker_stage stages_in[] = {STAGE_TAKE, STAGE_OPEN, STAGE_MERGE, STAGE_WRITE};

struct found {
	struct samples stage[WAYS][STAGE_COUNT];
};

/* What an end wrote: its packets of a way, and the nanoseconds of each stage. */
struct told {
	double packets;
	double stage_ns[STAGE_COUNT];
};

static void read_told(FILE *f, const char *interface, unsigned way, struct told *out)
{
	char line[128], name[16], word[32], want[32];
	double value;

	*out = (struct told){0};
	rewind(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%15s %31s %lf", name, word, &value) != 3 ||
		    strcmp(name, interface) != 0)
			continue;
		snprintf(want, sizeof(want), "packets_%s", way_names[way]);
		if (strcmp(word, want) == 0)
			out->packets = value;
		for (unsigned i = 0; i < STAGE_COUNT; i++) {
			snprintf(want, sizeof(want), "%s_ns", dataplane_stage_name(i));
			if (strcmp(word, want) == 0)
				out->stage_ns[i] = value;
		}
	}
}

static int talk(const struct wgbench_pair *p, bool udp, unsigned ms)
{
	char ms_text[16], size_text[16], rate_text[16], line[256];
	const char *tcp_words[] = {"ask", WGBENCH_INNER, "--ms", ms_text, NULL};
	const char *udp_words[] = {"send",    WGBENCH_INNER, "--ms",    ms_text, "--size",
				   size_text, "--rate",      rate_text, NULL};

	snprintf(ms_text, sizeof(ms_text), "%u", ms);
	snprintf(size_text, sizeof(size_text), "%d", DATAGRAM);
	snprintf(rate_text, sizeof(rate_text), "%d", RATE);
	return netns_traffic(p->ns[0], udp ? udp_words : tcp_words, line, sizeof(line));
}

static int run(const struct wgbench_options *o, bool udp, struct found *found)
{
	char program[512], path[64], interfaces[WAYS][16];
	int fd = memfd_create("stages", MFD_CLOEXEC), rc;
	uint64_t cycles, ns;
	struct wgbench_pair p = {0};
	struct told told;
	FILE *f;

	if (fd < 0)
		return -errno;
	f = fdopen(fd, "r");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	setenv("WG_STAGES", path, 1);
	rc = wgbench_open(&p, netns_program("sluice-wg", "SLUICE_WG", program, sizeof(program)), 1);
	unsetenv("WG_STAGES");
	cycles = cycles_now();
	ns = pace_now_ns();
	if (rc == 0)
		rc = talk(&p, udp, o->ms);
	cycles = cycles_now() - cycles;
	ns = pace_now_ns() - ns;
	for (unsigned way = 0; way < WAYS; way++)
		memcpy(interfaces[way], p.end[way].interface, sizeof(interfaces[way]));
	wgbench_close(&p);
	for (unsigned way = 0; rc == 0 && way < WAYS; way++) {
		read_told(f, interfaces[way], way, &told);
		if (told.packets == 0)
			rc = -EIO;
		for (unsigned i = 0; rc == 0 && i < STAGE_COUNT; i++)
			samples_add(&found->stage[way][i],
				    told.stage_ns[i] / told.packets *
					    (cycles ? (double)cycles / (double)ns : 1));
	}
	fclose(f);
	return rc;
}

static void report(const struct wgbench_options *o, const char *what, unsigned way,
		   const enum worker_stage *stages, unsigned count, const struct found *found)
{
	char name[WGBENCH_NAME_MAX];

	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s %s %s", what, way_names[way],
			 dataplane_stage_name(stages[i]));
		report_line(o->json, &(struct report_case){.name = name,
							   .unit = cycles_now() ? "tsc" : "ns",
							   .own = &found->stage[way][stages[i]]});
	}
}

int wgbench_stages(const struct wgbench_options *o)
{
	static const char *const what[] = {"stages tcp", "stages udp"};

	for (unsigned udp = 0; udp < 2; udp++) {
		struct found found = {0};
		int rc = 0;

		if (!options_wanted(o->only, what[udp]))
			continue;
		for (unsigned i = 0; rc == 0 && i < o->runs; i++)
			rc = run(o, udp, &found);
		if (rc != 0)
			return rc;
		report(o, what[udp], OUT, stages_out, sizeof(stages_out) / sizeof(stages_out[0]),
		       &found);
		report(o, what[udp], IN, stages_in, sizeof(stages_in) / sizeof(stages_in[0]),
		       &found);
	}
	return 0;
}
