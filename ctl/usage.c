#include "ctl/usage.h"

#include <stdarg.h>
#include <string.h>

#include "ctl/nearest.h"

static const char run_help[] =
	"sluice run [-c FILE]\n"
	"sluice run --list FILE... --direct INTERFACE --tunnel INTERFACE|WG_FILE\n"
	"           [--exclude | --include]\n"
	"\n"
	"The daemon, in the foreground until SIGINT or SIGTERM.\n"
	"\n"
	"  -c, --config FILE   the configuration; " SLUICE_CONF_PATH " if none is given\n"
	"\n"
	"Or without a configuration file, capturing what this host sends:\n"
	"      --list FILE     prefixes, one a line; may be repeated\n"
	"      --direct IF     the interface for what leaves directly\n"
	"      --tunnel IF     the interface of the tunnel, or a file of wg-quick's (wg0.conf)\n"
	"      --exclude       listed prefixes leave directly, all others by the tunnel (default)\n"
	"      --include       listed prefixes leave by the tunnel, all others directly\n"
	"\n"
	"  sluice run --list country-mx.txt --direct eth0 --tunnel tun0\n";

static const char down_help[] =
	"sluice down [-c FILE] [NAME]\n"
	"\n"
	"Remove everything that Sluice ever added to this system: the "
	"tunnel interface, the capture\n"
	"rules and routes, the packet filter's table. Also after a crash. "
	"From then on packets take\n"
	"the system's own routes.\n"
	"\n"
	"  -c FILE      of the interface that this configuration names\n"
	"  NAME         of this interface; else of all that Sluice ever made\n"
	"  -f, --force  also while a daemon holds the interface\n";

static const char check_help[] =
	"sluice check [-c FILE] [-p]\n"
	"\n"
	"Read the configuration and its lists, and say what is in them. Changes nothing, needs no\n"
	"daemon and no privilege.\n"
	"\n"
	"  -c, --config FILE   the configuration; " SLUICE_CONF_PATH " if none is given\n"
	"  -p, --print         print the configuration with all defaults, and nothing else\n"
	"  -s, --stats         show every clash between lists, not the first few\n"
	"\n"
	"The first error is printed as FILE:LINE:COLUMN: TEXT; the exit status is then 1.\n";

static const char lookup_help[] =
	"sluice lookup --list [NAME=]FILE... ADDRESS...\n"
	"sluice lookup --list [NAME=]FILE... -\n"
	"\n"
	"Look addresses up in lists, without a daemon. Prints for each\n"
	"\n"
	"  ADDRESS PREFIX NAME   the longest prefix that holds it, and the list that has this "
	"prefix\n"
	"  ADDRESS - -           no list has it\n"
	"\n"
	"  -l, --list [NAME=]FILE   a list, plain or gzip; NAME is the file's without extension if "
	"not\n"
	"                           given. Where two lists have the same prefix the first one "
	"wins\n"
	"      --lax                pass over bad lines of the lists\n"
	"  -j, --json               one object a line, with file and line of the prefix\n"
	"\n"
	"\"-\" reads addresses from stdin, one a line; what follows a blank is passed over.\n"
	"\n"
	"  sluice lookup --list mx=country-mx.txt --list country-de.txt.gz 201.144.1.1 2a02::1\n"
	"  cut -f3 access.log | sluice lookup --list country-mx.txt - | sort | uniq -c\n";

static const char status_help[] =
	"sluice status\n"
	"\n"
	"Health: generation, egresses, lists, queues, what is captured.\n";

static const char get_help[] =
	"sluice get ADDRESS [from ADDRESS] [proto PROTOCOL] [dport PORT] [sport PORT]\n"
	"\n"
	"Which way out a packet to ADDRESS takes, and why: the rule, the list with its file and "
	"line,\n"
	"the prefix, the next hop, and the flow if there is one.\n"
	"\n"
	"  sluice get 201.144.1.1\n"
	"  sluice get 201.144.1.1 from 10.66.0.2 proto tcp sport 50000 dport 443\n";

static const char reload_help[] = "sluice reload [LIST...]\n"
				  "\n"
				  "Read the configuration and its lists again, or these lists "
				  "only, and put the new table in the\n"
				  "place of the old one at once, while packets flow. If anything "
				  "is wrong nothing is changed.\n";

static const char diff_help[] =
	"sluice diff OLD NEW\n"
	"sluice diff [FILE]\n"
	"sluice diff NAME=[FILE]...\n"
	"\n"
	"What changes from one list to another, without a daemon: prefixes, and how many "
	"addresses\n"
	"enter and leave. OLD and NEW are plain or gzip; one may be \"-\", for stdin.\n"
	"\n"
	"Or what `reload` would do to the running daemon, from each egress to each other one:\n"
	"prefixes, addresses, and flows that are remembered. Nothing is changed. FILE is read in "
	"the\n"
	"place of the daemon's configuration. NAME=FILE reads that list alone, from FILE, and "
	"NAME=\n"
	"from its own file, as `reload NAME` would.\n"
	"\n"
	"  -a, --all         print each prefix that changes: + new, - gone, ~ sent elsewhere\n"
	"  -s, --stats       the same; of a daemon also the exact count of IPv6 addresses\n"
	"  -e, --exit-code   exit with 5 if there is a difference\n"
	"  -q, --quiet       the same, and print nothing\n"
	"      --lax         pass over bad lines of OLD and NEW\n"
	"  -4, -6            compare this family alone\n"
	"\n"
	"  sluice diff country-mx.txt country-mx.new.txt\n"
	"  sluice diff -q mx=/tmp/new.txt || echo something would change, or went wrong\n";

static const char stats_help[] =
	"sluice stats\n"
	"\n"
	"Counters: packets in all, by reason of loss, by egress.\n"
	"\n"
	"  -s   what each counter means, those that are zero, and each queue\n";

static const char list_help[] =
	"sluice list [show [NAME]]\n"
	"sluice list add|del NAME PREFIX...|-|file PATH\n"
	"\n"
	"The lists that are loaded, and what was found in them. Or add prefixes to a list of the\n"
	"running daemon, or remove some: all of them at once, or none. The list's file stays as "
	"it\n"
	"is; a reload of the list goes back to it.\n"
	"\n"
	"  PREFIX      a prefix, an address, or a range FIRST-LAST\n"
	"  -           prefixes from standard input, one a line, 16000 at most\n"
	"  file PATH   those of a list file that the daemon can read\n"
	"\n"
	"  sluice list add mx 203.0.113.0/24 2001:db8::/32\n";

static const char rule_help[] = "sluice rule [show]\n"
				"\n"
				"The rules in the order of the configuration, the default last.\n";

static const char egress_help[] =
	"sluice egress [show [NAME]]\n"
	"\n"
	"The ways out, whether they are up, their addresses and gateways.\n"
	"\n"
	"  -s   with counters\n";

static const char queue_help[] = "sluice queue [show]\n"
				 "\n"
				 "The queues of the tunnel interface and their workers.\n"
				 "\n"
				 "  -s   with counters\n";

static const char flow_help[] =
	"sluice flow [show] [egress NAME] [address ADDRESS] [limit NUMBER]\n"
	"\n"
	"The flows that are remembered, 100 of them at most unless limit says otherwise.\n"
	"\n"
	"  egress NAME       those that leave by this egress\n"
	"  address ADDRESS   those from or to this address\n"
	"  -4, -6            those of IPv4, of IPv6\n"
	"  -s                with packets and bytes\n";

const struct command usage_commands[] = {
	{"run", cmd_run, "the daemon", run_help, false},
	{"down", cmd_down, "remove all that Sluice added to the system", down_help, true},
	{"check", cmd_check, "read configuration and lists, report, change nothing", check_help,
	 false},
	{"lookup", cmd_lookup, "look addresses up in lists, without the daemon", lookup_help,
	 false},
	{"status", cmd_status, "health, lists, egresses, queues", status_help, false},
	{"get", cmd_get, "which way an address takes, and why", get_help, false},
	{"reload", cmd_reload, "new lists and configuration, atomically", reload_help, false},
	{"diff", cmd_diff, "what changes between two lists, or by a reload", diff_help, false},
	{"stats", cmd_stats, "counters", stats_help, false},
	{"list", cmd_list, "the lists that are loaded; add, del", list_help, false},
	{"rule", cmd_rule, "the rules in force", rule_help, false},
	{"egress", cmd_egress, "the ways out", egress_help, false},
	{"queue", cmd_queue, "queues and their workers", queue_help, false},
	{"flow", cmd_flow, "the flows that are remembered", flow_help, false},
	{NULL, NULL, NULL, NULL, false},
};

static const char global_help[] =
	"Options, before or after the command:\n"
	"  -j, --json          print JSON\n"
	"  -s, --stats         print more: counters, details\n"
	"  -4, -6              only this family, where there is a choice\n"
	"  -w, --wait[=SEC]    wait for the daemon to come up, 10 seconds if not said\n"
	"  -S, --socket PATH   the daemon's socket; else $SLUICE_SOCKET, else " SLUICE_RUN_DIR
	"/sluice0.sock\n"
	"  -V, --version       print the version\n"
	"  -h, --help          print this, or the help of a command\n"
	"\n"
	"Exit status: 0 done, 1 usage or syntax, 2 refused by the daemon, 3 daemon not running,\n"
	"4 not found, 5 different (diff -e). More in sluice(8) and sluice.conf(5).\n";

void usage_print(FILE *out)
{
	fputs("Sluice sends packets to listed prefixes one way, and all others another way.\n"
	      "\n"
	      "sluice [OPTIONS] COMMAND [ARGUMENTS]      COMMAND may be cut short: sluice eg\n"
	      "\n",
	      out);
	for (const struct command *c = usage_commands; c->name != NULL; c++)
		fprintf(out, "  %-8s  %s\n", c->name, c->summary);
	fputs("\n"
	      "  sluice COMMAND --help   more about one of them\n"
	      "\n",
	      out);
	fputs(global_help, out);
}

/* Whether a word is the start of a command's name, and may stand for it. */
static bool abbreviates(const char *word, const struct command *command)
{
	return word[0] != '\0' && !command->whole_name &&
	       strncmp(command->name, word, strlen(word)) == 0;
}

static void complain_command(const char *word, unsigned matches, const char *nearest, FILE *out)
{
	if (matches > 0) {
		fprintf(out, "sluice: command '%s' may be", word);
		for (const struct command *c = usage_commands; c->name != NULL; c++) {
			if (abbreviates(word, c))
				fprintf(out, " '%s'%s", c->name,
					--matches > 1  ? ","
					: matches == 1 ? " or"
						       : "");
		}
		fputc('\n', out);
	} else if (nearest != NULL) {
		fprintf(out, "sluice: unknown command '%s'; did you mean '%s'?\n", word, nearest);
	} else {
		fprintf(out, "sluice: unknown command '%s'; see `sluice help`\n", word);
	}
}

const struct command *usage_find_command(const char *word, FILE *complaint)
{
	struct nearest nearest = {.word = word, .size = strlen(word)};
	const struct command *found = NULL;
	unsigned matches = 0;

	for (const struct command *c = usage_commands; c->name != NULL; c++) {
		if (strcmp(c->name, word) == 0)
			return c;
		nearest_try(&nearest, c->name);
		if (word[0] != '\0' && c->whole_name && strncmp(c->name, word, nearest.size) == 0)
			nearest.best = c->name;
		if (abbreviates(word, c)) {
			found = c;
			matches++;
		}
	}
	if (matches == 1)
		return found;
	complain_command(word, matches, nearest.best, complaint);
	return NULL;
}

int usage_fail(const char *command, const char *format, ...)
{
	const char *blank = command != NULL ? " " : "";
	va_list args;

	if (command == NULL)
		command = "";
	fprintf(stderr, "sluice%s%s: ", blank, command);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n        see `sluice%s%s --help`\n", blank, command);
	return STATUS_USAGE;
}

int usage_bad_option(const char *command, int code, char **argv, const struct option *known)
{
	const char *word = argv[optind - 1];
	struct nearest nearest = {0};

	if (code == ':')
		return usage_fail(command, "option '%s' needs an argument", word);
	/* A letter may stand in a cluster, whose word getopt has not left yet. */
	if (strncmp(word, "--", 2) != 0)
		return usage_fail(command, "unknown option '-%c'", optopt);
	nearest.word = word + 2;
	nearest.size = strcspn(word + 2, "=");
	for (; known != NULL && known->name != NULL; known++)
		nearest_try(&nearest, known->name);
	if (nearest.best != NULL)
		return usage_fail(command, "unknown option '%s'; did you mean '--%s'?", word,
				  nearest.best);
	return usage_fail(command, "unknown option '%s'", word);
}

int usage_skip_show(int argc, char **argv)
{
	int first = 1;

	if (argc > 1 && argv[1][0] != '\0' && strncmp("show", argv[1], strlen(argv[1])) == 0)
		first = 2;
	for (int i = first; i < argc; i++) {
		if (argv[i][0] == '-') {
			usage_fail(argv[0], "unknown option '%s'", argv[i]);
			return -1;
		}
	}
	return first;
}
