/* Where a worker's time goes: see path.h. */
#include <stdio.h>

#include "perf/path.h"

uint64_t path_stages_sum(const uint64_t before[STAGE_COUNT], const uint64_t after[STAGE_COUNT])
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STAGE_COUNT; i++)
		sum += after[i] - before[i];
	return sum;
}

void path_stages_add(struct path_stages *s, const uint64_t before[STAGE_COUNT],
		     const uint64_t after[STAGE_COUNT], double scale)
{
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		samples_add(&s->stage[i], (double)(after[i] - before[i]) * scale);
}

void path_stages_report(const struct path_options *o, const char *what, unsigned queues,
			const char *unit, const struct path_stages *s)
{
	char text[256] = "", name[PATH_NAME_MAX];
	int used = 0;

	for (unsigned i = 0; i <= STAGE_RETURN; i++) { /* the others are tunnels' */
		const char *stage = dataplane_stage_name(i);

		if (o->json) {
			snprintf(name, sizeof(name), "%s %s queues %u", what, stage, queues);
			report_line(true, &(struct report_case){
						  .name = name, .unit = unit, .own = &s->stage[i]});
		} else if (used < (int)sizeof(text)) {
			used += snprintf(text + used, sizeof(text) - (size_t)used, "%s%s %.1f",
					 i ? ", " : "", stage, samples_median(&s->stage[i]));
		}
	}
	if (!o->json)
		report_remark(false, "  by stage, in %s: %s", unit, text);
}
