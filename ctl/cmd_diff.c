/* diff: what changes between two lists, or what a reload of the daemon would move. */
#include "ctl/commands.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/diff.h"
#include "ctl/load.h"
#include "ctl/reply.h"
#include "ctl/usage.h"

enum { OUT, IN, EGRESSES }; /* of a comparison of two lists: what no list names, and the rest */

struct arguments {
	bool quiet;  /* print nothing, tell by the exit status */
	bool status; /* tell by the exit status too */
	bool lax;
	bool all; /* each prefix */
	unsigned count;
	char **words;
};

static double ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) * 1e3 +
	       (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

/* ---- Two files ---- */

struct file {
	const char *path;
	bool lax;
	struct list *list;
	struct load_error err;
	int rc;
};

static void *read_file(void *argument)
{
	struct file *file = argument;
	const char *path = strcmp(file->path, "-") == 0 ? "/dev/stdin" : file->path;

	file->rc = load_list(path, "list", !file->lax, &file->list, &file->err);
	return NULL;
}

/* Side by side, since reading is most of the work. */
static int read_files(struct file files[2])
{
	char text[LOAD_ERROR_TEXT_MAX];
	pthread_t thread;
	bool threaded = pthread_create(&thread, NULL, read_file, &files[0]) == 0;
	int status = STATUS_OK;

	if (!threaded)
		read_file(&files[0]);
	read_file(&files[1]);
	if (threaded)
		pthread_join(thread, NULL);
	for (unsigned i = 0; i < 2; i++) {
		if (files[i].rc == 0)
			continue;
		fprintf(stderr, "%s\n", load_error_format(&files[i].err, text));
		status = STATUS_USAGE;
	}
	return status;
}

/* Where to print each prefix, and how. */
struct printer {
	char *json[2]; /* the files' names as JSON; NULL: as text */
	bool any;      /* something was printed */
};

static void print_change(void *context, const struct diff_change *change)
{
	struct printer *p = context;
	bool added = change->kind == DIFF_ADDED;
	const struct diff_place *place = added ? &change->after : &change->before;
	char prefix[PREFIX_TEXT_MAX];

	prefix_format(&change->prefix, prefix);
	if (p->json[0] != NULL)
		printf("%s{\"change\":\"%s\",\"prefix\":\"%s\",\"file\":%s,\"line\":%u}",
		       p->any ? "," : "", added ? "added" : "removed", prefix, p->json[added],
		       place->line);
	else
		printf("%c %s  %s:%u\n", added ? '+' : '-', prefix, place->list->file, place->line);
	p->any = true;
}

static const struct diff_count *addresses(const struct diff *diff, const struct diff_family *family,
					  unsigned from, unsigned to)
{
	return &diff_move_at(diff, family, from, to)->addresses;
}

static json_t *describe_family(const struct diff *diff, const struct diff_family *f,
			       unsigned version)
{
	return json_pack("{s:I, s:I, s:I, s:o, s:o}", "added", (json_int_t)f->added, "removed",
			 (json_int_t)f->removed, "kept", (json_int_t)f->kept, "addresses_in",
			 diff_json_count(addresses(diff, f, OUT, IN), version), "addresses_out",
			 diff_json_count(addresses(diff, f, IN, OUT), version));
}

static void print_addresses(const struct diff_count *count, unsigned version)
{
	char number[DIFF_COUNT_TEXT_MAX], blocks[DIFF_BLOCKS_MAX];

	fputs(diff_count_format(count, number), stdout);
	/* Fewer than a /64 need no other words. */
	if (version == 6 && (count->hi != 0 || count->all))
		printf(" (%s)", diff_blocks_format(count, blocks));
}

static void print_family(const struct diff *diff, const struct diff_family *f, unsigned version)
{
	if (f->added + f->removed + f->kept == 0)
		return;
	printf("IPv%u: %zu prefixes added, %zu removed, %zu kept; addresses: ", version, f->added,
	       f->removed, f->kept);
	print_addresses(addresses(diff, f, OUT, IN), version);
	fputs(" enter, ", stdout);
	print_addresses(addresses(diff, f, IN, OUT), version);
	fputs(" leave\n", stdout);
}

/* What is told after the prefixes, if they are told. */
static void print_summary(const struct options *options, const struct file files[2],
			  const struct diff *diff, double read_ms, double compare_ms, bool differ)
{
	char text[REPLY_CELL_MAX];
	json_t *summary;

	if (options->json) {
		summary = json_pack(
			"{s:b, s:o, s:o, s:o, s:o, s:I, s:I}", "differ", differ, "before",
			rpc_string(files[0].list->file), "after", rpc_string(files[1].list->file),
			"v4", describe_family(diff, &diff->v4, 4), "v6",
			describe_family(diff, &diff->v6, 6), "parse_us",
			(json_int_t)(read_ms * 1e3), "compare_us", (json_int_t)(compare_ms * 1e3));
		json_dumpf(summary, stdout, JSON_COMPACT | JSON_EMBED);
		json_decref(summary);
		return;
	}
	if (!differ)
		printf("no difference: %zu IPv4 + %zu IPv6 prefixes\n", diff->v4.kept,
		       diff->v6.kept);
	if (differ && options->family != 6)
		print_family(diff, &diff->v4, 4);
	if (differ && options->family != 4)
		print_family(diff, &diff->v6, 6);
	printf("parsed in %s, ", reply_format_us(read_ms * 1e3, text));
	printf("compared in %s\n", reply_format_us(compare_ms * 1e3, text));
}

static int compare_files(const struct options *options, const struct arguments *a,
			 const struct file files[2], double read_ms)
{
	const struct table_rule rules[2] = {{files[0].list, IN}, {files[1].list, IN}};
	const struct diff_side before = {&rules[0], 1, OUT}, after = {&rules[1], 1, OUT};
	struct printer printer = {0};
	const struct diff_watcher watcher = {print_change, &printer};
	bool each = a->all && !a->quiet;
	struct timespec start;
	struct diff diff;
	bool differ;
	int rc = 0;

	for (unsigned i = 0; each && options->json && i < 2; i++) {
		json_t *name = rpc_string(files[i].list->file);

		printer.json[i] = json_dumps(name, JSON_COMPACT | JSON_ENCODE_ANY);
		json_decref(name);
		if (printer.json[i] == NULL)
			rc = -ENOMEM;
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (rc == 0 && options->json && !a->quiet)
		fputs(each ? "{\"changes\":[" : "{", stdout);
	if (rc == 0)
		rc = diff_rules(&before, &after, EGRESSES, options->family, each ? &watcher : NULL,
				&diff);
	free(printer.json[0]);
	free(printer.json[1]);
	if (rc != 0) {
		fprintf(stderr, "sluice: %s\n", strerror(-rc));
		return STATUS_REFUSED;
	}
	differ = diff.v4.added + diff.v4.removed + diff.v6.added + diff.v6.removed > 0;
	if (each && options->json)
		fputs("],", stdout);
	if (!a->quiet)
		print_summary(options, files, &diff, read_ms, ms_since(&start), differ);
	if (!a->quiet && options->json)
		puts("}");
	diff_fini(&diff);
	return differ && a->status ? STATUS_DIFFERENT : STATUS_OK;
}

static int diff_files(const struct options *options, const struct arguments *a)
{
	struct file files[2] = {{.path = a->words[0], .lax = a->lax},
				{.path = a->words[1], .lax = a->lax}};
	struct timespec start;
	int status;

	if (strcmp(a->words[0], "-") == 0 && strcmp(a->words[1], "-") == 0)
		return usage_fail("diff", "standard input is one file, not two");
	clock_gettime(CLOCK_MONOTONIC, &start);
	status = read_files(files);
	if (status == STATUS_OK)
		status = compare_files(options, a, files, ms_since(&start));
	list_unref(files[0].list);
	list_unref(files[1].list);
	return status;
}

/* ---- The daemon ---- */

/* A path that means the same to the daemon. Returns the caller's text, or NULL. */
static char *absolute(const char *path)
{
	char *folder, *text;

	if (path[0] == '/')
		return strdup(path);
	folder = getcwd(NULL, 0);
	if (folder == NULL || asprintf(&text, "%s/%s", folder, path) < 0)
		text = NULL;
	free(folder);
	return text;
}

/* Returns an exit status, after a complaint if it is not STATUS_OK. */
static int set_path(json_t *object, const char *key, const char *path)
{
	char *text = absolute(path);
	int rc = text != NULL ? json_object_set_new(object, key, json_string(text)) : -1;

	free(text);
	return rc == 0 ? STATUS_OK
		       : usage_fail("diff", "not a path that JSON can hold: '%s'", path);
}

/* Where NAME=FILE has its sign; NULL if the word is a file. In "dir/a=b" the sign is the file's. */
static const char *find_equals(const char *word)
{
	const char *equals = strchr(word, '=');
	const char *slash = strchr(word, '/');

	return equals != NULL && (slash == NULL || equals < slash) ? equals : NULL;
}

static int add_list(json_t *lists, const char *word)
{
	const char *equals = find_equals(word);
	char name[CONF_NAME_MAX];

	if (equals == NULL)
		return usage_fail("diff",
				  "either one FILE, or NAME=FILE, or two lists: what is "
				  "'%s'?",
				  word);
	if (equals == word || (size_t)(equals - word) >= sizeof(name))
		return usage_fail("diff", "a list's name has 1 to %zu bytes: '%s'",
				  sizeof(name) - 1, word);
	snprintf(name, sizeof(name), "%.*s", (int)(equals - word), word);
	if (equals[1] != '\0')
		return set_path(lists, name, equals + 1);
	if (json_object_set_new(lists, name, json_null()) == 0)
		return STATUS_OK;
	return usage_fail("diff", "not a name of a list: '%s'", name);
}

static int make_params(const struct options *options, const struct arguments *a, json_t *params)
{
	json_t *lists;
	int status = STATUS_OK;

	if (options->family != 0)
		json_object_set_new(params, "family", json_integer(options->family));
	if (a->all && !a->quiet)
		json_object_set_new(params, "changes", json_integer(DIFF_CHANGES_SHOWN));
	if (a->count == 1 && find_equals(a->words[0]) == NULL)
		return set_path(params, "config", a->words[0]);
	if (a->count == 0)
		return STATUS_OK;
	lists = json_object();
	json_object_set_new(params, "lists", lists);
	for (unsigned i = 0; i < a->count && status == STATUS_OK; i++)
		status = add_list(lists, a->words[i]);
	return status;
}

static void print_changes(const json_t *result)
{
	const json_t *changes = json_object_get(result, "changes"), *c;
	json_int_t total = reply_number(result, "change_count");
	size_t i;

	json_array_foreach(changes, i, c)
	{
		const char *change = reply_text(c, "change");
		const char *from = reply_text(c, "from"), *to = reply_text(c, "to");
		char file[REPLY_CELL_MAX];

		printf("%c %s  ",
		       change[0] == 'a'   ? '+'
		       : change[0] == 'r' ? '-'
					  : '~',
		       reply_text(c, "prefix"));
		if (strcmp(from, to) == 0)
			printf("%s", from);
		else
			printf("%s -> %s", from, to);
		printf("  %s:%lld\n", reply_format(json_object_get(c, "file"), REPLY_PLAIN, file),
		       reply_number(c, "line"));
	}
	if ((size_t)total > json_array_size(changes))
		printf("and %lld more\n", total - (json_int_t)json_array_size(changes));
}

static void print_prefixes(const json_t *result, const char *key, const char *head)
{
	const json_t *f = json_object_get(result, key);
	json_int_t added = reply_number(f, "added"), removed = reply_number(f, "removed");
	json_int_t moved = reply_number(f, "moved"), kept = reply_number(f, "kept");

	if (added + removed + moved + kept > 0)
		printf("%s: %lld prefixes added, %lld removed, %lld sent elsewhere, %lld as they "
		       "were\n",
		       head, added, removed, moved, kept);
}

static void print_moves(const struct options *options, const json_t *result)
{
	static const struct reply_column columns[] = {
		{"from", "FROM", REPLY_PLAIN, false},
		{"to", "TO", REPLY_PLAIN, false},
		{"prefixes4", "IPV4", REPLY_PLAIN, false},
		{"addresses4", "ADDRESSES", REPLY_PLAIN, false},
		{"prefixes6", "IPV6", REPLY_PLAIN, false},
		{"blocks6", "ADDRESSES", REPLY_PLAIN, false},
		{"flows", "FLOWS", REPLY_PLAIN, false},
		{"addresses6", "= IPV6 ADDRESSES", REPLY_PLAIN, false},
	};
	const json_t *moves = json_object_get(result, "moves");
	json_int_t flows = reply_number(result, "flows");
	bool keep = strcmp(reply_text(result, "on_change"), "keep") == 0;
	char parse[REPLY_CELL_MAX], build[REPLY_CELL_MAX], compare[REPLY_CELL_MAX];

	if (json_array_size(moves) == 0)
		puts("nothing would move");
	reply_print_table(moves, columns, sizeof(columns) / sizeof(columns[0]), options->stats,
			  stdout);
	print_prefixes(result, "v4", "IPv4");
	print_prefixes(result, "v6", "IPv6");
	printf("flows: %lld would %s, %lld would not\n", flows,
	       keep ? "drain on their old egress" : "change egress",
	       reply_number(result, "flows_kept"));
	printf("parsed in %s, built in %s, compared in %s; nothing was changed\n",
	       reply_format_us((double)reply_number(result, "parse_us"), parse),
	       reply_format_us((double)reply_number(result, "build_us"), build),
	       reply_format_us((double)reply_number(result, "compare_us"), compare));
}

static int diff_daemon(const struct options *options, const struct arguments *a)
{
	json_t *params = json_object();
	json_t *result;
	bool differ;
	int status = make_params(options, a, params);

	if (status != STATUS_OK) {
		json_decref(params);
		return status;
	}
	status = client_call(options, "diff", params, &result);
	if (status != STATUS_OK)
		return status;
	differ = reply_bool(result, "differ");
	if (!a->quiet && options->json) {
		reply_print_json(result, stdout);
	} else if (!a->quiet) {
		print_changes(result);
		print_moves(options, result);
	}
	json_decref(result);
	return differ && a->status ? STATUS_DIFFERENT : STATUS_OK;
}

/* ---- The command ---- */

int cmd_diff(const struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{"all", no_argument, NULL, 'a'},
		{"quiet", no_argument, NULL, 'q'},
		{"exit-code", no_argument, NULL, 'e'},
		{"lax", no_argument, NULL, 'x'},
		{NULL, 0, NULL, 0},
	};
	struct arguments a = {.all = options->stats};
	int code;

	optind = 0;
	while ((code = getopt_long(argc, argv, ":aqe", known, NULL)) != -1) {
		if (code == 'a')
			a.all = true;
		else if (code == 'q')
			a.quiet = a.status = true;
		else if (code == 'e')
			a.status = true;
		else if (code == 'x')
			a.lax = true;
		else
			return usage_bad_option(argv[0], code, argv, known);
	}
	a.words = argv + optind;
	a.count = (unsigned)(argc - optind);
	if (a.count == 2 && find_equals(a.words[0]) == NULL && find_equals(a.words[1]) == NULL)
		return diff_files(options, &a);
	if (a.lax)
		return usage_fail(argv[0],
				  "--lax is for two lists; the daemon's say `Strict = no`");
	return diff_daemon(options, &a);
}
