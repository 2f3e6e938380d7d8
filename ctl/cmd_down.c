/* `sluice down`: remove all that Sluice ever added to this network namespace. */
#include "ctl/commands.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "ctl/capture.h"
#include "ctl/conf.h"
#include "ctl/load.h"
#include "ctl/usage.h"

struct arguments {
	const char *conf_path; /* NULL: none */
	const char *ifname;    /* NULL: all devices */
	bool force;
};

/* 0, or an exit status after a complaint. */
static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"force", no_argument, NULL, 'f'},
		{0},
	};
	struct arguments arguments = {0};
	int code;

	optind = 1;
	while ((code = getopt_long(argc, argv, ":c:f", known, NULL)) != -1) {
		if (code == 'c')
			arguments.conf_path = optarg;
		else if (code == 'f')
			arguments.force = true;
		else
			return usage_bad_option(argv[0], code, argv, known);
	}
	if (optind < argc)
		arguments.ifname = argv[optind++];
	if (optind < argc)
		return usage_fail(argv[0], "unexpected '%s'", argv[optind]);
	if (arguments.conf_path && arguments.ifname)
		return usage_fail(argv[0], "-c and NAME both say which device");
	*out = arguments;
	return 0;
}

int cmd_down(const struct options *options, int argc, char **argv)
{
	char error[CAPTURE_ERROR_MAX], name[CONF_IFNAME_MAX];
	struct arguments arguments = {0};
	uint32_t table = 0;
	unsigned removed;
	int rc;

	rc = read_arguments(argc, argv, &arguments);
	if (rc != 0)
		return rc;
	if (arguments.conf_path) {
		char text[LOAD_ERROR_TEXT_MAX];
		struct load_error err;
		struct conf conf;

		if (load_conf(arguments.conf_path, &conf, &err) != 0) {
			fprintf(stderr, "sluice: %s\n", load_error_format(&err, text));
			return STATUS_USAGE;
		}
		memcpy(name, conf.interface.name, sizeof name);
		arguments.ifname = name;
		table = conf.interface.table;
		conf_free(&conf);
	}
	rc = capture_down(arguments.ifname, table, arguments.force, options->json ? NULL : stdout,
			  &removed, error);
	if (rc != 0) {
		fprintf(stderr, "sluice: %s\n", error);
		return STATUS_REFUSED;
	}
	if (options->json)
		printf("{\"removed\": %u}\n", removed);
	else if (removed == 0)
		printf("nothing to remove\n");
	return STATUS_OK;
}
