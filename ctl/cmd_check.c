/* check: read configuration and lists, report what is in them, change nothing. */
#include "ctl/commands.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/load.h"
#include "ctl/reply.h"
#include "ctl/usage.h"

enum {
	CLASHES_SHOWN = 10, /* without -s */
};

/* What is to be reported, and where it comes from. */
struct check {
	const struct conf *conf;
	const struct load_result *loaded;
	struct table_clash *clashes;
	size_t clash_count;
};

static size_t list_bytes(const struct list *list)
{
	return sizeof(*list) + list->count4 * sizeof(*list->v4) + list->count6 * sizeof(*list->v6);
}

static size_t lists_bytes(const struct check *c)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < c->loaded->list_count; i++)
		bytes += list_bytes(c->loaded->lists[i]);
	return bytes;
}

/* The egress that a rule sends this list to, or NULL if no rule does. */
static const char *egress_of(const struct conf *conf, unsigned list)
{
	for (unsigned i = 0; i < conf->rule_count; i++) {
		if (conf->rules[i].list == list)
			return conf->egresses[conf->rules[i].egress].name;
	}
	return NULL;
}

/* A string of JSON; what is not UTF-8 becomes null. */
static json_t *text_or_null(const char *text)
{
	json_t *string = text != NULL ? json_string(text) : NULL;

	return string != NULL ? string : json_null();
}

static json_t *describe_list(const struct check *c, unsigned index)
{
	const struct list *list = c->loaded->lists[index];
	const struct list_counts *n = &list->counts;

	return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
			 text_or_null(list->name), "file", text_or_null(list->file), "egress",
			 text_or_null(egress_of(c->conf, index)), "v4", (json_int_t)list->count4,
			 "v6", (json_int_t)list->count6, "ranges", (json_int_t)n->ranges, "masked",
			 (json_int_t)n->masked, "duplicates", (json_int_t)n->duplicates, "covered",
			 (json_int_t)n->covered, "skipped", (json_int_t)n->skipped, "aggregated",
			 (json_int_t)n->aggregated);
}

static json_t *describe_lists(const struct check *c)
{
	json_t *lists = json_array();

	for (unsigned i = 0; i < c->loaded->list_count; i++)
		json_array_append_new(lists, describe_list(c, i));
	return lists;
}

/* One rule's side of a clash: where it names the prefix. */
static json_t *describe_side(const struct check *c, unsigned rule, uint32_t line)
{
	const struct conf_rule *r = &c->conf->rules[rule];
	const struct list *list = c->loaded->lists[r->list];

	return json_pack("{s:o, s:o, s:I, s:s}", "list", text_or_null(list->name), "file",
			 text_or_null(list->file), "line", (json_int_t)line, "egress",
			 c->conf->egresses[r->egress].name);
}

static json_t *describe_clashes(const struct check *c)
{
	json_t *clashes = json_array();

	for (size_t i = 0; i < c->clash_count; i++) {
		const struct table_clash *clash = &c->clashes[i];
		char prefix[PREFIX_TEXT_MAX];

		json_array_append_new(clashes,
				      json_pack("{s:s, s:o, s:o}", "prefix",
						prefix_format(&clash->prefix, prefix), "winner",
						describe_side(c, clash->winner, clash->winner_line),
						"loser",
						describe_side(c, clash->loser, clash->loser_line)));
	}
	return clashes;
}

static void print_json(const struct check *c)
{
	const struct table *table = c->loaded->table;
	json_t *report =
		json_pack("{s:o, s:i, s:i, s:o, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I}", "file",
			  text_or_null(c->conf->path), "egresses", (int)c->conf->egress_count,
			  "rules", (int)c->conf->rule_count, "lists", describe_lists(c), "v4",
			  (json_int_t)table->count4, "v6", (json_int_t)table->count6, "clash_count",
			  (json_int_t)table->clashes, "clashes", describe_clashes(c), "table_bytes",
			  (json_int_t)table_size_bytes(table), "list_bytes",
			  (json_int_t)lists_bytes(c), "parse_us", (json_int_t)c->loaded->parse_us,
			  "build_us", (json_int_t)c->loaded->build_us);

	reply_print_json(report, stdout);
	json_decref(report);
}

static void print_lists(const struct check *c)
{
	static const struct reply_column columns[] = {
		{"name", "LIST", REPLY_PLAIN, false},
		{"egress", "EGRESS", REPLY_PLAIN, false},
		{"v4", "IPV4", REPLY_PLAIN, false},
		{"v6", "IPV6", REPLY_PLAIN, false},
		{"ranges", "RANGES", REPLY_PLAIN, false},
		{"masked", "MASKED", REPLY_PLAIN, false},
		{"duplicates", "DUPLICATE", REPLY_PLAIN, false},
		{"covered", "COVERED", REPLY_PLAIN, false},
		{"skipped", "SKIPPED", REPLY_PLAIN, false},
		{"aggregated", "AGGREGATED", REPLY_PLAIN, false},
		{"file", "FILE", REPLY_PLAIN, false},
	};
	json_t *lists = describe_lists(c);

	if (json_array_size(lists) > 0)
		putchar('\n');
	reply_print_table(lists, columns, sizeof(columns) / sizeof(columns[0]), false, stdout);
	json_decref(lists);
}

static void print_clash(const struct check *c, const struct table_clash *clash)
{
	const struct conf_rule *rules = c->conf->rules;
	const struct list *winner = c->loaded->lists[rules[clash->winner].list];
	const struct list *loser = c->loaded->lists[rules[clash->loser].list];
	char prefix[PREFIX_TEXT_MAX];

	printf("%s:%u: %s leaves by %s; %s:%u says %s, in a later rule\n", winner->file,
	       clash->winner_line, prefix_format(&clash->prefix, prefix),
	       c->conf->egresses[rules[clash->winner].egress].name, loser->file, clash->loser_line,
	       c->conf->egresses[rules[clash->loser].egress].name);
}

static void print_text(const struct check *c)
{
	const struct table *table = c->loaded->table;
	char text[REPLY_CELL_MAX];

	printf("%s: good: %u egresses, %u lists, %u rules\n", c->conf->path, c->conf->egress_count,
	       c->conf->list_count, c->conf->rule_count);
	print_lists(c);
	for (unsigned i = 0; i < c->conf->list_count; i++) {
		if (egress_of(c->conf, i) == NULL)
			printf("\n%s:%u: no rule has list '%s'\n", c->conf->path,
			       c->conf->lists[i].line, c->conf->lists[i].name);
	}
	if (c->clash_count > 0)
		printf("\n%zu prefixes in lists of different egresses:\n", table->clashes);
	for (size_t i = 0; i < c->clash_count; i++)
		print_clash(c, &c->clashes[i]);
	if (c->clash_count < table->clashes)
		printf("and %zu more: see them all with -s\n", table->clashes - c->clash_count);

	printf("\n%zu IPv4 + %zu IPv6 prefixes, parsed in %s", table->count4, table->count6,
	       reply_format_us((double)c->loaded->parse_us, text));
	printf(", built in %s\n", reply_format_us((double)c->loaded->build_us, text));
	printf("memory: %s for the table",
	       reply_format_bytes((json_int_t)table_size_bytes(table), text));
	printf(", %s for the lists\n", reply_format_bytes((json_int_t)lists_bytes(c), text));
}

static int report(const struct options *options, const struct conf *conf,
		  const struct load_result *loaded)
{
	const struct table *table = loaded->table;
	size_t max = table->clashes;
	struct check check = {.conf = conf, .loaded = loaded};

	if (max > CLASHES_SHOWN && !options->stats && !options->json)
		max = CLASHES_SHOWN;
	check.clashes = calloc(max + 1, sizeof(*check.clashes));
	if (check.clashes == NULL) {
		fputs("sluice: out of memory\n", stderr);
		return STATUS_REFUSED;
	}
	check.clash_count = table_clashes(table->rules, table->rule_count, check.clashes, max);
	if (options->json)
		print_json(&check);
	else
		print_text(&check);
	free(check.clashes);
	return STATUS_OK;
}

static int complain(const struct load_error *err)
{
	char text[LOAD_ERROR_TEXT_MAX];

	fprintf(stderr, "%s\n", load_error_format(err, text));
	return STATUS_USAGE;
}

static int check_lists(const struct options *options, const struct conf *conf)
{
	struct load_result loaded;
	struct load_error err;
	int status;

	if (load_table(conf, 0, NULL, 0, &loaded, &err) != 0)
		return complain(&err);
	status = report(options, conf, &loaded);
	load_result_fini(&loaded);
	return status;
}

int cmd_check(const struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"print", no_argument, NULL, 'p'},
		{NULL, 0, NULL, 0},
	};
	const char *path = SLUICE_CONF_PATH;
	bool print = false;
	struct load_error err;
	struct conf conf;
	int status = STATUS_OK;
	int code;

	optind = 0;
	while ((code = getopt_long(argc, argv, ":c:p", known, NULL)) != -1) {
		if (code == 'c')
			path = optarg;
		else if (code == 'p')
			print = true;
		else
			return usage_bad_option(argv[0], code, argv, known);
	}
	if (optind < argc)
		return usage_fail(argv[0], "unexpected '%s'; a configuration is named with -c",
				  argv[optind]);
	if (load_conf(path, &conf, &err) != 0)
		return complain(&err);
	if (print)
		conf_print(&conf, stdout);
	else
		status = check_lists(options, &conf);
	conf_free(&conf);
	return status;
}
