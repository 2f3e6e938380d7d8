/* The commands that show what the daemon has: status, stats, list, rule, egress, queue, flow. */
#include "ctl/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/reply.h"
#include "ctl/usage.h"
#include "lpm/prefix.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct reply_column list_columns[] = {
	{"name", "LIST", REPLY_PLAIN, false},
	{"egress", "EGRESS", REPLY_PLAIN, false},
	{"v4", "IPV4", REPLY_PLAIN, false},
	{"v6", "IPV6", REPLY_PLAIN, false},
	{"duplicates", "DUPLICATE", REPLY_PLAIN, false},
	{"covered", "COVERED", REPLY_PLAIN, false},
	{"masked", "MASKED", REPLY_PLAIN, false},
	{"aggregated", "AGGREGATED", REPLY_PLAIN, false},
	{"hits", "HITS", REPLY_PLAIN, false},
	{"loaded_at", "LOADED", REPLY_TIME, false},
	{"added", "ADDED", REPLY_PLAIN, false},
	{"removed", "REMOVED", REPLY_PLAIN, false},
	{"file", "FILE", REPLY_PLAIN, false},
};

static const struct reply_column rule_columns[] = {
	{"rule", "RULE", REPLY_PLAIN, false},   {"index", "RULE", REPLY_PLAIN, false},
	{"list", "LIST", REPLY_PLAIN, false},   {"egress", "EGRESS", REPLY_PLAIN, false},
	{"line", "LINE", REPLY_PLAIN, false},   {"v4", "IPV4", REPLY_PLAIN, false},
	{"v6", "IPV6", REPLY_PLAIN, false},     {"hits", "HITS", REPLY_PLAIN, false},
	{"flows", "FLOWS", REPLY_PLAIN, false},
};

static const struct reply_column egress_columns[] = {
	{"name", "EGRESS", REPLY_PLAIN, false},
	{"type", "TYPE", REPLY_PLAIN, false},
	{"interface", "INTERFACE", REPLY_PLAIN, false},
	{"up", "LINK", REPLY_UP, false},
	{"ready", "READY", REPLY_PLAIN, false},
	{"address4", "ADDRESS4", REPLY_PLAIN, false},
	{"gateway4", "GATEWAY4", REPLY_PLAIN, false},
	{"address6", "ADDRESS6", REPLY_PLAIN, false},
	{"gateway6", "GATEWAY6", REPLY_PLAIN, false},
	{"packets_out", "PACKETS OUT", REPLY_PLAIN, true},
	{"bytes_out", "BYTES OUT", REPLY_BYTES, true},
	{"packets_in", "PACKETS IN", REPLY_PLAIN, true},
	{"bytes_in", "BYTES IN", REPLY_BYTES, true},
	{"mtu", "MTU", REPLY_PLAIN, true},
	{"nat", "NAT", REPLY_PLAIN, true},
	{"ports", "PORTS", REPLY_PLAIN, true},
	{"reason", "REASON", REPLY_PLAIN, false},
};

static const struct reply_column traffic_columns[] = {
	{"name", "EGRESS", REPLY_PLAIN, false},
	{"packets_out", "PACKETS OUT", REPLY_PLAIN, false},
	{"bytes_out", "BYTES OUT", REPLY_BYTES, false},
	{"packets_in", "PACKETS IN", REPLY_PLAIN, false},
	{"bytes_in", "BYTES IN", REPLY_BYTES, false},
};

static const struct reply_column queue_columns[] = {
	{"index", "QUEUE", REPLY_PLAIN, false},
	{"cpu", "CPU", REPLY_PLAIN, false},
	{"polling", "STATE", REPLY_POLLING, false},
	{"flows", "FLOWS", REPLY_PLAIN, false},
	{"mappings", "NAT PORTS", REPLY_PLAIN, false},
	{"packets_out", "PACKETS OUT", REPLY_PLAIN, true},
	{"bytes_out", "BYTES OUT", REPLY_BYTES, true},
	{"packets_in", "PACKETS IN", REPLY_PLAIN, true},
	{"bytes_in", "BYTES IN", REPLY_BYTES, true},
	{"bursts", "BURSTS", REPLY_PLAIN, true},
	{"sleeps", "SLEEPS", REPLY_PLAIN, true},
	{"handed_over", "HANDED OVER", REPLY_PLAIN, true},
	{"taken_over", "TAKEN OVER", REPLY_PLAIN, true},
	{"helped", "HELPED", REPLY_PLAIN, true},
	{"inbox_full", "INBOX FULL", REPLY_PLAIN, true},
	{"stages", "TIME", REPLY_PLAIN, true},
};

static const struct reply_column flow_columns[] = {
	{"proto", "PROTO", REPLY_PLAIN, false},
	{"source", "SOURCE", REPLY_PLAIN, false},
	{"source_port", "PORT", REPLY_PLAIN, false},
	{"destination", "DESTINATION", REPLY_PLAIN, false},
	{"destination_port", "PORT", REPLY_PLAIN, false},
	{"egress", "EGRESS", REPLY_PLAIN, false},
	{"list", "LIST", REPLY_PLAIN, false},
	{"prefix", "PREFIX", REPLY_PLAIN, false},
	{"place", "NAMED BY", REPLY_PLAIN, false},
	{"translated_port", "NAT PORT", REPLY_PLAIN, false},
	{"state", "STATE", REPLY_PLAIN, false},
	{"age_s", "AGE", REPLY_SECONDS, false},
	{"idle_s", "IDLE", REPLY_SECONDS, false},
	{"queue", "QUEUE", REPLY_PLAIN, true},
	{"packets_out", "PACKETS OUT", REPLY_PLAIN, true},
	{"bytes_out", "BYTES OUT", REPLY_BYTES, true},
	{"packets_in", "PACKETS IN", REPLY_PLAIN, true},
	{"bytes_in", "BYTES IN", REPLY_BYTES, true},
};

static const struct reply_column counter_columns[] = {
	{"name", "COUNTER", REPLY_PLAIN, false},
	{"value", "VALUE", REPLY_PLAIN, false},
	{"help", "MEANING", REPLY_PLAIN, true},
};

static const struct reply_column drop_columns[] = {
	{"reason", "DROPPED", REPLY_PLAIN, false},
	{"value", "PACKETS", REPLY_PLAIN, false},
	{"help", "MEANING", REPLY_PLAIN, true},
};

static void print_status_head(const json_t *status)
{
	char uptime[REPLY_CELL_MAX], table[REPLY_CELL_MAX], offloads[REPLY_CELL_MAX];
	const char *capture = reply_text(status, "capture");

	reply_format(json_object_get(status, "uptime_s"), REPLY_SECONDS, uptime);
	reply_format(json_object_get(status, "table_bytes"), REPLY_BYTES, table);
	reply_format(json_object_get(status, "offloads"), REPLY_PLAIN, offloads);
	printf("%s is %s: up %s, generation %lld, %lld flows, pid %lld, version %s\n",
	       reply_text(status, "name"),
	       reply_bool(status, "healthy") ? "healthy" : "NOT healthy", uptime,
	       reply_number(status, "generation"), reply_number(status, "flows"),
	       reply_number(status, "pid"), reply_text(status, "version"));
	printf("  capture %s", capture);
	if (strcmp(capture, "none") != 0)
		printf(" (mark 0x%llx, table %lld)", reply_number(status, "mark"),
		       reply_number(status, "table"));
	printf(", mtu %lld, offloads %s, queues by %s\n", reply_number(status, "mtu"), offloads,
	       reply_text(status, "steering"));
	if (reply_number(status, "capture_repairs") > 0)
		printf("  capture was damaged by others and repaired: %lld times\n",
		       reply_number(status, "capture_repairs"));
	if (reply_has(status, "capture_problem"))
		printf("  capture problem: %s\n", reply_text(status, "capture_problem"));
	printf("  default egress %s, table %s\n", reply_text(status, "default"), table);
}

/* Prefixes that came and went since the files were read; the columns are left out if none did. */
static void mark_edits(const json_t *result)
{
	static const struct {
		const char *key;
		char sign;
	} edits[] = {{"added", '+'}, {"removed", '-'}};
	json_t *lists = json_object_get(result, "lists"), *list;
	size_t i;

	json_array_foreach(lists, i, list)
	{
		for (size_t k = 0; k < COUNT(edits); k++) {
			json_int_t number = reply_number(list, edits[k].key);

			json_object_set_new(list, edits[k].key,
					    number > 0 ? json_sprintf("%c%lld", edits[k].sign,
								      (long long)number)
						       : json_null());
		}
	}
}

static void print_status(const json_t *status, const struct options *options)
{
	print_status_head(status);
	putchar('\n');
	reply_print_table(json_object_get(status, "egresses"), egress_columns,
			  COUNT(egress_columns), options->stats, stdout);
	if (reply_has(status, "lists")) {
		mark_edits(status);
		putchar('\n');
		reply_print_table(json_object_get(status, "lists"), list_columns,
				  COUNT(list_columns), options->stats, stdout);
	}
	putchar('\n');
	reply_print_table(json_object_get(status, "queues"), queue_columns, COUNT(queue_columns),
			  options->stats, stdout);
}

int cmd_status(const struct options *options, int argc, char **argv)
{
	json_t *result;
	int status;

	if (argc > 1)
		return usage_fail(argv[0], "unexpected '%s'", argv[1]);
	status = client_call(options, "status", NULL, &result);
	if (status != STATUS_OK)
		return status;
	if (options->json)
		reply_print_json(result, stdout);
	else
		print_status(result, options);
	json_decref(result);
	return STATUS_OK;
}

/* Take the items out of an array whose number under key is zero. */
static void remove_zeros(json_t *array, const char *key)
{
	for (size_t i = json_array_size(array); i-- > 0;) {
		if (reply_number(json_array_get(array, i), key) == 0)
			json_array_remove(array, i);
	}
}

static void print_stats(const json_t *stats, bool details)
{
	json_t *drops = json_object_get(stats, "drops");

	if (!details) {
		remove_zeros(json_object_get(stats, "counters"), "value");
		remove_zeros(drops, "value");
	}
	reply_print_table(json_object_get(stats, "counters"), counter_columns,
			  COUNT(counter_columns), details, stdout);
	if (json_array_size(drops) > 0) {
		putchar('\n');
		reply_print_table(drops, drop_columns, COUNT(drop_columns), details, stdout);
	}
	putchar('\n');
	reply_print_table(json_object_get(stats, "egresses"), traffic_columns,
			  COUNT(traffic_columns), details, stdout);
	if (details && reply_has(stats, "queues")) {
		putchar('\n');
		reply_print_table(json_object_get(stats, "queues"), queue_columns,
				  COUNT(queue_columns), true, stdout);
	}
}

int cmd_stats(const struct options *options, int argc, char **argv)
{
	json_t *result;
	int status;

	if (argc > 1)
		return usage_fail(argv[0], "unexpected '%s'", argv[1]);
	status = client_call(options, "stats", NULL, &result);
	if (status != STATUS_OK)
		return status;
	if (options->json)
		reply_print_json(result, stdout);
	else
		print_stats(result, options->stats);
	json_decref(result);
	return STATUS_OK;
}

/* A command that shows one array of objects. */
struct show {
	const char *method;
	const char *array; /* its key in the result */
	const struct reply_column *columns;
	size_t column_count;
	bool by_name; /* takes a NAME, and shows the object of that name only */
	void (*amend)(const json_t *result); /* for people; may be NULL */
};

/* Leave only the object of that name. Returns an exit status, after a complaint. */
static int keep_named(const json_t *result, const struct show *show, const char *command,
		      const char *name)
{
	json_t *array = json_object_get(result, show->array);

	for (size_t i = json_array_size(array); i-- > 0;) {
		if (strcmp(reply_text(json_array_get(array, i), "name"), name) != 0)
			json_array_remove(array, i);
	}
	if (json_array_size(array) > 0)
		return STATUS_OK;
	fprintf(stderr, "sluice: there is no %s '%s'\n", command, name);
	return STATUS_NOT_FOUND;
}

static int run_show(const struct options *options, int argc, char **argv, const struct show *show)
{
	int first = usage_skip_show(argc, argv);
	const char *name = NULL;
	json_t *result;
	int status;

	if (first < 0)
		return STATUS_USAGE;
	if (show->by_name && first < argc)
		name = argv[first++];
	if (first < argc)
		return usage_fail(argv[0], "unexpected '%s'", argv[first]);
	status = client_call(options, show->method, NULL, &result);
	if (status != STATUS_OK)
		return status;
	if (name != NULL)
		status = keep_named(result, show, argv[0], name);
	if (status == STATUS_OK && !options->json && show->amend != NULL)
		show->amend(result);
	if (status == STATUS_OK && options->json)
		reply_print_json(result, stdout);
	else if (status == STATUS_OK)
		reply_print_table(json_object_get(result, show->array), show->columns,
				  show->column_count, options->stats, stdout);
	json_decref(result);
	return status;
}

/* "add" and "del" may be cut short where more follows than `list NAME` has. */
static bool is_edit(int argc, char **argv)
{
	static const char *const words[] = {"add", "del"};

	for (size_t i = 0; argc > 1 && argv[1][0] != '\0' && i < COUNT(words); i++) {
		size_t size = argc > 3 ? strlen(argv[1]) : sizeof("add") - 1;

		if (strlen(argv[1]) <= size && strncmp(argv[1], words[i], size) == 0)
			return true;
	}
	return false;
}

int cmd_list(const struct options *options, int argc, char **argv)
{
	static const struct show show = {
		"list.show", "lists", list_columns, COUNT(list_columns), true, mark_edits,
	};

	if (is_edit(argc, argv))
		return cmd_list_edit(options, argc, argv);
	return run_show(options, argc, argv, &show);
}

/* The default is the last rule, as people see it. */
static void add_default(const json_t *result)
{
	json_t *rule = json_pack("{s:s, s:s}", "index", "default", "egress",
				 reply_text(result, "default"));

	json_array_append_new(json_object_get(result, "rules"), rule);
}

int cmd_rule(const struct options *options, int argc, char **argv)
{
	static const struct show show = {
		"rule.show", "rules", rule_columns, COUNT(rule_columns), false, add_default,
	};

	return run_show(options, argc, argv, &show);
}

int cmd_egress(const struct options *options, int argc, char **argv)
{
	static const struct show show = {
		"egress.show", "egresses", egress_columns, COUNT(egress_columns), true, NULL,
	};

	return run_show(options, argc, argv, &show);
}

int cmd_queue(const struct options *options, int argc, char **argv)
{
	static const struct show show = {
		"queue.show", "queues", queue_columns, COUNT(queue_columns), false, NULL,
	};

	return run_show(options, argc, argv, &show);
}

enum {
	FLOW_LIMIT_DEFAULT = 100,
};

/* Read "egress NAME", "address ADDRESS" and "limit NUMBER" into params. */
static int read_flow_words(int argc, char **argv, int first, json_t *params)
{
	for (int i = first; i < argc; i += 2) {
		const char *value = argv[i + 1]; /* NULL after the last */
		struct addr addr;
		char *end;

		if (strcmp(argv[i], "egress") != 0 && strcmp(argv[i], "address") != 0 &&
		    strcmp(argv[i], "limit") != 0)
			return usage_fail(argv[0],
					  "unknown word '%s': expected egress, address or limit",
					  argv[i]);
		if (value == NULL)
			return usage_fail(argv[0], "nothing after '%s'", argv[i]);
		if (argv[i][0] == 'e') {
			if (json_object_set_new(params, "egress", json_string(value)) != 0)
				return usage_fail(argv[0], "not a name: it is not UTF-8");
		} else if (argv[i][0] == 'a') {
			if (addr_parse(value, strlen(value), &addr) != 0)
				return usage_fail(argv[0], "not an address: '%s'", value);
			json_object_set_new(params, "address", json_string(value));
		} else {
			errno = 0;
			unsigned long limit = strtoul(value, &end, 10);

			if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 ||
			    limit == 0 || limit > 1000000000)
				return usage_fail(argv[0], "not a number of flows: '%s'", value);
			json_object_set_new(params, "limit", json_integer((json_int_t)limit));
		}
	}
	return STATUS_OK;
}

static void keep_family(json_t *flows, unsigned family)
{
	for (size_t i = json_array_size(flows); i-- > 0;) {
		const char *source = reply_text(json_array_get(flows, i), "source");
		unsigned its = strchr(source, ':') != NULL ? 6 : 4;

		if (its != family)
			json_array_remove(flows, i);
	}
}

/* Where the prefix of each flow is named. */
static void name_places(json_t *flows)
{
	json_t *flow;
	size_t i;

	json_array_foreach(flows, i, flow)
	{
		if (reply_bool(flow, "added"))
			json_object_set_new(flow, "place", json_string("(added)"));
		else if (reply_has(flow, "line"))
			json_object_set_new(flow, "place",
					    json_sprintf("%s:%lld", reply_text(flow, "file"),
							 reply_number(flow, "line")));
	}
}

int cmd_flow(const struct options *options, int argc, char **argv)
{
	int first = usage_skip_show(argc, argv);
	json_t *params, *result, *flows;
	int status;

	if (first < 0)
		return STATUS_USAGE;
	params = json_pack("{s:i}", "limit", FLOW_LIMIT_DEFAULT);
	status = read_flow_words(argc, argv, first, params);
	if (status != STATUS_OK) {
		json_decref(params);
		return status;
	}
	status = client_call(options, "flow.show", params, &result);
	if (status != STATUS_OK)
		return status;
	flows = json_object_get(result, "flows");
	if (options->family != 0)
		keep_family(flows, options->family);
	if (options->json) {
		reply_print_json(result, stdout);
	} else {
		name_places(flows);
		reply_print_table(flows, flow_columns, COUNT(flow_columns), options->stats, stdout);
		printf("%s%zu of %lld flows%s\n", json_array_size(flows) > 0 ? "\n" : "",
		       json_array_size(flows), reply_number(result, "total"),
		       reply_bool(result, "truncated") ? "; see more with limit" : "");
	}
	json_decref(result);
	return STATUS_OK;
}
