/* `sluice down`: remove all that Sluice ever added to this network namespace. */
#include "ctl/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/capture.h"
#include "ctl/conf.h"
#include "ctl/load.h"

struct arguments {
	const char *conf_path; /* NULL: none */
	const char *ifname;    /* NULL: all devices */
	bool force;
};

static int usage(void)
{
	fputs("usage: sluice down [-c FILE | NAME] [--force]\n", stderr);
	return STATUS_USAGE;
}

static bool read_arguments(int argc, char **argv, struct arguments *out)
{
	struct arguments arguments = {0};

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--force") == 0 || strcmp(argv[i], "-f") == 0)
			arguments.force = true;
		else if (strcmp(argv[i], "-c") == 0 && i + 1 < argc && !arguments.conf_path)
			arguments.conf_path = argv[++i];
		else if (argv[i][0] != '-' && argv[i][0] != '\0' && !arguments.ifname)
			arguments.ifname = argv[i];
		else
			return false;
	}
	if (arguments.conf_path && arguments.ifname)
		return false;
	*out = arguments;
	return true;
}

int cmd_down(const struct options *options, int argc, char **argv)
{
	char error[CAPTURE_ERROR_MAX], name[CONF_IFNAME_MAX];
	struct arguments arguments;
	uint32_t table = 0;
	unsigned removed;
	int rc;

	if (!read_arguments(argc, argv, &arguments))
		return usage();
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
