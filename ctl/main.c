/* The program: global options, then the command. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/commands.h"
#include "ctl/nearest.h"
#include "ctl/usage.h"

enum {
	WAIT_DEFAULT_S = 10,
	WAIT_MAX_S = 24 * 3600,
};

struct invocation {
	struct options options;
	bool help;
	bool version;
	int argc; /* what is left: the command's name and its arguments */
	char **argv;
};

static int set_wait(struct options *options, const char *seconds)
{
	char *end;
	unsigned long value;

	if (seconds == NULL) {
		options->wait_ms = WAIT_DEFAULT_S * 1000;
		return 0;
	}
	errno = 0;
	value = strtoul(seconds, &end, 10);
	if (seconds[0] < '0' || seconds[0] > '9' || *end != '\0' || errno != 0 ||
	    value > WAIT_MAX_S)
		return usage_fail(NULL, "not a number of seconds: '%s'", seconds);
	options->wait_ms = (unsigned)value * 1000;
	return 0;
}

static bool set_flag(struct invocation *in, char letter)
{
	switch (letter) {
	case 'j':
		in->options.json = true;
		return true;
	case 's':
		in->options.stats = true;
		return true;
	case '4':
		in->options.family = 4;
		return true;
	case '6':
		in->options.family = 6;
		return true;
	case 'w':
		return set_wait(&in->options, NULL) == 0;
	case 'V':
		in->version = true;
		return true;
	case 'h':
		in->help = true;
		return true;
	default:
		return false;
	}
}

/* Several flags in one word, as in -js: all of it or nothing. */
static bool set_flags(struct invocation *in, const char *letters)
{
	if (letters[0] == '\0' || letters[strspn(letters, "js46wVh")] != '\0')
		return false;
	for (; *letters != '\0'; letters++)
		set_flag(in, *letters);
	return true;
}

static const struct {
	const char *name;
	char letter; /* S takes a value; w may */
} long_options[] = {
	{"json", 'j'}, {"stats", 's'},  {"statistics", 's'}, {"wait", 'w'},
	{"help", 'h'}, {"socket", 'S'}, {"version", 'V'},
};

enum {
	LONG_OPTION_COUNT = sizeof(long_options) / sizeof(long_options[0]),
};

/* The global option that a word of the form --name[=value] gives, or 0. */
static char find_long(const char *word, const char **value)
{
	size_t size = strcspn(word + 2, "=");

	*value = word[2 + size] == '=' ? word + 2 + size + 1 : NULL;
	for (size_t i = 0; i < LONG_OPTION_COUNT; i++) {
		if (strlen(long_options[i].name) == size &&
		    memcmp(long_options[i].name, word + 2, size) == 0)
			return long_options[i].letter;
	}
	return 0;
}

/*
 * Take the word at i if it is a global option.
 *
 * taken:  how many words it filled, 0 if it is none
 * Errors: an exit status, after a complaint
 */
static int take_option(struct invocation *in, char **argv, int i, int *taken)
{
	const char *word = argv[i];
	const char *value = NULL;
	char letter = 0;

	*taken = 0;
	if (word[0] != '-' || word[1] == '\0')
		return 0;
	if (word[1] == '-') {
		letter = find_long(word, &value);
	} else if (word[1] == 'S') {
		letter = 'S';
		value = word[2] != '\0' ? word + 2 : NULL;
	} else if (set_flags(in, word + 1)) {
		*taken = 1;
		return 0;
	}
	if (letter == 0)
		return 0;
	*taken = 1;
	if (letter == 'S') {
		if (value == NULL && argv[i + 1] != NULL) {
			value = argv[i + 1];
			*taken = 2;
		}
		if (value == NULL || value[0] == '\0')
			return usage_fail(NULL, "option '%s' needs a path", word);
		in->options.socket = value;
		return 0;
	}
	if (letter == 'w')
		return set_wait(&in->options, value);
	if (value != NULL)
		return usage_fail(NULL, "option '%.*s' takes no value", (int)strcspn(word, "="),
				  word);
	set_flag(in, letter);
	return 0;
}

/* An option before the command that is no global one. */
static int bad_option(const char *word)
{
	struct nearest nearest = {.word = word + 2, .size = 0};

	if (word[1] == '-')
		nearest.size = strcspn(word + 2, "=");
	for (size_t i = 0; i < LONG_OPTION_COUNT; i++)
		nearest_try(&nearest, long_options[i].name);
	if (nearest.best != NULL)
		return usage_fail(NULL, "unknown option '%s'; did you mean '--%s'?", word,
				  nearest.best);
	return usage_fail(NULL, "unknown option '%s'", word);
}

static int read_words(struct invocation *in, int argc, char **argv)
{
	bool only_words = false;

	for (int i = 1; i < argc;) {
		int taken = 0;
		int rc = 0;

		if (strcmp(argv[i], "--") == 0)
			only_words = true;
		if (!only_words)
			rc = take_option(in, argv, i, &taken);
		if (rc != 0)
			return rc;
		if (taken == 0 && in->argc == 0 && argv[i][0] == '-')
			return bad_option(argv[i]);
		if (taken == 0) {
			in->argv[in->argc++] = argv[i];
			taken = 1;
		}
		i += taken;
	}
	in->argv[in->argc] = NULL;
	return 0;
}

static int print_help(const char *word)
{
	const struct command *command;

	if (word == NULL) {
		usage_print(stdout);
		return STATUS_OK;
	}
	command = usage_find_command(word, stderr);
	if (command == NULL)
		return STATUS_USAGE;
	fputs(command->help, stdout);
	return STATUS_OK;
}

static int run_command(struct invocation *in)
{
	const struct command *command;
	const char *word = in->argv[0];

	if (in->version) {
		puts("sluice " SLUICE_VERSION);
		return STATUS_OK;
	}
	if (in->argc == 0 && in->help)
		return print_help(NULL);
	if (in->argc == 0) {
		usage_print(stderr);
		return STATUS_USAGE;
	}
	if (strcmp(word, "help") == 0)
		return print_help(in->argv[1]);
	if (in->help)
		return print_help(word);
	command = usage_find_command(word, stderr);
	if (command == NULL)
		return STATUS_USAGE;
	in->argv[0] = (char *)command->name;
	return command->run(&in->options, in->argc, in->argv);
}

int main(int argc, char **argv)
{
	struct invocation in = {.options = {.socket = getenv("SLUICE_SOCKET")}};
	int status;

	if (in.options.socket != NULL && in.options.socket[0] == '\0')
		in.options.socket = NULL;
	in.argv = calloc((size_t)argc + 1, sizeof(*in.argv));
	if (in.argv == NULL) {
		fputs("sluice: out of memory\n", stderr);
		return STATUS_REFUSED;
	}
	status = read_words(&in, argc, argv);
	if (status == 0)
		status = run_command(&in);
	free(in.argv);
	/* A full disk must not look like success. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "sluice: cannot write the output: %s\n", strerror(errno));
		if (status == STATUS_OK)
			status = STATUS_REFUSED;
	}
	return status;
}
