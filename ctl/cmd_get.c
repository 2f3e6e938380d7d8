/* get: which way a packet takes, and why. */
#include "ctl/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/reply.h"
#include "ctl/usage.h"
#include "lpm/prefix.h"

/* One of the words that may follow the address, with its value. */
static int read_word(const char *command, const char *word, const char *value, json_t *params)
{
	struct addr addr;
	char *end;
	unsigned long number;

	if (strcmp(word, "from") != 0 && strcmp(word, "proto") != 0 && strcmp(word, "dport") != 0 &&
	    strcmp(word, "sport") != 0)
		return usage_fail(command,
				  "unknown word '%s': expected from, proto, dport or sport", word);
	if (value == NULL)
		return usage_fail(command, "nothing after '%s'", word);
	if (word[0] == 'p') {
		if (json_object_set_new(params, word, json_string(value)) != 0)
			return usage_fail(command, "not a protocol: it is not UTF-8");
		return STATUS_OK;
	}
	if (word[0] == 'f') {
		if (addr_parse(value, strlen(value), &addr) != 0)
			return usage_fail(command, "not an address: '%s'", value);
		json_object_set_new(params, word, json_string(value));
		return STATUS_OK;
	}
	errno = 0;
	number = strtoul(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || number > UINT16_MAX)
		return usage_fail(command, "not a port: '%s'", value);
	json_object_set_new(params, word, json_integer((json_int_t)number));
	return STATUS_OK;
}

static int read_words(int argc, char **argv, json_t *params)
{
	struct addr addr;

	if (argc < 2)
		return usage_fail(argv[0], "an ADDRESS is needed");
	if (argv[1][0] == '-')
		return usage_fail(argv[0], "unknown option '%s'", argv[1]);
	if (addr_parse(argv[1], strlen(argv[1]), &addr) != 0)
		return usage_fail(argv[0], "not an address: '%s'", argv[1]);
	json_object_set_new(params, "address", json_string(argv[1]));
	for (int i = 2; i < argc; i += 2) {
		int status = read_word(argv[0], argv[i], argv[i + 1], params);

		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

/* As ip route get has it: words and their values on one line, in an order that scripts can trust.
 */
static void print_line(const json_t *get)
{
	static const char *const words[][2] = {
		{"egress", "egress"},
		{"type", "type"},
		{"list", "list"},
		{"prefix", "prefix"},
	};
	const json_t *hop = json_object_get(get, "next_hop");

	fputs(reply_text(get, "address"), stdout);
	if (reply_has(hop, "address"))
		printf(" via %s", reply_text(hop, "address"));
	if (reply_has(get, "interface"))
		printf(" dev %s", reply_text(get, "interface"));
	if (reply_has(hop, "mac"))
		printf(" lladdr %s", reply_text(hop, "mac"));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (reply_has(get, words[i][1]))
			printf(" %s %s", words[i][0], reply_text(get, words[i][1]));
	}
	printf(" generation %lld\n", reply_number(get, "generation"));
}

static void print_why(const json_t *get)
{
	if (strcmp(reply_text(get, "verdict"), "list") != 0) {
		printf("    no list has it: the default egress, %s\n", reply_text(get, "egress"));
		return;
	}
	if (reply_bool(get, "added"))
		printf("    %s (added)", reply_text(get, "list"));
	else
		printf("    %s:%lld, list %s", reply_text(get, "file"), reply_number(get, "line"),
		       reply_text(get, "list"));
	printf(": %s is the longest prefix that holds it\n", reply_text(get, "prefix"));
	printf("    rule %lld sends list %s to egress %s\n", reply_number(get, "rule"),
	       reply_text(get, "list"), reply_text(get, "egress"));
}

static void print_way(const json_t *get)
{
	const char *type = reply_text(get, "type");

	if (strcmp(type, "drop") == 0)
		puts("    it is dropped, and its sender hears nothing");
	else if (strcmp(type, "reject") == 0)
		puts("    it is refused, and its sender told so");
	else if (!reply_has(get, "next_hop") && !reply_has(get, "reason"))
		puts("    no next hop is known");
	if (reply_has(get, "reason"))
		printf("    %s\n", reply_text(get, "reason"));
}

static void print_flow(const json_t *flow)
{
	const char *proto = reply_text(flow, "proto");
	/* An echo's identifier takes the place of both ports. */
	const char *port = strncmp(proto, "icmp", 4) == 0 ? "id" : "port";
	char age[REPLY_CELL_MAX], idle[REPLY_CELL_MAX];

	if (!json_is_object(flow))
		return;
	printf("    flow: %s %s %s %lld to %s %s %lld by %s", proto, reply_text(flow, "source"),
	       port, reply_number(flow, "source_port"), reply_text(flow, "destination"), port,
	       reply_number(flow, "destination_port"), reply_text(flow, "egress"));
	if (reply_number(flow, "translated_port") != 0)
		printf(", translated to %s %lld", port, reply_number(flow, "translated_port"));
	reply_format(json_object_get(flow, "age_s"), REPLY_SECONDS, age);
	reply_format(json_object_get(flow, "idle_s"), REPLY_SECONDS, idle);
	printf(", %s, age %s, idle %s\n", reply_text(flow, "state"), age, idle);
}

int cmd_get(const struct options *options, int argc, char **argv)
{
	json_t *params = json_object();
	json_t *result;
	int status = read_words(argc, argv, params);

	if (status != STATUS_OK) {
		json_decref(params);
		return status;
	}
	status = client_call(options, "get", params, &result);
	if (status != STATUS_OK)
		return status;
	if (options->json) {
		reply_print_json(result, stdout);
	} else {
		print_line(result);
		print_why(result);
		print_way(result);
		print_flow(json_object_get(result, "flow"));
	}
	json_decref(result);
	return STATUS_OK;
}
