/*
 * Sealing and opening alone, by each library: one core, buffers in its cache, a key and a nonce of
 * its own each packet, as the data path does it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/wireguard/aead.h"
#include "perf/cycles.h"
#include "perf/pace.h"
#include "perf/wireguard.h"

enum {
	LIBRARIES = 2,
	SIZE_MAX_BYTES = 1420,
	RUN_NS = 20000000,
	TURN = 64, /* packets between looks at the clock */
};

static const char *const names[LIBRARIES] = {"ipsec-mb", "libcrypto"};

struct cost {
	struct samples rate;   /* GB/s */
	struct samples cycles; /* a packet; none where there is no counter */
};

static int run_one(struct wg_aead *aead, bool open, size_t size, struct cost *cost)
{
	uint8_t plain[SIZE_MAX_BYTES] = {0}, sealed[SIZE_MAX_BYTES + WG_TAG];
	const uint8_t key[WG_KEY] = {1};
	uint64_t began, now, cycles, count = 0;

	wg_aead_seal(aead, key, 0, plain, size, sealed);
	began = pace_now_ns();
	cycles = cycles_now();
	do {
		for (unsigned i = 0; i < TURN; i++, count++) {
			if (!open)
				wg_aead_seal(aead, key, count, plain, size, sealed);
			else if (!wg_aead_open(aead, key, 0, sealed, size + WG_TAG, plain))
				return -EBADMSG;
		}
		now = pace_now_ns();
	} while (now - began < RUN_NS);
	cycles = cycles_now() - cycles;
	samples_add(&cost->rate, (double)(count * size) / (double)(now - began));
	if (cycles)
		samples_add(&cost->cycles, (double)cycles / (double)count);
	return 0;
}

static void report(const struct wgbench_options *o, const char *what,
		   const struct cost cost[LIBRARIES], unsigned first)
{
	const char *peer = first == 0 ? names[1] : NULL;
	char name[WGBENCH_NAME_MAX];

	snprintf(name, sizeof(name), "%s %s", what, names[first]);
	report_line(o->json, &(struct report_case){name, "GB/s", true, &cost[first].rate, peer,
						   &cost[1].rate});
	snprintf(name, sizeof(name), "%s %s cycles", what, names[first]);
	if (cost[first].cycles.count)
		report_line(o->json, &(struct report_case){name, "tsc", false, &cost[first].cycles,
							   peer, &cost[1].cycles});
}

int wgbench_aead(const struct wgbench_options *o)
{
	static const size_t sizes[] = {64, 128, 256, 512, 1024, SIZE_MAX_BYTES};
	struct wg_aead *aead[LIBRARIES] = {0};
	char what[WGBENCH_NAME_MAX];
	int rc = wg_aead_create(WG_AEAD_LIBCRYPTO, &aead[1]);
	unsigned first = rc == 0 && wg_aead_create(WG_AEAD_IPSEC_MB, &aead[0]) == 0 ? 0 : 1;

	for (unsigned at = 0; rc == 0 && at < 2 * sizeof(sizes) / sizeof(sizes[0]); at++) {
		struct cost cost[LIBRARIES] = {0};
		size_t size = sizes[at / 2];
		bool open = at % 2;

		snprintf(what, sizeof(what), "aead %s %zu", open ? "open" : "seal", size);
		if (!options_wanted(o->only, what))
			continue;
		for (unsigned run = 0; rc == 0 && run < o->runs; run++)
			for (unsigned i = first; rc == 0 && i < LIBRARIES; i++)
				rc = run_one(aead[i], open, size, &cost[i]);
		if (rc == 0)
			report(o, what, cost, first);
	}
	for (unsigned i = 0; i < LIBRARIES; i++)
		wg_aead_destroy(aead[i]);
	return rc;
}
