/* lookup: addresses against lists, without a daemon. */
#include "ctl/commands.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/load.h"
#include "ctl/usage.h"

enum {
	INPUT_BYTES = 1 << 16,
	OUTPUT_BYTES = 1 << 16,
	WORD_SHOWN_MAX = 64, /* of a bad address in a message */
};

struct lookup {
	struct conf conf; /* of lists only: how load.h takes them */
	struct load_result loaded;
	char **json; /* of each list, ready for the output: "list":"NAME","file":"FILE" */
	bool bad;    /* something was no address */
	bool lax;
};

/* Take "NAME=FILE" or "FILE". */
static int add_list(struct lookup *l, const char *command, const char *word)
{
	struct conf_list *list = &l->conf.lists[l->conf.list_count];
	const char *equals = strchr(word, '=');
	const char *slash = strchr(word, '/');
	const char *file = word;

	/* In "dir/a=b.txt" the sign belongs to the file. */
	if (equals != NULL && (slash == NULL || equals < slash))
		file = equals + 1;
	if (file == word && conf_list_name(file, list->name) != 0)
		return usage_fail(command, "no name for a list in '%s': say NAME=%s", word, word);
	if (file != word) {
		size_t n = (size_t)(equals - word);

		if (n == 0 || n >= sizeof(list->name))
			return usage_fail(command, "a name has 1 to %zu bytes: '%s'",
					  sizeof(list->name) - 1, word);
		memcpy(list->name, word, n);
		list->name[n] = '\0';
	}
	list->file = strdup(file);
	list->strict = true;
	l->conf.list_count++;
	return list->file != NULL ? STATUS_OK : usage_fail(command, "out of memory");
}

/* Rules in the order of the lists, each with a verdict of its own. */
static int load_lists(struct lookup *l)
{
	char text[LOAD_ERROR_TEXT_MAX];
	struct load_error err;

	for (unsigned i = 0; i < l->conf.list_count; i++) {
		l->conf.rules[i] = (struct conf_rule){.list = i, .egress = i};
		l->conf.lists[i].strict = !l->lax;
	}
	l->conf.rule_count = l->conf.list_count;
	l->conf.default_egress = l->conf.list_count;
	if (load_table(&l->conf, 0, NULL, 0, &l->loaded, &err) == 0)
		return STATUS_OK;
	fprintf(stderr, "%s\n", load_error_format(&err, text));
	return STATUS_USAGE;
}

/* What JSON says of a list is the same in every line. */
static int prepare_json(struct lookup *l)
{
	l->json = calloc(l->conf.list_count + 1, sizeof(*l->json));
	if (l->json == NULL)
		return STATUS_REFUSED;
	for (unsigned i = 0; i < l->conf.list_count; i++) {
		json_t *object = json_pack("{s:s, s:s}", "list", l->conf.lists[i].name, "file",
					   l->conf.lists[i].file);

		l->json[i] = json_dumps(object, JSON_COMPACT | JSON_EMBED);
		json_decref(object);
		if (l->json[i] == NULL) {
			fprintf(stderr, "sluice: JSON cannot hold the name '%s': it is not UTF-8\n",
				l->conf.lists[i].file);
			return STATUS_USAGE;
		}
	}
	return STATUS_OK;
}

static void print_json(const struct lookup *l, const char *text, int size,
		       const struct table_match *match, const char *prefix)
{
	if (match->list == NULL)
		printf("{\"address\":\"%.*s\",\"prefix\":null,\"list\":null,\"file\":null,"
		       "\"line\":null}\n",
		       size, text);
	else
		printf("{\"address\":\"%.*s\",\"prefix\":\"%s\",%s,\"line\":%u}\n", size, text,
		       prefix, l->json[match->verdict - 1], match->line);
}

/* Look up one address; false if the text is none. */
static bool look_up(const struct lookup *l, const struct options *options, const char *text,
		    size_t size)
{
	char prefix[PREFIX_TEXT_MAX] = "-";
	const char *name = "-";
	struct table_match match;
	struct addr addr;

	if (addr_parse(text, size, &addr) != 0)
		return false;
	table_explain(l->loaded.table, &addr, &match);
	if (match.list != NULL) {
		prefix_format(&match.prefix, prefix);
		name = match.list->name;
	}
	if (options->json) {
		print_json(l, text, (int)size, &match, prefix);
		return true;
	}
	/* printf would be half of the time. */
	fwrite_unlocked(text, 1, size, stdout);
	putchar_unlocked(' ');
	fputs_unlocked(prefix, stdout);
	putchar_unlocked(' ');
	fputs_unlocked(name, stdout);
	putchar_unlocked('\n');
	return true;
}

static void complain_address(struct lookup *l, const char *place, size_t line, const char *text,
			     size_t size)
{
	int shown = size > WORD_SHOWN_MAX ? WORD_SHOWN_MAX : (int)size;

	l->bad = true;
	fflush(stdout); /* keep the order where both go to one place */
	if (line != 0)
		fprintf(stderr, "%s:%zu: not an address: '%.*s'\n", place, line, shown, text);
	else
		fprintf(stderr, "%s: not an address: '%.*s'\n", place, shown, text);
}

/* One line of stdin: its first word. Empty lines and comments are passed over. */
static void look_up_line(struct lookup *l, const struct options *options, const char *text,
			 size_t size, size_t line)
{
	size_t n = 0;

	while (size > 0 && (*text == ' ' || *text == '\t')) {
		text++;
		size--;
	}
	while (n < size && text[n] != ' ' && text[n] != '\t' && text[n] != '\r')
		n++;
	if (n > 0 && text[0] != '#' && !look_up(l, options, text, n))
		complain_address(l, "stdin", line, text, n);
}

/*
 * All lines of stdin. What has been answered is written out before waiting for more, so that
 * another program can ask and wait for the answer.
 */
static int look_up_stdin(struct lookup *l, const struct options *options)
{
	char *text = malloc(INPUT_BYTES);
	size_t size = 0;
	size_t line = 1;
	bool too_long = false; /* in a line that does not fit: the rest of it is passed over */
	ssize_t n;

	if (text == NULL)
		return STATUS_REFUSED;
	while ((n = read(STDIN_FILENO, text + size, INPUT_BYTES - size)) != 0) {
		char *at = text;
		char *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		size += (size_t)n;
		while ((end = memchr(at, '\n', size - (size_t)(at - text))) != NULL) {
			if (!too_long)
				look_up_line(l, options, at, (size_t)(end - at), line);
			too_long = false;
			line++;
			at = end + 1;
		}
		size -= (size_t)(at - text);
		memmove(text, at, size);
		if (size == INPUT_BYTES) {
			if (!too_long)
				complain_address(l, "stdin", line, text, size);
			too_long = true;
			size = 0;
		}
		fflush(stdout);
	}
	if (n < 0)
		fprintf(stderr, "sluice: cannot read stdin: %s\n", strerror(errno));
	else if (size > 0 && !too_long)
		look_up_line(l, options, text, size, line);
	free(text);
	return n < 0 ? STATUS_REFUSED : STATUS_OK;
}

static int look_up_words(struct lookup *l, const struct options *options, char **words)
{
	int status = STATUS_OK;

	for (; *words != NULL && status == STATUS_OK; words++) {
		if (strcmp(*words, "-") == 0)
			status = look_up_stdin(l, options);
		else if (!look_up(l, options, *words, strlen(*words)))
			complain_address(l, "sluice lookup", 0, *words, strlen(*words));
	}
	return status;
}

static int read_options(struct lookup *l, int argc, char **argv)
{
	static const struct option known[] = {
		{"list", required_argument, NULL, 'l'},
		{"lax", no_argument, NULL, 'x'},
		{NULL, 0, NULL, 0},
	};
	int code;

	optind = 0;
	while ((code = getopt_long(argc, argv, ":l:", known, NULL)) != -1) {
		int status = STATUS_OK;

		if (code == 'l')
			status = add_list(l, argv[0], optarg);
		else if (code == 'x')
			l->lax = true;
		else
			status = usage_bad_option(argv[0], code, argv, known);
		if (status != STATUS_OK)
			return status;
	}
	if (l->conf.list_count == 0)
		return usage_fail(argv[0], "a --list is needed");
	if (l->conf.list_count > TABLE_RULES_MAX)
		return usage_fail(argv[0], "more than %d lists", TABLE_RULES_MAX);
	if (optind == argc)
		return usage_fail(argv[0], "an ADDRESS is needed, or - for stdin");
	return STATUS_OK;
}

int cmd_lookup(const struct options *options, int argc, char **argv)
{
	struct lookup l = {0};
	int status = STATUS_REFUSED;

	/* No more lists than words. */
	l.conf.lists = calloc((size_t)argc, sizeof(*l.conf.lists));
	l.conf.rules = calloc((size_t)argc, sizeof(*l.conf.rules));
	if (l.conf.lists == NULL || l.conf.rules == NULL)
		goto free_lists;
	status = read_options(&l, argc, argv);
	if (status == STATUS_OK)
		status = load_lists(&l);
	if (status != STATUS_OK)
		goto free_lists;
	if (options->json)
		status = prepare_json(&l);
	if (status == STATUS_OK)
		status = look_up_words(&l, options, argv + optind);
	if (status == STATUS_OK && l.bad)
		status = STATUS_USAGE;

	for (unsigned i = 0; l.json != NULL && i < l.conf.list_count; i++)
		free(l.json[i]);
	free(l.json);
	load_result_fini(&l.loaded);
free_lists:
	conf_free(&l.conf);
	return status;
}
