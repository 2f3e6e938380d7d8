/* See options.h. */
#include "perf/options.h"

#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	ENTRIES_MAX = 16,
	PATTERN_MAX = 256,
};

/* Returns whether it was one. */
static bool take(const struct options_entry *e, const char *argument)
{
	unsigned long number;
	char *end;

	if (e->flag)
		*e->flag = e->set;
	if (e->text)
		*e->text = argument;
	if (e->list) {
		if (e->list->count == OPTIONS_LIST_MAX)
			return false;
		e->list->text[e->list->count++] = argument;
	}
	if (!e->number)
		return true;
	number = strtoul(argument, &end, 10);
	if (end == argument || *end != '\0' || number < e->min || number > e->max)
		return false;
	*e->number = (unsigned)number;
	return true;
}

int options_parse(const struct options_entry *entries, unsigned count, int argc, char **argv)
{
	struct option longs[ENTRIES_MAX + 2] = {{"help", no_argument, NULL, 'h'}};
	int at, c;

	if (count > ENTRIES_MAX)
		return -1;
	for (unsigned i = 0; i < count; i++)
		longs[i + 1] =
			(struct option){entries[i].name,
					entries[i].flag ? no_argument : required_argument, NULL, 0};
	optind = 0;
	while ((c = getopt_long(argc, argv, "", longs, &at)) != -1) {
		if (c == 'h')
			return 1;
		if (c != 0 || !take(&entries[at - 1], optarg))
			return -1;
	}
	return optind == argc ? 0 : -1;
}

bool options_wanted(const char *only, const char *name)
{
	char pattern[PATTERN_MAX];

	if (!only)
		return true;
	snprintf(pattern, sizeof(pattern), "*%s*", only);
	return fnmatch(pattern, name, 0) == 0;
}
