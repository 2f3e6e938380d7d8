/* list add, list del: prefixes come into a list of the running daemon, or go. */
#include "ctl/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/edit.h"
#include "ctl/reply.h"
#include "ctl/usage.h"
#include "lpm/list.h"

enum {
	FIRST_WORD = 3,      /* behind "list", "add" and the name */
	STDIN_MAX = 2 << 20, /* bytes */
};

static int append_prefix(json_t *prefixes, const char *command, const struct prefix *prefix)
{
	char text[PREFIX_TEXT_MAX];

	if (json_array_append_new(prefixes, json_string(prefix_format(prefix, text))) != 0)
		return usage_fail(command, "out of memory");
	return STATUS_OK;
}

/* Add the prefixes of one argument, or of standard input. */
static int append_list(json_t *prefixes, const char *command, const struct list *list)
{
	int status = STATUS_OK;

	if (json_array_size(prefixes) + list->count4 + list->count6 > EDIT_PREFIXES_MAX)
		return usage_fail(
			command, "more than %d prefixes: write them to a file, and say `file PATH`",
			EDIT_PREFIXES_MAX);
	for (size_t i = 0; status == STATUS_OK && i < list->count4; i++) {
		struct prefix prefix = list4_prefix(&list->v4[i]);

		status = append_prefix(prefixes, command, &prefix);
	}
	for (size_t i = 0; status == STATUS_OK && i < list->count6; i++) {
		struct prefix prefix = list6_prefix(&list->v6[i]);

		status = append_prefix(prefixes, command, &prefix);
	}
	return status;
}

static int read_stdin(const char *command, json_t *prefixes)
{
	char *text = malloc(STDIN_MAX);
	struct list_error wrong = {0};
	struct list *list = NULL;
	int status = STATUS_USAGE;
	size_t size;

	if (text == NULL)
		return usage_fail(command, "out of memory");
	size = fread(text, 1, STDIN_MAX, stdin);
	if (ferror(stdin))
		fprintf(stderr, "sluice: stdin: %s\n", strerror(errno));
	else if (size == STDIN_MAX)
		usage_fail(command, "stdin is too long: write it to a file, and say `file PATH`");
	else if (list_parse("stdin", "stdin", text, size, 0, &list, &wrong) != 0)
		fprintf(stderr, "stdin:%zu:%zu: %s\n", wrong.line, wrong.column, wrong.text);
	else
		status = append_list(prefixes, command, list);
	list_unref(list);
	free(text);
	return status;
}

static int read_argument(const char *command, const char *word, json_t *prefixes)
{
	struct list_error wrong = {0};
	struct list *list;
	int status;

	if (list_parse("arguments", "", word, strlen(word), 0, &list, &wrong) != 0)
		return usage_fail(command, "%s", wrong.text);
	if (list->count4 + list->count6 == 0)
		status = usage_fail(command, "not a prefix: '%s'", word);
	else
		status = append_list(prefixes, command, list);
	list_unref(list);
	return status;
}

/* The daemon opens the file, so it must be able to find it. */
static int read_path(const char *command, const char *path, json_t *params)
{
	char *absolute = realpath(path, NULL);
	int rc;

	if (absolute == NULL) {
		fprintf(stderr, "sluice %s: %s: %s\n", command, path, strerror(errno));
		return STATUS_USAGE;
	}
	rc = json_object_set_new(params, "path", json_string(absolute));
	free(absolute);
	return rc == 0 ? STATUS_OK : usage_fail(command, "not a path: it is not UTF-8");
}

/* Read PREFIX..., "-" and "file PATH" into params. */
static int read_words(int argc, char **argv, json_t *params)
{
	json_t *prefixes = json_array();
	int status = STATUS_OK;

	if (strcmp(argv[FIRST_WORD], "file") == 0) {
		json_decref(prefixes);
		if (argc != FIRST_WORD + 2)
			return usage_fail(argv[0],
					  "after 'file' stands one PATH, and nothing else");
		return read_path(argv[0], argv[FIRST_WORD + 1], params);
	}
	for (int i = FIRST_WORD; status == STATUS_OK && i < argc; i++) {
		if (strcmp(argv[i], "-") == 0)
			status = read_stdin(argv[0], prefixes);
		else if (argv[i][0] == '-')
			status = usage_fail(argv[0], "unknown option '%s'", argv[i]);
		else
			status = read_argument(argv[0], argv[i], prefixes);
	}
	json_object_set_new(params, "prefixes", prefixes);
	return status;
}

static void print_edit(const json_t *result, const char *done)
{
	char took[REPLY_CELL_MAX];

	reply_format_us(json_number_value(json_object_get(result, "edit_us")), took);
	printf("generation %lld: %lld %s", reply_number(result, "generation"),
	       reply_number(result, done), done);
	if (reply_number(result, "present") > 0)
		printf(", %lld there already", reply_number(result, "present"));
	printf(", list %s; %lld IPv4 + %lld IPv6 prefixes, in %s\n", reply_text(result, "list"),
	       reply_number(result, "v4"), reply_number(result, "v6"), took);
}

static void print_added(const json_t *result)
{
	print_edit(result, "added");
}

static void print_removed(const json_t *result)
{
	print_edit(result, "removed");
}

int cmd_list_edit(const struct options *options, int argc, char **argv)
{
	bool adds = argv[1][0] == 'a';
	json_t *params;
	int status;

	if (argc <= FIRST_WORD)
		return usage_fail(argv[0], "'%s' needs a NAME and a PREFIX, '-' or 'file PATH'",
				  argv[1]);
	if (argv[2][0] == '-')
		return usage_fail(argv[0], "unknown option '%s'", argv[2]);
	params = json_object();
	status = json_object_set_new(params, "name", json_string(argv[2])) == 0
			 ? read_words(argc, argv, params)
			 : usage_fail(argv[0], "not a name of a list: it is not UTF-8");
	if (status == STATUS_OK && !json_object_get(params, "path") &&
	    json_array_size(json_object_get(params, "prefixes")) == 0)
		status = usage_fail(argv[0], "no prefix is named");
	if (status != STATUS_OK) {
		json_decref(params);
		return status;
	}
	return adds ? client_change(options, "list.add", params, print_added)
		    : client_change(options, "list.del", params, print_removed);
}
