/* reload: a new table, all of it or nothing. */
#include "ctl/commands.h"

#include <stdio.h>

#include "ctl/client.h"
#include "ctl/reply.h"
#include "ctl/usage.h"

static char *format_time(const json_t *result, const char *key, char out[REPLY_CELL_MAX])
{
	return reply_format_us(json_number_value(json_object_get(result, key)), out);
}

static void print_reload(const json_t *result)
{
	char parse[REPLY_CELL_MAX], build[REPLY_CELL_MAX], publish[REPLY_CELL_MAX];

	char cached[REPLY_CELL_MAX] = "";

	if (reply_number(result, "lists_cached") > 0)
		snprintf(cached, sizeof(cached), " (%lld of %lld lists from the cache)",
			 reply_number(result, "lists_cached"), reply_number(result, "lists_read"));
	printf("generation %lld: %lld IPv4 + %lld IPv6 prefixes, parsed in %s%s, built in %s, "
	       "published in %s\n",
	       reply_number(result, "generation"), reply_number(result, "v4"),
	       reply_number(result, "v6"), format_time(result, "parse_us", parse), cached,
	       format_time(result, "build_us", build), format_time(result, "publish_us", publish));
	if (reply_number(result, "dropped_added") + reply_number(result, "dropped_removed") > 0)
		printf("%lld added, %lld removed prefixes dropped: the lists are as their files "
		       "say\n",
		       reply_number(result, "dropped_added"),
		       reply_number(result, "dropped_removed"));
}

int cmd_reload(const struct options *options, int argc, char **argv)
{
	json_t *params = NULL;

	if (argc > 1)
		params = json_pack("{s:[]}", "lists");
	for (int i = 1; i < argc; i++) {
		const char *wrong = argv[i][0] == '-' ? "unknown option '%s'" : NULL;

		/* A list that is left out would be kept silently: what JSON cannot hold is an
		 * error. */
		if (wrong == NULL && json_array_append_new(json_object_get(params, "lists"),
							   json_string(argv[i])) != 0)
			wrong = "not a name of a list: '%s'";
		if (wrong != NULL) {
			json_decref(params);
			return usage_fail(argv[0], wrong, argv[i]);
		}
	}
	return client_change(options, "reload", params, print_reload);
}
