/* What the program says of itself, and to those who called it wrongly. */
#ifndef SLUICE_CTL_USAGE_H
#define SLUICE_CTL_USAGE_H

#include <getopt.h>
#include <stdio.h>

#include "ctl/commands.h"

/* A command as the user sees it. */
struct command {
	const char *name;
	int (*run)(const struct options *options, int argc, char **argv);
	const char *summary; /* for the list of commands: a few words */
	const char *help;    /* whole, as --help prints it */
	bool whole_name;     /* never abbreviated, since it may do harm */
};

/* All of them in the order of the help; the last has no name. */
extern const struct command usage_commands[];

/*
 * The command that a word means: its name, or the start of one name only.
 *
 * complaint: stderr gets why it is none; returns NULL then
 */
const struct command *usage_find_command(const char *word, FILE *complaint);

/* The list of commands and the global options. */
void usage_print(FILE *out);

/*
 * Complain to stderr, naming the command (NULL: the program), and say where help is.
 *
 * Returns STATUS_USAGE.
 */
int usage_fail(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Complain of an option that is none of those known, or that lacks its argument, as getopt_long
 * with a leading ':' in its short options found it (code is '?' or ':').
 *
 * known: may be NULL
 */
int usage_bad_option(const char *command, int code, char **argv, const struct option *known);

/*
 * For the commands that only show things: the word "show", or its start, may stand before the rest.
 *
 * Returns the index of the first argument after it, from 1 on, or -1 after a complaint when an
 * option is left.
 */
int usage_skip_show(int argc, char **argv);

#endif
