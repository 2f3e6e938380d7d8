/* Command lines of benchmarks: long options only, and nothing beside them. */
#ifndef SLUICE_PERF_OPTIONS_H
#define SLUICE_PERF_OPTIONS_H

#include <stdbool.h>

enum {
	OPTIONS_LIST_MAX = 4,
};

/* What an option that may come again was given. */
struct options_list {
	const char *text[OPTIONS_LIST_MAX];
	unsigned count;
};

/* Where an option's value goes: one of flag, text, list and number. */
struct options_entry {
	const char *name;
	bool *flag; /* given: becomes `set` */
	bool set;
	const char **text;
	struct options_list *list;
	unsigned *number; /* from min to max */
	unsigned min, max;
};

/*
 * Read a command line; argv[0] is passed over. --help is known beside the entries.
 *
 * Returns: 0, 1 for --help, or -1 if it is wrong: getopt's word about it is on standard error, if
 *          it has one. Values that were read before stay.
 */
int options_parse(const struct options_entry *entries, unsigned count, int argc, char **argv);

/* Whether a case is to be run: `only` is in its name, `*` for anything; NULL: all are. */
bool options_wanted(const char *only, const char *name);

#endif
