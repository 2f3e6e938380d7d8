/*
 * The client's side of the control socket: JSON-RPC 2.0, one object a line.
 *
 * For programs that ask one thing and end: all calls block, with deadlines.
 */
#ifndef SLUICE_CTL_CLIENT_H
#define SLUICE_CTL_CLIENT_H

#include <jansson.h>

#include "ctl/commands.h"

enum {
	CLIENT_TIMEOUT_MS = 10 * 1000, /* for a reply */
	CLIENT_RELOAD_MS = 120 * 1000, /* the same; millions of prefixes take their time */
	CLIENT_REPLY_MAX = 16 << 20,   /* bytes; more is nonsense */
};

/*
 * Ask the daemon one thing, and complain to stderr if it does not do it.
 *
 * method: "noun.verb"
 * params: an object, which is taken over, or NULL
 * result: on success the reply's result, the caller's reference
 * Returns STATUS_OK, or STATUS_NO_DAEMON, STATUS_NOT_FOUND or STATUS_REFUSED after a complaint.
 */
int client_call(const struct options *options, const char *method, json_t *params, json_t **result);

/*
 * The same for what changes something; then what came of it is on standard output, by print or as
 * JSON, and if it was refused, that nothing was changed is on standard error.
 */
int client_change(const struct options *options, const char *method, json_t *params,
		  void (*print)(const json_t *result));

/*
 * The exit status that an error object of JSON-RPC amounts to, and the line that explains it: the
 * place in a file if there is one, then the text.
 */
int client_explain_error(const json_t *error, char *out, size_t size);

#endif
