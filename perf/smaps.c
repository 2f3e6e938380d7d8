#include "perf/smaps.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One mapping, as its lines come. */
struct mapping {
	uintptr_t begin;
	uintptr_t end;
	size_t resident;
	size_t huge;
};

static bool touches(const struct mapping *m, const struct smaps_range *range)
{
	uintptr_t start = (uintptr_t)range->start;

	return range->size > 0 && start < m->end && start + range->size > m->begin;
}

/* The last line of a mapping tells what was asked for. */
static void add(const struct mapping *m, bool asked, const struct smaps_range *ranges, unsigned n,
		struct smaps_sum *sum)
{
	bool wanted = n == 0 && asked;

	for (unsigned i = 0; i < n; i++)
		wanted |= touches(m, &ranges[i]);
	if (!wanted)
		return;
	sum->resident += m->resident;
	sum->huge += m->huge;
	sum->asked += asked ? m->resident : 0;
}

bool smaps_add_up(const struct smaps_range *ranges, unsigned n, struct smaps_sum *out)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	struct smaps_sum sum = {0};
	struct mapping m = {0};
	char line[1024];

	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL) {
		uintptr_t begin, end;
		size_t kb;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2)
			m = (struct mapping){.begin = begin, .end = end};
		else if (sscanf(line, "Rss: %zu kB", &kb) == 1)
			m.resident = kb << 10;
		else if (sscanf(line, "AnonHugePages: %zu kB", &kb) == 1)
			m.huge = kb << 10;
		else if (strncmp(line, "VmFlags:", 8) == 0)
			add(&m, strstr(line, " hg") != NULL, ranges, n, &sum);
	}
	fclose(f);
	*out = sum;
	return true;
}
