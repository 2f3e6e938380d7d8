/*
 * The control socket: JSON-RPC 2.0 over AF_UNIX stream, one object (or one batch) a line.
 *
 * rpc.c is the protocol: a line in, a reply out, no socket. server.h carries lines between clients
 * and it. Everything runs in the caller's thread; nothing here blocks.
 */
#ifndef SLUICE_CTL_RPC_H
#define SLUICE_CTL_RPC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	RPC_REQUEST_MAX = 1 << 20, /* bytes of a line, without its end */
	RPC_SMALL_MAX = 4 << 10,   /* a longer request waits for its turn after the others */
	RPC_VALUES_MAX = 16 << 10, /* commas, colons and opening brackets of a request */
	RPC_BATCH_MAX = 64,
	RPC_RESULTS_MAX = 3 << 20, /* bytes of all results of a line; more is an error */
	RPC_TEXT_MAX = 512,
};

enum rpc_code {
	RPC_PARSE = -32700,
	RPC_REQUEST = -32600,
	RPC_METHOD = -32601,
	RPC_PARAMS = -32602,
	RPC_INTERNAL = -32603,
	RPC_REFUSED = -32000, /* the application said no: data.reason says why */
};

/* Zeroed before a method is called. */
struct rpc_error {
	int code;           /* 0: RPC_REFUSED */
	const char *reason; /* a stable word for programs, lasting; NULL: the name of the errno */
	char text[RPC_TEXT_MAX]; /* one line for people; any bytes */
	json_t *data;            /* an object with more members for "data", taken over; or NULL */
};

struct rpc_method {
	const char *name;
	bool writes; /* changes something: not for everyone */

	/*
	 * Answer one request, or obey one notification.
	 *
	 * context: the table's
	 * params:  borrowed: an object, an array, or NULL if there are none
	 * result:  a new reference, or left as it is: null
	 * Errors:  any -errno, with *err filled as far as it is known (rpc_error_set)
	 */
	int (*call)(void *context, const json_t *params, json_t **result, struct rpc_error *err);
	const char *help; /* one line */
};

/* What can be called. "rpc.methods", which lists the rest, is there without being named. */
struct rpc_table {
	const struct rpc_method *methods;
	size_t count;
	void *context;
};

/*
 * Fill *err; returns -EINVAL, so that a method can return it at once.
 *
 * code:   0 for RPC_REFUSED
 * reason: kept, not copied; NULL allowed
 */
int rpc_error_set(struct rpc_error *err, int code, const char *reason, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* A JSON string of any bytes: what is not UTF-8 becomes "?". NULL if there is no memory. */
json_t *rpc_string(const char *text);

/*
 * Handle one line: a request, a notification or a batch.
 *
 * line:      not terminated, without its end; may hold anything
 * may_write: whether the caller may use methods that write
 * reply:     one line without its end, the caller's by free(); NULL if none is due (notifications,
 *            blank lines). At most RPC_REPLY_MAX bytes.
 * Errors:    -ENOMEM
 */
int rpc_handle(const struct rpc_table *table, const char *line, size_t size, bool may_write,
	       char **reply);

enum {
	/* Beside the results: what replies to a batch of RPC_BATCH_MAX say of themselves, and the
	 * ids, which come from the request. */
	RPC_REPLY_MAX = RPC_RESULTS_MAX + RPC_REQUEST_MAX + RPC_BATCH_MAX * 256,
};

struct rpc_options {
	const char *path;        /* of the socket; its folder is made (0755) if it is missing */
	const char *group;       /* that may connect besides the owner; NULL: the process's own */
	mode_t mode;             /* 0: 0660 */
	struct rpc_table *table; /* the caller's, until the server is closed */
};

struct server;

/* Serve the methods at a socket, as server.h does. Errors: as server_open */
int rpc_open(const struct rpc_options *options, struct server **out, struct rpc_error *err);

#endif
