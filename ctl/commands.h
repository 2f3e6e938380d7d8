/*
 * The commands of the program, and what the command line says to all of them.
 *
 * Each takes the arguments that are left when the global options have been taken out: argv[0] is
 * the command's full name, argv[argc] is NULL. Each returns an exit status, writes results to
 * stdout and complaints to stderr.
 */
#ifndef SLUICE_CTL_COMMANDS_H
#define SLUICE_CTL_COMMANDS_H

#include <stdbool.h>

#define SLUICE_VERSION "0.1.0"
#define SLUICE_CONF_PATH "/etc/sluice/sluice.conf"
#define SLUICE_RUN_DIR "/run/sluice" /* the socket is SLUICE_RUN_DIR/NAME.sock */
#define SLUICE_STATE_DIR "/var/lib/sluice"

enum exit_status {
	STATUS_OK = 0,
	STATUS_USAGE = 1,     /* usage, or syntax of a file */
	STATUS_REFUSED = 2,   /* the daemon, or the kernel, said no */
	STATUS_NO_DAEMON = 3, /* not running, or it does not answer */
	STATUS_NOT_FOUND = 4,
	STATUS_DIFFERENT = 5, /* diff, when asked to tell so */
};

/* The global options. Strings belong to the caller and last as long as the process. */
struct options {
	bool json;          /* -j */
	bool stats;         /* -s */
	unsigned family;    /* 4, 6, or 0 for both */
	unsigned wait_ms;   /* -w: wait so long for the daemon's socket; 0: not at all */
	const char *socket; /* -S or SLUICE_SOCKET; NULL: SLUICE_RUN_DIR/NAME.sock */
};

/* The daemon's side. */
int cmd_run(const struct options *options, int argc, char **argv);
int cmd_down(const struct options *options, int argc, char **argv);

/* Without a daemon. */
int cmd_check(const struct options *options, int argc, char **argv);
int cmd_lookup(const struct options *options, int argc, char **argv);

/* With a daemon or without. */
int cmd_diff(const struct options *options, int argc, char **argv);

/* Questions and orders to the daemon. */
int cmd_status(const struct options *options, int argc, char **argv);
int cmd_get(const struct options *options, int argc, char **argv);
int cmd_reload(const struct options *options, int argc, char **argv);
int cmd_stats(const struct options *options, int argc, char **argv);
int cmd_list(const struct options *options, int argc, char **argv);
int cmd_list_edit(const struct options *options, int argc, char **argv); /* argv[1]: add or del */
int cmd_rule(const struct options *options, int argc, char **argv);
int cmd_egress(const struct options *options, int argc, char **argv);
int cmd_queue(const struct options *options, int argc, char **argv);
int cmd_flow(const struct options *options, int argc, char **argv);

#endif
